/* record_json.c - records from JSON and to JSON, and the table as a manual. */
#include <string.h>

#include "base/error.h"
#include "schema/record_inside.h"

static JsonNode *array_node(const GPtrArray *list, const RecordField *f, RecordFlags flags)
{
    JsonArray *array = json_array_sized_new(list->len);
    for (guint i = 0; i < list->len; i++)
        if (f->kind == RK_LIST)
            json_array_add_element(array, record_write_json(list->pdata[i], flags));
        else
            json_array_add_string_element(array, list->pdata[i]);
    JsonNode *node = json_node_alloc();
    json_node_init_array(node, array);
    json_array_unref(array);
    return node;
}

/* Sizes are bytes here. */
static JsonNode *member_node(const void *record, const RecordField *f, RecordFlags flags)
{
    switch (f->kind) {
    case RK_UINT:
    case RK_SIZE:
        return json_node_init_int(json_node_alloc(), *record_uint(record, f));
    case RK_FLAG:
        return json_node_init_boolean(json_node_alloc(), true);
    case RK_TEXTS:
    case RK_LIST:
        return array_node(*record_array(record, f), f, flags);
    case RK_RECORD:
        return record_write_json(*record_inner(record, f), flags);
    default: {
        g_autofree char *text = record_print(record, f);
        return json_node_init_string(json_node_alloc(), text);
    }
    }
}

JsonNode *record_write_json(const void *record, RecordFlags flags)
{
    JsonObject *o = json_object_new();
    for (const RecordField *f = ((const Record *)record)->type->fields; f->name; f++) {
        if ((f->live && !(flags & RECORD_LIVE)) || (f->secret && !(flags & RECORD_SECRET)))
            continue;
        if (record_applies(record, f) && !record_is_absent(record, f))
            json_object_set_member(o, f->name, member_node(record, f, flags));
    }
    JsonNode *node = json_node_init_object(json_node_alloc(), o);
    json_object_unref(o);
    return node;
}

static bool read_array(void *record, const RecordField *f, JsonNode *node, RecordFlags flags, GError **err)
{
    if (!JSON_NODE_HOLDS_ARRAY(node))
        return error_set(err, ERR_INVALID, "%s: an array is wanted", f->name);
    JsonArray *array = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);
        if (f->kind == RK_TEXTS && json_node_get_value_type(element) == G_TYPE_STRING) {
            record_texts_add(record, f, json_node_get_string(element));
            continue;
        }
        void *inner = f->kind == RK_LIST ? record_read_json(f->record, element, flags, err) : NULL;
        if (f->kind == RK_TEXTS)
            return error_set(err, ERR_INVALID, "%s: strings are wanted", f->name);
        if (!inner)
            return false;
        record_list_add(record, f, inner);
    }
    return true;
}

static bool read_scalar(void *record, const RecordField *f, JsonNode *node, GError **err)
{
    GType type = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;
    if (type == G_TYPE_INT64 && json_node_get_int(node) >= 0) {
        g_autofree char *number = g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node));
        return record_parse(record, f, number, "b", err);
    }
    if (type != G_TYPE_STRING)
        return error_set(err, ERR_INVALID, "a string or a number that is not negative is wanted");
    return record_parse(record, f, json_node_get_string(node), "b", err);
}

static bool read_member(void *record, const RecordField *f, JsonNode *node, RecordFlags flags, GError **err)
{
    switch (f->kind) {
    case RK_TEXTS:
    case RK_LIST:
        return read_array(record, f, node, flags, err);
    case RK_RECORD:
        return (*record_inner(record, f) = record_read_json(f->record, node, flags, err)) != NULL;
    case RK_FLAG:
        *(bool *)record_member(record, f) = json_node_get_boolean(node);
        return true;
    default:
        if (read_scalar(record, f, node, err))
            return true;
        g_prefix_error(err, "%s: ", f->name);
        return false;
    }
}

static bool known_members(const RecordType *t, JsonObject *o, GError **err)
{
    g_autoptr(GList) names = json_object_get_members(o);
    for (GList *l = names; l; l = l->next)
        if (!record_field(t, l->data))
            return error_set(err, ERR_INVALID, "<%s> has no member '%s'", t->element, (char *)l->data);
    return true;
}

void *record_read_json(const RecordType *t, JsonNode *node, RecordFlags flags, GError **err)
{
    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        error_set(err, ERR_INVALID, "%s: an object is wanted", t->element);
        return NULL;
    }
    JsonObject *o = json_node_get_object(node);
    void *record = record_new(t);
    bool ok = known_members(t, o, err);
    for (const RecordField *f = t->fields; ok && f->name; f++)
        if (record_applies(record, f) && json_object_has_member(o, f->name) && (!f->live || (flags & RECORD_LIVE)))
            ok = read_member(record, f, json_object_get_member(o, f->name), flags, err);
    if (!ok || !record_settle_one(record, err))
        g_clear_pointer(&record, record_free);
    return record;
}

static void manual_rows(GString *s, const RecordType *t, const char *prefix)
{
    static const char *const kinds[] = { "text", "UUID", "MAC address", "number", "size", NULL, "empty element", "texts", NULL, NULL, "XML" };
    for (const RecordField *f = t->fields; f->name; f++) {
        g_autofree char *path = !strcmp(f->path, ".") ? g_strdup(prefix) : g_strdup_printf("%s/%s", prefix, f->path);
        if (f->record == t) /* an image has one below it, which has one below it */
            continue;
        if (f->record) {
            manual_rows(s, f->record, path);
            continue;
        }
        g_autofree char *words = f->kind == RK_WORD ? g_strjoinv(", ", (char **)f->words) : g_strdup(kinds[f->kind]);
        g_string_append_printf(s, "| `%s` | %s | %s | %s%s%s |\n", path, words, f->def ? f->def : f->required ? "required" : "",
                               f->doc ? f->doc : "", f->when ? "; where " : "", f->when ? f->when : "");
    }
}

char *record_manual(const RecordType *t)
{
    GString *s = g_string_new("| element or attribute | values | default | meaning |\n|---|---|---|---|\n");
    manual_rows(s, t, t->element);
    return g_string_free(s, FALSE);
}
