/* run.c - a command from its words to its end: open, run, errors with what mends them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tools/cli/cli.h"

void cli_headline(Cli *c, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_free(c->headline);
    c->headline = g_strdup_vprintf(format, ap);
    va_end(ap);
}

bool cli_open(Cli *c, GError **err)
{
    if (c->connection && !atoll_connection_is_open(c->connection))
        g_clear_object(&c->connection);
    if (!c->connection && !(c->connection = atoll_connection_open_sync(c->uri, c->readonly ? ATOLL_OPEN_READONLY : ATOLL_OPEN_NONE, NULL, err)))
        cli_headline(c, "failed to connect to the hypervisor");
    return c->connection;
}

/* A row that has no function of its own. */
static bool run_call(Cli *c, GError **err)
{
    const Command *k = c->command;
    g_autoptr(AtollObject) o = cli_object(c, k->args[0].name, err);
    if (!o)
        return false;
    const char *name = name_of(o);
    g_autoptr(GVariant) v = object_call(o, k->call.procedure, k->call.flags ? g_variant_new("(u)", arg_bits(c)) : NULL, err);
    g_autoptr(GString) text = g_string_new(v ? k->call.done : k->call.failed);
    g_string_replace(text, "%s", name, 1);
    if (v)
        out_message(c, "%s", text->str);
    else
        cli_headline(c, "%s", text->str);
    return v;
}

/* ---- errors */

typedef struct Remedy {
    const char *words;   /* in the message, without regard to case */
    const char *command; /* %s: the object that the command names */
} Remedy;

/* The first whose words the message has. */
static const Remedy remedies[] = {
    { "no domain with matching", "atoll list --all" },
    { "failed to get domain", "atoll list --all" },
    { "network not found", "atoll net-list --all" },
    { "storage pool not found", "atoll pool-list --all" },
    { "no storage vol with matching", "atoll vol-list POOL" },
    { "storage volume not found", "atoll vol-list POOL" },
    { "already exists with uuid", "atoll dumpxml %s" },
    { "wants kvm", "atoll edit %s" },
    { "there is none: build it", "atoll pool-build %s" },
    { "is not running", "atoll start %s" },
    { "already active", "atoll console %s" },
    { "already running", "atoll console %s" },
    { "is still active", "atoll pool-destroy %s" },
    { "active console session", "atoll console %s --force" },
    { "is not active", "atoll %s-start %s" },
    { "read only", "atoll uri" },
    { "/run/atoll/atoll-sock", "atoll -c atoll:///session list --all" },
    { "unknown command", "atoll help" },
};

char *cli_remedy(const Cli *c, const GError *err)
{
    g_autofree char *message = g_utf8_strdown(err->message, -1);
    const char *object = c->values && c->command && c->command->args && c->command->args->name ? arg_text(c, c->command->args[0].name) : NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(remedies); i++) {
        const Remedy *r = &remedies[i];
        if (!strstr(message, r->words))
            continue;
        bool two = strstr(r->command, "%s-start");
        const char *kind = c->command ? g_str_has_prefix(c->command->name, "net-") ? "net" : g_str_has_prefix(c->command->name, "pool-") || g_str_has_prefix(c->command->name, "vol-") ? "pool" : NULL : NULL;
        if ((strstr(r->command, "%s") && !object) || (two && !kind))
            continue;
        g_autoptr(GString) text = g_string_new(r->command);
        if (two)
            g_string_replace(text, "%s", kind, 1);
        if (object)
            g_string_replace(text, "%s", object, 1);
        return g_string_free(g_steal_pointer(&text), FALSE);
    }
    if (err->domain == ATOLL_ERROR && c->command)
        return g_strdup_printf("atoll help %s", c->command->name);
    return NULL;
}

static void print_error(Cli *c, const GError *err)
{
    g_autofree char *remedy = cli_remedy(c, err);
    fflush(stdout);
    if (c->headline)
        fprintf(stderr, "error: %s\n", c->headline);
    fprintf(stderr, "error: %s\n", err->message);
    if (remedy && !c->quiet)
        fprintf(stderr, "try: %s\n", remedy);
}

static bool run(Cli *c, int n, char **words, GError **err)
{
    const Command *k = command_find(words[0]);
    c->command = NULL;
    c->began = false;
    if (!k) {
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        for (const Group *g = groups; g->title; g++)
            for (const Command *each = g->commands; each->name; each++)
                g_ptr_array_add(names, (char *)each->name);
        g_ptr_array_add(names, NULL);
        g_autofree char *hint = did_you_mean(words[0], (const char *const *)names->pdata);
        return cli_error(err, "unknown command: '%s'%s", words[0], hint);
    }
    if (n > 1 && !strcmp(words[1], "--help")) {
        g_autofree char *text = help_command(k);
        fputs(text, stdout);
        return true;
    }
    if (!cli_parse(c, k, n - 1, words + 1, err) || (!k->offline && !cli_open(c, err)))
        return false;
    gint64 start_us = g_get_monotonic_time();
    c->began = true;
    out_begin(c);
    bool ok = k->run ? k->run(c, err) : run_call(c, err);
    out_end(c);
    if (c->timing && !c->json)
        printf("\n(Time: %.3f ms)\n", (g_get_monotonic_time() - start_us) / 1000.0);
    return ok;
}

bool cli_run(Cli *c, int n, char **words)
{
    g_autoptr(GError) err = NULL;
    g_clear_pointer(&c->headline, g_free);
    bool ok = run(c, n, words, &err);
    if (!ok && err)
        print_error(c, err);
    if ((ok || c->began) && !c->quiet && !c->json && !c->timing)
        putchar('\n');
    fflush(stdout);
    return ok;
}

/* `a; b` is two commands; what stands in quotes is one word. */
bool cli_run_line(Cli *c, const char *line)
{
    bool ok = true;
    g_autoptr(GString) spaced = g_string_new(NULL);
    char quote = 0;
    for (const char *p = line; *p; p++) {
        if (quote ? *p == quote : *p == '\'' || *p == '"')
            quote = quote ? 0 : *p;
        if (*p == ';' && !quote)
            g_string_append(spaced, " ; ");
        else
            g_string_append_c(spaced, *p);
    }
    g_auto(GStrv) words = NULL;
    int n;
    g_autoptr(GError) err = NULL;
    if (!g_shell_parse_argv(spaced->str, &n, &words, &err)) {
        if (!g_error_matches(err, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING))
            fprintf(stderr, "error: %s\n", err->message);
        return g_error_matches(err, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING);
    }
    for (int start = 0, i = 0; i <= n && !c->leave; i++)
        if (i == n || !strcmp(words[i], ";")) {
            if (i > start)
                ok = cli_run(c, i - start, words + start);
            start = i + 1;
        }
    return ok;
}
