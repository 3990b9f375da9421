/* handlers_guest.c - what a guest says of itself by its agent, several questions in one call (virDomainGetGuestInfo). */
#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/daemon/params.h"
#include "manage/hypervisor/qmp.h"

typedef void AddFacts(GVariantBuilder *b, JsonNode *answer);

static JsonObject *object_of(JsonNode *n) { return n && JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL; }
static JsonNode *member(JsonObject *o, const char *name) { return o ? json_object_get_member(o, name) : NULL; }

/* A text that is there. */
static void add_text(GVariantBuilder *b, JsonObject *o, const char *member_name, const char *name)
{
    const char *text = o ? qmp_text(o, member_name, NULL) : NULL;
    if (text)
        param_add(b, g_variant_new_string(text), "%s", name);
}

/* The same as row `i` of `list`. */
static void add_row_text(GVariantBuilder *b, JsonObject *o, const char *member_name, const char *list, guint i, const char *name)
{
    g_autofree char *full = g_strdup_printf("%s.%u.%s", list, i, name);
    add_text(b, o, member_name, full);
}

static void add_users(GVariantBuilder *b, JsonNode *answer)
{
    param_add(b, g_variant_new_uint32(qmp_count(answer)), "user.count");
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        JsonNode *since = member(o, "login-time");
        add_row_text(b, o, "user", "user", i, "name");
        add_row_text(b, o, "domain", "user", i, "domain");
        if (since && JSON_NODE_HOLDS_VALUE(since))
            param_add(b, g_variant_new_uint64(json_node_get_double(since) * 1000), "user.%u.login-time", i);
    }
}

static void add_system(GVariantBuilder *b, JsonNode *answer)
{
    static const char *const names[] = { "id", "name", "pretty-name", "version", "version-id", "kernel-release", "kernel-version", "machine", "variant", "variant-id" };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *name = g_strconcat("os.", names[i], NULL);
        add_text(b, object_of(answer), names[i], name);
    }
}

static void add_timezone(GVariantBuilder *b, JsonNode *answer)
{
    add_text(b, object_of(answer), "zone", "timezone.name");
    if (object_of(answer))
        param_add(b, g_variant_new_int32(qmp_number(object_of(answer), "offset", 0)), "timezone.offset");
}

static void add_hostname(GVariantBuilder *b, JsonNode *answer) { add_text(b, object_of(answer), "host-name", "hostname"); }

static void add_filesystems(GVariantBuilder *b, JsonNode *answer)
{
    param_add(b, g_variant_new_uint32(qmp_count(answer)), "fs.count");
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        JsonNode *disks = member(o, "disk");
        add_row_text(b, o, "name", "fs", i, "name");
        add_row_text(b, o, "mountpoint", "fs", i, "mountpoint");
        add_row_text(b, o, "type", "fs", i, "fstype");
        if (o && qmp_number(o, "total-bytes", -1) >= 0) {
            param_add(b, g_variant_new_uint64(qmp_number(o, "total-bytes", 0)), "fs.%u.total-bytes", i);
            param_add(b, g_variant_new_uint64(qmp_number(o, "used-bytes", 0)), "fs.%u.used-bytes", i);
        }
        param_add(b, g_variant_new_uint32(qmp_count(disks)), "fs.%u.disk.count", i);
        for (guint k = 0; k < qmp_count(disks); k++) {
            g_autofree char *list = g_strdup_printf("fs.%u.disk", i);
            add_row_text(b, qmp_element(disks, k), "serial", list, k, "serial");
            add_row_text(b, qmp_element(disks, k), "dev", list, k, "device");
        }
    }
}

static void add_disks(GVariantBuilder *b, JsonNode *answer)
{
    param_add(b, g_variant_new_uint32(qmp_count(answer)), "disk.count");
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        JsonNode *below = member(o, "dependencies");
        add_row_text(b, o, "name", "disk", i, "name");
        param_add(b, g_variant_new_boolean(o && qmp_flag(o, "partition", false)), "disk.%u.partition", i);
        if (qmp_count(below))
            param_add(b, g_variant_new_uint32(qmp_count(below)), "disk.%u.dependency.count", i);
        for (guint k = 0; k < qmp_count(below); k++) {
            JsonNode *name = json_array_get_element(json_node_get_array(below), k);
            if (JSON_NODE_HOLDS_VALUE(name) && json_node_get_value_type(name) == G_TYPE_STRING)
                param_add(b, g_variant_new_string(json_node_get_string(name)), "disk.%u.dependency.%u.name", i, k);
        }
        add_row_text(b, qmp_member(o, "address"), "serial", "disk", i, "serial");
        add_row_text(b, o, "alias", "disk", i, "guest_alias");
    }
}

static void add_interfaces(GVariantBuilder *b, JsonNode *answer)
{
    param_add(b, g_variant_new_uint32(qmp_count(answer)), "if.count");
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        JsonNode *addresses = member(o, "ip-addresses");
        add_row_text(b, o, "name", "if", i, "name");
        add_row_text(b, o, "hardware-address", "if", i, "hwaddr");
        param_add(b, g_variant_new_uint32(qmp_count(addresses)), "if.%u.addr.count", i);
        for (guint k = 0; k < qmp_count(addresses); k++) {
            JsonObject *a = qmp_element(addresses, k);
            g_autofree char *list = g_strdup_printf("if.%u.addr", i);
            add_row_text(b, a, "ip-address-type", list, k, "type");
            add_row_text(b, a, "ip-address", list, k, "addr");
            param_add(b, g_variant_new_uint32(a ? qmp_number(a, "prefix", 0) : 0), "%s.%u.prefix", list, k);
        }
    }
}

/* Bit i of virDomainGuestInfoTypes is row i. */
static const struct {
    const char *command;
    AddFacts *add;
} facts[] = {
    { "guest-get-users", add_users }, { "guest-get-osinfo", add_system }, { "guest-get-timezone", add_timezone }, { "guest-get-host-name", add_hostname },
    { "guest-get-fsinfo", add_filesystems }, { "guest-get-disks", add_disks }, { "guest-network-get-interfaces", add_interfaces },
};
enum { FACTS = G_N_ELEMENTS(facts), FACTS_ALL = (1 << FACTS) - 1 };

typedef struct GuestTask {
    guint types;
    char *path;
    int sync_seconds;
    JsonNode *answers[FACTS];
} GuestTask;

static void guest_task_free(void *data)
{
    GuestTask *k = data;
    for (unsigned i = 0; i < FACTS; i++)
        g_clear_pointer(&k->answers[i], json_node_unref);
    g_free(k->path);
    g_free(k);
}

static bool guest_begin(Task *t, GError **err)
{
    GuestTask *k = t->data;
    k->path = g_strdup(agent_path(t->domain, err));
    k->sync_seconds = t->domain->agent_seconds;
    return k->path;
}

/* Where all is asked for, what an agent does not know is left out. */
static bool ask_facts(GuestTask *k, Agent *a, GError **err)
{
    for (unsigned i = 0; i < FACTS; i++) {
        g_autoptr(GError) why = NULL;
        g_autofree char *command = agent_command(facts[i].command, NULL);
        if (k->types && !(k->types & 1 << i))
            continue;
        k->answers[i] = agent_ask(a, command, &why);
        if (why && (k->types || g_error_matches(why, RPC_ERROR, RPC_ERR_AGENT_UNRESPONSIVE))) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
    return true;
}

static bool guest_run(Task *t, GError **err)
{
    GuestTask *k = t->data;
    Agent *a = agent_open(k->path, k->sync_seconds, task_cancel(t), err);
    if (!a)
        return false;
    bool ok = ask_facts(k, a, err);
    agent_close(a);
    return ok;
}

static bool guest_done(Task *t, GError **err)
{
    const GuestTask *k = t->data;
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    for (unsigned i = 0; i < FACTS; i++)
        if (k->answers[i])
            facts[i].add(&b, k->answers[i]);
    t->reply = g_variant_new("(a(sv))", &b);
    return true;
}

static void guest_info(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "guestinfo", .running = true, .agent = true, .begin = guest_begin, .run = guest_run, .done = guest_done, .free = guest_task_free };
    guint types;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "u", &types);
    if (types & ~FACTS_ALL) {
        rpc_fail(call, RPC_ERR_ARGUMENT_UNSUPPORTED, "facts of the kinds 0x%x are not known here", types & ~FACTS_ALL);
        return;
    }
    GuestTask *k = g_new0(GuestTask, 1);
    k->types = types;
    task_push(d, call, &type, k);
}

const Handler guest_handlers[] = {
    { "DOMAIN_GET_GUEST_INFO", guest_info },
    { NULL },
};
