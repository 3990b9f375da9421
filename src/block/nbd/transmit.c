/*
 * transmit.c - the transmission phase of the NBD protocol: requests go to the image as they come, and are answered as they are
 * done, each from the thread that did it.
 */
#include <errno.h>
#include <string.h>

#include "base/checked.h"
#include "block/nbd/server.h"

enum { MOST_IN_FLIGHT = 64, MOST_EXTENTS = 4096 };
#define MOST_BYTES_IN_FLIGHT (128ull << 20)

typedef struct Call {
    BlkReq req; /* first */
    struct iovec iov;
    Client *client;
    uint64_t cookie, at; /* at: within the export */
    uint32_t len;
    bool reads;
    uint8_t *data;
} Call;

static uint32_t wire_error(int status)
{
    switch (-status) {
    case 0:
        return 0;
    case EPERM: case EROFS: case EACCES:
        return NBD_EPERM;
    case ENOMEM:
        return NBD_ENOMEM;
    case EINVAL:
        return NBD_EINVAL;
    case ENOSPC: case EDQUOT: case EFBIG:
        return NBD_ENOSPC;
    case ENOTSUP:
        return NBD_ENOTSUP;
    case ESHUTDOWN:
        return NBD_ESHUTDOWN;
    default:
        return NBD_EIO;
    }
}

/* ---- answers: c->lock is held while one is written */

static void send_all(Client *c, const void *head, size_t head_bytes, const void *data, size_t bytes)
{
    g_mutex_lock(&c->lock);
    if (!c->broken && (!link_write(c->link, head, head_bytes) || (bytes && !link_write(c->link, data, bytes))))
        c->broken = true; /* the reading thread will find out */
    g_mutex_unlock(&c->lock);
}

static void send_chunk(Client *c, uint64_t cookie, enum NbdChunk type, bool done, const void *first, size_t first_bytes, const void *data, size_t bytes)
{
    uint8_t head[sizeof(NbdChunkHead) + 16];
    NbdChunkHead h = { GUINT32_TO_BE(NBD_CHUNK_MAGIC), GUINT16_TO_BE(done ? NBD_CHUNK_DONE : 0), GUINT16_TO_BE((uint16_t)type), cookie,
                       GUINT32_TO_BE((uint32_t)(first_bytes + bytes)) };
    memcpy(head, &h, sizeof(h));
    memcpy(head + sizeof(h), first, first_bytes);
    send_all(c, head, sizeof(h) + first_bytes, data, bytes);
}

static void send_error(Client *c, uint64_t cookie, uint32_t error)
{
    struct __attribute__((packed)) { uint32_t error; uint16_t len; } what = { GUINT32_TO_BE(error), 0 };
    NbdSimpleReply simple = { GUINT32_TO_BE(NBD_SIMPLE_MAGIC), GUINT32_TO_BE(error), cookie };
    if (c->structured && error)
        send_chunk(c, cookie, NBD_CHUNK_ERROR, true, &what, sizeof(what), NULL, 0);
    else
        send_all(c, &simple, sizeof(simple), NULL, 0);
}

static void send_data(Client *c, const Call *call)
{
    uint64_t off = GUINT64_TO_BE(call->at);
    NbdSimpleReply simple = { GUINT32_TO_BE(NBD_SIMPLE_MAGIC), 0, call->cookie };
    if (c->structured)
        send_chunk(c, call->cookie, NBD_CHUNK_DATA, true, &off, 8, call->data, call->len);
    else
        send_all(c, &simple, sizeof(simple), call->data, call->len);
}

/* ---- requests under way */

static void enter(Client *c, uint64_t bytes)
{
    g_mutex_lock(&c->lock);
    while (c->in_flight >= MOST_IN_FLIGHT || (c->in_flight && c->bytes_in_flight + bytes > MOST_BYTES_IN_FLIGHT))
        g_cond_wait(&c->less, &c->lock);
    c->in_flight++;
    c->bytes_in_flight += bytes;
    g_mutex_unlock(&c->lock);
}

static void leave(Client *c, uint64_t bytes)
{
    g_mutex_lock(&c->lock);
    c->in_flight--;
    c->bytes_in_flight -= bytes;
    g_cond_broadcast(&c->less);
    g_mutex_unlock(&c->lock);
}

static void finished(BlkReq *r, int status)
{
    Call *call = (Call *)r;
    Client *c = call->client;
    uint64_t bytes = call->iov.iov_len;
    if (!status && call->reads)
        send_data(c, call);
    else
        send_error(c, call->cookie, wire_error(status));
    g_free(call->data);
    g_free(call);
    leave(c, bytes); /* c may be gone now */
}

static Call *new_call(Client *c, const NbdRequest *r, BlkOp op, unsigned flags, bool with_data)
{
    Call *call = g_new0(Call, 1);
    call->client = c;
    call->cookie = r->cookie;
    call->at = GUINT64_FROM_BE(r->off);
    call->len = GUINT32_FROM_BE(r->len);
    call->data = with_data ? g_try_malloc(call->len + 1) : NULL;
    call->iov = (struct iovec){ call->data, with_data ? call->len : 0 };
    call->req = (BlkReq){ .op = op, .flags = flags, .off = c->export->off + call->at, .len = call->len, .iov = &call->iov, .niov = with_data, .done = finished };
    return call;
}

static void start(Client *c, Call *call)
{
    enter(c, call->iov.iov_len);
    blk_submit(c->export->node, &call->req);
}

/* ---- block status */

typedef struct Extents {
    uint32_t pair[MOST_EXTENTS][2]; /* length, flags: as sent */
    unsigned n;
} Extents;

static void add_extent(Extents *x, uint64_t len, uint32_t flags)
{
    if (x->n && x->pair[x->n - 1][1] == flags)
        x->pair[x->n - 1][0] += len;
    else
        x->pair[x->n][0] = len, x->pair[x->n++][1] = flags;
}

static bool map_extents(const Client *c, const Context *k, uint64_t off, uint64_t len, unsigned most, Extents *ret)
{
    for (uint64_t done = 0; done < len && ret->n < most;) {
        BlkExtent e;
        if (!blk_map_chain(c->export->node, c->export->off + off + done, len - done, &e, NULL) || !e.len)
            return false;
        bool nothing = e.zero || !e.allocated;
        uint32_t depth = e.allocated ? e.depth + 1 : 0;
        add_extent(ret, e.len, k->kind == CONTEXT_DEPTH ? depth : nothing ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0);
        done += e.len;
    }
    return true;
}

static bool bitmap_extents(const Client *c, const Context *k, uint64_t off, uint64_t len, unsigned most, Extents *ret)
{
    uint64_t at = c->export->off + off, end = at + len;
    while (at < end && ret->n < most) {
        uint64_t dirty = at, run = 0;
        bool any = blk_bitmap_next_dirty(k->bitmap, &dirty, &run) && dirty < end;
        uint64_t clean = (any ? dirty : end) - at;
        if (clean)
            add_extent(ret, clean, 0);
        if (any && ret->n < most)
            add_extent(ret, MIN(run, end - dirty), NBD_STATE_DIRTY);
        at = any ? dirty + MIN(run, end - dirty) : end;
    }
    return true;
}

static bool send_status(Client *c, const NbdRequest *r, const Context *k, bool last)
{
    uint64_t off = GUINT64_FROM_BE(r->off), len = GUINT32_FROM_BE(r->len);
    unsigned most = GUINT16_FROM_BE(r->flags) & NBD_REQ_ONE ? 1 : MOST_EXTENTS;
    g_autofree Extents *x = g_new0(Extents, 1);
    if (!(k->kind == CONTEXT_BITMAP ? bitmap_extents : map_extents)(c, k, off, len, most, x))
        return false;
    for (unsigned i = 0; i < x->n; i++)
        x->pair[i][0] = GUINT32_TO_BE(x->pair[i][0]), x->pair[i][1] = GUINT32_TO_BE(x->pair[i][1]);
    send_chunk(c, r->cookie, NBD_CHUNK_STATUS, last, &(uint32_t){ GUINT32_TO_BE(k->id) }, 4, x->pair, x->n * 8);
    return true;
}

static void do_block_status(Client *c, const NbdRequest *r)
{
    bool ok = c->n_contexts && r->len;
    if (!ok)
        send_error(c, r->cookie, NBD_EINVAL);
    for (unsigned i = 0; i < c->n_contexts && ok; i++) {
        ok = send_status(c, r, &c->context[i], i + 1 == c->n_contexts);
        if (!ok)
            send_error(c, r->cookie, NBD_EIO);
    }
}

/* ---- commands */

/* 0, or the error to answer with. */
static uint32_t judge(const Client *c, const NbdRequest *r)
{
    unsigned command = GUINT16_FROM_BE(r->command), flags = GUINT16_FROM_BE(r->flags);
    uint64_t off = GUINT64_FROM_BE(r->off), len = GUINT32_FROM_BE(r->len);
    bool writes = command == NBD_WRITE || command == NBD_TRIM || command == NBD_WRITE_ZEROES;
    if (flags & ~(NBD_FUA | NBD_NO_HOLE | NBD_DF | NBD_REQ_ONE | NBD_FAST_ZERO))
        return NBD_EINVAL;
    if (writes && c->export->read_only)
        return NBD_EPERM;
    if (command != NBD_FLUSH && !range_within(off, len, c->export->len))
        return command == NBD_WRITE ? NBD_ENOSPC : NBD_EINVAL;
    return command == NBD_READ && len > NBD_MAX_REQUEST ? NBD_EINVAL : 0;
}

static bool do_write(Client *c, const NbdRequest *r, uint32_t error, unsigned flags)
{
    uint32_t len = GUINT32_FROM_BE(r->len);
    if (len > NBD_MAX_REQUEST)
        return false; /* not worth reading */
    Call *call = new_call(c, r, BLK_WRITE, flags, true);
    bool here = call->data ? link_read(c->link, call->data, len) : link_skip(c->link, len);
    if (here && !error && call->data) {
        start(c, call);
        return true;
    }
    if (here)
        send_error(c, r->cookie, error ? error : NBD_ENOMEM);
    g_free(call->data);
    g_free(call);
    return here;
}

/* False: the client is gone, or talks nonsense. */
static bool do_request(Client *c, const NbdRequest *r)
{
    unsigned wire = GUINT16_FROM_BE(r->flags), flags = wire & NBD_FUA || c->export->writethrough ? BLK_FUA : 0;
    uint32_t error = judge(c, r);
    enum NbdCommand command = GUINT16_FROM_BE(r->command);
    if (command == NBD_DISCONNECT)
        return false;
    if (command == NBD_WRITE)
        return do_write(c, r, error, flags);
    Call *call = NULL;
    if (!error)
        switch (command) {
        case NBD_READ:
            call = new_call(c, r, BLK_READ, 0, true);
            call->reads = true;
            break;
        case NBD_FLUSH:
            call = new_call(c, r, BLK_FLUSH, 0, false);
            break;
        case NBD_TRIM:
            call = new_call(c, r, BLK_DISCARD, flags, false);
            break;
        case NBD_WRITE_ZEROES:
            flags |= (wire & NBD_NO_HOLE ? 0 : BLK_MAY_UNMAP) | (wire & NBD_FAST_ZERO ? BLK_NO_FALLBACK : 0);
            call = new_call(c, r, BLK_ZERO, flags, false);
            break;
        case NBD_BLOCK_STATUS:
            do_block_status(c, r);
            return true;
        case NBD_CACHE: /* a hint */
            send_error(c, r->cookie, 0);
            return true;
        default:
            error = NBD_EINVAL;
        }
    if (!call || (call->iov.iov_len && !call->data)) {
        send_error(c, r->cookie, error ? error : NBD_ENOMEM);
        g_free(call);
        return true;
    }
    start(c, call);
    return true;
}

static bool is_broken(Client *c)
{
    g_mutex_lock(&c->lock);
    bool broken = c->broken;
    g_mutex_unlock(&c->lock);
    return broken;
}

void nbd_transmit(Client *c)
{
    NbdRequest r;
    while (link_read(c->link, &r, sizeof(r)) && GUINT32_FROM_BE(r.magic) == NBD_REQUEST_MAGIC && !is_broken(c))
        if (!do_request(c, &r))
            break;
    g_mutex_lock(&c->lock);
    while (c->in_flight)
        g_cond_wait(&c->less, &c->lock);
    g_mutex_unlock(&c->lock);
}
