/* medium.c - see medium.h. */
#include "devices/storage/medium.h"

#include "machine/machine.h"

static bool get(Device *d, Medium *ret, GError **err)
{
    *ret = (Medium){ 0 };
    if (d->type->medium)
        d->type->medium(d, ret);
    return ret->disk || error_set(err, ERR_UNSUPPORTED, "device '%s' (%s) has no removable medium", d->path, d->type->name);
}

static void tell(Device *d, const Medium *m)
{
    if (m->changed)
        m->changed(d);
}

bool medium_info(Device *d, MediumInfo *ret)
{
    Medium m;
    if (!get(d, &m, NULL))
        return false;
    g_mutex_lock(m.disk->lock);
    *ret = (MediumInfo){ .drive = m.disk->blk ? m.disk->drive : NULL, .has_tray = m.unit };
    if (m.unit) {
        ret->tray_open = m.unit->tray_open;
        ret->locked = m.unit->locked;
    }
    g_mutex_unlock(m.disk->lock);
    return true;
}

/* MMC-6, 6.6.2.3: the guest hears of the request when it asks for events. */
static bool open_locked(Device *d, const Medium *m, bool force, GError **err)
{
    ScsiUnit *u = m->unit;
    if (u->locked && !force && !u->tray_open) {
        u->eject_request = u->media_event = true;
        tell(d, m);
        return error_set(err, ERR_BUSY, "the guest has locked the tray of '%s', and was asked to let go; try again, or force it", d->path);
    }
    if (!u->tray_open)
        machine_tray_moved(d->machine, d);
    u->media_event |= !u->tray_open;
    u->tray_open = true;
    u->locked = u->eject_request = false;
    tell(d, m);
    return true;
}

bool medium_open_tray(Device *d, bool force, GError **err)
{
    Medium m;
    if (!get(d, &m, err))
        return false;
    if (!m.unit)
        return true;
    g_mutex_lock(m.disk->lock);
    bool ok = open_locked(d, &m, force, err);
    g_mutex_unlock(m.disk->lock);
    return ok;
}

bool medium_close_tray(Device *d, GError **err)
{
    Medium m;
    if (!get(d, &m, err))
        return false;
    if (!m.unit)
        return true;
    g_mutex_lock(m.disk->lock);
    if (m.unit->tray_open) {
        m.unit->tray_open = false;
        machine_tray_moved(d->machine, d);
        m.unit->media_event = true;
        m.unit->attention = m.disk->blk ? ASC_MEDIUM_CHANGED : 0;
        tell(d, &m);
    }
    g_mutex_unlock(m.disk->lock);
    return true;
}

static bool check_open(Device *d, const Medium *m, GError **err)
{
    return !m->unit || m->unit->tray_open || error_set(err, ERR_BUSY, "the tray of '%s' is closed; open it first", d->path);
}

bool medium_remove(Device *d, char **ret_drive, GError **err)
{
    Medium m;
    if (!get(d, &m, err) || !check_open(d, &m, err))
        return false;
    char *drive = disk_remove(m.disk);
    if (ret_drive)
        *ret_drive = drive;
    else
        g_free(drive);
    g_mutex_lock(m.disk->lock);
    tell(d, &m);
    g_mutex_unlock(m.disk->lock);
    return true;
}

bool medium_insert(Device *d, const char *drive, GError **err)
{
    Medium m;
    if (!get(d, &m, err) || !check_open(d, &m, err) || !disk_insert(m.disk, drive, err))
        return false;
    g_mutex_lock(m.disk->lock);
    tell(d, &m);
    g_mutex_unlock(m.disk->lock);
    return true;
}
