/* handlers_pin.c - on which of the host's processors a running machine's threads may run (sched_setaffinity(2)). */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/figures.h"

enum { EMULATOR = -1 /* the threads that are no virtual processor's */, MAP_MOST = 1024 /* bytes */ };

typedef struct PinTask {
    int vcpu;
    GVariant *map;       /* to be set; NULL: asked for */
    guint room, map_bytes, where;
    unsigned guest_cpus, host_cpus;
    GByteArray *answer;
    bool running;
} PinTask;

static void pin_task_free(void *data)
{
    PinTask *k = data;
    g_clear_pointer(&k->map, g_variant_unref);
    g_byte_array_unref(k->answer);
    g_free(k);
}

static bool pin_begin(Task *t, GError **err)
{
    PinTask *k = t->data;
    ManagedDomain *d = t->domain;
    k->where = domain_affected(d, k->where);
    k->running = t->hv && !(k->where & AFFECT_CONFIG);
    k->guest_cpus = domain_vcpus(domain_now(d));
    if (k->map && (k->where & AFFECT_CONFIG))
        return rpc_error_set(err, RPC_ERR_OPERATION_UNSUPPORTED, "definitions keep no processors for threads yet: --live pins those of a running machine");
    if ((k->where & AFFECT_LIVE) && !t->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    return !k->map || k->vcpu == EMULATOR || (unsigned)k->vcpu < k->guest_cpus ||
           rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no processor %d: they are 0 to %u", d->name, k->vcpu, k->guest_cpus - 1);
}

/* ---- asking */
static void add_map(PinTask *k, const cpu_set_t *set)
{
    guint base = k->answer->len;
    g_byte_array_set_size(k->answer, base + k->map_bytes);
    memset(k->answer->data + base, 0, k->map_bytes);
    for (unsigned cpu = 0; cpu < k->host_cpus && cpu < CPU_SETSIZE && cpu / 8 < k->map_bytes; cpu++)
        if (!set || CPU_ISSET(cpu, set))
            k->answer->data[base + cpu / 8] |= 1 << cpu % 8;
}

static void add_thread(PinTask *k, int64_t thread)
{
    cpu_set_t set;
    bool known = thread > 0 && sched_getaffinity(thread, sizeof set, &set) == 0;
    add_map(k, known ? &set : NULL);
}

/* ---- setting */
static bool pin_thread(int64_t thread, const cpu_set_t *set, GError **err)
{
    return sched_setaffinity(thread, sizeof *set, set) == 0 || error_set(err, ERR_IO, "thread %d cannot be kept to these processors: %s", (int)thread, g_strerror(errno));
}

static int process_of(int64_t thread)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)thread), *text = NULL;
    const char *at = g_file_get_contents(path, &text, NULL, NULL) ? strstr(text, "Tgid:") : NULL;
    return at ? atoi(at + strlen("Tgid:")) : 0;
}

static bool is_vcpu(const GArray *vcpus, int thread)
{
    for (guint i = 0; i < vcpus->len; i++)
        if (g_array_index(vcpus, VcpuFigures, i).thread == thread)
            return true;
    return false;
}

static bool pin_others(const GArray *vcpus, const cpu_set_t *set, GError **err)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", process_of(g_array_index(vcpus, VcpuFigures, 0).thread));
    g_autoptr(GDir) dir = g_dir_open(path, 0, err);
    bool ok = dir;
    for (const char *name; ok && (name = g_dir_read_name(dir));)
        ok = is_vcpu(vcpus, atoi(name)) || pin_thread(atoi(name), set, err);
    return ok;
}

static bool pin(const PinTask *k, const GArray *vcpus, GError **err)
{
    cpu_set_t set;
    gsize bytes;
    const guint8 *map = g_variant_get_fixed_array(k->map, &bytes, 1);
    CPU_ZERO(&set);
    for (gsize cpu = 0; cpu < MIN(bytes * 8, (gsize)k->host_cpus); cpu++)
        if (map[cpu / 8] & 1 << cpu % 8)
            CPU_SET(cpu, &set);
    if (!CPU_COUNT(&set))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "none of these processors is one of the host's, which has %u", k->host_cpus);
    if (k->vcpu == EMULATOR)
        return pin_others(vcpus, &set, err);
    for (guint i = 0; i < vcpus->len; i++)
        if (g_array_index(vcpus, VcpuFigures, i).id == (unsigned)k->vcpu)
            return pin_thread(g_array_index(vcpus, VcpuFigures, i).thread, &set, err);
    return rpc_error_set(err, RPC_ERR_INVALID_ARG, "the machine has no processor %d now", k->vcpu);
}

static bool pin_run(Task *t, GError **err)
{
    PinTask *k = t->data;
    if (!k->running || !t->driver->monitor) {
        for (guint i = 0; i < (k->vcpu == EMULATOR ? 1 : MIN(k->room, k->guest_cpus)); i++)
            add_map(k, NULL);
        return !k->map || task_unsupported(t, "be kept to processors", err);
    }
    g_autoptr(GArray) vcpus = vcpu_figures(t, k->guest_cpus, err);
    if (!vcpus || !vcpus->len)
        return vcpus && error_set(err, ERR_IO, "the machine tells of no processor");
    if (k->map)
        return pin(k, vcpus, err);
    if (k->vcpu == EMULATOR)
        add_thread(k, process_of(g_array_index(vcpus, VcpuFigures, 0).thread));
    for (guint i = 0; k->vcpu != EMULATOR && i < MIN(k->room, vcpus->len); i++)
        add_thread(k, g_array_index(vcpus, VcpuFigures, i).thread);
    return true;
}

static bool pin_done(Task *t, GError **err)
{
    const PinTask *k = t->data;
    int n = k->map_bytes ? k->answer->len / k->map_bytes : 0;
    if (!k->map)
        t->reply = g_variant_new("(@ayi)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, k->answer->data, k->answer->len, 1), n);
    return true;
}

static void push(Client *c, ManagedDomain *d, RpcCall *call, int vcpu, GVariant *map, gint64 room, gint64 map_bytes, guint flags)
{
    static const TaskType type = { .name = "pin", .query = true, .begin = pin_begin, .run = pin_run, .done = pin_done, .free = pin_task_free };
    if (room < 0 || room > 4096 || map_bytes < 0 || map_bytes > MAP_MOST || (!map && !map_bytes)) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "%d maps of %d bytes are not what there can be", (int)room, (int)map_bytes);
        return;
    }
    PinTask *k = g_new0(PinTask, 1);
    *k = (PinTask){ .vcpu = vcpu, .map = map ? g_variant_ref(map) : NULL, .room = room, .map_bytes = map_bytes, .where = flags, .host_cpus = c->daemon->host.cpus, .answer = g_byte_array_new() };
    task_push(d, call, &type, k);
}

static void pin_vcpu(Client *c, RpcCall *call, GVariant *args)
{
    guint vcpu, flags = AFFECT_LIVE;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_autoptr(GVariant) map = g_variant_get_child_value(args, 2);
    g_variant_get_child(args, 1, "u", &vcpu);
    if (g_variant_n_children(args) > 3)
        g_variant_get_child(args, 3, "u", &flags);
    push(c, d, call, MIN(vcpu, (guint)G_MAXINT), map, 0, 0, flags);
}

static void pin_emulator(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_autoptr(GVariant) map = g_variant_get_child_value(args, 1);
    g_variant_get_child(args, 2, "u", &flags);
    push(c, d, call, EMULATOR, map, 0, 0, flags);
}

static void get_vcpu_pins(Client *c, RpcCall *call, GVariant *args)
{
    int room, bytes;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)iiu)", NULL, &room, &bytes, &flags);
    push(c, d, call, 0, NULL, room, bytes, flags);
}

static void get_emulator_pin(Client *c, RpcCall *call, GVariant *args)
{
    int bytes;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)iu)", NULL, &bytes, &flags);
    push(c, d, call, EMULATOR, NULL, 1, bytes, flags);
}

const Handler pin_handlers[] = {
    { "DOMAIN_PIN_VCPU", pin_vcpu },
    { "DOMAIN_PIN_VCPU_FLAGS", pin_vcpu },
    { "DOMAIN_GET_VCPU_PIN_INFO", get_vcpu_pins },
    { "DOMAIN_PIN_EMULATOR", pin_emulator },
    { "DOMAIN_GET_EMULATOR_PIN_INFO", get_emulator_pin },
    { NULL },
};
