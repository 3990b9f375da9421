/* vmm.c - machines that atoll-vm or qemu-system-x86_64 runs: started as processes of their own, driven over QMP. */
#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/hypervisor/address.h"
#include "manage/hypervisor/claim.h"
#include "manage/hypervisor/firmware.h"
#include "manage/hypervisor/image.h"
#include "manage/hypervisor/plan.h"
#include "manage/hypervisor/vmm_inside.h"

enum { QUIT_WAIT_MS = 5000, POLL_MS = 20, REATTACH_WAIT_S = 60 };

/* ---- what a machine tells */
void vmm_tell(HvDomain *d, HvEventKind kind, int detail, int64_t value, const char *name)
{
    d->notify(&(HvEvent){ .kind = kind, .detail = detail, .value = value, .name = name }, d->opaque);
}

static void on_shutdown(HvDomain *d, JsonObject *data)
{
    const char *reason = qmp_text(data, "reason", "");
    if (d->said_how && d->how != HV_STOP_CRASHED) /* it was told to end */
        return;
    if (!d->said_how)
        d->how = !strcmp(reason, "guest-panic") ? HV_STOP_CRASHED : HV_STOP_SHUTDOWN;
    d->said_how = true;
    vmm_tell(d, HV_SHUTDOWN, 0, 0, NULL);
}

/* A guest that has ended in a machine that stays: it was told to (reboot()).  The machine itself remembers that, so no daemon that ends in between loses it. */
static void on_stop(HvDomain *d, JsonObject *data)
{
    bool off = d->said_how && d->how == HV_STOP_SHUTDOWN;
    d->said_how &= !off;
    vmm_tell(d, off ? HV_OFF : HV_PAUSED, 0, 0, NULL);
}
static void on_resume(HvDomain *d, JsonObject *data) { vmm_tell(d, HV_RESUMED, 0, 0, NULL); }
static void on_reset(HvDomain *d, JsonObject *data) { vmm_tell(d, HV_REBOOT, 0, 0, NULL); }
static void on_panic(HvDomain *d, JsonObject *data) { d->how = HV_STOP_CRASHED; d->said_how = true; }
/* The parts of a device have paths and no names. */
static void let_go(HvDomain *d, JsonObject *data, HvEventKind kind)
{
    const char *device = qmp_text(data, "device", "");
    if (!*device)
        return;
    vmm_device_answered(d, device, kind == HV_DEVICE_REMOVED);
    vmm_tell(d, kind, 0, 0, device);
}
static void on_deleted(HvDomain *d, JsonObject *data) { let_go(d, data, HV_DEVICE_REMOVED); }
static void on_refused(HvDomain *d, JsonObject *data) { let_go(d, data, HV_DEVICE_REFUSED); }
static void on_tray(HvDomain *d, JsonObject *data)
{
    vmm_tell(d, HV_TRAY, qmp_flag(data, "tray-open", false), 0, qmp_text(data, "id", ""));
}
static void on_balloon(HvDomain *d, JsonObject *data)
{
    d->memory = qmp_number(data, "actual", 0);
    vmm_tell(d, HV_BALLOON, 0, d->memory, NULL);
}
static void on_rtc(HvDomain *d, JsonObject *data) { vmm_tell(d, HV_RTC, 0, qmp_number(data, "offset", 0), NULL); }
static void on_port(HvDomain *d, JsonObject *data) { vmm_tell(d, HV_AGENT, qmp_flag(data, "open", false), 0, qmp_text(data, "id", "")); }
/* Numbers are virDomainEventIOErrorAction's. */
static void on_io_error(HvDomain *d, JsonObject *data)
{
    const char *action = qmp_text(data, "action", "report");
    vmm_tell(d, HV_IO_ERROR, !strcmp(action, "stop") ? 1 : !strcmp(action, "report") ? 2 : 0, 0, qmp_text(data, "node-name", ""));
}

static void on_job(HvDomain *d, JsonObject *data, HvJobStatus status)
{
    if (status == HV_JOB_COMPLETED && json_object_has_member(data, "error"))
        status = HV_JOB_FAILED;
    vmm_tell(d, HV_BLOCK_JOB, status, 0, qmp_text(data, "device", ""));
}
static void on_job_completed(HvDomain *d, JsonObject *data) { on_job(d, data, HV_JOB_COMPLETED); }
static void on_job_cancelled(HvDomain *d, JsonObject *data) { on_job(d, data, HV_JOB_CANCELLED); }
static void on_job_ready(HvDomain *d, JsonObject *data) { on_job(d, data, HV_JOB_READY); }

/* virDomainEventWatchdogAction */
static void on_watchdog(HvDomain *d, JsonObject *data)
{
    static const char *const actions[] = { "none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi", NULL };
    vmm_tell(d, HV_WATCHDOG, MAX(record_word_value(actions, qmp_text(data, "action", "none")), 1) - 1, 0, NULL);
}

static void on_viewer(HvDomain *d, JsonObject *data, int phase)
{
    JsonObject *client = qmp_member(data, "client");
    vmm_tell(d, HV_VIEWER, phase, 0, client ? qmp_text(client, "host", "") : "");
}
static void on_viewer_come(HvDomain *d, JsonObject *data) { on_viewer(d, data, 0); }
static void on_viewer_known(HvDomain *d, JsonObject *data) { on_viewer(d, data, 1); }
static void on_viewer_gone(HvDomain *d, JsonObject *data) { on_viewer(d, data, 2); }

static const struct {
    const char *event;
    void (*told)(HvDomain *d, JsonObject *data);
} events[] = {
    { "SHUTDOWN", on_shutdown }, { "STOP", on_stop }, { "RESUME", on_resume }, { "RESET", on_reset }, { "GUEST_PANICKED", on_panic }, { "DEVICE_DELETED", on_deleted },
    { "DEVICE_TRAY_MOVED", on_tray }, { "BALLOON_CHANGE", on_balloon }, { "RTC_CHANGE", on_rtc }, { "VSERPORT_CHANGE", on_port }, { "BLOCK_IO_ERROR", on_io_error },
    { "DEVICE_UNPLUG_GUEST_ERROR", on_refused }, { "BLOCK_JOB_COMPLETED", on_job_completed }, { "BLOCK_JOB_CANCELLED", on_job_cancelled }, { "BLOCK_JOB_READY", on_job_ready },
    { "WATCHDOG", on_watchdog }, { "VNC_CONNECTED", on_viewer_come }, { "VNC_INITIALIZED", on_viewer_known }, { "VNC_DISCONNECTED", on_viewer_gone },
};

static void on_event(const char *name, JsonObject *data, void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(events); i++)
        if (!strcmp(events[i].event, name))
            events[i].told(opaque, data);
}

/* A machine that went without a word crashed. */
static void on_closed(void *opaque)
{
    HvDomain *d = opaque;
    vmm_tell(d, HV_STOPPED, d->said_how ? d->how : HV_STOP_CRASHED, 0, NULL);
}

static const QmpListener listener = { on_event, on_closed };

/* ---- start */
static bool make_runtime(const HvHost *h, GError **err)
{
    g_autofree char *folder = g_build_filename(h->runtime_dir, "domains", NULL);
    return !g_mkdir_with_parents(folder, 0700) || error_set_errno(err, errno, "cannot make the folder '%s'", folder);
}

/* The last line that the program said. */
static const char *last_line(char *text)
{
    g_strchomp(text);
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

/* Returns when the machine is made and in the background, or with what was wrong.  Takes the claim, which the machine inherits. */
static bool launch(const LaunchPlan *p, int claim, GError **err)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autofree char *said = NULL;
    for (guint i = 0; i < p->argv->len; i++)
        g_ptr_array_add(argv, p->argv->pdata[i]);
    g_ptr_array_add(argv, NULL);
    g_subprocess_launcher_set_cwd(launcher, "/");
    g_subprocess_launcher_take_fd(launcher, claim, claim);
    g_autoptr(GSubprocess) process = g_subprocess_launcher_spawnv(launcher, (const char *const *)argv->pdata, err);
    g_subprocess_launcher_close(launcher); /* from here on the lock is the machine's alone */
    if (!process || !g_subprocess_communicate_utf8(process, NULL, NULL, NULL, &said, err)) {
        g_prefix_error(err, "cannot start '%s': ", (char *)p->argv->pdata[0]);
        return false;
    }
    if (!g_subprocess_get_successful(process))
        return error_set(err, ERR_INVALID, "%s", *last_line(said) ? last_line(said) : "the emulator failed without a word");
    return true;
}

static int read_pid(const char *path)
{
    g_autofree char *text = NULL;
    int pid = g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
    return pid > 1 ? pid : 0; /* kill() of what is not positive would reach the daemon itself, and more */
}

/* Its process's number stands in the file before its monitor answers. */
static void connect_monitor(HvDomain *d, GError **err)
{
    d->qmp = qmp_connect(d->monitor_path, &listener, d, err);
    d->pid = read_pid(d->pid_path);
}

static HvDomain *adopt(const HvHost *h, const Domain *def, HvNotify *notify, void *opaque, GError **err)
{
    HvDomain *d = g_new0(HvDomain, 1);
    d->host = h;
    d->pid_path = plan_pid_path(h, def);
    d->monitor_path = plan_monitor_path(h, def);
    d->name = g_strdup(def->name);
    d->memory = def->current_memory;
    d->notify = notify;
    d->opaque = opaque;
    d->uuid = g_strdup(def->uuid);
    g_mutex_init(&d->lock);
    g_cond_init(&d->cond);
    d->answered = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    connect_monitor(d, err);
    return d;
}

/* Of a machine that an earlier daemon was starting the monitor may yet come. */
static void wait_for_monitor(HvDomain *d, const HvHost *h, const Domain *def, GError **err)
{
    for (gint64 end = g_get_monotonic_time() + REATTACH_WAIT_S * G_USEC_PER_SEC; !d->qmp && machine_lives(h, def) && g_get_monotonic_time() < end;) {
        g_usleep(POLL_MS * 1000);
        g_clear_error(err);
        connect_monitor(d, err);
    }
}

static void forget(HvDomain *d)
{
    qmp_free(d->qmp);
    g_hash_table_unref(d->answered);
    g_mutex_clear(&d->lock);
    g_cond_clear(&d->cond);
    g_free(d->name);
    g_free(d->uuid);
    g_free(d->pid_path);
    g_free(d->monitor_path);
    g_free(d);
}

/* A member of each element of an answer's array whose `key` is `is`. */
static const char *find_member(JsonNode *answer, const char *key, const char *is, const char *member)
{
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        if (o && !g_strcmp0(qmp_text(o, key, NULL), is))
            return qmp_text(o, member, NULL);
    }
    return NULL;
}

static void learn_terminals(GPtrArray *lines, JsonNode *chardevs)
{
    for (guint i = 0; lines && i < lines->len; i++) {
        Character *c = lines->pdata[i];
        g_autofree char *label = g_strconcat("char", c->alias, NULL);
        const char *file = c->type == CHAR_PTY ? find_member(chardevs, "label", label, "filename") : NULL;
        if (!file || !g_str_has_prefix(file, "pty:"))
            continue;
        g_free(c->tty);
        g_free(c->path);
        c->tty = g_strdup(file + strlen("pty:"));
        c->path = g_strdup(c->tty);
    }
}

/* As an attribute and as an element, as libvirt writes it: virt-viewer looks for the element before it looks at the port. */
static void learn_listen(Graphics *g, const char *host)
{
    if (!g->listen)
        g->listen = g_strdup(host);
    if (!g->listens)
        g->listens = g_ptr_array_new_with_free_func(record_free);
    if (g->listens->len == 0) {
        Listen *l = record_new(&listen_record);
        l->type = 1; /* address */
        g_ptr_array_add(g->listens, l);
    }
    Listen *first = g->listens->pdata[0];
    if (first->type == 1 && !first->address)
        first->address = g_strdup(host);
}

static void learn_port(HvDomain *d, const Domain *def)
{
    Graphics *g = def->devices->graphics && def->devices->graphics->len ? def->devices->graphics->pdata[0] : NULL;
    g_autoptr(JsonNode) vnc = NULL;
    if (!g || g->socket || !qmp_execute(d->qmp, "query-vnc", NULL, &vnc, NULL) || !JSON_NODE_HOLDS_OBJECT(vnc))
        return;
    const char *port = qmp_text(json_node_get_object(vnc), "service", NULL), *host = qmp_text(json_node_get_object(vnc), "host", NULL);
    if (port && host)
        learn_listen(g, host);
    if (port) {
        g_free(g->port);
        g->port = g_strdup(port);
    }
}

static bool vmm_set_password(HvDomain *d, const Graphics *g, GError **err)
{
    if (!g->password)
        return error_set(err, ERR_INVALID, "a password that is set cannot be taken away while the machine runs");
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "protocol", "vnc");
    json_object_set_string_member(o, "password", g->password);
    JsonNode *args = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    return qmp_execute(d->qmp, "set_password", args, NULL, err);
}

static bool set_passwords(HvDomain *d, const Domain *def, GError **err)
{
    const Graphics *g = def->devices->graphics && def->devices->graphics->len ? def->devices->graphics->pdata[0] : NULL;
    return !g || !g->password || vmm_set_password(d, g, err);
}

/* Limits are no part of the command line. */
static bool set_limits(HvDomain *d, const Domain *def, GError **err)
{
    for (guint i = 0; def->devices->disks && i < def->devices->disks->len; i++) {
        const Disk *disk = def->devices->disks->pdata[i];
        if (disk->iotune && !vmm_limit(d, disk, disk->iotune, err))
            return false;
    }
    return true;
}

static void learn(HvDomain *d, Domain *def)
{
    g_autoptr(JsonNode) chardevs = NULL;
    if (qmp_execute(d->qmp, "query-chardev", NULL, &chardevs, NULL)) {
        learn_terminals(def->devices->serials, chardevs);
        learn_terminals(def->devices->consoles, chardevs);
        learn_terminals(def->devices->channels, chardevs);
    }
    learn_port(d, def);
}

static HvDomain *vmm_start(const HvHost *h, Domain *def, const LaunchPlan *p, HvNotify *notify, void *opaque, GError **err)
{
    int claim = make_runtime(h, err) && firmware_make_variables(h, def, false, err) ? machine_claim(h, def, err) : -1;
    if (claim < 0 || !launch(p, claim, err)) {
        if (claim >= 0)
            machine_unclaim(h, def->uuid);
        return NULL;
    }
    HvDomain *d = adopt(h, def, notify, opaque, err);
    if (d->qmp && set_passwords(d, def, err) && set_limits(d, def, err) && (p->state < 0 || vmm_load(d, p->state, err))) {
        learn(d, def);
        return d;
    }
    if (d->pid > 0)
        kill(d->pid, SIGKILL);
    machine_unclaim(h, def->uuid);
    forget(d);
    return NULL;
}

static HvDomain *vmm_reattach(const HvHost *h, Domain *def, HvNotify *notify, void *opaque, bool *ret_paused, GError **err)
{
    HvDomain *d = adopt(h, def, notify, opaque, err);
    g_autoptr(JsonNode) status = NULL;
    wait_for_monitor(d, h, def, err);
    bool ok = d->qmp && qmp_execute(d->qmp, "query-status", NULL, &status, err);
    if (ok && !JSON_NODE_HOLDS_OBJECT(status))
        ok = error_set(err, ERR_IO, "query-status: the machine answered nonsense");
    if (ok) {
        *ret_paused = !qmp_flag(json_node_get_object(status), "running", true);
        if (!strcmp(qmp_text(json_node_get_object(status), "status", ""), "shutdown"))
            vmm_tell(d, HV_OFF, 0, 0, NULL);
        return d;
    }
    if (machine_lives(h, def) && d->pid > 0) { /* it hangs: it is there nevertheless, and can be destroyed */
        g_warning("domain '%s' lives as process %d and does not answer: %s", d->name, d->pid, (*err)->message);
        g_clear_error(err);
        qmp_free(g_steal_pointer(&d->qmp));
        *ret_paused = false;
        return d;
    }
    machine_unclaim(h, def->uuid);
    forget(d);
    return NULL;
}

static void vmm_release(HvDomain *d)
{
    g_unlink(d->monitor_path); /* of a machine that lives on the daemon's end never comes here: see vmm_leave() */
    g_unlink(d->pid_path);
    machine_unclaim(d->host, d->uuid);
    forget(d);
}

static void vmm_leave(HvDomain *d) { forget(d); }

/* ---- verbs */
static bool gone(const HvDomain *d) { return d->pid <= 0 || (kill(d->pid, 0) < 0 && errno == ESRCH); }

static bool wait_gone(const HvDomain *d)
{
    for (int ms = 0; ms < QUIT_WAIT_MS; ms += POLL_MS) {
        if (gone(d))
            return true;
        g_usleep(POLL_MS * 1000);
    }
    return false;
}

static bool destroy(HvDomain *d, HvStop how, GError **err)
{
    if (d->pid <= 0)
        return error_set(err, ERR_NOT_FOUND, "the process of domain '%s' is not known: '%s' does not say it", d->name, d->pid_path);
    d->how = how;
    d->said_how = true;
    kill(d->pid, SIGTERM);
    bool ok = wait_gone(d);
    if (!ok) {
        kill(d->pid, SIGKILL);
        ok = wait_gone(d);
    }
    if (ok && !d->qmp) /* nobody else tells */
        on_closed(d);
    return ok || error_set(err, ERR_BUSY, "process %d of domain '%s' does not end, not even by SIGKILL: it waits for its disks", d->pid, d->name);
}

/* What the guest's end is: the machine's, or a pause in which it can be reset. */
static bool at_end(HvDomain *d, const char *action, GError **err) { return qmp_executef(d->qmp, NULL, err, "set-action", "{\"shutdown\": \"%s\"}", action); }

static bool press_button(HvDomain *d, bool reboot, GError **err)
{
    return at_end(d, reboot ? "pause" : "poweroff", err) && qmp_execute(d->qmp, "system_powerdown", NULL, NULL, err);
}

static bool restart(HvDomain *d, GError **err)
{
    return at_end(d, "poweroff", err) && qmp_execute(d->qmp, "system_reset", NULL, NULL, err) && qmp_execute(d->qmp, "cont", NULL, NULL, err);
}

static bool vmm_stop(HvDomain *d, HvStopMode mode, GError **err)
{
    switch (mode) {
    case HV_NOW:
        return destroy(d, HV_STOP_DESTROYED, err);
    case HV_SAVED:
        return destroy(d, HV_STOP_SAVED, err);
    case HV_RESET:
        return qmp_execute(d->qmp, "system_reset", NULL, NULL, err);
    case HV_ASK:
    case HV_REBOOT_ASK:
        return press_button(d, mode == HV_REBOOT_ASK, err);
    case HV_RESTART:
        return restart(d, err);
    case HV_ASK_NOT:
        return at_end(d, "poweroff", err);
    }
    g_assert_not_reached();
}

static bool vmm_pause(HvDomain *d, bool paused, GError **err) { return qmp_execute(d->qmp, paused ? "stop" : "cont", NULL, NULL, err); }

/* From /proc: never waits. */
static bool vmm_stats(HvDomain *d, HvStats *ret, GError **err)
{
    g_autofree char *stat = NULL, *statm = NULL, *stat_path = g_strdup_printf("/proc/%d/stat", d->pid), *statm_path = g_strdup_printf("/proc/%d/statm", d->pid);
    unsigned long long user, system, pages;
    *ret = (HvStats){ .memory_actual = d->memory, .memory_rss = RECORD_NONE };
    const char *rest = g_file_get_contents(stat_path, &stat, NULL, NULL) ? strrchr(stat, ')') : NULL;
    if (rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) == 2) {
        ret->user_ns = user * (1000000000ULL / sysconf(_SC_CLK_TCK));
        ret->system_ns = system * (1000000000ULL / sysconf(_SC_CLK_TCK));
        ret->cpu_ns = ret->user_ns + ret->system_ns;
    }
    if (g_file_get_contents(statm_path, &statm, NULL, NULL) && sscanf(statm, "%*u %llu", &pages) == 1)
        ret->memory_rss = pages * sysconf(_SC_PAGESIZE);
    return true;
}

static bool vmm_set_memory(HvDomain *d, uint64_t bytes, GError **err) { return qmp_executef(d->qmp, NULL, err, "balloon", "{\"value\": %" G_GUINT64_FORMAT "}", bytes); }

static bool vmm_monitor(HvDomain *d, const char *command, bool hmp, char **ret, GError **err)
{
    JsonNode *args = NULL;
    g_autoptr(JsonNode) answer = NULL;
    g_autofree char *name = g_strdup("human-monitor-command");
    JsonObject *o = json_object_new();
    if (hmp) {
        json_object_set_string_member(o, "command-line", command);
        args = json_node_init_object(json_node_alloc(), o);
    } else {
        g_autoptr(JsonNode) given = json_from_string(command, err);
        if (!given || !JSON_NODE_HOLDS_OBJECT(given)) {
            json_object_unref(o);
            return given ? error_set(err, ERR_INVALID, "the command is no JSON object") : false;
        }
        g_free(name);
        name = g_strdup(qmp_text(json_node_get_object(given), "execute", ""));
        JsonNode *inner = json_object_get_member(json_node_get_object(given), "arguments");
        args = inner ? json_node_copy(inner) : NULL;
    }
    json_object_unref(o);
    if (!qmp_execute(d->qmp, name, args, &answer, err))
        return false;
    if (hmp && JSON_NODE_HOLDS_VALUE(answer) && json_node_get_value_type(answer) == G_TYPE_STRING) {
        *ret = json_node_dup_string(answer);
    } else {
        g_autofree char *text = json_to_string(answer, false);
        *ret = g_strdup_printf("{\"return\":%s}", text);
    }
    return true;
}

static bool vmm_screenshot(HvDomain *d, unsigned screen, char **ret_path, GError **err)
{
    g_autofree char *path = g_strconcat(d->monitor_path, ".png", NULL);
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "filename", path);
    json_object_set_string_member(o, "format", "png");
    JsonNode *args = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    if (!qmp_execute(d->qmp, "screendump", args, NULL, err))
        return false;
    *ret_path = g_steal_pointer(&path);
    return true;
}

/* What lies below a disk's image is said by its header; where the definition says it, that counts. */
bool vmm_find_chain(const HvHost *h, Disk *disk, GError **err)
{
    const char *path = image_path(disk);
    if (disk->backing || !path || !disk->format || !strcmp(disk->format, "raw") || disk->device != DISK_DISK || !g_file_test(path, G_FILE_TEST_EXISTS))
        return true;
    disk->backing = image_chain(h->image_tool, path, disk->format, 1, err);
    if (!disk->backing)
        g_prefix_error(err, "disk '%s': ", disk->target);
    return disk->backing;
}

static void name_channels(const HvHost *h, Domain *def)
{
    for (guint i = 0; def->devices->channels && i < def->devices->channels->len; i++) {
        Character *c = def->devices->channels->pdata[i];
        if (c->type == CHAR_UNIX && !c->path)
            c->path = plan_channel_path(h, def, c->target_name ? c->target_name : c->alias);
    }
}

static bool settle(const PlanFlavour *f, const HvHost *h, Domain *d, GError **err) { return firmware_choose(h, d, f->smm, err) && address_assign(d, err); }
static bool atoll_settle(const HvHost *h, Domain *d, GError **err) { return settle(&plan_atoll, h, d, err); }
static bool qemu_settle(const HvHost *h, Domain *d, GError **err) { return settle(&plan_qemu, h, d, err); }

static bool vmm_name_device(const Domain *live, void *device, GError **err) { return plan_name_device(live, device, err) && address_place(live, device, err); }

static bool vmm_prepare(const PlanFlavour *f, const HvHost *h, Domain *def, GError **err)
{
    if (!settle(f, h, def, err)) /* of one that is in no file, or was defined by an older daemon */
        return false;
    plan_aliases(def);
    name_channels(h, def);
    for (guint i = 0; def->devices->disks && i < def->devices->disks->len; i++)
        if (!vmm_find_chain(h, def->devices->disks->pdata[i], err))
            return false;
    return true;
}

static bool atoll_prepare(const HvHost *h, Domain *d, GError **err) { return vmm_prepare(&plan_atoll, h, d, err); }
static bool qemu_prepare(const HvHost *h, Domain *d, GError **err) { return vmm_prepare(&plan_qemu, h, d, err); }

static bool vmm_nmi(HvDomain *d, GError **err) { return qmp_execute(d->qmp, "inject-nmi", NULL, NULL, err); }

static bool atoll_plan(const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err) { return plan_machine(&plan_atoll, h, d, ret, err); }
static bool qemu_plan(const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err) { return plan_machine(&plan_qemu, h, d, ret, err); }

#define VMM(NAME, SUMMARY, OWN)                                                                                                                           \
    { .name = NAME, .summary = SUMMARY, .settle = OWN##_settle, .prepare = OWN##_prepare, .plan = OWN##_plan, .start = vmm_start, .reattach = vmm_reattach, .release = vmm_release,       \
      .leave = vmm_leave, .stop = vmm_stop, .pause = vmm_pause, .stats = vmm_stats, .set_memory = vmm_set_memory, .monitor = vmm_monitor,                 \
      .screenshot = vmm_screenshot, .name_device = vmm_name_device, .controller_for = address_controller_for, .attach = vmm_attach, .detach = vmm_detach, .detached = vmm_detached,                \
      .change_medium = vmm_change_medium, .set_link = vmm_set_link, .set_password = vmm_set_password, .disk_stats = vmm_disk_stats,                       \
      .resize = vmm_resize, .limit = vmm_limit, .overlay = vmm_overlay, .forget_node = vmm_forget_node, .job_start = vmm_job_start,                       \
      .job_act = vmm_job_act, .job_find = vmm_job_find, .save = vmm_save, .nmi = vmm_nmi, .send_keys = vmm_send_keys }
const HvDriver atoll_driver = VMM("atoll", "machines that atoll-vm runs", atoll);
const HvDriver qemu_driver = VMM("qemu", "machines that qemu-system-x86_64 runs", qemu);
