/* memory.c - a line whose other end is the caller: for tests of devices. */
#include <string.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct MemoryChardev {
    Chardev chardev;
    GByteArray *in, *out; /* in: fed, not yet taken; with chardev.lock */
    GSource *wake;
} MemoryChardev;

static bool memory_open(Chardev *c, KeyVals *kv, GError **err)
{
    MemoryChardev *m = (MemoryChardev *)c;
    m->in = g_byte_array_new();
    m->out = g_byte_array_new();
    c->description = g_strdup("memory");
    c->connected = true;
    return true;
}

static void drop_wake(MemoryChardev *m)
{
    g_mutex_lock(&m->chardev.lock);
    if (m->wake) {
        g_source_destroy(m->wake);
        g_clear_pointer(&m->wake, g_source_unref);
    }
    g_mutex_unlock(&m->chardev.lock);
}

static void memory_close(Chardev *c)
{
    MemoryChardev *m = (MemoryChardev *)c;
    drop_wake(m);
    g_clear_pointer(&m->in, g_byte_array_unref);
    g_clear_pointer(&m->out, g_byte_array_unref);
}

static void memory_write(Chardev *c, const uint8_t *data, size_t n)
{
    MemoryChardev *m = (MemoryChardev *)c;
    g_mutex_lock(&c->lock);
    g_byte_array_append(m->out, data, n);
    g_mutex_unlock(&c->lock);
}

/* Gives the front end what it takes; main thread. */
static void pump(MemoryChardev *m)
{
    Chardev *c = &m->chardev;
    for (;;) {
        uint8_t buf[256];
        size_t room = chardev_room(c);
        g_mutex_lock(&c->lock);
        size_t n = MIN(MIN(room, sizeof(buf)), m->in->len);
        memcpy(buf, m->in->data ? m->in->data : buf, n);
        g_byte_array_remove_range(m->in, 0, n);
        g_mutex_unlock(&c->lock);
        if (!n)
            return;
        chardev_deliver(c, buf, n);
    }
}

static gboolean on_wake(void *opaque)
{
    drop_wake(opaque);
    pump(opaque);
    return G_SOURCE_REMOVE;
}

static void memory_resume(Chardev *c)
{
    MemoryChardev *m = (MemoryChardev *)c;
    g_mutex_lock(&c->lock);
    if (m->in->len && !m->wake) {
        m->wake = g_idle_source_new();
        g_source_set_priority(m->wake, G_PRIORITY_DEFAULT);
        g_source_set_callback(m->wake, on_wake, m, NULL);
        g_source_attach(m->wake, NULL);
    }
    g_mutex_unlock(&c->lock);
}

void chardev_memory_feed(Chardev *c, const uint8_t *data, size_t n)
{
    MemoryChardev *m = (MemoryChardev *)c;
    g_mutex_lock(&c->lock);
    g_byte_array_append(m->in, data, n);
    g_mutex_unlock(&c->lock);
    pump(m);
}

char *chardev_memory_take(Chardev *c, size_t *ret_n)
{
    MemoryChardev *m = (MemoryChardev *)c;
    g_mutex_lock(&c->lock);
    size_t n = m->out->len;
    g_byte_array_append(m->out, (const uint8_t *)"", 1);
    char *text = (char *)g_byte_array_free(m->out, FALSE);
    m->out = g_byte_array_new();
    g_mutex_unlock(&c->lock);
    if (ret_n)
        *ret_n = n;
    return text;
}

const ChardevBackend chardev_memory = {
    .name = "memory",
    .alias = "ringbuf",
    .doc = "keeps what is written; for tests",
    .size = sizeof(MemoryChardev),
    .open = memory_open,
    .close = memory_close,
    .write = memory_write,
    .resume = memory_resume,
};
