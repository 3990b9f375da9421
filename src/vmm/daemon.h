#pragma once
#include <glib.h>
#include <stdbool.h>
/*
 * daemon.h - -daemonize: the program that was called waits until the machine in the background is made, or has failed.
 */
typedef struct Daemon {
    int pipe; /* to whoever waits; -1: nobody */
} Daemon;

/* Before any thread.  True: in the background.  False: in the foreground, with the status to leave with, or an error. */
bool daemon_start(Daemon *d, int *ret_status, GError **err);
/* The machine is there: gives up the terminal and lets the waiting program go. */
void daemon_ready(Daemon *d);
