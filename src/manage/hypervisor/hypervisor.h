#pragma once
#include <glib.h>
#include <stdbool.h>

#include "schema/domain.h"
/*
 * hypervisor.h - what runs machines, behind one interface.  A driver never parses or prints XML; it gets definitions as
 * structs and gives facts back.
 *
 * Verbs may block and run on a worker thread, one at a time for a machine.  plan() is pure: the same
 * definition and host give the same plan, so golden tests need no hypervisor.
 */
typedef struct HvDomain HvDomain; /* a running machine, as its driver knows it */
typedef struct HvDriver HvDriver;

/* What drivers need to know of the host. */
typedef struct HvHost {
    const char *emulator;    /* atoll-vm, where a definition names none */
    const char *runtime_dir; /* sockets and records of running machines */
    const char *state_dir;   /* what lives longer: variables of firmware */
    const char *log_dir;
    bool kvm;                /* /dev/kvm can be used */
    unsigned cpus;
    uint64_t memory;         /* bytes */
} HvHost;

/* What would be run: a program, its arguments, and files that are opened for it. */
typedef struct LaunchFile {
    char *path;
    bool write;
    char *fdset; /* number of the fdset that it becomes, as text */
} LaunchFile;

typedef struct LaunchPlan {
    GPtrArray *argv;  /* texts */
    GPtrArray *files; /* LaunchFile */
} LaunchPlan;
LaunchPlan *launch_plan_new(void);
void launch_plan_free(LaunchPlan *p);
void launch_plan_add(LaunchPlan *p, ...) G_GNUC_NULL_TERMINATED;

/* libvirt's virDomainState; what a client sees. */
typedef enum DomainState { DOMAIN_NOSTATE, DOMAIN_RUNNING, DOMAIN_BLOCKED, DOMAIN_PAUSED, DOMAIN_SHUTTING_DOWN, DOMAIN_SHUTOFF, DOMAIN_CRASHED, DOMAIN_PMSUSPENDED } DomainState;

/* What a machine tells by itself; called on any thread. */
typedef enum HvEventKind {
    HV_STOPPED,    /* it is gone; detail: HvStop */
    HV_PAUSED, HV_RESUMED,
    HV_SHUTDOWN,   /* the guest is shutting down */
    HV_REBOOT,
    HV_DEVICE_REMOVED, /* name: alias */
    HV_TRAY,       /* name: alias; detail: 1 open */
    HV_BALLOON,    /* value: bytes */
    HV_IO_ERROR,   /* name: alias */
    HV_BLOCK_JOB,  /* name: target; detail: virConnectDomainEventBlockJobStatus */
    HV_AGENT,      /* detail: 1 connected */
    HV_RTC,        /* value: seconds */
} HvEventKind;
typedef enum HvStop { HV_STOP_SHUTDOWN, HV_STOP_DESTROYED, HV_STOP_CRASHED, HV_STOP_MIGRATED, HV_STOP_SAVED, HV_STOP_FAILED } HvStop;

typedef struct HvEvent {
    HvEventKind kind;
    int detail;
    int64_t value;
    const char *name;
} HvEvent;
typedef void HvNotify(const HvEvent *event, void *opaque);

typedef enum HvStopMode { HV_ASK, HV_NOW, HV_RESET } HvStopMode;

/* Figures of a running machine; RECORD_NONE: not known. */
typedef struct HvStats {
    uint64_t cpu_ns, memory_actual, memory_rss;
} HvStats;

struct HvDriver {
    const char *name, *summary; /* atoll, qemu, test */
    void (*prepare)(Domain *d); /* gives devices their aliases; before plan() */
    bool (*plan)(const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err);
    /* `d` gets what only a running machine has: ports, terminals, aliases.  The machine is paused until resume(). */
    HvDomain *(*start)(const HvHost *h, Domain *d, const LaunchPlan *p, HvNotify *notify, void *opaque, GError **err);
    HvDomain *(*reattach)(const HvHost *h, Domain *d, HvNotify *notify, void *opaque, bool *ret_paused, GError **err); /* after a restart of the daemon */
    void (*release)(HvDomain *d); /* it has ended: on the main thread */
    void (*leave)(HvDomain *d);   /* the daemon ends and the machine lives on */
    bool (*stop)(HvDomain *d, HvStopMode mode, GError **err);
    bool (*pause)(HvDomain *d, bool paused, GError **err);
    bool (*stats)(HvDomain *d, HvStats *ret, GError **err); /* never waits: on any thread */
    /* Optional. */
    bool (*attach)(HvDomain *d, void *device, GError **err); /* a record of domain.h; gets its alias and address */
    bool (*detach)(HvDomain *d, void *device, GError **err); /* the guest is asked; HV_DEVICE_REMOVED says when */
    bool (*update)(HvDomain *d, const void *before, void *after, GError **err);
    bool (*set_memory)(HvDomain *d, uint64_t bytes, GError **err);
    bool (*send_keys)(HvDomain *d, unsigned codeset, unsigned hold_ms, const guint *keys, unsigned n, GError **err);
    bool (*screenshot)(HvDomain *d, unsigned screen, char **ret_path, GError **err); /* a file that the caller removes */
    bool (*monitor)(HvDomain *d, const char *command, bool hmp, char **ret, GError **err);
    int (*open_graphics)(HvDomain *d, unsigned index, GError **err); /* a socket, or -1 */
};

extern const HvDriver test_driver, atoll_driver, qemu_driver;
extern const HvDriver *const hv_drivers[]; /* ends with NULL */
const HvDriver *hv_driver_for(const Domain *d); /* by type and emulator; never NULL */
