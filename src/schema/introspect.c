/*
 * introspect.c - the schema as JSON, as QEMU's query-qmp-schema gives it (qapi/introspect.json: SchemaInfo).
 *
 * Types keep their names; a text of members becomes a type of its own, and so does "[X]".
 */
#include <string.h>

#include "schema/qapi.h"

struct QapiIntrospection {
    const QapiSchema *schema;
    JsonArray *out;
    GHashTable *done; /* names of types */
};

static void need(QapiIntrospection *i, const char *name);

static JsonObject *entity(QapiIntrospection *i, const char *name, const char *meta)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "name", name);
    json_object_set_string_member(o, "meta-type", meta);
    json_array_add_object_element(i->out, o);
    return o;
}

static char *type_name(const QapiMember *m) { return m->list ? g_strdup_printf("[%s]", m->type) : g_strdup(m->type); }

static void need_list(QapiIntrospection *i, const char *name)
{
    g_autofree char *element = g_strndup(name + 1, strlen(name) - 2);
    json_object_set_string_member(entity(i, name, "array"), "element-type", element);
    need(i, element);
}

static void add_members(QapiIntrospection *i, JsonObject *o, const char *members)
{
    JsonArray *a = json_array_new();
    QapiMember m;
    for (const char *at = members ? members : ""; qapi_member_next(&at, &m);) {
        g_autofree char *type = type_name(&m);
        JsonObject *member = json_object_new();
        json_object_set_string_member(member, "name", m.name);
        json_object_set_string_member(member, "type", type);
        if (m.optional)
            json_object_set_null_member(member, "default");
        json_array_add_object_element(a, member);
        need(i, type);
    }
    json_object_set_array_member(o, "members", a);
}

static const char *variant_of(const char *variants, const char *word, QapiMember *m)
{
    for (const char *at = variants; qapi_member_next(&at, m);)
        if (g_str_equal(m->name, word))
            return m->type;
    return "q_empty";
}

/* Every word of the tag's enum has a variant, though it be empty. */
static void add_variants(QapiIntrospection *i, JsonObject *o, const QapiType *t)
{
    QapiMember m, tag = { .name = "" };
    for (const char *at = t->members; qapi_member_next(&at, &tag) && !g_str_equal(tag.name, t->tag);)
        ;
    const QapiType *words = qapi_schema_find(i->schema, tag.type);
    g_auto(GStrv) cases = g_strsplit(words ? words->members : "", " ", -1);
    JsonArray *a = json_array_new();
    for (char **word = cases; *word; word++) {
        if (!**word)
            continue;
        const char *type = variant_of(t->variants, *word, &m);
        JsonObject *v = json_object_new();
        json_object_set_string_member(v, "case", *word);
        json_object_set_string_member(v, "type", type);
        json_array_add_object_element(a, v);
        need(i, type);
    }
    json_object_set_string_member(o, "tag", t->tag);
    json_object_set_array_member(o, "variants", a);
}

static void add_enum(QapiIntrospection *i, const QapiType *t)
{
    JsonObject *o = entity(i, t->name, "enum");
    JsonArray *members = json_array_new(), *values = json_array_new();
    g_auto(GStrv) words = g_strsplit(t->members, " ", -1);
    for (char **word = words; *word; word++) {
        if (!**word)
            continue;
        JsonObject *m = json_object_new();
        json_object_set_string_member(m, "name", *word);
        json_array_add_object_element(members, m);
        json_array_add_string_element(values, *word);
    }
    json_object_set_array_member(o, "members", members);
    json_object_set_array_member(o, "values", values);
}

static void add_alternate(QapiIntrospection *i, const QapiType *t)
{
    JsonObject *o = entity(i, t->name, "alternate");
    JsonArray *members = json_array_new();
    g_auto(GStrv) types = g_strsplit(t->members, " ", -1);
    for (char **type = types; *type; type++) {
        JsonObject *m = json_object_new();
        json_object_set_string_member(m, "type", *type);
        json_array_add_object_element(members, m);
        need(i, *type);
    }
    json_object_set_array_member(o, "members", members);
}

static void need_type(QapiIntrospection *i, const QapiType *t)
{
    if (t->meta == QAPI_ENUM) {
        add_enum(i, t);
    } else if (t->meta == QAPI_ALTERNATE) {
        add_alternate(i, t);
    } else {
        JsonObject *o = entity(i, t->name, "object");
        add_members(i, o, t->members);
        if (t->tag)
            add_variants(i, o, t);
    }
}

/* What query-qmp-schema calls the JSON type of a built-in one. */
static void need_builtin(QapiIntrospection *i, const char *name)
{
    bool any = g_str_equal(name, "any");
    const char *json = g_str_equal(name, "str") ? "string" : g_str_equal(name, "bool") ? "boolean" : any ? "value" : name;
    json_object_set_string_member(entity(i, name, "builtin"), "json-type", json);
}

static void need(QapiIntrospection *i, const char *name)
{
    if (!g_hash_table_add(i->done, g_strdup(name)))
        return;
    const QapiType *t = qapi_schema_find(i->schema, name);
    if (*name == '[')
        need_list(i, name);
    else if (t)
        need_type(i, t);
    else if (g_str_equal(name, "q_empty"))
        add_members(i, entity(i, name, "object"), NULL);
    else
        need_builtin(i, name);
}

/* The name of the type of arguments. */
static char *arguments_type(QapiIntrospection *i, const char *name, const char *members)
{
    if (!members || !*members) {
        need(i, "q_empty");
        return g_strdup("q_empty");
    }
    if (!strchr(members, ':')) {
        need(i, members);
        return g_strdup(members);
    }
    char *type = g_strdup_printf("q_obj_%s-arg", name);
    add_members(i, entity(i, type, "object"), members);
    return type;
}

QapiIntrospection *qapi_introspect_new(const QapiSchema *s)
{
    QapiIntrospection *i = g_new0(QapiIntrospection, 1);
    i->schema = s;
    i->out = json_array_new();
    i->done = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return i;
}

static void add_features(JsonObject *o, const char *features)
{
    g_auto(GStrv) words = g_strsplit(features, " ", -1);
    JsonArray *a = json_array_new();
    for (char **word = words; *word; word++)
        json_array_add_string_element(a, *word);
    json_object_set_array_member(o, "features", a);
}

void qapi_introspect_command(QapiIntrospection *i, const char *name, const char *members, const char *ret, const char *features)
{
    g_autofree char *arguments = arguments_type(i, name, members);
    JsonObject *o = entity(i, name, "command");
    json_object_set_string_member(o, "arg-type", arguments);
    json_object_set_string_member(o, "ret-type", ret ? ret : "q_empty");
    json_object_set_boolean_member(o, "allow-oob", FALSE);
    if (features)
        add_features(o, features);
    need(i, ret ? ret : "q_empty");
}

void qapi_introspect_event(QapiIntrospection *i, const char *name, const char *members)
{
    g_autofree char *arguments = arguments_type(i, name, members);
    json_object_set_string_member(entity(i, name, "event"), "arg-type", arguments);
}

JsonNode *qapi_introspect_end(QapiIntrospection *i)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);
    json_node_take_array(node, i->out);
    g_hash_table_unref(i->done);
    g_free(i);
    return node;
}
