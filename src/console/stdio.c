/*
 * stdio.c - this terminal.
 *
 * The terminal is made raw and comes back on every way out: by close, and, should the process be killed, by a child that
 * waits for the end of a pipe whose other end only we hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "console/backend.h"

typedef struct StdioChardev {
    Chardev chardev;
    FdPort port;
    struct termios saved;
    bool raw;
    pid_t guard;  /* 0: none */
    int guard_fd; /* its pipe: closing it without a word makes it restore the terminal */
} StdioChardev;

/* Only async-signal-safe calls: the parent may have threads. */
static void G_NORETURN guard_terminal(int fd, const struct termios *saved)
{
    char word;
    sigset_t all;
    sigfillset(&all); /* SIGTTOU too: we may be in the background by then */
    sigprocmask(SIG_BLOCK, &all, NULL);
    setpgid(0, 0);
    ssize_t n;
    do
        n = read(fd, &word, 1);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        tcsetattr(STDIN_FILENO, TCSANOW, saved);
    _exit(0);
}

/* A guest's life must not hang on this child, so a failed fork is no error. */
static void start_guard(StdioChardev *s)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[1]);
        guard_terminal(fds[0], &s->saved);
    }
    close(fds[0]);
    if (pid < 0) {
        close(fds[1]);
        return;
    }
    s->guard = pid;
    s->guard_fd = fds[1];
}

static void stop_guard(StdioChardev *s)
{
    if (!s->guard)
        return;
    if (write(s->guard_fd, "q", 1) != 1)
        kill(s->guard, SIGKILL);
    close(s->guard_fd);
    waitpid(s->guard, NULL, 0);
    s->guard = 0;
}

static void make_raw(StdioChardev *s, bool signals)
{
    if (tcgetattr(STDIN_FILENO, &s->saved) < 0)
        return;
    start_guard(s);
    struct termios raw = s->saved;
    raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag |= OPOST; /* guests that print \n alone stay readable */
    raw.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
    raw.c_cflag = (raw.c_cflag & ~(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    s->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

/* A non-blocking descriptor of our own.  O_NONBLOCK belongs to the open file, which the shell shares: where it can be, the
 * file is opened anew. */
static int private_descriptor(int fd, int access)
{
    struct stat st;
    if (isatty(fd) || (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))) {
        char path[32];
        g_snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int own = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (own >= 0)
            return own;
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static bool stdio_open(Chardev *c, KeyVals *kv, GError **err)
{
    StdioChardev *s = (StdioChardev *)c;
    bool signals = true;
    s->guard_fd = -1;
    if (!keyvals_take_bool(kv, "signal", &signals, err) || !keyvals_end(kv, err))
        return false;
    make_raw(s, signals);
    fd_port_open(&s->port, c, private_descriptor(STDIN_FILENO, O_RDONLY), private_descriptor(STDOUT_FILENO, O_WRONLY), NULL);
    c->description = g_strdup("stdio");
    c->connected = true;
    return true;
}

static void stdio_close(Chardev *c)
{
    StdioChardev *s = (StdioChardev *)c;
    fd_port_close(&s->port, 1000);
    if (s->raw) {
        sigset_t ttou, before;
        sigemptyset(&ttou);
        sigaddset(&ttou, SIGTTOU);
        pthread_sigmask(SIG_BLOCK, &ttou, &before);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &s->saved);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    stop_guard(s);
}

static void stdio_write(Chardev *c, const uint8_t *data, size_t n) { fd_port_write(&((StdioChardev *)c)->port, data, n); }
static void stdio_resume(Chardev *c) { fd_port_resume(&((StdioChardev *)c)->port); }

const ChardevBackend chardev_stdio = {
    .name = "stdio",
    .doc = "this terminal; signal=on|off: whether Ctrl-C ends the machine or reaches the guest",
    .size = sizeof(StdioChardev),
    .open = stdio_open,
    .close = stdio_close,
    .write = stdio_write,
    .resume = stdio_resume,
};
