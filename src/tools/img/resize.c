/* resize.c - atoll-img resize. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/users.h"
#include "tools/img/util.h"

static const struct {
    const char *name;
    unsigned flags;
} modes[] = { { "off", 0 }, { "metadata", BLK_ALLOCATE_METADATA }, { "falloc", BLK_ALLOCATE }, { "full", BLK_ALLOCATE_FULL } };

bool resize_mode(const char *word, unsigned *ret, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++)
        if (!word || g_str_equal(word, modes[i].name)) {
            *ret = modes[i].flags;
            return true;
        }
    return error_set(err, ERR_INVALID, "Invalid preallocation mode '%s'; there are off, metadata, falloc, full", word);
}

/* "+SIZE" and "-SIZE" count from the size that it has. */
static bool new_size(const char *word, uint64_t now, uint64_t *ret, GError **err)
{
    uint64_t size;
    bool relative = *word == '+' || *word == '-';
    if (!img_parse_size(word + relative, "image size", INT64_MAX, &size, err))
        return false;
    if (*word == '-' && size >= now)
        return error_set(err, ERR_INVALID, "New image size must be positive");
    if (*word == '+' && (!checked_add(now, size, &size) || size > INT64_MAX))
        return error_set(err, ERR_INVALID, "New image size is too large");
    *ret = *word == '-' ? now - size : size;
    if (!*ret)
        return error_set(err, ERR_INVALID, "New image size must be positive");
    return true;
}

static bool may_shrink(const ImgArgs *a, GError **err)
{
    if (!a->shrink) {
        error_set(err, ERR_INVALID, "Use the --shrink option to perform a shrink operation.");
        img_warn(a, "Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an operation, "
                 "make sure there is no important data there.");
        return false;
    }
    return a->image_opts || users_allow(a, a->words[0], NULL, "shrinking", err);
}

static int resize(const ImgArgs *a, BlkNode *n, const char *word, unsigned flags, GError **err)
{
    BlkInfo info;
    blk_info(n, &info);
    uint64_t size = 0;
    if (!new_size(word, info.size, &size, err) || (size < info.size && !may_shrink(a, err)))
        return 1;
    if (size < info.size && flags)
        return !error_set(err, ERR_INVALID, "Preallocation can only be used for growing images");
    if (!blk_resize(n, size, flags | (size < info.size ? BLK_SHRINK : 0), err) || !blk_flush(n, err))
        return 1;
    if (!a->quiet)
        printf("Image resized.\n");
    return 0;
}

int img_resize(ImgArgs *a, GError **err)
{
    unsigned flags = 0;
    if (!a->size || a->nwords != 1)
        return !img_usage(err, "Expecting image file name and size");
    if (!resize_mode(a->preallocation, &flags, err))
        return 1;
    g_autoptr(BlkNode) n = img_open_named(a, true, err);
    return n ? img_end(&n, resize(a, n, a->size, flags, err), err) : 1;
}
