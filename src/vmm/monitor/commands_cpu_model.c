/* commands_cpu_model.c - models of processors: which there are, what they stand for, and their properties. */
#include <string.h>

#include "accel/accel.h"
#include "isa/x86/cpu_models.h"
#include "vmm/monitor/qom.h"

/* ---- properties */

static JsonNode *number(int64_t value) { return json_node_init_int(json_node_alloc(), value); }
static JsonNode *truth(bool value) { return json_node_init_boolean(json_node_alloc(), value); }
static JsonNode *text(const char *value) { return json_node_init_string(json_node_alloc(), value); }

static JsonNode *family(const CpuModel *m) { return number(m->family); }
static JsonNode *model(const CpuModel *m) { return number(m->model); }
static JsonNode *stepping(const CpuModel *m) { return number(m->stepping); }
static JsonNode *level(const CpuModel *m) { return number(m->level); }
static JsonNode *xlevel(const CpuModel *m) { return number(m->xlevel); }
static JsonNode *phys_bits(const CpuModel *m) { return number(m->phys_bits); }
static JsonNode *vendor(const CpuModel *m) { return text(m->vendor); }
static JsonNode *model_id(const CpuModel *m) { return text(m->brand); }
static JsonNode *l3_cache(const CpuModel *m) { return truth(!m->no_l3); }
static JsonNode *leaf_b(const CpuModel *m) { return truth(!m->no_leaf_b); }

static JsonArray *names_of(const uint64_t *features)
{
    JsonArray *a = json_array_new();
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        if (features[f / 64] >> (f % 64) & 1)
            json_array_add_string_element(a, cpu_feature_table[f].name);
    return a;
}

static JsonNode *unavailable(const CpuModel *m)
{
    JsonNode *n = json_node_alloc();
    json_node_init_array(n, NULL);
    json_node_take_array(n, names_of(m->lacks));
    return n;
}

/* "stays": a model of another name with these, and with its features, is the same. */
static const struct {
    const char *name, *type;
    JsonNode *(*value)(const CpuModel *m);
    bool stays;
} properties[] = {
    { "family", "int", family, true },       { "model", "int", model, true },          { "stepping", "int", stepping, true },
    { "min-level", "uint32", level, true },  { "min-xlevel", "uint32", xlevel, true }, { "vendor", "string", vendor, true },
    { "model-id", "string", model_id, true }, { "level", "uint32", level },            { "xlevel", "uint32", xlevel },
    { "phys-bits", "uint32", phys_bits },    { "l3-cache", "bool", l3_cache },         { "cpuid-0xb", "bool", leaf_b },
};

JsonNode *cpu_property(const CpuModel *m, const char *name)
{
    if (g_str_equal(name, "unavailable-features"))
        return unavailable(m);
    for (unsigned i = 0; i < G_N_ELEMENTS(properties); i++)
        if (g_str_equal(properties[i].name, name))
            return properties[i].value(m);
    CpuFeature f = cpu_feature_find(name);
    return f == FEAT_ALWAYS ? NULL : truth(cpu_has(m, f));
}

void cpu_each_property(void (*each)(const char *name, const char *type, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(properties); i++)
        each(properties[i].name, properties[i].type, opaque);
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++) {
        each(cpu_feature_table[f].name, "bool", opaque);
        if (cpu_feature_table[f].alias)
            each(cpu_feature_table[f].alias, "bool", opaque);
    }
}

/* ---- which there are */

static void limit_of(const MonitorCall *call, CpuModel *ret)
{
    const Accel *a = call->vm->machine->accel;
    if (a && a->ops->cpu_limit)
        a->ops->cpu_limit(ret);
    else
        cpu_model_max(ret);
}

static void add_definition(JsonArray *a, const CpuModelRow *row, const char *name, const char *alias_of, const CpuModel *limit)
{
    CpuModel m = { .name = "" };
    JsonObject *o = json_object_new();
    g_autofree char *type = g_strdup_printf("%s-x86_64-cpu", name);
    cpu_model_parse(name, limit, &m, NULL, NULL);
    json_object_set_string_member(o, "name", name);
    json_object_set_string_member(o, "typename", type);
    json_object_set_boolean_member(o, "static", g_str_equal(name, "base"));
    json_object_set_boolean_member(o, "migration-safe", !cpu_model_row_is_fixed(row));
    json_object_set_boolean_member(o, "deprecated", FALSE);
    json_object_set_array_member(o, "unavailable-features", names_of(m.lacks));
    if (alias_of)
        json_object_set_string_member(o, "alias-of", alias_of);
    json_array_add_object_element(a, o);
}

static bool query_cpu_definitions(MonitorCall *call, GError **err)
{
    CpuModel limit;
    JsonArray *a = json_array_new();
    limit_of(call, &limit);
    for (const CpuModelRow *row = cpu_model_rows; !cpu_model_row_is_last(row); row++) {
        g_autofree char *version = row->version ? cpu_model_row_versioned(row) : NULL;
        if (version)
            add_definition(a, row, version, NULL, &limit);
        if (row->name)
            add_definition(a, row, row->name, version, &limit);
    }
    return return_array(call, a);
}

/* ---- what they stand for */

static char *word_of(const char *name, JsonNode *value)
{
    if (!JSON_NODE_HOLDS_VALUE(value))
        return g_strdup(name);
    if (json_node_get_value_type(value) == G_TYPE_STRING)
        return g_strdup_printf("%s=%s", name, json_node_get_string(value));
    if (json_node_get_value_type(value) == G_TYPE_BOOLEAN)
        return g_strdup_printf("%s=%s", name, json_node_get_boolean(value) ? "on" : "off");
    return g_strdup_printf("%s=%" G_GINT64_FORMAT, name, json_node_get_int(value));
}

/* The model and its properties as words of -cpu.  Caller frees. */
static GStrv model_words(JsonObject *model)
{
    GPtrArray *words = g_ptr_array_new();
    g_ptr_array_add(words, g_strdup(json_object_get_string_member(model, "name")));
    JsonNode *props = json_object_get_member(model, "props");
    g_autoptr(GList) names = props && JSON_NODE_HOLDS_OBJECT(props) ? json_object_get_members(json_node_get_object(props)) : NULL;
    for (GList *n = names; n; n = n->next)
        g_ptr_array_add(words, word_of(n->data, json_object_get_member(json_node_get_object(props), n->data)));
    g_ptr_array_add(words, NULL);
    return (GStrv)g_ptr_array_free(words, FALSE);
}

static JsonObject *static_properties(const CpuModel *m)
{
    JsonObject *o = json_object_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(properties); i++)
        if (properties[i].stays)
            json_object_set_member(o, properties[i].name, properties[i].value(m));
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        json_object_set_boolean_member(o, cpu_feature_table[f].name, cpu_has(m, f));
    return o;
}

typedef struct FullProperties { const CpuModel *model; JsonObject *object; } FullProperties;

static void add_value(const char *name, const char *type, void *opaque)
{
    FullProperties *full = opaque;
    json_object_set_member(full->object, name, cpu_property(full->model, name));
}

static JsonObject *full_properties(const CpuModel *m)
{
    FullProperties full = { m, json_object_new() };
    cpu_each_property(add_value, &full);
    return full.object;
}

static bool query_cpu_model_expansion(MonitorCall *call, GError **err)
{
    CpuModel limit, m;
    bool is_static = g_str_equal(arg_text(call, "type"), "static");
    g_auto(GStrv) words = model_words(arg_object(call, "model"));
    limit_of(call, &limit);
    if (!cpu_model_read((const char *const *)words, &limit, &m, err))
        return false;
    JsonObject *o = json_object_new(), *ret = json_object_new();
    json_object_set_string_member(o, "name", is_static ? "base" : words[0]);
    json_object_set_object_member(o, "props", is_static ? static_properties(&m) : full_properties(&m));
    json_object_set_object_member(ret, "model", o);
    return return_object(call, ret);
}

const MonitorCommand cpu_model_commands[] = {
    { "query-cpu-definitions", NULL, .ret = "[CpuDefinitionInfo]", .doc = "models of processors", .run = query_cpu_definitions, .early = true },
    { "query-cpu-model-expansion", NULL, "type: CpuModelExpansionType, model: CpuModelInfo", "CpuModelExpansionInfo",
      .doc = "the features that a model stands for", .run = query_cpu_model_expansion, .early = true },
    { NULL },
};
