/* handlers_power.c - a guest that is asked to end or to begin anew: by its agent, or by its power button. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/hypervisor/qmp.h"

/* virDomainShutdownFlagValues, and virDomainRebootFlagValues, which are alike. */
enum { BY_ACPI = 1, BY_AGENT = 2 };
enum { OBEY_WAIT_S = 3 }; /* within which an agent says that it cannot; one that does it says nothing */

typedef struct PowerTask {
    HvStopMode mode;
    bool only_agent; /* else the machine is asked where the agent does not do it */
    char *path;
    int sync_seconds;
} PowerTask;

static void power_task_free(void *data)
{
    PowerTask *k = data;
    g_free(k->path);
    g_free(k);
}

static bool power_begin(Task *t, GError **err)
{
    PowerTask *k = t->data;
    k->path = g_strdup(agent_path(t->domain, err));
    k->sync_seconds = t->domain->agent_seconds;
    return k->path;
}

static bool obeyed(const char *answer, GError **err)
{
    g_autoptr(JsonNode) said = json_from_string(answer, NULL);
    JsonObject *error = said && JSON_NODE_HOLDS_OBJECT(said) ? qmp_member(json_node_get_object(said), "error") : NULL;
    return !error || rpc_error_set(err, RPC_ERR_INTERNAL, "the guest agent does not do it: %s", qmp_text(error, "desc", "it says not why"));
}

static bool power_run(Task *t, GError **err)
{
    const PowerTask *k = t->data;
    g_autoptr(JsonObject) o = json_object_new();
    json_object_set_string_member(o, "mode", k->mode == HV_ASK ? "powerdown" : "reboot");
    g_autofree char *command = agent_command("guest-shutdown", o);
    Agent *a = agent_open(k->path, k->sync_seconds, task_cancel(t), err);
    if (!a)
        return false;
    g_autofree char *answer = agent_say(a, command, OBEY_WAIT_S, NULL);
    agent_close(a);
    return !answer || obeyed(answer, err);
}

static void power_failed(Task *t)
{
    const PowerTask *k = t->data;
    if (!k->only_agent)
        domain_stop(t->domain, k->mode, g_steal_pointer(&t->call));
}

static void power(Client *c, RpcCall *call, GVariant *args, HvStopMode mode)
{
    static const TaskType type = { .name = "guest-power", .running = true, .agent = true, .begin = power_begin, .run = power_run, .failed = power_failed, .free = power_task_free };
    guint flags = 0;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    if (mode == HV_REBOOT_ASK && d->live && d->live->on_reboot == ACTION_DESTROY)
        mode = HV_ASK;
    if (g_variant_n_children(args) > 1)
        g_variant_get_child(args, 1, "u", &flags);
    if (flags & ~(guint)(BY_ACPI | BY_AGENT)) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "a guest is asked by --mode acpi or --mode agent: others (0x%x) are not for such machines", flags);
        return;
    }
    if (!(flags & BY_AGENT) && (flags || !agent_path(d, NULL))) {
        domain_stop(d, mode, call);
        return;
    }
    PowerTask *k = g_new0(PowerTask, 1);
    *k = (PowerTask){ .mode = mode, .only_agent = flags == BY_AGENT };
    domain_stop(d, HV_ASK_NOT, NULL); /* the button may have been pressed for a reboot, unheeded; in a lane of its own, which the agent does not hold up */
    task_push(d, call, &type, k);
}

static void shut_down(Client *c, RpcCall *call, GVariant *args) { power(c, call, args, HV_ASK); }
static void reboot(Client *c, RpcCall *call, GVariant *args) { power(c, call, args, HV_REBOOT_ASK); }

const Handler power_handlers[] = {
    { "DOMAIN_SHUTDOWN", shut_down },
    { "DOMAIN_SHUTDOWN_FLAGS", shut_down },
    { "DOMAIN_REBOOT", reboot },
    { NULL },
};
