/* request.c - read, readv, write, writev, discard. */
#include "tools/img/io/request.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

void io_request_clear(IoRequest *r)
{
    g_free(r->iov);
    g_free(r->buffer);
}

static bool take(IoRequest *r, int letter, const char *arg)
{
    switch (letter) {
    case 'C':
        r->machine = true;
        return true;
    case 'b':
        r->vm_state = true;
        return true;
    case 'c':
        r->compress = true;
        return true;
    case 'f':
        r->fua = true;
        return true;
    case 'i':
        r->invalid = true;
        return true;
    case 'n':
        r->no_fallback = true;
        return true;
    case 'p':
        return true;
    case 'q':
        r->quiet = true;
        return true;
    case 'u':
        r->unmap = true;
        return true;
    case 'v':
        r->verbose = true;
        return true;
    case 'z':
        r->zero = true;
        return true;
    case 'P':
        return io_byte(arg, &r->pattern);
    case 'l':
        return r->has_verify_len = io_size(arg, &r->verify_len);
    case 's':
        r->source = arg; /* a read's is a number: see read_range() */
        return true;
    default:
        return false;
    }
}

bool io_request_parse(IoRequest *r, const char *letters, int argc, char **argv)
{
    *r = (IoRequest){ .pattern = -1, .limit_words = "" };
    optind = 0;
    opterr = 1;
    for (int letter; (letter = getopt(argc, argv, letters)) != -1;) {
        if (letter == '?') {
            io_usage(argv[0]);
            return false;
        }
        if (!take(r, letter, optarg))
            return false;
    }
    return true;
}

static bool add_length(IoRequest *r, const char *text, unsigned i)
{
    uint64_t len;
    if (!io_size(text, &len))
        return false;
    if (len > IO_MAX_BYTES || r->len + len > IO_MAX_BYTES) {
        printf("length cannot exceed %d%s, given %s\n", IO_MAX_BYTES, r->limit_words, text);
        return false;
    }
    r->iov[i].iov_len = len;
    r->len += len;
    return true;
}

bool io_request_place(IoRequest *r, char **words, int nwords)
{
    if (!io_size(words[0], &r->off))
        return false;
    r->niov = nwords - 1;
    r->iov = g_new0(struct iovec, r->niov);
    for (unsigned i = 0; i < r->niov; i++)
        if (!add_length(r, words[i + 1], i))
            return false;
    return true;
}

bool io_request_buffer(IoRequest *r, int fill)
{
    r->buffer = g_try_malloc(MAX(r->len, 1));
    if (!r->buffer) {
        printf("no memory for %" G_GUINT64_FORMAT " bytes\n", r->len);
        return false;
    }
    memset(r->buffer, fill, r->len);
    uint8_t *at = r->buffer;
    for (unsigned i = 0; i < r->niov; at += r->iov[i++].iov_len)
        r->iov[i].iov_base = at;
    return true;
}

bool io_request_verify(const IoRequest *r)
{
    uint64_t off = r->has_verify_off ? r->verify_off : 0, len = r->has_verify_len ? r->verify_len : r->len - off;
    for (uint64_t i = 0; i < len; i++)
        if (r->buffer[off + i] != r->pattern) {
            printf("Pattern verification failed at offset %" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT " bytes\n", r->off + off, len);
            return false;
        }
    return true;
}

void io_request_dump(const IoRequest *r)
{
    for (uint64_t at = 0; at < r->len; at += 16) {
        uint64_t n = MIN(16, r->len - at);
        printf("%08" G_GINT64_MODIFIER "x:  ", r->off + at);
        for (unsigned i = 0; i < n; i++)
            printf("%02x ", r->buffer[at + i]);
        printf(" ");
        for (unsigned i = 0; i < n; i++)
            printf("%c", g_ascii_isalnum(r->buffer[at + i]) ? r->buffer[at + i] : '.');
        printf("\n");
    }
}

unsigned io_request_flags(const IoRequest *r)
{
    return (r->fua ? BLK_FUA : 0) | (r->unmap ? BLK_MAY_UNMAP : 0) | (r->compress ? BLK_COMPRESS : 0) | (r->no_fallback ? BLK_NO_FALLBACK : 0);
}

static IoReport report_of(const IoRequest *r, const char *verb)
{
    return (IoReport){ verb, r->off, r->len, io_now_ns(), r->quiet, r->machine };
}

/* ---- reading */

/* Which part -P looks at. */
static bool read_range(IoRequest *r)
{
    if (r->source && !(r->has_verify_off = io_size(r->source, &r->verify_off)))
        return false;
    if ((r->has_verify_off || r->has_verify_len) && r->pattern < 0) {
        io_usage("read");
        return false;
    }
    uint64_t off = r->has_verify_off ? r->verify_off : 0;
    if (off > r->len || (r->has_verify_len && r->verify_len > r->len - off)) {
        printf("pattern verification range exceeds end of read data\n");
        return false;
    }
    return true;
}

static int read_it(Io *io, IoRequest *r, const char *name)
{
    if (!io_request_buffer(r, 0xab))
        return -1;
    IoReport report = report_of(r, "read");
    int status = r->vm_state ? blk_vm_state(io->node, BLK_READ, r->off, r->buffer, r->len)
                             : blk_perform(io->node, BLK_READ, 0, r->off, r->len, r->iov, r->niov);
    int64_t end_ns = io_now_ns();
    if (status == -EINVAL)
        status = -EIO; /* beyond the end: qemu-io's word for it */
    if (status)
        return io_failed(name, status);
    bool same = r->pattern < 0 || io_request_verify(r);
    if (r->verbose && !r->quiet)
        io_request_dump(r);
    io_report(&report, end_ns);
    return same ? 0 : -1;
}

static int read_command(Io *io, int argc, char **argv, const char *letters, bool vector)
{
    IoRequest r;
    int status = -1;
    if (!io_request_parse(&r, letters, argc, argv))
        return -1;
    if (argc - optind < 2 || (!vector && argc - optind != 2))
        io_usage(argv[0]);
    else if (io_request_place(&r, argv + optind, argc - optind) && read_range(&r))
        status = read_it(io, &r, argv[0]);
    io_request_clear(&r);
    return status;
}

int io_read(Io *io, int argc, char **argv) { return read_command(io, argc, argv, "bCl:pP:qs:v", false); }
int io_readv(Io *io, int argc, char **argv) { return read_command(io, argc, argv, "CP:qv", true); }

/* ---- writing */

/* What contradicts itself, in the words of qemu-io; NULL: nothing. */
static const char *contradiction(const IoRequest *r)
{
    if (r->vm_state && r->zero)
        return "-b and -z cannot be specified at the same time";
    if (r->fua && (r->vm_state || r->compress))
        return "-f and -b or -c cannot be specified at the same time";
    if (r->no_fallback && !r->zero)
        return "-n requires -z to be specified";
    if (r->unmap && !r->zero)
        return "-u requires -z to be specified";
    if (r->zero + (r->pattern >= 0) + (r->source != NULL) > 1)
        return "Only one of -z, -P, and -s can be specified at the same time";
    return NULL;
}

static bool fill_from(IoRequest *r)
{
    g_autofree char *data = NULL;
    size_t len = 0;
    errno = 0;
    if (!g_file_get_contents(r->source, &data, &len, NULL) || !len) {
        fprintf(stderr, "%s: %s\n", r->source, errno ? g_strerror(errno) : "the file is empty");
        return false;
    }
    for (uint64_t at = 0; at < r->len; at += len)
        memcpy(r->buffer + at, data, MIN(len, r->len - at));
    return true;
}

static int write_it(Io *io, IoRequest *r, const char *name)
{
    if (!r->zero && (!io_request_buffer(r, r->pattern >= 0 ? r->pattern : IO_FILL) || (r->source && !fill_from(r))))
        return -1;
    IoReport report = report_of(r, "wrote");
    int status = r->vm_state ? blk_vm_state(io->node, BLK_WRITE, r->off, r->buffer, r->len)
                             : blk_perform(io->node, r->zero ? BLK_ZERO : BLK_WRITE, io_request_flags(r), r->off, r->len, r->iov, r->niov);
    int64_t end_ns = io_now_ns();
    if (status == -EINVAL)
        status = -EIO;
    if (status)
        return io_failed(name, status);
    io_report(&report, end_ns);
    return 0;
}

static int write_command(Io *io, int argc, char **argv, const char *letters, bool vector)
{
    IoRequest r;
    int status = -1;
    if (!io_request_parse(&r, letters, argc, argv))
        return -1;
    const char *wrong = contradiction(&r);
    if (argc - optind < 2 || (!vector && argc - optind != 2))
        io_usage(argv[0]);
    else if (wrong)
        printf("%s\n", wrong);
    else {
        r.limit_words = vector ? "" : " without -n";
        status = io_request_place(&r, argv + optind, argc - optind) ? write_it(io, &r, argv[0]) : -1;
    }
    io_request_clear(&r);
    return status;
}

int io_write(Io *io, int argc, char **argv) { return write_command(io, argc, argv, "bcCfnpP:qs:uz", false); }
int io_writev(Io *io, int argc, char **argv) { return write_command(io, argc, argv, "CfqP:", true); }

int io_discard(Io *io, int argc, char **argv)
{
    IoRequest r;
    if (!io_request_parse(&r, "Cq", argc, argv))
        return -1;
    if (argc - optind != 2)
        return io_usage(argv[0]);
    int status = -1;
    if (io_request_place(&r, argv + optind, 2)) {
        IoReport report = report_of(&r, "discard");
        status = blk_perform(io->node, BLK_DISCARD, 0, r.off, r.len, NULL, 0);
        if (status)
            io_failed("discard", status == -EINVAL ? -EIO : status);
        else
            io_report(&report, io_now_ns());
    }
    io_request_clear(&r);
    return status ? -1 : 0;
}
