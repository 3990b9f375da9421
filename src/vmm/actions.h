#pragma once
#include <glib.h>
#include <stdbool.h>
/*
 * actions.h - what follows when the guest resets, shuts down or panics, or a watchdog runs out: -action, set-action.
 *
 * The first word of each is how it is where nothing was said.
 */
typedef enum RebootAction { REBOOT_RESET, REBOOT_SHUTDOWN } RebootAction;
typedef enum ShutdownAction { SHUTDOWN_POWEROFF, SHUTDOWN_PAUSE } ShutdownAction;
typedef enum PanicAction { PANIC_SHUTDOWN, PANIC_PAUSE, PANIC_EXIT_FAILURE, PANIC_NONE } PanicAction;
typedef enum WatchdogAction { WATCHDOG_RESET, WATCHDOG_SHUTDOWN, WATCHDOG_POWEROFF, WATCHDOG_PAUSE, WATCHDOG_DEBUG, WATCHDOG_NONE, WATCHDOG_INJECT_NMI } WatchdogAction;

typedef struct VmActions {
    RebootAction reboot;
    ShutdownAction shutdown;
    PanicAction panic;
    WatchdogAction watchdog;
} VmActions;

bool action_set(VmActions *a, const char *event, const char *action, GError **err);
const char *watchdog_action_name(WatchdogAction a);
