#pragma once
#include "machine/accel.h"
#include "machine/bus.h"
#include "machine/device.h"
#include "machine/pci.h"
#include "machine/tsc.h"
#include "machine/vcpu.h"
/*
 * machine.h - one machine: memory, ports, clock, devices, vCPUs and its life.  Several may live in one process.
 */
typedef enum RunState { MACHINE_CREATED, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_SHUTDOWN, MACHINE_BROKEN } RunState;
typedef enum StopCause { CAUSE_NONE, CAUSE_GUEST_SHUTDOWN, CAUSE_GUEST_RESET, CAUSE_GUEST_PANIC, CAUSE_HOST_QUIT, CAUSE_HOST_RESET, CAUSE_TRIPLE_FAULT, CAUSE_DEBUG_EXIT, CAUSE_DEBUG_STOP, CAUSE_BROKEN, CAUSE_IO_ERROR, CAUSE_WATCHDOG } StopCause;

typedef enum BackendKind { BACKEND_CHARDEV, BACKEND_DRIVE, BACKEND_NETDEV, BACKEND_RNG, BACKEND_IOTHREAD, BACKEND_KINDS } BackendKind;

/* What a device has to say to whoever runs the machine, with a number. */
typedef enum DeviceSays {
    DEVICE_SAYS_BALLOON,  /* bytes that the guest has now */
    DEVICE_SAYS_PORT,     /* the guest has opened it, or closed it: 0 */
    DEVICE_SAYS_RX_FILTER, /* the guest has changed which frames it wants */
    DEVICE_SAYS_IO_ERROR, /* a request to its image has failed: devices/storage/disk.h */
} DeviceSays;

/* What the machine tells whoever runs it (vmm/); on any thread: post to your own loop. */
typedef struct MachineListener {
    void (*stop_requested)(void *opaque, StopCause cause); /* shutdown or reset asked for */
    void *opaque;
    void (*unplugged)(void *opaque, Device *d); /* the guest has let go: device_unplug() it from your loop; a lock may be held */
    void (*tray_moved)(void *opaque, Device *d); /* a drive's tray has opened or closed; its lock may be held */
    void (*said)(void *opaque, Device *d, DeviceSays what, uint64_t value); /* optional; a lock may be held */
} MachineListener;

typedef struct MachineConfig {
    uint64_t ram_size;
    RamSource ram_source; /* its path lives at least until machine_create() has returned */
    unsigned cpus, sockets, cores, threads, max_cpus;
    const char *name;
    CpuModel cpu_model;
    const char *const *data_dirs; /* folders of firmware files, best first; outlives the machine; NULL: none */
    const char *accel_options; /* KEY=VALUE,... for the accelerator, while it is made; NULL: none */
    bool manual_clock; /* tests */
    TscSample tsc_since; /* all 0, or of the program's start: spares the measurement its wait */
} MachineConfig;

struct Machine {
    char *name;
    MachineConfig config;
    Log *log;
    Clock *clock;
    Tsc tsc;           /* tsc_init() by machine_create, at the CPU model's tsc_khz */
    AddressSpace *memory, *ports;
    RamBlock *ram;
    GPtrArray *device_ram; /* RamBlock: see machine_create_ram() */
    Accel *accel;      /* NULL in device tests */
    GPtrArray *vcpus;  /* Vcpu */
    GPtrArray *devices; /* Device, in order of creation */
    GPtrArray *buses;   /* Bus; main thread */
    GMutex lock;       /* of devices, backends and run state; never held around a callback */
    RunState state;
    MachineListener listener;
    _Atomic int exit_code; /* isa-debug-exit, else 0 */
    GHashTable *backends[BACKEND_KINDS];
    struct Screens *screens; /* the host's ends of displays, keyboards and pointers (console/), for devices; NULL: none */
    struct InputHub *input;
    struct IoThread *io_thread; /* that serves disks which name none (block/io_thread.h); NULL: whoever asks does it */
    struct VcpuHelpers *_Atomic helpers; /* help.h; NULL: none */
    IrqLine power_button; /* set by the board; machine_powerdown() pulses it */
    struct Exclusive *exclusive;
};

/* No RAM is mapped yet: the board does.  Clock stopped. */
Machine *machine_create(const MachineConfig *config, GError **err);
void machine_destroy(Machine *m); /* stops, destroys vCPUs, devices in reverse order, memory */

/* Makes the accelerator and its vCPUs (threads wait).  apic_id of vCPU n is n unless topology says otherwise. */
bool machine_add_accel(Machine *m, const AccelOps *ops, GError **err);
Vcpu *machine_vcpu(Machine *m, unsigned id); /* NULL if none */
/* A guest's write at e signals eventfd fd instead of leaving the guest, or no longer does.  False: the accelerator cannot, or not
 * there; the write then comes to the device's window as ever. */
bool machine_ioeventfd(Machine *m, int fd, const IoEvent *e, bool assign);
bool machine_has_ioeventfd(const Machine *m);
bool machine_on_vcpu(const Machine *m); /* is the calling thread a vCPU's? */

/* Sets bit n of bitmap where page first_page + n was written since the last call, and forgets it.  The machine may run; from
 * a thread that is no vCPU's and holds no device's lock. */
bool machine_take_dirty(Machine *m, RamBlock *ram, uint64_t first_page, uint64_t n_pages, uint64_t *bitmap, GError **err);
/* Memory of a device (frame buffer, ROM).  The machine keeps the block to its end, for accelerators remember code by it; releasing
 * gives back what it holds. */
RamBlock *machine_create_ram(Machine *m, const char *name, uint64_t size, GError **err);
void machine_release_ram(RamBlock *ram); /* out of every memory map before; NULL is fine */
void machine_reset(Machine *m, ResetKind k); /* machine stopped: devices in order, then CPUs */
void machine_start(Machine *m);              /* clock and vCPUs */
void machine_stop(Machine *m);               /* returns when every vCPU is between instructions */
bool machine_running(Machine *m);

/* Path of a file of firmware: a path as it is, else the name in config.data_dirs.  Caller frees. */
char *machine_find_data(Machine *m, const char *name, GError **err);

/* From devices and vCPUs, any thread: tell the listener; the caller goes on. */
void machine_request(Machine *m, StopCause cause);
void machine_tray_moved(Machine *m, Device *d);
void machine_tell(Device *d, DeviceSays what, uint64_t value);
void machine_powerdown(Machine *m); /* the power button, for the guest to act on */

/* Host ends by name.  claim: error if there is none (naming the nearest) or another device has it (naming that). */
void machine_add_backend(Machine *m, BackendKind kind, const char *id, void *backend);
/* Somebody who is no device has it, as `by` says ("block export 'e0'"), which stays the caller's: claims fail until by is NULL. */
void machine_reserve_backend(Machine *m, BackendKind kind, const char *id, const char *by);
void *machine_claim_backend(Machine *m, BackendKind kind, const char *id, Device *by, GError **err);
/* The same where the claim may have failed. */
void machine_release_backend_of(Machine *m, BackendKind kind, const char *id, Device *by);
/* Of those that several devices may have at once; each gives it back. */
void *machine_share_backend(Machine *m, BackendKind kind, const char *id, Device *by, GError **err);
void machine_unshare_backend(Machine *m, BackendKind kind, const char *id);
/* In order of names; the machine is not locked meanwhile: main thread. */
void machine_each_backend(Machine *m, BackendKind kind, void (*fn)(const char *id, void *backend, Device *holder, void *arg), void *arg);
void machine_release_backend(Machine *m, BackendKind kind, const char *id);
bool machine_remove_backend(Machine *m, BackendKind kind, const char *id, GError **err); /* error: a device has it */

/* Saved state: self-describing (section name, version, then name, type and count of each field), so that a newer
 * program reads an older one's and says by name what it cannot place.  machine stopped. */
bool machine_save(Machine *m, GByteArray *ret, GError **err);
bool machine_load(Machine *m, const uint8_t *data, size_t n, GError **err);
