/*
 * bench_random.c - requests of 4 KiB at random places of an image, so many at once.
 *
 *     bench_random FORMAT FILE read|write COUNT DEPTH       prints the seconds of the second round; the first warms up
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"

enum { BYTES = 4096, SEED = 1, MOST_DEPTH = 256 };

typedef struct Bench {
    BlkNode *node;
    BlkOp op;
    uint64_t blocks;
    unsigned left, in_flight;
    GRand *rand;
    int status;
    GMutex lock;
    GCond changed;
    GQueue idle; /* of Slot */
} Bench;

typedef struct Slot {
    BlkReq req;
    struct iovec iov;
    Bench *bench;
    char data[BYTES];
} Slot;

static void finished(BlkReq *r, int status)
{
    Slot *s = r->owner;
    Bench *b = s->bench;
    g_mutex_lock(&b->lock);
    b->status = status ? status : b->status;
    b->in_flight--;
    g_queue_push_tail(&b->idle, s);
    g_cond_signal(&b->changed);
    g_mutex_unlock(&b->lock);
}

static void submit(Bench *b, Slot *s)
{
    s->iov = (struct iovec){ s->data, BYTES };
    uint64_t block = ((uint64_t)g_rand_int(b->rand) << 16 ^ g_rand_int(b->rand)) % b->blocks;
    s->req = (BlkReq){ .op = b->op, .off = block * BYTES, .len = BYTES, .iov = &s->iov, .niov = 1, .done = finished, .owner = s };
    blk_submit(b->node, &s->req);
}

static double run(Bench *b, unsigned count)
{
    int64_t start_us = g_get_monotonic_time();
    b->rand = g_rand_new_with_seed(SEED);
    g_mutex_lock(&b->lock);
    for (b->left = count; b->left && !b->status; b->left--) {
        while (!b->idle.length)
            g_cond_wait(&b->changed, &b->lock);
        Slot *s = g_queue_pop_head(&b->idle);
        b->in_flight++;
        g_mutex_unlock(&b->lock);
        submit(b, s);
        g_mutex_lock(&b->lock);
    }
    while (b->in_flight)
        g_cond_wait(&b->changed, &b->lock);
    g_mutex_unlock(&b->lock);
    g_rand_free(b->rand);
    return (g_get_monotonic_time() - start_us) / 1e6;
}

static double round_of(const char *format, const char *file, bool write, unsigned count, unsigned depth)
{
    g_autoptr(GError) err = NULL;
    BlkInfo info;
    Bench b = { .op = write ? BLK_WRITE : BLK_READ };
    b.node = blk_open(&(BlkOpenOptions){ .filename = file, .format = format, .read_only = !write }, &err);
    if (!b.node) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
    blk_info(b.node, &info);
    b.blocks = info.size / BYTES;
    g_autofree Slot *slots = g_new0(Slot, depth);
    for (unsigned i = 0; i < depth; i++) {
        slots[i].bench = &b;
        memset(slots[i].data, i + 1, BYTES);
        g_queue_push_tail(&b.idle, &slots[i]);
    }
    double seconds = run(&b, count);
    blk_flush(b.node, NULL); /* so that each format's second round finds clean pages: closing a qcow2 image flushes */
    blk_close(b.node);
    g_queue_clear(&b.idle);
    return b.status ? -1 : seconds;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    bool write = g_str_equal(argv[3], "write");
    unsigned count = atoi(argv[4]), depth = CLAMP(atoi(argv[5]), 1, MOST_DEPTH);
    round_of(argv[1], argv[2], write, count, depth);
    double seconds = round_of(argv[1], argv[2], write, count, depth);
    printf("%.4f\n", seconds);
    return seconds < 0;
}
