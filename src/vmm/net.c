/* net.c - the host ends of a machine's networks: opened at the start and while it runs. */
#include "vmm/net.h"

#include "machine/help.h"
#include "vmm/config_net.h"

HostNet *vm_find_net(Vm *vm, const char *id, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; i < vm->nets->len; i++) {
        if (g_str_equal(hostnet_id(vm->nets->pdata[i]), id))
            return vm->nets->pdata[i];
        g_ptr_array_add(names, (char *)hostnet_id(vm->nets->pdata[i]));
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(id, (const char *const *)names->pdata);
    error_set(err, ERR_NOT_FOUND, "there is no network backend '%s'%s", id, hint);
    return NULL;
}

static bool on_vcpu(void *machine) { return machine_on_vcpu(machine); }

bool vm_add_net(Vm *vm, const char *spec, GError **err)
{
    HostNet *h = hostnet_open(spec, err);
    if (!h)
        return false;
    if (vm_find_net(vm, hostnet_id(h), NULL)) {
        error_set(err, ERR_INVALID, "there is a network backend '%s' already; choose another id", hostnet_id(h));
        hostnet_close(h);
        return false;
    }
    g_ptr_array_add(vm->nets, h);
    if (hostnet_set_lenders(h, on_vcpu, vm->machine))
        machine_add_helper(vm->machine, &(VcpuHelper){ hostnet_stand_in, hostnet_watch, hostnet_look, h });
    machine_add_backend(vm->machine, BACKEND_NETDEV, hostnet_id(h), h);
    return true;
}

bool vm_remove_net(Vm *vm, const char *id, GError **err)
{
    HostNet *h = vm_find_net(vm, id, err);
    if (!h || !machine_remove_backend(vm->machine, BACKEND_NETDEV, id, err))
        return false;
    machine_remove_helper(vm->machine, h);
    g_ptr_array_remove(vm->nets, h);
    hostnet_close(h);
    return true;
}

bool vm_add_net_dump(Vm *vm, const char *id, const char *netdev, const char *file, uint32_t maxlen, GError **err)
{
    HostNet *h = vm_find_net(vm, netdev, err);
    return h && hostnet_dump(h, id, file, maxlen, err);
}

bool vm_remove_net_dump(Vm *vm, const char *id)
{
    bool found = false;
    for (unsigned i = 0; i < vm->nets->len && !found; i++)
        found = hostnet_undump(vm->nets->pdata[i], id);
    return found;
}

bool vm_open_nets(Vm *vm, GError **err)
{
    const NetConfig *n = vm->config->net;
    for (unsigned i = 0; i < n->netdevs->len; i++)
        if (!vm_add_net(vm, n->netdevs->pdata[i], err))
            return false;
    for (unsigned i = 0; i < n->dumps->len; i++) {
        const NetDumpConfig *d = &g_array_index(n->dumps, NetDumpConfig, i);
        if (!vm_add_net_dump(vm, d->id, d->netdev, d->file, d->maxlen, err))
            return false;
    }
    return true;
}

void vm_close_nets(Vm *vm)
{
    for (unsigned i = 0; i < vm->nets->len; i++)
        hostnet_close(vm->nets->pdata[i]);
    g_ptr_array_set_size(vm->nets, 0);
}
