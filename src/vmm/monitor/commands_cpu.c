/* commands_cpu.c - the machine's processors. */
#include "vmm/monitor/qom.h"

#include <string.h>
#include <unistd.h>

#include "accel/accel.h"

/* ---- the machine's */

static JsonObject *place(const Vcpu *v)
{
    const MachineConfig *c = &v->machine->config;
    JsonObject *o = json_object_new();
    json_object_set_int_member(o, "socket-id", v->id / (c->cores * c->threads));
    json_object_set_int_member(o, "core-id", v->id / c->threads % c->cores);
    json_object_set_int_member(o, "thread-id", v->id % c->threads);
    return o;
}

static void ask_thread(Vcpu *v, void *ret) { *(int *)ret = gettid(); }

static JsonObject *cpu_fast(Vcpu *v)
{
    int thread = 0;
    JsonObject *o = json_object_new();
    g_autofree char *path = qom_vcpu_path(v);
    vcpu_run_on(v, ask_thread, &thread);
    json_object_set_int_member(o, "cpu-index", v->id);
    json_object_set_string_member(o, "qom-path", path);
    json_object_set_int_member(o, "thread-id", thread);
    json_object_set_object_member(o, "props", place(v));
    json_object_set_string_member(o, "target", "x86_64");
    return o;
}

static JsonObject *cpu_slot(Vcpu *v)
{
    JsonObject *o = json_object_new();
    g_autofree char *path = qom_vcpu_path(v), *type = g_strdup_printf("%s-x86_64-cpu", v->accel->model.name);
    json_object_set_string_member(o, "type", type);
    json_object_set_int_member(o, "vcpus-count", 1);
    json_object_set_object_member(o, "props", place(v));
    json_object_set_string_member(o, "qom-path", path);
    return o;
}

static bool each_vcpu(MonitorCall *call, JsonObject *(*describe)(Vcpu *v))
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < call->vm->machine->vcpus->len; i++)
        json_array_add_object_element(a, describe(call->vm->machine->vcpus->pdata[i]));
    return return_array(call, a);
}

static bool query_cpus_fast(MonitorCall *call, GError **err) { return each_vcpu(call, cpu_fast); }
static bool query_hotpluggable_cpus(MonitorCall *call, GError **err) { return each_vcpu(call, cpu_slot); }

static bool info_cpus(MonitorCall *call, GError **err)
{
    for (unsigned i = 0; i < call->vm->machine->vcpus->len; i++) {
        int thread = 0;
        vcpu_run_on(call->vm->machine->vcpus->pdata[i], ask_thread, &thread);
        g_string_append_printf(call->out, "%c CPU #%u: thread_id=%d\n", i ? ' ' : '*', i, thread);
    }
    return true;
}

static void read_state(Vcpu *v, void *opaque)
{
    void **arg = opaque;
    *(bool *)arg[2] = v->accel->ops->get(v, arg[0], arg[1]);
}

static bool info_registers(MonitorCall *call, GError **err)
{
    bool all = g_strcmp0(arg_text(call, "which"), "-a") == 0;
    unsigned first = all || !arg_text(call, "which") ? 0 : atoi(arg_text(call, "which"));
    Machine *m = call->vm->machine;
    if (first >= m->vcpus->len)
        return error_set(err, ERR_NOT_FOUND, "there is no CPU %u", first);
    for (unsigned i = first; i < (all ? m->vcpus->len : first + 1); i++) {
        CpuState s;
        bool ok = false;
        vcpu_run_on(m->vcpus->pdata[i], read_state, (void *[]){ &s, err, &ok });
        if (!ok)
            return false;
        g_autofree char *text = cpu_state_dump(&s);
        g_string_append_printf(call->out, "CPU#%u\n%s\n", i, text);
    }
    return true;
}

static bool inject_nmi(MonitorCall *call, GError **err)
{
    vm_inject_nmi(call->vm);
    return true;
}

const MonitorCommand cpu_commands[] = {
    { "query-cpus-fast", NULL, .ret = "[CpuInfoFast]", .doc = "processors and their threads on the host", .run = query_cpus_fast },
    { NULL, "info cpus", .doc = "processors and their threads on the host", .text = info_cpus },
    { NULL, "info registers", "?which: str", .doc = "registers of a CPU (-a: of all)", .text = info_registers },
    { "query-hotpluggable-cpus", "info hotpluggable-cpus", .ret = "[HotpluggableCPU]", .doc = "places for processors", .run = query_hotpluggable_cpus },
    { "inject-nmi", "nmi", .doc = "a non-maskable interrupt to every processor", .run = inject_nmi },
    { NULL },
};
