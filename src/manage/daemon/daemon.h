#pragma once
#include <gio/gio.h>
#include <stdbool.h>
/*
 * daemon.h - the manager: a host's machines, networks and storage behind libvirt's protocol.
 *
 * All state belongs to the thread of the main context that the daemon was made on; what takes time runs in lanes
 * (lane.h) and comes back to it.  So a read is answered at once, whatever else goes on.
 */
typedef struct Daemon Daemon;

typedef struct DaemonOptions {
    const char *config_dir;  /* definitions */
    const char *state_dir;   /* images' default pool, firmware's variables */
    const char *runtime_dir; /* sockets, records of running machines */
    const char *log_dir;
    const char *emulator;    /* NULL: atoll-vm beside this program or in PATH */
    const char *machine_user; /* NULL: machines run as the daemon */
    bool session;            /* of one user, not of the host */
} DaemonOptions;

Daemon *daemon_new(const DaemonOptions *o, GError **err); /* reads what is kept on disk */
void daemon_free(Daemon *d);                              /* machines live on */
bool daemon_listen(Daemon *d, const char *path, unsigned mode, bool readonly, GError **err);
/* TCP with certificates: rpc_server_listen_tls().  `allowed`: patterns of clients' names, or NULL. */
bool daemon_listen_tls(Daemon *d, const char *where, const char *pki, const char *const *allowed, GError **err);
bool daemon_listen_fd(Daemon *d, int fd, bool readonly, GError **err);
/* Starts what is marked autostart and does not run. */
void daemon_autostart(Daemon *d);
/* Nobody is connected and nothing runs: a per-user daemon may end. */
bool daemon_is_idle(const Daemon *d);
/* A table of procedures for docs: answered or not.  Caller frees. */
char *daemon_coverage(void);
