/* qmp.c - a QMP session: greeting, capabilities, requests with ids, answers.  QEMU's docs/interop/qmp-spec. */
#include <errno.h>
#include <string.h>

#include "schema/events.h"
#include "vmm/monitor/inside.h"

static JsonObject *version(void)
{
    JsonObject *triple = json_object_new(), *o = json_object_new();
    json_object_set_int_member(triple, "major", 7); /* the QEMU whose words and machine types we speak */
    json_object_set_int_member(triple, "minor", 2);
    json_object_set_int_member(triple, "micro", 0);
    json_object_set_object_member(o, "qemu", triple);
    json_object_set_string_member(o, "package", "atoll-" ATOLL_VERSION);
    return o;
}

void qmp_open(Monitor *m)
{
    JsonObject *greeting = json_object_new(), *o = json_object_new();
    json_object_set_object_member(greeting, "version", version());
    json_object_set_array_member(greeting, "capabilities", json_array_new());
    json_object_set_object_member(o, "QMP", greeting);
    monitor_send(m, json_node_of(o));
}

/* ---- answers */

static void answer(Monitor *m, JsonNode *id, const char *key, JsonNode *value)
{
    JsonObject *o = json_object_new();
    json_object_set_member(o, key, value);
    if (id)
        json_object_set_member(o, "id", json_node_copy(id));
    monitor_send(m, json_node_of(o));
}

static void answer_error(Monitor *m, JsonNode *id, const char *class, const char *text)
{
    JsonObject *o = json_object_new();
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    json_object_set_string_member(o, "class", class);
    json_object_set_string_member(o, "desc", valid);
    answer(m, id, "error", json_node_of(o));
}

/* ---- requests */

/* A file that the sandbox has kept from us: what the user can do about it. */
static void explain(const Vm *vm, GError **err)
{
    const char *hint = sandbox_hint(vm->config);
    if (!hint || !err || !*err || (!g_error_matches(*err, ATOLL_ERROR, ERR_DENIED) && !strstr((*err)->message, g_strerror(EACCES))))
        return;
    g_autofree char *text = g_strdup_printf("%s; %s", (*err)->message, hint);
    g_free((*err)->message);
    (*err)->message = g_steal_pointer(&text);
}

bool qmp_run(Monitor *m, const MonitorCommand *c, JsonObject *args, JsonNode **ret, GError **err)
{
    Monitors *all = m->all;
    g_autoptr(JsonObject) given = args ? json_object_ref(args) : json_object_new();
    MonitorCall call = { .vm = all->vm, .monitor = m, .args = given };
    if (!qapi_check_arguments(all->schema, c->args, given, err))
        return false;
    if (!all->vm->board && !c->early)
        return error_set(err, ERR_UNSUPPORTED, "%s: there is no machine yet (-machine none)", c->name);
    if (!c->run(&call, err)) {
        g_clear_pointer(&call.ret, json_node_unref);
        explain(all->vm, err);
        return false;
    }
    *ret = call.ret ? call.ret : json_node_of(json_object_new());
    if (c->ret && !qapi_check_value(all->schema, c->ret, *ret, err)) {
        g_clear_pointer(ret, json_node_unref);
        g_prefix_error(err, "%s: the answer is not what the schema says (a mistake of this program): ", c->name);
        return false;
    }
    return true;
}

/* Negotiation comes before everything else, and once. */
static bool in_order(Monitor *m, const char *name, JsonNode *id)
{
    bool negotiates = g_str_equal(name, "qmp_capabilities");
    if (negotiates == !m->negotiated)
        return true;
    answer_error(m, id, "CommandNotFound", negotiates ? "Capabilities negotiation is already complete, command ignored"
                                                      : "Expecting capabilities negotiation with 'qmp_capabilities'");
    return false;
}

/* QEMU's class for objects and types that there are not: libvirt goes on where it gets that one. */
static bool is_not_found(const GError *err) { return g_str_has_prefix(err->message, "Device '") || g_str_has_prefix(err->message, "Class '"); }

static void execute(Monitor *m, const char *name, JsonObject *args, JsonNode *id)
{
    g_autoptr(GError) err = NULL;
    JsonNode *ret = NULL;
    const MonitorCommand *c = monitor_command_find(name);
    if (!in_order(m, name, id))
        return;
    if (!c) {
        g_autofree char *text = g_strdup_printf("The command %s has not been found", name);
        answer_error(m, id, "CommandNotFound", text);
    } else if (qmp_run(m, c, args, &ret, &err)) {
        m->negotiated = true;
        answer(m, id, "return", ret);
    } else {
        answer_error(m, id, is_not_found(err) ? "DeviceNotFound" : "GenericError", err->message);
    }
}

static const char *problem_with(JsonObject *o)
{
    g_autoptr(GList) names = json_object_get_members(o);
    for (GList *n = names; n; n = n->next)
        if (!qapi_words_contain("execute arguments id", n->data))
            return "QMP input member is unexpected: a request has execute, arguments and id";
    JsonNode *name = json_object_get_member(o, "execute"), *args = json_object_get_member(o, "arguments");
    if (!name)
        return "QMP input lacks member 'execute'";
    if (!JSON_NODE_HOLDS_VALUE(name) || json_node_get_value_type(name) != G_TYPE_STRING)
        return "QMP input member 'execute' must be a string";
    return args && !JSON_NODE_HOLDS_OBJECT(args) ? "QMP input member 'arguments' must be an object" : NULL;
}

void qmp_request(void *monitor, const char *text, const char *problem)
{
    Monitor *m = monitor;
    g_autoptr(GError) err = NULL;
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    if (!text || !json_parser_load_from_data(parser, text, -1, &err)) {
        g_autofree char *desc = g_strdup_printf("JSON parse error, %s", problem ? problem : err->message);
        answer_error(m, NULL, "GenericError", desc);
        return;
    }
    JsonNode *root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        answer_error(m, NULL, "GenericError", "QMP input must be a JSON object");
        return;
    }
    JsonObject *o = json_node_get_object(root);
    JsonNode *id = json_object_get_member(o, "id");
    const char *wrong = problem_with(o);
    if (wrong)
        answer_error(m, id, "GenericError", wrong);
    else
        execute(m, json_object_get_string_member(o, "execute"), json_object_has_member(o, "arguments") ? json_object_get_object_member(o, "arguments") : NULL, id);
}

/* ---- commands about the session itself */

static bool capabilities(MonitorCall *call, GError **err)
{
    JsonObject *o = call->args;
    if (json_object_has_member(o, "enable") && json_array_get_length(json_object_get_array_member(o, "enable")))
        return error_set(err, ERR_UNSUPPORTED, "capability 'oob' is not offered");
    return true;
}

static bool query_version(MonitorCall *call, GError **err) { return return_object(call, version()); }

static bool info_version(MonitorCall *call, GError **err)
{
    g_string_append(call->out, "Atoll " ATOLL_VERSION " (speaks as QEMU 7.2)\n");
    return true;
}

static void each_qmp(void (*fn)(const MonitorCommand *c, void *arg), void *arg)
{
    for (unsigned t = 0; monitor_tables[t]; t++)
        for (const MonitorCommand *c = monitor_tables[t]; c->name || c->line; c++)
            if (c->name)
                fn(c, arg);
}

static void list_command(const MonitorCommand *c, void *arg)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "name", c->name);
    json_array_add_object_element(arg, o);
}

static bool query_commands(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    each_qmp(list_command, a);
    return return_array(call, a);
}

static void introspect_command(const MonitorCommand *c, void *arg) { qapi_introspect_command(arg, c->name, c->args, c->ret, c->features); }

static bool query_schema(MonitorCall *call, GError **err)
{
    QapiIntrospection *i = qapi_introspect_new(monitors_schema(call->vm->monitors));
    each_qmp(introspect_command, i);
    for (const QapiEvent *e = qapi_events; e->name; e++)
        qapi_introspect_event(i, e->name, e->members);
    call->ret = qapi_introspect_end(i);
    return true;
}

static bool typed_line(MonitorCall *call, GError **err)
{
    g_autofree char *text = monitor_run_line(call->vm, call->monitor, arg_text(call, "command-line"));
    return return_text(call, text);
}

const MonitorCommand session_commands[] = {
    { "qmp_capabilities", NULL, "?enable: [QMPCapability]", .doc = "begin: nothing else is heard before", .run = capabilities, .early = true },
    { "query-version", "info version", .ret = "VersionInfo", .doc = "which program is this?", .run = query_version, .text = info_version, .early = true },
    { "query-commands", NULL, .ret = "[CommandInfo]", .doc = "names of commands", .run = query_commands, .early = true },
    { "query-qmp-schema", NULL, .ret = "[SchemaInfo]", .doc = "every command and event with its types", .run = query_schema, .early = true },
    { "human-monitor-command", NULL, "command-line: str, ?cpu-index: int", "str",
      .doc = "what the text monitor says to a line", .run = typed_line, .early = true },
    { NULL },
};
