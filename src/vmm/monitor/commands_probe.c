/* commands_probe.c - what this program can do: machines, options, and what is asked for so that nobody need guess. */
#include <string.h>

#include "vmm/monitor/command.h"
#include "vmm/options.h"

static JsonObject *machine_info(const char *name, const char *alias, unsigned cpus, bool is_default)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "name", name);
    if (alias)
        json_object_set_string_member(o, "alias", alias);
    if (is_default)
        json_object_set_boolean_member(o, "is-default", TRUE);
    json_object_set_int_member(o, "cpu-max", cpus);
    json_object_set_boolean_member(o, "hotpluggable-cpus", FALSE);
    json_object_set_boolean_member(o, "numa-mem-supported", FALSE);
    json_object_set_boolean_member(o, "deprecated", FALSE);
    json_object_set_boolean_member(o, "acpi", cpus > 1);
    if (cpus > 1) {
        json_object_set_string_member(o, "default-cpu-type", "qemu64-x86_64-cpu");
        json_object_set_string_member(o, "default-ram-id", "pc.ram");
    }
    return o;
}

static void add_versions(JsonArray *a, const BoardType *b)
{
    for (const char *const *version = board_versions; b->versioned && *version; version++) {
        g_autofree char *name = g_strconcat(b->versioned, *version, NULL);
        json_array_add_object_element(a, machine_info(name, NULL, b->max_cpus, false));
    }
}

static bool query_machines(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; board_types[i]; i++) {
        const BoardType *b = board_types[i];
        json_array_add_object_element(a, machine_info(b->name, b->alias, b->max_cpus, g_str_equal(b->name, "pc")));
        add_versions(a, b);
    }
    json_array_add_object_element(a, machine_info("none", NULL, 1, false));
    return return_array(call, a);
}

/* The words before '=' in "[type=]NAME[,accel=A[:B]]". */
static JsonArray *parameters(const char *argument)
{
    JsonArray *a = json_array_new();
    for (const char *equal = argument ? strchr(argument, '=') : NULL; equal; equal = strchr(equal + 1, '=')) {
        const char *start = equal;
        while (start > argument && (g_ascii_isalnum(start[-1]) || strchr("-_.", start[-1])))
            start--;
        if (start == equal || g_ascii_isupper(*start))
            continue;
        g_autofree char *name = g_strndup(start, equal - start);
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "name", name);
        json_object_set_string_member(o, "type", "string");
        json_array_add_object_element(a, o);
    }
    return a;
}

static bool query_command_line_options(MonitorCall *call, GError **err)
{
    const char *only = arg_text(call, "option");
    JsonArray *a = json_array_new();
    for (const VmOption *option = vm_options; option->name; option++) {
        if (only && !g_str_equal(only, option->name))
            continue;
        JsonObject *o = json_object_new();
        json_object_set_string_member(o, "option", option->name);
        json_object_set_array_member(o, "parameters", parameters(option->argument));
        json_array_add_object_element(a, o);
    }
    return return_array(call, a);
}

static bool none(MonitorCall *call, GError **err) { return return_array(call, json_array_new()); }

const MonitorCommand probe_commands[] = {
    { "query-machines", "info machines", .ret = "[MachineInfo]", .doc = "main boards", .run = query_machines, .early = true },
    { "query-command-line-options", NULL, "?option: str", "[CommandLineOptionInfo]", .doc = "options and their parameters", .run = query_command_line_options,
      .early = true },
    { "query-tpm-models", NULL, .ret = "[TpmModel]", .doc = "models of TPMs: none is built", .run = none, .early = true },
    { "query-tpm-types", NULL, .ret = "[TpmType]", .doc = "back ends of TPMs: none is built", .run = none, .early = true },
    { NULL },
};
