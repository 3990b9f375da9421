/* commands_memory.c - guest memory, the memory map, PCI functions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/bus.h"
#include "machine/pci.h"
#include "vmm/monitor/command.h"

static bool query_memory_size_summary(MonitorCall *call, GError **err)
{
    JsonObject *o = json_object_new();
    json_object_set_int_member(o, "base-memory", call->vm->machine->config.ram_size);
    json_object_set_int_member(o, "plugged-memory", 0);
    return return_object(call, o);
}

static bool query_memory_devices(MonitorCall *call, GError **err) { return return_array(call, json_array_new()); }

static bool info_mtree(MonitorCall *call, GError **err)
{
    g_autofree char *memory = space_dump(call->vm->machine->memory), *ports = space_dump(call->vm->machine->ports);
    g_string_append_printf(call->out, "memory\n%s\nI/O\n%s", memory, ports);
    return true;
}

static bool pmemsave(MonitorCall *call, GError **err)
{
    uint64_t at = arg_int(call, "val", 0), left = arg_int(call, "size", 0);
    const char *path = arg_text(call, "filename");
    g_autofree uint8_t *buf = g_malloc(1 << 20);
    FILE *file = fopen(path, "we");
    if (!file)
        return error_set_errno(err, errno, "cannot write '%s'", path);
    bool ok = true;
    for (; left && ok; left -= MIN(left, 1 << 20), at += 1 << 20) {
        size_t n = MIN(left, 1 << 20);
        ok = dma_read(call->vm->machine, at, buf, n)
                 ? fwrite(buf, 1, n, file) == n || error_set_errno(err, errno, "cannot write '%s'", path)
                 : error_set(err, ERR_INVALID, "no RAM at %" G_GINT64_MODIFIER "x for %zu bytes", at, n);
    }
    ok = (fclose(file) == 0 || !ok || error_set_errno(err, errno, "cannot write '%s'", path)) && ok;
    return ok;
}

/* ---- PCI */

static void add_regions(const PciDevice *p, JsonArray *regions)
{
    for (const WindowDecl *w = p->dev.type->windows; w && w->name; w++) {
        if (w->space != SPACE_PCI_BAR)
            continue;
        unsigned at = PCI_BAR0 + w->bar * 4;
        uint64_t address = w->bar_io ? pci_get32(p, at) & ~3u : pci_get32(p, at) & ~15u;
        if (w->bar_64)
            address |= (uint64_t)pci_get32(p, at + 4) << 32;
        JsonObject *o = json_object_new();
        json_object_set_int_member(o, "bar", w->bar);
        json_object_set_string_member(o, "type", w->bar_io ? "io" : "memory");
        json_object_set_int_member(o, "address", address);
        json_object_set_int_member(o, "size", w->size);
        if (!w->bar_io) {
            json_object_set_boolean_member(o, "prefetch", w->bar_prefetch);
            json_object_set_boolean_member(o, "mem_type_64", w->bar_64);
        }
        json_array_add_object_element(regions, o);
    }
}

static JsonObject *pci_info(const PciDevice *p, unsigned bus)
{
    JsonObject *o = json_object_new(), *class = json_object_new(), *id = json_object_new();
    JsonArray *regions = json_array_new();
    json_object_set_int_member(o, "bus", bus);
    json_object_set_int_member(o, "slot", p->devfn >> 3);
    json_object_set_int_member(o, "function", p->devfn & 7);
    json_object_set_int_member(class, "class", pci_get16(p, PCI_CLASS + 1));
    json_object_set_string_member(class, "desc", p->dev.type->summary);
    json_object_set_object_member(o, "class_info", class);
    json_object_set_int_member(id, "device", pci_get16(p, PCI_DEVICE_ID));
    json_object_set_int_member(id, "vendor", pci_get16(p, PCI_VENDOR_ID));
    json_object_set_int_member(id, "subsystem", pci_get16(p, PCI_SUBSYSTEM));
    json_object_set_int_member(id, "subsystem-vendor", pci_get16(p, PCI_SUBSYSTEM_VENDOR));
    json_object_set_object_member(o, "id", id);
    if (p->config[PCI_INTERRUPT_PIN])
        json_object_set_int_member(o, "irq", p->config[PCI_INTERRUPT_LINE]);
    json_object_set_int_member(o, "irq_pin", p->config[PCI_INTERRUPT_PIN]);
    json_object_set_string_member(o, "qdev_id", p->dev.id ? p->dev.id : "");
    add_regions(p, regions);
    json_object_set_array_member(o, "regions", regions);
    return o;
}

typedef struct Functions {
    JsonArray *list;
    unsigned bus;
} Functions;

static void add_function(PciDevice *p, void *opaque)
{
    Functions *f = opaque;
    json_array_add_object_element(f->list, pci_info(p, f->bus));
}

/* Buses in the order in which they were made; their numbers are the guest's affair. */
static bool query_pci(MonitorCall *call, GError **err)
{
    Machine *m = call->vm->machine;
    JsonArray *buses = json_array_new();
    unsigned number = 0;
    for (unsigned i = 0; i < m->buses->len; i++) {
        const Bus *b = m->buses->pdata[i];
        if (!g_str_equal(b->type->kind, "PCI"))
            continue;
        JsonObject *o = json_object_new();
        JsonArray *devices = json_array_new();
        pci_bus_each((PciBus *)b, add_function, &(Functions){ devices, number });
        json_object_set_int_member(o, "bus", number++);
        json_object_set_array_member(o, "devices", devices);
        json_array_add_object_element(buses, o);
    }
    return return_array(call, buses);
}

static void print_function(PciDevice *p, void *out)
{
    g_string_append_printf(out, "  device %2u, function %u:\n    %s: PCI device %04x:%04x\n      id \"%s\"\n", p->devfn >> 3, p->devfn & 7,
                           p->dev.type->summary, pci_get16(p, PCI_VENDOR_ID), pci_get16(p, PCI_DEVICE_ID), p->dev.id ? p->dev.id : "");
}

static bool info_pci(MonitorCall *call, GError **err)
{
    GPtrArray *buses = call->vm->machine->buses;
    for (unsigned i = 0; i < buses->len; i++) {
        Bus *b = buses->pdata[i];
        if (!g_str_equal(b->type->kind, "PCI"))
            continue;
        g_string_append_printf(call->out, "bus %s\n", b->name);
        pci_bus_each((PciBus *)b, print_function, call->out);
    }
    return true;
}

const MonitorCommand memory_commands[] = {
    { "query-memory-size-summary", "info memory_size_summary", .ret = "MemoryInfo", .doc = "bytes of RAM", .run = query_memory_size_summary },
    { "query-memory-devices", "info memory-devices", .ret = "[MemoryDeviceInfo]", .doc = "memory modules: none is built", .run = query_memory_devices },
    { NULL, "info mtree", "?flat: str", .doc = "memory map and ports, as they are seen", .text = info_mtree },
    { "pmemsave", "pmemsave", "val: int, size: int, filename: str", .doc = "physical memory into a file", .run = pmemsave },
    { "query-pci", NULL, .ret = "[PciInfo]", .doc = "PCI functions", .run = query_pci },
    { NULL, "info pci", .doc = "PCI functions", .text = info_pci },
    { NULL },
};
