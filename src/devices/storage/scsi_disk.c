/* scsi_disk.c - commands of a disk.  SBC-3 (T10). */
#include <string.h>

#include "base/checked.h"
#include "base/iov.h"
#include "devices/storage/scsi.h"

enum { FUA = 8, SAME_UNMAP = 8, SAME_NO_DATA = 1, BYTE_CHECK = 6 }; /* of byte 1 of commands */

/* Sets off and len; false: beyond the end. */
static bool take_range(const ScsiUnit *u, ScsiTask *t, uint64_t lba, uint64_t blocks)
{
    uint32_t bytes = scsi_block_bytes(u);
    if (!range_within(lba, blocks, scsi_blocks(u)))
        return false;
    t->off = lba * bytes;
    t->len = blocks * bytes;
    return true;
}

/* Address and length of a command of that many bytes: SPC-3, 4.3.4. */
static bool take_address(const ScsiUnit *u, ScsiTask *t)
{
    const uint8_t *c = t->cdb;
    switch (c[0] >> 5) {
    case 0:
        return take_range(u, t, be32(c) & 0x1fffff, c[4] ? c[4] : 256);
    case 4:
        return take_range(u, t, be64(c + 2), be32(c + 10));
    case 5:
        return take_range(u, t, be32(c + 2), be32(c + 6));
    }
    return take_range(u, t, be32(c + 2), be16(c + 7));
}

static ScsiStep move(ScsiUnit *u, ScsiTask *t, unsigned step)
{
    bool write = step == SCSI_WRITE, has_flags = t->cdb[0] >> 5;
    if (write && u->disk->read_only)
        return scsi_fail(u, SENSE_PROTECT, ASC_WRITE_PROTECTED);
    if (!take_address(u, t))
        return scsi_illegal(u, ASC_OUT_OF_RANGE);
    if (step == SCSI_VERIFY && t->cdb[1] & BYTE_CHECK)
        return scsi_illegal(u, ASC_INVALID_FIELD);
    if (write && ((has_flags && t->cdb[1] & FUA) || !u->write_cache))
        t->flags = BLK_FUA;
    return t->len ? (ScsiStep)step : SCSI_GOOD;
}

static ScsiStep flush(ScsiUnit *u, ScsiTask *t, unsigned arg) { return SCSI_FLUSH; }

static ScsiStep read_capacity_10(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    put_be32(t->buf, MIN(scsi_blocks(u) - 1, UINT32_MAX));
    put_be32(t->buf + 4, scsi_block_bytes(u));
    return scsi_reply(t, 8, 8);
}

static ScsiStep service_action_in(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    if ((t->cdb[1] & 0x1f) != 0x10) /* READ CAPACITY (16) */
        return scsi_illegal(u, ASC_INVALID_FIELD);
    memset(t->buf, 0, 32);
    put_be64(t->buf, scsi_blocks(u) - 1);
    put_be32(t->buf + 8, scsi_block_bytes(u));
    t->buf[13] = __builtin_ctz(u->disk->physical_block / u->disk->logical_block);
    t->buf[14] = 0x80; /* thin */
    return scsi_reply(t, 32, be32(t->cdb + 10));
}

static ScsiStep change_range(ScsiUnit *u, ScsiTask *t, uint64_t lba, uint64_t blocks, ScsiStep step)
{
    if (u->disk->read_only)
        return scsi_fail(u, SENSE_PROTECT, ASC_WRITE_PROTECTED);
    if (!take_range(u, t, lba, blocks))
        return scsi_illegal(u, ASC_OUT_OF_RANGE);
    return t->len ? step : SCSI_GOOD;
}

/* The parameters hold one range, as the page of limits says. */
static ScsiStep unmap(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    uint8_t p[24];
    unsigned len = be16(t->cdb + 7);
    if (!len)
        return SCSI_GOOD;
    if (len < 8 || iov_read(t->out, t->n_out, 0, p, MIN(len, sizeof(p))) < MIN(len, sizeof(p)))
        return scsi_illegal(u, ASC_INVALID_PARAMETER);
    unsigned described = be16(p + 2);
    if (!described)
        return SCSI_GOOD;
    if (described != 16 || len < sizeof(p))
        return scsi_illegal(u, ASC_INVALID_PARAMETER);
    return change_range(u, t, be64(p + 8), be32(p + 16), SCSI_DISCARD);
}

static bool is_zero(const ScsiUnit *u, const ScsiTask *t)
{
    g_autofree uint8_t *data = g_malloc(scsi_block_bytes(u));
    size_t n = iov_read(t->out, t->n_out, 0, data, scsi_block_bytes(u));
    return n == scsi_block_bytes(u) && !data[0] && !memcmp(data, data + 1, n - 1);
}

/* Of zeros, which is what drivers use it for. */
static ScsiStep write_same(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    bool is_long = t->cdb[0] == 0x93;
    uint64_t lba = is_long ? be64(t->cdb + 2) : be32(t->cdb + 2), blocks = is_long ? be32(t->cdb + 10) : be16(t->cdb + 7);
    if (!(is_long && t->cdb[1] & SAME_NO_DATA) && !is_zero(u, t))
        return scsi_illegal(u, ASC_INVALID_FIELD);
    t->flags = (t->cdb[1] & SAME_UNMAP ? BLK_MAY_UNMAP : 0) | (u->write_cache ? 0 : BLK_FUA);
    if (!blocks && range_within(lba, 0, scsi_blocks(u)))
        blocks = scsi_blocks(u) - lba; /* up to the end */
    return change_range(u, t, lba, blocks, SCSI_ZERO);
}

static ScsiStep nothing(ScsiUnit *u, ScsiTask *t, unsigned arg) { return SCSI_GOOD; }

const ScsiCommand scsi_disk_commands[] = {
    { 0x08, true, move, SCSI_READ },
    { 0x0a, true, move, SCSI_WRITE },
    { 0x16, false, nothing, 0 }, /* RESERVE and RELEASE (6): there is one initiator */
    { 0x17, false, nothing, 0 },
    { 0x25, true, read_capacity_10, 0 },
    { 0x28, true, move, SCSI_READ },
    { 0x2a, true, move, SCSI_WRITE },
    { 0x2e, true, move, SCSI_WRITE }, /* WRITE AND VERIFY */
    { 0x2f, true, move, SCSI_VERIFY },
    { 0x35, true, flush, 0 },
    { 0x41, true, write_same, 0 },
    { 0x42, true, unmap, 0 },
    { 0x88, true, move, SCSI_READ },
    { 0x8a, true, move, SCSI_WRITE },
    { 0x8e, true, move, SCSI_WRITE },
    { 0x8f, true, move, SCSI_VERIFY },
    { 0x91, true, flush, 0 },
    { 0x93, true, write_same, 0 },
    { 0x9e, true, service_action_in, 0 },
    { 0xa8, true, move, SCSI_READ },
    { 0xaa, true, move, SCSI_WRITE },
    { .run = NULL },
};

static const uint8_t page_error_recovery[] = { 0x01, 10, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
static const uint8_t page_caching[] = { 0x08, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
const uint8_t *const scsi_disk_pages[] = { page_error_recovery, page_caching, NULL };
