#pragma once
#include "manage/daemon/daemon.h"
#include "manage/daemon/lane.h"
#include "manage/hypervisor/hypervisor.h"
#include "manage/rpc/rpc.h"
#include "schema/network.h"
#include "schema/storage.h"
/* daemon_inside.h - the daemon's objects, for its own files. */

/* A set of machines, networks and pools: the host's own, or the one in memory behind test:///. */
typedef struct Realm {
    Daemon *daemon;
    const char *scheme;        /* qemu, test */
    bool in_memory;
    GHashTable *domains;       /* name -> ManagedDomain */
    GHashTable *networks;      /* name -> ManagedNetwork (net.h) */
    GHashTable *pools;         /* name -> ManagedPool (pool.h) */
    GHashTable *secrets;       /* UUID -> ManagedSecret (secret.h) */
    int next_id;
} Realm;

typedef struct HostWatch HostWatch;

typedef struct ManagedDomain {
    gatomicrefcount refs;
    Realm *realm;
    char *name, *uuid;
    int id;                 /* -1: not running */
    Domain *config;         /* for its next start; NULL: transient */
    Domain *live;           /* while it runs; of a transient one also while it starts */
    DomainState state;
    int reason;             /* virDomain*Reason of the state */
    bool autostart, gone;   /* gone: no longer in its realm */
    bool updated;           /* config has changed since the start */
    gint64 started_us;
    const HvDriver *driver; /* while it runs */
    HvDomain *hv;
    Lane *lane, *queries;   /* queries: what only asks the machine */
    Lane *agent;            /* what asks the guest's agent */
    int agent_seconds;      /* within which it answers (agent.h) */
    GHashTable *snapshots;  /* name -> Snapshot (snapshot.h); NULL: none */
    RpcStream *console;     /* who has it open, or NULL */
} ManagedDomain;

struct Daemon {
    RpcServer *server;
    char *config_dir, *state_dir, *runtime_dir, *log_dir, *emulator, *image_tool, *machine_user;
    HvHost host;
    bool session;
    Realm *machines, *test;
    Lanes *lanes;        /* of all its objects */
    Lane *lane;          /* of what belongs to no object */
    unsigned transfers;  /* whose threads are at work */
    struct HostWatch *watch; /* of the host's devices, once a client wants to know; or NULL */
    GPtrArray *cpu_models[2]; /* CpuModelName (cpu_models.h), translated and with KVM; NULL: not asked yet */
    GHashTable *clients; /* Client */
    char *uuid;          /* of the host */
};

/* What a connection has opened and registered. */
typedef struct Client {
    Daemon *daemon;
    RpcConnection *connection;
    Realm *realm;        /* NULL: not opened yet */
    GArray *subscriptions; /* Subscription */
    int next_callback;
} Client;

typedef struct Subscription {
    int callback, event;
    int class;           /* SubscriptionClass */
    char *uuid;          /* of one object, or NULL: of all */
} Subscription;
typedef enum SubscriptionClass { SUBSCRIBE_DOMAIN, SUBSCRIBE_NETWORK, SUBSCRIBE_POOL, SUBSCRIBE_NODE_DEVICE, SUBSCRIBE_SECRET } SubscriptionClass;

/* A row answers a procedure; it replies exactly once, at once or later. */
typedef struct Handler {
    const char *procedure;
    void (*run)(Client *c, RpcCall *call, GVariant *args);
} Handler;
/* Each ends with a NULL procedure. */
extern const Handler
    connect_handlers[],
    host_handlers[],
    domain_handlers[],
    domain_life_handlers[],
    save_handlers[],
    change_handlers[],
    device_handlers[],
    disk_handlers[],
    job_handlers[],
    snapshot_handlers[],
    console_handlers[],
    machine_handlers[],
    pool_handlers[],
    volume_handlers[],
    network_handlers[],
    event_handlers[],
    stats_handlers[],
    card_handlers[],
    agent_handlers[],
    guest_handlers[],
    memory_handlers[],
    tune_handlers[],
    pin_handlers[],
    native_handlers[],
    none_handlers[],
    power_handlers[],
    iothread_handlers[],
    nodedev_handlers[],
    secret_handlers[];

/* ---- realms and domains */
Realm *realm_new(Daemon *d, const char *scheme, bool in_memory);
void realm_free(Realm *r);
ManagedDomain *domain_ref(ManagedDomain *d);
void domain_unref(ManagedDomain *d);
/* A domain that is not in the realm yet; takes the definition. */
ManagedDomain *domain_add(Realm *r, Domain *def, bool persistent);
/* Out of its realm. */
void domain_remove(ManagedDomain *d);
void domain_release(ManagedDomain *d); /* forgets the running machine */
ManagedDomain *domain_by_name(const Realm *r, const char *name);
ManagedDomain *domain_by_uuid(const Realm *r, const char *uuid);
ManagedDomain *domain_by_id(const Realm *r, int id);
static inline bool domain_active(const ManagedDomain *d) { return d->id >= 0; }
/* live where it runs, else config */
static inline Domain *domain_now(const ManagedDomain *d) { return d->live ? d->live : d->config; }
GVariant *domain_handle(const ManagedDomain *d); /* (ssi); floating */
/* The domain that the call's first argument names; NULL: the call has been answered with an error. */
ManagedDomain *domain_of_call(Client *c, RpcCall *call, GVariant *args);
Domain *domain_read(const Realm *r, const char *xml, GError **err); /* a definition that this realm can run */
bool domain_define(Realm *r, const char *xml, ManagedDomain **ret, bool *ret_new, GError **err);
bool domain_settle(const Realm *r, Domain *def, GError **err); /* after a change: checks it, and fills in what it leaves open */
bool domain_write(const Realm *r, const Domain *def, GError **err); /* its definition's file */
bool domain_rename(ManagedDomain *d, const char *name, GError **err); /* one that does not run */
/* Changes a copy of the definition, checks it, writes it, and only then takes it. */
typedef bool DomainEdit(Domain *d, void *opaque, GError **err);
bool domain_edit_config(ManagedDomain *d, DomainEdit *edit, void *opaque, GError **err);
bool domain_write_record(const ManagedDomain *d, const Domain *live, GError **err); /* of the running machine, by which a later daemon finds it */
/* Neither of AFFECT_LIVE, AFFECT_CONFIG: the running machine where it runs, else the definition. */
enum { AFFECT_LIVE = 1, AFFECT_CONFIG = 2 };
unsigned domain_affected(const ManagedDomain *d, unsigned flags);
/* Its event is the caller's. */
void domain_set_state(ManagedDomain *d, DomainState state, int reason);

/* virConnectListAllDomainsFlags; sorted by name; the array is the caller's, its elements are not. */
GPtrArray *domains_listed(const Realm *r, unsigned flags);
static inline uint64_t domain_vcpus(const Domain *d) { return d->current_vcpus != RECORD_NONE ? d->current_vcpus : d->vcpus; }

/* ---- verbs that take time; each answers the call (which may be NULL) */
enum { START_PAUSED = 1, START_FORCE_BOOT = 1 << 3, START_RESET_NVRAM = 1 << 5 }; /* virDomainCreateFlags */
void domain_start(ManagedDomain *d, unsigned flags, RpcCall *call, bool with_handle);
/* Of a definition that is in no file (takes it); `d` goes with it when it stops, or when the start fails. */
void domain_start_transient(ManagedDomain *d, Domain *def, unsigned flags, RpcCall *call);
/* Goes on with a saved state: takes the definition, and the descriptor, which stands at it. */
void domain_start_saved(ManagedDomain *d, Domain *def, int state, bool paused, RpcCall *call);
enum { SAVE_RUNNING = 2, SAVE_PAUSED = 4 }; /* virDomainSaveRestoreFlags: how it is to go on; neither: as it was */
/* xml NULL: the definition that it runs with. */
void domain_save(ManagedDomain *d, const char *path, const char *xml, unsigned flags, RpcCall *call);
/* Takes up a machine that an earlier daemon started; takes the definition, which has its id. */
void domain_reattach(ManagedDomain *d, Domain *live);
void domain_stop(ManagedDomain *d, HvStopMode mode, RpcCall *call);
void domain_has_stopped(ManagedDomain *d, HvStop how); /* does nothing where it is not running */
void domain_pause(ManagedDomain *d, bool paused, RpcCall *call);

/* ---- events */
void client_unsubscribe_all(Client *c);
/* virDomainEventID */
typedef enum DomainEventId {
    EVENT_LIFECYCLE, EVENT_REBOOT, EVENT_RTC, EVENT_WATCHDOG, EVENT_IO_ERROR, EVENT_GRAPHICS, EVENT_IO_ERROR_REASON, EVENT_CONTROL_ERROR, EVENT_BLOCK_JOB, EVENT_DISK_CHANGE,
    EVENT_TRAY, EVENT_PM_WAKEUP, EVENT_PM_SUSPEND, EVENT_BALLOON, EVENT_PM_SUSPEND_DISK, EVENT_DEVICE_REMOVED, EVENT_BLOCK_JOB_2, EVENT_TUNABLE, EVENT_AGENT,
    EVENT_DEVICE_ADDED, EVENT_MIGRATION, EVENT_JOB_COMPLETED, EVENT_DEVICE_REFUSED, EVENT_METADATA, EVENT_BLOCK_THRESHOLD,
} DomainEventId;
/* `values` behind callback and domain; its type is the rest of the event's letters.  Floating. */
void domain_event(ManagedDomain *d, int event, const char *format, ...);
void domain_lifecycle(ManagedDomain *d, int event, int detail);
/* Of a network, pool or secret: `handle` (taken) is what clients know it by, `values` behind it. */
void object_event(Realm *r, SubscriptionClass class, int event, const char *uuid, GVariant *handle, const char *format, ...);

/* ---- what is kept on disk (store.c): whole or not at all */
bool store_write(const char *folder, const char *name, const char *text, GError **err);
bool store_remove(const char *folder, const char *name, GError **err);
bool store_write_file(const char *folder, const char *file, const void *data, gssize bytes, GError **err); /* of mode 0600; -1: a text */
bool store_remove_file(const char *folder, const char *file, GError **err);
/* Every "NAME.xml" in a folder; a folder that is not there is empty. */
void store_each(const char *folder, void (*f)(const char *name, const char *text, void *opaque), void *opaque);

void host_watch(Daemon *d); /* from now on clients are told which devices come and go */
void host_watch_end(Daemon *d);
char *capabilities_xml(Daemon *d, const Realm *r);
char *domain_capabilities_xml(Daemon *d, const Realm *r, const char *emulator, const char *machine, const char *type, const GPtrArray *cpu_models, GError **err);
