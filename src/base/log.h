#pragma once
#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
/*
 * log.h - what -d prints.  A Log belongs to a Machine; a category that is off costs one relaxed load.
 *
 *     if (log_on(log, LOG_INT))
 *         log_write(log, LOG_INT, "vector %02x", vector);
 */
typedef enum LogCategory { LOG_GUEST_ERROR, LOG_UNIMP, LOG_INT, LOG_CPU_RESET, LOG_IN_ASM, LOG_OUT_ASM, LOG_EXEC, LOG_PCI, LOG_BLOCK, LOG_STATE, LOG_PERF, LOG_CATEGORIES } LogCategory;

typedef struct LogCategoryInfo {
    const char *name, *doc; /* name as -d spells it */
} LogCategoryInfo;
extern const LogCategoryInfo log_categories[LOG_CATEGORIES + 1]; /* ends with a NULL name */

typedef struct Log {
    _Atomic uint32_t mask; /* bit per category */
    FILE *file;            /* stderr, or owned (-D) */
    GMutex lock;
    char last[256]; /* the last line and how often it came: floods from a guest are folded */
    uint64_t repeats;
} Log;

Log *log_create(void); /* to stderr, with every category off */
void log_destroy(Log *log);
bool log_open(Log *log, const char *path, GError **err);           /* -D */
bool log_enable(Log *log, const char *categories, GError **err); /* -d: names separated by commas, or "all" */

static inline bool log_on(Log *log, LogCategory c) { return atomic_load_explicit(&log->mask, memory_order_relaxed) >> c & 1; }
void log_write(Log *log, LogCategory c, const char *format, ...) G_GNUC_PRINTF(3, 4);
