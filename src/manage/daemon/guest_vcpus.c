/* guest_vcpus.c - processors that a guest uses, by its agent: setvcpus and vcpucount with --guest. */
#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/hypervisor/qmp.h"

typedef struct GuestVcpus {
    guint wanted; /* 0: only asked for */
    guint online;
    char *path;
    int sync_seconds;
} GuestVcpus;

static void guest_vcpus_free(void *data)
{
    g_free(((GuestVcpus *)data)->path);
    g_free(data);
}

static bool begin(Task *t, GError **err)
{
    GuestVcpus *k = t->data;
    k->path = g_strdup(agent_path(t->domain, err));
    k->sync_seconds = t->domain->agent_seconds;
    return k->path;
}

static void add_change(JsonArray *changes, JsonObject *cpu, bool on)
{
    JsonObject *o = json_object_new();
    json_object_set_int_member(o, "logical-id", qmp_number(cpu, "logical-id", 0));
    json_object_set_boolean_member(o, "online", on);
    json_array_add_object_element(changes, o);
}

/* The first that can be are put on, or the last that can be off; false: there are not so many. */
static bool choose(const GuestVcpus *k, JsonNode *all, JsonArray *changes)
{
    guint have = k->online;
    for (guint i = 0; have < k->wanted && i < qmp_count(all); i++) {
        JsonObject *o = qmp_element(all, i);
        if (o && !qmp_flag(o, "online", true)) {
            add_change(changes, o, true);
            have++;
        }
    }
    for (guint i = qmp_count(all); have > k->wanted && i--;) {
        JsonObject *o = qmp_element(all, i);
        if (o && qmp_flag(o, "online", false) && qmp_flag(o, "can-offline", false)) {
            add_change(changes, o, false);
            have--;
        }
    }
    return have == k->wanted;
}

static bool change(const GuestVcpus *k, Agent *a, JsonNode *all, GError **err)
{
    g_autoptr(JsonObject) arguments = json_object_new();
    JsonArray *changes = json_array_new();
    bool ok = choose(k, all, changes);
    guint n = json_array_get_length(changes);
    json_object_set_array_member(arguments, "vcpus", changes);
    if (!ok)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "the guest has %u processors, of which some cannot be off: %u of them cannot be used", qmp_count(all), k->wanted);
    if (!n)
        return true;
    g_autofree char *command = agent_command("guest-set-vcpus", arguments);
    g_autoptr(JsonNode) done = agent_ask(a, command, err);
    if (!done)
        return false;
    guint changed = JSON_NODE_HOLDS_VALUE(done) && json_node_get_value_type(done) == G_TYPE_INT64 ? json_node_get_int(done) : 0;
    return changed == n || rpc_error_set(err, RPC_ERR_OPERATION_FAILED, "the guest has changed %u of %u processors", changed, n);
}

static bool converse(GuestVcpus *k, Agent *a, GError **err)
{
    g_autofree char *command = agent_command("guest-get-vcpus", NULL);
    g_autoptr(JsonNode) all = agent_ask(a, command, err);
    for (guint i = 0; i < qmp_count(all); i++)
        k->online += qmp_element(all, i) && qmp_flag(qmp_element(all, i), "online", false);
    return all && (!k->wanted || change(k, a, all, err));
}

static bool run(Task *t, GError **err)
{
    GuestVcpus *k = t->data;
    Agent *a = agent_open(k->path, k->sync_seconds, task_cancel(t), err);
    bool ok = a && converse(k, a, err);
    if (a)
        agent_close(a);
    return ok;
}

static bool done(Task *t, GError **err)
{
    const GuestVcpus *k = t->data;
    t->reply = k->wanted ? NULL : g_variant_new("(i)", (int)k->online);
    return true;
}

void guest_vcpus(ManagedDomain *d, RpcCall *call, guint wanted)
{
    static const TaskType type = { .name = "guest-vcpus", .running = true, .agent = true, .begin = begin, .run = run, .done = done, .free = guest_vcpus_free };
    GuestVcpus *k = g_new0(GuestVcpus, 1);
    k->wanted = wanted;
    task_push(d, call, &type, k);
}
