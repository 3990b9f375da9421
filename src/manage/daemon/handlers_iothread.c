/* handlers_iothread.c - threads for disks: which there are, one more, one less. */
#include <sched.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/figures.h"
#include "manage/daemon/pins.h"

typedef struct IoThreadTask {
    bool add;
    uint64_t id; /* 0: asked for */
    guint where;
    unsigned host_cpus;
    Domain *asked;
    GVariantBuilder *rows;
    guint n;
} IoThreadTask;

static void iothread_task_free(void *data)
{
    IoThreadTask *k = data;
    record_free(k->asked);
    g_clear_pointer(&k->rows, g_variant_builder_unref);
    g_free(k);
}

/* ---- asking */
static void add_row(IoThreadTask *k, uint64_t id, const uint8_t *map)
{
    g_variant_builder_add(k->rows, "(u@ay)", (guint)id, g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, map, (k->host_cpus + 7) / 8, 1));
    k->n++;
}

static void trim(uint8_t map[CPUSET_BYTES], unsigned host_cpus)
{
    for (unsigned cpu = host_cpus; cpu < CPUSET_MOST; cpu++)
        map[cpu / 8] &= ~(1 << cpu % 8);
}

static void add_said(IoThreadTask *k, uint64_t id)
{
    uint8_t map[CPUSET_BYTES];
    const char *cpuset = pin_of(k->asked, PIN_IOTHREAD, id);
    if (!cpuset || !cpuset_read(cpuset, map, NULL))
        memset(map, 0xff, sizeof map);
    trim(map, k->host_cpus);
    add_row(k, id, map);
}

static void add_thread(IoThreadTask *k, const MachineThread *t)
{
    cpu_set_t set;
    uint8_t map[CPUSET_BYTES] = { 0 };
    bool known = sched_getaffinity(t->thread, sizeof set, &set) == 0;
    for (unsigned cpu = 0; cpu < MIN(CPUSET_MOST, CPU_SETSIZE); cpu++)
        if (!known || CPU_ISSET(cpu, &set))
            map[cpu / 8] |= 1 << cpu % 8;
    trim(map, k->host_cpus);
    add_row(k, t->id, map);
}

static bool info_begin(Task *t, GError **err)
{
    IoThreadTask *k = t->data;
    ManagedDomain *d = t->domain;
    k->where = domain_affected(d, k->where);
    if (k->where & AFFECT_CONFIG ? !d->config : !t->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, k->where & AFFECT_CONFIG ? "domain '%s' is transient: it has no definition" : "domain '%s' is not running", d->name);
    if (k->where & AFFECT_CONFIG || !t->driver->monitor)
        k->asked = record_copy(k->where & AFFECT_CONFIG ? d->config : d->live);
    return true;
}

static int by_id(gconstpointer a, gconstpointer b)
{
    uint64_t x = ((const MachineThread *)a)->id, y = ((const MachineThread *)b)->id;
    return (x > y) - (x < y);
}

/* QEMU tells of its threads in an order of its own. */
static bool info_run(Task *t, GError **err)
{
    IoThreadTask *k = t->data;
    const GPtrArray *ids = k->asked ? k->asked->iothread_ids : NULL;
    for (guint i = 0; ids && i < ids->len; i++)
        add_said(k, ((IoThreadConfig *)ids->pdata[i])->id);
    g_autoptr(GArray) threads = k->asked ? NULL : machine_threads(t->driver, t->hv, t->domain->name, err);
    if (threads)
        g_array_sort(threads, by_id);
    for (guint i = 0; threads && i < threads->len; i++)
        if (g_array_index(threads, MachineThread, i).kind == PIN_IOTHREAD)
            add_thread(k, &g_array_index(threads, MachineThread, i));
    return k->asked || threads;
}

static bool info_done(Task *t, GError **err)
{
    IoThreadTask *k = t->data;
    t->reply = g_variant_new("(a(uay)u)", k->rows, k->n);
    return true;
}

static void get_info(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "iothread-info", .query = true, .begin = info_begin, .run = info_run, .done = info_done, .free = iothread_task_free };
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    IoThreadTask *k = g_new0(IoThreadTask, 1);
    *k = (IoThreadTask){ .host_cpus = c->daemon->host.cpus, .rows = g_variant_builder_new(G_VARIANT_TYPE("a(uay)")) };
    g_variant_get_child(args, 1, "u", &k->where);
    task_push(d, call, &type, k);
}

/* ---- one more, one less */
static int index_of(const Domain *d, uint64_t id)
{
    for (guint i = 0; d->iothread_ids && i < d->iothread_ids->len; i++)
        if (((IoThreadConfig *)d->iothread_ids->pdata[i])->id == id)
            return i;
    return -1;
}

static const Disk *user_of(const Domain *d, uint64_t id)
{
    for (guint i = 0; d->devices->disks && i < d->devices->disks->len; i++)
        if (((Disk *)d->devices->disks->pdata[i])->iothread == id)
            return d->devices->disks->pdata[i];
    return NULL;
}

static bool may_change(const Domain *d, const IoThreadTask *k, GError **err)
{
    const Disk *user = k->add ? NULL : user_of(d, k->id);
    if (k->add && index_of(d, k->id) >= 0)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has an I/O thread %" G_GUINT64_FORMAT " already", d->name, k->id);
    if (!k->add && index_of(d, k->id) < 0)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no I/O thread %" G_GUINT64_FORMAT, d->name, k->id);
    return !user || rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "I/O thread %" G_GUINT64_FORMAT " of domain '%s' is in use by disk '%s'", k->id, d->name, user->target);
}

static bool edit(Domain *d, void *opaque, GError **err)
{
    const IoThreadTask *k = opaque;
    if (!may_change(d, k, err))
        return false;
    if (!d->iothread_ids)
        d->iothread_ids = g_ptr_array_new_with_free_func(record_free);
    if (k->add) {
        IoThreadConfig *t = record_new(&iothread_record);
        t->id = k->id;
        g_ptr_array_add(d->iothread_ids, t);
    } else {
        g_ptr_array_remove_index(d->iothread_ids, index_of(d, k->id));
        pin_set(d, PIN_IOTHREAD, k->id, NULL);
    }
    d->iothreads = d->iothread_ids->len ? d->iothread_ids->len : RECORD_NONE;
    return true;
}

static bool change_begin(Task *t, GError **err)
{
    IoThreadTask *k = t->data;
    ManagedDomain *d = t->domain;
    k->where = domain_affected(d, k->where);
    if (k->where & AFFECT_LIVE && !t->hv)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running: --config changes its definition", d->name);
    if (k->where & AFFECT_CONFIG && !d->config)
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is transient: it has no definition", d->name);
    return (!(k->where & AFFECT_LIVE) || may_change(d->live, k, err)) && (!(k->where & AFFECT_CONFIG) || may_change(d->config, k, err));
}

static bool change_run(Task *t, GError **err)
{
    const IoThreadTask *k = t->data;
    const char *kind = k->add ? "\"qom-type\": \"iothread\", " : "";
    if (!(k->where & AFFECT_LIVE))
        return true;
    g_autofree char *command = g_strdup_printf("{\"execute\": \"%s\", \"arguments\": {%s\"id\": \"iothread%" G_GUINT64_FORMAT "\"}}", k->add ? "object-add" : "object-del", kind, k->id);
    g_autoptr(JsonNode) answer = task_monitor(t, command, err);
    return answer;
}

static bool change_done(Task *t, GError **err)
{
    IoThreadTask *k = t->data;
    ManagedDomain *d = t->domain;
    if (k->where & AFFECT_LIVE && d->live && edit(d->live, k, err))
        domain_write_record(d, d->live, NULL);
    return !(k->where & AFFECT_CONFIG) || domain_edit_config(d, edit, k, err);
}

static void change(Client *c, RpcCall *call, GVariant *args, bool add)
{
    static const TaskType type = { .name = "iothread", .begin = change_begin, .run = change_run, .done = change_done, .free = iothread_task_free };
    guint id, flags;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)uu)", NULL, &id, &flags);
    if (!id || id > 65535) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "an I/O thread has a number from 1 to 65535, not %u", id);
        return;
    }
    IoThreadTask *k = g_new0(IoThreadTask, 1);
    *k = (IoThreadTask){ .add = add, .id = id, .where = flags };
    task_push(d, call, &type, k);
}

static void add(Client *c, RpcCall *call, GVariant *args) { change(c, call, args, true); }
static void del(Client *c, RpcCall *call, GVariant *args) { change(c, call, args, false); }

const Handler iothread_handlers[] = {
    { "DOMAIN_GET_IOTHREAD_INFO", get_info },
    { "DOMAIN_ADD_IOTHREAD", add },
    { "DOMAIN_DEL_IOTHREAD", del },
    { NULL },
};
