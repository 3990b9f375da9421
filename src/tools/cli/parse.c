/* parse.c - the words of a command against its row. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tools/cli/cli.h"

bool cli_error(GError **err, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_autofree char *text = g_strdup_vprintf(format, ap);
    va_end(ap);
    return error_set(err, ERR_INVALID, "%s", text);
}

const Command *command_find(const char *name)
{
    for (const Group *g = groups; g->title; g++)
        for (const Command *c = g->commands; c->name; c++)
            if (!strcmp(c->name, name))
                return c;
    return NULL;
}

static const Argument *argument_named(const Command *command, const char *name, gsize length)
{
    for (const Argument *a = command->args; a && a->name; a++)
        if (strlen(a->name) == length && !strncmp(a->name, name, length))
            return a;
    return NULL;
}

/* The first that takes a value, has none, and need not be named. */
static const Argument *next_positional(const Cli *c, const Command *command)
{
    for (const Argument *a = command->args; a && a->name; a++)
        if (a->kind != ARG_FLAG && !(a->how & ARG_NAMED) && (a->how & ARG_REST || !g_hash_table_contains(c->values, a->name)))
            return a;
    return NULL;
}

static bool take(Cli *c, const Argument *a, const char *value)
{
    if (a->how & ARG_REST)
        g_ptr_array_add(c->rest, g_strdup(value));
    g_hash_table_insert(c->values, (char *)a->name, g_strdup(value));
    return true;
}

static bool unknown_option(const Command *command, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const Argument *a = command->args; a && a->name; a++)
        g_ptr_array_add(names, (char *)a->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(name, (const char *const *)names->pdata);
    return cli_error(err, "command '%s' doesn't support option --%s%s", command->name, name, hint);
}

/* --name, --name value, --name=value; *i stays at the last word that it took. */
static bool parse_option(Cli *c, const Command *command, int n, char **words, int *i, GError **err)
{
    const char *word = words[*i] + 2, *equals = strchr(word, '=');
    const Argument *a = argument_named(command, word, equals ? (gsize)(equals - word) : strlen(word));
    if (!a)
        return unknown_option(command, word, err);
    if (a->kind == ARG_FLAG)
        return equals ? cli_error(err, "option '--%s' takes no value", a->name) : take(c, a, "");
    if (equals)
        return take(c, a, equals + 1);
    if (*i + 1 >= n)
        return cli_error(err, "expected syntax: --%s <%s>", a->name, a->kind == ARG_INT || a->kind == ARG_SIZE ? "number" : "string");
    return take(c, a, words[++*i]);
}

bool cli_parse(Cli *c, const Command *command, int n, char **words, GError **err)
{
    bool options = true;
    g_clear_pointer(&c->values, g_hash_table_unref);
    g_clear_pointer(&c->rest, g_ptr_array_unref);
    c->values = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    c->rest = g_ptr_array_new_with_free_func(g_free);
    c->command = command;
    for (int i = 0; i < n; i++) {
        const Argument *a = NULL;
        if (options && !strcmp(words[i], "--")) {
            options = false;
        } else if (options && g_str_has_prefix(words[i], "--") && !(c->rest->len && (a = next_positional(c, command)) && a->how & ARG_REST && !argument_named(command, words[i] + 2, strcspn(words[i] + 2, "=")))) {
            if (!parse_option(c, command, n, words, &i, err))
                return false;
        } else if (!(a = next_positional(c, command))) {
            return cli_error(err, "unexpected data '%s'", words[i]);
        } else {
            take(c, a, words[i]);
        }
    }
    for (const Argument *a = command->args; a && a->name; a++)
        if (a->how & ARG_REQUIRED && !g_hash_table_contains(c->values, a->name))
            return cli_error(err, a->kind == ARG_INT || a->kind == ARG_SIZE ? "command '%s' requires --%s option" : "command '%s' requires <%s> option", command->name, a->name);
    return true;
}

const char *arg_text(const Cli *c, const char *name) { return g_hash_table_lookup(c->values, name); }
bool arg_given(const Cli *c, const char *name) { return g_hash_table_contains(c->values, name); }

bool arg_int(const Cli *c, const char *name, gint64 *ret, GError **err)
{
    const char *text = arg_text(c, name);
    char *end;
    if (!text)
        return true;
    gint64 value = g_ascii_strtoll(text, &end, 0);
    if (!*text || *end)
        return cli_error(err, "Numeric value '%s' for <%s> option is malformed or out of range", text, name);
    *ret = value;
    return true;
}

bool arg_size(Cli *c, const char *name, guint64 unit, guint64 *ret_bytes, GError **err)
{
    static const char letters[] = "bkmgtpe";
    const char *text = arg_text(c, name), *letter;
    char *end;
    if (!text)
        return true;
    guint64 value = g_ascii_strtoull(text, &end, 10), scale = unit, base = 1024;
    bool wrong = end == text || *text == '-';
    if (*end && (letter = strchr(letters, g_ascii_tolower(*end)))) {
        const char *tail = end + 1;
        if (!g_ascii_strcasecmp(tail, "B") && *letter != 'b')
            base = 1000;
        else if (*tail && g_ascii_strcasecmp(tail, "iB") && g_ascii_strcasecmp(end, "bytes"))
            wrong = true;
        scale = 1;
        for (const char *l = letters; l < letter; l++)
            scale *= base;
    } else if (*end) {
        wrong = true;
    }
    if (wrong || (value && scale > G_MAXUINT64 / value)) {
        cli_headline(c, "Scaled numeric value '%s' for <%s> option is malformed or out of range", text, name);
        return cli_error(err, wrong && end != text ? "invalid argument: unknown suffix '%s'" : "invalid argument: '%s' is no size such as 64M or 2GiB", wrong && end != text ? end : text);
    }
    *ret_bytes = value * scale;
    return true;
}

guint arg_bits(const Cli *c)
{
    guint bits = 0;
    for (const Argument *a = c->command->args; a && a->name; a++)
        if (a->kind == ARG_FLAG && arg_given(c, a->name))
            bits |= a->bit;
    return bits;
}

guint arg_affect(const Cli *c)
{
    if (arg_given(c, "current"))
        return 0;
    return (arg_given(c, "live") ? 1 : 0) | (arg_given(c, "config") ? 2 : 0);
}

bool arg_file(const Cli *c, const char *name, char **ret, GError **err)
{
    const char *path = arg_text(c, name);
    if (g_file_get_contents(!strcmp(path, "-") ? "/dev/stdin" : path, ret, NULL, NULL))
        return true;
    return cli_error(err, "Failed to open file '%s': %s", path, g_strerror(errno));
}
