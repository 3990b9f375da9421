/* io_main.c - atoll-img io: takes commands from -c or from standard input. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tools/img/commands.h"
#include "tools/img/io/io.h"

static int run_abort(Io *io, int argc, char **argv) { abort(); }

static int run_quit(Io *io, int argc, char **argv)
{
    io->quit = true;
    return 0;
}

static int run_sleep(Io *io, int argc, char **argv)
{
    char *end;
    errno = 0;
    long ms = strtol(argv[1], &end, 0);
    if (errno || *end || ms < 0) {
        printf("%s is not a number of milliseconds\n", argv[1]);
        return -1;
    }
    g_usleep(ms * 1000ul);
    return 0;
}

static int run_sigraise(Io *io, int argc, char **argv)
{
    int number = atoi(argv[1]);
    if (number <= 0) {
        printf("%s is no signal's number\n", argv[1]);
        return -1;
    }
    fflush(NULL);
    raise(number);
    return 0;
}

static int run_help(Io *io, int argc, char **argv);

#define STATISTICS " -C, -- report statistics in a machine parsable format\n"
#define BE_QUIET " -q, -- quiet mode, do not show I/O statistics\n"
#define DUMP " -v, -- dump buffer to standard output\n"
#define FILL " -P, -- use different pattern to fill file\n"
#define VERIFY " -P, -- use a pattern to verify read data\n"
#define WRITE_THROUGH " -f, -- use Force Unit Access semantics\n"
#define ZEROS " -u, -- with -z, allow unmapping\n -z, -- write zeroes\n"

const IoCommand io_commands[] = {
    { "abort", NULL, NULL, "simulate a program crash using abort(3)", NULL, 0, 0, .closed = true, .run = run_abort },
    { "aio_flush", NULL, NULL, "completes all outstanding aio requests", NULL, 0, 0, .run = io_aio_flush },
    { "aio_read", NULL, "[-Ciqv] [-P pattern] off len [len..]", "asynchronously reads a number of bytes",
      " starts a read; what it says comes when it is done, at the latest with aio_flush\n" STATISTICS VERIFY
      " -i, -- treat request as invalid, for exercising stats\n" DUMP BE_QUIET, 2, -1, .run = io_aio_read },
    { "aio_write", NULL, "[-Cfiquz] [-P pattern] off len [len..]", "asynchronously writes a number of bytes",
      " starts a write; what it says comes when it is done, at the latest with aio_flush\n" FILL STATISTICS WRITE_THROUGH
      " -i, -- treat request as invalid, for exercising stats\n" BE_QUIET ZEROS, 2, -1, .writes = true, .run = io_aio_write },
    { "alloc", NULL, "offset [count]", "checks if offset is allocated in the file", NULL, 1, 2, .run = io_alloc },
    { "close", "c", NULL, "close the current open file", NULL, 0, 0, .run = io_close },
    { "discard", "d", "[-Cq] off len", "discards a number of bytes at a specified offset", STATISTICS BE_QUIET, 2, -1, .writes = true, .run = io_discard },
    { "flush", "f", NULL, "flush all in-core file state to disk", NULL, 0, 0, .run = io_flush },
    { "help", "?", "[command]", "help for one or all commands", NULL, 0, 1, .closed = true, .run = run_help },
    { "info", "i", NULL, "prints information about the current file", NULL, 0, 0, .run = io_info },
    { "length", "l", NULL, "gets the length of the current file", NULL, 0, 0, .run = io_length },
    { "map", NULL, "", "prints the allocated areas of a file", NULL, 0, 1, .run = io_map },
    { "open", "o", "[-rsCnkU] [-t cache] [-d discard] [-o options] [path]", "open the file specified by path",
      " -r, -- open file read-only\n -s, -- what is written is forgotten in the end\n -n, -- the same as -t none\n -U, -- no lock\n"
      " -t, -- use the given cache mode for the image\n -d, -- use the given discard mode for the image\n"
      " -o, -- options to be given to the block driver\n", 1, -1, .closed = true, .run = io_open },
    { "quit", "q", NULL, "exit the program", NULL, 0, -1, .closed = true, .run = run_quit },
    { "read", "r", "[-abCqv] [-P pattern [-s off] [-l len]] off len", "reads a number of bytes at a specified offset",
      " -b, -- read from the VM state rather than the virtual disk\n" STATISTICS " -l, -- length for pattern verification (only with -P)\n"
      " -p, -- ignored for backwards compatibility\n" VERIFY BE_QUIET " -s, -- start offset for pattern verification (only with -P)\n" DUMP, 2, -1, .run = io_read },
    { "readv", "rv", "[-Cqv] [-P pattern] off len [len..]", "reads a number of bytes at a specified offset",
      " reads into one buffer for each length\n" STATISTICS VERIFY DUMP BE_QUIET, 2, -1, .run = io_readv },
    { "reopen", NULL, "[(-r|-w)] [-c cache] [-o options]", "reopens an image with new options",
      " -r, -- Reopen the image read-only\n -w, -- Reopen the image read-write\n -c, -- Change the cache mode to the given value\n"
      " -o, -- Changes block driver options (cf. 'open' command)\n", 0, -1, .run = io_reopen },
    { "sigraise", NULL, "signal", "raises a signal", NULL, 1, 1, .closed = true, .run = run_sigraise },
    { "sleep", NULL, NULL, "waits for the given value in milliseconds", NULL, 1, 1, .closed = true, .run = run_sleep },
    { "truncate", "t", "[-m prealloc_mode] off", "truncates the current file at the given offset", NULL, 1, 3, .writes = true, .run = io_truncate },
    { "write", "w", "[-bcCfnquz] [-P pattern | -s source_file] off len", "writes a number of bytes at a specified offset",
      " -b, -- write to the VM state rather than the virtual disk\n -c, -- write compressed data\n" WRITE_THROUGH
      " -n, -- with -z, don't allow slow fallback\n -p, -- ignored for backwards compatibility\n" FILL " -s, -- use a pattern file to fill the write buffer\n"
      STATISTICS BE_QUIET ZEROS, 2, -1, .writes = true, .run = io_write },
    { "writev", "wv", "[-Cfq] [-P pattern] off len [len..]", "writes a number of bytes at a specified offset",
      " writes from one buffer for each length\n" FILL STATISTICS WRITE_THROUGH BE_QUIET, 2, -1, .writes = true, .run = io_writev },
    { NULL },
};

static const IoCommand *find(const char *name)
{
    for (const IoCommand *c = io_commands; c->name; c++)
        if (g_str_equal(name, c->name) || g_strcmp0(name, c->alias) == 0)
            return c;
    return NULL;
}

static void print_line(const IoCommand *c) { printf("%s%s%s -- %s\n", c->name, c->words ? " " : "", c->words ? c->words : "", c->summary); }

int io_usage(const char *name)
{
    print_line(find(name));
    return -1;
}

static int run_help(Io *io, int argc, char **argv)
{
    if (argc == 1) {
        for (const IoCommand *c = io_commands; c->name; c++)
            print_line(c);
        printf("\nUse 'help commandname' for extended help.\n");
        return 0;
    }
    const IoCommand *c = find(argv[1]);
    if (!c) {
        printf("command %s not found\n", argv[1]);
        return -1;
    }
    print_line(c);
    if (c->help)
        printf("\n%s\n", c->help);
    return 0;
}

/* ---- running commands */

static bool right_count(const IoCommand *c, int given)
{
    if (given >= c->min && (c->max < 0 || given <= c->max))
        return true;
    if (c->max < 0)
        fprintf(stderr, "bad argument count %d to %s, expected at least %d arguments\n", given, c->name, c->min);
    else if (c->min == c->max)
        fprintf(stderr, "bad argument count %d to %s, expected %d arguments\n", given, c->name, c->min);
    else
        fprintf(stderr, "bad argument count %d to %s, expected between %d and %d arguments\n", given, c->name, c->min, c->max);
    return false;
}

static int run_words(Io *io, int argc, char **argv)
{
    const IoCommand *c = find(argv[0]);
    GError *err = NULL;
    if (!c) {
        fflush(stdout);
        fprintf(stderr, "command \"%s\" not found\n", argv[0]);
        return -1;
    }
    if (!io->node && !c->closed) {
        fflush(stdout);
        fprintf(stderr, "no file open, try 'help open'\n");
        return -1;
    }
    fflush(stdout);
    if (!right_count(c, argc - 1))
        return -1;
    if (c->writes && io->read_only && !io->snapshot)
        return error_set(&err, ERR_DENIED, "Block node is read-only"), io_complain(io, err);
    return c->run(io, argc, argv);
}

static int run_line(Io *io, const char *line)
{
    g_auto(GStrv) pieces = g_strsplit_set(line, " \n\t", -1);
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (unsigned i = 0; pieces[i]; i++)
        if (*pieces[i])
            g_ptr_array_add(words, pieces[i]);
    int argc = words->len;
    g_ptr_array_add(words, NULL);
    int status = argc ? run_words(io, argc, (char **)words->pdata) : 0;
    io_report_finished(io);
    fflush(stdout);
    return status;
}

static int run_given(Io *io)
{
    int status = 0;
    for (unsigned i = 0; i < io->args->actions->len && !io->quit; i++)
        status |= run_line(io, io->args->actions->pdata[i]);
    return status;
}

static int run_input(Io *io)
{
    int status = 0;
    while (!io->quit) {
        printf("%s> ", io->args->program);
        fflush(stdout);
        char *got = NULL;
        size_t room = 0;
        ssize_t len = getline(&got, &room, stdin);
        if (len >= 0)
            status |= run_line(io, got);
        io->quit |= len < 0;
        free(got);
    }
    return status;
}

static void take_options(Io *io, const ImgArgs *a)
{
    io->args = a;
    io->read_only = a->read_only;
    io->snapshot = a->temporary;
    io->share = a->force_share;
    io->cache = g_strdup(a->no_cache ? "none" : a->cache);
    io->discard = g_strdup(a->discard);
    g_mutex_init(&io->lock);
    g_cond_init(&io->changed);
    g_queue_init(&io->finished);
}

static int clear(Io *io)
{
    int status = io_close_image(io);
    g_free(io->filename);
    g_free(io->cache);
    g_free(io->discard);
    g_mutex_clear(&io->lock);
    g_cond_clear(&io->changed);
    return status;
}

int img_io(ImgArgs *a, GError **err)
{
    Io io = { 0 };
    if (a->nwords > 1)
        return !error_set(err, ERR_INVALID, "Expecting one image file name");
    if (!img_cache_check(a->cache, "cache", err))
        return 1;
    take_options(&io, a);
    int status = 1;
    if (!a->nwords || io_open_image(&io, a->words[0], NULL, err))
        status = (a->actions ? run_given(&io) : run_input(&io)) ? 1 : 0;
    return clear(&io) ? 1 : status;
}
