/* commands_migrate.c - a machine's state leaves and comes: migrate and its kind. */
#include <string.h>

#include "vmm/migration/migration.h"
#include "vmm/monitor/command.h"

static bool migrate(MonitorCall *call, GError **err)
{
    static const char *const live[] = { "blk", "inc", "resume" };
    for (unsigned i = 0; i < G_N_ELEMENTS(live); i++)
        if (arg_bool(call, live[i], false))
            return error_set(err, ERR_UNSUPPORTED, "'%s' is not supported: the state goes without the disks, and in one piece", live[i]);
    return migration_start(call->vm, call->monitor, arg_text(call, "uri"), err);
}

static bool migrate_incoming(MonitorCall *call, GError **err) { return incoming_open(call->vm, call->monitor, arg_text(call, "uri"), !arg_bool(call, "exit-on-error", true), err); }

static bool migrate_cancel(MonitorCall *call, GError **err)
{
    migration_cancel(call->vm);
    return true;
}

/* ---- how it goes */
static JsonObject *describe_ram(const Migration *m)
{
    static const char *const nothing[] = { "skipped", "dirty-pages-rate", "dirty-sync-count", "postcopy-requests", "multifd-bytes", "pages-per-second", "mbps" };
    JsonObject *o = json_object_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(nothing); i++)
        json_object_set_int_member(o, nothing[i], 0);
    json_object_set_int_member(o, "transferred", m->stream.bytes);
    json_object_set_int_member(o, "total", m->memory.total);
    json_object_set_int_member(o, "remaining", m->memory.left);
    json_object_set_int_member(o, "duplicate", m->memory.zero / 4096);
    json_object_set_int_member(o, "normal", m->memory.normal / 4096);
    json_object_set_int_member(o, "normal-bytes", m->memory.normal);
    json_object_set_int_member(o, "page-size", 4096);
    return o;
}

static bool query_migrate(MonitorCall *call, GError **err)
{
    const Migration *m = migration_of(call->vm);
    JsonObject *o = json_object_new();
    int64_t end = migration_under_way(call->vm) ? g_get_monotonic_time() : m->ended_us;
    if (m->status == MIGRATION_NONE)
        return return_object(call, o);
    json_object_set_string_member(o, "status", migration_status_name(m));
    if (m->error)
        json_object_set_string_member(o, "error-desc", m->error);
    if (m->incoming)
        return return_object(call, o);
    json_object_set_int_member(o, "total-time", (end - m->began_us) / 1000);
    json_object_set_int_member(o, "setup-time", 0);
    json_object_set_int_member(o, m->status == MIGRATION_COMPLETED ? "downtime" : "expected-downtime", (end - m->began_us) / 1000);
    json_object_set_object_member(o, "ram", describe_ram(m));
    return return_object(call, o);
}

static bool info_migrate(MonitorCall *call, GError **err)
{
    const Migration *m = migration_of(call->vm);
    if (m->status == MIGRATION_NONE)
        return true;
    g_string_append_printf(call->out, "Migration status: %s\n", migration_status_name(m));
    if (m->error)
        g_string_append_printf(call->out, "error: %s\n", m->error);
    g_string_append_printf(call->out, "transferred ram: %" G_GUINT64_FORMAT " kbytes\nremaining ram: %" G_GUINT64_FORMAT " kbytes\ntotal ram: %" G_GUINT64_FORMAT " kbytes\n",
                           (uint64_t)m->stream.bytes >> 10, (uint64_t)m->memory.left >> 10, (uint64_t)m->memory.total >> 10);
    return true;
}

/* ---- capabilities: of QEMU's, this one is built */
static bool query_capabilities(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "capability", "events");
    json_object_set_boolean_member(o, "state", migration_of(call->vm)->events);
    json_array_add_object_element(a, o);
    return return_array(call, a);
}

static bool set_capabilities(MonitorCall *call, GError **err)
{
    JsonArray *a = json_object_get_array_member(call->args, "capabilities");
    for (unsigned i = 0; i < json_array_get_length(a); i++) {
        JsonObject *o = json_array_get_object_element(a, i);
        const char *name = json_object_get_string_member(o, "capability");
        bool on = json_object_get_boolean_member(o, "state");
        if (g_str_equal(name, "events"))
            migration_of(call->vm)->events = on;
        else if (on)
            return error_set(err, ERR_UNSUPPORTED, "capability '%s' is not supported", name);
    }
    return true;
}

/* ---- parameters */
static bool query_parameters(MonitorCall *call, GError **err)
{
    JsonObject *o = json_object_new();
    for (unsigned i = 0; i < MIGRATION_PARAMETERS; i++)
        json_object_set_int_member(o, migration_parameters[i].name, migration_of(call->vm)->parameter[i]);
    return return_object(call, o);
}

static bool info_parameters(MonitorCall *call, GError **err)
{
    for (unsigned i = 0; i < MIGRATION_PARAMETERS; i++)
        g_string_append_printf(call->out, "%s: %" G_GINT64_FORMAT "\n", migration_parameters[i].name, migration_of(call->vm)->parameter[i]);
    return true;
}

static bool set_parameters(MonitorCall *call, GError **err)
{
    Migration *m = migration_of(call->vm);
    for (unsigned pass = 0; pass < 2; pass++) /* all of them, or none */
        for (unsigned i = 0; i < MIGRATION_PARAMETERS; i++) {
            const MigrationParameter *p = &migration_parameters[i];
            int64_t value = arg_int(call, p->name, m->parameter[i]);
            if (value < p->least || value > p->most)
                return error_set(err, ERR_INVALID, "Parameter '%s' expects a value from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, p->name, p->least, p->most);
            if (pass)
                m->parameter[i] = value;
        }
    return true;
}

const MonitorCommand migrate_commands[] = {
    { "migrate", "migrate", "uri: str, ?blk: bool, ?inc: bool, ?detach: bool, ?resume: bool", .line_args = "uri: rest",
      .doc = "stop, and send the machine's state to fd:NAME, exec:COMMAND, file:PATH, unix:PATH or tcp:HOST:PORT", .run = migrate },
    { "migrate-incoming", "migrate_incoming", "uri: str, ?exit-on-error: bool", .line_args = "uri: rest",
      .doc = "take the state that -incoming defer waits for, from an address as migrate has them; exit-on-error=off: query-migrate says what was wrong", .run = migrate_incoming },
    { "migrate_cancel", "migrate_cancel", .doc = "do not send the state after all: the machine goes on", .run = migrate_cancel },
    { "query-migrate", "info migrate", .ret = "MigrationInfo", .doc = "the state that is on its way, or was last", .run = query_migrate, .text = info_migrate },
    { "query-migrate-capabilities", NULL, .ret = "[MigrationCapabilityStatus]", .doc = "ways of migration", .run = query_capabilities, .early = true },
    { "migrate-set-capabilities", NULL, "capabilities: [MigrationCapabilityStatus]", .doc = "events: tell of each change of status", .run = set_capabilities, .early = true },
    { "query-migrate-parameters", "info migrate_parameters", .ret = "MigrationParameters", .doc = "how migration is to go", .run = query_parameters, .text = info_parameters, .early = true },
    { "migrate-set-parameters", NULL, "MigrationParameters", .doc = "how migration is to go", .run = set_parameters, .early = true },
    { NULL },
};
