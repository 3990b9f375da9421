/*
 * atapi.c - packet commands of a CD-ROM drive.  MMC-6 and SPC-3 (T10), ATA/ATAPI-6 clause 8.23 for PACKET.
 *
 * A command builds its reply in the buffer; what the host gets is cut to its allocation length.
 */
#include <string.h>

#include "base/checked.h"
#include "devices/storage/ide_core.h"

enum { KEY_NONE, KEY_NOT_READY = 2, KEY_MEDIUM_ERROR = 3, KEY_ILLEGAL = 5, KEY_UNIT_ATTENTION = 6 };
enum { /* additional sense code and qualifier */
    ASC_READ_ERROR = 0x1100, ASC_INVALID_OPCODE = 0x2000, ASC_OUT_OF_RANGE = 0x2100, ASC_INVALID_FIELD = 0x2400,
    ASC_SAVING_UNSUPPORTED = 0x3900, ASC_NO_MEDIUM = 0x3a00, ASC_REMOVAL_PREVENTED = 0x5302,
};
enum { LEAD_OUT = 0xaa, FRAMES = 75, PREGAP = 150 };
enum { PROFILE_CD = 0x08, PROFILE_DVD = 0x10, CD_MAX_BLOCKS = 450000 }; /* above 99 minutes it must be a DVD */

typedef struct PacketCommand {
    uint8_t code;
    bool needs_disc;
    void (*run)(IdeDrive *d, const uint8_t *p);
} PacketCommand;

static uint16_t get16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static bool has_disc(const IdeDrive *d) { return d->medium->blk && !d->tray_open; }

/* ---- ends */

static void set_sense(IdeDrive *d, uint8_t key, uint16_t asc)
{
    d->sense_key = key;
    d->asc = asc >> 8;
    d->ascq = asc;
}

static void check_condition(IdeDrive *d, uint8_t key, uint16_t asc)
{
    set_sense(d, key, asc);
    ide_fail(d, key << 4 | (key == KEY_ILLEGAL ? ER_ABRT : 0));
}

static void illegal(IdeDrive *d, uint16_t asc) { check_condition(d, KEY_ILLEGAL, asc); }

void atapi_medium_error(IdeDrive *d) { check_condition(d, KEY_MEDIUM_ERROR, ASC_READ_ERROR); }

void atapi_block_ready(IdeDrive *d)
{
    unsigned bytes = d->drq_end - d->pos;
    d->count[0] = IR_TO_HOST;
    d->lba_mid[0] = bytes;
    d->lba_high[0] = bytes >> 8;
}

void atapi_status(IdeDrive *d)
{
    d->count[0] = IR_COMMAND | IR_TO_HOST;
    d->byte_limit = 0;
}

static void good(IdeDrive *d)
{
    set_sense(d, KEY_NONE, 0);
    ide_done(d);
}

static void reply(IdeDrive *d, unsigned bytes, unsigned allocated)
{
    set_sense(d, KEY_NONE, 0);
    bytes = MIN(bytes, allocated);
    if (bytes)
        ide_reply(d, bytes);
    else
        ide_done(d);
}

/* ---- about the drive */

static void test_unit_ready(IdeDrive *d, const uint8_t *p) { good(d); }

static void request_sense(IdeDrive *d, const uint8_t *p)
{
    memset(d->buf, 0, 18);
    d->buf[0] = 0xf0; /* valid, current */
    d->buf[2] = d->sense_key;
    d->buf[7] = 10;
    d->buf[12] = d->asc;
    d->buf[13] = d->ascq;
    reply(d, 18, p[4]);
}

static void put_name(uint8_t *to, size_t width, const char *name)
{
    memset(to, ' ', width);
    memcpy(to, name, MIN(strlen(name), width));
}

static void inquiry(IdeDrive *d, const uint8_t *p)
{
    if (p[1] & 1 || p[2]) { /* vital product data */
        illegal(d, ASC_INVALID_FIELD);
        return;
    }
    memset(d->buf, 0, 36);
    d->buf[0] = 5;    /* CD-ROM */
    d->buf[1] = 0x80; /* removable */
    d->buf[3] = 0x21; /* ATAPI, response format */
    d->buf[4] = 31;
    put_name(d->buf + 8, 8, "ATOLL");
    put_name(d->buf + 16, 16, d->medium->model);
    put_name(d->buf + 32, 4, d->medium->firmware);
    reply(d, 36, p[4]);
}

static bool eject(IdeDrive *d, bool open)
{
    if (open && d->locked)
        return false;
    d->media_event |= d->tray_open != open;
    d->tray_open = open;
    return true;
}

static void start_stop(IdeDrive *d, const uint8_t *p)
{
    bool load_eject = p[4] & 2, start = p[4] & 1;
    if (load_eject && !eject(d, !start))
        illegal(d, ASC_REMOVAL_PREVENTED);
    else
        good(d);
}

static void prevent_allow(IdeDrive *d, const uint8_t *p)
{
    d->locked = p[4] & 1;
    good(d);
}

static void mechanism_status(IdeDrive *d, const uint8_t *p)
{
    memset(d->buf, 0, 8);
    d->buf[1] = d->tray_open << 4;
    d->buf[5] = 1; /* one slot, no table */
    reply(d, 8, get16(p + 8));
}

/* ---- mode pages: each is code, length and contents */

static const uint8_t page_error_recovery[] = { 0x01, 6, 0, 5, 0, 0, 0, 0 };
static const uint8_t page_audio[] = { 0x0e, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0 };
static const uint8_t page_capabilities[] = { 0x2a, 20, 0x3b, 0, 0x70, 0x60, 0x29, 0, 0x10, 0x8a, 0, 2,
                                             0x02, 0, 0x10, 0x8a, 0, 0, 0, 0, 0, 0 };
static const uint8_t *const mode_pages[] = { page_error_recovery, page_audio, page_capabilities };

/* Nothing is changeable, so a request for the changeable bits gets zeros. */
static unsigned put_page(const IdeDrive *d, uint8_t *to, const uint8_t *page, bool changeable)
{
    unsigned bytes = page[1] + 2;
    memcpy(to, page, bytes);
    if (changeable)
        memset(to + 2, 0, page[1]);
    else if (page == page_capabilities)
        to[6] |= d->locked << 1;
    return bytes;
}

static void mode_sense(IdeDrive *d, const uint8_t *p)
{
    unsigned control = p[2] >> 6, code = p[2] & 0x3f, bytes = 8;
    if (control == 3) {
        illegal(d, ASC_SAVING_UNSUPPORTED);
        return;
    }
    memset(d->buf, 0, 8);
    d->buf[2] = !d->medium->blk ? 0x70 : d->tray_open ? 0x71 : 0x01; /* medium type: none, door open, data CD */
    for (unsigned i = 0; i < G_N_ELEMENTS(mode_pages); i++)
        if (code == 0x3f || code == mode_pages[i][0])
            bytes += put_page(d, d->buf + bytes, mode_pages[i], control == 1);
    put16(d->buf, bytes - 2);
    if (bytes == 8)
        illegal(d, ASC_INVALID_FIELD);
    else
        reply(d, bytes, get16(p + 7));
}

/* ---- features and events */

static unsigned profile(const IdeDrive *d)
{
    return !has_disc(d) ? 0 : d->medium->blocks > CD_MAX_BLOCKS ? PROFILE_DVD : PROFILE_CD;
}

static unsigned put_feature(uint8_t *to, uint16_t code, uint8_t flags, const uint8_t *body, unsigned bytes)
{
    put16(to, code);
    to[2] = flags; /* version, persistent, current */
    to[3] = bytes;
    memcpy(to + 4, body, bytes);
    return 4 + bytes;
}

static void get_configuration(IdeDrive *d, const uint8_t *p)
{
    unsigned now = profile(d), bytes = 8;
    const uint8_t profiles[] = { 0, PROFILE_DVD, now == PROFILE_DVD, 0, 0, PROFILE_CD, now == PROFILE_CD, 0 };
    const uint8_t core[] = { 0, 0, 0, 2, 1, 0, 0, 0 };      /* ATAPI; DBE */
    const uint8_t removable[] = { 0x29, 0, 0, 0 };          /* tray, eject, lock */
    if ((p[1] & 3) == 3) {
        illegal(d, ASC_INVALID_FIELD);
        return;
    }
    memset(d->buf, 0, 8);
    put16(d->buf + 6, now);
    unsigned first = get16(p + 2), one = (p[1] & 3) == 2;
    if (one ? first == 0 : first <= 0)
        bytes += put_feature(d->buf + bytes, 0, 0x03, profiles, sizeof(profiles));
    if (one ? first == 1 : first <= 1)
        bytes += put_feature(d->buf + bytes, 1, 0x0b, core, sizeof(core));
    if (one ? first == 3 : first <= 3)
        bytes += put_feature(d->buf + bytes, 3, 0x0b, removable, sizeof(removable));
    put32(d->buf, bytes - 4);
    reply(d, bytes, get16(p + 7));
}

static void get_event_status(IdeDrive *d, const uint8_t *p)
{
    bool media = p[4] & 1 << 4;
    if (!(p[1] & 1)) { /* only polled */
        illegal(d, ASC_INVALID_FIELD);
        return;
    }
    memset(d->buf, 0, 8);
    put16(d->buf, media ? 6 : 2);
    d->buf[2] = media ? 4 : 0x80; /* class of this event, or none available */
    d->buf[3] = 1 << 4;           /* classes supported */
    if (media) {
        d->buf[4] = !d->media_event ? 0 : d->tray_open ? 3 : 2; /* removal, new media */
        d->buf[5] = d->tray_open | (has_disc(d) << 1);
        d->media_event = false;
    }
    reply(d, media ? 8 : 4, get16(p + 7));
}

/* ---- the disc */

static void put_address(uint8_t *to, uint32_t block, bool msf)
{
    if (!msf) {
        put32(to, block);
        return;
    }
    block += PREGAP;
    to[0] = 0;
    to[1] = MIN(block / FRAMES / 60, 255);
    to[2] = block / FRAMES % 60;
    to[3] = block % FRAMES;
}

static void read_capacity(IdeDrive *d, const uint8_t *p)
{
    put32(d->buf, d->medium->blocks - 1);
    put32(d->buf + 4, CD_BLOCK);
    reply(d, 8, 8);
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
static uint8_t *put_toc(const IdeDrive *d, uint8_t *to, unsigned first, bool msf)
{
    if (first <= 1)
        to = put_track(to, 1, 0, msf);
    return put_track(to, LEAD_OUT, d->medium->blocks, msf);
}

/* Format 2, a descriptor of 11 bytes each: first track, last track, lead-out, the track. */
static uint8_t *put_full_toc(const IdeDrive *d, uint8_t *to, bool msf)
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
            put_address(to + 7, i == 2 ? d->medium->blocks : 0, msf);
    }
    return to;
}

static void read_toc(IdeDrive *d, const uint8_t *p)
{
    unsigned format = p[2] & 0xf ? p[2] & 0xf : p[9] >> 6; /* the latter: SFF-8020i */
    bool msf = p[1] & 2;
    uint8_t *end = d->buf + 4;
    d->buf[2] = d->buf[3] = 1; /* first and last track, or session */
    if (format == 0 && (p[6] <= 1 || p[6] == LEAD_OUT))
        end = put_toc(d, end, p[6], msf);
    else if (format == 1)
        end = put_track(end, 1, 0, msf);
    else if (format == 2)
        end = put_full_toc(d, end, msf);
    else {
        illegal(d, ASC_INVALID_FIELD);
        return;
    }
    put16(d->buf, end - d->buf - 2);
    reply(d, end - d->buf, get16(p + 7));
}

static void read_disc_information(IdeDrive *d, const uint8_t *p)
{
    memset(d->buf, 0, 34);
    put16(d->buf, 32);
    d->buf[2] = 0x0e; /* complete session on a finished disc */
    d->buf[3] = d->buf[4] = d->buf[5] = d->buf[6] = 1;
    d->buf[7] = 0x20; /* unrestricted use */
    memset(d->buf + 16, 0xff, 8);
    reply(d, 34, get16(p + 7));
}

static void read_blocks(IdeDrive *d, uint32_t first, uint32_t n)
{
    if (!range_within(first, n, d->medium->blocks)) {
        illegal(d, ASC_OUT_OF_RANGE);
        return;
    }
    set_sense(d, KEY_NONE, 0);
    d->lba = first;
    d->left = n;
    if (n)
        ide_read(d, TASK_READ);
    else
        ide_done(d);
}

static void read_10(IdeDrive *d, const uint8_t *p) { read_blocks(d, get32(p + 2), get16(p + 7)); }
static void read_12(IdeDrive *d, const uint8_t *p) { read_blocks(d, get32(p + 2), get32(p + 6)); }

/* READ CD: user data of a data sector is all that an image has. */
static void read_cd(IdeDrive *d, const uint8_t *p)
{
    uint32_t n = p[6] << 16 | get16(p + 7);
    unsigned kind = p[1] >> 2 & 7, fields = p[9] & 0xf8;
    if ((kind != 0 && kind != 2 && kind != 4) || (fields != 0 && fields != 0x10) || p[10] & 7)
        illegal(d, ASC_INVALID_FIELD);
    else
        read_blocks(d, get32(p + 2), fields ? n : 0);
}

static void seek(IdeDrive *d, const uint8_t *p)
{
    if (get32(p + 2) < d->medium->blocks)
        good(d);
    else
        illegal(d, ASC_OUT_OF_RANGE);
}

static const PacketCommand packet_commands[] = {
    { 0x00, true, test_unit_ready },
    { 0x03, false, request_sense },
    { 0x12, false, inquiry },
    { 0x1b, false, start_stop },
    { 0x1e, false, prevent_allow },
    { 0x25, true, read_capacity },
    { 0x28, true, read_10 },
    { 0x2b, true, seek },
    { 0x43, true, read_toc },
    { 0x46, false, get_configuration },
    { 0x4a, false, get_event_status },
    { 0x51, true, read_disc_information },
    { 0x5a, false, mode_sense },
    { 0xa8, true, read_12 },
    { 0xbb, false, test_unit_ready }, /* SET CD SPEED: any is fine */
    { 0xbd, false, mechanism_status },
    { 0xbe, true, read_cd },
};

static const PacketCommand *find(uint8_t code)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(packet_commands); i++)
        if (packet_commands[i].code == code)
            return &packet_commands[i];
    return NULL;
}

void atapi_packet(IdeDrive *d)
{
    uint8_t p[PACKET_BYTES];
    memcpy(p, d->buf, sizeof(p));
    const PacketCommand *c = find(p[0]);
    if (!c) {
        unimplemented(d->channel->dev, "%s: packet command %02x", d->channel->dev->path, p[0]);
        illegal(d, ASC_INVALID_OPCODE);
    } else if (c->needs_disc && !has_disc(d)) {
        check_condition(d, KEY_NOT_READY, ASC_NO_MEDIUM);
    } else {
        c->run(d, p);
    }
}
