/* help.c - --help and the manual page, from the table of subcommands. */
#include <string.h>

#include "block/block.h"
#include "base/roff.h"
#include "tools/img/args.h"

static void append_spelling(GString *s, const ImgOption *o)
{
    if (o->letter)
        g_string_append_printf(s, "-%c%s", o->letter, o->name ? ", " : "");
    if (o->name)
        g_string_append_printf(s, "--%s", o->name);
    if (o->argument)
        g_string_append_printf(s, "%s%s", o->name ? "=" : " ", o->argument);
}

static void append_rows(GString *s, const ImgOption *o)
{
    for (; o && o->help; o++) {
        g_string_append(s, "  ");
        append_spelling(s, o);
        g_string_append_printf(s, "\n        %s\n", o->help);
    }
}

static void append_formats(GString *s)
{
    g_autofree const char **names = blk_format_names();
    g_autofree char *text = g_strjoinv(" ", (char **)names);
    g_string_append_printf(s, "\nSupported formats: %s\n", text);
}

char *img_help(const char *program)
{
    GString *s = g_string_new(NULL);
    g_string_append_printf(s, "usage: %s [standard options] command [command options]\nDisk images: words and options are those of qemu-img.\n\n", program);
    append_rows(s, img_general);
    g_string_append(s, "\nCommands (COMMAND --help shows the options of one):\n");
    for (const ImgCommand *c = img_commands; c->name; c++)
        g_string_append_printf(s, "  %s [OPTION...] %s\n        %s\n", c->name, c->words, c->summary);
    append_formats(s);
    return g_string_free(s, FALSE);
}

char *img_command_help(const char *program, const ImgCommand *c)
{
    GString *s = g_string_new(NULL);
    g_string_append_printf(s, "usage: %s %s [OPTION...] %s\n%s\n\n", program, c->name, c->words, c->summary);
    append_rows(s, c->options);
    if (c->manual)
        g_string_append_printf(s, "\n%s\n", c->manual);
    append_formats(s);
    return g_string_free(s, FALSE);
}

/* ---- the manual page */

static void append_item(GString *s, const ImgOption *o)
{
    g_autoptr(GString) spelling = g_string_new(NULL);
    append_spelling(spelling, o);
    g_string_append(s, ".TP\n\\fB");
    roff_append(s, spelling->str);
    g_string_append(s, "\\fR\n");
    roff_append(s, o->help);
    g_string_append(s, ".\n");
}

static void append_command(GString *s, const ImgCommand *c)
{
    g_string_append_printf(s, ".SS \"%s [OPTION...] ", c->name);
    roff_append(s, c->words);
    g_string_append(s, "\"\n");
    roff_append(s, c->summary);
    g_string_append(s, ".\n");
    for (const ImgOption *o = c->options; o && o->help; o++)
        append_item(s, o);
    if (!c->manual)
        return;
    g_string_append(s, ".PP\n");
    roff_append(s, c->manual);
    g_string_append_c(s, '\n');
}

static void append_format_options(GString *s, const char *format)
{
    g_string_append_printf(s, ".SS %s\n", format);
    for (const BlkOption *o = blk_format_options(format); o && o->name; o++) {
        if (!o->create && !o->open && !o->amend)
            continue;
        g_string_append(s, ".TP\n\\fB");
        roff_append(s, o->name);
        g_string_append_printf(s, "\\fR (%s%s%s)\n", o->create ? "create" : "", o->open ? o->create ? ", open" : "open" : "", o->amend ? ", amend" : "");
        roff_append(s, o->doc ? o->doc : "");
        if (o->def) {
            g_string_append(s, "; default ");
            roff_append(s, o->def);
        }
        g_string_append(s, ".\n");
    }
}

char *img_manual(void)
{
    GString *s = g_string_new(".TH ATOLL\\-IMG 1 \"\" \"Atoll " ATOLL_VERSION "\"\n"
                              ".SH NAME\natoll\\-img \\- make, convert, check and change disk images\n"
                              ".SH SYNOPSIS\n\\fBatoll\\-img\\fR [\\fIOPTION\\fR...] \\fICOMMAND\\fR [\\fIOPTION\\fR...] \\fIWORD\\fR...\n"
                              ".SH DESCRIPTION\nCommands and options are spelled as in qemu\\-img, and print what it prints. Called under the name "
                              "qemu\\-img, qemu\\-io or qemu\\-nbd it is that program.\n"
                              "Do not change images that a running machine uses; they are locked, and a refusal names who has them.\n"
                              ".SH OPTIONS\n");
    for (const ImgOption *o = img_general; o->help; o++)
        append_item(s, o);
    g_string_append(s, ".SH COMMANDS\n");
    for (const ImgCommand *c = img_commands; c->name; c++)
        append_command(s, c);
    g_string_append(s, ".SH FORMATS AND THEIR OPTIONS\n");
    g_autofree const char **names = blk_format_names();
    for (unsigned i = 0; names[i]; i++)
        append_format_options(s, names[i]);
    g_string_append(s, ".SH EXIT STATUS\n0 when it is done; 1 after an error; \\fBcheck\\fR and \\fBcompare\\fR say more.\n");
    return g_string_free(s, FALSE);
}
