/* fd_port.c - input and output of a chardev over file descriptors, from GLib sources on the main context. */
#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "console/backend.h"

static void destroy_source(GSource **source)
{
    if (!*source)
        return;
    g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static GSource *watch(FdPort *p, int fd, GIOCondition condition, GUnixFDSourceFunc fn)
{
    GSource *source = g_unix_fd_source_new(fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(fn), p, NULL);
    g_source_attach(source, NULL);
    return source;
}

/* What came over the socket beside the bytes (unix(7), SCM_RIGHTS). */
static void keep_descriptors(Chardev *c, struct msghdr *m)
{
    bool wanted = c->frontend && c->frontend->descriptors;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        unsigned n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS || n > CHARDEV_DESCRIPTORS)
            continue;
        chardev_drop_descriptors(c);
        memcpy(c->passed, CMSG_DATA(h), n * sizeof(int));
        c->n_passed = n;
        if (!wanted)
            chardev_drop_descriptors(c);
    }
}

static ssize_t read_some(FdPort *p, int fd, uint8_t *data, size_t n)
{
    union {
        struct cmsghdr aligned;
        uint8_t bytes[CMSG_SPACE(CHARDEV_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec iov = { data, n };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    ssize_t done = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (done < 0 && errno == ENOTSOCK)
        return read(fd, data, n);
    if (done >= 0)
        keep_descriptors(p->chardev, &m);
    return done;
}

static gboolean on_readable(int fd, GIOCondition condition, void *opaque)
{
    FdPort *p = opaque;
    uint8_t buf[4096];
    size_t room = MIN(chardev_room(p->chardev), sizeof(buf));
    if (!room) {
        g_mutex_lock(&p->chardev->lock);
        destroy_source(&p->in_source);
        g_mutex_unlock(&p->chardev->lock);
        if (chardev_room(p->chardev)) /* it resumed in between */
            fd_port_resume(p);
        return G_SOURCE_REMOVE;
    }
    ssize_t n = read_some(p, fd, buf, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    if (n > 0) {
        n = p->filter ? p->filter(p->chardev, buf, n) : (size_t)n;
        chardev_deliver(p->chardev, buf, n);
        return G_SOURCE_CONTINUE;
    }
    g_mutex_lock(&p->chardev->lock);
    destroy_source(&p->in_source);
    p->in_ended = true;
    g_mutex_unlock(&p->chardev->lock);
    if (p->hangup)
        p->hangup(p->chardev);
    return G_SOURCE_REMOVE;
}

/* Sockets do without SIGPIPE; the rest relies on the program ignoring it. */
static ssize_t write_some(int fd, const uint8_t *data, size_t n)
{
    ssize_t done = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    return done < 0 && errno == ENOTSOCK ? write(fd, data, n) : done;
}

/* Writes from the front of the queue until the peer takes no more.  False: the peer is gone. */
static bool flush_queue(FdPort *p)
{
    size_t done = 0;
    bool alive = true;
    while (done < p->queue->len) {
        ssize_t n = write_some(p->out, p->queue->data + done, p->queue->len - done);
        if (n < 0 && errno == EINTR)
            continue;
        alive = n >= 0 || errno == EAGAIN;
        if (n <= 0)
            break;
        done += n;
    }
    g_byte_array_remove_range(p->queue, 0, alive ? done : p->queue->len);
    return alive;
}

static gboolean on_writable(int fd, GIOCondition condition, void *opaque)
{
    FdPort *p = opaque;
    g_mutex_lock(&p->chardev->lock);
    p->out_ended |= !flush_queue(p);
    bool more = !p->out_ended && p->queue->len;
    if (!more)
        destroy_source(&p->out_source);
    bool room = p->queue->len < FD_PORT_QUEUE_BYTES / 2;
    g_mutex_unlock(&p->chardev->lock);
    if (room)
        chardev_writable(p->chardev);
    return more ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

size_t fd_port_room(FdPort *p)
{
    size_t room = SIZE_MAX;
    if (!p->chardev)
        return room;
    g_mutex_lock(&p->chardev->lock);
    if (p->out >= 0 && !p->out_ended)
        room = FD_PORT_QUEUE_BYTES - p->queue->len;
    g_mutex_unlock(&p->chardev->lock);
    return room;
}

void fd_port_write(FdPort *p, const uint8_t *data, size_t n)
{
    g_mutex_lock(&p->chardev->lock);
    if (p->out >= 0 && !p->out_ended) {
        g_byte_array_append(p->queue, data, n);
        if (p->queue->len > FD_PORT_QUEUE_BYTES)
            g_byte_array_remove_range(p->queue, 0, p->queue->len - FD_PORT_QUEUE_BYTES);
        if (!p->out_source) {
            p->out_ended = !flush_queue(p);
            if (!p->out_ended && p->queue->len)
                p->out_source = watch(p, p->out, G_IO_OUT | G_IO_ERR | G_IO_HUP, on_writable);
        }
    }
    g_mutex_unlock(&p->chardev->lock);
}

void fd_port_resume(FdPort *p)
{
    g_mutex_lock(&p->chardev->lock);
    if (p->in >= 0 && !p->in_ended && !p->in_source && p->chardev->frontend)
        p->in_source = watch(p, p->in, G_IO_IN | G_IO_HUP | G_IO_ERR, on_readable);
    g_mutex_unlock(&p->chardev->lock);
}

void fd_port_open(FdPort *p, Chardev *c, int in, int out, void (*hangup)(Chardev *c))
{
    g_mutex_lock(&c->lock);
    p->chardev = c;
    p->in = in;
    p->out = out;
    p->hangup = hangup;
    p->in_ended = p->out_ended = false;
    if (!p->queue)
        p->queue = g_byte_array_new();
    g_mutex_unlock(&c->lock);
    fd_port_resume(p);
}

static void drain(FdPort *p, unsigned flush_ms)
{
    gint64 end = g_get_monotonic_time() + flush_ms * 1000;
    while (p->out >= 0 && !p->out_ended && p->queue->len && flush_queue(p) && p->queue->len) {
        gint64 left_ms = (end - g_get_monotonic_time()) / 1000;
        struct pollfd pfd = { .fd = p->out, .events = POLLOUT };
        if (left_ms <= 0 || poll(&pfd, 1, left_ms) <= 0)
            break;
    }
}

void fd_port_close(FdPort *p, unsigned flush_ms)
{
    if (!p->chardev)
        return;
    g_mutex_lock(&p->chardev->lock);
    drain(p, flush_ms);
    destroy_source(&p->in_source);
    destroy_source(&p->out_source);
    g_clear_pointer(&p->queue, g_byte_array_unref);
    if (p->in >= 0)
        close(p->in);
    if (p->out >= 0 && p->out != p->in)
        close(p->out);
    p->in = p->out = -1;
    g_mutex_unlock(&p->chardev->lock);
}
