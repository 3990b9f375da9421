/* help.c - what the table of commands says of itself: help, manual page, completion. */
#include <stdio.h>
#include <string.h>

#include "base/roff.h"
#include "tools/cli/cli.h"

static bool takes_value(const Argument *a) { return a->kind != ARG_FLAG; }
static const char *type_word(const Argument *a) { return a->kind == ARG_INT || a->kind == ARG_SIZE ? "number" : "string"; }

static void append_synopsis(GString *s, const Command *k)
{
    g_string_append(s, k->name);
    for (const Argument *a = k->args; a && a->name; a++) {
        if (!takes_value(a))
            g_string_append_printf(s, " [--%s]", a->name);
        else if (a->how & ARG_REST)
            g_string_append_printf(s, a->how & ARG_REQUIRED ? " <%s>..." : " [<%s>]...", a->name);
        else if (a->how & ARG_REQUIRED)
            g_string_append_printf(s, a->how & ARG_NAMED ? " --%s <%s>" : " <%s>", a->name, type_word(a));
        else
            g_string_append_printf(s, " [--%s <%s>]", a->name, type_word(a));
    }
}

/* "[--domain] <string>" */
static char *option_words(const Argument *a)
{
    if (!takes_value(a))
        return g_strdup_printf("--%s", a->name);
    return g_strdup_printf(a->how & ARG_REST ? "<%s>" : a->how & ARG_REQUIRED ? "[--%s] <%s>" : "--%s <%s>", a->name, type_word(a));
}

char *help_command(const Command *k)
{
    GString *s = g_string_new(NULL);
    g_string_append_printf(s, "  NAME\n    %s - %s\n\n  SYNOPSIS\n    ", k->name, k->help);
    append_synopsis(s, k);
    g_string_append_c(s, '\n');
    if (k->args && k->args->name)
        g_string_append(s, "\n  OPTIONS\n");
    for (const Argument *a = k->args; a && a->name; a++) {
        g_autofree char *words = option_words(a);
        g_string_append_printf(s, "    %-15s  %s\n", words, a->help);
    }
    return g_string_free(s, FALSE);
}

static void print_group(const Group *g)
{
    printf(" %s (help keyword '%s'):\n", g->title, g->keyword);
    for (const Command *k = g->commands; k->name; k++)
        printf("    %-30s %s\n", k->name, k->help);
    putchar('\n');
}

void help_groups(void)
{
    puts("Grouped commands:\n");
    for (const Group *g = groups; g->title; g++)
        print_group(g);
}

bool help_group(const char *keyword)
{
    for (const Group *g = groups; g->title; g++)
        if (!strcmp(g->keyword, keyword)) {
            print_group(g);
            return true;
        }
    return false;
}

/* ---- the manual page */

static void roff(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\' || *p == '-')
            putchar('\\');
        if ((p == text || p[-1] == '\n') && (*p == '.' || *p == '\''))
            fputs("\\&", stdout);
        putchar(*p);
    }
}

void manual_print(void)
{
    puts(".TH ATOLL 1 \"\" \"Atoll " ATOLL_VERSION "\" \"User Commands\"\n.SH NAME\natoll \\- machines, storage and networks of a host\n.SH SYNOPSIS\n"
         ".B atoll\n[\\fIOPTION\\fR]... [\\fICOMMAND\\fR [\\fIARGUMENT\\fR]...]\n.SH DESCRIPTION\n"
         "Speaks to the daemon atolld. The verbs and their output are those of virsh. Without a command it is a shell.\n"
         "Where a plain user has no daemon, one is started, and ends when nothing of it is used.\n.SH OPTIONS");
    static const char *const options[][2] = {
        { "-c, --connect URI", "atoll:///system, atoll:///session, test:///default, atoll+ssh://HOST/system; else what $ATOLL_URI says, else what suits the user" },
        { "-q, --quiet", "no headings, no messages" },
        { "-r, --readonly", "change nothing" },
        { "-o, --output json|text", "how what is found is printed" },
        { "-t, --timing", "print how long a command took" },
        { "-v, --version", "print the version" },
        { "-h, --help", "list the commands" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        printf(".TP\n.B ");
        roff(options[i][0]);
        putchar('\n');
        roff(options[i][1]);
        putchar('\n');
    }
    for (const Group *g = groups; g->title; g++) {
        printf(".SH \"%s\"\n", g->title);
        for (const Command *k = g->commands; k->name; k++) {
            g_autoptr(GString) s = g_string_new(NULL);
            append_synopsis(s, k);
            fputs(".TP\n.B ", stdout);
            roff(s->str);
            putchar('\n');
            roff(k->help);
            putchar('\n');
            for (const Argument *a = k->args; a && a->name; a++) {
                g_autofree char *words = option_words(a);
                fputs(".RS\n.TP\n", stdout);
                roff(words);
                putchar('\n');
                roff(a->help);
                fputs("\n.RE\n", stdout);
            }
        }
    }
    puts(".SH \"SEE ALSO\"\natolld(8), atoll\\-vm(1), atoll\\-img(1), virsh(1)");
}

/* ---- completion */

static bool fits(const char *candidate, const char *typed) { return g_str_has_prefix(candidate, typed); }

/* Names of objects come from the daemon, if one runs. */
static void add_objects(GStrvBuilder *b, ArgumentKind kind, const char *typed)
{
    static const struct {
        ArgumentKind kind;
        const char *procedure;
    } lists[] = { { ARG_DOMAIN, "CONNECT_LIST_ALL_DOMAINS" }, { ARG_NETWORK, "CONNECT_LIST_ALL_NETWORKS" }, { ARG_POOL, "CONNECT_LIST_ALL_STORAGE_POOLS" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
        if (lists[i].kind != kind)
            continue;
        g_autoptr(AtollConnection) c = atoll_connection_open_sync(NULL, ATOLL_OPEN_READONLY | ATOLL_OPEN_NO_START, NULL, NULL);
        g_autoptr(GVariant) v = c ? atoll_connection_call_sync(c, lists[i].procedure, g_variant_new("(iu)", 1, 0), NULL, NULL) : NULL;
        g_autoptr(GVariant) list = v ? g_variant_get_child_value(v, 0) : NULL;
        for (gsize n = 0; list && n < g_variant_n_children(list); n++) {
            const char *name;
            g_autoptr(GVariant) handle = g_variant_get_child_value(list, n);
            g_variant_get_child(handle, 0, "&s", &name);
            if (fits(name, typed))
                g_strv_builder_add(b, name);
        }
    }
}

char **complete(const char *const *words)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();
    guint n = g_strv_length((char **)words);
    const char *last = n ? words[n - 1] : "";
    const Command *k = n > 1 ? command_find(words[0]) : NULL;
    if (n <= 1) {
        for (const Group *g = groups; g->title; g++)
            for (const Command *each = g->commands; each->name; each++)
                if (fits(each->name, last))
                    g_strv_builder_add(b, each->name);
        return g_strv_builder_end(b);
    }
    guint positional = 0;
    for (guint i = 1; i + 1 < n; i++)
        positional += *words[i] != '-';
    for (const Argument *a = k ? k->args : NULL; a && a->name; a++) {
        g_autofree char *option = g_strconcat("--", a->name, NULL);
        if (*last == '-' && fits(option, last))
            g_strv_builder_add(b, option);
        if (*last != '-' && takes_value(a) && !(a->how & ARG_NAMED) && (!positional-- || a->how & ARG_REST))
            add_objects(b, a->kind, last);
    }
    return g_strv_builder_end(b);
}

void completion_print(const char *shell)
{
    if (!strcmp(shell, "zsh"))
        puts("#compdef atoll\n_atoll() {\n    local -a found\n    found=(${(f)\"$(atoll complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
             "    if (( $#found )); then compadd -- $found; else _files; fi\n}\ncompdef _atoll atoll");
    else
        puts("_atoll() {\n    local IFS=$'\\n'\n    COMPREPLY=($(atoll complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n}\n"
             "complete -o default -F _atoll atoll");
}
