#pragma once
#include "tools/img/io/io.h"
/* request.h - a read or write as its command line describes it: what the commands of request.c and async.c share. */
typedef struct IoRequest {
    bool machine, quiet, verbose, vm_state, compress, fua, no_fallback, unmap, zero, invalid;
    int pattern;            /* -1: none */
    const char *limit_words; /* after the limit of a length */
    const char *source;     /* file to fill from */
    uint64_t verify_off, verify_len;
    bool has_verify_off, has_verify_len;
    uint64_t off, len;
    struct iovec *iov;
    unsigned niov;
    uint8_t *buffer;
} IoRequest;
void io_request_clear(IoRequest *r);
/* letters: as for getopt(); false: the reason is printed. */
bool io_request_parse(IoRequest *r, const char *letters, int argc, char **argv);
bool io_request_place(IoRequest *r, char **words, int nwords); /* OFF LEN [LEN..], at least two */
bool io_request_buffer(IoRequest *r, int fill);
bool io_request_verify(const IoRequest *r); /* against the pattern */
void io_request_dump(const IoRequest *r);
unsigned io_request_flags(const IoRequest *r);
