/* scsi.c - commands that disks and CD-ROM drives have in common.  SPC-3. */
#include "devices/storage/scsi.h"

#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "machine/machine.h"

const Field scsi_unit_fields[] = {
    { F(ScsiUnit, cd), .role = FIELD_HOST },
    { F(ScsiUnit, atapi), .role = FIELD_HOST },
    { F(ScsiUnit, removable), .role = FIELD_HOST },
    { FO(ScsiUnit, model), .role = FIELD_HOST },
    { FO(ScsiUnit, firmware), .role = FIELD_HOST },
    { FO(ScsiUnit, serial), .role = FIELD_HOST },
    { FO(ScsiUnit, disk), .role = FIELD_HOST },
    { F(ScsiUnit, sense_key), .doc = "sense key" },
    { F(ScsiUnit, asc), .doc = "additional sense code" },
    { F(ScsiUnit, ascq), .doc = "its qualifier" },
    { F(ScsiUnit, tray_open), .keep = true, .doc = "tray open" },
    { F(ScsiUnit, locked), .doc = "removal prevented" },
    { F(ScsiUnit, media_event), .doc = "tray event to report" },
    { F(ScsiUnit, eject_request), .doc = "the user wants the medium out: to report" },
    { F(ScsiUnit, write_cache), .reset = 1, .doc = "write cache on" },
    { F(ScsiUnit, attention), .doc = "unit attention to report" },
    DEVICE_FIELDS_END,
};

/* ---- ends */

void scsi_sense(ScsiUnit *u, uint8_t key, uint16_t asc)
{
    u->sense_key = key;
    u->asc = asc >> 8;
    u->ascq = asc;
}

ScsiStep scsi_fail(ScsiUnit *u, uint8_t key, uint16_t asc)
{
    scsi_sense(u, key, asc);
    return SCSI_FAILED;
}

void scsi_io_error(ScsiUnit *u, ScsiStep step, int status)
{
    bool read = step == SCSI_READ || step == SCSI_VERIFY;
    if (status == -ECANCELED)
        scsi_sense(u, SENSE_ABORTED, 0);
    else
        scsi_sense(u, SENSE_MEDIUM_ERROR, read ? ASC_READ_ERROR : ASC_WRITE_ERROR);
}

void scsi_put_sense(const ScsiUnit *u, uint8_t to[SCSI_SENSE_BYTES])
{
    memset(to, 0, SCSI_SENSE_BYTES);
    to[0] = u->atapi ? 0xf0 : 0x70; /* current, fixed format */
    to[2] = u->sense_key;
    to[7] = SCSI_SENSE_BYTES - 8;
    to[12] = u->asc;
    to[13] = u->ascq;
}

ScsiStep scsi_reply(ScsiTask *t, unsigned bytes, unsigned allocated)
{
    t->bytes = MIN(bytes, allocated);
    return t->bytes ? SCSI_REPLY : SCSI_GOOD;
}

/* ---- identity */

static void put_name(uint8_t *to, size_t width, const char *name)
{
    memset(to, ' ', width);
    memcpy(to, name, MIN(strlen(name), width));
}

static unsigned vpd_list(const ScsiUnit *u, uint8_t *to)
{
    static const uint8_t disk[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 }, cd[] = { 0x00, 0x80, 0x83 };
    memcpy(to, u->cd ? cd : disk, u->cd ? sizeof(cd) : sizeof(disk));
    return u->cd ? sizeof(cd) : sizeof(disk);
}

static unsigned vpd_serial(const ScsiUnit *u, uint8_t *to)
{
    memcpy(to, u->serial, strlen(u->serial));
    return strlen(u->serial);
}

/* One designator: T10 vendor, ASCII, of the logical unit. */
static unsigned vpd_identity(const ScsiUnit *u, uint8_t *to)
{
    g_autofree char *text = g_strdup_printf("ATOLL   %s", u->serial);
    memcpy(to, (uint8_t[]){ 2, 1, 0, strlen(text) }, 4);
    memcpy(to + 4, text, strlen(text));
    return 4 + strlen(text);
}

/* SBC-3, 6.6.4: one range in an UNMAP. */
static unsigned vpd_limits(const ScsiUnit *u, uint8_t *to)
{
    uint32_t block = scsi_block_bytes(u), most = (1u << 30) / block;
    put_be16(to + 2, MAX(u->disk->min_io / block, 1));
    put_be32(to + 4, (32u << 20) / block);
    put_be32(to + 8, u->disk->opt_io / block);
    put_be32(to + 16, most); /* UNMAP: blocks, ranges */
    put_be32(to + 20, 1);
    put_be64(to + 32, most); /* WRITE SAME */
    return 60;
}

static unsigned vpd_characteristics(const ScsiUnit *u, uint8_t *to)
{
    to[1] = 1; /* does not rotate */
    return 60;
}

static unsigned vpd_provisioning(const ScsiUnit *u, uint8_t *to)
{
    to[1] = 0xe0; /* UNMAP, WRITE SAME (16), (10) */
    to[2] = 2;    /* thin */
    return 4;
}

static const struct {
    uint8_t code;
    bool disk_only;
    unsigned (*put)(const ScsiUnit *u, uint8_t *to);
} vpd_pages[] = {
    { 0x00, false, vpd_list }, { 0x80, false, vpd_serial }, { 0x83, false, vpd_identity },
    { 0xb0, true, vpd_limits }, { 0xb1, true, vpd_characteristics }, { 0xb2, true, vpd_provisioning },
};

static ScsiStep vital_data(ScsiUnit *u, ScsiTask *t)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(vpd_pages) && !u->atapi; i++) {
        if (vpd_pages[i].code != t->cdb[2] || (u->cd && vpd_pages[i].disk_only))
            continue;
        memset(t->buf, 0, 256);
        t->buf[0] = u->cd ? 5 : 0;
        t->buf[1] = t->cdb[2];
        unsigned bytes = vpd_pages[i].put(u, t->buf + 4);
        put_be16(t->buf + 2, bytes);
        return scsi_reply(t, 4 + bytes, be16(t->cdb + 3));
    }
    return scsi_illegal(u, ASC_INVALID_FIELD);
}

static ScsiStep inquiry(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    if (t->cdb[1] & 1)
        return vital_data(u, t);
    if (t->cdb[2])
        return scsi_illegal(u, ASC_INVALID_FIELD);
    memset(t->buf, 0, 36);
    t->buf[0] = u->cd ? 5 : 0;
    t->buf[1] = u->cd || u->removable ? 0x80 : 0;
    t->buf[2] = u->atapi ? 0 : 5;     /* SPC-3 */
    t->buf[3] = u->atapi ? 0x21 : 2;  /* response format */
    t->buf[4] = 31;
    t->buf[7] = u->atapi ? 0 : 2;     /* command queuing */
    put_name(t->buf + 8, 8, "ATOLL");
    put_name(t->buf + 16, 16, u->model);
    put_name(t->buf + 32, 4, u->firmware);
    return scsi_reply(t, 36, u->atapi ? t->cdb[4] : be16(t->cdb + 3));
}

static ScsiStep request_sense(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    if (u->attention)
        scsi_sense(u, SENSE_ATTENTION, u->attention);
    u->attention = 0;
    scsi_put_sense(u, t->buf);
    return scsi_reply(t, SCSI_SENSE_BYTES, t->cdb[4]);
}

/* ---- mode pages */

/* Nothing but the cache is changeable, so a request for the changeable bits gets zeros. */
static unsigned put_page(const ScsiUnit *u, uint8_t *to, const uint8_t *page, unsigned control)
{
    unsigned bytes = page[1] + 2;
    memcpy(to, page, bytes);
    if (control == 1)
        memset(to + 2, 0, page[1]);
    if (page[0] == 0x08)
        to[2] = control == 1 || u->write_cache || control == 2 ? 4 : 0;
    else if (page[0] == 0x2a && control != 1)
        to[6] |= u->locked << 1;
    return bytes;
}

static uint8_t medium_type(const ScsiUnit *u) { return !u->cd ? 0 : !u->disk->blk ? 0x70 : u->tray_open ? 0x71 : 0x01; }

/* The header of MODE SENSE (10) and a block descriptor; returns their length. */
static unsigned put_mode_head(const ScsiUnit *u, uint8_t *to, bool descriptor)
{
    memset(to, 0, 16);
    to[2] = medium_type(u);
    to[3] = u->cd ? 0 : 0x10 | (u->disk->read_only ? 0x80 : 0); /* DPO and FUA, write protection */
    if (!descriptor)
        return 8;
    put_be16(to + 6, 8);
    put_be32(to + 8, MIN(scsi_blocks(u), UINT32_MAX));
    put_be32(to + 12, scsi_block_bytes(u)); /* its upper byte is reserved */
    return 16;
}

/* From the long header to the one of MODE SENSE (6). */
static unsigned shorten(uint8_t *buf, unsigned bytes)
{
    uint8_t head[4] = { bytes - 5, buf[2], buf[3], buf[7] };
    memmove(buf + 4, buf + 8, bytes - 8);
    memcpy(buf, head, 4);
    return bytes - 4;
}

static ScsiStep mode_sense(ScsiUnit *u, ScsiTask *t, unsigned is_long)
{
    unsigned control = t->cdb[2] >> 6, code = t->cdb[2] & 0x3f;
    const uint8_t *const *pages = u->cd ? scsi_cd_pages : scsi_disk_pages;
    if (control == 3)
        return scsi_illegal(u, ASC_SAVING_UNSUPPORTED);
    unsigned head = put_mode_head(u, t->buf, !u->cd && !(t->cdb[1] & 8)), bytes = head;
    for (; *pages; pages++)
        if (code == 0x3f || code == **pages)
            bytes += put_page(u, t->buf + bytes, *pages, control);
    if (bytes == head && code != 0x3f)
        return scsi_illegal(u, ASC_INVALID_FIELD);
    put_be16(t->buf, bytes - 2);
    return is_long ? scsi_reply(t, bytes, be16(t->cdb + 7)) : scsi_reply(t, shorten(t->buf, bytes), t->cdb[4]);
}

/* Only the write cache can be switched; other pages must say what they are. */
static ScsiStep mode_select(ScsiUnit *u, ScsiTask *t, unsigned is_long)
{
    uint8_t p[64] = { 0 };
    if (u->atapi) /* packet commands that bring data are not there */
        return scsi_illegal(u, ASC_INVALID_OPCODE);
    unsigned listed = is_long ? be16(t->cdb + 7) : t->cdb[4], len = MIN(listed, sizeof(p));
    len = iov_read(t->out, t->n_out, 0, p, len);
    unsigned head = is_long ? 8 : 4, at = head + (is_long ? be16(p + 6) : p[3]);
    if (!listed)
        return SCSI_GOOD;
    if (len < head || u->cd)
        return scsi_illegal(u, ASC_INVALID_PARAMETER);
    for (; at + 3 <= len; at += p[at + 1] + 2)
        if ((p[at] & 0x3f) == 0x08)
            u->write_cache = p[at + 2] & 4;
    return u->write_cache ? SCSI_GOOD : SCSI_FLUSH;
}

/* ---- removable media */

static bool eject(ScsiUnit *u, bool open)
{
    if (open && u->locked)
        return false;
    bool moved = u->tray_open != open;
    u->media_event |= moved;
    u->tray_open = open;
    if (moved && u->disk->dev)
        machine_tray_moved(u->disk->dev->machine, u->disk->dev);
    return true;
}

static ScsiStep start_stop(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    bool load_eject = t->cdb[4] & 2, start = t->cdb[4] & 1;
    if (u->cd && load_eject && !eject(u, !start))
        return scsi_illegal(u, ASC_REMOVAL_PREVENTED);
    return SCSI_GOOD;
}

static ScsiStep prevent_allow(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    u->locked = t->cdb[4] & 1;
    return SCSI_GOOD;
}

static ScsiStep nothing(ScsiUnit *u, ScsiTask *t, unsigned arg) { return SCSI_GOOD; }

/* ---- choosing */

static const ScsiCommand common_commands[] = {
    { 0x00, true, nothing, 0 }, /* TEST UNIT READY */
    { 0x03, false, request_sense, 0 },
    { 0x12, false, inquiry, 0 },
    { 0x15, false, mode_select, false },
    { 0x1a, false, mode_sense, false },
    { 0x1b, false, start_stop, 0 },
    { 0x1e, false, prevent_allow, 0 },
    { 0x55, false, mode_select, true },
    { 0x5a, false, mode_sense, true },
    { .run = NULL },
};

static const ScsiCommand *find(const ScsiCommand *table, uint8_t code)
{
    for (; table->run; table++)
        if (table->code == code)
            return table;
    return NULL;
}

/* Those that do not hear of a unit attention: SPC-3, 5.13; MMC-6, 4.1.6.1. */
static bool ignores_attention(uint8_t code) { return code == 0x12 || code == 0x03 || code == 0x46 || code == 0x4a || code == 0xa0; }

ScsiStep scsi_run(ScsiUnit *u, ScsiTask *t)
{
    const ScsiCommand *c = find(common_commands, t->cdb[0]);
    if (!c)
        c = find(u->cd ? scsi_cd_commands : scsi_disk_commands, t->cdb[0]);
    if (u->attention && !ignores_attention(t->cdb[0])) {
        uint16_t asc = u->attention;
        u->attention = 0;
        return scsi_fail(u, SENSE_ATTENTION, asc);
    }
    if (!c)
        return scsi_illegal(u, ASC_INVALID_OPCODE);
    if (c->needs_medium && !scsi_has_medium(u))
        return scsi_fail(u, SENSE_NOT_READY, ASC_NO_MEDIUM);
    ScsiStep step = c->run(u, t, c->arg);
    if (step != SCSI_FAILED)
        scsi_sense(u, SENSE_NONE, 0);
    return step;
}
