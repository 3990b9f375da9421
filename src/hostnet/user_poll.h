#pragma once
#include "base/error.h"
/*
 * user_poll.h - the sockets of libslirp in the kernel's own list (epoll(7)), so that only what changes is told to it, and who looks
 * asks once for all of them.
 *
 *     user_poll_begin(p); ... user_poll_want(p, fd, SLIRP_POLL_IN) ... user_poll_end(p);
 *     if (user_poll_collect(p)) ... user_poll_events(p, fd) ...
 *
 * The list stands in another one, whose descriptor the thread sleeps on: muted, what comes does not wake it before the time is
 * over.
 */
typedef struct UserPoll UserPoll;

UserPoll *user_poll_new(GError **err);
void user_poll_free(UserPoll *p);
int user_poll_fd(const UserPoll *p); /* readable when something has come and it is not muted, or that is over */
void user_poll_begin(UserPoll *p);
int user_poll_want(UserPoll *p, int fd, int events); /* SLIRP_POLL_*; returns what user_poll_events() takes */
void user_poll_end(UserPoll *p); /* what was not wanted again is no longer */
void user_poll_forget(UserPoll *p, int fd); /* it was closed, or opened */
bool user_poll_collect(UserPoll *p); /* takes note of what has come; false: nothing */
void user_poll_wake(UserPoll *p);    /* on the thread, when it has slept */
int user_poll_events(const UserPoll *p, int i);
/* Any thread. */
bool user_poll_ready(const UserPoll *p); /* something has come */
void user_poll_mute(UserPoll *p, unsigned us); /* 0: no longer */
