/* scsi_cd.c - commands of a CD-ROM drive.  MMC-6 (T10). */
#include <string.h>

#include "base/checked.h"
#include "devices/storage/scsi.h"

enum { LEAD_OUT = 0xaa, FRAMES = 75, PREGAP = 150 };
enum { PROFILE_CD = 0x08, PROFILE_DVD = 0x10, CD_MAX_BLOCKS = 450000 }; /* above 99 minutes it must be a DVD */

/* ---- features and events */

static unsigned profile(const ScsiUnit *u)
{
    return !scsi_has_medium(u) ? 0 : scsi_blocks(u) > CD_MAX_BLOCKS ? PROFILE_DVD : PROFILE_CD;
}

static unsigned put_feature(uint8_t *to, uint16_t code, uint8_t flags, const uint8_t *body, unsigned bytes)
{
    put_be16(to, code);
    to[2] = flags; /* version, persistent, current */
    to[3] = bytes;
    memcpy(to + 4, body, bytes);
    return 4 + bytes;
}

static ScsiStep get_configuration(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    unsigned now = profile(u), bytes = 8;
    const uint8_t profiles[] = { 0, PROFILE_DVD, now == PROFILE_DVD, 0, 0, PROFILE_CD, now == PROFILE_CD, 0 };
    const uint8_t core[] = { 0, 0, 0, 2, 1, 0, 0, 0 };      /* ATAPI; DBE */
    const uint8_t removable[] = { 0x29, 0, 0, 0 };          /* tray, eject, lock */
    if ((t->cdb[1] & 3) == 3)
        return scsi_illegal(u, ASC_INVALID_FIELD);
    memset(t->buf, 0, 8);
    put_be16(t->buf + 6, now);
    unsigned first = be16(t->cdb + 2), one = (t->cdb[1] & 3) == 2;
    if (one ? first == 0 : first <= 0)
        bytes += put_feature(t->buf + bytes, 0, 0x03, profiles, sizeof(profiles));
    if (one ? first == 1 : first <= 1)
        bytes += put_feature(t->buf + bytes, 1, 0x0b, core, sizeof(core));
    if (one ? first == 3 : first <= 3)
        bytes += put_feature(t->buf + bytes, 3, 0x0b, removable, sizeof(removable));
    put_be32(t->buf, bytes - 4);
    return scsi_reply(t, bytes, be16(t->cdb + 7));
}

static ScsiStep get_event_status(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    bool media = t->cdb[4] & 1 << 4;
    if (!(t->cdb[1] & 1)) /* only polled */
        return scsi_illegal(u, ASC_INVALID_FIELD);
    memset(t->buf, 0, 8);
    put_be16(t->buf, media ? 6 : 2);
    t->buf[2] = media ? 4 : 0x80; /* class of this event, or none available */
    t->buf[3] = 1 << 4;           /* classes supported */
    if (media) {
        t->buf[4] = u->eject_request ? 1 : !u->media_event ? 0 : u->tray_open ? 3 : 2; /* eject request, removal, new media */
        t->buf[5] = u->tray_open | (scsi_has_medium(u) << 1);
        u->media_event &= u->eject_request;
        u->eject_request = false;
    }
    return scsi_reply(t, media ? 8 : 4, be16(t->cdb + 7));
}

/* ---- the disc */

static void put_address(uint8_t *to, uint32_t block, bool msf)
{
    if (!msf) {
        put_be32(to, block);
        return;
    }
    block += PREGAP;
    to[0] = 0;
    to[1] = MIN(block / FRAMES / 60, 255);
    to[2] = block / FRAMES % 60;
    to[3] = block % FRAMES;
}

static ScsiStep read_capacity(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    put_be32(t->buf, scsi_blocks(u) - 1);
    put_be32(t->buf + 4, SCSI_CD_BLOCK);
    return scsi_reply(t, 8, 8);
}

static uint8_t *put_track(uint8_t *to, uint8_t number, uint32_t block, bool msf)
{
    memset(to, 0, 8);
    to[1] = 0x14; /* ADR 1, data track */
    to[2] = number;
    put_address(to + 4, block, msf);
    return to + 8;
}

/* Format 0: the one track and the lead-out, from the given number on. */
static uint8_t *put_toc(const ScsiUnit *u, uint8_t *to, unsigned first, bool msf)
{
    if (first <= 1)
        to = put_track(to, 1, 0, msf);
    return put_track(to, LEAD_OUT, scsi_blocks(u), msf);
}

/* Format 2, a descriptor of 11 bytes each: first track, last track, lead-out, the track. */
static uint8_t *put_full_toc(const ScsiUnit *u, uint8_t *to, bool msf)
{
    static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
    for (unsigned i = 0; i < 4; i++, to += 11) {
        memset(to, 0, 11);
        to[0] = 1; /* session */
        to[1] = 0x14;
        to[3] = points[i];
        if (i < 2)
            to[8] = 1;
        else
            put_address(to + 7, i == 2 ? scsi_blocks(u) : 0, msf);
    }
    return to;
}

static ScsiStep read_toc(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    unsigned format = t->cdb[2] & 0xf ? t->cdb[2] & 0xf : t->cdb[9] >> 6; /* the latter: SFF-8020i */
    bool msf = t->cdb[1] & 2;
    uint8_t *end = t->buf + 4;
    t->buf[2] = t->buf[3] = 1; /* first and last track, or session */
    if (format == 0 && (t->cdb[6] <= 1 || t->cdb[6] == LEAD_OUT))
        end = put_toc(u, end, t->cdb[6], msf);
    else if (format == 1)
        end = put_track(end, 1, 0, msf);
    else if (format == 2)
        end = put_full_toc(u, end, msf);
    else
        return scsi_illegal(u, ASC_INVALID_FIELD);
    put_be16(t->buf, end - t->buf - 2);
    return scsi_reply(t, end - t->buf, be16(t->cdb + 7));
}

static ScsiStep read_disc_information(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    memset(t->buf, 0, 34);
    put_be16(t->buf, 32);
    t->buf[2] = 0x0e; /* complete session on a finished disc */
    t->buf[3] = t->buf[4] = t->buf[5] = t->buf[6] = 1;
    t->buf[7] = 0x20; /* unrestricted use */
    memset(t->buf + 16, 0xff, 8);
    return scsi_reply(t, 34, be16(t->cdb + 7));
}

static ScsiStep read_blocks(ScsiUnit *u, ScsiTask *t, uint32_t first, uint32_t n)
{
    if (!range_within(first, n, scsi_blocks(u)))
        return scsi_illegal(u, ASC_OUT_OF_RANGE);
    t->off = (uint64_t)first * SCSI_CD_BLOCK;
    t->len = (uint64_t)n * SCSI_CD_BLOCK;
    return n ? SCSI_READ : SCSI_GOOD;
}

static ScsiStep read_10(ScsiUnit *u, ScsiTask *t, unsigned arg) { return read_blocks(u, t, be32(t->cdb + 2), be16(t->cdb + 7)); }
static ScsiStep read_12(ScsiUnit *u, ScsiTask *t, unsigned arg) { return read_blocks(u, t, be32(t->cdb + 2), be32(t->cdb + 6)); }

/* READ CD: user data of a data sector is all that an image has. */
static ScsiStep read_cd(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    uint32_t n = t->cdb[6] << 16 | be16(t->cdb + 7);
    unsigned kind = t->cdb[1] >> 2 & 7, fields = t->cdb[9] & 0xf8;
    if ((kind != 0 && kind != 2 && kind != 4) || (fields != 0 && fields != 0x10) || t->cdb[10] & 7)
        return scsi_illegal(u, ASC_INVALID_FIELD);
    return read_blocks(u, t, be32(t->cdb + 2), fields ? n : 0);
}

static ScsiStep seek(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    return be32(t->cdb + 2) < scsi_blocks(u) ? SCSI_GOOD : scsi_illegal(u, ASC_OUT_OF_RANGE);
}

static ScsiStep mechanism_status(ScsiUnit *u, ScsiTask *t, unsigned arg)
{
    memset(t->buf, 0, 8);
    t->buf[1] = u->tray_open << 4;
    t->buf[5] = 1; /* one slot, no table */
    return scsi_reply(t, 8, be16(t->cdb + 8));
}

static ScsiStep nothing(ScsiUnit *u, ScsiTask *t, unsigned arg) { return SCSI_GOOD; }

const ScsiCommand scsi_cd_commands[] = {
    { 0x25, true, read_capacity, 0 },
    { 0x28, true, read_10, 0 },
    { 0x2b, true, seek, 0 },
    { 0x43, true, read_toc, 0 },
    { 0x46, false, get_configuration, 0 },
    { 0x4a, false, get_event_status, 0 },
    { 0x51, true, read_disc_information, 0 },
    { 0xa8, true, read_12, 0 },
    { 0xbb, false, nothing, 0 }, /* SET CD SPEED: any is fine */
    { 0xbd, false, mechanism_status, 0 },
    { 0xbe, true, read_cd, 0 },
    { .run = NULL },
};

static const uint8_t page_error_recovery[] = { 0x01, 6, 0, 5, 0, 0, 0, 0 };
static const uint8_t page_audio[] = { 0x0e, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0 };
static const uint8_t page_capabilities[] = { 0x2a, 20, 0x3b, 0, 0x70, 0x60, 0x29, 0, 0x10, 0x8a, 0, 2,
                                             0x02, 0, 0x10, 0x8a, 0, 0, 0, 0, 0, 0 };
const uint8_t *const scsi_cd_pages[] = { page_error_recovery, page_audio, page_capabilities, NULL };
