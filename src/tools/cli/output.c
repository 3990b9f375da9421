/* output.c - what a command prints: text as virsh has it, or with --output json one value. */
#include <json-glib/json-glib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/cli/cli.h"

typedef struct Output {
    JsonObject *pairs;
    JsonArray *rows; /* NULL: no table */
} Output;

struct Table {
    GPtrArray *rows; /* GStrv; the first is the heading */
};

void out_begin(Cli *c)
{
    Output *o = g_new0(Output, 1);
    o->pairs = json_object_new();
    c->output = o;
}

/* "Max memory" -> "max-memory" */
static char *json_name(const char *label)
{
    char *name = g_ascii_strdown(label, -1);
    g_strdelimit(name, " ():", '-');
    for (gsize n = strlen(name); n && name[n - 1] == '-'; n--)
        name[n - 1] = 0;
    return name;
}

void out_end(Cli *c)
{
    Output *o = c->output;
    c->output = NULL;
    if (c->json && (o->rows || json_object_get_size(o->pairs))) {
        g_autoptr(JsonNode) node = json_node_new(o->rows ? JSON_NODE_ARRAY : JSON_NODE_OBJECT);
        if (o->rows)
            json_node_set_array(node, o->rows);
        else
            json_node_set_object(node, o->pairs);
        g_autofree char *text = json_to_string(node, TRUE);
        puts(text);
    }
    g_clear_pointer(&o->rows, json_array_unref);
    json_object_unref(o->pairs);
    g_free(o);
}

static void add(Cli *c, const char *label, const char *value)
{
    g_autofree char *name = json_name(label);
    json_object_set_string_member(c->output->pairs, name, value);
}

static char *va_text(const char *format, va_list ap) { return g_strdup_vprintf(format, ap); }

#define TEXT_OF(text, format)                      \
    va_list ap;                                    \
    va_start(ap, format);                          \
    g_autofree char *text = va_text(format, ap);   \
    va_end(ap)

void out_message(Cli *c, const char *format, ...)
{
    TEXT_OF(text, format);
    if (c->json)
        add(c, "message", text);
    else if (!c->quiet)
        puts(text);
}

void out_pair(Cli *c, int width, const char *label, const char *format, ...)
{
    TEXT_OF(text, format);
    g_autofree char *colon = g_strconcat(label, ":", NULL);
    if (c->json)
        add(c, label, text);
    else
        printf("%-*s %s\n", width, colon, text);
}

void out_text(Cli *c, const char *name, const char *text)
{
    if (c->json)
        add(c, name, text);
    else
        fputs(text, stdout);
}

void out_line(Cli *c, const char *name, const char *format, ...)
{
    TEXT_OF(text, format);
    if (c->json)
        add(c, name, text);
    else
        puts(text);
}

static void append_row(Table *t, const char *first, va_list ap)
{
    GStrvBuilder *b = g_strv_builder_new();
    for (const char *cell = first; cell; cell = va_arg(ap, const char *))
        g_strv_builder_add(b, cell);
    g_ptr_array_add(t->rows, g_strv_builder_end(b));
    g_strv_builder_unref(b);
}

Table *table_new(const char *first, ...)
{
    Table *t = g_new0(Table, 1);
    t->rows = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    va_list ap;
    va_start(ap, first);
    append_row(t, first, ap);
    va_end(ap);
    return t;
}

void table_row(Table *t, const char *first, ...)
{
    va_list ap;
    va_start(ap, first);
    append_row(t, first, ap);
    va_end(ap);
}

static void table_json(Cli *c, const Table *t)
{
    char **heading = t->rows->pdata[0];
    if (!c->output->rows)
        c->output->rows = json_array_new();
    for (guint i = 1; i < t->rows->len; i++) {
        char **row = t->rows->pdata[i];
        JsonObject *o = json_object_new();
        for (guint n = 0; row[n]; n++) {
            g_autofree char *name = json_name(heading[n]);
            if (strcmp(row[n], "-"))
                json_object_set_string_member(o, name, row[n]);
            else
                json_object_set_null_member(o, name);
        }
        json_array_add_object_element(c->output->rows, o);
    }
}

/* Each column is as wide as its widest cell, with a space before and two behind. */
static void table_text(Cli *c, const Table *t)
{
    guint columns = g_strv_length(t->rows->pdata[0]);
    g_autofree glong *width = g_new0(glong, columns);
    glong line = 0;
    for (guint i = c->quiet; i < t->rows->len; i++)
        for (guint n = 0; n < columns; n++)
            width[n] = MAX(width[n], g_utf8_strlen(((char **)t->rows->pdata[i])[n], -1));
    for (guint n = 0; n < columns; n++)
        line += width[n] + 3;
    for (guint i = c->quiet; i < t->rows->len; i++) {
        char **row = t->rows->pdata[i];
        for (guint n = 0; n < columns; n++)
            printf(" %s%*s", row[n], n + 1 < columns ? (int)(width[n] - g_utf8_strlen(row[n], -1) + 2) : 0, "");
        putchar('\n');
        for (glong n = 0; !i && n < line; n++)
            putchar('-');
        if (!i)
            putchar('\n');
    }
}

void table_print(Cli *c, Table *t)
{
    if (c->json)
        table_json(c, t);
    else
        table_text(c, t);
    g_ptr_array_unref(t->rows);
    g_free(t);
}

const char *pretty_size(guint64 bytes, double *ret)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned u = 0;
    *ret = bytes;
    for (; *ret >= 1024 && u + 1 < G_N_ELEMENTS(units); u++)
        *ret /= 1024;
    return units[u];
}

void out_size(Cli *c, int width, const char *label, guint64 bytes, bool raw)
{
    double value;
    const char *unit = pretty_size(bytes, &value);
    if (c->json || raw)
        out_pair(c, width, label, raw && !c->json ? "%" G_GUINT64_FORMAT " bytes" : "%" G_GUINT64_FORMAT, bytes);
    else
        out_pair(c, width, label, "%-.2lf %s", value, unit);
}
