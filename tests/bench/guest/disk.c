/*
 * disk.c - how fast the disks of a machine are, past the page cache.
 *
 *     disk SECONDS WORKLOAD|all DEVICE...     for each prints "DISK device workload operations nanoseconds"
 *
 * A plain file in the place of a device is read and written through the page cache.
 *
 * A workload keeps `depth` requests of `bytes` each under way, by the kernel's own asynchronous I/O, for that long.
 * Writes hold their place and a number, and are read back at the end: "DISK device wrong" where that is not so.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 32, BLOCK = 4096, LARGE = 128 << 10 };

typedef struct Workload {
    const char *name;
    unsigned depth, bytes;
    bool write, sequential;
} Workload;

static const Workload workloads[] = {
    { "read-4k-1", 1, BLOCK },
    { "read-4k-32", 32, BLOCK },
    { "write-4k-1", 1, BLOCK, .write = true },
    { "write-4k-32", 32, BLOCK, .write = true },
    { "read-seq", 4, LARGE, .sequential = true },
    { "write-seq", 4, LARGE, .write = true, .sequential = true },
};

typedef struct Run {
    const Workload *w;
    const char *device;
    int fd;
    uint64_t blocks, next, random, stamp; /* blocks of w->bytes */
    aio_context_t aio;
    struct iocb cb[DEPTH_MAX];
    char *buf[DEPTH_MAX];
} Run;

static _Noreturn void give_up(const char *what)
{
    printf("DISK-FAILED %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* xorshift64: Marsaglia 2003. */
static uint64_t next_random(Run *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return r->random;
}

static uint64_t next_place(Run *r)
{
    uint64_t block = r->w->sequential ? r->next++ % r->blocks : next_random(r) % r->blocks;
    return block * r->w->bytes;
}

static void submit(Run *r, unsigned slot)
{
    uint64_t off = next_place(r), mark[2] = { off, r->stamp };
    if (r->w->write)
        memcpy(r->buf[slot], mark, sizeof(mark));
    r->cb[slot] = (struct iocb){ .aio_data = slot, .aio_lio_opcode = r->w->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD, .aio_fildes = r->fd,
                                 .aio_buf = (uintptr_t)r->buf[slot], .aio_nbytes = r->w->bytes, .aio_offset = off };
}

static void start(Run *r, struct iocb **list, long n)
{
    for (long done = 0; done < n;) {
        long taken = syscall(SYS_io_submit, r->aio, n - done, list + done);
        if (taken < 0)
            give_up("io_submit");
        done += taken;
    }
}

/* What has come is replaced at once, all of it by one call. */
static uint64_t run_until(Run *r, uint64_t end)
{
    struct io_event events[DEPTH_MAX];
    struct iocb *list[DEPTH_MAX];
    unsigned under_way = 0;
    uint64_t operations = 0;
    for (unsigned slot = 0; slot < r->w->depth; slot++, under_way++) {
        submit(r, slot);
        list[slot] = &r->cb[slot];
    }
    start(r, list, under_way);
    while (under_way) {
        long n = syscall(SYS_io_getevents, r->aio, 1, DEPTH_MAX, events, NULL);
        bool more = now_ns() < end;
        if (n < 0)
            give_up("io_getevents");
        operations += n;
        for (long i = 0; i < n; i++) {
            if (events[i].res != (int64_t)r->w->bytes)
                give_up("a request");
            submit(r, events[i].data);
            list[i] = &r->cb[events[i].data];
        }
        if (more)
            start(r, list, n);
        else
            under_way -= n;
    }
    return operations;
}

/* Blocks that a write has touched name their place. */
static bool check(Run *r)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t off = next_random(r) % r->blocks * r->w->bytes, mark[2];
        if (pread(r->fd, r->buf[0], r->w->bytes, off) != (ssize_t)r->w->bytes)
            give_up("reading back");
        memcpy(mark, r->buf[0], sizeof(mark));
        if (mark[1] == r->stamp && mark[0] != off)
            return false;
    }
    return true;
}

static void measure(Run *r, double seconds)
{
    uint64_t begin = now_ns();
    off_t bytes = lseek(r->fd, 0, SEEK_END);
    if (bytes <= 0)
        give_up(r->device);
    r->blocks = bytes / r->w->bytes;
    r->random = 88172645463325252ull;
    r->stamp = begin;
    uint64_t operations = run_until(r, begin + (uint64_t)(seconds * 1e9)), ns = now_ns() - begin;
    printf("DISK %s %s %" PRIu64 " %" PRIu64 "\n", r->device, r->w->name, operations, ns);
    if (r->w->write && !check(r))
        printf("DISK %s wrong data after %s\n", r->device, r->w->name);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    Run r = { 0 };
    for (unsigned slot = 0; slot < DEPTH_MAX; slot++)
        if (posix_memalign((void **)&r.buf[slot], BLOCK, LARGE) || !memset(r.buf[slot], 0x5a, LARGE))
            give_up("memory");
    if (syscall(SYS_io_setup, DEPTH_MAX, &r.aio))
        give_up("io_setup");
    for (int i = 3; i < argc; i++) {
        r.device = argv[i];
        struct stat st;
        if (stat(argv[i], &st) || (r.fd = open(argv[i], O_RDWR | (S_ISREG(st.st_mode) ? 0 : O_DIRECT))) < 0)
            give_up(argv[i]);
        for (unsigned w = 0; w < sizeof(workloads) / sizeof(workloads[0]); w++) {
            r.w = &workloads[w];
            if (!strcmp(argv[2], "all") || !strcmp(argv[2], r.w->name))
                measure(&r, atof(argv[1]));
        }
        close(r.fd);
    }
    return 0;
}
