/* pins.c - threads that are kept to processors. */
#include "manage/daemon/pins.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/figures.h"
#include "manage/hypervisor/qmp.h"

/* ---- in definitions */
static GPtrArray **list_of(Domain *d, PinKind kind) { return kind == PIN_VCPU ? &d->vcpu_pins : &d->iothread_pins; }

static int index_of(const GPtrArray *list, uint64_t id)
{
    for (guint i = 0; list && i < list->len; i++)
        if (((Pin *)list->pdata[i])->id == id)
            return i;
    return -1;
}

const char *pin_of(const Domain *d, PinKind kind, uint64_t id)
{
    const GPtrArray *list = kind == PIN_EMULATOR ? NULL : *list_of((Domain *)d, kind);
    int at = index_of(list, id);
    const char *own = kind == PIN_EMULATOR ? d->emulator_pin : at >= 0 ? ((Pin *)list->pdata[at])->cpuset : NULL;
    return own ? own : d->cpuset;
}

static void set(char **to, const char *text)
{
    g_free(*to);
    *to = g_strdup(text);
}

void pin_set(Domain *d, PinKind kind, uint64_t id, const char *cpuset)
{
    if (kind == PIN_EMULATOR) {
        set(&d->emulator_pin, cpuset);
        return;
    }
    GPtrArray **list = list_of(d, kind);
    int at = index_of(*list, id);
    if (at < 0 && cpuset) {
        Pin *p = record_new(kind == PIN_VCPU ? &vcpu_pin_record : &iothread_pin_record);
        p->id = id;
        p->cpuset = g_strdup(cpuset);
        if (!*list)
            *list = g_ptr_array_new_with_free_func(record_free);
        g_ptr_array_add(*list, p);
    } else if (at >= 0 && cpuset) {
        set(&((Pin *)(*list)->pdata[at])->cpuset, cpuset);
    } else if (at >= 0) {
        g_ptr_array_remove_index(*list, at);
    }
}

/* ---- of running machines */
static int process_of(int thread)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", thread), *text = NULL;
    const char *at = g_file_get_contents(path, &text, NULL, NULL) ? strstr(text, "Tgid:") : NULL;
    return at ? atoi(at + strlen("Tgid:")) : 0;
}

/* An I/O thread is called iothreadN. */
static uint64_t id_of(JsonObject *o, PinKind kind)
{
    const char *name = kind == PIN_IOTHREAD ? qmp_text(o, "id", "") : "";
    if (kind == PIN_VCPU)
        return qmp_number(o, "cpu-index", 0);
    return g_str_has_prefix(name, "iothread") ? g_ascii_strtoull(name + strlen("iothread"), NULL, 10) : 0;
}

static bool add_threads(GArray *all, const HvDriver *v, HvDomain *hv, const char *name, PinKind kind, const char *command, GError **err)
{
    g_autoptr(JsonNode) answer = machine_monitor(v, hv, name, command, err);
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        int thread = o ? qmp_number(o, "thread-id", 0) : 0;
        if (thread > 0)
            g_array_append_val(all, ((MachineThread){ kind, id_of(o, kind), thread }));
    }
    return answer;
}

GArray *machine_threads(const HvDriver *v, HvDomain *hv, const char *name, GError **err)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(MachineThread));
    bool ok = add_threads(all, v, hv, name, PIN_VCPU, "{\"execute\": \"query-cpus-fast\"}", err) &&
              add_threads(all, v, hv, name, PIN_IOTHREAD, "{\"execute\": \"query-iothreads\"}", err);
    int process = ok && all->len ? process_of(g_array_index(all, MachineThread, 0).thread) : 0;
    if (ok && !process)
        ok = error_set(err, ERR_IO, "domain '%s' tells of no processor", name);
    if (ok)
        g_array_prepend_val(all, ((MachineThread){ PIN_EMULATOR, 0, process }));
    if (!ok)
        g_clear_pointer(&all, g_array_unref);
    return all;
}

static bool pin_thread(int thread, const cpu_set_t *set, GError **err)
{
    return sched_setaffinity(thread, sizeof *set, set) == 0 || error_set(err, ERR_IO, "thread %d cannot be kept to these processors: %s", thread, g_strerror(errno));
}

static bool is_other(const GArray *threads, int thread)
{
    for (guint i = 0; i < threads->len; i++)
        if (g_array_index(threads, MachineThread, i).thread == thread && g_array_index(threads, MachineThread, i).kind != PIN_EMULATOR)
            return false;
    return true;
}

static bool pin_others(const GArray *threads, const cpu_set_t *set, GError **err)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", g_array_index(threads, MachineThread, 0).thread);
    g_autoptr(GDir) dir = g_dir_open(path, 0, err);
    bool ok = dir;
    for (const char *name; ok && (name = g_dir_read_name(dir));)
        ok = !is_other(threads, atoi(name)) || pin_thread(atoi(name), set, err);
    return ok;
}

bool pin_threads(const GArray *threads, PinKind kind, uint64_t id, const char *cpuset, GError **err)
{
    uint8_t map[CPUSET_BYTES];
    cpu_set_t set;
    if (!cpuset_read(cpuset, map, err))
        return false;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < MIN(CPUSET_MOST, CPU_SETSIZE); i++)
        if (map[i / 8] & 1 << i % 8)
            CPU_SET(i, &set);
    if (kind == PIN_EMULATOR)
        return pin_others(threads, &set, err);
    for (guint i = 0; i < threads->len; i++) {
        const MachineThread *t = &g_array_index(threads, MachineThread, i);
        if (t->kind == kind && t->id == id)
            return pin_thread(t->thread, &set, err);
    }
    return rpc_error_set(err, RPC_ERR_INVALID_ARG, "the machine has no %s %" G_GUINT64_FORMAT " now", kind == PIN_VCPU ? "processor" : "I/O thread", id);
}

static bool says_any(const Domain *d) { return d->cpuset || d->emulator_pin || (d->vcpu_pins && d->vcpu_pins->len) || (d->iothread_pins && d->iothread_pins->len); }

bool pins_apply(const HvDriver *v, HvDomain *hv, const Domain *d, GError **err)
{
    if (!v->monitor || !says_any(d))
        return true;
    g_autoptr(GArray) threads = machine_threads(v, hv, d->name, err);
    bool ok = threads;
    for (guint i = 0; ok && i < threads->len; i++) {
        const MachineThread *t = &g_array_index(threads, MachineThread, i);
        const char *cpuset = pin_of(d, t->kind, t->id);
        ok = !cpuset || pin_threads(threads, t->kind, t->id, cpuset, err);
    }
    if (!ok)
        g_prefix_error(err, "domain '%s': ", d->name);
    return ok;
}
