/* run.c - the main loop: what happens when the guest, a signal or a key wants the machine to stop, start over or end. */
#include <glib-unix.h>
#include <signal.h>
#include <string.h>

#include "console/chardev.h"
#include "vmm/migration/migration.h"
#include "vmm/monitor/monitor.h"
#include "vmm/vm.h"

/* ---- the machine's life, in the monitor's words (RunState of QMP) */

static void say_why(Vm *vm, const char *event, bool guest, const char *reason)
{
    JsonObject *data = json_object_new();
    json_object_set_boolean_member(data, "guest", guest);
    json_object_set_string_member(data, "reason", reason);
    monitors_event(vm, event, data);
}

const char *vm_status_name(const Vm *vm)
{
    static const char *const names[] = {
        [VM_PRELAUNCH] = "prelaunch", [VM_RUNNING] = "running", [VM_PAUSED] = "paused", [VM_SHUTDOWN] = "shutdown", [VM_PANICKED] = "guest-panicked",
        [VM_BROKEN] = "internal-error", [VM_IO_ERROR] = "io-error", [VM_DEBUG] = "debug", [VM_WATCHDOG] = "watchdog",
        [VM_INMIGRATE] = "inmigrate", [VM_FINISH_MIGRATE] = "finish-migrate", [VM_POSTMIGRATE] = "postmigrate",
    };
    return names[vm->status];
}

void vm_stop(Vm *vm, VmStatus why)
{
    bool ran = vm->status == VM_RUNNING;
    machine_stop(vm->machine);
    if (vm->status != VM_PRELAUNCH || why != VM_PAUSED)
        vm->status = why;
    if (ran)
        monitors_event(vm, "STOP", NULL);
}

bool vm_continue(Vm *vm, GError **err)
{
    if (!vm->board)
        return true;
    if (vm->status == VM_SHUTDOWN || vm->status == VM_PANICKED || vm->status == VM_BROKEN)
        return error_set(err, ERR_INVALID, "Resetting the Virtual Machine is required: its state is '%s'", vm_status_name(vm));
    if (vm->status == VM_INMIGRATE)
        return vm->run_after_incoming = true;
    if (!migration_allows(vm, "cont", err))
        return false;
    if (vm->status == VM_RUNNING)
        return true;
    vm->status = VM_RUNNING;
    g_clear_pointer(&vm->io_errors, g_hash_table_destroy);
    monitors_event(vm, "RESUME", NULL);
    machine_start(vm->machine);
    return true;
}

void vm_quit(Vm *vm, int status, const char *reason)
{
    if (vm->ending)
        return;
    vm->ending = true;
    vm->exit_status = status;
    if (vm->status != VM_SHUTDOWN)
        say_why(vm, "SHUTDOWN", g_str_has_prefix(reason, "guest"), reason);
    g_main_loop_quit(vm->loop);
}

void vm_reset(Vm *vm, bool guest, const char *reason)
{
    g_autoptr(GError) err = NULL;
    bool ran = vm->status == VM_RUNNING;
    machine_stop(vm->machine);
    machine_reset(vm->machine, RESET_WARM);
    if (!vm_set_boot_order(vm, false, &err) || !vm_start_kernel(vm, &err)) {
        g_printerr("atoll-vm: cannot start the machine again: %s\n", err->message);
        vm_quit(vm, 1, "host-error");
        return;
    }
    say_why(vm, "RESET", guest, reason);
    if (!ran && vm->status != VM_PRELAUNCH)
        vm->status = VM_PAUSED;
    if (ran)
        machine_start(vm->machine);
}

static void shut_down(Vm *vm, const char *reason)
{
    if (vm->actions.shutdown == SHUTDOWN_POWEROFF) {
        machine_stop(vm->machine);
        vm_quit(vm, 0, reason);
        return;
    }
    say_why(vm, "SHUTDOWN", true, reason);
    vm_stop(vm, VM_SHUTDOWN);
    g_printerr("atoll-vm: the guest has shut down; the machine stays, stopped (-no-shutdown)\n");
}

static void say_action(Vm *vm, const char *event, const char *action)
{
    JsonObject *data = json_object_new();
    json_object_set_string_member(data, "action", action);
    monitors_event(vm, event, data);
}

static void panicked(Vm *vm)
{
    PanicAction action = vm->actions.panic;
    g_printerr("atoll-vm: the guest says that it has panicked\n");
    if (action == PANIC_NONE) {
        say_action(vm, "GUEST_PANICKED", "run");
    } else if (action == PANIC_PAUSE || (action == PANIC_SHUTDOWN && vm->actions.shutdown == SHUTDOWN_PAUSE)) {
        say_action(vm, "GUEST_PANICKED", "pause");
        vm_stop(vm, VM_PANICKED);
    } else {
        say_action(vm, "GUEST_PANICKED", "poweroff");
        vm_stop(vm, VM_PANICKED);
        vm_quit(vm, action == PANIC_EXIT_FAILURE, "guest-panic");
    }
}

static void guest_reset(Vm *vm)
{
    if (vm->actions.reboot == REBOOT_SHUTDOWN)
        shut_down(vm, "guest-reset");
    else
        vm_reset(vm, true, "guest-reset");
}

void vm_powerdown(Vm *vm)
{
    machine_powerdown(vm->machine);
    monitors_event(vm, "POWERDOWN", NULL);
}

void vm_inject_nmi(Vm *vm)
{
    for (unsigned i = 0; i < vm->machine->vcpus->len; i++)
        vcpu_request(vm->machine->vcpus->pdata[i], VREQ_NMI);
}

static void watchdog(Vm *vm)
{
    say_action(vm, "WATCHDOG", watchdog_action_name(vm->actions.watchdog));
    switch (vm->actions.watchdog) {
    case WATCHDOG_RESET:
        guest_reset(vm);
        break;
    case WATCHDOG_SHUTDOWN:
        vm_powerdown(vm);
        break;
    case WATCHDOG_POWEROFF:
        vm_quit(vm, 0, "guest-shutdown");
        break;
    case WATCHDOG_PAUSE:
        vm_stop(vm, VM_WATCHDOG);
        break;
    case WATCHDOG_DEBUG:
        g_printerr("atoll-vm: watchdog: timer fired\n");
        break;
    case WATCHDOG_INJECT_NMI:
        vm_inject_nmi(vm);
        break;
    case WATCHDOG_NONE:
        break;
    }
}

static void broken(Vm *vm)
{
    vm_stop(vm, VM_BROKEN);
    for (unsigned i = 0; i < vm->machine->vcpus->len; i++) {
        Vcpu *v = vm->machine->vcpus->pdata[i];
        if (v->broken)
            g_printerr("atoll-vm: vCPU %u cannot go on: %s\n", v->id, v->broken);
    }
    vm_quit(vm, 1, "host-error");
}

/* What failed is kept, and tried again when the machine goes on. */
static void io_error(Vm *vm)
{
    if (vm->status != VM_RUNNING)
        return;
    vm_stop(vm, VM_IO_ERROR);
    g_printerr("atoll-vm: a request to a disk image has failed; the machine is paused (rerror=, werror=)\n");
}

static void on_cause(Vm *vm, StopCause cause)
{
    switch (cause) {
    case CAUSE_TRIPLE_FAULT:
        g_printerr("atoll-vm: the guest's CPU has triple-faulted; %s\n", vm->actions.reboot == REBOOT_SHUTDOWN ? "ending (-no-reboot)" : "resetting the machine");
        /* fall through */
    case CAUSE_GUEST_RESET:
        guest_reset(vm);
        break;
    case CAUSE_WATCHDOG:
        watchdog(vm);
        break;
    case CAUSE_HOST_RESET:
        vm_reset(vm, false, "host-qmp-system-reset");
        break;
    case CAUSE_GUEST_PANIC:
        panicked(vm);
        break;
    case CAUSE_GUEST_SHUTDOWN:
        shut_down(vm, "guest-shutdown");
        break;
    case CAUSE_DEBUG_EXIT:
        machine_stop(vm->machine);
        vm_quit(vm, atomic_load(&vm->machine->exit_code), "guest-shutdown");
        break;
    case CAUSE_BROKEN:
        broken(vm);
        break;
    case CAUSE_HOST_QUIT:
        vm_quit(vm, 0, "host-ui");
        break;
    case CAUSE_IO_ERROR:
        io_error(vm);
        break;
    case CAUSE_NONE:
    case CAUSE_DEBUG_STOP:
        break;
    }
}

/* From any thread to the main one. */
typedef struct Post {
    Vm *vm;
    StopCause cause;
} Post;

static gboolean on_post(void *opaque)
{
    Post *post = opaque;
    on_cause(post->vm, post->cause);
    return G_SOURCE_REMOVE;
}

static void stop_requested(void *opaque, StopCause cause)
{
    Post *post = g_new(Post, 1);
    *post = (Post) { opaque, cause };
    g_idle_add_full(G_PRIORITY_HIGH, on_post, post, g_free);
}

typedef struct Gone {
    Vm *vm;
    Device *device;
} Gone;

static gboolean on_gone(void *opaque)
{
    Gone *gone = opaque;
    if (g_ptr_array_find(gone->vm->machine->devices, gone->device, NULL)) /* it may have said so twice */
        vm_device_gone(gone->vm, gone->device);
    return G_SOURCE_REMOVE;
}

static void unplugged(void *opaque, Device *d)
{
    Gone *gone = g_new(Gone, 1);
    *gone = (Gone){ opaque, d };
    g_idle_add_full(G_PRIORITY_HIGH, on_gone, gone, g_free);
}

/* Only a device that is there still has a tray. */
static gboolean on_tray(void *opaque)
{
    Gone *moved = opaque;
    if (g_ptr_array_find(moved->vm->machine->devices, moved->device, NULL))
        vm_tray_moved(moved->vm, moved->device);
    return G_SOURCE_REMOVE;
}

static void tray_moved(void *opaque, Device *d)
{
    Gone *moved = g_new(Gone, 1);
    *moved = (Gone){ opaque, d };
    g_idle_add_full(G_PRIORITY_HIGH, on_tray, moved, g_free);
}

static gboolean on_signal(Vm *vm, int signum)
{
    g_printerr("atoll-vm: ending on signal %d (%s)\n", signum, strsignal(signum));
    vm_quit(vm, 0, "host-signal");
    return G_SOURCE_REMOVE; /* a second one then ends the process as ever */
}

static gboolean on_sigint(void *vm) { return on_signal(vm, SIGINT); }
static gboolean on_sigterm(void *vm) { return on_signal(vm, SIGTERM); }
static gboolean on_sighup(void *vm) { return on_signal(vm, SIGHUP); }

static void on_quit_key(void *vm) { vm_quit(vm, 0, "host-ui"); }

static void watch_quit_keys(Vm *vm, bool on)
{
    for (unsigned i = 0; i < vm->chardevs->len; i++)
        if (chardev_is_mux(vm->chardevs->pdata[i]))
            chardev_on_quit(vm->chardevs->pdata[i], on ? on_quit_key : NULL, vm);
}

void vm_watch_signals(Vm *vm)
{
    vm->signals[0] = g_unix_signal_add(SIGINT, on_sigint, vm);
    vm->signals[1] = g_unix_signal_add(SIGTERM, on_sigterm, vm);
    vm->signals[2] = g_unix_signal_add(SIGHUP, on_sighup, vm);
}

int vm_run(Vm *vm)
{
    vm->machine->listener = (MachineListener) { stop_requested, vm, unplugged, tray_moved, monitors_device_said };
    watch_quit_keys(vm, true);
    if (vm->status == VM_INMIGRATE)
        incoming_begin(vm);
    else if (!vm->config->start_paused)
        vm_continue(vm, NULL);
    g_main_loop_run(vm->loop);
    machine_stop(vm->machine);
    vm->machine->listener = (MachineListener) { 0 };
    watch_quit_keys(vm, false);
    for (unsigned i = 0; i < G_N_ELEMENTS(vm->signals); i++)
        if (vm->signals[i] && g_main_context_find_source_by_id(NULL, vm->signals[i]))
            g_source_remove(vm->signals[i]);
    return vm->exit_status;
}
