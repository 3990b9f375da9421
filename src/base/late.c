/* late.c - loads libraries when they are needed. */
#include "base/late.h"

#include <dlfcn.h>
#include <string.h>

#include "base/error.h"

static void *open_first(const char *const *libraries)
{
    void *handle = NULL;
    for (; !handle && *libraries; libraries++)
        handle = dlopen(*libraries, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    return handle;
}

bool late_load(const char *const *libraries, const LateSymbol *symbols, const char *purpose, void *ret, GError **err)
{
    void *handle = open_first(libraries);
    if (!handle)
        return error_set(err, ERR_NOT_FOUND, "cannot load library %s, which %s needs: %s", *libraries, purpose, dlerror());
    for (; symbols->name; symbols++) {
        void *symbol = dlsym(handle, symbols->name);
        if (!symbol)
            return error_set(err, ERR_UNSUPPORTED, "library %s is too old for %s: it has no %s()", *libraries, purpose, symbols->name);
        memcpy((char *)ret + symbols->off, &symbol, sizeof(symbol));
    }
    return true;
}
