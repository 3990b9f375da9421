/* handlers_pin.c - on which of the host's processors threads may run: of a running machine, of its definition, or of both. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/params.h"
#include "manage/daemon/pins.h"

enum { MAP_MOST = CPUSET_BYTES };

typedef struct PinTask {
    PinKind kind;
    uint64_t id;
    char *cpuset;        /* to be set; NULL: asked for */
    guint room, map_bytes, where;
    unsigned guest_cpus, host_cpus;
    Domain *asked;       /* the definition that answers, where no machine does */
    GByteArray *answer;
} PinTask;

static void pin_task_free(void *data)
{
    PinTask *k = data;
    g_free(k->cpuset);
    record_free(k->asked);
    g_byte_array_unref(k->answer);
    g_free(k);
}

static bool has_thread(const Domain *d, const PinTask *k, GError **err)
{
    uint64_t most = MAX(d->vcpus, domain_vcpus(d));
    if (k->kind == PIN_VCPU && k->id >= most)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no processor %" G_GUINT64_FORMAT ": they are 0 to %" G_GUINT64_FORMAT, d->name, k->id, most - 1);
    for (guint i = 0; k->kind == PIN_IOTHREAD && d->iothread_ids && i < d->iothread_ids->len; i++)
        if (((IoThreadConfig *)d->iothread_ids->pdata[i])->id == k->id)
            return true;
    return k->kind != PIN_IOTHREAD || rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no I/O thread %" G_GUINT64_FORMAT, d->name, k->id);
}

static bool pin_begin(Task *t, GError **err)
{
    PinTask *k = t->data;
    ManagedDomain *d = t->domain;
    k->where = domain_affected(d, k->where);
    k->guest_cpus = k->where & AFFECT_CONFIG && d->config ? d->config->vcpus : domain_vcpus(domain_now(d));
    if ((k->where & AFFECT_CONFIG) && !d->config)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is transient: it has no definition", d->name);
    if ((k->where & AFFECT_LIVE) && !t->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", d->name);
    if (!k->cpuset && (!t->hv || k->where & AFFECT_CONFIG || !t->driver->monitor))
        k->asked = record_copy(k->where & AFFECT_CONFIG ? d->config : domain_now(d));
    return !k->cpuset || has_thread(k->where & AFFECT_CONFIG ? d->config : d->live, k, err);
}

/* ---- asking */
static guint8 *add_map(PinTask *k)
{
    guint base = k->answer->len;
    g_byte_array_set_size(k->answer, base + k->map_bytes);
    memset(k->answer->data + base, 0, k->map_bytes);
    return k->answer->data + base;
}

/* cpuset NULL: all of the host's */
static void add_said(PinTask *k, const char *cpuset)
{
    guint8 *to = add_map(k);
    uint8_t map[CPUSET_BYTES];
    bool said = cpuset && cpuset_read(cpuset, map, NULL);
    for (unsigned cpu = 0; cpu < k->host_cpus && cpu / 8 < k->map_bytes; cpu++)
        if (!said || map[cpu / 8] & 1 << cpu % 8)
            to[cpu / 8] |= 1 << cpu % 8;
}

static void add_thread(PinTask *k, int thread)
{
    cpu_set_t set;
    guint8 *to = add_map(k);
    bool known = sched_getaffinity(thread, sizeof set, &set) == 0;
    for (unsigned cpu = 0; cpu < k->host_cpus && cpu < CPU_SETSIZE && cpu / 8 < k->map_bytes; cpu++)
        if (!known || CPU_ISSET(cpu, &set))
            to[cpu / 8] |= 1 << cpu % 8;
}

static bool pin_run(Task *t, GError **err)
{
    PinTask *k = t->data;
    guint n = k->kind == PIN_EMULATOR ? 1 : MIN(k->room, k->guest_cpus);
    for (guint i = 0; k->asked && i < n; i++)
        add_said(k, pin_of(k->asked, k->kind, i));
    if (k->asked || (k->cpuset && !(k->where & AFFECT_LIVE)))
        return true;
    if (!t->driver->monitor)
        return task_unsupported(t, "be kept to processors", err);
    g_autoptr(GArray) threads = machine_threads(t->driver, t->hv, t->domain->name, err);
    if (!threads || k->cpuset)
        return threads && pin_threads(threads, k->kind, k->id, k->cpuset, err);
    for (guint i = 0, found = 0; i < threads->len && found < n; i++)
        if (g_array_index(threads, MachineThread, i).kind == k->kind) {
            add_thread(k, g_array_index(threads, MachineThread, i).thread);
            found++;
        }
    return true;
}

static void tell(ManagedDomain *d, const PinTask *k)
{
    static const char *const names[] = { [PIN_VCPU] = "cputune.vcpupin", [PIN_EMULATOR] = "cputune.emulatorpin", [PIN_IOTHREAD] = "cputune.iothreadpin" };
    g_autofree char *number = k->kind == PIN_EMULATOR ? g_strdup("") : g_strdup_printf("%" G_GUINT64_FORMAT, k->id);
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    param_add(&b, g_variant_new_string(k->cpuset), "%s%s", names[k->kind], number);
    domain_event(d, EVENT_TUNABLE, "(a(sv))", &b);
}

static bool edit(Domain *d, void *opaque, GError **err)
{
    const PinTask *k = opaque;
    pin_set(d, k->kind, k->id, k->cpuset);
    return true;
}

static bool pin_done(Task *t, GError **err)
{
    PinTask *k = t->data;
    ManagedDomain *d = t->domain;
    int n = k->map_bytes ? k->answer->len / k->map_bytes : 0;
    if (!k->cpuset) {
        t->reply = g_variant_new("(@ayi)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, k->answer->data, k->answer->len, 1), n);
        return true;
    }
    if (k->where & AFFECT_LIVE && d->live) {
        edit(d->live, k, err);
        domain_write_record(d, d->live, NULL);
        tell(d, k);
    }
    return !(k->where & AFFECT_CONFIG) || domain_edit_config(d, edit, k, err);
}

static const TaskType pin_type = { .name = "pin", .query = true, .begin = pin_begin, .run = pin_run, .done = pin_done, .free = pin_task_free };

static PinTask *task_new(const Client *c, PinKind kind, uint64_t id, guint flags)
{
    PinTask *k = g_new0(PinTask, 1);
    *k = (PinTask){ .kind = kind, .id = id, .where = flags, .host_cpus = c->daemon->host.cpus, .answer = g_byte_array_new() };
    return k;
}

static void ask(Client *c, ManagedDomain *d, RpcCall *call, PinKind kind, int room, int map_bytes, guint flags)
{
    if (room < 0 || room > 4096 || map_bytes <= 0 || map_bytes > MAP_MOST) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "%d maps of %d bytes are not what there can be", room, map_bytes);
        return;
    }
    PinTask *k = task_new(c, kind, 0, flags);
    k->room = room;
    k->map_bytes = map_bytes;
    task_push(d, call, &pin_type, k);
}

/* Processors that the host does not have are left out. */
static void pin(Client *c, ManagedDomain *d, RpcCall *call, PinKind kind, uint64_t id, GVariant *map, guint flags)
{
    gsize bytes;
    const guint8 *given = g_variant_get_fixed_array(map, &bytes, 1);
    uint8_t known[CPUSET_BYTES] = { 0 };
    bool any = false;
    for (gsize cpu = 0; cpu < MIN(bytes, (gsize)CPUSET_BYTES) * 8 && cpu < c->daemon->host.cpus; cpu++)
        if (given[cpu / 8] & 1 << cpu % 8)
            known[cpu / 8] |= 1 << cpu % 8, any = true;
    if (!any) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "none of these processors is one of the host's, which has %u", c->daemon->host.cpus);
        return;
    }
    PinTask *k = task_new(c, kind, id, flags);
    k->cpuset = cpuset_text(known, sizeof known);
    task_push(d, call, &pin_type, k);
}

/* (domain, number, map) or (domain, number, map, flags) */
static void pin_numbered(Client *c, RpcCall *call, GVariant *args, PinKind kind)
{
    guint id, flags = AFFECT_LIVE;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_autoptr(GVariant) map = g_variant_get_child_value(args, 2);
    g_variant_get_child(args, 1, "u", &id);
    if (g_variant_n_children(args) > 3)
        g_variant_get_child(args, 3, "u", &flags);
    pin(c, d, call, kind, id, map, flags);
}

static void pin_vcpu(Client *c, RpcCall *call, GVariant *args) { pin_numbered(c, call, args, PIN_VCPU); }
static void pin_iothread(Client *c, RpcCall *call, GVariant *args) { pin_numbered(c, call, args, PIN_IOTHREAD); }

static void pin_emulator(Client *c, RpcCall *call, GVariant *args)
{
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_autoptr(GVariant) map = g_variant_get_child_value(args, 1);
    g_variant_get_child(args, 2, "u", &flags);
    pin(c, d, call, PIN_EMULATOR, 0, map, flags);
}

static void get_vcpu_pins(Client *c, RpcCall *call, GVariant *args)
{
    int room, bytes;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)iiu)", NULL, &room, &bytes, &flags);
    ask(c, d, call, PIN_VCPU, room, bytes, flags);
}

static void get_emulator_pin(Client *c, RpcCall *call, GVariant *args)
{
    int bytes;
    guint flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)iu)", NULL, &bytes, &flags);
    ask(c, d, call, PIN_EMULATOR, 1, bytes, flags);
}

const Handler pin_handlers[] = {
    { "DOMAIN_PIN_VCPU", pin_vcpu },
    { "DOMAIN_PIN_VCPU_FLAGS", pin_vcpu },
    { "DOMAIN_GET_VCPU_PIN_INFO", get_vcpu_pins },
    { "DOMAIN_PIN_EMULATOR", pin_emulator },
    { "DOMAIN_GET_EMULATOR_PIN_INFO", get_emulator_pin },
    { "DOMAIN_PIN_IOTHREAD", pin_iothread },
    { NULL },
};
