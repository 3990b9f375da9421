/* raw.c - the image is the file, byte for byte. */
#include "block/driver.h"

#include "base/error.h"

static bool raw_open(BlkNode *n, KeyVals *options, GError **err)
{
    n->size = n->file->size;
    return true;
}

static void raw_close(BlkNode *n) {}

static int raw_perform(BlkNode *n, BlkReq *r)
{
    return blk_perform(n->file, r->op, r->flags & BLK_MAY_UNMAP, r->off, r->len, r->iov, r->niov); /* FUA is the core's */
}

static int raw_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    ret->has_host = true;
    ret->host = off;
    return 0;
}

static bool raw_resize(BlkNode *n, uint64_t size, GError **err)
{
    if (size < n->size)
        return error_set(err, ERR_UNSUPPORTED, "cannot make disk image '%s' smaller: its end would be lost", n->filename);
    if (!blk_resize(n->file, size, err))
        return false;
    n->size = n->file->size;
    return true;
}

static bool raw_create(BlkNode *file, KeyVals *options, GError **err)
{
    uint64_t size = 0;
    return keyvals_take_number(options, "size", 0, INT64_MAX, &size, err) && keyvals_end(options, err) &&
           blk_resize(file, size, err);
}

static const BlkOption raw_options[] = {
    { "size", BLK_SIZE, .doc = "bytes that the guest sees", .create = true },
    { 0 },
};

const BlkDriver raw_driver = {
    .name = "raw",
    .summary = "the disk's bytes and nothing else",
    .kind = BLK_FORMAT,
    .options = raw_options,
    .create = raw_create,
    .open = raw_open,
    .close = raw_close,
    .perform = raw_perform,
    .map = raw_map,
    .resize = raw_resize,
};
