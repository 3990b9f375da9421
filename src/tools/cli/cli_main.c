/* cli_main.c - the program atoll: options before the command, then the command, or a shell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli/cli.h"
#include "tools/cli/main.h"

typedef struct Words {
    char *output;
    gboolean version, help, json;
    gboolean readonly, quiet, timing;
    char *uri;
} Words;

int cli_main(int argc, char **argv)
{
    Words w = { 0 };
    int debug = 0, keepalive = 0;
    char *escape = NULL, *log = NULL;
    const GOptionEntry entries[] = {
        { "connect", 'c', 0, G_OPTION_ARG_STRING, &w.uri, "atoll:///system, atoll:///session, test:///default, atoll+ssh://HOST/system", "URI" },
        { "quiet", 'q', 0, G_OPTION_ARG_NONE, &w.quiet, "no headings, no messages", NULL },
        { "readonly", 'r', 0, G_OPTION_ARG_NONE, &w.readonly, "change nothing", NULL },
        { "output", 'o', 0, G_OPTION_ARG_STRING, &w.output, "text or json", "FORMAT" },
        { "timing", 't', 0, G_OPTION_ARG_NONE, &w.timing, "print how long a command took", NULL },
        { "debug", 'd', 0, G_OPTION_ARG_INT, &debug, "as virsh has it; no effect", "NUM" },
        { "escape", 'e', 0, G_OPTION_ARG_STRING, &escape, "as virsh has it; no effect", "CHAR" },
        { "log", 'l', 0, G_OPTION_ARG_STRING, &log, "as virsh has it; no effect", "FILE" },
        { "keepalive-interval", 'k', 0, G_OPTION_ARG_INT, &keepalive, "as virsh has it; no effect", "NUM" },
        { "keepalive-count", 'K', 0, G_OPTION_ARG_INT, &keepalive, "as virsh has it; no effect", "NUM" },
        { "version", 'v', 0, G_OPTION_ARG_NONE, &w.version, "print the version", NULL },
        { "help", 'h', 0, G_OPTION_ARG_NONE, &w.help, "list the commands", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("[COMMAND [ARGUMENT]...]");
    g_autoptr(GError) err = NULL;
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_strict_posix(context, TRUE); /* what follows the command is the command's */
    g_option_context_set_help_enabled(context, FALSE);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        fprintf(stderr, "error: %s\ntry: atoll --help\n", err->message);
        return 1;
    }
    if (w.output && strcmp(w.output, "json") && strcmp(w.output, "text")) {
        fprintf(stderr, "error: there is no output '%s'\ntry: atoll --output json list\n", w.output);
        return 1;
    }
    Cli c = { .uri = w.uri, .readonly = w.readonly, .quiet = w.quiet, .timing = w.timing, .json = !g_strcmp0(w.output, "json") };
    int status = 0;
    if (w.version) {
        puts(ATOLL_VERSION);
    } else if (w.help) {
        g_autofree char *options = g_option_context_get_help(context, TRUE, NULL);
        fputs(options, stdout);
        help_groups();
    } else if (argc > 1 && !strcmp(argv[1], "--")) {
        status = !cli_run(&c, argc - 2, argv + 2);
    } else if (argc == 2 && strpbrk(argv[1], " ;")) {
        status = !cli_run_line(&c, argv[1]);
    } else {
        status = argc > 1 ? !cli_run(&c, argc - 1, argv + 1) : cli_shell(&c);
    }
    g_clear_object(&c.connection);
    g_clear_pointer(&c.values, g_hash_table_unref);
    g_clear_pointer(&c.rest, g_ptr_array_unref);
    g_free(c.headline);
    g_free(c.uri);
    g_free(w.output);
    g_free(escape);
    g_free(log);
    return status;
}
