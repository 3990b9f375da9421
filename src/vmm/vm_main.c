/* vm_main.c - atoll-vm from its arguments to its exit status. */
#include <signal.h>
#include <stdio.h>

#include "accel/accel.h"
#include "vmm/daemon.h"
#include "vmm/migration/migration.h"
#include "vmm/options.h"
#include "vmm/vm.h"

static int fail(GError *err)
{
    g_printerr("atoll-vm: %s\n", err->message);
    return 1;
}

/* -msg timestamp=on */
static void print_with_time(const char *text)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
    fprintf(stderr, "%s %s", time, text);
}

int vm_main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(VmConfig) config = config_new();
    g_autoptr(GArray) inherited = sandbox_inherited();
    signal(SIGPIPE, SIG_IGN);
    accel_prepare();
    if (!options_parse(config, argc, argv, &err))
        return fail(err);
    if (config->answer)
        return fputs(config->answer, stdout) < 0 || fflush(stdout) != 0;
    if (!config_finish(config, &err))
        return fail(err);
    if (config->message_times)
        g_set_printerr_handler(print_with_time);
    if (!config->sandbox.off && g_strcmp0(config->incoming, "defer")) /* whose number comes later */
        sandbox_close_inherited(inherited, argc, argv);
    Daemon daemon = { .pipe = -1 };
    int status;
    if (config->daemonize && !daemon_start(&daemon, &status, &err))
        return err ? fail(err) : status;
    Vm *vm = vm_build(config, &err);
    if (!vm)
        return fail(err);
    if (!incoming_prepare(vm, &err) || !sandbox_enter(config, vm, &err)) {
        vm_destroy(vm);
        return fail(err);
    }
    vm_watch_signals(vm);
    if (!vm_write_pid(vm, &err)) {
        vm_destroy(vm);
        return fail(err);
    }
    daemon_ready(&daemon);
    status = vm_run(vm);
    vm_destroy(vm);
    return status;
}
