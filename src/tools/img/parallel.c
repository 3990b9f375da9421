/* parallel.c - several threads over one range. */
#include "tools/img/parallel.h"

#include <unistd.h>

#include "base/error.h"

enum { MIN_THREADS = 4, MAX_THREADS = 16 };

typedef struct Run {
    const Parallel *p;
    GMutex lock;
    GError *err; /* the first */
    bool ended;
} Run;

unsigned parallel_processors(void) { return CLAMP(g_get_num_processors(), MIN_THREADS, MAX_THREADS); }

static bool take(Run *r, Piece *ret)
{
    g_mutex_lock(&r->lock);
    if (!r->ended && !r->p->next(r->p->owner, ret, &r->err))
        r->ended = true;
    bool ok = !r->ended;
    g_mutex_unlock(&r->lock);
    return ok;
}

static void stop(Run *r, GError *err)
{
    g_mutex_lock(&r->lock);
    r->ended = true;
    if (!r->err)
        r->err = g_steal_pointer(&err);
    g_mutex_unlock(&r->lock);
    g_clear_error(&err);
}

static void *work(void *arg)
{
    Run *r = arg;
    g_autofree char *memory = g_malloc(r->p->buffer_bytes + getpagesize());
    char *buffer = (char *)(((uintptr_t)memory + getpagesize() - 1) & -(uintptr_t)getpagesize());
    Piece piece = { 0 };
    while (take(r, &piece)) {
        GError *err = NULL;
        if (!r->p->work(r->p->owner, &piece, buffer, &err))
            stop(r, err);
        piece = (Piece){ 0 };
    }
    return NULL;
}

bool parallel_run(const Parallel *p, GError **err)
{
    Run r = { .p = p };
    unsigned n = CLAMP(p->threads ? p->threads : parallel_processors(), 1, MAX_THREADS);
    GThread *threads[MAX_THREADS];
    g_mutex_init(&r.lock);
    for (unsigned i = 1; i < n; i++)
        threads[i] = g_thread_new("copy", work, &r);
    work(&r);
    for (unsigned i = 1; i < n; i++)
        g_thread_join(threads[i]);
    g_mutex_clear(&r.lock);
    if (r.err)
        g_propagate_error(err, r.err);
    return !r.err;
}

/* Several runs of the same kind are one, as long as their data is where it must be found again by reading. */
bool scan_next(Scan *s, BlkExtent *ret, GError **err)
{
    if (s->at >= s->end)
        return false;
    if (!s->run.len && !(s->top_only ? blk_map : blk_map_chain)(s->n, s->at, s->end - s->at, &s->run, err))
        return false;
    *ret = s->run;
    bool data = s->run.allocated && !s->run.zero;
    if (data)
        ret->len = MIN(ret->len, s->data_bytes - s->at % s->data_bytes);
    s->at += ret->len;
    s->run.off += ret->len;
    s->run.host += ret->len;
    s->run.len -= ret->len;
    return true;
}
