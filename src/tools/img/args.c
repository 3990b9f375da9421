/* args.c - reads a command line by the table.  getopt_long() itself, so that spellings are exactly those of its users. */
#include "tools/img/args.h"

#include <getopt.h>
#include <string.h>

#include "base/error.h"

enum { LONG_BASE = 0x1000 };

G_DEFINE_QUARK(atoll-img-usage, img_usage)

bool img_usage(GError **err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(err, img_usage_quark(), 0, text);
    return false;
}

static unsigned count_options(const ImgCommand *c)
{
    unsigned n = 0;
    while (c->options && c->options[n].help)
        n++;
    return n;
}

static char *short_spelling(const ImgCommand *c)
{
    GString *s = g_string_new(":");
    for (unsigned i = 0; i < count_options(c); i++)
        if (c->options[i].letter)
            g_string_append_printf(s, "%c%s", c->options[i].letter, c->options[i].argument ? ":" : "");
    return g_string_free(s, FALSE);
}

static struct option *long_spelling(const ImgCommand *c)
{
    unsigned n = count_options(c), used = 0;
    struct option *rows = g_new0(struct option, n + 1);
    for (unsigned i = 0; i < n; i++)
        if (c->options[i].name)
            rows[used++] = (struct option){ c->options[i].name, c->options[i].argument ? required_argument : no_argument, NULL, LONG_BASE + i };
    return rows;
}

static const ImgOption *found_option(const ImgCommand *c, int got)
{
    if (got >= LONG_BASE)
        return &c->options[got - LONG_BASE];
    for (unsigned i = 0; i < count_options(c); i++)
        if (c->options[i].letter == got)
            return &c->options[i];
    return NULL;
}

static void add_to_list(GPtrArray **list, char *text)
{
    if (!*list)
        *list = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(*list, text);
}

static char *as_action(const ImgOption *o, const char *arg)
{
    char letter[2] = { o->letter };
    const char *name = o->name ? o->name : letter;
    return arg ? g_strconcat(name, "=", arg, NULL) : g_strdup(name);
}

static void apply(const ImgOption *o, ImgArgs *a, const char *arg)
{
    char *base = (char *)a;
    if (o->flag_off)
        *(bool *)(base + o->flag_off) = true;
    if (o->text_off) {
        char **text = (char **)(base + o->text_off);
        g_free(*text);
        *text = g_strdup(arg);
    }
    if (o->list_off)
        add_to_list((GPtrArray **)(base + o->list_off), o->action ? as_action(o, arg) : g_strdup(arg));
}

static bool bad_option(int got, const char *word, GError **err)
{
    return img_usage(err, got == ':' ? "missing argument for option '%s'" : "unrecognized option '%s'", word);
}

static bool finish(ImgArgs *a, GError **err)
{
    if (a->output && !g_str_equal(a->output, "json") && !g_str_equal(a->output, "human"))
        return error_set(err, ERR_INVALID, "--output must be used with human or json as argument.");
    a->json = a->output && g_str_equal(a->output, "json");
    return true;
}

static bool is_help(const char *word) { return g_str_equal(word, "-h") || g_str_equal(word, "--help"); }

/* The size of `resize` may look like an option: it is the last word, whatever it is. */
static void take_last_word(ImgArgs *a)
{
    if (a->command->size_last && a->argc > 2 && !is_help(a->argv[a->argc - 1]))
        a->size = g_strdup(a->argv[--a->argc]);
}

bool img_args_parse(ImgArgs *a, GError **err)
{
    take_last_word(a);
    g_autofree char *shorts = short_spelling(a->command);
    g_autofree struct option *longs = long_spelling(a->command);
    opterr = 0;
    optind = 0; /* start over */
    for (int got; (got = getopt_long(a->argc, a->argv, shorts, longs, NULL)) != -1;) {
        const ImgOption *o = found_option(a->command, got);
        if (!o)
            return bad_option(got, a->argv[optind - 1], err);
        apply(o, a, o->argument ? optarg : NULL);
    }
    a->words = a->argv + optind;
    a->nwords = a->argc - optind;
    return finish(a, err);
}

static void clear_row(const ImgOption *o, ImgArgs *a)
{
    if (o->text_off)
        g_clear_pointer((char **)((char *)a + o->text_off), g_free);
    if (o->list_off)
        g_clear_pointer((GPtrArray **)((char *)a + o->list_off), g_ptr_array_unref);
}

void img_args_clear(ImgArgs *a)
{
    for (unsigned i = 0; a->command && i < count_options(a->command); i++)
        clear_row(&a->command->options[i], a);
    g_clear_pointer(&a->size, g_free);
}
