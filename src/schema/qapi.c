/* qapi.c - rows of types: reading them, and checking JSON against them. */
#include "schema/qapi.h"

#include <string.h>

#include "base/error.h"

struct QapiSchema {
    GHashTable *types; /* by name */
};

/* ---- the text of members */

static const char *skip(const char *p, const char *set) { return p + strspn(p, set); }

bool qapi_member_next(const char **at, QapiMember *ret)
{
    const char *p = skip(*at, " ,\n");
    if (!*p)
        return false;
    *ret = (QapiMember){ .optional = *p == '?' };
    p += ret->optional;
    size_t n = strcspn(p, ":");
    g_strlcpy(ret->name, p, MIN(n + 1, sizeof(ret->name)));
    p = skip(p + n, ": ");
    ret->list = *p == '[';
    p += ret->list;
    n = strcspn(p, ", ]\n");
    g_strlcpy(ret->type, p, MIN(n + 1, sizeof(ret->type)));
    *at = p + n + ret->list;
    return true;
}

bool qapi_words_contain(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = skip(words, " "); *p; p = skip(p + strcspn(p, " "), " "))
        if (strcspn(p, " ") == n && !strncmp(p, word, n))
            return true;
    return false;
}

char *qapi_members_help(const char *members)
{
    GString *s = g_string_new(NULL);
    QapiMember m;
    for (const char *at = members ? members : ""; strchr(at, ':') && qapi_member_next(&at, &m);)
        g_string_append_printf(s, "%s%s%s%s", s->len ? " " : "", m.optional ? "[" : "", m.name, m.optional ? "]" : "");
    return g_string_free(s, FALSE);
}

/* ---- the schema */

QapiSchema *qapi_schema_new(void)
{
    QapiSchema *s = g_new0(QapiSchema, 1);
    s->types = g_hash_table_new(g_str_hash, g_str_equal);
    return s;
}

void qapi_schema_free(QapiSchema *s)
{
    if (s)
        g_hash_table_unref(s->types);
    g_free(s);
}

void qapi_schema_add(QapiSchema *s, const QapiType *table)
{
    for (const QapiType *t = table; t->name; t++)
        g_hash_table_insert(s->types, (char *)t->name, (QapiType *)t);
}

const QapiType *qapi_schema_find(const QapiSchema *s, const char *name) { return g_hash_table_lookup(s->types, name); }

static bool is_builtin(const char *type) { return qapi_words_contain("str int number bool any null", type); }

char *qapi_schema_missing(const QapiSchema *s, const char *members)
{
    QapiMember m;
    if (members && !strchr(members, ':'))
        return qapi_schema_find(s, members) ? NULL : g_strdup(members);
    for (const char *at = members ? members : ""; qapi_member_next(&at, &m);)
        if (!is_builtin(m.type) && !qapi_schema_find(s, m.type))
            return g_strdup(m.type);
    return NULL;
}

/* ---- checking */

static bool check_node(const QapiSchema *s, const char *type, JsonNode *value, const char *where, GError **err);

static bool is_value(JsonNode *n, GType type) { return JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == type; }

static bool fits_builtin(const char *type, JsonNode *n)
{
    if (g_str_equal(type, "any"))
        return true;
    if (g_str_equal(type, "null"))
        return JSON_NODE_HOLDS_NULL(n);
    if (g_str_equal(type, "str"))
        return is_value(n, G_TYPE_STRING);
    if (g_str_equal(type, "bool"))
        return is_value(n, G_TYPE_BOOLEAN);
    return is_value(n, G_TYPE_INT64) || (g_str_equal(type, "number") && is_value(n, G_TYPE_DOUBLE));
}

static const char *expected(const char *type)
{
    return g_str_equal(type, "str") ? "string" : g_str_equal(type, "bool") ? "boolean" : g_str_equal(type, "int") ? "integer" : type;
}

static bool wrong_type(const char *where, const char *type, GError **err)
{
    return error_set(err, ERR_INVALID, "Invalid parameter type for '%s', expected: %s", where, expected(type));
}

static bool check_enum(const QapiType *t, JsonNode *value, const char *where, GError **err)
{
    if (!is_value(value, G_TYPE_STRING))
        return wrong_type(where, "str", err);
    const char *word = json_node_get_string(value);
    return qapi_words_contain(t->members, word) ||
           error_set(err, ERR_INVALID, "Parameter '%s' does not accept value '%s'; it takes one of: %s", where, word, t->members);
}

static bool check_alternate(const QapiSchema *s, const QapiType *t, JsonNode *value, const char *where, GError **err)
{
    g_auto(GStrv) types = g_strsplit(t->members, " ", -1);
    for (char **type = types; *type; type++)
        if (check_node(s, *type, value, where, NULL))
            return true;
    return wrong_type(where, t->members, err);
}

/* One member of an object: there if it must be, and of its type. */
static bool check_member(const QapiSchema *s, const QapiMember *m, JsonObject *o, const char *where, GError **err)
{
    g_autofree char *full = *where ? g_strdup_printf("%s.%s", where, m->name) : g_strdup(m->name);
    JsonNode *value = json_object_get_member(o, m->name);
    if (!value)
        return m->optional || error_set(err, ERR_INVALID, "Parameter '%s' is missing", full);
    if (!m->list)
        return check_node(s, m->type, value, full, err);
    if (!JSON_NODE_HOLDS_ARRAY(value))
        return wrong_type(full, "array", err);
    JsonArray *a = json_node_get_array(value);
    for (unsigned i = 0; i < json_array_get_length(a); i++)
        if (!check_node(s, m->type, json_array_get_element(a, i), full, err))
            return false;
    return true;
}

/* Checks what the text lists, and collects the names in `seen`. */
static bool check_members(const QapiSchema *s, const char *members, JsonObject *o, const char *where, GHashTable *seen, GError **err)
{
    QapiMember m;
    for (const char *at = members ? members : ""; qapi_member_next(&at, &m);) {
        if (!check_member(s, &m, o, where, err))
            return false;
        g_hash_table_add(seen, g_strdup(m.name));
    }
    return true;
}

static const QapiType *chosen_variant(const QapiSchema *s, const QapiType *t, JsonObject *o)
{
    const char *choice = t->tag && json_object_has_member(o, t->tag) ? json_object_get_string_member(o, t->tag) : NULL;
    QapiMember m;
    for (const char *at = choice ? t->variants : ""; qapi_member_next(&at, &m);)
        if (g_str_equal(m.name, choice))
            return qapi_schema_find(s, m.type);
    return NULL;
}

static bool refuse_rest(JsonObject *o, GHashTable *seen, const char *where, GError **err)
{
    g_autoptr(GList) names = json_object_get_members(o);
    for (GList *n = names; n; n = n->next)
        if (!g_hash_table_contains(seen, n->data))
            return error_set(err, ERR_INVALID, "Parameter '%s%s%s' is unexpected", where, *where ? "." : "", (char *)n->data);
    return true;
}

static bool check_object(const QapiSchema *s, const QapiType *t, JsonObject *o, const char *where, GError **err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!check_members(s, t->members, o, where, seen, err))
        return false;
    bool open = t->open;
    for (const QapiType *v = chosen_variant(s, t, o); v; v = chosen_variant(s, v, o)) {
        open |= v->open;
        if (!check_members(s, v->members, o, where, seen, err))
            return false;
    }
    return open || refuse_rest(o, seen, where, err);
}

static bool check_node(const QapiSchema *s, const char *type, JsonNode *value, const char *where, GError **err)
{
    if (is_builtin(type))
        return fits_builtin(type, value) || wrong_type(where, type, err);
    const QapiType *t = qapi_schema_find(s, type);
    if (!t)
        return error_set(err, ERR_INTERNAL, "'%s' is of the type '%s', which no table describes", where, type);
    if (t->meta == QAPI_ENUM)
        return check_enum(t, value, where, err);
    if (t->meta == QAPI_ALTERNATE)
        return check_alternate(s, t, value, where, err);
    return JSON_NODE_HOLDS_OBJECT(value) ? check_object(s, t, json_node_get_object(value), where, err) : wrong_type(where, "object", err);
}

bool qapi_check_arguments(const QapiSchema *s, const char *members, JsonObject *args, GError **err)
{
    g_autoptr(JsonObject) none = json_object_new();
    bool named = members && *members && !strchr(members, ':');
    const QapiType *t = named ? qapi_schema_find(s, members) : NULL;
    if (named && !t)
        return error_set(err, ERR_INTERNAL, "no table describes the type '%s'", members);
    QapiType written = { .members = members };
    return check_object(s, t ? t : &written, args ? args : none, "", err);
}

bool qapi_check_value(const QapiSchema *s, const char *type, JsonNode *value, GError **err)
{
    g_autofree char *text = g_strdup_printf("return: %s", type);
    const char *at = text;
    QapiMember m;
    qapi_member_next(&at, &m);
    g_autoptr(JsonObject) o = json_object_new();
    json_object_set_member(o, "return", json_node_copy(value));
    return check_member(s, &m, o, "", err);
}
