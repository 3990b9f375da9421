/*
 * write.c - the guest's writes.
 *
 * Data that have their place are overwritten there, beside all else.  Other clusters are claimed, given a place, written
 * with what was around the new data, and named in their L2 table last of all.
 */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "block/format/qcow2/qcow2.h"

enum { MAX_SPAN = 8 << 20 };

/* Clusters that get a place at once. */
typedef struct Span {
    uint64_t start, clusters, host; /* start: of the first, in the guest's disk */
    uint64_t from, to;              /* what will be written: the guest's data and what is around them */
    bool reuse;                     /* one that has its place, but not all of its data */
    GArray *old;                    /* of Qcow2Entry */
} Span;

static int write_in_place(Qcow2 *q, uint64_t off, const Qcow2Run *run, struct iovec *iov, unsigned niov)
{
    if (q->data == q->file && qcow2_is_metadata(q, run->host & -q->cluster_bytes))
        return -EUCLEAN; /* the image says that the guest's data are its own tables */
    return qcow2_write_data(q, off, run->host, run->len, iov, niov);
}

/* ---- finding a place */

/* How many clusters from `start` on have no place of their own. */
static int count_homeless(Qcow2 *q, Span *s, uint64_t max)
{
    Qcow2Run run;
    for (uint64_t i = 0; i < max; i++) {
        int status = qcow2_lookup(q, s->start + (i << q->cluster_bits), 1, &run);
        if (status)
            return status;
        s->reuse = !i && run.own;
        if (i && run.own)
            return 0;
        g_array_append_val(s->old, run.entry);
        s->clusters = i + 1;
        if (s->reuse)
            return 0;
    }
    return 0;
}

/* In an external data file each cluster has the place that it has in the disk. */
static int find_place(Qcow2 *q, Span *s)
{
    uint64_t got;
    if (s->reuse)
        s->host = g_array_index(s->old, Qcow2Entry, 0).word & QCOW2_OFFSET;
    else if (q->data != q->file)
        s->host = s->start;
    else {
        int status = qcow2_alloc_run(q, s->clusters, &s->host, &got);
        if (status)
            return status;
        s->clusters = got;
        g_array_set_size(s->old, got);
    }
    bool bad = s->reuse && q->data == q->file && qcow2_is_metadata(q, s->host);
    return bad ? qcow2_mark_corrupt(q) : 0;
}

static bool holds_data(const Qcow2Entry *e) { return e->word & QCOW2_COMPRESSED || e->bits & UINT32_MAX; }

/* The guest's [off, end), widened to subclusters, or to the cluster whose other data must move with it. */
static void widen(const Qcow2 *q, Span *s, uint64_t off, uint64_t end)
{
    const Qcow2Entry *first = &g_array_index(s->old, Qcow2Entry, 0), *last = &g_array_index(s->old, Qcow2Entry, s->clusters - 1);
    uint64_t stop = s->start + (s->clusters << q->cluster_bits);
    bool all_first = !s->reuse && holds_data(first), all_last = !s->reuse && holds_data(last);
    s->from = all_first ? s->start : MAX(s->start, off & -q->sub_bytes);
    s->to = all_last ? stop : MIN(stop, (end + q->sub_bytes - 1) & -q->sub_bytes);
}

/* ---- the data */

static int read_around(BlkNode *n, uint64_t from, uint64_t to, uint8_t *buf)
{
    uint64_t disk = from < n->size && to > n->size ? n->size : to; /* its last cluster may be longer than it */
    memset(buf, 0, to - from);
    return disk > from ? qcow2_read(n, from, disk - from, &(struct iovec){ buf, disk - from }, 1) : 0;
}

/* A file reads as zeros behind its end, so zeros need not be written there. */
static bool fresh(const Qcow2 *q, const Span *s)
{
    uint64_t size = __atomic_load_n(&q->file->size, __ATOMIC_RELAXED); /* another request may make the file longer, elsewhere */
    return !q->h.crypt_method && !s->reuse && q->data == q->file && s->host >= size;
}

static int write_data(BlkNode *n, const Span *s, uint64_t off, uint64_t end, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    bool head = off > s->from, tail = s->to > end;
    if (head && fresh(q, s) && qcow2_reads_zero(n, s->from, off - s->from))
        head = false;
    if (tail && fresh(q, s) && qcow2_reads_zero(n, end, s->to - end))
        tail = false;
    uint64_t from = head ? s->from : off, to = tail ? s->to : end;
    g_autofree uint8_t *before = g_malloc0(off - from + 1), *after = g_malloc0(to - end + 1);
    int status = head ? read_around(n, from, off, before) : 0;
    if (!status && tail)
        status = read_around(n, end, to, after);
    if (status)
        return status;
    g_autofree struct iovec *all = g_new(struct iovec, niov + 2);
    unsigned pieces = 0;
    if (head)
        all[pieces++] = (struct iovec){ before, off - from };
    memcpy(all + pieces, iov, niov * sizeof(*iov));
    pieces += niov;
    if (tail)
        all[pieces++] = (struct iovec){ after, to - end };
    return qcow2_write_data(q, from, s->host + (from - s->start), to - from, all, pieces);
}

/* ---- naming it */

static Qcow2Entry new_entry(const Qcow2 *q, const Span *s, uint64_t i)
{
    uint64_t at = s->start + (i << q->cluster_bits), end = at + q->cluster_bytes;
    Qcow2Entry e = { (s->host + (i << q->cluster_bits)) | QCOW2_COPIED };
    if (!q->extended)
        return e;
    unsigned first = s->from > at ? (s->from - at) / q->sub_bytes : 0, last = (MIN(s->to, end) - at) / q->sub_bytes;
    uint64_t mask = ((1ull << last) - 1) & ~((1ull << first) - 1);
    e.bits = (g_array_index(s->old, Qcow2Entry, i).bits | mask) & ~(mask << 32);
    return e;
}

static int name_clusters(Qcow2 *q, const Span *s)
{
    for (uint64_t i = 0; i < s->clusters; i++) {
        int status = qcow2_set_entry(q, s->start + (i << q->cluster_bits), new_entry(q, s, i));
        if (status && !s->reuse && q->data == q->file)
            qcow2_unalloc(q, s->host + (i << q->cluster_bits), s->clusters - i);
        if (status)
            return status;
        if (!s->reuse)
            qcow2_free_entry(q, g_array_index(s->old, Qcow2Entry, i).word);
    }
    return 0;
}

/* ---- the whole of it */

static int place_locked(Qcow2 *q, Span *s, uint64_t off, uint64_t end)
{
    uint64_t max = div_up(end, q->cluster_bytes) - (s->start >> q->cluster_bits);
    int status = q->h.incompatible & QCOW2_CORRUPT ? -EIO : count_homeless(q, s, max);
    if (!status)
        status = find_place(q, s);
    if (!status)
        widen(q, s, off, end);
    return status;
}

static int write_claimed(BlkNode *n, Span *s, uint64_t off, uint64_t *len, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    g_mutex_lock(&q->lock);
    int status = place_locked(q, s, off, off + *len);
    g_mutex_unlock(&q->lock);
    if (status)
        return status;
    *len = MIN(*len, s->start + (s->clusters << q->cluster_bits) - off);
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    size_t bytes;
    unsigned pieces = iov_slice(iov, niov, 0, *len, part, niov, &bytes);
    status = bytes == *len ? write_data(n, s, off, off + *len, part, pieces) : -EINVAL;
    g_mutex_lock(&q->lock);
    if (!status)
        status = name_clusters(q, s);
    else if (!s->reuse && q->data == q->file)
        qcow2_unalloc(q, s->host, s->clusters);
    g_mutex_unlock(&q->lock);
    return status;
}

static int write_allocating(BlkNode *n, uint64_t off, uint64_t *len, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    Span s = { .start = off & -q->cluster_bytes };
    BlkRange claim;
    Qcow2Run run;
    *len = MIN(*len, s.start + MAX(MAX_SPAN, q->cluster_bytes) - off);
    range_lock(q->ranges, &claim, s.start, div_up(off + *len - s.start, q->cluster_bytes) << q->cluster_bits, true);
    int status = qcow2_find(q, off, *len, &run);
    if (!status)
        qcow2_unpin(q, run.pin);
    if (!status && run.own)
        *len = MIN(*len, run.len); /* what follows in that cluster may be data, which others overwrite in place */
    s.old = g_array_new(FALSE, FALSE, sizeof(Qcow2Entry));
    if (!status && run.in_place)
        *len = 0; /* somebody else has done it meanwhile: once more, in place */
    else if (!status)
        status = write_claimed(n, &s, off, len, iov, niov);
    range_unlock(q->ranges, &claim);
    g_array_unref(s.old);
    return status;
}

static int mark_corrupt(Qcow2 *q)
{
    g_mutex_lock(&q->lock);
    int status = qcow2_mark_corrupt(q);
    g_mutex_unlock(&q->lock);
    return status;
}

int qcow2_write(BlkNode *n, uint64_t off, uint64_t len, struct iovec *iov, unsigned niov)
{
    Qcow2 *q = n->state;
    g_autofree struct iovec *part = g_new(struct iovec, niov);
    uint64_t part_len;
    int status = 0;
    for (uint64_t done = 0; done < len && !status; done += part_len) {
        Qcow2Run run;
        status = qcow2_find(q, off + done, len - done, &run);
        if (status)
            return status;
        size_t bytes;
        part_len = run.in_place ? run.len : len - done;
        unsigned pieces = iov_slice(iov, niov, done, part_len, part, niov, &bytes);
        if (run.in_place)
            status = write_in_place(q, off + done, &run, part, pieces);
        qcow2_unpin(q, run.pin);
        if (!run.in_place)
            status = write_allocating(n, off + done, &part_len, part, pieces);
        if (status == -EUCLEAN)
            status = mark_corrupt(q);
    }
    return status;
}
