#pragma once
#include "tools/img/util.h"
/*
 * io.h - atoll-img io: one image, and commands that read and write it, spelt and answered as by qemu-io.
 *
 * Commands return 0 or -1; what they have to say they have printed.
 */
enum { IO_MAX_BYTES = 0x7ffffe00, IO_FILL = 0xcd };

typedef struct Io {
    const ImgArgs *args;
    BlkNode *node;
    char *filename;
    char *cache, *discard; /* as open was told */
    bool read_only, snapshot, share, copy_on_read;
    bool quit;
    GMutex lock; /* of what follows */
    GCond changed;
    unsigned in_flight;
    GQueue finished; /* of Async, to be reported */
} Io;

typedef struct IoCommand {
    const char *name, *alias, *words, *summary;
    const char *help; /* what `help COMMAND` adds, or NULL */
    int min, max;     /* arguments; max -1: any number */
    bool closed;      /* works without an image */
    bool writes;
    int (*run)(Io *io, int argc, char **argv);
} IoCommand;
extern const IoCommand io_commands[]; /* ends with a NULL name */
int io_usage(const char *name);       /* prints the line of the command; -1 */

typedef int IoRun(Io *io, int argc, char **argv);
IoRun io_aio_flush, io_aio_read, io_aio_write, io_alloc, io_close, io_discard, io_flush, io_info, io_length, io_map, io_open, io_read, io_readv;
IoRun io_reopen, io_truncate, io_write, io_writev;

/* image.c */
bool io_open_image(Io *io, const char *filename, const char *options, GError **err);
int io_close_image(Io *io); /* -1: not all is in the file, and it has said so */

/* async.c */
void io_report_finished(Io *io); /* prints what has come back since */
void io_wait_all(Io *io);

/* report.c */
char *io_bytes_text(double bytes); /* "1.500 KiB"; caller frees */
typedef struct IoReport {
    const char *verb;
    uint64_t off, bytes;
    int64_t start_ns;
    bool quiet, machine;
} IoReport;
void io_report(const IoReport *r, int64_t end_ns);
int64_t io_now_ns(void);
/* They print why not. */
bool io_size(const char *text, uint64_t *ret);
bool io_byte(const char *text, int *ret);
int io_failed(const char *name, int status);       /* "NAME failed: reason"; -1 */
int io_complain(const Io *io, GError *err);        /* on standard error; -1 */
