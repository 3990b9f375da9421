#pragma once
#include <json-glib/json-glib.h>

#include "vmm/vm.h"
/*
 * monitor.h - QMP and the text monitor over chardevs.  All on the main thread.
 *
 * A Vm has one Monitors, several monitors at once: each with its own greeting, capabilities and passed descriptors.
 */
typedef struct Monitor Monitor;
typedef struct Monitors Monitors;
struct Chardev;

Monitors *monitors_new(Vm *vm);
void monitors_free(Monitors *all); /* NULL is fine; before the chardevs */
typedef enum MonitorMode { MONITOR_TEXT, MONITOR_QMP, MONITOR_QMP_PRETTY } MonitorMode;
void monitor_add(Monitors *all, struct Chardev *chardev, MonitorMode mode);

/* To every QMP monitor that has negotiated.  data may be NULL; taken over. */
void monitors_event(Vm *vm, const char *name, JsonObject *data);
void monitors_io_error(Vm *vm, const Device *d, uint64_t what); /* commands_block.c */
void monitors_filter_changed(Vm *vm, const Device *d); /* commands_net.c */
void monitors_device_said(void *vm, Device *d, DeviceSays what, uint64_t value); /* any thread; commands_balloon.c */

/* The next descriptor that came over the monitor's socket with the commands, -1: none.  The caller's. */
int monitor_take_descriptor(Monitor *m);
/* commands_fd.c: what getfd has named, to be the caller's from now on; -1: no such name. */
int monitor_take_named(Monitor *m, const char *name);
/* "tap5:7" as numbers, "21:7": what is no number is a name of getfd, and taken.  NULL: *err is set.  Caller frees. */
char *monitor_descriptor_numbers(Monitor *m, const char *names, GError **err);
/* The name of what a path means: /dev/fdset/N is the set's first descriptor that has such access (O_RDONLY, O_WRONLY, O_RDWR), others are themselves.
 * Caller frees. */
char *vm_set_path(Vm *vm, const char *path, int access, GError **err);
const struct QapiSchema *monitors_schema(const Monitors *all);

/* Runs a typed line and returns what it prints; caller frees. */
char *monitor_run_line(Vm *vm, Monitor *m, const char *line);
/* Every command, for the manual page (roff); caller frees. */
char *monitor_manual(void);
