#pragma once
#include <gio/gio.h>
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
    const char *const *firmware_dirs; /* of descriptors, the first counts most; NULL: the host's */
    const char *image_tool;  /* atoll-img */
    const char *machine_user; /* whom machines run as once their files are open; NULL: as the daemon */
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
    int state;        /* descriptor of a saved state that it goes on with, -1: it boots; the caller's */
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
    HV_OFF,        /* it has, and the machine waits for stop(HV_RESTART) */
    HV_REBOOT,
    HV_DEVICE_REMOVED, /* name: alias */
    HV_DEVICE_REFUSED, /* name: alias; the guest would not let go */
    HV_TRAY,       /* name: alias; detail: 1 open */
    HV_BALLOON,    /* value: bytes */
    HV_IO_ERROR,   /* name: alias; value: HvIoAction */
    HV_BLOCK_JOB,  /* name: the job's; detail: HvJobStatus */
    HV_WATCHDOG,   /* detail: virDomainEventWatchdogAction */
    HV_VIEWER,     /* detail: virDomainEventGraphicsPhase; name: the viewer's address */
    HV_AGENT,      /* name: alias of a port; detail: 1 the guest has opened it */
    HV_RTC,        /* value: seconds */
} HvEventKind;
typedef enum HvStop { HV_STOP_SHUTDOWN, HV_STOP_DESTROYED, HV_STOP_CRASHED, HV_STOP_MIGRATED, HV_STOP_SAVED, HV_STOP_FAILED } HvStop;

/* virConnectDomainEventBlockJobStatus */
typedef enum HvJobStatus { HV_JOB_COMPLETED, HV_JOB_FAILED, HV_JOB_CANCELLED, HV_JOB_READY } HvJobStatus;

typedef struct HvEvent {
    HvEventKind kind;
    int detail;
    int64_t value;
    const char *name;
} HvEvent;
typedef void HvNotify(const HvEvent *event, void *opaque);

/*
 * HV_SAVED: as HV_NOW, with its state in a file.  HV_REBOOT_ASK presses the power button, after which the guest's end is told as
 * HV_OFF; HV_RESTART then begins anew.  HV_ASK_NOT: only that the guest's end is the machine's again.
 */
typedef enum HvStopMode { HV_ASK, HV_NOW, HV_RESET, HV_SAVED, HV_REBOOT_ASK, HV_RESTART, HV_ASK_NOT } HvStopMode;

/* Figures of a running machine; RECORD_NONE: not known. */
typedef struct HvStats {
    uint64_t cpu_ns, memory_actual, memory_rss;
    uint64_t user_ns, system_ns; /* of cpu_ns */
} HvStats;

/* What a disk has done; RECORD_NONE: not known. */
typedef struct HvDiskStats {
    uint64_t read_requests, read_bytes, read_ns, write_requests, write_bytes, write_ns, flush_requests, flush_ns;
    uint64_t capacity, allocation, physical;
} HvDiskStats;

/* Work on a disk's image while the machine runs; the words are those of virDomainBlockJobType. */
typedef enum HvJobType { HV_JOB_NONE, HV_JOB_PULL, HV_JOB_COPY, HV_JOB_COMMIT, HV_JOB_ACTIVE_COMMIT } HvJobType;
typedef struct HvBlockJob {
    HvJobType type;
    const char *id;             /* TYPE-TARGET-... */
    const char *device;         /* name of the node at the disk's top */
    const char *top, *base;     /* commit: what is copied down, and into which; pull: base alone, NULL: all */
    const Layer *target;        /* copy */
    bool shallow, reuse;        /* copy: above the same backing file; the image is there already */
    uint64_t speed;             /* bytes a second; 0: no bound */
} HvBlockJob;
typedef struct HvJobInfo {
    HvJobType type;
    uint64_t speed, done, total;
    bool ready;
    char *id; /* the caller frees */
} HvJobInfo;
typedef enum HvJobAct { HV_JOB_ACT_CANCEL, HV_JOB_ACT_COMPLETE, HV_JOB_ACT_SPEED } HvJobAct;

struct HvDriver {
    const char *name, *summary; /* atoll, qemu, test */
    /* Optional: fills in what a definition leaves open and keeps from then on: places of devices, firmware. */
    bool (*settle)(const HvHost *h, Domain *d, GError **err);
    /* Before plan(), and on a worker: aliases, the images below disks, paths that the machine's own files have. */
    bool (*prepare)(const HvHost *h, Domain *d, GError **err);
    bool (*plan)(const HvHost *h, const Domain *d, LaunchPlan *ret, GError **err);
    /* `d` gets what only a running machine has: ports, terminals, aliases.  The machine is paused until resume(). */
    HvDomain *(*start)(const HvHost *h, Domain *d, const LaunchPlan *p, HvNotify *notify, void *opaque, GError **err);
    HvDomain *(*reattach)(const HvHost *h, Domain *d, HvNotify *notify, void *opaque, bool *ret_paused, GError **err); /* after a restart of the daemon */
    void (*release)(HvDomain *d); /* it has ended: on the main thread */
    void (*leave)(HvDomain *d);   /* the daemon ends and the machine lives on */
    bool (*stop)(HvDomain *d, HvStopMode mode, GError **err);
    bool (*pause)(HvDomain *d, bool paused, GError **err);
    bool (*stats)(HvDomain *d, HvStats *ret, GError **err); /* never waits: on any thread */
    /* Optional.  `live` is the machine as it is now; `device` a record of domain.h. */
    bool (*name_device)(const Domain *live, void *device, GError **err); /* gives it an alias that is free, and a place */
    Controller *(*controller_for)(const Domain *live, const void *device); /* one that the device needs and the machine lacks; NULL: none.  The caller's */
    bool (*attach)(HvDomain *d, const Domain *live, void *device, GError **err); /* it gets what only a running machine has */
    bool (*detach)(HvDomain *d, const void *device, GError **err); /* asks the guest and waits some seconds; HV_DEVICE_REMOVED says when */
    void (*detached)(HvDomain *d, const void *device);             /* takes away what stood behind it */
    bool (*change_medium)(HvDomain *d, const Disk *before, Disk *after, bool force, GError **err);
    bool (*set_link)(HvDomain *d, const Interface *card, bool up, GError **err);
    bool (*set_password)(HvDomain *d, const Graphics *g, GError **err);
    bool (*disk_stats)(HvDomain *d, const Disk *disk, HvDiskStats *ret, GError **err);
    bool (*resize)(HvDomain *d, const Disk *disk, uint64_t bytes, GError **err);
    bool (*limit)(HvDomain *d, const Disk *disk, const IoTune *limits, GError **err);
    /* Puts empty images above disks, all or none where the machine can: `overlays` has a Layer for each of `disks`. */
    bool (*overlay)(HvDomain *d, const GPtrArray *disks, const GPtrArray *overlays, GError **err);
    void (*forget_node)(HvDomain *d, const Disk *disk, uint64_t index); /* an image that the disk no longer stands on */
    bool (*job_start)(HvDomain *d, const Disk *disk, const HvBlockJob *job, GError **err);
    bool (*job_act)(HvDomain *d, const char *id, HvJobAct act, uint64_t value, GError **err);
    bool (*job_find)(HvDomain *d, const char *target, HvJobInfo *ret, GError **err); /* a disk's; type HV_JOB_NONE: there is none */
    bool (*save)(HvDomain *d, int fd, GCancellable *cancel, GError **err); /* its state, from where fd stands; the machine stands, and may go on */
    bool (*nmi)(HvDomain *d, GError **err);
    bool (*set_vcpus)(HvDomain *d, unsigned n, GError **err);
    bool (*set_memory)(HvDomain *d, uint64_t bytes, GError **err);
    bool (*send_keys)(HvDomain *d, unsigned codeset, unsigned hold_ms, const guint *keys, unsigned n, GError **err);
    bool (*screenshot)(HvDomain *d, unsigned screen, char **ret_path, GError **err); /* a file that the caller removes */
    bool (*monitor)(HvDomain *d, const char *command, bool hmp, char **ret, GError **err);
    int (*open_graphics)(HvDomain *d, unsigned index, GError **err); /* a socket, or -1 */
};

extern const HvDriver test_driver, atoll_driver, qemu_driver;
extern const HvDriver *const hv_drivers[]; /* ends with NULL */
const HvDriver *hv_driver_for(const Domain *d); /* by type and emulator; never NULL */
