/* commands_machine.c - the machine as a whole: its state, starting and stopping it. */
#include "vmm/monitor/command.h"

#include <string.h>

#include "accel/accel.h"
#include "vmm/migration/migration.h"

static bool query_status(MonitorCall *call, GError **err)
{
    JsonObject *o = json_object_new();
    json_object_set_boolean_member(o, "running", call->vm->status == VM_RUNNING);
    json_object_set_boolean_member(o, "singlestep", FALSE);
    json_object_set_string_member(o, "status", vm_status_name(call->vm));
    return return_object(call, o);
}

static bool info_status(MonitorCall *call, GError **err)
{
    bool running = call->vm->status == VM_RUNNING;
    g_string_append_printf(call->out, "VM status: %s%s%s%s\n", running ? "running" : "paused", running ? "" : " (", running ? "" : vm_status_name(call->vm),
                           running ? "" : ")");
    return true;
}

static bool stop(MonitorCall *call, GError **err)
{
    if (call->vm->status == VM_RUNNING || call->vm->status == VM_PRELAUNCH)
        vm_stop(call->vm, VM_PAUSED);
    return true;
}

static bool cont(MonitorCall *call, GError **err) { return vm_continue(call->vm, err); }

static bool quit(MonitorCall *call, GError **err)
{
    vm_quit(call->vm, 0, "host-qmp-quit");
    return true;
}

static bool system_reset(MonitorCall *call, GError **err)
{
    if (!migration_allows(call->vm, "system_reset", err))
        return false;
    vm_reset(call->vm, false, "host-qmp-system-reset");
    return true;
}

static bool system_powerdown(MonitorCall *call, GError **err)
{
    vm_powerdown(call->vm);
    return true;
}

static bool query_target(MonitorCall *call, GError **err)
{
    JsonObject *o = json_object_new();
    json_object_set_string_member(o, "arch", "x86_64");
    return return_object(call, o);
}

static bool query_kvm(MonitorCall *call, GError **err)
{
    const Accel *a = call->vm->machine->accel;
    JsonObject *o = json_object_new();
    json_object_set_boolean_member(o, "enabled", a && a->ops == &accel_kvm);
    json_object_set_boolean_member(o, "present", accel_kvm.probe(NULL));
    return return_object(call, o);
}

static bool info_kvm(MonitorCall *call, GError **err)
{
    const Accel *a = call->vm->machine->accel;
    g_string_append_printf(call->out, "kvm support: %s\naccelerator: %s (%s)\n", a && a->ops == &accel_kvm ? "enabled" : "disabled",
                           a ? a->ops->name : "none", a ? a->ops->summary : "");
    return true;
}

static bool query_name(MonitorCall *call, GError **err)
{
    JsonObject *o = json_object_new();
    if (call->vm->config->name)
        json_object_set_string_member(o, "name", call->vm->config->name);
    return return_object(call, o);
}

static char *uuid_text(const VmConfig *c)
{
    GString *s = g_string_new(NULL);
    for (unsigned i = 0; i < sizeof(c->uuid); i++)
        g_string_append_printf(s, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", c->uuid[i]);
    return g_string_free(s, FALSE);
}

static bool query_uuid(MonitorCall *call, GError **err)
{
    JsonObject *o = json_object_new();
    g_autofree char *text = uuid_text(call->vm->config);
    json_object_set_string_member(o, "UUID", text);
    return return_object(call, o);
}

/* There are no sleep states but off. */
static bool query_current_machine(MonitorCall *call, GError **err)
{
    JsonObject *o = json_object_new();
    json_object_set_boolean_member(o, "wakeup-suspend-support", FALSE);
    return return_object(call, o);
}

static bool system_wakeup(MonitorCall *call, GError **err) { return error_set(err, ERR_UNSUPPORTED, "wake-up from suspend is not supported by this guest"); }

const MonitorCommand machine_commands[] = {
    { "query-status", "info status", .ret = "StatusInfo", .doc = "does the machine run?", .run = query_status, .text = info_status, .early = true },
    { "stop", "stop|s", .doc = "stand still", .run = stop },
    { "cont", "cont|c", .doc = "go on", .run = cont, .early = true },
    { "quit", "quit|q", .doc = "end the machine and this program", .run = quit, .early = true },
    { "system_reset", "system_reset", .doc = "start the machine over, as by its reset button", .run = system_reset },
    { "system_powerdown", "system_powerdown", .doc = "press the power button", .run = system_powerdown },
    { "system_wakeup", "system_wakeup", .doc = "wake a guest that sleeps, which no guest here can", .run = system_wakeup },
    { "query-current-machine", NULL, .ret = "CurrentMachineParams", .doc = "can the guest be woken?", .run = query_current_machine },
    { "query-target", NULL, .ret = "TargetInfo", .doc = "the guest's architecture", .run = query_target, .early = true },
    { "query-kvm", "info kvm", .ret = "KvmInfo", .doc = "does KVM run the guest's instructions?", .run = query_kvm, .text = info_kvm, .early = true },
    { "query-name", "info name", .ret = "NameInfo", .doc = "name of the machine", .run = query_name, .early = true },
    { "query-uuid", "info uuid", .ret = "UuidInfo", .doc = "UUID of the machine", .run = query_uuid, .early = true },
    { NULL },
};
