/* inbox.c - bytes for a front end that does not take them all at once. */
#include <string.h>

#include "console/backend.h"

void inbox_open(Inbox *in, Chardev *c)
{
    in->chardev = c;
    in->bytes = g_byte_array_new();
}

static void drop_wake(Inbox *in)
{
    g_mutex_lock(&in->chardev->lock);
    if (in->wake) {
        g_source_destroy(in->wake);
        g_clear_pointer(&in->wake, g_source_unref);
    }
    g_mutex_unlock(&in->chardev->lock);
}

void inbox_close(Inbox *in)
{
    if (!in->chardev)
        return;
    drop_wake(in);
    g_clear_pointer(&in->bytes, g_byte_array_unref);
}

/* Gives the front end what it takes; main thread. */
static void pump(Inbox *in)
{
    Chardev *c = in->chardev;
    for (;;) {
        uint8_t buf[256];
        size_t room = chardev_room(c);
        g_mutex_lock(&c->lock);
        size_t n = MIN(MIN(room, sizeof(buf)), in->bytes->len);
        memcpy(buf, in->bytes->data ? in->bytes->data : buf, n);
        g_byte_array_remove_range(in->bytes, 0, n);
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

void inbox_resume(Inbox *in)
{
    g_mutex_lock(&in->chardev->lock);
    if (in->bytes->len && !in->wake) {
        in->wake = g_idle_source_new();
        g_source_set_priority(in->wake, G_PRIORITY_DEFAULT);
        g_source_set_callback(in->wake, on_wake, in, NULL);
        g_source_attach(in->wake, NULL);
    }
    g_mutex_unlock(&in->chardev->lock);
}

void inbox_put(Inbox *in, const uint8_t *data, size_t n)
{
    g_mutex_lock(&in->chardev->lock);
    g_byte_array_append(in->bytes, data, n);
    g_mutex_unlock(&in->chardev->lock);
    pump(in);
}
