/* commands_cpu.c - processors: models that there are, and the machine's own. */
#include "vmm/monitor/qom.h"

#include <string.h>
#include <unistd.h>

#include "accel/accel.h"
#include "isa/x86/cpu_models.h"

/* ---- the machine's */

static JsonObject *place(const Vcpu *v)
{
    const MachineConfig *c = &v->machine->config;
    JsonObject *o = json_object_new();
    json_object_set_int_member(o, "socket-id", v->id / (c->cores * c->threads));
    json_object_set_int_member(o, "core-id", v->id / c->threads % c->cores);
    json_object_set_int_member(o, "thread-id", v->id % c->threads);
    return o;
}

static void ask_thread(Vcpu *v, void *ret) { *(int *)ret = gettid(); }

static JsonObject *cpu_fast(Vcpu *v)
{
    int thread = 0;
    JsonObject *o = json_object_new();
    g_autofree char *path = qom_vcpu_path(v);
    vcpu_run_on(v, ask_thread, &thread);
    json_object_set_int_member(o, "cpu-index", v->id);
    json_object_set_string_member(o, "qom-path", path);
    json_object_set_int_member(o, "thread-id", thread);
    json_object_set_object_member(o, "props", place(v));
    json_object_set_string_member(o, "target", "x86_64");
    return o;
}

static JsonObject *cpu_slot(Vcpu *v)
{
    JsonObject *o = json_object_new();
    g_autofree char *path = qom_vcpu_path(v), *type = g_strdup_printf("%s-x86_64-cpu", v->accel->model.name);
    json_object_set_string_member(o, "type", type);
    json_object_set_int_member(o, "vcpus-count", 1);
    json_object_set_object_member(o, "props", place(v));
    json_object_set_string_member(o, "qom-path", path);
    return o;
}

static bool each_vcpu(MonitorCall *call, JsonObject *(*describe)(Vcpu *v))
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < call->vm->machine->vcpus->len; i++)
        json_array_add_object_element(a, describe(call->vm->machine->vcpus->pdata[i]));
    return return_array(call, a);
}

static bool query_cpus_fast(MonitorCall *call, GError **err) { return each_vcpu(call, cpu_fast); }
static bool query_hotpluggable_cpus(MonitorCall *call, GError **err) { return each_vcpu(call, cpu_slot); }

static bool info_cpus(MonitorCall *call, GError **err)
{
    for (unsigned i = 0; i < call->vm->machine->vcpus->len; i++) {
        int thread = 0;
        vcpu_run_on(call->vm->machine->vcpus->pdata[i], ask_thread, &thread);
        g_string_append_printf(call->out, "%c CPU #%u: thread_id=%d\n", i ? ' ' : '*', i, thread);
    }
    return true;
}

static void read_state(Vcpu *v, void *opaque)
{
    void **arg = opaque;
    *(bool *)arg[2] = v->accel->ops->get(v, arg[0], arg[1]);
}

static bool info_registers(MonitorCall *call, GError **err)
{
    bool all = g_strcmp0(arg_text(call, "which"), "-a") == 0;
    unsigned first = all || !arg_text(call, "which") ? 0 : atoi(arg_text(call, "which"));
    Machine *m = call->vm->machine;
    if (first >= m->vcpus->len)
        return error_set(err, ERR_NOT_FOUND, "there is no CPU %u", first);
    for (unsigned i = first; i < (all ? m->vcpus->len : first + 1); i++) {
        CpuState s;
        bool ok = false;
        vcpu_run_on(m->vcpus->pdata[i], read_state, (void *[]){ &s, err, &ok });
        if (!ok)
            return false;
        g_autofree char *text = cpu_state_dump(&s);
        g_string_append_printf(call->out, "CPU#%u\n%s\n", i, text);
    }
    return true;
}

static bool inject_nmi(MonitorCall *call, GError **err)
{
    for (unsigned i = 0; i < call->vm->machine->vcpus->len; i++)
        vcpu_request(call->vm->machine->vcpus->pdata[i], VREQ_NMI);
    return true;
}

/* ---- models */

static void limit_of(const MonitorCall *call, CpuModel *ret)
{
    const Accel *a = call->vm->machine->accel;
    if (a && a->ops->cpu_limit)
        a->ops->cpu_limit(ret);
    else
        cpu_model_max(ret);
}

static bool same_features(const CpuModel *m, const CpuModel *limit, JsonArray *missing)
{
    for (unsigned f = 1; f < FEAT_COUNT; f++)
        if (cpu_has(m, f) && !cpu_has(limit, f))
            json_array_add_string_element(missing, cpu_feature_table[f].name);
    return json_array_get_length(missing) == 0;
}

static JsonObject *definition(const MonitorCall *call, const CpuModelRow *row, const CpuModel *limit)
{
    CpuModel everything, model;
    JsonArray *missing = json_array_new();
    JsonObject *o = json_object_new();
    g_autofree char *type = g_strdup_printf("%s-x86_64-cpu", row->name);
    everything = *limit;
    memset(everything.features, 0xff, sizeof(everything.features));
    if (row->features && cpu_model_parse(row->name, &everything, &model, NULL, NULL))
        same_features(&model, limit, missing);
    json_object_set_string_member(o, "name", row->name);
    json_object_set_string_member(o, "typename", type);
    json_object_set_boolean_member(o, "static", FALSE);
    json_object_set_boolean_member(o, "migration-safe", row->features != NULL);
    json_object_set_boolean_member(o, "deprecated", FALSE);
    json_object_set_array_member(o, "unavailable-features", missing);
    return o;
}

static bool query_cpu_definitions(MonitorCall *call, GError **err)
{
    CpuModel limit;
    JsonArray *a = json_array_new();
    limit_of(call, &limit);
    for (const CpuModelRow *row = cpu_model_rows; row->name; row++)
        json_array_add_object_element(a, definition(call, row, &limit));
    return return_array(call, a);
}

static bool is_feature(const char *name)
{
    for (unsigned f = 1; f < FEAT_COUNT; f++)
        if (g_str_equal(cpu_feature_table[f].name, name) || g_strcmp0(cpu_feature_table[f].alias, name) == 0)
            return true;
    return false;
}

/* NAME,feature=on,... as -cpu has it; of other properties only "migratable" is known, and changes nothing. */
/* "base" is what a static expansion is of: nothing but what its properties say. */
static void begin_with_nothing(GString *s)
{
    g_string_assign(s, "max");
    for (unsigned f = 1; f < FEAT_COUNT; f++)
        g_string_append_printf(s, ",%s=off", cpu_feature_table[f].name);
}

static char *model_text(JsonObject *model, GError **err)
{
    const char *name = json_object_get_string_member(model, "name");
    GString *s = g_string_new(name);
    if (g_str_equal(name, "base"))
        begin_with_nothing(s);
    JsonNode *props = json_object_get_member(model, "props");
    g_autoptr(GList) names = props && JSON_NODE_HOLDS_OBJECT(props) ? json_object_get_members(json_node_get_object(props)) : NULL;
    for (GList *n = names; n; n = n->next) {
        if (!is_feature(n->data))
            continue;
        JsonNode *value = json_object_get_member(json_node_get_object(props), n->data);
        bool on = JSON_NODE_HOLDS_VALUE(value) && (json_node_get_value_type(value) == G_TYPE_STRING ? g_strcmp0(json_node_get_string(value), "on") == 0
                                                                                                   : json_node_get_boolean(value));
        g_string_append_printf(s, ",%s=%s", (char *)n->data, on ? "on" : "off");
    }
    return g_string_free(s, FALSE);
}

static bool query_cpu_model_expansion(MonitorCall *call, GError **err)
{
    CpuModel limit, model;
    g_autofree char *text = model_text(arg_object(call, "model"), err);
    limit_of(call, &limit);
    if (!cpu_model_parse(text, &limit, &model, NULL, err))
        return false;
    JsonObject *props = json_object_new(), *o = json_object_new(), *ret = json_object_new();
    for (unsigned f = 1; f < FEAT_COUNT; f++)
        json_object_set_boolean_member(props, cpu_feature_table[f].name, cpu_has(&model, f));
    json_object_set_int_member(props, "family", model.family);
    json_object_set_int_member(props, "model", model.model);
    json_object_set_int_member(props, "stepping", model.stepping);
    json_object_set_string_member(props, "vendor", model.vendor);
    json_object_set_string_member(props, "model-id", model.brand);
    json_object_set_string_member(o, "name", g_str_equal(arg_text(call, "type"), "static") ? "base" : json_object_get_string_member(arg_object(call, "model"), "name"));
    json_object_set_object_member(o, "props", props);
    json_object_set_object_member(ret, "model", o);
    return return_object(call, ret);
}

const MonitorCommand cpu_commands[] = {
    { "query-cpus-fast", NULL, .ret = "[CpuInfoFast]", .doc = "processors and their threads on the host", .run = query_cpus_fast },
    { NULL, "info cpus", .doc = "processors and their threads on the host", .text = info_cpus },
    { NULL, "info registers", "?which: str", .doc = "registers of a CPU (-a: of all)", .text = info_registers },
    { "query-hotpluggable-cpus", "info hotpluggable-cpus", .ret = "[HotpluggableCPU]", .doc = "places for processors", .run = query_hotpluggable_cpus },
    { "inject-nmi", "nmi", .doc = "a non-maskable interrupt to every processor", .run = inject_nmi },
    { "query-cpu-definitions", NULL, .ret = "[CpuDefinitionInfo]", .doc = "models of processors", .run = query_cpu_definitions, .early = true },
    { "query-cpu-model-expansion", NULL, "type: CpuModelExpansionType, model: CpuModelInfo", "CpuModelExpansionInfo",
      .doc = "the features of a model here", .run = query_cpu_model_expansion, .early = true },
    { NULL },
};
