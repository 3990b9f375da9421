/*
 * kernel.c - workloads that are the kernel's: system call, signal, page fault, processes, pipes, timers.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

enum { SYSCALLS = 1000, SIGNALS = 100, PAGES = 64, ROUND_TRIPS = 50, NAPS = 5, NAP_NS = 1000000 };

static uint64_t run_syscall(void)
{
    long self = getpid(), sum = 0;
    for (unsigned i = 0; i < SYSCALLS; i++)
        sum += syscall(SYS_getpid) - self;
    return sum;
}

static volatile sig_atomic_t caught;

static void catch (int number)
{
    caught += number;
}

static uint64_t run_signal(void)
{
    caught = 0;
    signal(SIGUSR1, catch);
    for (unsigned i = 0; i < SIGNALS; i++)
        raise(SIGUSR1);
    return caught;
}

static uint8_t *map(size_t size)
{
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        give_up("mmap");
    return at;
}

static uint64_t run_page_fault(void)
{
    uint8_t *at = map(PAGES * 4096);
    uint64_t sum = 0;
    madvise(at, PAGES * 4096, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < PAGES; i++)
        sum += ++at[i * 4096ul];
    munmap(at, PAGES * 4096);
    return sum;
}

/* Address space without a touch: map, change the rights, unmap. */
static uint64_t run_mmap(void)
{
    uint8_t *at = map(16 * 4096);
    int bad = mprotect(at, 4096, PROT_READ);
    return bad + munmap(at, 16 * 4096);
}

static uint64_t status_of(pid_t child)
{
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child)
        give_up("fork");
    return status;
}

static uint64_t run_fork(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(5);
    return status_of(child);
}

static uint64_t run_exec(void)
{
    pid_t child = vfork();
    if (child == 0) {
        execl("bin/work", "work", "--nothing", NULL);
        _exit(6);
    }
    return status_of(child);
}

static void stay_on_one_cpu(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(sched_getcpu(), &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* The other end: sends back each byte, one higher, until there are no more. */
static void echo_bytes(int in, int out)
{
    uint8_t byte;
    while (read(in, &byte, 1) == 1) {
        byte++;
        if (write(out, &byte, 1) != 1)
            break;
    }
    _exit(0);
}

/* Two processes on one processor, so that each byte is a context switch. */
static uint64_t run_pipe(void)
{
    static int there[2], back[2];
    if (!there[1]) {
        stay_on_one_cpu();
        if (pipe(there) || pipe(back))
            give_up("pipe");
        pid_t child = fork();
        if (child < 0)
            give_up("fork");
        if (child == 0) {
            close(there[1]);
            echo_bytes(there[0], back[1]);
        }
        close(there[0]);
    }
    uint8_t byte = 1;
    for (unsigned i = 0; i < ROUND_TRIPS; i++)
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            give_up("pipe");
    return byte;
}

/* How much later than asked for a sleep ends. */
static uint64_t run_nap(void)
{
    struct timespec t = { .tv_nsec = NAP_NS };
    uint64_t bad = 0;
    for (unsigned i = 0; i < NAPS; i++)
        bad += nanosleep(&t, NULL) != 0;
    return bad;
}

const Workload kernel_workloads[] = {
    { "syscall", run_syscall, .units = SYSCALLS },
    { "signal", run_signal, .units = SIGNALS },
    { "page-fault", run_page_fault, .units = PAGES },
    { "mmap", run_mmap },
    { "fork", run_fork },
    { "exec", run_exec },
    { "pipe", run_pipe, .units = ROUND_TRIPS },
    { "timer", run_nap, .units = NAPS, .idle_ns = NAP_NS },
    { NULL },
};
