/* error.c - errors and "did you mean". */
#include "base/error.h"

#include <errno.h>
#include <string.h>

GQuark error_quark(void) { return g_quark_from_static_string("atoll-error"); }

bool error_set(GError **err, ErrorCode code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (err)
        *err = g_error_new_valist(ATOLL_ERROR, code, format, args);
    va_end(args);
    return false;
}

static ErrorCode code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case EBUSY:
    case EAGAIN:
    case EADDRINUSE:
    case ETXTBSY:
        return ERR_BUSY;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT:
        return ERR_NO_SPACE;
    case EINVAL:
    case EISDIR:
    case ENOTDIR:
        return ERR_INVALID;
    case ENOTSUP:
    case ENOSYS:
        return ERR_UNSUPPORTED;
    default:
        return ERR_IO;
    }
}

bool error_set_errno(GError **err, int errnum, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    return error_set(err, code_of_errno(errnum), "%s: %s", what, g_strerror(errnum));
}

/* Levenshtein distance, with a swap of neighbours counted as one step. */
static unsigned edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), width = m + 1;
    g_autofree unsigned *d = g_new(unsigned, (n + 1) * width);
    for (size_t i = 0; i <= n; i++)
        d[i * width] = i;
    for (size_t j = 0; j <= m; j++)
        d[j] = j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            unsigned cost = d[(i - 1) * width + j - 1] + (a[i - 1] != b[j - 1]);
            cost = MIN(cost, d[(i - 1) * width + j] + 1);
            cost = MIN(cost, d[i * width + j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost = MIN(cost, d[(i - 2) * width + j - 2] + 1);
            d[i * width + j] = cost;
        }
    return d[n * width + m];
}

const char *nearest_name(const char *word, const char *const *names)
{
    const char *best = NULL;
    unsigned best_distance = MAX(1, strlen(word) / 3) + 1;
    for (; *names; names++) {
        bool is_prefix = strlen(word) >= 3 && g_str_has_prefix(*names, word);
        unsigned distance = is_prefix ? 1 : edit_distance(word, *names);
        if (distance < best_distance) {
            best = *names;
            best_distance = distance;
        }
    }
    return best;
}

char *did_you_mean(const char *word, const char *const *names)
{
    const char *near = nearest_name(word, names);
    return near ? g_strdup_printf(", did you mean '%s'", near) : g_strdup("");
}
