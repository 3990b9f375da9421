/* disk.c - see disk.h. */
#include "devices/storage/disk.h"

#include <errno.h>
#include <string.h>

#include "machine/machine.h"

enum { SERIAL_CHARS = 20 };

/* ---- properties */

static bool is_power_of_2(uint32_t n) { return n && !(n & (n - 1)); }

static bool check_sizes(const Disk *d, GError **err)
{
    if (!is_power_of_2(d->logical_block) || !is_power_of_2(d->physical_block))
        return error_set(err, ERR_INVALID, "%s: logical_block_size (%u) and physical_block_size (%u) are powers of two", d->dev->path,
                         d->logical_block, d->physical_block);
    if (d->logical_block > d->physical_block)
        return error_set(err, ERR_INVALID, "%s: logical_block_size (%u) is larger than physical_block_size (%u); raise the latter",
                         d->dev->path, d->logical_block, d->physical_block);
    if (d->min_io % d->logical_block || d->opt_io % d->logical_block)
        return error_set(err, ERR_INVALID, "%s: min_io_size (%u) and opt_io_size (%u) are multiples of logical_block_size (%u)",
                         d->dev->path, d->min_io, d->opt_io, d->logical_block);
    if (d->serial && strlen(d->serial) > SERIAL_CHARS)
        return error_set(err, ERR_INVALID, "%s: property 'serial' is '%s', but takes at most %d characters", d->dev->path, d->serial,
                         SERIAL_CHARS);
    return true;
}

static bool take_word(const Disk *d, const char *property, const char *value, const char *const *words, unsigned *ret, GError **err)
{
    for (unsigned i = 0; words[i]; i++)
        if (g_str_equal(words[i], value)) {
            *ret = i;
            return true;
        }
    g_autofree char *all = g_strjoinv(", ", (char **)words);
    return error_set(err, ERR_INVALID, "%s: property '%s' is one of %s, not '%s'", d->dev->path, property, all, value);
}

static bool take_policies(Disk *d, GError **err)
{
    static const char *const policies[] = { "report", "ignore", "stop", "enospc", "auto", NULL };
    static const char *const caches[] = { "off", "on", "auto", NULL };
    unsigned on_read, on_write, cache;
    if (!take_word(d, "rerror", d->rerror, policies, &on_read, err) || !take_word(d, "werror", d->werror, policies, &on_write, err) ||
        !take_word(d, "write-cache", d->write_cache, caches, &cache, err))
        return false;
    d->on_read = on_read > DISK_ENOSPC ? DISK_REPORT : on_read;
    d->on_write = on_write > DISK_ENOSPC ? DISK_ENOSPC : on_write;
    d->cache = cache;
    return true;
}

/* ---- life */

static void submit_posted(void *disk);

bool disk_choose_thread(Disk *d, const char *iothread, GError **err)
{
    IoThread *t = machine_share_backend(d->dev->machine, BACKEND_IOTHREAD, iothread, d->dev, err);
    if (!t)
        return false;
    d->thread = t;
    d->thread_id = g_strdup(iothread);
    return true;
}

bool disk_insert(Disk *d, const char *drive, GError **err)
{
    BlkInfo info;
    if (d->blk)
        return error_set(err, ERR_BUSY, "%s: drive '%s' is in it; take that out first", d->dev->path, d->drive);
    BlkNode *blk = machine_claim_backend(d->dev->machine, BACKEND_DRIVE, drive, d->dev, err);
    if (!blk)
        return false;
    blk_info(blk, &info);
    char *id = g_strdup(drive);
    g_mutex_lock(d->lock);
    g_free(d->drive);
    d->drive = id;
    d->bytes = info.size;
    d->read_only = info.read_only;
    d->blk = blk;
    g_mutex_unlock(d->lock);
    return true;
}

char *disk_remove(Disk *d)
{
    g_mutex_lock(d->lock);
    disk_quiesce(d);
    BlkNode *blk = g_steal_pointer(&d->blk);
    char *id = blk ? g_steal_pointer(&d->drive) : NULL;
    g_mutex_unlock(d->lock);
    if (!blk)
        return NULL;
    blk_drain(blk); /* the block layer's thread has left our completion */
    machine_release_backend(d->dev->machine, BACKEND_DRIVE, id);
    return id;
}

bool disk_realize(Disk *d, Device *dev, GError **err)
{
    d->dev = dev;
    d->lock = &dev->lock;
    g_queue_init(&d->held);
    g_queue_init(&d->posted);
    g_cond_init(&d->idle);
    d->thread = dev->machine->io_thread;
    d->work = (IoWork){ .run = submit_posted, .opaque = d };
    return check_sizes(d, err) && take_policies(d, err) && (!d->drive || disk_insert(d, d->drive, err));
}

void disk_unrealize(Disk *d)
{
    if (!d->dev)
        return;
    g_free(disk_remove(d));
    if (d->thread)
        io_thread_settle(d->thread);
    if (d->thread_id)
        machine_unshare_backend(d->dev->machine, BACKEND_IOTHREAD, d->thread_id);
    g_clear_pointer(&d->thread_id, g_free);
    g_cond_clear(&d->idle);
    d->dev = NULL;
}

/* ---- requests */

static void finish(DiskReq *r, int status)
{
    Disk *d = r->disk;
    r->done(r, status); /* r may be gone now */
    if (!--d->in_flight)
        g_cond_broadcast(&d->idle);
}

static bool stops(DiskPolicy p, int status) { return p == DISK_STOP || (p == DISK_ENOSPC && status == -ENOSPC); }

static void tell(const DiskReq *r, DiskPolicy p, int status)
{
    machine_tell(r->disk->dev, DEVICE_SAYS_IO_ERROR, (-status & DISK_ERROR_ERRNO) | (r->req.op == BLK_READ ? 0 : DISK_ERROR_WRITE) |
                 (stops(p, status) ? DISK_ERROR_STOPS : 0) | (p == DISK_IGNORE ? DISK_ERROR_IGNORED : 0));
}

static void take_result(DiskReq *r, int status)
{
    Disk *d = r->disk;
    DiskPolicy p = r->req.op == BLK_READ ? d->on_read : d->on_write;
    bool failed = status && status != -ECANCELED;
    if (failed)
        tell(r, p, status);
    if (failed && stops(p, status)) {
        g_queue_push_tail(&d->held, r);
        machine_request(d->dev->machine, CAUSE_IO_ERROR);
        return;
    }
    finish(r, p == DISK_IGNORE ? 0 : status);
}

/* On the block layer's thread, or within disk_submit(). */
static void request_done(BlkReq *req, int status)
{
    DiskReq *r = (DiskReq *)req;
    Disk *d = r->disk;
    if (atomic_load_explicit(&d->submitter, memory_order_relaxed) == g_thread_self()) {
        take_result(r, status);
        return;
    }
    GMutex *lock = d->lock;
    g_mutex_lock(lock);
    take_result(r, status);
    g_mutex_unlock(lock);
}

static void submit(Disk *d, DiskReq *r)
{
    GThread *outer = atomic_load_explicit(&d->submitter, memory_order_relaxed);
    atomic_store_explicit(&d->submitter, g_thread_self(), memory_order_relaxed);
    blk_submit(d->blk, &r->req);
    atomic_store_explicit(&d->submitter, outer, memory_order_relaxed);
}

static void submit_posted(void *disk)
{
    Disk *d = disk;
    g_mutex_lock(d->lock);
    for (DiskReq *r; (r = g_queue_pop_head(&d->posted));)
        submit(d, r);
    g_mutex_unlock(d->lock);
}

static void start(Disk *d, DiskReq *r)
{
    r->req.thread = d->thread;
    if (!d->thread || io_thread_is_self(d->thread)) {
        submit(d, r);
        return;
    }
    g_queue_push_tail(&d->posted, r);
    io_thread_post(d->thread, &d->work);
}

void disk_submit(Disk *d, DiskReq *r)
{
    r->disk = d;
    r->req.done = request_done;
    d->in_flight++;
    if (d->blk)
        start(d, r);
    else
        finish(r, -ENOMEDIUM);
}

bool disk_fail_held(Disk *d)
{
    DiskReq *r = NULL, *any = NULL;
    while ((r = g_queue_pop_head(&d->held))) {
        any = r;
        finish(r, -ECANCELED);
    }
    return any;
}

void disk_quiesce(Disk *d)
{
    if (d->in_flight && d->thread)
        io_thread_wake(d->thread);
    while (d->in_flight)
        if (!disk_fail_held(d))
            g_cond_wait(&d->idle, d->lock);
}

void disk_resumed(Disk *d)
{
    GQueue again = d->held;
    g_queue_init(&d->held);
    for (DiskReq *r; (r = g_queue_pop_head(&again));)
        start(d, r);
}
