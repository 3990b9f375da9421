#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * args.h - the command line of atoll-img.  One table of subcommands and options (commands.c) gives the parser, --help
 * and the manual page.
 */
typedef struct ImgArgs ImgArgs;
typedef struct ImgOption ImgOption;

/* Returns the exit status.  A failure sets *err, which the caller prints; its status is 1 unless another is returned. */
typedef int ImgRun(ImgArgs *a, GError **err);

/* What a word of the command line sets in ImgArgs: one of the offsets. */
struct ImgOption {
    char letter;          /* 0: none */
    const char *name;     /* long form, NULL: none */
    const char *argument; /* as help writes it; NULL: takes none */
    const char *help;
    uint16_t flag_off;    /* a bool */
    uint16_t text_off;    /* a char * */
    uint16_t list_off;    /* a GPtrArray of the arguments in their order */
    bool action;          /* list_off gets the option itself: "name" or "name=argument" */
};

typedef struct ImgCommand {
    const char *name, *words, *summary;
    const char *manual; /* what help has no room for; NULL: nothing */
    ImgRun *run;
    const ImgOption *options; /* ends with a row without help */
    bool size_last;           /* the last word is ImgArgs.size, even if it begins with a dash */
    bool own_parser;          /* run() reads a->argv itself */
} ImgCommand;

struct ImgArgs {
    const char *program; /* for messages */
    bool like_qemu;      /* called under QEMU's name: warn where we would refuse */
    const ImgCommand *command;
    int argc;
    char **argv;   /* of own_parser: argv[0] is the subcommand */
    char **words;  /* what is no option */
    unsigned nwords;

    struct BlkEnv *env; /* of --object */

    bool help, image_opts, target_image_opts, quiet, progress, force_share, force, unsafe, json;
    char *format, *other_format, *out_format, *cache, *src_cache, *output, *backing, *backing_format;
    char *size, *rate, *snapshot;
    GPtrArray *options, *objects, *actions;

    bool compress, no_create, out_of_order, copy_offload, salvage, target_is_zero, bitmaps, skip_broken; /* convert */
    char *sparse, *parallel;
    bool backing_chain; /* info */
    char *users;
    char *start, *max_length;    /* map */
    bool strict;                 /* compare */
    bool shrink, drop;           /* resize; commit */
    char *preallocation, *repair, *granularity;
    bool version, temporary, copy_on_read, unused; /* io */
    bool read_only, no_cache; /* io, nbd */
    char *discard;
    bool write, no_drain, native, dry_run; /* bench; reclaim */
    bool persistent, fork, list, verbose, allocation_depth, disconnect; /* nbd */
    char *port, *bind, *socket_path, *shared, *export_name, *description, *tls_creds, *tls_hostname, *pid_file, *detect_zeroes, *connect_device;
    GPtrArray *bitmap_names;
    char *count, *depth, *flush_interval, *offset, *pattern, *buffer_size, *step, *aio;
};

extern const ImgCommand img_commands[]; /* ends with a NULL name */
extern const ImgOption img_general[];   /* before the subcommand */

/* A failure of the command line's, after which the user is pointed to --help.  False. */
bool img_usage(GError **err, const char *format, ...) G_GNUC_PRINTF(2, 3);
GQuark img_usage_quark(void);

/* Reads a->argv by the command's table; false: *err says what is wrong. */
bool img_args_parse(ImgArgs *a, GError **err);
void img_args_clear(ImgArgs *a);

char *img_help(const char *program);                              /* caller frees */
char *img_command_help(const char *program, const ImgCommand *c); /* caller frees */
char *img_manual(void);                                           /* roff; caller frees */
