/* log.c - the log of a machine. */
#include "base/log.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

const LogCategoryInfo log_categories[LOG_CATEGORIES + 1] = {
    [LOG_GUEST_ERROR] = { "guest_errors", "what the guest does wrong: bad register values, accesses to nowhere" },
    [LOG_UNIMP] = { "unimp", "what the guest asks for and Atoll does not have" },
    [LOG_INT] = { "int", "interrupts and exceptions" },
    [LOG_CPU_RESET] = { "cpu_reset", "CPU state at each reset" },
    [LOG_IN_ASM] = { "in_asm", "guest instructions when they are first decoded" },
    [LOG_OUT_ASM] = { "out_asm", "host instructions of each translated block" },
    [LOG_EXEC] = { "exec", "how often the translator left its code, and for which instructions" },
    [LOG_PCI] = { "pci", "PCI configuration and BAR mappings" },
    [LOG_BLOCK] = { "block", "requests to disk images" },
    [LOG_STATE] = { "state", "saving and loading of machine state" },
    [LOG_PERF] = { "perf", "nothing, but names for perf(1) of translated code in /tmp/perf-PID.map" },
};

Log *log_create(void)
{
    Log *log = g_new0(Log, 1);
    g_mutex_init(&log->lock);
    log->file = stderr;
    return log;
}

static void flush_repeats(Log *log)
{
    if (log->repeats)
        fprintf(log->file, "(the last line came %" G_GUINT64_FORMAT " more times)\n", log->repeats);
    log->repeats = 0;
}

void log_destroy(Log *log)
{
    if (!log)
        return;
    flush_repeats(log);
    if (log->file != stderr)
        fclose(log->file);
    g_mutex_clear(&log->lock);
    g_free(log);
}

bool log_open(Log *log, const char *path, GError **err)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set_errno(err, errno, "cannot open log file '%s'", path);
    if (log->file != stderr)
        fclose(log->file);
    log->file = file;
    return true;
}

static bool enable_one(Log *log, const char *name, GError **err)
{
    if (g_str_equal(name, "all")) {
        atomic_store(&log->mask, (1u << LOG_CATEGORIES) - 1);
        return true;
    }
    const char *names[LOG_CATEGORIES + 1] = { NULL };
    for (unsigned i = 0; i < LOG_CATEGORIES; i++) {
        names[i] = log_categories[i].name;
        if (g_str_equal(name, names[i])) {
            atomic_fetch_or(&log->mask, 1u << i);
            return true;
        }
    }
    g_autofree char *hint = did_you_mean(name, names);
    return error_set(err, ERR_INVALID, "no log category '%s'%s; -d help lists them", name, hint);
}

bool log_enable(Log *log, const char *categories, GError **err)
{
    g_auto(GStrv) names = g_strsplit(categories, ",", -1);
    for (char **name = names; *name; name++)
        if (!enable_one(log, *name, err))
            return false;
    return true;
}

void log_write(Log *log, LogCategory c, const char *format, ...)
{
    if (!log_on(log, c))
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    g_mutex_lock(&log->lock);
    if (g_str_equal(line, log->last)) {
        log->repeats++;
    } else {
        flush_repeats(log);
        g_strlcpy(log->last, line, sizeof(log->last));
        fprintf(log->file, "%s: %s\n", log_categories[c].name, line);
        fflush(log->file);
    }
    g_mutex_unlock(&log->lock);
}
