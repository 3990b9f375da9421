/* stream.c - see stream.h. */
#include "vmm/migration/stream.h"

#include <errno.h>
#include <isa-l/crc.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_MS = 100, VERSION = 1, THROTTLE_US = 10000 };

typedef struct Head {
    char magic[8];
    uint32_t version, reserved;
} Head;

typedef struct SectionHead {
    uint32_t kind, checksum; /* of the payload */
    uint64_t bytes;
} SectionHead;

static const char magic[8] = "AtollVM\n";
static const struct { const char *name; uint64_t most; } kinds[STREAM_KINDS] = {
    [STREAM_MACHINE] = { "description of the machine", 1 << 16 }, [STREAM_BLOCK] = { "memory block", 1 << 12 },
    [STREAM_PAGES] = { "pages of memory", 2 << 20 },              [STREAM_STATE] = { "state of processors and devices", 256 << 20 },
    [STREAM_END] = { "end", 0 },
};

void stream_init(Stream *s, int fd, const _Atomic bool *cancelled)
{
    *s = (Stream){ .fd = fd, .cancelled = cancelled, .began_us = g_get_monotonic_time(), .section = g_byte_array_new() };
}

void stream_clear(Stream *s) { g_clear_pointer(&s->section, g_byte_array_unref); }

static bool wait_for(Stream *s, short events, GError **err)
{
    struct pollfd watch = { .fd = s->fd, .events = events };
    int ready = 0;
    while (ready == 0 || (ready < 0 && errno == EINTR)) {
        if (s->cancelled && atomic_load(s->cancelled))
            return error_set(err, ERR_INVALID, "it was cancelled");
        ready = poll(&watch, 1, WAIT_MS);
    }
    return ready > 0 || error_set_errno(err, errno, "cannot wait for the other side");
}

/* Not faster than the limit, seen from the beginning. */
static bool keep_limit(Stream *s, GError **err)
{
    while (s->limit && s->bytes / s->limit >= (uint64_t)(g_get_monotonic_time() - s->began_us) / G_USEC_PER_SEC + 1) {
        if (s->cancelled && atomic_load(s->cancelled))
            return error_set(err, ERR_INVALID, "it was cancelled");
        g_usleep(THROTTLE_US);
    }
    return true;
}

static bool write_all(Stream *s, const void *data, size_t n, GError **err)
{
    for (size_t done = 0; done < n;) {
        if (!keep_limit(s, err) || !wait_for(s, POLLOUT, err))
            return false;
        ssize_t got = write(s->fd, (const char *)data + done, n - done);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return error_set_errno(err, errno, "cannot write it");
        done += MAX(got, 0);
        s->bytes += MAX(got, 0);
    }
    return true;
}

static bool read_all(Stream *s, void *data, size_t n, GError **err)
{
    for (size_t done = 0; done < n;) {
        if (!wait_for(s, POLLIN, err))
            return false;
        ssize_t got = read(s->fd, (char *)data + done, n - done);
        if (got == 0)
            return error_set(err, ERR_INVALID, "it ends too early, after %" G_GUINT64_FORMAT " bytes: it was cut off, or never completed", s->bytes + done);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return error_set_errno(err, errno, "cannot read it");
        done += MAX(got, 0);
    }
    s->bytes += n;
    return true;
}

/* crc32_iscsi() counts in int and asks for bytes that it may write, which it does not. */
static uint32_t checksum(const void *data, size_t n, uint32_t crc) { return n ? crc32_iscsi((unsigned char *)data, (int)n, crc) : crc; }

bool stream_write_head(Stream *s, GError **err)
{
    Head h = { .version = VERSION };
    memcpy(h.magic, magic, sizeof(magic));
    return write_all(s, &h, sizeof(h), err);
}

bool stream_put(Stream *s, StreamKind kind, const void *first, size_t n_first, const void *second, size_t n_second, GError **err)
{
    if (n_first + n_second > kinds[kind].most)
        return error_set(err, ERR_UNSUPPORTED, "its %s has %zu bytes, but may have %" G_GUINT64_FORMAT, kinds[kind].name, n_first + n_second, kinds[kind].most);
    SectionHead h = { kind, checksum(second, n_second, checksum(first, n_first, ~0u)), n_first + n_second };
    return write_all(s, &h, sizeof(h), err) && write_all(s, first, n_first, err) && write_all(s, second, n_second, err);
}

bool stream_read_head(Stream *s, GError **err)
{
    Head h;
    if (!read_all(s, &h, sizeof(h), err))
        return false;
    if (memcmp(h.magic, magic, sizeof(magic)) != 0)
        return error_set(err, ERR_INVALID, "it is no saved machine of atoll-vm");
    return h.version == VERSION || error_set(err, ERR_UNSUPPORTED, "it has version %u, and this program reads version %u: a newer atoll-vm has written it", h.version, VERSION);
}

static bool read_payload(Stream *s, uint64_t bytes, GError **err)
{
    const uint64_t step = 1 << 20; /* what a damaged length asks for is not taken before it has come */
    g_byte_array_set_size(s->section, 0);
    for (uint64_t done = 0; done < bytes; done = s->section->len) {
        g_byte_array_set_size(s->section, done + MIN(step, bytes - done));
        if (!read_all(s, s->section->data + done, s->section->len - done, err))
            return false;
    }
    return true;
}

bool stream_get(Stream *s, StreamKind *ret, GError **err)
{
    SectionHead h;
    if (!read_all(s, &h, sizeof(h), err))
        return false;
    if (h.kind >= STREAM_KINDS || !kinds[h.kind].name)
        return error_set(err, ERR_INVALID, "it is damaged: there is no section of kind %u", h.kind);
    if (h.bytes > kinds[h.kind].most)
        return error_set(err, ERR_INVALID, "it is damaged: its %s is said to have %" G_GUINT64_FORMAT " bytes", kinds[h.kind].name, h.bytes);
    if (!read_payload(s, h.bytes, err))
        return false;
    *ret = h.kind;
    return checksum(s->section->data, s->section->len, ~0u) == h.checksum || error_set(err, ERR_INVALID, "it is damaged: the checksum of its %s is wrong", kinds[h.kind].name);
}
