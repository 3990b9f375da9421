/*
 * pty.c - a pseudo terminal that the user's terminal program connects to.
 *
 * We hold the slave open ourselves: the master then never reports a hang-up while nobody is connected, and what the
 * guest printed before somebody came is still there, up to what the kernel and our queue hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct PtyChardev {
    Chardev chardev;
    FdPort port;
    int slave;
    char *link; /* path=: a name of the user's for the terminal */
} PtyChardev;

static int open_master(int *ret_slave, char *ret_name, size_t size)
{
    struct termios raw;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0)
        return -1;
    if (grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, ret_name, size) != 0 ||
        (*ret_slave = open(ret_name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 || tcgetattr(*ret_slave, &raw) < 0) {
        close(master);
        return -1;
    }
    cfmakeraw(&raw);
    tcsetattr(*ret_slave, TCSANOW, &raw);
    return master;
}

static bool pty_open(Chardev *c, KeyVals *kv, GError **err)
{
    PtyChardev *p = (PtyChardev *)c;
    char name[64];
    p->slave = -1;
    const char *link = keyvals_take(kv, "path");
    if (!keyvals_end(kv, err))
        return false;
    int master = open_master(&p->slave, name, sizeof(name));
    if (master < 0)
        return error_set_errno(err, errno, "cannot make a pseudo terminal for chardev '%s'", c->id);
    fd_port_open(&p->port, c, master, master, NULL);
    if (link && symlink(name, link) < 0)
        return error_set_errno(err, errno, "cannot make the link '%s' to terminal %s", link, name);
    p->link = g_strdup(link);
    c->description = g_strdup_printf("pty:%s", name);
    c->connected = true;
    return true;
}

static void pty_close(Chardev *c)
{
    PtyChardev *p = (PtyChardev *)c;
    fd_port_close(&p->port, 0);
    if (p->slave >= 0)
        close(p->slave);
    if (p->link)
        unlink(p->link);
    g_free(p->link);
}

static void pty_write(Chardev *c, const uint8_t *data, size_t n) { fd_port_write(&((PtyChardev *)c)->port, data, n); }
static void pty_resume(Chardev *c) { fd_port_resume(&((PtyChardev *)c)->port); }

const ChardevBackend chardev_pty = {
    .name = "pty",
    .doc = "path=LINK; the terminal's name is printed",
    .size = sizeof(PtyChardev),
    .open = pty_open,
    .close = pty_close,
    .write = pty_write,
    .resume = pty_resume,
};
