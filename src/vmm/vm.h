#pragma once
#include "vmm/config.h"
#include "vmm/loader/loader.h"
/*
 * vm.h - one running machine with its host ends: build.c makes it from a VmConfig, run.c keeps it going.
 */
typedef enum VmStatus { VM_PRELAUNCH, VM_RUNNING, VM_PAUSED, VM_SHUTDOWN, VM_PANICKED, VM_BROKEN, VM_IO_ERROR, VM_DEBUG, VM_WATCHDOG, VM_INMIGRATE, VM_FINISH_MIGRATE, VM_POSTMIGRATE } VmStatus;

typedef struct Vm {
    const VmConfig *config;
    Machine *machine;
    Board *board;         /* NULL: -machine none */
    Kernel *kernel;       /* NULL: firmware starts */
    GPtrArray *chardevs;  /* Chardev; front ends of a mux come after it */
    struct Screens *screens; /* the host's ends of displays, keyboards and pointers */
    struct InputHub *input;
    struct Display *no_screen; /* black, for -vnc without an adapter; NULL: not needed */
    GPtrArray *vncs;      /* VncServer, as -vnc names them */
    GPtrArray *drives;    /* BlkNode */
    GPtrArray *jobs;      /* VmJob: jobs.h */
    GPtrArray *nets;      /* HostNet: net.h */
    GPtrArray *io_threads; /* VmIoThread: io_threads.h */
    struct Monitors *monitors;
    struct Gdb *gdb;      /* NULL: none */
    struct Qtest *qtest;  /* NULL: none */
    GMainLoop *loop;
    VmStatus status;
    VmActions actions;    /* as the command line says, until the monitor says otherwise */
    GHashTable *io_errors; /* path of a device: "nospace" or "failed", what it has stopped the machine for; NULL: none */
    bool ending;
    int pidfile;          /* descriptor, -1: none */
    unsigned signals[3];  /* sources; 0: none */
    int exit_status;
    struct NbdServer *nbd; /* NULL: none */
    struct Migration *migration; /* NULL: never asked for */
    bool run_after_incoming;
    GPtrArray *exports;   /* VmExport: exports.h */
} Vm;

/* config must outlive the Vm.  The machine is reset and stopped. */
Vm *vm_build(const VmConfig *config, GError **err);
void vm_destroy(Vm *vm); /* NULL is fine */
bool vm_open_vncs(Vm *vm, GError **err); /* vnc.c */
void vm_close_vncs(Vm *vm);
/* After machine_reset(): what firmware and boot loader would do, where a kernel is given. */
bool vm_start_kernel(Vm *vm, GError **err);
bool vm_set_boot_order(Vm *vm, bool first, GError **err); /* first: as -boot once= says */

bool vm_write_pid(Vm *vm, GError **err); /* into -pidfile, if there is one */
void vm_watch_signals(Vm *vm); /* from now on they end it in order; vm_run() is to follow */
/* Runs until the machine or somebody outside ends it; returns the exit status. */
int vm_run(Vm *vm);

/* Main thread.  What happens is told to the monitors; reasons are ShutdownCause of QMP. */
const char *vm_status_name(const Vm *vm);
void vm_stop(Vm *vm, VmStatus why);
bool vm_continue(Vm *vm, GError **err);
void vm_reset(Vm *vm, bool guest, const char *reason);
void vm_inject_nmi(Vm *vm);
void vm_powerdown(Vm *vm); /* presses the button */
void vm_quit(Vm *vm, int status, const char *reason);

void vm_device_gone(Vm *vm, Device *d); /* the guest has let go of d: takes it out */
void vm_tray_moved(Vm *vm, Device *d);

/* The whole program. */
int vm_main(int argc, char **argv);
