/* user_poll.c - see user_poll.h. */
#include "hostnet/user_poll.h"

#include <errno.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { EVENTS = 64 };

typedef struct Entry {
    bool active;
    uint32_t told; /* to the kernel; 0: nothing */
    uint32_t wanted, come;
} Entry;

struct UserPoll {
    int list, outer, timer;
    GArray *entry;  /* Entry, by descriptor */
    GArray *active; /* int: those that the kernel was told of, or are wanted */
};

static const struct {
    int slirp;
    uint32_t epoll;
} names[] = {
    { SLIRP_POLL_IN, EPOLLIN }, { SLIRP_POLL_OUT, EPOLLOUT }, { SLIRP_POLL_PRI, EPOLLPRI }, { SLIRP_POLL_ERR, EPOLLERR }, { SLIRP_POLL_HUP, EPOLLHUP },
};

static Entry *entry_of(UserPoll *p, int fd)
{
    if ((unsigned)fd >= p->entry->len)
        g_array_set_size(p->entry, fd + 1);
    return &g_array_index(p->entry, Entry, fd);
}

static void tell(UserPoll *p, int fd, Entry *e)
{
    struct epoll_event event = { .events = e->wanted, .data.fd = fd };
    int op = !e->wanted ? EPOLL_CTL_DEL : e->told ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(p->list, op, fd, &event) && op != EPOLL_CTL_DEL)
        epoll_ctl(p->list, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    e->told = e->wanted;
}

void user_poll_begin(UserPoll *p)
{
    for (unsigned i = 0; i < p->active->len; i++)
        entry_of(p, g_array_index(p->active, int, i))->wanted = 0;
}

int user_poll_want(UserPoll *p, int fd, int events)
{
    Entry *e = entry_of(p, fd);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        e->wanted |= events & names[i].slirp ? names[i].epoll : 0;
    if (!e->active)
        g_array_append_val(p->active, fd);
    e->active = true;
    return fd;
}

void user_poll_end(UserPoll *p)
{
    for (unsigned i = 0; i < p->active->len;) {
        int fd = g_array_index(p->active, int, i);
        Entry *e = entry_of(p, fd);
        if (e->wanted != e->told)
            tell(p, fd, e);
        e->come = 0;
        if (e->wanted) {
            i++;
            continue;
        }
        e->active = false;
        g_array_remove_index_fast(p->active, i);
    }
}

void user_poll_forget(UserPoll *p, int fd)
{
    if (fd >= 0 && (unsigned)fd < p->entry->len)
        entry_of(p, fd)->told = entry_of(p, fd)->come = 0;
}

bool user_poll_collect(UserPoll *p)
{
    struct epoll_event event[EVENTS];
    int n = epoll_wait(p->list, event, EVENTS, 0);
    for (int i = 0; i < n; i++)
        entry_of(p, event[i].data.fd)->come = event[i].events;
    return n > 0;
}

int user_poll_events(const UserPoll *p, int i)
{
    int events = 0;
    for (unsigned n = 0; n < G_N_ELEMENTS(names) && i >= 0 && (unsigned)i < p->entry->len; n++)
        events |= g_array_index(p->entry, Entry, i).come & names[n].epoll ? names[n].slirp : 0;
    return events;
}

bool user_poll_ready(const UserPoll *p)
{
    struct pollfd at = { .fd = p->list, .events = POLLIN };
    return poll(&at, 1, 0) > 0;
}

/* An entry without events is one that wakes nobody. */
static bool hang(UserPoll *p, int op, int fd, uint32_t events)
{
    return !epoll_ctl(p->outer, op, fd, &(struct epoll_event){ .events = events });
}

void user_poll_mute(UserPoll *p, unsigned us)
{
    struct itimerspec end = { .it_value = { .tv_nsec = us * 1000l } };
    if (us)
        timerfd_settime(p->timer, 0, &end, NULL);
    hang(p, EPOLL_CTL_MOD, p->list, us ? 0 : EPOLLIN);
}

void user_poll_wake(UserPoll *p)
{
    uint64_t times;
    if (read(p->timer, &times, sizeof(times)) == sizeof(times))
        user_poll_mute(p, 0);
}

int user_poll_fd(const UserPoll *p) { return p->outer; }

UserPoll *user_poll_new(GError **err)
{
    UserPoll *p = g_new(UserPoll, 1);
    *p = (UserPoll){ .entry = g_array_new(FALSE, TRUE, sizeof(Entry)), .active = g_array_new(FALSE, FALSE, sizeof(int)) };
    p->list = epoll_create1(EPOLL_CLOEXEC);
    p->outer = epoll_create1(EPOLL_CLOEXEC);
    p->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (p->list >= 0 && p->outer >= 0 && p->timer >= 0 && hang(p, EPOLL_CTL_ADD, p->list, EPOLLIN) && hang(p, EPOLL_CTL_ADD, p->timer, EPOLLIN))
        return p;
    error_set_errno(err, errno, "cannot watch the sockets of a network");
    user_poll_free(p);
    return NULL;
}

void user_poll_free(UserPoll *p)
{
    for (unsigned i = 0; i < 3; i++)
        if ((const int[]){ p->list, p->outer, p->timer }[i] >= 0)
            close((const int[]){ p->list, p->outer, p->timer }[i]);
    g_array_unref(p->entry);
    g_array_unref(p->active);
    g_free(p);
}
