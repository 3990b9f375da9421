/* run.c - the main loop: what happens when the guest, a signal or a key wants the machine to stop, start over or end. */
#include <glib-unix.h>
#include <signal.h>
#include <string.h>

#include "console/chardev.h"
#include "vmm/vm.h"

static void quit(Vm *vm, int status)
{
    vm->exit_status = status;
    g_main_loop_quit(vm->loop);
}

static void reset(Vm *vm)
{
    g_autoptr(GError) err = NULL;
    machine_stop(vm->machine);
    machine_reset(vm->machine, RESET_WARM);
    bool ordered = !vm->config->boot_once || board_set_boot_order(vm->board, vm->config->boot_order, &err); /* once= is over */
    if (!ordered || !vm_start_kernel(vm, &err)) {
        g_printerr("atoll-vm: cannot start the machine again: %s\n", err->message);
        quit(vm, 1);
        return;
    }
    machine_start(vm->machine);
}

static void shut_down(Vm *vm)
{
    machine_stop(vm->machine);
    if (vm->config->no_shutdown)
        g_printerr("atoll-vm: the guest has shut down; the machine stays, stopped (-no-shutdown)\n");
    else
        quit(vm, 0);
}

static void broken(Vm *vm)
{
    machine_stop(vm->machine);
    for (unsigned i = 0; i < vm->machine->vcpus->len; i++) {
        Vcpu *v = vm->machine->vcpus->pdata[i];
        if (v->broken)
            g_printerr("atoll-vm: vCPU %u cannot go on: %s\n", v->id, v->broken);
    }
    quit(vm, 1);
}

static void on_cause(Vm *vm, StopCause cause)
{
    switch (cause) {
    case CAUSE_TRIPLE_FAULT:
        g_printerr("atoll-vm: the guest's CPU has triple-faulted; %s\n", vm->config->no_reboot ? "ending (-no-reboot)" : "resetting the machine");
        /* fall through */
    case CAUSE_GUEST_RESET:
    case CAUSE_HOST_RESET:
        if (vm->config->no_reboot && cause != CAUSE_HOST_RESET)
            shut_down(vm);
        else
            reset(vm);
        break;
    case CAUSE_GUEST_PANIC:
        g_printerr("atoll-vm: the guest says that it has panicked\n");
        shut_down(vm);
        break;
    case CAUSE_GUEST_SHUTDOWN:
        shut_down(vm);
        break;
    case CAUSE_DEBUG_EXIT:
        machine_stop(vm->machine);
        quit(vm, atomic_load(&vm->machine->exit_code));
        break;
    case CAUSE_BROKEN:
        broken(vm);
        break;
    case CAUSE_HOST_QUIT:
        quit(vm, 0);
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

static gboolean on_signal(Vm *vm, int signum)
{
    g_printerr("atoll-vm: ending on signal %d (%s)\n", signum, strsignal(signum));
    quit(vm, 0);
    return G_SOURCE_REMOVE; /* a second one then ends the process as ever */
}

static gboolean on_sigint(void *vm) { return on_signal(vm, SIGINT); }
static gboolean on_sigterm(void *vm) { return on_signal(vm, SIGTERM); }
static gboolean on_sighup(void *vm) { return on_signal(vm, SIGHUP); }

static void on_quit_key(void *vm) { quit(vm, 0); }

static void watch_quit_keys(Vm *vm, bool on)
{
    for (unsigned i = 0; i < vm->chardevs->len; i++)
        if (chardev_is_mux(vm->chardevs->pdata[i]))
            chardev_on_quit(vm->chardevs->pdata[i], on ? on_quit_key : NULL, vm);
}

int vm_run(Vm *vm)
{
    vm->loop = g_main_loop_new(NULL, FALSE);
    vm->machine->listener = (MachineListener) { stop_requested, vm };
    unsigned sources[] = { g_unix_signal_add(SIGINT, on_sigint, vm), g_unix_signal_add(SIGTERM, on_sigterm, vm),
                           g_unix_signal_add(SIGHUP, on_sighup, vm) };
    watch_quit_keys(vm, true);
    if (!vm->config->start_paused)
        machine_start(vm->machine);
    g_main_loop_run(vm->loop);
    machine_stop(vm->machine);
    vm->machine->listener = (MachineListener) { 0 };
    watch_quit_keys(vm, false);
    for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++)
        if (g_main_context_find_source_by_id(NULL, sources[i]))
            g_source_remove(sources[i]);
    g_main_loop_unref(vm->loop);
    return vm->exit_status;
}
