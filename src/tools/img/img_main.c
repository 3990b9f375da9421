/* img_main.c - which program is meant, by its name and first word; runs it and says how it failed. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "block/block.h"
#include "tools/img/commands.h"

static int fail(const ImgArgs *a, int status, GError *err)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", a->program, err->message);
    if (err->domain == img_usage_quark())
        fprintf(stderr, "Try '%s --help' for more information\n", a->program);
    g_error_free(err);
    return status ? status : 1;
}

static int answer(char *text)
{
    fputs(text, stdout);
    g_free(text);
    return 0;
}

static int version(const ImgArgs *a)
{
    printf("%s version " ATOLL_VERSION " (Atoll; takes the words of qemu-img 7.2)\n", a->program);
    return 0;
}

static bool make_env(ImgArgs *a, GError **err)
{
    a->env = blk_env_new();
    for (unsigned i = 0; a->objects && i < a->objects->len; i++)
        if (!blk_env_add_object(a->env, a->objects->pdata[i], err))
            return false;
    return true;
}

static int run_parsed(ImgArgs *a)
{
    GError *err = NULL;
    if (a->help)
        return answer(img_command_help(a->program, a->command));
    if (a->version)
        return version(a);
    if (!make_env(a, &err))
        return fail(a, 1, err);
    int status = a->command->run(a, &err);
    return err ? fail(a, status, err) : status;
}

static int run_command(ImgArgs *a)
{
    GError *err = NULL;
    int status = 0;
    if (!a->command->own_parser && !img_args_parse(a, &err))
        status = fail(a, 1, err);
    else
        status = run_parsed(a);
    img_args_clear(a);
    blk_env_free(a->env);
    return fflush(stdout) ? 1 : status;
}

static const ImgCommand *command_named(const char *name)
{
    for (const ImgCommand *c = img_commands; c->name; c++)
        if (g_str_equal(c->name, name))
            return c;
    return NULL;
}

static int no_command(const ImgArgs *a, const char *word)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const ImgCommand *c = img_commands; c->name; c++)
        g_ptr_array_add(names, (char *)c->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(word, (const char *const *)names->pdata);
    GError *err = NULL;
    img_usage(&err, "Command not found: %s%s", word, near);
    return fail(a, 1, err);
}

static bool is_option(const char *word, char letter, const char *name)
{
    char spelt[3] = { '-', letter };
    return g_str_equal(word, spelt) || (g_str_has_prefix(word, "--") && g_str_equal(word + 2, name));
}

typedef enum General { GENERAL_END, GENERAL_HELP, GENERAL_VERSION, GENERAL_MANUAL, GENERAL_BAD } General;

/* Options before the subcommand.  Moves *i to the first word that is none, or to the one that decides. */
static General general_options(int argc, char **argv, int *i)
{
    for (; *i < argc && argv[*i][0] == '-'; ++*i) {
        const char *word = argv[*i];
        if (is_option(word, 'h', "help"))
            return GENERAL_HELP;
        if (is_option(word, 'V', "version"))
            return GENERAL_VERSION;
        if (g_str_equal(word, "--manual"))
            return GENERAL_MANUAL;
        if (is_option(word, 'T', "trace"))
            ++*i;
        else if (!g_str_has_prefix(word, "--trace="))
            return GENERAL_BAD;
    }
    return GENERAL_END;
}

static int run_words(ImgArgs *a, int argc, char **argv, int at)
{
    GError *err = NULL;
    if (at >= argc) {
        img_usage(&err, "Not enough arguments");
        return fail(a, 1, err);
    }
    a->command = command_named(argv[at]);
    if (!a->command)
        return no_command(a, argv[at]);
    a->argc = argc - at;
    a->argv = argv + at;
    return run_command(a);
}

static int run_general(ImgArgs *a, int argc, char **argv)
{
    int at = 1;
    GError *err = NULL;
    switch (general_options(argc, argv, &at)) {
    case GENERAL_HELP:
        return answer(img_help(a->program));
    case GENERAL_VERSION:
        return version(a);
    case GENERAL_MANUAL:
        return answer(img_manual());
    case GENERAL_BAD:
        img_usage(&err, "unrecognized option '%s'", argv[at]);
        return fail(a, 1, err);
    case GENERAL_END:
        break;
    }
    return run_words(a, argc, argv, at);
}

/* Names under which it is one of its subcommands. */
static const struct {
    const char *name, *command;
} aliases[] = { { "qemu-io", "io" }, { "qemu-nbd", "nbd" }, { "atoll-io", "io" }, { "atoll-nbd", "nbd" } };

int img_main(int argc, char **argv)
{
    g_autofree char *base = g_path_get_basename(argc ? argv[0] : "atoll-img");
    ImgArgs a = { .program = base, .like_qemu = g_str_has_prefix(base, "qemu-") };
    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++)
        if (g_str_equal(base, aliases[i].name)) {
            a.command = command_named(aliases[i].command);
            a.argc = argc;
            a.argv = argv;
            return a.command ? run_command(&a) : no_command(&a, aliases[i].command);
        }
    return run_general(&a, argc, argv);
}
