/* handlers_agent.c - what a guest's agent is asked and told: a table of procedures, each by one command of the agent's. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/agent.h"
#include "manage/hypervisor/qmp.h"

enum { PROCESSORS_MOST = 4096 };

typedef struct AgentVerb {
    const char *procedure;
    const char *command;
    bool (*arguments)(GVariant *args, JsonObject *o, const char **command, GError **err); /* NULL: it has none */
    GVariant *(*reply)(GVariant *args, JsonNode *answer);                                 /* floating; NULL: nothing is answered */
} AgentVerb;

typedef struct AgentTask {
    const AgentVerb *verb;
    GVariant *args;
    char *path, *command, *text;
    int sync_seconds, seconds;
    JsonNode *answer;
} AgentTask;

static void agent_task_free(void *data)
{
    AgentTask *k = data;
    g_variant_unref(k->args);
    g_free(k->path);
    g_free(k->command);
    g_free(k->text);
    g_clear_pointer(&k->answer, json_node_unref);
    g_free(k);
}

char *agent_command(const char *name, JsonObject *arguments)
{
    g_autoptr(JsonNode) node = json_node_alloc();
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "execute", name);
    if (arguments && json_object_get_size(arguments))
        json_object_set_object_member(o, "arguments", json_object_ref(arguments));
    json_node_init_object(node, o);
    json_object_unref(o);
    return json_to_string(node, false);
}

/* ---- arguments */
static void set_strings(JsonObject *o, const char *name, GVariant *texts)
{
    JsonArray *all = json_array_new();
    for (gsize i = 0; i < g_variant_n_children(texts); i++) {
        const char *text;
        g_variant_get_child(texts, i, "&s", &text);
        json_array_add_string_element(all, text);
    }
    json_object_set_array_member(o, name, all);
}

static bool freeze_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    g_autoptr(GVariant) points = g_variant_get_child_value(args, 1);
    if (!g_variant_n_children(points))
        return true;
    *command = "guest-fsfreeze-freeze-list";
    set_strings(o, "mountpoints", points);
    return true;
}

static bool thaw_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    g_autoptr(GVariant) points = g_variant_get_child_value(args, 1);
    return !g_variant_n_children(points) || rpc_error_set(err, RPC_ERR_ARGUMENT_UNSUPPORTED, "a guest's file systems are thawed all at once: name none");
}

static bool trim_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    const char *point;
    guint64 least;
    g_variant_get(args, "(@(ssi)m&stu)", NULL, &point, &least, NULL);
    if (point)
        return rpc_error_set(err, RPC_ERR_ARGUMENT_UNSUPPORTED, "a guest's file systems are trimmed all at once: name none");
    if (least)
        json_object_set_int_member(o, "minimum", least);
    return true;
}

/* Without a time the guest takes that of its hardware's clock. */
static bool time_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    enum { TIME_SYNC = 1 };
    gint64 seconds;
    guint ns, flags;
    g_variant_get(args, "(@(ssi)xuu)", NULL, &seconds, &ns, &flags);
    if (flags & TIME_SYNC)
        return true;
    if (seconds < 0 || seconds > G_MAXINT64 / 1000000000 - 1 || ns >= 1000000000)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "%" G_GINT64_FORMAT " s %u ns is no time that a guest can be given", seconds, ns);
    json_object_set_int_member(o, "time", seconds * 1000000000 + ns);
    return true;
}

static bool password_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    enum { PASSWORD_ENCRYPTED = 1 };
    const char *user, *password;
    guint flags;
    g_variant_get(args, "(@(ssi)m&sm&su)", NULL, &user, &password, &flags);
    if (!user || !password)
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "a user and a password are wanted");
    g_autofree char *coded = g_base64_encode((const guchar *)password, strlen(password));
    json_object_set_string_member(o, "username", user);
    json_object_set_string_member(o, "password", coded);
    json_object_set_boolean_member(o, "crypted", flags & PASSWORD_ENCRYPTED);
    return true;
}

static bool user_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    const char *user;
    g_variant_get_child(args, 1, "&s", &user);
    json_object_set_string_member(o, "username", user);
    return true;
}

/* virDomainAuthorizedSSHKeysSetFlags: they replace what is there, are added to it, or go. */
static bool keys_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    enum { KEYS_APPEND = 1, KEYS_REMOVE = 2 };
    guint flags;
    g_autoptr(GVariant) keys = g_variant_get_child_value(args, 2);
    g_variant_get_child(args, 3, "u", &flags);
    user_arguments(args, o, command, err);
    set_strings(o, "keys", keys);
    if (flags & KEYS_REMOVE)
        *command = "guest-ssh-remove-authorized-keys";
    else
        json_object_set_boolean_member(o, "reset", !(flags & KEYS_APPEND));
    return true;
}

/* "0-2,4" */
static bool processors_arguments(GVariant *args, JsonObject *o, const char **command, GError **err)
{
    const char *list;
    int on;
    JsonArray *all = json_array_new();
    g_variant_get(args, "(@(ssi)&siu)", NULL, &list, &on, NULL);
    g_auto(GStrv) pieces = g_strsplit(list, ",", -1);
    bool ok = *pieces;
    for (char **p = pieces; ok && *p; p++) {
        char *end;
        guint64 first = g_ascii_strtoull(*p, &end, 10), last = *end == '-' ? g_ascii_strtoull(end + 1, &end, 10) : first;
        ok = **p && !*end && first <= last && last < PROCESSORS_MOST;
        for (guint64 i = first; ok && i <= last; i++) {
            JsonObject *cpu = json_object_new();
            json_object_set_int_member(cpu, "logical-id", i);
            json_object_set_boolean_member(cpu, "online", on);
            json_array_add_object_element(all, cpu);
        }
    }
    json_object_set_array_member(o, "vcpus", all);
    return ok || rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' is no list of processors, as 0-2,4 is", list);
}

/* ---- replies */
static int64_t number_of(JsonNode *n) { return JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == G_TYPE_INT64 ? json_node_get_int(n) : 0; }
static JsonObject *object_of(JsonNode *n) { return JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL; }

static GVariant *reply_count(GVariant *args, JsonNode *answer) { return g_variant_new("(i)", (int)number_of(answer)); }

static GVariant *reply_time(GVariant *args, JsonNode *answer)
{
    int64_t ns = number_of(answer);
    return g_variant_new("(xu)", (gint64)(ns / 1000000000), (guint)(ns % 1000000000));
}

static GVariant *reply_hostname(GVariant *args, JsonNode *answer)
{
    JsonObject *o = object_of(answer);
    return g_variant_new("(s)", o ? qmp_text(o, "host-name", "") : "");
}

static GVariant *reply_keys(GVariant *args, JsonNode *answer)
{
    JsonObject *o = object_of(answer);
    JsonNode *keys = o ? json_object_get_member(o, "keys") : NULL;
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; i < qmp_count(keys); i++) {
        JsonNode *key = json_array_get_element(json_node_get_array(keys), i);
        if (JSON_NODE_HOLDS_VALUE(key) && json_node_get_value_type(key) == G_TYPE_STRING)
            g_variant_builder_add(&b, "s", json_node_get_string(key));
    }
    return g_variant_new("(as)", &b);
}

/* Which of the machine's disks a file system lies on is not known: the agent tells addresses that definitions need not hold. */
static GVariant *reply_filesystems(GVariant *args, JsonNode *answer)
{
    GVariantBuilder b;
    guint n = 0;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sssas)"));
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        if (!o)
            continue;
        g_variant_builder_add(&b, "(sss@as)", qmp_text(o, "mountpoint", ""), qmp_text(o, "name", ""), qmp_text(o, "type", ""), g_variant_new_strv(NULL, 0));
        n++;
    }
    return g_variant_new("(a(sssas)u)", &b, n);
}

/* Those of the guest's processors for which `member` is so (NULL: all), as "0-2,4"; the agent tells them in any order. */
static char *processors_text(JsonNode *answer, const char *member)
{
    bool is[PROCESSORS_MOST + 1] = { false };
    GString *s = g_string_new(NULL);
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        int64_t id = o && (!member || qmp_flag(o, member, false)) ? qmp_number(o, "logical-id", -1) : -1;
        if (id >= 0 && id < PROCESSORS_MOST)
            is[id] = true;
    }
    for (int first = 0; first < PROCESSORS_MOST; first++) {
        int last = first;
        while (is[first] && is[last + 1])
            last++;
        if (is[first])
            g_string_append_printf(s, "%s%d", s->len ? "," : "", first);
        if (last > first)
            g_string_append_printf(s, "-%d", last);
        first = last;
    }
    return g_string_free(s, FALSE);
}

static GVariant *reply_processors(GVariant *args, JsonNode *answer)
{
    g_autofree char *all = processors_text(answer, NULL), *online = processors_text(answer, "online"), *movable = processors_text(answer, "can-offline");
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(sv)"));
    g_variant_builder_add(&b, "(sv)", "vcpus", g_variant_new_string(all));
    g_variant_builder_add(&b, "(sv)", "online", g_variant_new_string(online));
    g_variant_builder_add(&b, "(sv)", "offlinable", g_variant_new_string(movable));
    return g_variant_new("(a(sv))", &b);
}

static GVariant *reply_addresses(GVariant *args, JsonNode *answer)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(smsa(isu))"));
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        JsonNode *all = o ? json_object_get_member(o, "ip-addresses") : NULL;
        if (!o)
            continue;
        GVariantBuilder addresses;
        g_variant_builder_init(&addresses, G_VARIANT_TYPE("a(isu)"));
        for (guint k = 0; k < qmp_count(all); k++) {
            JsonObject *a = qmp_element(all, k);
            if (a)
                g_variant_builder_add(&addresses, "(isu)", !strcmp(qmp_text(a, "ip-address-type", ""), "ipv6"), qmp_text(a, "ip-address", ""), (guint)qmp_number(a, "prefix", 0));
        }
        g_variant_builder_add(&b, "(sms@a(isu))", qmp_text(o, "name", ""), qmp_text(o, "hardware-address", NULL), g_variant_builder_end(&addresses));
    }
    return g_variant_new("(a(smsa(isu)))", &b);
}

static const AgentVerb verbs[] = {
    { "DOMAIN_FSFREEZE", "guest-fsfreeze-freeze", freeze_arguments, reply_count },
    { "DOMAIN_FSTHAW", "guest-fsfreeze-thaw", thaw_arguments, reply_count },
    { "DOMAIN_FSTRIM", "guest-fstrim", trim_arguments, NULL },
    { "DOMAIN_GET_TIME", "guest-get-time", NULL, reply_time },
    { "DOMAIN_SET_TIME", "guest-set-time", time_arguments, NULL },
    { "DOMAIN_GET_FSINFO", "guest-get-fsinfo", NULL, reply_filesystems },
    { "DOMAIN_INTERFACE_ADDRESSES", "guest-network-get-interfaces", NULL, reply_addresses },
    { "DOMAIN_GET_HOSTNAME", "guest-get-host-name", NULL, reply_hostname },
    { "DOMAIN_SET_USER_PASSWORD", "guest-set-user-password", password_arguments, NULL },
    { "DOMAIN_AUTHORIZED_SSH_KEYS_GET", "guest-ssh-get-authorized-keys", user_arguments, reply_keys },
    { "DOMAIN_AUTHORIZED_SSH_KEYS_SET", "guest-ssh-add-authorized-keys", keys_arguments, NULL },
    { "DOMAIN_GET_GUEST_VCPUS", "guest-get-vcpus", NULL, reply_processors },
    { "DOMAIN_SET_GUEST_VCPUS", "guest-set-vcpus", processors_arguments, NULL },
};

/* ---- as jobs */
static bool agent_begin(Task *t, GError **err)
{
    AgentTask *k = t->data;
    g_autoptr(JsonObject) o = json_object_new();
    k->path = g_strdup(agent_path(t->domain, err));
    k->sync_seconds = t->domain->agent_seconds;
    const char *command = k->verb ? k->verb->command : NULL;
    if (!k->path || (command && k->verb->arguments && !k->verb->arguments(k->args, o, &command, err)))
        return false;
    if (command)
        k->command = agent_command(command, o);
    return true;
}

static bool verb_run(Task *t, GError **err)
{
    AgentTask *k = t->data;
    Agent *a = agent_open(k->path, k->sync_seconds, task_cancel(t), err);
    if (!a)
        return false;
    k->answer = agent_ask(a, k->command, err);
    agent_close(a);
    return k->answer;
}

static bool verb_done(Task *t, GError **err)
{
    const AgentTask *k = t->data;
    t->reply = k->verb->reply ? k->verb->reply(k->args, k->answer) : NULL;
    return true;
}

void agent_verb(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "guest-agent", .running = true, .agent = true, .begin = agent_begin, .run = verb_run, .done = verb_done, .free = agent_task_free };
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    AgentTask *k = g_new0(AgentTask, 1);
    k->args = g_variant_ref(args);
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (!strcmp(verbs[i].procedure, rpc_call_procedure(call)->name))
            k->verb = &verbs[i];
    task_push(d, call, &type, k);
}

/* ---- a command as the client has written it */
static bool command_run(Task *t, GError **err)
{
    AgentTask *k = t->data;
    Agent *a = agent_open(k->path, k->sync_seconds, task_cancel(t), err);
    if (!a)
        return false;
    k->text = agent_say(a, k->command, k->seconds, err);
    agent_close(a);
    return k->text && (g_utf8_validate(k->text, -1, NULL) || rpc_error_set(err, RPC_ERR_INTERNAL, "the guest agent's answer is no text"));
}

static bool command_done(Task *t, GError **err)
{
    const AgentTask *k = t->data;
    t->reply = g_variant_new("(ms)", *k->text ? k->text : NULL);
    return true;
}

static void agent_given_command(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "guest-agent-command", .running = true, .agent = true, .begin = agent_begin, .run = command_run, .done = command_done, .free = agent_task_free };
    const char *text;
    int seconds;
    g_autoptr(GError) err = NULL;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get(args, "(@(ssi)&siu)", NULL, &text, &seconds, NULL);
    g_autoptr(JsonNode) given = json_from_string(text, &err);
    if (!given || !JSON_NODE_HOLDS_OBJECT(given) || seconds < AGENT_BLOCK) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "the command is no JSON object, as {\"execute\": \"guest-ping\"} is%s%s", err ? ": " : "", err ? err->message : "");
        return;
    }
    AgentTask *k = g_new0(AgentTask, 1);
    *k = (AgentTask){ .args = g_variant_ref(args), .command = json_to_string(given, false), .seconds = seconds };
    task_push(d, call, &type, k);
}

static void set_timeout(Client *c, RpcCall *call, GVariant *args)
{
    int seconds;
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    g_variant_get_child(args, 1, "i", &seconds);
    if (seconds < AGENT_BLOCK) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "the time to wait for an agent is seconds, -1 (%d s) or -2 (as long as it takes)", AGENT_DEFAULT_S);
        return;
    }
    d->agent_seconds = seconds;
    rpc_reply(call, g_variant_new("(i)", 0));
}

const Handler agent_handlers[] = {
    { "DOMAIN_AGENT_COMMAND", agent_given_command },
    { "DOMAIN_AGENT_SET_RESPONSE_TIMEOUT", set_timeout },
    { "DOMAIN_FSFREEZE", agent_verb },
    { "DOMAIN_FSTHAW", agent_verb },
    { "DOMAIN_FSTRIM", agent_verb },
    { "DOMAIN_GET_TIME", agent_verb },
    { "DOMAIN_SET_TIME", agent_verb },
    { "DOMAIN_GET_FSINFO", agent_verb },
    { "DOMAIN_SET_USER_PASSWORD", agent_verb },
    { "DOMAIN_AUTHORIZED_SSH_KEYS_GET", agent_verb },
    { "DOMAIN_AUTHORIZED_SSH_KEYS_SET", agent_verb },
    { "DOMAIN_GET_GUEST_VCPUS", agent_verb },
    { "DOMAIN_SET_GUEST_VCPUS", agent_verb },
    { NULL },
};
