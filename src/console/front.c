/*
 * front.c - what the rest of the program holds of a chardev: the backend behind it may be exchanged while a device uses
 * it (chardev_change()), and what goes out may be kept in a file as well (logfile=).
 */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct Front {
    Chardev chardev;
    GMutex swap; /* of what follows; any thread writes, the main thread exchanges */
    Chardev *inner;
    FdPort *log; /* NULL: none */
} Front;

/* ---- from the backend to whoever uses the chardev: what connects while nobody does is noted, too */

static size_t front_can_receive(void *opaque) { return chardev_room(opaque); }
static void front_receive(void *opaque, const uint8_t *data, size_t n) { chardev_deliver(opaque, data, n); }
static void front_event(void *opaque, ChardevEvent event) { chardev_event(opaque, event); }
static void front_writable(void *opaque) { chardev_writable(opaque); }

static const ChardevFrontend plain = { front_can_receive, front_receive, front_event, front_writable };
static const ChardevFrontend with_descriptors = { front_can_receive, front_receive, front_event, front_writable, .descriptors = true };

/* ---- and back */

static void front_write(Chardev *c, const uint8_t *data, size_t n)
{
    Front *f = (Front *)c;
    g_mutex_lock(&f->swap);
    if (f->log)
        fd_port_write(f->log, data, n);
    chardev_write(f->inner, data, n);
    g_mutex_unlock(&f->swap);
}

static size_t front_write_room(Chardev *c)
{
    Front *f = (Front *)c;
    g_mutex_lock(&f->swap);
    size_t room = chardev_write_room(f->inner);
    g_mutex_unlock(&f->swap);
    return room;
}

static void front_resume(Chardev *c)
{
    Front *f = (Front *)c;
    g_mutex_lock(&f->swap);
    chardev_resume(f->inner);
    g_mutex_unlock(&f->swap);
}

static void front_attached(Chardev *c, const ChardevFrontend *frontend)
{
    Front *f = (Front *)c;
    chardev_set_frontend(f->inner, frontend && frontend->descriptors ? &with_descriptors : &plain, f);
}

static void close_log(FdPort *log)
{
    if (log)
        fd_port_close(log, 1000);
    g_free(log);
}

static void front_close(Chardev *c)
{
    Front *f = (Front *)c;
    chardev_set_frontend(f->inner, NULL, NULL);
    chardev_close(f->inner);
    close_log(f->log);
    g_mutex_clear(&f->swap);
}

static const ChardevBackend chardev_front = {
    .name = "front",
    .size = sizeof(Front),
    .close = front_close,
    .write = front_write,
    .write_room = front_write_room,
    .resume = front_resume,
    .attached = front_attached,
};

Chardev *chardev_behind(Chardev *c) { return c->backend == &chardev_front ? ((Front *)c)->inner : c; }

/* ---- the file */

/* *ret stays NULL where none is asked for. */
static bool open_log(Chardev *c, const char *path, bool append, FdPort **ret, GError **err)
{
    if (!path)
        return true;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot write to '%s', the log of chardev '%s'", path, c->id);
    *ret = g_new0(FdPort, 1);
    fd_port_open(*ret, c, -1, fd, NULL);
    return true;
}

Chardev *chardev_front_over(Chardev *inner, const char *log, bool append, GError **err)
{
    Front *f = (Front *)chardev_new(&chardev_front, inner->id);
    g_mutex_init(&f->swap);
    f->inner = inner;
    f->chardev.description = g_strdup(inner->description);
    f->chardev.connected = inner->connected;
    front_attached(&f->chardev, NULL);
    if (open_log(&f->chardev, log, append, &f->log, err))
        return &f->chardev;
    chardev_close(&f->chardev);
    return NULL;
}

/* ---- another backend */

static void exchange(Front *f, Front *with)
{
    Chardev *inner = f->inner;
    FdPort *log = f->log;
    char *description = f->chardev.description;
    g_mutex_lock(&f->swap);
    f->inner = with->inner;
    f->log = with->log;
    if (f->log)
        f->log->chardev = &f->chardev; /* nothing was written to it yet, so no source knows the other */
    g_mutex_unlock(&f->swap);
    f->chardev.description = with->chardev.description;
    with->inner = inner;
    with->log = log;
    with->chardev.description = description;
}

bool chardev_change(Chardev *c, const char *spec, GError **err)
{
    if (c->backend != &chardev_front)
        return error_set(err, ERR_UNSUPPORTED, "Mux device hotswap not supported yet");
    Chardev *with = chardev_open(c->id, spec, err);
    if (with && chardev_is_mux(with)) {
        chardev_close(with);
        return error_set(err, ERR_UNSUPPORTED, "chardev '%s' is no mux and cannot become one: chardev-add makes a new one", c->id);
    }
    if (!with)
        return false;
    Front *f = (Front *)c;
    chardev_set_frontend(f->inner, NULL, NULL);
    if (c->connected)
        chardev_event(c, CHARDEV_CLOSED);
    exchange(f, (Front *)with);
    c->connected = f->inner->connected;
    chardev_attach(c, c->frontend, c->opaque);
    chardev_close(with);
    return true;
}
