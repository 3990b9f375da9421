/* sandbox.c - the order in which rights are given up, and threads that each give up their own. */
#include "vmm/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/late_link.h"
#include "vmm/config_net.h"
#include "vmm/vm.h"

/* ---- descriptors */

GArray *sandbox_inherited(void)
{
    GArray *fds = g_array_new(FALSE, FALSE, sizeof(int));
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        int fd = atoi(name);
        if (fd > STDERR_FILENO)
            g_array_append_val(fds, fd);
    }
    g_clear_pointer(&dir, g_dir_close);
    for (unsigned i = fds->len; i-- > 0;) /* the folder's own */
        if (fcntl(g_array_index(fds, int, i), F_GETFD) < 0)
            g_array_remove_index(fds, i);
    return fds;
}

/* "fd=7", "fds=7:8", "vhostfd=7", {"fd": "7"}, "/dev/fd/7", "/proc/self/fd/7". */
bool sandbox_arg_names_fd(const char *arg, int fd)
{
    for (const char *at = arg; (at = strstr(at, "fd"));) {
        at += 2;
        at += *at == 's';
        at += strspn(at, "\"'=:/ [");
        while (g_ascii_isdigit(*at)) {
            char *end;
            if (g_ascii_strtoull(at, &end, 10) == (guint64)fd)
                return true;
            at = *end == ':' || *end == ',' ? end + 1 : end;
        }
    }
    return false;
}

void sandbox_close_inherited(const GArray *fds, int argc, char **argv)
{
    for (unsigned i = 0; i < fds->len; i++) {
        int fd = g_array_index(fds, int, i);
        bool named = false;
        for (int n = 1; n < argc; n++)
            named |= sandbox_arg_names_fd(argv[n], fd);
        if (!named)
            close(fd);
    }
}

/* ---- what this machine needs */

/* A tap's script at the end. */
static bool runs_scripts(const VmConfig *c)
{
    for (unsigned i = 0; i < c->net->netdevs->len; i++) {
        const char *spec = c->net->netdevs->pdata[i], *script = strstr(spec, "downscript=");
        if (script && !g_str_has_prefix(script, "downscript=no"))
            return true;
    }
    return false;
}

static bool has_remote_image(const VmConfig *c)
{
    for (unsigned i = 0; i < c->drives->len; i++) {
        const DriveConfig *d = &g_array_index(c->drives, DriveConfig, i);
        const char *texts[] = { d->file, d->tree, d->options };
        for (unsigned k = 0; k < G_N_ELEMENTS(texts); k++)
            if (texts[k] && (strstr(texts[k], ":") || strstr(texts[k], "nbd") || strstr(texts[k], "http")))
                return true;
    }
    return false;
}

static bool needs_network(const VmConfig *c) { return c->monitors->len || c->net->netdevs->len || c->chardevs->len || has_remote_image(c); }

/* ---- a thread's own part */

/* With which the C library itself reaches every thread (setuid()): the one that sigfillset() and so our threads never block. */
enum { ASK = 33 };

typedef struct Confine {
    int ruleset; /* -1: none */
    bool keep_net_admin;
    GArray *done; /* pid_t */
    sem_t *answered;
    int errnum;
} Confine;

static int drop_capabilities(bool keep_net_admin)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { 0 };
    if (keep_net_admin && geteuid() == 0)
        data[0].effective = data[0].permitted = data[0].inheritable = 1u << CAP_NET_ADMIN;
    return syscall(SYS_capset, &header, data) < 0 ? errno : 0;
}

/* Also within a signal handler. */
static void confine_this_thread(Confine *c)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        c->errnum = errno;
    if (c->ruleset >= 0 && !sandbox_restrict_thread(c->ruleset))
        c->errnum = errno;
    int errnum = drop_capabilities(c->keep_net_admin);
    if (errnum)
        c->errnum = errnum;
}

static void confine_vcpu(Vcpu *v, void *opaque)
{
    Confine *c = opaque;
    pid_t tid = syscall(SYS_gettid);
    confine_this_thread(c);
    g_array_append_val(c->done, tid);
}

static void on_ask(int signum, siginfo_t *info, void *context)
{
    Confine *c = info->si_value.sival_ptr;
    int errnum = errno;
    if (info->si_pid == getpid() && c) {
        confine_this_thread(c);
        sem_post(c->answered);
    }
    errno = errnum;
}

static bool is_done(const Confine *c, pid_t tid)
{
    for (unsigned i = 0; i < c->done->len; i++)
        if (g_array_index(c->done, pid_t, i) == tid)
            return true;
    return false;
}

/* io_uring's workers run no code of ours and take no signals. */
static bool is_kernels(pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/comm", tid), *name = NULL;
    return !g_file_get_contents(path, &name, NULL, NULL) || g_str_has_prefix(name, "iou-");
}

static bool ask_thread(Confine *c, pid_t tid, GError **err)
{
    siginfo_t info = { .si_signo = ASK, .si_code = SI_QUEUE };
    struct timespec until;
    info.si_pid = getpid();
    info.si_value.sival_ptr = c;
    g_array_append_val(c->done, tid);
    if (is_kernels(tid) || syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, ASK, &info) < 0) /* it may have ended meanwhile */
        return true;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    while (sem_timedwait(c->answered, &until) < 0)
        if (errno != EINTR)
            return error_set(err, ERR_INTERNAL, "-sandbox: thread %d does not give up its rights", tid);
    return true;
}

/* Until there is none that was not asked: threads make threads. */
static bool ask_threads(Confine *c, GError **err)
{
    for (bool again = true; again;) {
        again = false;
        g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
        for (const char *name; dir && (name = g_dir_read_name(dir));) {
            pid_t tid = atoi(name);
            if (is_done(c, tid))
                continue;
            again = true;
            if (!ask_thread(c, tid, err))
                return false;
        }
    }
    return true;
}

/* As the kernel has it. */
typedef struct KernelAction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
} KernelAction;

static long kernel_action(int signum, const KernelAction *set, KernelAction *ret) { return syscall(SYS_rt_sigaction, signum, set, ret, sizeof(uint64_t)); }

/* The C library keeps ASK to itself, but has the right way back from a handler: taken from that of another signal. */
static void take_ask(KernelAction *ret_before)
{
    struct sigaction ask = { .sa_sigaction = on_ask, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK }, before;
    KernelAction raw;
    sigaction(SIGRTMAX, &ask, &before);
    kernel_action(SIGRTMAX, NULL, &raw);
    sigaction(SIGRTMAX, &before, NULL);
    kernel_action(ASK, &raw, ret_before);
}

static bool confine_threads(Confine *c, Vm *vm, GError **err)
{
    KernelAction before;
    sem_t answered;
    sem_init(&answered, 0, 0);
    c->answered = &answered;
    c->done = g_array_new(FALSE, FALSE, sizeof(pid_t));
    take_ask(&before);
    for (unsigned i = 0; vm->machine && i < vm->machine->vcpus->len; i++)
        vcpu_run_on(vm->machine->vcpus->pdata[i], confine_vcpu, c);
    bool ok = ask_threads(c, err);
    kernel_action(ASK, &before, NULL);
    g_array_unref(c->done);
    sem_destroy(&answered);
    return ok && (!c->errnum || error_set_errno(err, c->errnum, "-sandbox: a thread keeps rights"));
}

/* ---- another root, another user */

static bool change_root(const char *path, GError **err)
{
    if (path) /* there are no libraries behind it */
        late_link_all();
    return !path || (chroot(path) == 0 && chdir("/") == 0) || error_set_errno(err, errno, "-run-with chroot=%s", path);
}

/* A name, or UID:GID. */
static bool change_user(const char *text, GError **err)
{
    char *end;
    guint64 uid = g_ascii_strtoull(text, &end, 10), gid = *end == ':' ? g_ascii_strtoull(end + 1, &end, 10) : 0;
    struct passwd *entry = *end || end == text ? getpwnam(text) : NULL;
    if (!entry && (*end || end == text || !strchr(text, ':')))
        return error_set(err, ERR_NOT_FOUND, "-run-with user=%s: this host has no such user; give a name, or UID:GID", text);
    bool grouped = entry ? initgroups(entry->pw_name, entry->pw_gid) == 0 && setgid(entry->pw_gid) == 0 : setgroups(1, (gid_t[]){ gid }) == 0 && setgid(gid) == 0;
    if (!grouped || setuid(entry ? entry->pw_uid : uid) < 0)
        return error_set_errno(err, errno, "-run-with user=%s", text);
    return setuid(0) != 0 || (entry ? entry->pw_uid : uid) == 0 || error_set(err, ERR_INTERNAL, "-run-with user=%s: root can be had back", text);
}

/* ---- the whole */

bool sandbox_enter(const VmConfig *c, Vm *vm, GError **err)
{
    const SandboxConfig *s = &c->sandbox;
    bool allow[SANDBOX_GROUPS], scripts = runs_scripts(c);
    int ruleset = -1;
    g_autoptr(GError) why = NULL;
    memcpy(allow, s->allow, sizeof(allow));
    allow[SANDBOX_NETWORK] = needs_network(c);
    allow[SANDBOX_SPAWN] |= scripts;
    if (sandbox_confines_paths(c) && !allow[SANDBOX_SPAWN] && !s->chroot) /* a program has paths of its own */
        ruleset = sandbox_ruleset(c, vm, &why);
    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    bool ok = change_root(s->chroot, err) && (!s->user || change_user(s->user, err));
    Confine confine = { .ruleset = ruleset, .keep_net_admin = allow[SANDBOX_SPAWN] };
    ok = ok && (s->off || (confine_threads(&confine, vm, err) && sandbox_filter_calls(allow, err)));
    if (ruleset >= 0)
        close(ruleset);
    return ok;
}
