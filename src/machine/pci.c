/*
 * pci.c - the bus, configuration space and BARs of PCI functions.  PCI Local Bus Specification 3.0, chapter 6.
 *
 * A configuration access takes the function's own lock, so a host bridge's ports must belong to another device than the
 * function that it shows on the bus.
 */
#include "machine/pci.h"

#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

enum { HEADER_SIZE = 0x40 };

const Field pci_fields[] = {
    { FA(PciDevice, config), .doc = "configuration space" },
    { FA(PciDevice, msix_table), .doc = "MSI-X table" },
    { FA(PciDevice, msix_pending), .doc = "MSI-X pending bits" },
    { F(PciDevice, intx_level), .doc = "level of the interrupt pin, before the command register's mask" },
    { .name = NULL },
};

/* ---- little-endian fields */

static uint32_t get(const uint8_t *p, unsigned off, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)p[off + i] << (i * 8);
    return value;
}

static void put(uint8_t *p, unsigned off, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++)
        p[off + i] = value >> (i * 8);
}

void pci_set16(PciDevice *p, unsigned off, uint16_t value) { put(p->config, off, 2, value); }
void pci_set32(PciDevice *p, unsigned off, uint32_t value) { put(p->config, off, 4, value); }
uint16_t pci_get16(const PciDevice *p, unsigned off) { return get(p->config, off, 2); }
uint32_t pci_get32(const PciDevice *p, unsigned off) { return get(p->config, off, 4); }
void pci_set_writable(PciDevice *p, unsigned off, unsigned size, uint32_t mask) { put(p->writable, off, size, mask); }

uint8_t pci_add_capability(PciDevice *p, uint8_t id, uint8_t size)
{
    uint8_t at = p->cap_end;
    g_assert(at >= 0x40 && at + size <= 0x100); /* a device type that declares more than fits is our own mistake */
    p->config[at] = id;
    p->config[at + 1] = p->config[PCI_CAPABILITIES];
    memset(p->config + at + 2, 0, size - 2);
    p->config[PCI_CAPABILITIES] = at;
    p->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    p->cap_end = (at + size + 3) & ~3;
    return at;
}

bool pci_bus_master(const PciDevice *p) { return p->config[PCI_COMMAND] & PCI_COMMAND_MASTER; }

/* ---- the bus */

static bool plug_into_bus(Bus *b, Device *d, const char *addr, GError **err);
static bool bus_full(const Bus *b);

static void tell_plugged(Bus *bus, Device *d)
{
    PciBus *b = (PciBus *)bus;
    b->hotplug->plugged(b->hotplug_opaque, (PciDevice *)d);
}

static bool ask_to_unplug(Bus *bus, Device *d, GError **err)
{
    PciBus *b = (PciBus *)bus;
    return b->hotplug->unplug_request(b->hotplug_opaque, (PciDevice *)d, err);
}

static const BusType pci_bus_type = { .kind = "PCI", .plug = plug_into_bus, .full = bus_full };
static const BusType pci_hotplug_bus_type = { .kind = "PCI", .plug = plug_into_bus, .full = bus_full, .plugged = tell_plugged, .unplug_request = ask_to_unplug };

PciBus *pci_bus_create(Machine *m, const char *name, const PciBusOps *ops, void *opaque)
{
    PciBus *b = g_new0(PciBus, 1);
    b->ops = ops;
    b->opaque = opaque;
    b->slots = 32;
    bus_init(&b->bus, m, &pci_bus_type, name, NULL);
    g_mutex_init(&b->lock);
    return b;
}

void pci_bus_set_hotplug(PciBus *b, const PciHotplugOps *ops, void *opaque)
{
    b->bus.type = &pci_hotplug_bus_type;
    b->hotplug = ops;
    b->hotplug_opaque = opaque;
}

void pci_bus_destroy(PciBus *b)
{
    if (!b)
        return;
    g_mutex_clear(&b->lock);
    bus_clear(&b->bus);
    g_free(b);
}

PciDevice *pci_find(PciBus *b, uint8_t devfn)
{
    g_mutex_lock(&b->lock);
    PciDevice *p = b->function[devfn];
    g_mutex_unlock(&b->lock);
    return p;
}

void pci_hide(PciDevice *p)
{
    PciDevice **place = &p->bus->function[p->devfn];
    g_mutex_lock(&p->bus->lock);
    if (*place == p) /* another may have come since */
        *place = NULL;
    g_mutex_unlock(&p->bus->lock);
}

void pci_bus_each(PciBus *b, void (*fn)(PciDevice *p, void *arg), void *arg)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        PciDevice *p = pci_find(b, devfn);
        if (p)
            fn(p, arg);
    }
}

/* A bridge forwards what lies between its secondary and subordinate numbers; on its way down the access is type 0 only at the former. */
PciBus *pci_bus_number(PciBus *b, unsigned number)
{
    enum { SECONDARY = 0x19, SUBORDINATE = 0x1a };
    for (unsigned devfn = 0; number && b && devfn < b->slots * 8; devfn++) {
        const PciDevice *p = pci_find(b, devfn);
        if (!p || !p->behind || number < p->config[SECONDARY] || number > p->config[SUBORDINATE])
            continue;
        return number == p->config[SECONDARY] ? p->behind : pci_bus_number(p->behind, number);
    }
    return number ? NULL : b;
}

void pci_bus_msi(PciBus *b, uint64_t address, uint32_t data)
{
    if (b->ops->msi)
        b->ops->msi(b->opaque, address, data);
}

/* Open Firmware's PCI binding, 2.5, with QEMU's names of classes: what firmware looks for. */
static void append_boot_path(GString *path, const PciDevice *p)
{
    static const struct { uint16_t class_code; const char *name; } names[] = {
        { 0x0100, "scsi" }, { 0x0101, "ide" }, { 0x0102, "fdc" }, { 0x0200, "ethernet" }, { 0x0604, "pci-bridge" }, { 0x0c03, "usb" },
    };
    const char *name = NULL;
    const Device *bridge = p->bus ? p->bus->bus.owner : NULL;
    if (bridge)
        append_boot_path(path, (const PciDevice *)bridge);
    g_string_append_c(path, '/');
    for (unsigned i = 0; !name && i < G_N_ELEMENTS(names); i++)
        if (names[i].class_code == pci_get16(p, PCI_CLASS + 1))
            name = names[i].name;
    if (name)
        g_string_append(path, name);
    else
        g_string_append_printf(path, "pci%04x,%04x", pci_get16(p, PCI_VENDOR_ID), pci_get16(p, PCI_DEVICE_ID));
    g_string_append_printf(path, "@%x", p->devfn >> 3);
    if (p->devfn & 7)
        g_string_append_printf(path, ",%x", p->devfn & 7);
}

char *pci_boot_path(const PciDevice *p)
{
    GString *path = g_string_new("/pci@i0cf8");
    append_boot_path(path, p);
    return g_string_free(path, FALSE);
}

bool pci_devfn_parse(const char *addr, uint8_t *ret, GError **err)
{
    char *end = NULL;
    unsigned long slot = strtoul(addr, &end, 16), function = 0;
    bool ok = end != addr;
    if (ok && *end == '.') {
        const char *start = end + 1;
        function = strtoul(start, &end, 16);
        ok = end != start;
    }
    if (!ok || *end || slot > 31 || function > 7)
        return error_set(err, ERR_INVALID, "PCI address '%s' is not SLOT or SLOT.FUNCTION (hexadecimal, up to 1f.7)", addr);
    *ret = pci_devfn(slot, function);
    return true;
}

/* The first slot without any function; -1: none. */
static int free_slot(const PciBus *b)
{
    static PciDevice *const empty[8];
    for (unsigned slot = 0; slot < b->slots; slot++)
        if (!memcmp(&b->function[slot * 8], empty, sizeof(empty)))
            return pci_devfn(slot, 0);
    return -1;
}

static bool take_slot(PciDevice *p, PciBus *b, int devfn, GError **err)
{
    if (devfn < 0 && (devfn = free_slot(b)) < 0)
        return error_set(err, ERR_BUSY, "%s: every slot of PCI bus '%s' is taken; remove a device", p->dev.path, b->bus.name);
    if (devfn >> 3 >= (int)b->slots)
        return error_set(err, ERR_INVALID, "%s: bus '%s' has slot 0 only, not %x; leave addr= out", p->dev.path, b->bus.name, devfn >> 3);
    if (b->function[devfn])
        return error_set(err, ERR_BUSY, "%s: slot %x.%x of PCI bus '%s' is taken by device '%s'; choose another addr", p->dev.path,
                         devfn >> 3, devfn & 7, b->bus.name, b->function[devfn]->dev.path);
    b->function[devfn] = p;
    p->bus = b;
    p->devfn = devfn;
    return true;
}

/* ---- BARs */

static bool is_bar(const WindowDecl *d) { return d->space == SPACE_PCI_BAR; }

static uint64_t bar_size(const Window *w) { return w->ram ? w->ram->size : w->decl->size; }

static void init_bar(PciDevice *p, const Window *w)
{
    const WindowDecl *d = w->decl;
    unsigned off = PCI_BAR0 + 4 * d->bar;
    uint64_t size = bar_size(w);
    g_assert(size >= 4 && !(size & (size - 1)) && d->bar + d->bar_64 < 6);
    pci_set32(p, off, d->bar_io ? 1 : (d->bar_64 ? 4 : 0) | (d->bar_prefetch ? 8 : 0));
    uint64_t mask = ~(size - 1) & (d->bar_io ? ~3ull : ~15ull);
    pci_set_writable(p, off, 4, mask);
    if (d->bar_64)
        pci_set_writable(p, off + 4, 4, mask >> 32);
}

/* Where the guest has put it; false: nowhere.  Address 0 and an all-ones base, as sizing leaves them, mean nowhere. */
static bool bar_address(const PciDevice *p, const Window *w, uint64_t *ret)
{
    const WindowDecl *d = w->decl;
    unsigned off = PCI_BAR0 + 4 * d->bar;
    bool decoded = p->config[PCI_COMMAND] & (d->bar_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
    uint64_t base = pci_get32(p, off) & (d->bar_io ? ~3u : ~15u);
    if (d->bar_64)
        base |= (uint64_t)pci_get32(p, off + 4) << 32;
    uint64_t limit = d->bar_io ? 0xffff : d->bar_64 ? (1ull << 52) - 1 : 0xfffffffe;
    *ret = base;
    return decoded && base && bar_size(w) - 1 <= limit && base <= limit - (bar_size(w) - 1);
}

bool pci_bar_address(const PciDevice *p, unsigned window, uint64_t *ret) { return bar_address(p, &p->dev.windows[window], ret); }

static void map_bar(PciDevice *p, Window *w)
{
    uint64_t base;
    if (!bar_address(p, w, &base)) {
        if (w->region)
            region_enable(w->region, false);
        return;
    }
    if (w->region) {
        region_move(w->region, base);
        region_enable(w->region, true);
        return;
    }
    /* Below everything else: RAM and the chip set's own windows win over a BAR that the guest puts on top of them. */
    RegionDecl decl = { .name = w->name, .kind = w->ram ? REGION_RAM : REGION_IO, .base = base, .size = bar_size(w), .priority = -1,
                        .ram = w->ram, .window = w->ram ? NULL : w };
    Machine *m = p->dev.machine;
    g_autoptr(GError) err = NULL;
    w->region = region_add(w->decl->bar_io ? m->ports : m->memory, &decl, &err);
    if (!w->region)
        guest_error(&p->dev, "%s", err->message);
}

static void map_bars(PciDevice *p)
{
    const WindowDecl *decl = p->dev.type->windows;
    space_begin(p->dev.machine->memory);
    space_begin(p->dev.machine->ports);
    for (unsigned i = 0; decl && decl[i].name; i++)
        if (is_bar(&decl[i]))
            map_bar(p, &p->dev.windows[i]);
    pci_rom_map(p);
    space_commit(p->dev.machine->ports);
    space_commit(p->dev.machine->memory);
}

/* ---- the interrupt pin */

static void drive_intx(PciDevice *p)
{
    bool masked = pci_get16(p, PCI_COMMAND) & PCI_COMMAND_INTX_OFF;
    unsigned pin = p->config[PCI_INTERRUPT_PIN];
    if (p->bus && pin && p->bus->ops->set_intx)
        p->bus->ops->set_intx(p->bus->opaque, p->devfn, pin - 1, p->intx_level && !masked);
}

void pci_set_intx(PciDevice *p, bool level)
{
    if (p->intx_level == level)
        return;
    p->intx_level = level;
    p->config[PCI_STATUS] = (p->config[PCI_STATUS] & ~PCI_STATUS_INTX) | (level ? PCI_STATUS_INTX : 0);
    drive_intx(p);
}

/* ---- life of a function */

static void init_header(PciDevice *p)
{
    const PciInfo *i = p->dev.type->pci;
    pci_set16(p, PCI_VENDOR_ID, i->vendor);
    pci_set16(p, PCI_DEVICE_ID, i->device);
    p->config[PCI_REVISION] = i->revision;
    put(p->config, PCI_CLASS, 3, i->class_code);
    p->config[PCI_HEADER_TYPE] = i->multifunction || p->multifunction ? 0x80 : 0;
    pci_set16(p, PCI_SUBSYSTEM_VENDOR, i->subsystem_vendor);
    pci_set16(p, PCI_SUBSYSTEM, i->subsystem);
    p->config[PCI_INTERRUPT_PIN] = i->interrupt_pin;
    pci_set_writable(p, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                                            PCI_COMMAND_SERR | PCI_COMMAND_INTX_OFF);
    put(p->write1clear, PCI_STATUS, 2, PCI_STATUS_ERRORS);
    pci_set_writable(p, PCI_CACHE_LINE, 2, 0xffff);
    pci_set_writable(p, PCI_INTERRUPT_LINE, 1, 0xff);
    p->cap_end = 0x40;
    for (unsigned i = 0; p->dev.type->windows && p->dev.type->windows[i].name; i++)
        if (is_bar(&p->dev.type->windows[i]))
            init_bar(p, &p->dev.windows[i]);
}

const WindowOps pci_memory_window = { .min = 1, .max = 8 }; /* no callbacks: the guest reaches the memory itself */

void pci_set_bar_ram(PciDevice *p, unsigned window, RamBlock *ram)
{
    p->dev.windows[window].ram = ram;
    init_bar(p, &p->dev.windows[window]);
}

bool pci_plug(PciDevice *p, PciBus *b, int devfn, GError **err)
{
    g_mutex_lock(&b->lock);
    bool ok = take_slot(p, b, devfn, err);
    g_mutex_unlock(&b->lock);
    return ok;
}

static bool plug_into_bus(Bus *b, Device *d, const char *addr, GError **err)
{
    uint8_t devfn = 0;
    return (!addr || pci_devfn_parse(addr, &devfn, err)) && pci_plug((PciDevice *)d, (PciBus *)b, addr ? devfn : -1, err);
}

static bool bus_full(const Bus *b)
{
    PciBus *bus = (PciBus *)b;
    g_mutex_lock(&bus->lock);
    bool full = free_slot(bus) < 0;
    g_mutex_unlock(&bus->lock);
    return full;
}

bool pci_realize(PciDevice *p, GError **err)
{
    if (!p->bus)
        return error_set(err, ERR_INVALID, "%s: device '%s' needs a PCI bus, and this machine has none for it", p->dev.path,
                         p->dev.type->name);
    init_header(p);
    if (p->dev.type->pci->msi)
        pci_msi_init(p);
    if (p->dev.type->pci->msix_vectors)
        pci_msix_init(p);
    return pci_rom_realize(p, err);
}

void pci_unrealize(PciDevice *p)
{
    pci_rom_unrealize(p);
    if (!p->bus)
        return;
    pci_set_intx(p, false);
    pci_hide(p);
    p->bus = NULL;
}

void pci_config_reset(PciDevice *p)
{
    if (!p->reset_known) {
        memcpy(p->reset_config, p->config, sizeof(p->config));
        p->reset_known = true;
        pci_rom_patch(p);
    }
    pci_set_intx(p, false);
    memcpy(p->config, p->reset_config, sizeof(p->config));
    pci_msix_reset(p);
    map_bars(p);
}

/* Header bits that the guest cannot change are this program's to say, not the stream's: class, BAR sizes, interrupt pin. */
bool pci_post_load(PciDevice *p, GError **err)
{
    if (get(p->config, PCI_VENDOR_ID, 4) != get(p->reset_config, PCI_VENDOR_ID, 4))
        return error_set(err, ERR_INVALID, "%s: saved state is of PCI device %04x:%04x, this one is %04x:%04x", p->dev.path,
                         pci_get16(p, PCI_VENDOR_ID), pci_get16(p, PCI_DEVICE_ID), (unsigned)get(p->reset_config, PCI_VENDOR_ID, 2),
                         (unsigned)get(p->reset_config, PCI_DEVICE_ID, 2));
    for (unsigned off = PCI_REVISION; off < HEADER_SIZE; off++)
        p->config[off] = (p->config[off] & p->writable[off]) | (p->reset_config[off] & ~p->writable[off]);
    map_bars(p);
    return true;
}

/* ---- configuration accesses */

static unsigned config_size(const PciDevice *p) { return p->dev.type->pci->express ? 4096 : 256; }

static uint32_t ones(unsigned size) { return size >= 4 ? UINT32_MAX : (1u << (size * 8)) - 1; }

static uint32_t read_locked(PciDevice *p, unsigned off, unsigned size)
{
    const PciInfo *info = p->dev.type->pci;
    uint32_t value = get(p->config, off, size);
    return info->config_read ? info->config_read(p, off, size, value) & ones(size) : value;
}

uint32_t pci_config_read(PciBus *b, uint8_t devfn, unsigned off, unsigned size)
{
    PciDevice *p = pci_find(b, devfn);
    if (!p || !p->dev.realized || off + size > config_size(p))
        return ones(size);
    g_mutex_lock(&p->dev.lock);
    uint32_t value = read_locked(p, off, size);
    g_mutex_unlock(&p->dev.lock);
    if (log_on(device_log(&p->dev), LOG_PCI))
        log_write(device_log(&p->dev), LOG_PCI, "%s: config read %02x.%u = %0*x", p->dev.path, off, size, size * 2, value);
    return value;
}

static void store(PciDevice *p, unsigned off, unsigned size, uint32_t value)
{
    for (unsigned i = off; i < off + size; i++, value >>= 8) {
        uint8_t byte = value;
        p->config[i] = (p->config[i] & ~p->writable[i]) | (byte & p->writable[i]);
        p->config[i] &= ~(byte & p->write1clear[i]);
    }
}

static bool touches(unsigned off, unsigned size, unsigned start, unsigned len) { return off < start + len && start < off + size; }

static void write_locked(PciDevice *p, unsigned off, unsigned size, uint32_t value)
{
    const PciInfo *info = p->dev.type->pci;
    uint32_t old = get(p->config, off, size);
    store(p, off, size, value);
    uint32_t now = get(p->config, off, size);
    if (touches(off, size, PCI_BAR0, 24) || touches(off, size, PCI_ROM, 4) || touches(off, size, PCI_COMMAND, 2))
        map_bars(p);
    if (touches(off, size, PCI_COMMAND, 2))
        drive_intx(p);
    if (p->cap_msix)
        pci_msix_flush(p);
    if (info->config_written)
        info->config_written(p, off, size, old, now);
}

void pci_config_write(PciBus *b, uint8_t devfn, unsigned off, unsigned size, uint32_t value)
{
    PciDevice *p = pci_find(b, devfn);
    if (!p || !p->dev.realized || off + size > config_size(p))
        return;
    if (log_on(device_log(&p->dev), LOG_PCI))
        log_write(device_log(&p->dev), LOG_PCI, "%s: config write %02x.%u = %0*x", p->dev.path, off, size, size * 2, value);
    g_mutex_lock(&p->dev.lock);
    write_locked(p, off, size, value);
    g_mutex_unlock(&p->dev.lock);
}
