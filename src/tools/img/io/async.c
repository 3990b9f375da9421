/*
 * async.c - aio_read, aio_write and aio_flush.
 *
 * Requests come back on threads of the block layer; what there is to say about them is printed by the main thread.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "tools/img/io/request.h"

typedef struct Async {
    Io *io;
    BlkReq req;
    IoRequest request;
    IoReport report;
    int64_t end_ns;
    int status;
} Async;

static void finished(BlkReq *req, int status)
{
    Async *a = req->owner;
    a->status = status;
    a->end_ns = io_now_ns();
    g_mutex_lock(&a->io->lock);
    g_queue_push_tail(&a->io->finished, a);
    a->io->in_flight--;
    g_cond_signal(&a->io->changed);
    g_mutex_unlock(&a->io->lock);
}

static void tell(Async *a)
{
    bool read = a->req.op == BLK_READ;
    if (a->status)
        io_failed(read ? "aio_read" : "aio_write", a->status == -EINVAL ? -EIO : a->status);
    else {
        if (read && a->request.pattern >= 0)
            io_request_verify(&a->request);
        if (read && a->request.verbose && !a->request.quiet)
            io_request_dump(&a->request);
        io_report(&a->report, a->end_ns);
    }
    io_request_clear(&a->request);
    g_free(a);
}

static Async *pop(Io *io)
{
    g_mutex_lock(&io->lock);
    Async *a = g_queue_pop_head(&io->finished);
    g_mutex_unlock(&io->lock);
    return a;
}

void io_report_finished(Io *io)
{
    for (Async *a; (a = pop(io));)
        tell(a);
}

void io_wait_all(Io *io)
{
    g_mutex_lock(&io->lock);
    while (io->in_flight)
        g_cond_wait(&io->changed, &io->lock);
    g_mutex_unlock(&io->lock);
    io_report_finished(io);
}

static void submit(Io *io, const IoRequest *r, BlkOp op)
{
    Async *a = g_new0(Async, 1);
    a->io = io;
    a->request = *r;
    a->report = (IoReport){ op == BLK_READ ? "read" : "wrote", r->off, r->len, io_now_ns(), r->quiet, r->machine };
    a->req = (BlkReq){ .op = op, .flags = io_request_flags(r), .off = r->off, .len = r->len, .iov = r->iov, .niov = r->niov, .done = finished, .owner = a };
    g_mutex_lock(&io->lock);
    io->in_flight++;
    g_mutex_unlock(&io->lock);
    blk_submit(io->node, &a->req);
}

static bool prepare(IoRequest *r, int argc, char **argv, int fill)
{
    if (argc - optind < 2) {
        io_usage(argv[0]);
        return false;
    }
    return io_request_place(r, argv + optind, argc - optind) && (r->zero || io_request_buffer(r, fill));
}

int io_aio_read(Io *io, int argc, char **argv)
{
    IoRequest r;
    if (!io_request_parse(&r, "CP:iqv", argc, argv))
        return -1;
    if (r.invalid)
        return 0; /* only to be counted */
    bool ok = prepare(&r, argc, argv, 0xab);
    if (ok)
        submit(io, &r, BLK_READ);
    else
        io_request_clear(&r);
    return ok ? 0 : -1;
}

int io_aio_write(Io *io, int argc, char **argv)
{
    IoRequest r;
    if (!io_request_parse(&r, "CfiP:quz", argc, argv))
        return -1;
    if (r.invalid)
        return 0;
    if (r.unmap && !r.zero) {
        printf("-u requires -z to be specified\n");
        return -1;
    }
    bool ok = prepare(&r, argc, argv, r.pattern >= 0 ? r.pattern : IO_FILL);
    if (ok)
        submit(io, &r, r.zero ? BLK_ZERO : BLK_WRITE);
    else
        io_request_clear(&r);
    return ok ? 0 : -1;
}

int io_aio_flush(Io *io, int argc, char **argv)
{
    io_wait_all(io);
    return 0;
}
