/*
 * vhdx_log.c - replays the log of a VHDX image that was not closed in order.  [MS-VHDX] 2.3.
 *
 * The log is a ring of entries in sectors of 4 KiB.  The newest sequence of entries that is whole from its tail to its head
 * is done; older ones have reached their place.
 */
#include <errno.h>
#include <string.h>

#include "block/format/vhdx.h"

enum { LOG_SECTOR = 4096, DATA_BYTES = 4084, DESCRIPTOR_BYTES = 32, MOST_LOG = 64 << 20 };

typedef struct __attribute__((packed)) LogEntry {
    char signature[4];
    uint32_t crc, bytes, tail;
    uint64_t sequence;
    uint32_t descriptors, reserved;
    VhdxGuid guid;
    uint64_t flushed_size, last_size;
} LogEntry;

typedef struct __attribute__((packed)) LogDescriptor {
    char signature[4]; /* "zero" or "desc" */
    union {
        uint32_t reserved;
        uint8_t trailing[4];
    };
    union {
        uint64_t zero_bytes;
        uint8_t leading[8];
    };
    uint64_t off, sequence;
} LogDescriptor;
G_STATIC_ASSERT(sizeof(LogDescriptor) == DESCRIPTOR_BYTES);

typedef struct __attribute__((packed)) LogData {
    char signature[4];
    uint32_t sequence_high;
    uint8_t data[DATA_BYTES];
    uint32_t sequence_low;
} LogData;
G_STATIC_ASSERT(sizeof(LogData) == LOG_SECTOR);

/* What stands at a sector of the log. */
typedef struct LogPlace {
    bool looked_at;
    uint32_t bytes, tail; /* bytes 0: no intact entry */
    uint64_t sequence;
} LogPlace;

typedef struct Log {
    uint8_t *ring;
    uint32_t bytes;
    uint64_t budget; /* bytes that may still be checked: entries that overlap could keep us busy for ever */
    LogPlace *place; /* a row a sector */
    VhdxGuid guid;
} Log;

/* The entry at `at`, made contiguous; NULL: none that is intact.  Caller frees. */
static LogEntry *entry_at(const Log *l, uint32_t at)
{
    LogEntry head;
    memcpy(&head, l->ring + at, sizeof(head));
    uint32_t bytes = GUINT32_FROM_LE(head.bytes), descriptors = GUINT32_FROM_LE(head.descriptors);
    if (memcmp(head.signature, "loge", 4) || memcmp(&head.guid, &l->guid, sizeof(l->guid)) || !bytes || bytes % LOG_SECTOR || bytes > l->bytes)
        return NULL;
    if (GUINT32_FROM_LE(head.tail) % LOG_SECTOR || GUINT32_FROM_LE(head.tail) >= l->bytes || descriptors > bytes / DESCRIPTOR_BYTES)
        return NULL;
    uint8_t *copy = g_malloc(bytes);
    uint32_t first = MIN(bytes, l->bytes - at);
    memcpy(copy, l->ring + at, first);
    memcpy(copy + first, l->ring, bytes - first);
    if (vhdx_crc(copy, bytes) == GUINT32_FROM_LE(head.crc))
        return (LogEntry *)copy;
    g_free(copy);
    return NULL;
}

static const LogPlace *look(Log *l, uint32_t at)
{
    LogPlace *p = &l->place[at / LOG_SECTOR];
    if (p->looked_at || l->budget < LOG_SECTOR)
        return p;
    g_autofree LogEntry *e = entry_at(l, at);
    p->looked_at = true;
    if (!e)
        return p;
    p->bytes = GUINT32_FROM_LE(e->bytes);
    p->tail = GUINT32_FROM_LE(e->tail);
    p->sequence = GUINT64_FROM_LE(e->sequence);
    l->budget -= MIN(l->budget, p->bytes);
    return p;
}

/* Entries from `at` on whose numbers follow each other.  Returns how many bytes; *ret_last: the last one. */
static uint32_t sequence_from(Log *l, uint32_t at, const LogPlace **ret_last)
{
    uint32_t total = 0;
    for (const LogPlace *before = NULL, *p;; before = p) {
        p = total < l->bytes ? look(l, (at + total) % l->bytes) : NULL;
        if (!p || !p->bytes || (before && p->sequence != before->sequence + 1) || p->bytes > l->bytes - total)
            return total;
        *ret_last = p;
        total += p->bytes;
    }
}

/* Where the newest sequence begins whose last entry's tail is its own beginning. */
static bool find_active(Log *l, uint32_t *ret_at, uint32_t *ret_bytes)
{
    uint64_t newest = 0;
    bool found = false;
    for (uint32_t at = 0; at < l->bytes; at += LOG_SECTOR) {
        const LogPlace *last = NULL;
        uint32_t bytes = sequence_from(l, at, &last);
        if (!bytes || last->tail != at || (found && last->sequence <= newest))
            continue;
        found = true;
        newest = last->sequence;
        *ret_at = at;
        *ret_bytes = bytes;
    }
    return found;
}

static int replay_descriptor(BlkNode *file, const LogDescriptor *d, const LogData *data)
{
    uint64_t off = GUINT64_FROM_LE(d->off), zero_bytes = GUINT64_FROM_LE(d->zero_bytes);
    if (off % LOG_SECTOR || off > INT64_MAX - MOST_LOG)
        return -EIO;
    if (!memcmp(d->signature, "zero", 4))
        return off > file->size || zero_bytes > file->size - off ? -EIO : blk_perform(file, BLK_ZERO, BLK_MAY_UNMAP, off, zero_bytes, NULL, 0);
    if (memcmp(d->signature, "desc", 4) || memcmp(data->signature, "data", 4))
        return -EIO;
    uint8_t sector[LOG_SECTOR];
    memcpy(sector, d->leading, 8);
    memcpy(sector + 8, data->data, DATA_BYTES);
    memcpy(sector + 8 + DATA_BYTES, d->trailing, 4);
    return blk_pwrite(file, off, sector, sizeof(sector));
}

static int replay_entry(BlkNode *file, const LogEntry *e)
{
    uint32_t bytes = GUINT32_FROM_LE(e->bytes), count = GUINT32_FROM_LE(e->descriptors);
    const uint8_t *start = (const uint8_t *)e;
    const LogDescriptor *d = (const LogDescriptor *)(e + 1);
    uint64_t data = (sizeof(*e) + (uint64_t)count * DESCRIPTOR_BYTES + LOG_SECTOR - 1) & -(uint64_t)LOG_SECTOR;
    int status = GUINT64_FROM_LE(e->flushed_size) > file->size ? -EIO : 0;
    for (uint32_t i = 0; i < count && !status; i++) {
        bool has_data = !memcmp(d[i].signature, "desc", 4);
        if (data + (has_data ? LOG_SECTOR : 0) > bytes)
            return -EIO;
        status = replay_descriptor(file, &d[i], (const LogData *)(start + data));
        data += has_data ? LOG_SECTOR : 0;
    }
    uint64_t size = GUINT64_FROM_LE(e->last_size);
    if (!status && size > file->size && size < 1ull << 50 && !blk_resize(file, size, 0, NULL))
        status = -ENOSPC;
    return status;
}

static int replay_all(BlkNode *file, const Log *l, uint32_t at, uint32_t bytes)
{
    int status = 0;
    for (uint32_t done = 0; done < bytes && !status;) {
        g_autofree LogEntry *e = entry_at(l, (at + done) % l->bytes);
        status = e ? replay_entry(file, e) : -EIO;
        done += e ? GUINT32_FROM_LE(e->bytes) : 0;
    }
    return status;
}

int vhdx_replay_log(BlkNode *n, const char **wrong)
{
    Vhdx *v = n->state;
    uint64_t off = GUINT64_FROM_LE(v->h.log_off);
    Log l = { .bytes = GUINT32_FROM_LE(v->h.log_bytes), .guid = v->h.log_guid };
    if (GUINT16_FROM_LE(v->h.log_version) || l.bytes % (1 << 20) || l.bytes > MOST_LOG || off < 1 << 20 || off > n->file->size || l.bytes > n->file->size - off) {
        *wrong = "its log lies past the end of the file, or is of an unknown version";
        return 0;
    }
    if (n->read_only) {
        *wrong = "its log holds changes that must be done first: open it for writing once, for example by atoll-img check -r all";
        return 0;
    }
    g_autofree uint8_t *ring = l.ring = g_malloc(l.bytes + 1);
    g_autofree LogPlace *places = l.place = g_new0(LogPlace, l.bytes / LOG_SECTOR + 1);
    l.budget = 4ull * l.bytes;
    uint32_t at = 0, bytes = 0;
    int status = blk_pread(n->file, off, ring, l.bytes);
    if (!status && find_active(&l, &at, &bytes))
        status = replay_all(n->file, &l, at, bytes);
    if (!status)
        status = blk_perform(n->file, BLK_FLUSH, 0, 0, 0, NULL, 0);
    memset(&v->h.log_guid, 0, sizeof(v->h.log_guid));
    if (status == -EIO)
        *wrong = "its log is damaged";
    return status == -EIO ? 0 : status ? status : vhdx_write_header(n->file, v);
}
