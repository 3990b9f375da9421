/* raw.c - the image is the file, byte for byte. */
#include "block/driver.h"

#include <errno.h>

static bool raw_open(BlkNode *n, KeyVals *options, GError **err)
{
    n->size = n->file->size;
    return true;
}

static bool raw_submit(BlkNode *n, BlkReq *r) { return node_submit(n->file, r); }
static void raw_close(BlkNode *n) {}

static int raw_perform(BlkNode *n, BlkReq *r)
{
    return blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
}

static int raw_copy_range(BlkNode *n, BlkNode *from_file, uint64_t from_off, uint64_t off, uint64_t len)
{
    return n->file->driver->copy_range ? n->file->driver->copy_range(n->file, from_file, from_off, off, len) : -ENOTSUP;
}

static int raw_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    if (!blk_map(n->file, off, len, ret, NULL))
        return -EIO;
    ret->allocated = true; /* nothing lies below */
    return 0;
}

static bool raw_resize(BlkNode *n, uint64_t size, unsigned flags, GError **err)
{
    if (!blk_resize(n->file, size, flags, err))
        return false;
    n->size = n->file->size;
    return true;
}

static const char *const preallocations[] = { "off", "falloc", "full", NULL };

static bool raw_create(BlkNode *file, KeyVals *options, GError **err)
{
    static const unsigned flags[] = { 0, BLK_ALLOCATE, BLK_ALLOCATE_FULL };
    uint64_t size = 0;
    unsigned how = 0;
    return keyvals_take_number(options, "size", 0, INT64_MAX, &size, err) &&
           keyvals_take_choice(options, "preallocation", preallocations, &how, err) && keyvals_end(options, err) &&
           blk_resize(file, size, flags[how], err);
}

static bool raw_measure(KeyVals *options, BlkNode *source, BlkMeasure *ret, GError **err)
{
    uint64_t size = source ? source->size : 0;
    if (!keyvals_take_number(options, "size", 0, INT64_MAX - 511, &size, err))
        return false;
    keyvals_take(options, "preallocation");
    ret->required = ret->fully_allocated = (size + 511) & -512ull;
    return true;
}

static const BlkOption raw_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { "preallocation", BLK_CHOICE, .doc = "what has its place from the start", .choices = preallocations, .create = true },
    { 0 },
};

const BlkDriver raw_driver = {
    .name = "raw",
    .summary = "the disk's bytes and nothing else",
    .kind = BLK_FORMAT,
    .flags = BLK_FUA,
    .options = raw_options,
    .create = raw_create,
    .open = raw_open,
    .close = raw_close,
    .perform = raw_perform,
    .submit = raw_submit,
    .copy_range = raw_copy_range,
    .map = raw_map,
    .resize = raw_resize,
    .measure = raw_measure,
};
