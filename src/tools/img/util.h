#pragma once
#include "block/block.h"
#include "tools/img/args.h"
/* util.h - what several subcommands need: opening, sizes as text, progress, a limit of the rate. */

/* ---- open.c */
typedef struct ImgOpen {
    const char *name, *format, *cache;
    bool repair;     /* as BlkOpenOptions.repair */
    bool image_opts, write, no_backing;
    bool discard_writes; /* into a temporary file */
    const char *snapshot; /* as it was then, read-only: an id, a name, or "snapshot.id=..,snapshot.name=.." */
    const char *more; /* further options, as in BlkOpenOptions.options */
} ImgOpen;
BlkNode *img_open(const ImgArgs *a, const ImgOpen *o, GError **err); /* prints its warning */
BlkNode *img_open_named(const ImgArgs *a, bool write, GError **err); /* words[0], by -f, --image-opts, -t or -T */
/* Closes what was changed; the status, or 1 if closing it failed. */
int img_end(BlkNode **n, int status, GError **err);
void img_warn(const ImgArgs *a, const char *format, ...) G_GNUC_PRINTF(2, 3);
bool img_cache_check(const char *cache, const char *what, GError **err);
/* The words of -o joined by commas; NULL: none. */
char *img_options_text(const ImgArgs *a);
bool img_asked_for_options(const ImgArgs *a); /* -o help was given */
int img_print_options(const char *format, bool amend, bool named, GError **err); /* named: for a file that was given */

/* ---- text.c */
char *size_text(uint64_t bytes); /* "1.5 GiB"; caller frees */
bool img_parse_size(const char *text, const char *what, uint64_t max, uint64_t *ret, GError **err);
bool img_parse_number(const char *text, const char *what, uint64_t min, uint64_t max, uint64_t *ret, GError **err);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlkNode, blk_close)

/* "    (12.34/100%)\r" where a->progress. */
typedef struct Progress {
    bool on;
    double last;
    GMutex lock;
} Progress;
void progress_start(Progress *p, bool on);
void progress_show(Progress *p, uint64_t done, uint64_t total); /* any thread */
void progress_end(Progress *p, bool complete);

/* Sleeps so that no more than `per_s` bytes a second go by; 0: no limit.  Any thread. */
typedef struct Rate {
    uint64_t per_s;
    int64_t start_us;
    uint64_t spent;
    GMutex lock;
} Rate;
bool rate_start(Rate *r, const char *text, GError **err);
void rate_spend(Rate *r, uint64_t bytes);

bool resize_mode(const char *word, unsigned *ret, GError **err); /* off, metadata, falloc, full; NULL: off */
bool is_zero(const void *buf, size_t len);
