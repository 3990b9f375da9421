/*
 * calls.c - the system calls of a machine that runs, each with its reason, and the filter made of them.
 *
 * What is not in the table, or stands in a group that is not allowed, is refused: the call fails with EPERM, and its name is
 * said on standard error.  On a vCPU's thread, which takes no signals, it ends the process.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/error.h"
#include "vmm/sandbox/filter.h"
#include "vmm/sandbox/sandbox.h"

typedef struct Call {
    const char *name;
    int number;
    SandboxGroup group;
    const char *why;
    /* Optional: only where argument `arg` & mask has (or, with not, has not) this value. */
    struct { unsigned arg; uint64_t mask, value; bool not; } only;
} Call;

#define CALL(call, group, why, ...) { #call, SYS_##call, group, why, { __VA_ARGS__ } }
#define SELF UINT64_MAX /* stands for this process's id */

static const Call calls[] = {
    CALL(brk, SANDBOX_ALWAYS, "heap"),
    CALL(mmap, SANDBOX_ALWAYS, "heap, guest RAM; never writable and executable at once", 2, PROT_EXEC, 0),
    CALL(mmap, SANDBOX_ALWAYS, "code of the translator, libraries", 2, PROT_WRITE, 0),
    CALL(mprotect, SANDBOX_ALWAYS, "guard pages, the translator's pages", 2, PROT_EXEC, 0),
    CALL(mprotect, SANDBOX_ALWAYS, "code, once it is written", 2, PROT_WRITE, 0),
    CALL(munmap, SANDBOX_ALWAYS, "heap"),
    CALL(mremap, SANDBOX_ALWAYS, "heap"),
    CALL(madvise, SANDBOX_ALWAYS, "memory that the guest gives back"),
    CALL(msync, SANDBOX_ALWAYS, "memory in files"),
    CALL(mincore, SANDBOX_ALWAYS, "how much of RAM is there"),
    CALL(memfd_create, SANDBOX_ALWAYS, "RAM of devices that are plugged in, code caches"),
    CALL(membarrier, SANDBOX_ALWAYS, "code that other threads run"),
    CALL(fallocate, SANDBOX_ALWAYS, "discard and write-zeroes of images"),

    CALL(rt_sigaction, SANDBOX_ALWAYS, "faults of translated code"),
    CALL(rt_sigprocmask, SANDBOX_ALWAYS, "threads"),
    CALL(rt_sigreturn, SANDBOX_ALWAYS, "faults of translated code"),
    CALL(rt_sigtimedwait, SANDBOX_ALWAYS, "kicks of KVM's vCPUs"),
    CALL(rt_sigpending, SANDBOX_ALWAYS, "kicks of KVM's vCPUs"),
    CALL(sigaltstack, SANDBOX_ALWAYS, "faults of translated code"),
    CALL(signalfd4, SANDBOX_ALWAYS, "signals in the main loop"),
    CALL(tgkill, SANDBOX_ALWAYS, "kicks of this process's own threads", 0, UINT64_MAX, SELF),
    CALL(kill, SANDBOX_ALWAYS, "abort()", 0, UINT64_MAX, SELF),
    CALL(restart_syscall, SANDBOX_ALWAYS, "a wait that a signal broke off"),

    CALL(clone, SANDBOX_ALWAYS, "threads, and nothing but threads", 0, CLONE_THREAD, CLONE_THREAD),
    CALL(futex, SANDBOX_ALWAYS, "locks"),
    CALL(set_robust_list, SANDBOX_ALWAYS, "threads"),
    CALL(rseq, SANDBOX_ALWAYS, "threads"),
    CALL(set_tid_address, SANDBOX_ALWAYS, "threads"),
    CALL(arch_prctl, SANDBOX_ALWAYS, "the guest's GS base in translated code"),
    CALL(exit, SANDBOX_ALWAYS, "the end of a thread"),
    CALL(exit_group, SANDBOX_ALWAYS, "the end"),
    CALL(gettid, SANDBOX_ALWAYS, "threads"),
    CALL(getpid, SANDBOX_ALWAYS, "messages"),
    CALL(getppid, SANDBOX_ALWAYS, "messages"),
    CALL(getuid, SANDBOX_ALWAYS, "messages, paths of the user"),
    CALL(geteuid, SANDBOX_ALWAYS, "messages, paths of the user"),
    CALL(getgid, SANDBOX_ALWAYS, "messages"),
    CALL(getegid, SANDBOX_ALWAYS, "messages"),
    CALL(getpgrp, SANDBOX_ALWAYS, "the terminal"),
    CALL(getpgid, SANDBOX_ALWAYS, "the terminal"),
    CALL(getresuid, SANDBOX_ALWAYS, "GIO's credentials"),
    CALL(getresgid, SANDBOX_ALWAYS, "GIO's credentials"),
    CALL(sched_yield, SANDBOX_ALWAYS, "spinning"),
    CALL(sched_getaffinity, SANDBOX_ALWAYS, "how many processors there are"),
    CALL(sched_getattr, SANDBOX_ALWAYS, "GLib's thread pools"),
    CALL(sched_setattr, SANDBOX_ALWAYS, "GLib's thread pools give a thread its creator's"),
    CALL(sched_getscheduler, SANDBOX_ALWAYS, "attributes of threads"),
    CALL(sched_getparam, SANDBOX_ALWAYS, "attributes of threads"),
    CALL(getcpu, SANDBOX_ALWAYS, "RDTSCP"),
    CALL(getpriority, SANDBOX_ALWAYS, "GIO's workers"),
    CALL(prctl, SANDBOX_ALWAYS, "names of threads, timer slack"),
    CALL(uname, SANDBOX_ALWAYS, "libraries"),
    CALL(sysinfo, SANDBOX_ALWAYS, "sorting in libraries, memory of the host"),
    CALL(getrandom, SANDBOX_ALWAYS, "virtio-rng, keys"),
    CALL(getrusage, SANDBOX_ALWAYS, "statistics"),
    CALL(prlimit64, SANDBOX_ALWAYS, "the size of stacks: to read", 2, UINT64_MAX, 0),
    CALL(getrlimit, SANDBOX_ALWAYS, "the size of stacks"),
    CALL(umask, SANDBOX_ALWAYS, "files that are made"),

    CALL(clock_gettime, SANDBOX_ALWAYS, "time"),
    CALL(clock_getres, SANDBOX_ALWAYS, "time"),
    CALL(clock_nanosleep, SANDBOX_ALWAYS, "time"),
    CALL(nanosleep, SANDBOX_ALWAYS, "time"),
    CALL(gettimeofday, SANDBOX_ALWAYS, "time"),
    CALL(time, SANDBOX_ALWAYS, "time"),
    CALL(timerfd_create, SANDBOX_ALWAYS, "timers"),
    CALL(timerfd_settime, SANDBOX_ALWAYS, "timers"),
    CALL(timerfd_gettime, SANDBOX_ALWAYS, "timers"),
    CALL(timer_create, SANDBOX_ALWAYS, "timers"),
    CALL(timer_settime, SANDBOX_ALWAYS, "timers"),
    CALL(timer_delete, SANDBOX_ALWAYS, "timers"),

    CALL(read, SANDBOX_ALWAYS, "descriptors"),
    CALL(write, SANDBOX_ALWAYS, "descriptors"),
    CALL(readv, SANDBOX_ALWAYS, "descriptors"),
    CALL(writev, SANDBOX_ALWAYS, "descriptors"),
    CALL(pread64, SANDBOX_ALWAYS, "images"),
    CALL(pwrite64, SANDBOX_ALWAYS, "images"),
    CALL(preadv, SANDBOX_ALWAYS, "images"),
    CALL(pwritev, SANDBOX_ALWAYS, "images"),
    CALL(preadv2, SANDBOX_ALWAYS, "images"),
    CALL(pwritev2, SANDBOX_ALWAYS, "images"),
    CALL(lseek, SANDBOX_ALWAYS, "images: where data is"),
    CALL(close, SANDBOX_ALWAYS, "descriptors"),
    CALL(close_range, SANDBOX_ALWAYS, "descriptors"),
    CALL(dup, SANDBOX_ALWAYS, "descriptors"),
    CALL(dup2, SANDBOX_ALWAYS, "descriptors"),
    CALL(dup3, SANDBOX_ALWAYS, "descriptors"),
    CALL(fcntl, SANDBOX_ALWAYS, "image locks, non-blocking sockets"),
    CALL(flock, SANDBOX_ALWAYS, "image locks"),
    CALL(fsync, SANDBOX_ALWAYS, "images"),
    CALL(fdatasync, SANDBOX_ALWAYS, "images"),
    CALL(sync_file_range, SANDBOX_ALWAYS, "images"),
    CALL(ftruncate, SANDBOX_ALWAYS, "images that grow"),
    CALL(copy_file_range, SANDBOX_ALWAYS, "block jobs"),
    CALL(fadvise64, SANDBOX_ALWAYS, "images"),
    CALL(fstat, SANDBOX_ALWAYS, "files"),
    CALL(newfstatat, SANDBOX_ALWAYS, "files"),
    CALL(stat, SANDBOX_ALWAYS, "files"),
    CALL(lstat, SANDBOX_ALWAYS, "files"),
    CALL(statx, SANDBOX_ALWAYS, "files"),
    CALL(statfs, SANDBOX_ALWAYS, "files"),
    CALL(fstatfs, SANDBOX_ALWAYS, "files"),
    CALL(access, SANDBOX_ALWAYS, "files"),
    CALL(faccessat, SANDBOX_ALWAYS, "files"),
    CALL(faccessat2, SANDBOX_ALWAYS, "files"),
    CALL(readlink, SANDBOX_ALWAYS, "files"),
    CALL(readlinkat, SANDBOX_ALWAYS, "files"),
    CALL(open, SANDBOX_ALWAYS, "files: which ones, landlock says"),
    CALL(openat, SANDBOX_ALWAYS, "files: which ones, landlock says"),
    CALL(getdents64, SANDBOX_ALWAYS, "folders of firmware, descriptors"),
    CALL(getcwd, SANDBOX_ALWAYS, "relative names"),
    CALL(chdir, SANDBOX_ALWAYS, "-daemonize"),
    CALL(unlink, SANDBOX_ALWAYS, "sockets and the -pidfile, at the end"),
    CALL(unlinkat, SANDBOX_ALWAYS, "sockets and the -pidfile, at the end"),
    CALL(rename, SANDBOX_ALWAYS, "files that are replaced whole"),
    CALL(renameat, SANDBOX_ALWAYS, "files that are replaced whole"),
    CALL(renameat2, SANDBOX_ALWAYS, "files that are replaced whole"),
    CALL(fchmod, SANDBOX_ALWAYS, "files that are replaced whole"),
    CALL(mkdir, SANDBOX_ALWAYS, "shared folders"),
    CALL(pipe, SANDBOX_ALWAYS, "wake-ups"),
    CALL(pipe2, SANDBOX_ALWAYS, "wake-ups"),
    CALL(eventfd2, SANDBOX_ALWAYS, "wake-ups"),
    CALL(poll, SANDBOX_ALWAYS, "main loop"),
    CALL(ppoll, SANDBOX_ALWAYS, "main loop"),
    CALL(select, SANDBOX_ALWAYS, "libraries"),
    CALL(pselect6, SANDBOX_ALWAYS, "libraries"),
    CALL(epoll_create1, SANDBOX_ALWAYS, "I/O threads"),
    CALL(epoll_ctl, SANDBOX_ALWAYS, "I/O threads"),
    CALL(epoll_wait, SANDBOX_ALWAYS, "I/O threads"),
    CALL(epoll_pwait, SANDBOX_ALWAYS, "I/O threads"),
    CALL(inotify_init1, SANDBOX_ALWAYS, "GIO looks for changes of resolv.conf"),
    CALL(inotify_add_watch, SANDBOX_ALWAYS, "the same"),
    CALL(inotify_rm_watch, SANDBOX_ALWAYS, "the same"),
    CALL(io_uring_setup, SANDBOX_ALWAYS, "requests to images"),
    CALL(io_uring_enter, SANDBOX_ALWAYS, "requests to images"),
    CALL(io_uring_register, SANDBOX_ALWAYS, "requests to images"),
    CALL(ioctl, SANDBOX_ALWAYS, "KVM, tap, block devices, terminals; but no typing into a terminal", 1, UINT32_MAX, TIOCSTI, true),
    CALL(wait4, SANDBOX_ALWAYS, "the child that guards the terminal"),
    CALL(waitid, SANDBOX_ALWAYS, "the child that guards the terminal"),

    CALL(socket, SANDBOX_ALWAYS, "connections within this host", 0, UINT32_MAX, AF_UNIX),
    CALL(socketpair, SANDBOX_ALWAYS, "wake-ups"),
    CALL(connect, SANDBOX_ALWAYS, "chardevs that connect again"),
    CALL(bind, SANDBOX_ALWAYS, "what the monitor opens"),
    CALL(listen, SANDBOX_ALWAYS, "what the monitor opens"),
    CALL(accept, SANDBOX_ALWAYS, "viewers, monitors"),
    CALL(accept4, SANDBOX_ALWAYS, "viewers, monitors"),
    CALL(getsockname, SANDBOX_ALWAYS, "sockets"),
    CALL(getpeername, SANDBOX_ALWAYS, "sockets"),
    CALL(getsockopt, SANDBOX_ALWAYS, "sockets"),
    CALL(setsockopt, SANDBOX_ALWAYS, "sockets"),
    CALL(sendto, SANDBOX_ALWAYS, "sockets"),
    CALL(recvfrom, SANDBOX_ALWAYS, "sockets"),
    CALL(sendmsg, SANDBOX_ALWAYS, "sockets"),
    CALL(recvmsg, SANDBOX_ALWAYS, "sockets, and descriptors that the monitor is given"),
    CALL(sendmmsg, SANDBOX_ALWAYS, "names of hosts"),
    CALL(recvmmsg, SANDBOX_ALWAYS, "sockets"),
    CALL(shutdown, SANDBOX_ALWAYS, "sockets"),
    CALL(socket, SANDBOX_NETWORK, "user networking, images on the network", 0, UINT32_MAX, AF_INET),
    CALL(socket, SANDBOX_NETWORK, "user networking, images on the network", 0, UINT32_MAX, AF_INET6),
    CALL(socket, SANDBOX_NETWORK, "names of hosts: which addresses this host has", 0, UINT32_MAX, AF_NETLINK),

    CALL(clone, SANDBOX_SPAWN, "a tap's script", 0, CLONE_THREAD, 0),
    CALL(fork, SANDBOX_SPAWN, "a tap's script"),
    CALL(vfork, SANDBOX_SPAWN, "a tap's script"),
    CALL(execve, SANDBOX_SPAWN, "a tap's script"),
    CALL(execveat, SANDBOX_SPAWN, "a tap's script"),

    CALL(setuid, SANDBOX_ELEVATE, "another user"),
    CALL(setgid, SANDBOX_ELEVATE, "another user"),
    CALL(setreuid, SANDBOX_ELEVATE, "another user"),
    CALL(setregid, SANDBOX_ELEVATE, "another user"),
    CALL(setresuid, SANDBOX_ELEVATE, "another user"),
    CALL(setresgid, SANDBOX_ELEVATE, "another user"),
    CALL(setgroups, SANDBOX_ELEVATE, "another user"),
    CALL(setfsuid, SANDBOX_ELEVATE, "another user"),
    CALL(setfsgid, SANDBOX_ELEVATE, "another user"),
    CALL(capset, SANDBOX_ELEVATE, "capabilities"),

    CALL(setpriority, SANDBOX_RESOURCE, "priorities"),
    CALL(sched_setparam, SANDBOX_RESOURCE, "priorities"),
    CALL(sched_setscheduler, SANDBOX_RESOURCE, "priorities"),
    CALL(sched_setaffinity, SANDBOX_RESOURCE, "processors"),
    CALL(ioprio_set, SANDBOX_RESOURCE, "priorities"),
    CALL(setrlimit, SANDBOX_RESOURCE, "limits"),
    CALL(mlock, SANDBOX_RESOURCE, "memory that stays"),
    CALL(mlockall, SANDBOX_RESOURCE, "memory that stays"),
    CALL(munlock, SANDBOX_RESOURCE, "memory that stays"),

    CALL(ustat, SANDBOX_OBSOLETE, "replaced by statfs"),
    CALL(sysfs, SANDBOX_OBSOLETE, "replaced by /proc/filesystems"),
    CALL(uselib, SANDBOX_OBSOLETE, "a.out libraries"),
};

/* ---- a refusal, told by whoever was refused: only what a signal handler may do */

static const char *name_of(int number)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        if (calls[i].number == number)
            return calls[i].name;
    return NULL;
}

static size_t put(char *to, size_t at, const char *text)
{
    while (*text)
        to[at++] = *text++;
    return at;
}

static size_t put_number(char *to, size_t at, unsigned n)
{
    char digits[12];
    unsigned count = 0;
    do
        digits[count++] = '0' + n % 10;
    while (n /= 10);
    while (count)
        to[at++] = digits[--count];
    return at;
}

static void refused(int signum, siginfo_t *info, void *context)
{
    char text[256];
    const char *name = name_of(info->si_syscall);
    size_t n = put(text, 0, "atoll-vm: sandbox: refused the system call ");
    n = name ? put(text, n, name) : put_number(text, put(text, n, "number "), info->si_syscall);
    n = put(text, n, "; if the machine needs it, -sandbox off (or the word of -sandbox that allows its kind) helps\n");
    if (write(STDERR_FILENO, text, n) < 0) { /* nobody can be told */ }
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -EPERM;
}

/* ---- the filter */

static FilterRule rule_of(const Call *c)
{
    return (FilterRule){ c->number, SECCOMP_RET_ALLOW, c->only.arg, c->only.mask, c->only.value == SELF ? (uint64_t)getpid() : c->only.value, c->only.not };
}

static GArray *make_filter(const bool allow[SANDBOX_GROUPS])
{
    FilterRule rules[G_N_ELEMENTS(calls) + 1];
    unsigned n = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        if (calls[i].group == SANDBOX_ALWAYS || allow[calls[i].group])
            rules[n++] = rule_of(&calls[i]);
    /* Its arguments are in memory, where a filter does not see them: the C library then takes clone. */
    rules[n++] = (FilterRule){ SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS };
    return filter_make(rules, n, SECCOMP_RET_TRAP);
}

/* On all threads.  Spectre's mitigations are left as they are: older kernels would slow down every store of the guest. */
static bool load_filter(const struct sock_fprog *program)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, program) == 0;
}

bool sandbox_filter_calls(const bool allow[SANDBOX_GROUPS], GError **err)
{
    struct sigaction action = { .sa_sigaction = refused, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    g_autoptr(GArray) filter = make_filter(allow);
    struct sock_fprog program = { .len = filter->len, .filter = (void *)filter->data };
    sigaction(SIGSYS, &action, NULL);
    return load_filter(&program) || error_set_errno(err, errno, "-sandbox: this kernel takes no filter of system calls; -sandbox off runs without");
}
