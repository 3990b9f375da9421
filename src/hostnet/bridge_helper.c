/*
 * bridge_helper.c - a tap interface in a bridge from a helper that may make one, so that this program needs no rights: QEMU's
 * qemu-bridge-helper, or one that takes the same words.  It gets --use-vnet, --fd=N and --br=NAME, and sends the tap's descriptor over N.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostnet/backend.h"

/* One byte, and a descriptor with it; -1: none came, or the helper has ended. */
static int receive(int from)
{
    char byte;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { &byte, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control) };
    ssize_t n;
    while ((n = recvmsg(from, &m, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    int fd = -1;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

static bool spawn(const char *helper, const char *bridge, int socket, GPid *ret, GError **err)
{
    enum { CHILD_FD = 3 };
    g_autofree char *br = g_strconcat("--br=", bridge, NULL), *fd = g_strdup_printf("--fd=%d", CHILD_FD);
    const char *argv[] = { helper, "--use-vnet", fd, br, NULL };
    const int source[] = { socket }, target[] = { CHILD_FD };
    return g_spawn_async_with_pipes_and_fds(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, -1, -1, -1, source, target, 1, ret, NULL, NULL, NULL, err);
}

int bridge_helper_tap(const char *helper, const char *bridge, GError **err)
{
    int pair[2], fd = -1, status = 0;
    GPid pid;
    g_autoptr(GError) cause = NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        error_set_errno(err, errno, "cannot make a socket for the bridge helper");
        return -1;
    }
    bool spawned = spawn(helper, bridge, pair[1], &pid, &cause);
    close(pair[1]);
    if (spawned) {
        fd = receive(pair[0]);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close(pair[0]);
    if (!spawned)
        error_set(err, ERR_NOT_FOUND, "cannot run the bridge helper '%s': %s; name one with helper=, or make the interface and give ifname= or fd=", helper, cause->message);
    else if (fd < 0)
        error_set(err, ERR_DENIED, "the bridge helper '%s' gave no interface in bridge '%s': what it says stands above; QEMU's looks into /etc/qemu/bridge.conf for 'allow %s', and must be setuid root",
                  helper, bridge, bridge);
    return fd;
}
