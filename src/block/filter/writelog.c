/* writelog.c - see writelog.h. */
#include "block/filter/writelog.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/iov.h"

typedef struct Writelog {
    GMutex lock; /* held over a request: the order recorded is the order done */
    GArray *events;
    unsigned tag;
} Writelog;

static void event_clear(void *event) { g_clear_pointer(&((WritelogEvent *)event)->data, g_bytes_unref); }

static GArray *events_new(void)
{
    GArray *events = g_array_new(FALSE, FALSE, sizeof(WritelogEvent));
    g_array_set_clear_func(events, event_clear);
    return events;
}

static bool writelog_open(BlkNode *n, KeyVals *options, GError **err)
{
    Writelog *w = n->state;
    g_mutex_init(&w->lock);
    w->events = events_new();
    n->size = n->file->size;
    return true;
}

static void writelog_close(BlkNode *n)
{
    Writelog *w = n->state;
    g_array_unref(w->events);
    g_mutex_clear(&w->lock);
}

static void record(Writelog *w, const BlkReq *r)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    WritelogEvent e = { .off = r->off, .tag = w->tag, .ns = now.tv_sec * 1000000000ull + now.tv_nsec };
    if (r->op == BLK_WRITE) {
        uint8_t *data = g_malloc(r->len);
        iov_read(r->iov, r->niov, 0, data, r->len);
        e.data = g_bytes_new_take(data, r->len);
    }
    g_array_append_val(w->events, e);
}

/* Zeros and discards become writes, by the core, or nothing. */
static int writelog_perform(BlkNode *n, BlkReq *r)
{
    Writelog *w = n->state;
    if (r->op == BLK_ZERO || r->op == BLK_DISCARD)
        return -ENOTSUP;
    g_mutex_lock(&w->lock);
    int status = blk_perform(n->file, r->op, r->flags, r->off, r->len, r->iov, r->niov);
    if (!status && r->op != BLK_READ)
        record(w, r);
    g_mutex_unlock(&w->lock);
    return status;
}

void writelog_tag(BlkNode *n, unsigned tag)
{
    Writelog *w = n->state;
    g_mutex_lock(&w->lock);
    w->tag = tag;
    g_mutex_unlock(&w->lock);
}

GArray *writelog_take(BlkNode *n)
{
    Writelog *w = n->state;
    g_mutex_lock(&w->lock);
    GArray *events = w->events;
    w->events = events_new();
    g_mutex_unlock(&w->lock);
    return events;
}

/* ---- replaying */

void writelog_put(GByteArray *bytes, const WritelogEvent *e)
{
    size_t len, old = bytes->len;
    const void *data = g_bytes_get_data(e->data, &len);
    if (old < e->off + len) {
        g_byte_array_set_size(bytes, e->off + len);
        memset(bytes->data + old, 0, e->off + len - old);
    }
    memcpy(bytes->data + e->off, data, len);
}

static GByteArray *copy_of(const GByteArray *b) { return g_byte_array_append(g_byte_array_new(), b->data, b->len); }

static GByteArray *some_of(const GByteArray *safe, const GArray *events, unsigned from, unsigned to, GRand *rand)
{
    GByteArray *b = copy_of(safe);
    for (unsigned i = from; i < to; i++)
        if (g_rand_boolean(rand))
            writelog_put(b, &g_array_index(events, WritelogEvent, i));
    return b;
}

unsigned writelog_replay(const GArray *events, const GByteArray *start, unsigned reorderings, GRand *rand, WritelogCheck *check, void *arg)
{
    g_autoptr(GByteArray) now = copy_of(start), safe = copy_of(start);
    unsigned states = 0;
    for (unsigned i = 0, flush = 0; i < events->len; i++) {
        const WritelogEvent *e = &g_array_index(events, WritelogEvent, i);
        if (!e->data) {
            g_byte_array_unref(safe);
            safe = copy_of(now);
            flush = i + 1;
            continue;
        }
        writelog_put(now, e);
        for (unsigned r = 0; r <= reorderings; r++, states++) {
            g_autoptr(GByteArray) cut = r ? some_of(safe, events, flush, i + 1, rand) : copy_of(now);
            check(cut, e->tag, arg);
        }
    }
    return states;
}

const BlkDriver writelog_driver = {
    .name = "writelog",
    .summary = "records writes, for tests of power cuts",
    .kind = BLK_FILTER,
    .state_bytes = sizeof(Writelog),
    .open = writelog_open,
    .close = writelog_close,
    .perform = writelog_perform,
};
