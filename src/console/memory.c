/* memory.c - a line whose other end is the caller, or the monitor (ringbuf-read): it keeps the last bytes that were written. */
#include <string.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct MemoryChardev {
    Chardev chardev;
    Inbox in;
    GByteArray *out; /* with chardev.lock */
    uint64_t size;   /* most that `out` holds */
} MemoryChardev;

static bool memory_open(Chardev *c, KeyVals *kv, GError **err)
{
    enum { LARGEST = 1 << 30 };
    MemoryChardev *m = (MemoryChardev *)c;
    m->size = 65536;
    const char *size = keyvals_take(kv, "size");
    inbox_open(&m->in, c);
    m->out = g_byte_array_new();
    if (!keyvals_end(kv, err))
        return false;
    if (size && (!parse_size(size, 1, &m->size) || !m->size || m->size > LARGEST || (m->size & (m->size - 1))))
        return error_set(err, ERR_INVALID, "chardev '%s': size of ringbuf chardev must be power of two, up to 1G, not '%s'", c->id, size);
    c->description = g_strdup("ringbuf");
    c->connected = true;
    return true;
}

static void memory_close(Chardev *c)
{
    MemoryChardev *m = (MemoryChardev *)c;
    inbox_close(&m->in);
    g_clear_pointer(&m->out, g_byte_array_unref);
}

static void memory_write(Chardev *c, const uint8_t *data, size_t n)
{
    MemoryChardev *m = (MemoryChardev *)c;
    g_mutex_lock(&c->lock);
    g_byte_array_append(m->out, data, n);
    if (m->out->len > m->size)
        g_byte_array_remove_range(m->out, 0, m->out->len - m->size);
    g_mutex_unlock(&c->lock);
}

static void memory_resume(Chardev *c) { inbox_resume(&((MemoryChardev *)c)->in); }

void chardev_memory_feed(Chardev *c, const uint8_t *data, size_t n) { inbox_put(&((MemoryChardev *)chardev_behind(c))->in, data, n); }

char *chardev_memory_read(Chardev *c, size_t most, size_t *ret_n)
{
    MemoryChardev *m = (MemoryChardev *)chardev_behind(c);
    g_mutex_lock(&m->chardev.lock);
    size_t n = MIN(most, m->out->len);
    char *text = g_malloc(n + 1);
    memcpy(text, m->out->data ? m->out->data : (uint8_t *)text, n);
    text[n] = 0;
    g_byte_array_remove_range(m->out, 0, n);
    g_mutex_unlock(&m->chardev.lock);
    if (ret_n)
        *ret_n = n;
    return text;
}

char *chardev_memory_take(Chardev *c, size_t *ret_n) { return chardev_memory_read(c, SIZE_MAX, ret_n); }

bool chardev_is_memory(Chardev *c) { return chardev_behind(c)->backend == &chardev_memory; }

const ChardevBackend chardev_memory = {
    .name = "ringbuf",
    .alias = "memory",
    .doc = "size=BYTES (default 64k, a power of two): keeps the last bytes that were written, for ringbuf-read of the monitor",
    .size = sizeof(MemoryChardev),
    .open = memory_open,
    .close = memory_close,
    .write = memory_write,
    .resume = memory_resume,
};
