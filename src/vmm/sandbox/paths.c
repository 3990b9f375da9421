/*
 * paths.c - landlock: the files that a machine may still open by name (Documentation/userspace-api/landlock.rst).
 *
 * Descriptors that are open stay usable.  What may be opened: the files that are open now (images and what they stand
 * on, to be opened anew with other rights), folders of firmware and libraries to read, the few files of /etc by which names are
 * found, terminals; the folders of sockets and of the -pidfile for their removal; and what paths= names.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "vmm/config_net.h"
#include "vmm/monitor/monitor.h"

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ull << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14)
#endif

#define ALL_OF_FIRST (LANDLOCK_ACCESS_FS_REFER - 1) /* version 1: every bit below */
#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FILE_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define WRITE (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define CHANGE (WRITE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REFER)

typedef struct Rule {
    const char *path;
    uint64_t rights;
} Rule;

static const Rule usual[] = {
    { "/usr", READ }, /* libraries that are loaded late, ROMs of cards, time zones */
    { "/lib", READ },
    { "/lib64", READ },
    { "/etc/ld.so.cache", READ },
    { "/etc/localtime", READ },
    { "/etc/resolv.conf", READ }, /* names of hosts, for user networking and images on the network */
    { "/run/systemd/resolve", READ },
    { "/etc/hosts", READ },
    { "/etc/host.conf", READ },
    { "/etc/nsswitch.conf", READ },
    { "/etc/gai.conf", READ },
    { "/etc/services", READ },
    { "/etc/passwd", READ }, /* names of users in messages */
    { "/etc/group", READ },
    { "/etc/ssl/certs", READ },
    { "/etc/gnutls", READ },
    { "/proc/self", READ },
    { "/proc/meminfo", READ },
    { "/proc/cpuinfo", READ },
    { "/proc/stat", READ },
    { "/sys/devices", READ }, /* limits of block devices, processors */
    { "/sys/dev", READ },
    { "/sys/block", READ },
    { "/sys/class/block", READ },
    { "/dev/null", WRITE },
    { "/dev/zero", READ },
    { "/dev/random", READ },
    { "/dev/urandom", READ },
    { "/dev/tty", WRITE },
    { "/dev/ptmx", WRITE }, /* -chardev pty of the monitor */
    { "/dev/pts", WRITE },
};

typedef struct Ruleset {
    int fd;
    uint64_t handled;
} Ruleset;

static bool allow_fd(const Ruleset *s, int fd, uint64_t rights)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = rights & s->handled & (S_ISDIR(st.st_mode) ? UINT64_MAX : FILE_RIGHTS) };
    return !rule.allowed_access || syscall(SYS_landlock_add_rule, s->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

static bool allow(const Ruleset *s, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    bool ok = fd >= 0 && allow_fd(s, fd, rights);
    int errnum = errno;
    if (fd >= 0)
        close(fd);
    errno = errnum;
    return ok;
}

static void allow_folder_of(const Ruleset *s, const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    allow(s, folder, LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

/* A socket that listens is removed at the end. */
static void allow_socket(const Ruleset *s, int fd)
{
    struct sockaddr_un at = { 0 };
    socklen_t n = sizeof(at) - 1;
    if (getsockname(fd, (struct sockaddr *)&at, &n) == 0 && at.sun_family == AF_UNIX && at.sun_path[0] == '/')
        allow_folder_of(s, at.sun_path);
}

/* Of all but kernels, images may be opened once more, to be written. */
static void allow_open_files(const Ruleset *s, const Vm *vm)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        int fd = atoi(name);
        struct stat st;
        if (kernel_reads(vm->kernel, fd) || fstat(fd, &st) < 0)
            continue;
        if (S_ISSOCK(st.st_mode))
            allow_socket(s, fd);
        else if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode))
            allow_fd(s, fd, WRITE); /* what has no name, as a memfd, needs no rule and takes none */
    }
}

/* Folders that a network serves: tftp=FOLDER. */
static void allow_served(const Ruleset *s, const VmConfig *c)
{
    for (unsigned i = 0; i < c->net->netdevs->len; i++) {
        g_auto(GStrv) words = g_strsplit_set(c->net->netdevs->pdata[i], ",\"", -1);
        for (char **w = words; *w; w++) {
            const char *value = strchr(*w, '=') ? strchr(*w, '=') + 1 : *w;
            if (g_str_has_prefix(*w, "tftp=") || value[0] == '/')
                allow(s, value, READ);
        }
    }
}

static bool allow_named(const Ruleset *s, const VmConfig *c, GError **err)
{
    for (unsigned i = 0; c->sandbox.paths && i < c->sandbox.paths->len; i++)
        if (!allow(s, c->sandbox.paths->pdata[i], CHANGE))
            return error_set_errno(err, errno, "-sandbox paths=: '%s' cannot be allowed", (char *)c->sandbox.paths->pdata[i]);
    for (unsigned i = 0; c->firmware_dirs && i + 1 < c->firmware_dirs->len; i++)
        allow(s, c->firmware_dirs->pdata[i], READ);
    allow_served(s, c);
    if (c->pidfile)
        allow_folder_of(s, c->pidfile);
    return true;
}

int sandbox_ruleset(const VmConfig *c, const Vm *vm, GError **err)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return -1;
    struct landlock_ruleset_attr attr = { .handled_access_fs = ALL_OF_FIRST | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
                                                               (version >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0) };
    Ruleset s = { syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), attr.handled_access_fs };
    if (s.fd < 0) {
        error_set_errno(err, errno, "-sandbox: landlock");
        return -1;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(usual); i++)
        allow(&s, usual[i].path, usual[i].rights);
    allow_open_files(&s, vm);
    if (allow_named(&s, c, err))
        return s.fd;
    close(s.fd);
    return -1;
}

bool sandbox_restrict_thread(int ruleset) { return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0; }

/* Without a word about it paths are free where a monitor for programs may name any: that is what those expect. */
bool sandbox_confines_paths(const VmConfig *c)
{
    bool programs = false;
    for (unsigned i = 0; i < c->monitors->len; i++)
        programs |= g_array_index(c->monitors, MonitorConfig, i).mode != MONITOR_TEXT;
    return !c->sandbox.off && (c->sandbox.paths || (!c->sandbox.said && !programs));
}

const char *sandbox_hint(const VmConfig *c)
{
    return sandbox_confines_paths(c) ? "the sandbox allows the paths that the options name: allow its folder, too, by -sandbox on,paths=FOLDER, or hand the "
                                       "file over by add-fd"
                                     : NULL;
}
