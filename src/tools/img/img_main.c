/* img_main.c - which program is meant, by its name and first word; runs it and says how it failed. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "block/block.h"
#include "tools/img/commands.h"

static int fail(const ImgArgs *a, int status, GError *err, bool usage)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", a->program, err->message);
    if (usage)
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
        return fail(a, a->command->bad_status, err, false);
    int status = a->command->run(a, &err);
    if (!err)
        return status;
    return fail(a, status, err, g_error_matches(err, ATOLL_ERROR, ERR_INVALID) && g_str_has_prefix(err->message, "Expecting "));
}

static int run_command(ImgArgs *a)
{
    GError *err = NULL;
    int status = 0;
    if (!a->command->own_parser && !img_args_parse(a, &err))
        status = fail(a, a->command->bad_status, err, true);
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

static bool no_command(const char *word, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const ImgCommand *c = img_commands; c->name; c++)
        g_ptr_array_add(names, (char *)c->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *near = did_you_mean(word, (const char *const *)names->pdata);
    return error_set(err, ERR_INVALID, "Command not found: %s%s", word, near);
}

static bool is_option(const char *word, char letter, const char *name)
{
    char spelt[3] = { '-', letter };
    return g_str_equal(word, spelt) || (g_str_has_prefix(word, "--") && g_str_equal(word + 2, name));
}

/* Options before the subcommand.  Moves *i to the subcommand; true: *ret_status is the end. */
static bool general_options(ImgArgs *a, int argc, char **argv, int *i, int *ret_status)
{
    GError *err = NULL;
    for (; *i < argc && argv[*i][0] == '-'; ++*i) {
        const char *word = argv[*i];
        if (is_option(word, 'h', "help"))
            return *ret_status = answer(img_help(a->program)), true;
        if (is_option(word, 'V', "version"))
            return *ret_status = version(a), true;
        if (g_str_equal(word, "--manual"))
            return *ret_status = answer(img_manual()), true;
        if (is_option(word, 'T', "trace"))
            ++*i;
        else if (!g_str_has_prefix(word, "--trace="))
            return error_set(&err, ERR_INVALID, "unrecognized option '%s'", word), *ret_status = fail(a, 1, err, true), true;
    }
    return false;
}

int img_main(int argc, char **argv)
{
    g_autofree char *base = g_path_get_basename(argv[0]);
    ImgArgs a = { .program = base, .like_qemu = g_str_has_prefix(base, "qemu-") };
    GError *err = NULL;
    int at = 1, status = 0;
    const char *alias = g_str_equal(base, "qemu-io") ? "io" : g_str_equal(base, "qemu-nbd") ? "nbd" : NULL;
    if (alias)
        at = 0;
    else if (general_options(&a, argc, argv, &at, &status))
        return status;
    if (at >= argc)
        return error_set(&err, ERR_INVALID, "Not enough arguments"), fail(&a, 1, err, true);
    a.command = command_named(alias ? alias : argv[at]);
    if (!a.command)
        return no_command(argv[at], &err), fail(&a, 1, err, true);
    a.argc = argc - at;
    a.argv = argv + at;
    return run_command(&a);
}
