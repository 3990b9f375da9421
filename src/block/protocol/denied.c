/* denied.c - why may this process not open a file?  Says which part of the path it is, its mode and its owner. */
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/driver.h"

static char *describe(const char *what, const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return g_strdup_printf("%s '%s'", what, path);
    struct passwd entry, *owner = NULL;
    char names[4096];
    getpwuid_r(st.st_uid, &entry, names, sizeof(names), &owner);
    return g_strdup_printf("%s '%s' (mode %04o, owner %s, uid %u)", what, path, st.st_mode & 07777,
                           owner ? owner->pw_name : "unknown", st.st_uid);
}

/* The first directory on the way that may not be entered, or NULL. */
static char *closed_directory(const char *path)
{
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        g_autofree char *directory = slash == path ? g_strdup("/") : g_strndup(path, slash - path);
        if (faccessat(AT_FDCWD, directory, X_OK, AT_EACCESS))
            return g_steal_pointer(&directory);
    }
    return NULL;
}

char *file_denied_reason(const char *path, bool write)
{
    g_autofree char *directory = closed_directory(path);
    g_autofree char *object = directory ? describe("directory", directory) : describe("file", path);
    bool readable = write && !directory && !faccessat(AT_FDCWD, path, R_OK, AT_EACCESS);
    return g_strdup_printf("permission denied for uid %u on %s%s", geteuid(), object,
                           readable ? "; it may be read: open it with readonly=on or -snapshot" : "");
}
