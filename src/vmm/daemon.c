/* daemon.c - into the background. */
#include "vmm/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

/* The child says a byte when it is ready; its end before that is its failure, and it has said why. */
static int wait_for(pid_t child, int fd)
{
    char byte;
    ssize_t n;
    int status = 0;
    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        return 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

bool daemon_start(Daemon *d, int *ret_status, GError **err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set_errno(err, errno, "-daemonize: no pipe");
    pid_t child = fork();
    if (child < 0)
        return error_set_errno(err, errno, "-daemonize: cannot fork");
    if (child > 0) {
        close(fds[1]);
        *ret_status = wait_for(child, fds[0]);
        return false;
    }
    close(fds[0]);
    d->pipe = fds[1];
    setsid();
    umask(027);
    return true;
}

void daemon_ready(Daemon *d)
{
    if (d->pipe < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (chdir("/") < 0 || write(d->pipe, "", 1) != 1)
        g_printerr("atoll-vm: nobody waits for the machine in the background\n");
    close(d->pipe);
    d->pipe = -1;
}
