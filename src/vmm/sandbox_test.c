/* sandbox_test.c - a process that has given up its rights tries to use them, on the thread that did so and on one that was there before. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/vm.h"

typedef struct Case {
    const char *options; /* of -sandbox; NULL: nothing is said */
    char *folder, *inside, *outside;
    bool confined;       /* paths are */
} Case;

/* ---- what is tried: 0, or the error */

static int result(long r)
{
    if (r >= 0)
        return 0;
    return errno;
}

static int try_exec(const Case *c) { return result(execl("/bin/true", "true", NULL)); }
static int try_fork(const Case *c)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return result(child);
}
static int try_inet(const Case *c) { return result(socket(AF_INET, SOCK_STREAM, 0)); }
static int try_packet(const Case *c) { return result(socket(AF_PACKET, SOCK_RAW, 0)); }
static int try_unix(const Case *c) { return result(socket(AF_UNIX, SOCK_STREAM, 0)); }
static int try_writable_code(const Case *c)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}
static int try_code(const Case *c) { return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0; }
static int try_ptrace(const Case *c) { return result(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)); }
static int try_kill(const Case *c) { return result(kill(getppid(), 0)); }
static int try_setuid(const Case *c) { return result(syscall(SYS_setuid, 1)); }
static int try_nice(const Case *c) { return result(syscall(SYS_setpriority, 0, 0, 5)); }
static int try_mount(const Case *c) { return result(mount("none", c->folder, "tmpfs", 0, NULL)); }
static int try_unshare(const Case *c) { return result(unshare(CLONE_NEWUSER)); }
static int try_bpf(const Case *c) { return result(syscall(SYS_bpf, 0, NULL, 0)); }
static int try_typing(const Case *c) { return result(ioctl(STDIN_FILENO, TIOCSTI, "x")) == EPERM ? EPERM : 0; }
/* The kernel looks at the lower half alone, so must the filter. */
static int try_typing_by_upper_half(const Case *c) { return result(syscall(SYS_ioctl, STDIN_FILENO, 1ul << 32 | TIOCSTI, "x")) == EPERM ? EPERM : 0; }
static int try_privileges(const Case *c) { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? EPERM : 0; }

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return result(fd);
}
static int try_inside(const Case *c) { return try_open(c->inside, O_RDWR); }
static int try_outside(const Case *c) { return try_open(c->outside, O_RDONLY); }
static int try_new(const Case *c)
{
    g_autofree char *path = g_build_filename(c->folder, "new", NULL);
    return try_open(path, O_RDWR | O_CREAT);
}
static int try_library(const Case *c) { return try_open("/usr/bin/env", O_RDONLY); }

typedef struct Attempt {
    const char *what;
    int (*run)(const Case *c);
    int refused, confined; /* the error; and where paths are confined */
} Attempt;

static const Attempt attempts[] = {
    { "another program", try_exec, EPERM, EPERM },
    { "a child", try_fork, EPERM, EPERM },
    { "IP without need", try_inet, EPERM, EPERM },
    { "raw packets", try_packet, EPERM, EPERM },
    { "a local socket", try_unix, 0, 0 },
    { "code that can be written", try_writable_code, EPERM, EPERM },
    { "code", try_code, 0, 0 },
    { "another process's memory", try_ptrace, EPERM, EPERM },
    { "a signal to another process", try_kill, EPERM, EPERM },
    { "another user", try_setuid, EPERM, EPERM },
    { "priorities", try_nice, EPERM, EPERM },
    { "mounts", try_mount, EPERM, EPERM },
    { "name spaces", try_unshare, EPERM, EPERM },
    { "programs for the kernel", try_bpf, EPERM, EPERM },
    { "typing into the terminal", try_typing, EPERM, EPERM },
    { "the same with an upper half", try_typing_by_upper_half, EPERM, EPERM },
    { "new privileges", try_privileges, EPERM, EPERM },
    { "a file that was open", try_inside, 0, 0 },
    { "another file", try_outside, 0, EACCES },
    { "a new file", try_new, 0, EACCES },
    { "a library", try_library, 0, 0 },
};

/* ---- the process */

static unsigned try_all(const Case *c, const char *thread)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < G_N_ELEMENTS(attempts); i++) {
        int expected = c->confined ? attempts[i].confined : attempts[i].refused, got = attempts[i].run(c);
        if (got == expected)
            continue;
        wrong++;
        g_printerr("%s: %s: %s, not %s\n", thread, attempts[i].what, g_strerror(got), g_strerror(expected));
    }
    return wrong;
}

typedef struct Early {
    const Case *c;
    GMutex go; /* held until the rights are given up */
    unsigned wrong;
} Early;

static void *early_thread(void *opaque)
{
    Early *e = opaque;
    g_mutex_lock(&e->go);
    e->wrong = try_all(e->c, "a thread of before");
    g_mutex_unlock(&e->go);
    return NULL;
}

static int confined_process(const Case *c)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(VmConfig) config = config_new();
    Vm vm = { 0 };
    Early early = { .c = c };
    g_mutex_init(&early.go);
    g_mutex_lock(&early.go);
    GThread *thread = g_thread_new("early", early_thread, &early);
    if (open(c->inside, O_RDWR | O_CLOEXEC) < 0)
        return 100;
    if ((c->options && !config_sandbox(config, c->options, &err)) || !config_net(config, "none", &err) || !config_finish(config, &err) || !sandbox_enter(config, &vm, &err)) {
        g_printerr("%s\n", err->message);
        return 101;
    }
    g_mutex_unlock(&early.go);
    g_thread_join(thread);
    return try_all(c, "the main thread") + early.wrong;
}

static void run_case(Case *c)
{
    g_autofree char *other = g_dir_make_tmp("sandbox-XXXXXX", NULL);
    c->folder = g_dir_make_tmp("sandbox-XXXXXX", NULL);
    c->inside = g_build_filename(c->folder, "inside", NULL);
    c->outside = g_build_filename(other, "outside", NULL);
    g_assert_true(g_file_set_contents(c->inside, "x", 1, NULL) && g_file_set_contents(c->outside, "x", 1, NULL));
    pid_t child = fork();
    if (child == 0)
        _exit(confined_process(c));
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    g_autofree char *made = g_build_filename(c->folder, "new", NULL);
    g_unlink(made);
    g_unlink(c->inside);
    g_unlink(c->outside);
    g_rmdir(c->folder);
    g_rmdir(other);
    g_free(c->folder);
    g_free(c->inside);
    g_free(c->outside);
}

static bool has_landlock(void) { return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1; }

static void test_unsaid(void) { run_case(&(Case){ .confined = has_landlock() }); }
static void test_libvirt(void) { run_case(&(Case){ .options = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny" }); }
static void test_paths(void) { run_case(&(Case){ .options = "on,paths=/usr/share", .confined = has_landlock() }); }

/* ---- which descriptors are an option's */

static void test_names_fd(void)
{
    static const struct { const char *arg; int fd; bool named; } rows[] = {
        { "set=2,fd=17", 17, true }, { "set=17,fd=5", 17, false }, { "tap,fds=5:17:9,id=n", 17, true }, { "tap,fd=171", 17, false },
        { "{\"type\":\"tap\",\"fd\":\"17\"}", 17, true }, { "socket,id=a,fd=17,server=on", 17, true }, { "file=/dev/fd/17,format=raw", 17, true },
        { "/proc/self/fd/17", 17, true }, { "-m", 17, false }, { "17", 17, false }, { "fd", 17, false },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpint(sandbox_arg_names_fd(rows[i].arg, rows[i].fd), ==, rows[i].named);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sandbox/unsaid", test_unsaid);
    g_test_add_func("/sandbox/libvirt", test_libvirt);
    g_test_add_func("/sandbox/paths", test_paths);
    g_test_add_func("/sandbox/names-fd", test_names_fd);
    return g_test_run();
}
