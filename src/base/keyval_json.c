/* keyval_json.c - options written as a JSON object: {"a": {"b": 1}} is a.b=1, lists are a.0, a.1. */
#include "base/keyval_json.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "base/error.h"

enum { DEEPEST = 64 };

static bool add_node(JsonNode *node, const char *key, const JsonPairs *to, GError **err);

static bool key_is_plain(const char *key)
{
    return *key && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(key);
}

static bool add_members(JsonObject *object, const char *key, const JsonPairs *to, GError **err)
{
    g_autoptr(GList) names = json_object_get_members(object);
    bool ok = true;
    for (GList *n = names; n && ok; n = n->next) {
        g_autofree char *full = *key ? g_strconcat(key, ".", n->data, NULL) : g_strdup(n->data);
        ok = key_is_plain(n->data) ? add_node(json_object_get_member(object, n->data), full, to, err)
                                   : error_set(err, ERR_INVALID, "%s: '%s' is no name of an option", to->owner, (char *)n->data);
    }
    return ok;
}

static bool add_elements(JsonArray *array, const char *key, const JsonPairs *to, GError **err)
{
    bool ok = true;
    for (unsigned i = 0; i < json_array_get_length(array) && ok; i++) {
        g_autofree char *full = g_strdup_printf("%s.%u", key, i);
        ok = add_node(json_array_get_element(array, i), full, to, err);
    }
    return ok;
}

/* Numbers and truth values as the text form spells them. */
static char *value_text(JsonNode *node)
{
    GType type = json_node_get_value_type(node);
    if (type == G_TYPE_STRING)
        return json_node_dup_string(node);
    if (type == G_TYPE_BOOLEAN)
        return g_strdup(json_node_get_boolean(node) ? "on" : "off");
    return type == G_TYPE_INT64 ? g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(node)) : g_strdup_printf("%.17g", json_node_get_double(node));
}

static bool add_node(JsonNode *node, const char *key, const JsonPairs *to, GError **err)
{
    switch (json_node_get_node_type(node)) {
    case JSON_NODE_OBJECT:
        return add_members(json_node_get_object(node), key, to, err);
    case JSON_NODE_ARRAY:
        return add_elements(json_node_get_array(node), key, to, err);
    case JSON_NODE_VALUE:
        to->add(to->arg, key, value_text(node));
        return true;
    case JSON_NODE_NULL:
        to->add(to->arg, key, g_strdup(""));
        return true;
    }
    return false;
}

/* The parser calls itself for each level, as deep as the text says, and loses the first of two objects. */
static const char *shape_problem(const char *text)
{
    unsigned depth = 0;
    bool string = false, ended = false;
    for (; *text && depth <= DEEPEST; text++) {
        if (ended && !g_ascii_isspace(*text))
            return "something stands behind the object";
        if (string && *text == '\\' && text[1])
            text++;
        else if (*text == '"')
            string = !string;
        else if (!string && (*text == '{' || *text == '['))
            depth++;
        else if (!string && (*text == '}' || *text == ']'))
            ended = depth > 0 && !--depth;
    }
    return depth > DEEPEST ? "objects stand more than 64 deep within each other" : NULL;
}

bool json_pairs(const char *text, const JsonPairs *to, GError **err)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) why = NULL;
    const char *problem = shape_problem(text);
    if (problem)
        return error_set(err, ERR_INVALID, "%s: not JSON: %s", to->owner, problem);
    if (!json_parser_load_from_data(parser, text, -1, &why))
        return error_set(err, ERR_INVALID, "%s: not JSON: %s", to->owner, why->message);
    JsonNode *root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        return error_set(err, ERR_INVALID, "%s: not a JSON object", to->owner);
    return add_node(root, "", to, err);
}
