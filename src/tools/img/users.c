/*
 * users.c - finds the images that have another one as their base.
 *
 * Only headers are read, and nothing is locked or followed but names.  A chain is followed within the directory and
 * wherever it leads, up to a limit.
 */
#include "tools/img/users.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/block.h"
#include "tools/img/create.h"
#include "tools/img/util.h"

enum { MAX_DEPTH = 200 };

/* The path of what this image stands on; NULL: nothing, or it is no image. */
static char *base_of(const char *path)
{
    if (!g_file_test(path, G_FILE_TEST_IS_REGULAR))
        return NULL;
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .read_only = true, .share = true, .no_backing = true }, NULL);
    if (!n)
        return NULL;
    BlkInfo info;
    blk_info(n, &info);
    g_autofree char *name = info.backing_name ? img_beside(path, info.backing_name) : NULL;
    char *real = name ? realpath(g_str_has_prefix(name, "file:") ? name + 5 : name, NULL) : NULL;
    blk_close(n);
    return real;
}

static bool stands_on(const char *path, const char *target)
{
    g_autofree char *at = g_strdup(path);
    for (unsigned depth = 0; depth < MAX_DEPTH; depth++) {
        char *base = base_of(at);
        g_free(at);
        at = base;
        if (!at || g_str_equal(at, target))
            return at != NULL;
    }
    return false;
}

static int by_path(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

GPtrArray *users_of(const char *image, const char *directory, GError **err)
{
    g_autofree char *target = realpath(image, NULL);
    g_autoptr(GError) reason = NULL;
    g_autoptr(GDir) dir = g_dir_open(directory, 0, &reason);
    if (!dir || !target) {
        error_set(err, ERR_NOT_FOUND, "cannot look for images that stand on '%s' in '%s': %s", image, directory,
                  dir ? "it is no file" : reason->message);
        return NULL;
    }
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_str_equal(directory, ".") ? g_strdup(name) : g_build_filename(directory, name, NULL);
        if (stands_on(path, target))
            g_ptr_array_add(found, g_steal_pointer(&path));
    }
    g_ptr_array_sort(found, by_path);
    return found;
}

static bool same_file(const char *a, const char *b)
{
    g_autofree char *x = realpath(a, NULL), *y = realpath(b, NULL);
    return x && y && g_str_equal(x, y);
}

static bool counts(const char *path, const char *const *besides)
{
    for (unsigned i = 0; besides && besides[i]; i++)
        if (same_file(path, besides[i]))
            return false;
    return true;
}

bool users_allow(const ImgArgs *a, const char *image, const char *const *besides, const char *what, GError **err)
{
    g_autofree char *directory = g_path_get_dirname(image);
    g_autoptr(GPtrArray) users = a->force ? NULL : users_of(image, directory, NULL);
    g_autoptr(GString) names = g_string_new(NULL);
    for (unsigned i = 0; users && i < users->len; i++)
        if (counts(users->pdata[i], besides))
            g_string_append_printf(names, "%s'%s'", names->len ? ", " : "", (char *)users->pdata[i]);
    if (!names->len)
        return true;
    if (a->like_qemu) {
        img_warn(a, "%s changes '%s', which is the base of %s: what they show changes too", what, image, names->str);
        return true;
    }
    return error_set(err, ERR_BUSY, "%s would change '%s', which is the base of %s: what they show would change too; rebase or remove them first, "
                     "or say --force", what, image, names->str);
}
