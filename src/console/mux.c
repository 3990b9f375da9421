/*
 * mux.c - several front ends on one line (mon:stdio), and the keys after Ctrl-a.
 *
 * The mux is itself the first front end's chardev; chardev_share() makes more.  One of them at a time has the keyboard;
 * all write.  Keys that the one with the keyboard does not take yet wait in its own queue, so that Ctrl-a works while a
 * guest does not read.
 */
#include <string.h>

#include "console/backend.h"

enum { CTRL_A = 0x01, QUEUE_BYTES = 4096 };

typedef struct MuxPort MuxPort;
typedef struct Mux {
    Chardev *inner;
    GPtrArray *ports; /* MuxPort; the first one owns the Mux */
    unsigned focus;
    uint8_t escape; /* Ctrl-a, or another key of -echr */
    bool escaped;   /* the last byte was that */
    void (*quit)(void *opaque);
    void *quit_opaque;
} Mux;

struct MuxPort {
    Chardev chardev;
    Mux *mux;
    GByteArray *queue; /* main thread only */
    GSource *wake;     /* with chardev.lock */
};

static void mux_print(Mux *m, const char *text) { chardev_write(m->inner, (const uint8_t *)text, strlen(text)); }

static void print_help(Mux *m)
{
    static const char *const keys[] = { "h   this help", "x   end the machine", "b   send a break", "c   go to the next console" };
    g_autofree char *name = m->escape < ' ' ? g_strdup_printf("Ctrl-%c", g_ascii_tolower(m->escape + '@')) : g_strdup_printf("%c", m->escape);
    g_autoptr(GString) text = g_string_new("\r\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        g_string_append_printf(text, "%s %s\r\n", name, keys[i]);
    g_string_append_printf(text, "%s %s   send %s\r\n", name, name, name);
    mux_print(m, text->str);
}

static void port_pump(MuxPort *p)
{
    for (;;) {
        size_t n = MIN(chardev_room(&p->chardev), p->queue->len);
        if (!n)
            return;
        g_autofree uint8_t *data = g_memdup2(p->queue->data, n);
        g_byte_array_remove_range(p->queue, 0, n);
        chardev_deliver(&p->chardev, data, n);
    }
}

static void drop_wake(MuxPort *p)
{
    g_mutex_lock(&p->chardev.lock);
    if (p->wake) {
        g_source_destroy(p->wake);
        g_clear_pointer(&p->wake, g_source_unref);
    }
    g_mutex_unlock(&p->chardev.lock);
}

static gboolean on_wake(void *opaque)
{
    MuxPort *p = opaque;
    drop_wake(p);
    port_pump(p);
    chardev_resume(p->mux->inner);
    return G_SOURCE_REMOVE;
}

static void port_resume(Chardev *c)
{
    MuxPort *p = (MuxPort *)c;
    g_mutex_lock(&c->lock);
    if (!p->wake) {
        p->wake = g_idle_source_new();
        g_source_set_priority(p->wake, G_PRIORITY_DEFAULT);
        g_source_set_callback(p->wake, on_wake, p, NULL);
        g_source_attach(p->wake, NULL);
    }
    g_mutex_unlock(&c->lock);
}

static MuxPort *focused(Mux *m) { return g_ptr_array_index(m->ports, m->focus); }

/* A byte after Ctrl-a.  True: it is an ordinary byte after all. */
static bool escape_key(Mux *m, uint8_t key)
{
    if (key == m->escape)
        return true;
    switch (key) {
    case 'x':
        if (m->quit)
            m->quit(m->quit_opaque);
        return false;
    case 'b':
        chardev_event(&focused(m)->chardev, CHARDEV_BREAK);
        return false;
    case 'c':
        m->focus = (m->focus + 1) % m->ports->len;
        return false;
    default: /* h, ?, and whoever pressed something else may want to know */
        print_help(m);
        return false;
    }
}

static size_t mux_can_receive(void *opaque)
{
    Mux *m = opaque;
    return QUEUE_BYTES - MIN(focused(m)->queue->len, QUEUE_BYTES);
}

static void mux_receive(void *opaque, const uint8_t *data, size_t n)
{
    Mux *m = opaque;
    for (size_t i = 0; i < n; i++) {
        if (m->escaped ? escape_key(m, data[i]) : data[i] != m->escape) {
            g_byte_array_append(focused(m)->queue, &data[i], 1);
            m->escaped = false;
        } else {
            m->escaped = !m->escaped;
        }
    }
    port_pump(focused(m));
}

static void mux_event(void *opaque, ChardevEvent event)
{
    Mux *m = opaque;
    for (unsigned i = 0; i < m->ports->len; i++)
        chardev_event(g_ptr_array_index(m->ports, i), event);
}

static const ChardevFrontend mux_frontend = { mux_can_receive, mux_receive, mux_event };

static void port_write(Chardev *c, const uint8_t *data, size_t n) { chardev_write(((MuxPort *)c)->mux->inner, data, n); }

static void port_close(Chardev *c)
{
    MuxPort *p = (MuxPort *)c;
    Mux *m = p->mux;
    bool owner = g_ptr_array_index(m->ports, 0) == p;
    drop_wake(p);
    if (owner) {
        chardev_attach(m->inner, NULL, NULL);
        chardev_close(m->inner);
        g_ptr_array_unref(m->ports);
        g_free(m);
    } else {
        g_ptr_array_remove(m->ports, p);
        m->focus = 0;
    }
    g_byte_array_unref(p->queue);
}

const ChardevBackend chardev_mux = {
    .name = "mux",
    .size = sizeof(MuxPort),
    .close = port_close,
    .write = port_write,
    .resume = port_resume,
};

static MuxPort *port_new(Mux *m, const char *id)
{
    MuxPort *p = (MuxPort *)chardev_new(&chardev_mux, id);
    p->mux = m;
    p->queue = g_byte_array_new();
    p->chardev.description = g_strdup_printf("mux:%s", m->inner->description);
    p->chardev.connected = m->inner->connected;
    g_ptr_array_add(m->ports, p);
    return p;
}

Chardev *chardev_mux_over(Chardev *inner)
{
    Mux *m = g_new0(Mux, 1);
    m->inner = inner;
    m->escape = CTRL_A;
    m->ports = g_ptr_array_new();
    MuxPort *first = port_new(m, inner->id);
    chardev_attach(inner, &mux_frontend, m);
    return &first->chardev;
}

bool chardev_is_mux(const Chardev *c) { return c->backend == &chardev_mux; }

Chardev *chardev_share(Chardev *mux, const char *id) { return &port_new(((MuxPort *)mux)->mux, id)->chardev; }

void chardev_on_quit(Chardev *mux, void (*quit)(void *opaque), void *opaque)
{
    Mux *m = ((MuxPort *)mux)->mux;
    m->quit = quit;
    m->quit_opaque = opaque;
}

void chardev_set_escape(Chardev *mux, uint8_t key) { ((MuxPort *)mux)->mux->escape = key; }
bool chardev_is_shared(const Chardev *mux) { return chardev_is_mux(mux) && ((const MuxPort *)mux)->mux->ports->len > 1; }
