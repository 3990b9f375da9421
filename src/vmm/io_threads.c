/* io_threads.c - see io_threads.h. */
#include "vmm/io_threads.h"

#include "machine/help.h"
#include "vmm/objects.h"

static void free_thread(void *io_thread)
{
    VmIoThread *t = io_thread;
    io_thread_free(t->thread);
    g_free(t->id);
    g_free(t);
}

bool vm_add_io_thread(Vm *vm, const ObjectConfig *o, GError **err)
{
    IoThread *thread = io_thread_new(o->id, o->poll_max_ns, err);
    if (!thread)
        return false;
    VmIoThread *t = g_new0(VmIoThread, 1);
    *t = (VmIoThread){ .id = g_strdup(o->id), .poll_max_ns = o->poll_max_ns, .thread = thread };
    g_ptr_array_add(vm->io_threads, t);
    machine_add_backend(vm->machine, BACKEND_IOTHREAD, o->id, thread);
    return true;
}

static VmIoThread *find(Vm *vm, const char *id)
{
    for (unsigned i = 0; i < vm->io_threads->len; i++)
        if (g_str_equal(((VmIoThread *)vm->io_threads->pdata[i])->id, id))
            return vm->io_threads->pdata[i];
    return NULL;
}

bool vm_has_io_thread(Vm *vm, const char *id) { return find(vm, id); }

bool vm_remove_io_thread(Vm *vm, const char *id, GError **err)
{
    return machine_remove_backend(vm->machine, BACKEND_IOTHREAD, id, err) && g_ptr_array_remove(vm->io_threads, find(vm, id));
}

static bool on_vcpu(void *machine) { return machine_on_vcpu(machine); }
static void help(void *disks) { io_thread_help(disks); }

bool vm_open_io_threads(Vm *vm, GError **err)
{
    vm->io_threads = g_ptr_array_new_with_free_func(free_thread);
    for (unsigned i = 0; i < vm->config->objects->len; i++) {
        const ObjectConfig *o = &g_array_index(vm->config->objects, ObjectConfig, i);
        if (o->type->thread && !vm_add_io_thread(vm, o, err))
            return false;
    }
    IoThread *disks = io_thread_new("disks", IO_THREAD_POLL_NS, err);
    if (disks)
        io_thread_set_lenders(disks, on_vcpu, vm->machine);
    vm->machine->io_thread = disks;
    if (disks)
        machine_add_helper(vm->machine, &(VcpuHelper){ .help = help, .opaque = disks });
    return disks;
}

void vm_close_io_threads(Vm *vm)
{
    if (vm->io_threads)
        g_ptr_array_unref(vm->io_threads);
}
