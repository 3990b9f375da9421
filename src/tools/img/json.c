/* json.c - a small tree of values and its two written forms. */
#include "tools/img/json.h"

#include <string.h>

typedef enum JsonKind { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_BOOL } JsonKind;

struct Json {
    JsonKind kind;
    char *text; /* a number's digits, too */
    GPtrArray *items, *keys; /* keys: of objects */
};

static Json *json_new(JsonKind kind)
{
    Json *j = g_new0(Json, 1);
    j->kind = kind;
    j->items = g_ptr_array_new_with_free_func((GDestroyNotify)json_free);
    j->keys = g_ptr_array_new_with_free_func(g_free);
    return j;
}

static Json *json_with_text(JsonKind kind, char *text)
{
    Json *j = json_new(kind);
    j->text = text;
    return j;
}

Json *json_object(void) { return json_new(JSON_OBJECT); }
Json *json_array(void) { return json_new(JSON_ARRAY); }
Json *json_string(const char *text) { return json_with_text(JSON_STRING, g_strdup(text)); }
Json *json_number(int64_t number) { return json_with_text(JSON_NUMBER, g_strdup_printf("%" G_GINT64_FORMAT, number)); }
Json *json_unsigned(uint64_t number) { return json_with_text(JSON_NUMBER, g_strdup_printf("%" G_GUINT64_FORMAT, number)); }

Json *json_bool(bool value) { return json_with_text(JSON_BOOL, g_strdup(value ? "true" : "false")); }

void json_free(Json *j)
{
    if (!j)
        return;
    g_ptr_array_unref(j->items);
    g_ptr_array_unref(j->keys);
    g_free(j->text);
    g_free(j);
}

void json_set(Json *object, const char *key, Json *value)
{
    g_ptr_array_add(object->keys, g_strdup(key));
    g_ptr_array_add(object->items, value);
}

void json_add(Json *array, Json *value) { g_ptr_array_add(array->items, value); }

Json *json_first(Json *array) { return array->items->len ? array->items->pdata[0] : NULL; }

Json *json_get(Json *object, const char *key)
{
    for (unsigned i = 0; i < object->keys->len; i++)
        if (g_str_equal(object->keys->pdata[i], key))
            return object->items->pdata[i];
    return NULL;
}

static Json *child(Json *parent, const char *word, const char *next)
{
    bool array = g_ascii_isdigit(*next);
    if (parent->kind == JSON_ARRAY) {
        while (parent->items->len <= g_ascii_strtoull(word, NULL, 10))
            json_add(parent, array ? json_array() : json_object());
        return parent->items->pdata[g_ascii_strtoull(word, NULL, 10)];
    }
    if (!json_get(parent, word))
        json_set(parent, word, array ? json_array() : json_object());
    return json_get(parent, word);
}

void json_set_path(Json *object, const char *path, Json *value)
{
    g_auto(GStrv) words = g_strsplit(path, ".", -1);
    unsigned i = 0;
    for (; words[i + 1]; i++)
        object = child(object, words[i], words[i + 1]);
    if (object->kind == JSON_ARRAY)
        json_add(object, value);
    else
        json_set(object, words[i], value);
}

/* Anything outside of ASCII is an escape, as QEMU has it; bytes that are no UTF-8 are the replacement character. */
static void append_quoted(GString *s, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_string_append_c(s, '"');
    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
        const char *at = c < 128 ? strchr(plain, c) : NULL;
        if (at)
            g_string_append_printf(s, "\\%c", letters[at - plain]);
        else if (c >= 0x10000)
            g_string_append_printf(s, "\\u%04X\\u%04X", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (c < 32 || c >= 127)
            g_string_append_printf(s, "\\u%04X", c);
        else
            g_string_append_c(s, c);
    }
    g_string_append_c(s, '"');
}

static void new_line(GString *s, unsigned indent) { g_string_append_printf(s, "\n%*s", indent * 4, ""); }

static void append(GString *s, const Json *j, unsigned indent)
{
    if (j->kind == JSON_STRING)
        append_quoted(s, j->text);
    if (j->kind == JSON_NUMBER || j->kind == JSON_BOOL)
        g_string_append(s, j->text);
    if (j->kind != JSON_OBJECT && j->kind != JSON_ARRAY)
        return;
    g_string_append_c(s, j->kind == JSON_OBJECT ? '{' : '[');
    for (unsigned i = 0; i < j->items->len; i++) {
        g_string_append(s, i ? "," : "");
        new_line(s, indent + 1);
        if (j->kind == JSON_OBJECT) {
            append_quoted(s, j->keys->pdata[i]);
            g_string_append(s, ": ");
        }
        append(s, j->items->pdata[i], indent + 1);
    }
    new_line(s, indent);
    g_string_append_c(s, j->kind == JSON_OBJECT ? '}' : ']');
}

char *json_text(const Json *j)
{
    GString *s = g_string_new(NULL);
    append(s, j, 0);
    g_string_append_c(s, '\n');
    return g_string_free(s, FALSE);
}

void json_append_human(GString *s, const Json *j, unsigned indent)
{
    for (unsigned i = 0; i < j->items->len; i++) {
        const Json *item = j->items->pdata[i];
        g_string_append_printf(s, "%*s", indent * 4, "");
        if (j->kind == JSON_ARRAY)
            g_string_append_printf(s, "[%u]:", i);
        else {
            g_autofree char *words = g_strdelimit(g_strdup(j->keys->pdata[i]), "-", ' ');
            g_string_append_printf(s, "%s:", words);
        }
        bool leaf = item->kind != JSON_OBJECT && item->kind != JSON_ARRAY;
        g_string_append_printf(s, "%s%s\n", leaf ? " " : "", leaf ? item->text : "");
        if (!leaf)
            json_append_human(s, item, indent + 1);
    }
}
