/* domain_save.c - a running machine goes into a file: save and managed save. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/saved.h"
#include "manage/daemon/task.h"

typedef struct Save {
    ManagedDomain *domain;
    RpcCall *call;
    char *path, *part; /* a file grows beside and gets its name when it is complete; a device is written as it is */
    char *xml;
    bool ran, running; /* before; to go on as */
    unsigned flags;
    const HvDriver *driver;
    HvDomain *hv;
} Save;

static bool choose_how(Save *s, GError **err)
{
    if ((s->flags & SAVE_RUNNING) && (s->flags & SAVE_PAUSED))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' cannot go on both running and paused", s->domain->name);
    s->running = s->flags & SAVE_RUNNING || (s->ran && !(s->flags & SAVE_PAUSED));
    return true;
}

static bool save_begin(Job *j, GError **err)
{
    Save *s = j->data;
    ManagedDomain *d = s->domain;
    s->driver = d->driver;
    s->hv = d->hv;
    s->ran = d->state == DOMAIN_RUNNING;
    if (!domain_active(d))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    if (!s->driver->save)
        return rpc_error_set(err, RPC_ERR_NO_SUPPORT, "machines of driver %s cannot be saved", s->driver->name);
    if (!s->xml)
        s->xml = record_write_xml(d->live, RECORD_LIVE | RECORD_SECRET);
    return choose_how(s, err);
}

static int open_target(Save *s, GError **err)
{
    struct stat st;
    bool file = stat(s->path, &st) || S_ISREG(st.st_mode);
    s->part = file ? g_strconcat(s->path, ".part", NULL) : NULL;
    int fd = open(file ? s->part : s->path, O_RDWR | O_CLOEXEC | O_NOCTTY | (file ? O_CREAT | O_TRUNC : 0), 0600);
    if (fd < 0)
        error_set_errno(err, errno, "cannot make '%s'", file ? s->part : s->path);
    return fd;
}

static bool fill(Save *s, Job *j, int fd, GError **err)
{
    if (!saved_begin(fd, s->xml, s->running, err) || !s->driver->save(s->hv, fd, j->cancel, err) || !saved_complete(fd, err))
        return false;
    return !s->part || !rename(s->part, s->path) || error_set_errno(err, errno, "cannot give it its name");
}

static bool save_run(Job *j, GError **err)
{
    Save *s = j->data;
    int fd = open_target(s, err);
    if (fd < 0)
        return false;
    bool ok = (!s->ran || s->driver->pause(s->hv, true, err)) && fill(s, j, fd, err);
    close(fd);
    if (ok)
        return s->driver->stop(s->hv, HV_SAVED, err);
    g_prefix_error(err, "domain '%s' is not saved to '%s': ", s->domain->name, s->path);
    if (s->part)
        unlink(s->part);
    if (s->ran)
        s->driver->pause(s->hv, false, NULL);
    return false;
}

static void save_done(Job *j, GError *err)
{
    Save *s = j->data;
    reply_error(s->call, err);
    domain_unref(s->domain);
    g_free(s->path);
    g_free(s->part);
    g_free(s->xml);
    g_free(s);
}

void domain_save(ManagedDomain *d, const char *path, const char *xml, unsigned flags, RpcCall *call)
{
    static const JobType type = { "save", save_begin, save_run, save_done };
    Save *s = g_new0(Save, 1);
    *s = (Save){ .domain = domain_ref(d), .call = call, .path = g_strdup(path), .xml = g_strdup(xml), .flags = flags };
    lane_push(d->lane, &type, s);
}
