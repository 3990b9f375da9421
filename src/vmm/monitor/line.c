/* line.c - the text monitor: a prompt, a line, what the command prints. */
#include <ctype.h>
#include <string.h>

#include "vmm/monitor/inside.h"

#define PROMPT "(atoll) "

/* ---- the row that a line means */

/* How many bytes of `line` say the name `word` ("info status"), 0: it is another.  A format may follow at once: "xp/4xw". */
static size_t says(const char *line, const char *word, size_t word_len)
{
    if (strncmp(line, word, word_len) || (line[word_len] && line[word_len] != ' ' && line[word_len] != '/'))
        return 0;
    return word_len;
}

/* The row with the longest name that the line begins with: "info status" comes before "info". */
static const MonitorCommand *line_find(const char *line, const char **ret_rest)
{
    const MonitorCommand *best = NULL;
    size_t best_len = 0;
    for (unsigned t = 0; monitor_tables[t]; t++)
        for (const MonitorCommand *c = monitor_tables[t]; c->name || c->line; c++)
            for (const char *name = c->line; name; name = strchr(name, '|') ? strchr(name, '|') + 1 : NULL) {
                size_t n = says(line, name, strcspn(name, "|"));
                if (n > best_len) {
                    best = c;
                    best_len = n;
                }
            }
    *ret_rest = line + best_len + strspn(line + best_len, " ");
    return best;
}

/* ---- arguments */

static char *take_word(const char **at)
{
    const char *p = *at + strspn(*at, " ");
    bool quoted = *p == '"';
    p += quoted;
    size_t n = strcspn(p, quoted ? "\"" : " ");
    *at = p + n + (quoted && p[n]);
    return n || quoted ? g_strndup(p, n) : NULL;
}

static bool add_argument(JsonObject *args, const QapiMember *m, const char *word, GError **err)
{
    char *end;
    if (g_str_equal(m->type, "int")) {
        gint64 value = g_ascii_strtoll(word, &end, 0);
        if (end == word || *end)
            return error_set(err, ERR_INVALID, "%s is a number, not '%s'", m->name, word);
        json_object_set_int_member(args, m->name, value);
    } else if (g_str_equal(m->type, "bool")) {
        json_object_set_boolean_member(args, m->name, !g_str_equal(word, "off"));
    } else {
        json_object_set_string_member(args, m->name, word);
    }
    return true;
}

static bool read_arguments(const char *members, const char *rest, JsonObject *args, GError **err)
{
    QapiMember m;
    for (const char *at = members ? members : ""; strchr(at, ':') && qapi_member_next(&at, &m);) {
        g_autofree char *word = g_str_equal(m.type, "rest") ? g_strdup(rest + strspn(rest, " ")) : take_word(&rest);
        if (g_str_equal(m.type, "rest"))
            rest = "";
        if (!word || !*word)
            return m.optional || error_set(err, ERR_INVALID, "'%s' is missing", m.name);
        if (!add_argument(args, &m, word, err))
            return false;
    }
    rest += strspn(rest, " ");
    return !*rest || error_set(err, ERR_INVALID, "'%s' is too much", rest);
}

/* ---- results as text */

static void print_node(GString *out, JsonNode *node, unsigned indent);

static void print_member(JsonObject *o, const char *name, JsonNode *value, void *opaque)
{
    GString *out = ((void **)opaque)[0];
    unsigned indent = GPOINTER_TO_UINT(((void **)opaque)[1]);
    g_string_append_printf(out, "%*s%s:%s", indent, "", name, JSON_NODE_HOLDS_VALUE(value) ? " " : "\n");
    print_node(out, value, indent + 2);
}

static void print_value(GString *out, JsonNode *node)
{
    GType type = json_node_get_value_type(node);
    if (type == G_TYPE_STRING)
        g_string_append(out, json_node_get_string(node));
    else if (type == G_TYPE_BOOLEAN)
        g_string_append(out, json_node_get_boolean(node) ? "on" : "off");
    else if (type == G_TYPE_INT64)
        g_string_append_printf(out, "%" G_GINT64_FORMAT, json_node_get_int(node));
    else
        g_string_append_printf(out, "%g", json_node_get_double(node));
    g_string_append_c(out, '\n');
}

static void print_node(GString *out, JsonNode *node, unsigned indent)
{
    void *opaque[] = { out, GUINT_TO_POINTER(indent) };
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        json_object_foreach_member(json_node_get_object(node), print_member, opaque);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *a = json_node_get_array(node);
        for (unsigned i = 0; i < json_array_get_length(a); i++) {
            if (i && indent == 0 && !JSON_NODE_HOLDS_VALUE(json_array_get_element(a, i)))
                g_string_append_c(out, '\n');
            print_node(out, json_array_get_element(a, i), indent);
        }
    } else if (JSON_NODE_HOLDS_VALUE(node)) {
        g_string_append_printf(out, "%*s", 0, "");
        print_value(out, node);
    }
}

/* ---- running a line */

static bool run_text(MonitorCall *call, const MonitorCommand *c, GError **err)
{
    if (!call->vm->board && !c->early)
        return error_set(err, ERR_UNSUPPORTED, "there is no machine yet (-machine none)");
    if (c->text)
        return c->text(call, err);
    JsonNode *ret = NULL;
    Monitor none = { .all = call->vm->monitors }; /* asked by somebody else */
    if (!qmp_run(call->monitor ? call->monitor : &none, c, call->args, &ret, err))
        return false;
    print_node(call->out, ret, 0);
    json_node_unref(ret);
    return true;
}

char *monitor_run_line(Vm *vm, Monitor *m, const char *line)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(JsonObject) args = json_object_new();
    MonitorCall call = { .vm = vm, .monitor = m, .args = args, .out = g_string_new(NULL) };
    const char *rest;
    line += strspn(line, " \t");
    const MonitorCommand *c = line_find(line, &rest);
    if (!*line)
        return g_string_free(call.out, FALSE);
    if (!c)
        g_string_append_printf(call.out, "unknown command: '%s'; help lists them\n", line);
    else if (!read_arguments(c->line_args ? c->line_args : c->args, rest, args, &err) || !run_text(&call, c, &err))
        g_string_append_printf(call.out, "Error: %s\n", err->message);
    g_clear_pointer(&call.ret, json_node_unref);
    return g_string_free(call.out, FALSE);
}

/* ---- the terminal */

void line_open(Monitor *m)
{
    monitor_print(m, "Atoll " ATOLL_VERSION " monitor - type 'help' for more information\r\n" PROMPT);
}

static void print_lines(Monitor *m, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *joined = g_strjoinv("\r\n", lines);
    monitor_print(m, joined);
}

static void enter(Monitor *m)
{
    g_autofree char *line = g_strdup(g_strstrip(m->line->str));
    g_string_truncate(m->line, 0);
    monitor_print(m, "\r\n");
    g_autofree char *text = monitor_run_line(m->all->vm, m, line);
    print_lines(m, text);
    monitor_print(m, PROMPT);
}

static void rub_out(Monitor *m, size_t n)
{
    for (; n && m->line->len; n--) {
        g_string_truncate(m->line, m->line->len - 1);
        monitor_print(m, "\b \b");
    }
}

static void type_key(Monitor *m, char key)
{
    enum { CTRL_U = 0x15, ESC = 0x1b, DEL = 0x7f, LONGEST = 4095 };
    if (m->escape) { /* cursor keys and the like: there is no history */
        m->escape = key == '[' || key == 'O' || isdigit((unsigned char)key) || key == ';';
    } else if (key == ESC) {
        m->escape = true;
    } else if (key == '\r' || key == '\n') {
        enter(m);
    } else if (key == '\b' || key == DEL) {
        rub_out(m, 1);
    } else if (key == CTRL_U) {
        rub_out(m, m->line->len);
    } else if ((unsigned char)key >= ' ' && m->line->len < LONGEST) {
        char echo[] = { key, 0 };
        g_string_append_c(m->line, key);
        monitor_print(m, echo);
    }
}

void line_receive(Monitor *m, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        type_key(m, data[i]);
}

/* ---- help, from the rows */

static void help_row(GString *out, const MonitorCommand *c)
{
    g_autofree char *args = qapi_members_help(c->line_args ? c->line_args : c->args);
    g_string_append_printf(out, "%s%s%s -- %s\n", c->line, *args ? " " : "", args, c->doc);
}

static bool help(MonitorCall *call, GError **err)
{
    const char *word = arg_text(call, "name");
    bool any = false;
    for (unsigned t = 0; monitor_tables[t]; t++)
        for (const MonitorCommand *c = monitor_tables[t]; c->name || c->line; c++)
            if (c->line && (!word || g_str_has_prefix(c->line, word))) {
                help_row(call->out, c);
                any = true;
            }
    return any || error_set(err, ERR_NOT_FOUND, "no command begins with '%s'", word);
}

static bool help_info(MonitorCall *call, GError **err)
{
    json_object_set_string_member(call->args, "name", "info ");
    return help(call, err);
}

char *monitor_manual(void)
{
    GString *s = g_string_new(NULL);
    for (unsigned t = 0; monitor_tables[t]; t++)
        for (const MonitorCommand *c = monitor_tables[t]; c->name || c->line; c++) {
            g_autofree char *args = qapi_members_help(c->line && c->line_args ? c->line_args : c->args);
            g_string_append_printf(s, "%s%s%s%s%s%s: %s\n", c->name ? c->name : c->line, *args ? " " : "", args, c->name && c->line ? " (typed: " : "",
                                   c->name && c->line ? c->line : "", c->name && c->line ? ")" : "", c->doc);
        }
    return g_string_free(s, FALSE);
}

const MonitorCommand line_commands[] = {
    { NULL, "help|?", "?name: str", .doc = "commands that begin so", .text = help, .early = true },
    { NULL, "info", .doc = "what can be asked for", .text = help_info, .early = true },
    { NULL },
};
