#pragma once
#include <glib.h>
#include <stdbool.h>
/*
 * error.h - one way to fail: return false (or NULL) and set a GError.
 *
 * A message names what failed, on which object, why, and what to do:
 *
 *     return error_set(err, ERR_NOT_FOUND, "cannot open kernel '%s': no such file", path);
 */
typedef enum ErrorCode {
    ERR_INVALID,     /* the caller's words are wrong */
    ERR_NOT_FOUND,
    ERR_DENIED,      /* a right is missing */
    ERR_BUSY,        /* held by somebody else; the message names the holder */
    ERR_NO_SPACE,    /* disk or memory */
    ERR_IO,
    ERR_UNSUPPORTED, /* neither this build nor this host can */
    ERR_INTERNAL,    /* our own fault */
} ErrorCode;

#define ATOLL_ERROR (error_quark())
GQuark error_quark(void);

/* Sets *err (which may be NULL) and returns false, so that it can end a function. */
bool error_set(GError **err, ErrorCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The same for a failed system call: appends ": " and strerror(errnum), and takes the code from errnum. */
bool error_set_errno(GError **err, int errnum, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The entry of `names` (NULL-terminated) that looks most like `word`, or NULL where none is near.  For "did you mean". */
const char *nearest_name(const char *word, const char *const *names);
/* The same as a piece of a message: ", did you mean 'NAME'", or "".  Caller frees. */
char *did_you_mean(const char *word, const char *const *names);
