#pragma once
#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
/*
 * stream.h - the form of a saved machine: a magic number and a version, then sections, each with its kind, its length and a
 * checksum (CRC-32C), up to one of kind STREAM_END.  All numbers are little-endian, as the hosts are.
 *
 * Descriptors are non-blocking; who waits looks at `cancelled` from time to time.
 */
typedef enum StreamKind {
    STREAM_MACHINE = 1, /* what machine it is: contents.c */
    STREAM_BLOCK,       /* a block of its memory */
    STREAM_PAGES,       /* pages of a block */
    STREAM_STATE,       /* processors and devices: machine_save() */
    STREAM_END,
    STREAM_KINDS,
} StreamKind;

typedef struct Stream {
    int fd;
    const _Atomic bool *cancelled;
    _Atomic uint64_t bytes; /* that have passed; any thread */
    uint64_t limit;         /* bytes a second; 0: none */
    int64_t began_us;
    GByteArray *section;    /* the payload of what stream_get() has read */
} Stream;

void stream_init(Stream *s, int fd, const _Atomic bool *cancelled);
void stream_clear(Stream *s);

bool stream_write_head(Stream *s, GError **err);
/* A section of two parts; the second may be NULL. */
bool stream_put(Stream *s, StreamKind kind, const void *first, size_t n_first, const void *second, size_t n_second, GError **err);

bool stream_read_head(Stream *s, GError **err);
/* The next section, into s->section; its length is within what its kind may have. */
bool stream_get(Stream *s, StreamKind *ret, GError **err);
