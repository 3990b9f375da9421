/* domain_life.c - the verbs of a machine's life: start, stop, pause, each a job in its lane. */
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/daemon/change.h"
#include "manage/daemon/net.h"
#include "manage/daemon/pins.h"
#include "manage/daemon/saved.h"
#include "manage/daemon/secret.h"
#include "manage/daemon/tuning.h"
#include "manage/hypervisor/firmware.h"

/* virDomain*Reason, and events' details of the same meaning. */
enum { RUNNING_BOOTED = 1, RUNNING_RESTORED = 3, STARTED_RESTORED = 2, RUNNING_UNPAUSED = 5, PAUSED_USER = 1, SHUTOFF_SHUTDOWN = 1, SHUTOFF_DESTROYED = 2, SHUTOFF_CRASHED = 3, SHUTOFF_FAILED = 6 };
enum { LIFE_STARTED = 2, LIFE_SUSPENDED = 3, LIFE_RESUMED = 4, LIFE_STOPPED = 5, LIFE_SHUTDOWN = 6 };

typedef struct Verb {
    ManagedDomain *domain;
    RpcCall *call;
    HvStopMode mode;
    bool paused, with_handle, new_variables, force_boot;
    int state;             /* descriptor of a saved one that it goes on with, -1: none */
    bool managed;          /* which is the managed one, and goes when it has been taken */
    Domain *live;
    HvDomain *hv; /* of a running machine: the domain's, which stays while a job of its lane is at work */
    const HvDriver *driver;
} Verb;

static Verb *verb_new(ManagedDomain *d, RpcCall *call)
{
    Verb *v = g_new0(Verb, 1);
    v->domain = domain_ref(d);
    v->call = call;
    v->state = -1;
    return v;
}

/* Answers and frees. */
static void verb_end(Verb *v, GError *err)
{
    if (v->call && err)
        rpc_fail_error(v->call, err);
    else if (v->call)
        rpc_reply(v->call, v->with_handle ? g_variant_new("(@(ssi))", domain_handle(v->domain)) : NULL);
    record_free(v->live);
    if (v->state >= 0)
        close(v->state);
    domain_unref(v->domain);
    g_free(v);
}

static bool needs(const ManagedDomain *d, bool active, GError **err)
{
    if (domain_active(d) == active)
        return true;
    return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, active ? "domain '%s' is not running" : "domain '%s' is already running", d->name);
}

/* ---- the record of a running machine, by which a later daemon finds it: written before the machine starts */
static char *records_folder(const ManagedDomain *d) { return g_build_filename(d->realm->daemon->runtime_dir, "domains", NULL); }

bool domain_write_record(const ManagedDomain *d, const Domain *live, GError **err)
{
    g_autofree char *folder = records_folder(d), *xml = record_write_xml(live, RECORD_LIVE | RECORD_SECRET);
    return d->realm->in_memory || store_write(folder, d->uuid, xml, err);
}

static void remove_record(const ManagedDomain *d)
{
    g_autofree char *folder = records_folder(d);
    g_autoptr(GError) err = NULL;
    if (!d->realm->in_memory && !store_remove(folder, d->uuid, &err))
        g_warning("%s", err->message);
}

/* ---- letting go, behind the jobs that may be at work with it in both lanes */
typedef struct Release {
    const HvDriver *driver;
    HvDomain *hv;
    int lanes;
} Release;

static void release_done(Job *j, GError *err)
{
    Release *r = j->data;
    if (--r->lanes)
        return;
    r->driver->release(r->hv);
    g_free(r);
}

void domain_release(ManagedDomain *d)
{
    static const JobType type = { "release", NULL, NULL, release_done };
    if (!d->hv)
        return;
    Release *r = g_new0(Release, 1);
    *r = (Release){ d->driver, g_steal_pointer(&d->hv), 2 };
    lane_push(d->lane, &type, r);
    lane_push(d->queries, &type, r);
}

/* ---- what the driver tells, on the main thread */
typedef struct Told {
    ManagedDomain *domain;
    HvEvent event;
    char *name;
} Told;

void domain_has_stopped(ManagedDomain *d, HvStop how)
{
    static const int reasons[] = { [HV_STOP_SHUTDOWN] = SHUTOFF_SHUTDOWN, [HV_STOP_DESTROYED] = SHUTOFF_DESTROYED, [HV_STOP_CRASHED] = SHUTOFF_CRASHED,
                                   [HV_STOP_MIGRATED] = 4, [HV_STOP_SAVED] = 5, [HV_STOP_FAILED] = SHUTOFF_FAILED };
    if (!domain_active(d))
        return;
    domain_release(d);
    domain_set_state(d, DOMAIN_SHUTOFF, reasons[how]);
    domain_lifecycle(d, LIFE_STOPPED, how);
    d->id = -1;
    remove_record(d);
    if (!d->realm->in_memory) {
        network_unplug_cards(d->live);
        tuning_forget(d->live);
    }
    d->updated = false;
    g_clear_pointer((void **)&d->live, record_free);
    if (!d->config)
        domain_remove(d);
}

/* virDomainEventGraphicsAddress of ours is not known to the machine's event: libvirt's clients show the viewer's. */
static void viewer_told(ManagedDomain *d, int phase, const char *host)
{
    int family = strchr(host, ':') ? 1 : 0; /* VIR_DOMAIN_EVENT_GRAPHICS_ADDRESS_IPV6, _IPV4 */
    domain_event(d, EVENT_GRAPHICS, "(i@(iss)@(iss)s@a(ss))", phase, g_variant_new("(iss)", family, "", ""), g_variant_new("(iss)", family, host, ""), "",
                 g_variant_new_array(G_VARIANT_TYPE("(ss)"), NULL, 0));
}

static void domain_restart(ManagedDomain *d);
static void rebooted(ManagedDomain *d) { domain_event(d, EVENT_REBOOT, "()"); }

static gboolean told(gpointer data)
{
    Told *t = data;
    ManagedDomain *d = t->domain;
    if (!d->gone && domain_active(d))
        switch (t->event.kind) {
        case HV_STOPPED:
            domain_has_stopped(d, t->event.detail);
            break;
        case HV_PAUSED:
            domain_set_state(d, DOMAIN_PAUSED, PAUSED_USER);
            domain_lifecycle(d, LIFE_SUSPENDED, 0);
            break;
        case HV_RESUMED:
            domain_set_state(d, DOMAIN_RUNNING, RUNNING_UNPAUSED);
            domain_lifecycle(d, LIFE_RESUMED, 0);
            break;
        case HV_SHUTDOWN:
            domain_set_state(d, DOMAIN_SHUTTING_DOWN, 1);
            domain_lifecycle(d, LIFE_SHUTDOWN, 0);
            break;
        case HV_OFF:
            domain_restart(d);
            break;
        case HV_REBOOT:
            rebooted(d);
            break;
        case HV_DEVICE_REMOVED:
            device_removed(d, t->name);
            break;
        case HV_DEVICE_REFUSED:
            domain_event(d, EVENT_DEVICE_REFUSED, "(s)", t->name);
            break;
        case HV_TRAY:
            domain_event(d, EVENT_TRAY, "(si)", t->name, t->event.detail ? 0 : 1);
            break;
        case HV_BALLOON:
            d->live->current_memory = t->event.value;
            domain_event(d, EVENT_BALLOON, "(t)", (guint64)t->event.value / 1024);
            break;
        case HV_RTC:
            domain_event(d, EVENT_RTC, "(x)", t->event.value);
            break;
        case HV_AGENT:
            agent_told(d, t->name, t->event.detail);
            break;
        case HV_IO_ERROR:
            disk_failed(d, t->name, t->event.detail);
            break;
        case HV_BLOCK_JOB:
            disk_job_told(d, t->name, t->event.detail);
            break;
        case HV_WATCHDOG:
            domain_event(d, EVENT_WATCHDOG, "(i)", t->event.detail);
            break;
        case HV_VIEWER:
            viewer_told(d, t->event.detail, t->name);
            break;
        }
    domain_unref(d);
    g_free(t->name);
    g_free(t);
    return G_SOURCE_REMOVE;
}

static void notify(const HvEvent *event, void *opaque)
{
    ManagedDomain *d = opaque;
    Told *t = g_new0(Told, 1);
    *t = (Told){ domain_ref(d), *event, g_strdup(event->name ? event->name : "") };
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_HIGH); /* before the done() of the job that caused it */
    g_source_set_callback(source, told, t, NULL);
    g_source_attach(source, NULL);
    g_source_unref(source);
}

void domain_set_state(ManagedDomain *d, DomainState state, int reason)
{
    d->state = state;
    d->reason = reason;
}

/* ---- start */
static bool not_taken(const Verb *v, GError **err)
{
    g_prefix_error(err, "the managed save of domain '%s' is not taken (`start --force-boot` discards it, and boots): ", v->domain->name);
    return false;
}

/* A managed save is what the next start goes on with. */
static bool take_managed_save(Verb *v, GError **err)
{
    g_autofree char *path = managed_save_path(v->domain);
    SavedHead head = { 0 };
    if (v->force_boot)
        return managed_save_remove(v->domain, err);
    v->state = saved_open(path, false, &head, err);
    v->live = v->state >= 0 ? saved_definition(v->domain->realm, &head, NULL, err) : NULL;
    v->managed = v->live;
    v->paused |= !head.running;
    g_free(head.xml);
    return v->live || not_taken(v, err);
}

static bool start_begin(Job *j, GError **err)
{
    Verb *v = j->data;
    if (!needs(v->domain, false, err) || (!v->live && managed_save_exists(v->domain) && !take_managed_save(v, err)))
        return false;
    if (!v->live)
        v->live = record_copy(v->domain->config);
    v->driver = hv_driver_for(v->live);
    v->live->id = v->domain->realm->next_id++;
    agent_expect(v->live, "disconnected");
    return network_prepare_cards(v->domain->realm, v->live, err) && secrets_hand_out(v->domain->realm, v->live, NULL, err) && domain_write_record(v->domain, v->live, err);
}

/* The managed save goes before the machine does: a later start would put this memory beside disks that have changed since. */
static bool go_on(const Verb *v, GError **err)
{
    return (!v->managed || managed_save_remove(v->domain, err)) && (v->paused || v->driver->pause(v->hv, false, err));
}

static bool start_run(Job *j, GError **err)
{
    Verb *v = j->data;
    const HvHost *host = &v->domain->realm->daemon->host;
    LaunchPlan *plan = launch_plan_new();
    plan->state = v->state;
    bool in_memory = v->domain->realm->in_memory;
    if ((!v->driver->prepare || v->driver->prepare(host, v->live, err)) && v->driver->plan(host, v->live, plan, err) &&
        (!v->new_variables || in_memory || firmware_make_variables(host, v->live, true, err)) && (in_memory || network_plug_cards(v->live, err)))
        v->hv = v->driver->start(host, v->live, plan, notify, v->domain, err);
    launch_plan_free(plan);
    if (!v->hv && !in_memory)
        network_unplug_cards(v->live);
    if (!v->hv)
        return v->managed ? not_taken(v, err) : false;
    if (!in_memory && !tuning_apply(host, v->live, tuning_wanted(v->live), err)) {
        tuning_forget(v->live);
        v->driver->stop(v->hv, HV_NOW, NULL);
        return false;
    }
    if (!pins_apply(v->driver, v->hv, v->live, err)) {
        v->driver->stop(v->hv, HV_NOW, NULL);
        return false;
    }
    if (go_on(v, err))
        return true;
    v->driver->stop(v->hv, HV_NOW, NULL);
    return false;
}

static void start_done(Job *j, GError *err)
{
    Verb *v = j->data;
    ManagedDomain *d = v->domain;
    if (v->live)
        secrets_take_back(&d->realm->daemon->host, v->live, NULL);
    if (v->hv && (err || d->gone)) {
        v->driver->release(v->hv);
    } else if (v->hv) {
        d->id = v->live->id;
        d->hv = v->hv;
        d->driver = v->driver;
        record_free(d->live);
        d->live = g_steal_pointer(&v->live);
        domain_write_record(d, d->live, NULL);
        d->started_us = g_get_monotonic_time();
        domain_set_state(d, v->paused ? DOMAIN_PAUSED : DOMAIN_RUNNING, v->paused ? PAUSED_USER : v->state >= 0 ? RUNNING_RESTORED : RUNNING_BOOTED);
        domain_lifecycle(d, LIFE_STARTED, v->state >= 0 ? STARTED_RESTORED : 0);
        domain_lifecycle(d, v->paused ? LIFE_SUSPENDED : LIFE_RESUMED, 0);
    }
    if (err && !domain_active(d))
        remove_record(d);
    if (err && !d->config && !d->gone && !domain_active(d))
        domain_remove(d);
    verb_end(v, err);
}

static const JobType start_type = { "start", start_begin, start_run, start_done };

void domain_start(ManagedDomain *d, unsigned flags, RpcCall *call, bool with_handle)
{
    Verb *v = verb_new(d, call);
    v->paused = flags & START_PAUSED;
    v->force_boot = flags & START_FORCE_BOOT;
    v->new_variables = flags & START_RESET_NVRAM;
    v->with_handle = with_handle;
    lane_push(d->lane, &start_type, v);
}

void domain_start_transient(ManagedDomain *d, Domain *def, unsigned flags, RpcCall *call)
{
    Verb *v = verb_new(d, call);
    v->paused = flags & START_PAUSED;
    v->new_variables = flags & START_RESET_NVRAM;
    v->with_handle = true;
    v->live = def;
    lane_push(d->lane, &start_type, v);
}

void domain_start_saved(ManagedDomain *d, Domain *def, int state, bool paused, RpcCall *call)
{
    Verb *v = verb_new(d, call);
    v->paused = paused;
    v->state = state;
    v->live = def;
    lane_push(d->lane, &start_type, v);
}

/* ---- stop and pause */
static bool running_begin(Job *j, GError **err)
{
    Verb *v = j->data;
    v->driver = v->domain->driver;
    v->hv = v->domain->hv;
    return needs(v->domain, true, err);
}

static bool stop_run(Job *j, GError **err)
{
    Verb *v = j->data;
    return v->driver->stop(v->hv, v->mode, err);
}

static void verb_done(Job *j, GError *err) { verb_end(j->data, err); }

void domain_stop(ManagedDomain *d, HvStopMode mode, RpcCall *call)
{
    static const JobType type = { "stop", running_begin, stop_run, verb_done };
    Verb *v = verb_new(d, call);
    v->mode = mode;
    lane_push(d->lane, &type, v);
}

static void restart_done(Job *j, GError *err)
{
    Verb *v = j->data;
    if (err && domain_active(v->domain))
        g_warning("domain '%s' has shut down to begin anew, and does not: %s", v->domain->name, err->message);
    verb_end(v, NULL);
}

/* A guest that was asked to reboot has ended. */
static void domain_restart(ManagedDomain *d)
{
    static const JobType type = { "restart", running_begin, stop_run, restart_done };
    Verb *v = verb_new(d, NULL);
    v->mode = HV_RESTART;
    lane_push(d->lane, &type, v);
}

static bool pause_run(Job *j, GError **err)
{
    Verb *v = j->data;
    return v->driver->pause(v->hv, v->paused, err);
}

void domain_pause(ManagedDomain *d, bool paused, RpcCall *call)
{
    static const JobType type = { "pause", running_begin, pause_run, verb_done };
    Verb *v = verb_new(d, call);
    v->paused = paused;
    lane_push(d->lane, &type, v);
}

/* ---- after a restart of the daemon: the machine of a record, if it still runs */
static bool reattach_run(Job *j, GError **err)
{
    Verb *v = j->data;
    v->hv = v->driver->reattach(&v->domain->realm->daemon->host, v->live, notify, v->domain, &v->paused, err);
    return v->hv;
}

static void reattach_done(Job *j, GError *err)
{
    Verb *v = j->data;
    ManagedDomain *d = v->domain;
    if (err) {
        g_info("domain '%s' ended while no daemon ran: %s", d->name, err->message);
        domain_has_stopped(d, HV_STOP_FAILED);
    } else {
        d->hv = v->hv;
        domain_set_state(d, v->paused ? DOMAIN_PAUSED : DOMAIN_RUNNING, v->paused ? PAUSED_USER : RUNNING_UNPAUSED);
    }
    verb_end(v, NULL);
}

void domain_reattach(ManagedDomain *d, Domain *live)
{
    static const JobType type = { "reattach", NULL, reattach_run, reattach_done };
    Verb *v = verb_new(d, NULL);
    record_free(d->live);
    agent_expect(live, NULL);
    d->live = record_copy(live);
    d->id = live->id;
    d->realm->next_id = MAX(d->realm->next_id, d->id + 1);
    d->driver = v->driver = hv_driver_for(live);
    v->live = live;
    domain_set_state(d, DOMAIN_RUNNING, RUNNING_UNPAUSED);
    lane_push(d->lane, &type, v);
}
