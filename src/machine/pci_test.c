/* pci_test.c - configuration space, BARs, interrupt pins and MSI-X, by a function made for the purpose. */
#include "machine/pci.h"

#include <glib/gstdio.h>
#include <string.h>

#include "machine/machine.h"

typedef struct Probe {
    PciDevice pci;
    uint64_t last;
    uint32_t hook_old, hook_value;
} Probe;

static uint64_t probe_read(Device *d, uint64_t off, unsigned size) { return 0x1122334455667788ull >> (off * 8); }
static void probe_write(Device *d, uint64_t off, unsigned size, uint64_t value) { ((Probe *)d)->last = value << 8 | off; }

static void probe_config(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    ((Probe *)p)->hook_old = old;
    ((Probe *)p)->hook_value = value;
}

enum { BAR_MEM, BAR_IO, BAR_MSIX, BAR_BIG };
static const WindowOps probe_ops = { .read = probe_read, .write = probe_write };
static const WindowDecl probe_windows[] = {
    [BAR_MEM] = { .name = "mem", .space = SPACE_PCI_BAR, .size = 4096, .ops = &probe_ops, .bar = 0 },
    [BAR_IO] = { .name = "io", .space = SPACE_PCI_BAR, .size = 32, .ops = &probe_ops, .bar = 1, .bar_io = true },
    [BAR_MSIX] = { .name = "msix", .space = SPACE_PCI_BAR, .size = 4096, .ops = &pci_msix_window, .bar = 2 },
    [BAR_BIG] = { .name = "big", .space = SPACE_PCI_BAR, .size = 1ull << 33, .ops = &probe_ops, .bar = 4, .bar_64 = true, .bar_prefetch = true },
    { .name = NULL },
};
static const Field probe_fields[] = {
    { F(Probe, last) }, { F(Probe, hook_old), .role = FIELD_DERIVED }, { F(Probe, hook_value), .role = FIELD_DERIVED }, DEVICE_FIELDS_END,
};
static const PciInfo probe_pci = { .vendor = 0x1234, .device = 0x5678, .class_code = 0x020100, .interrupt_pin = 2,
                                   .msix_vectors = 40, .msix_bar = 2, .config_written = probe_config };
static const DeviceType probe_type = { .name = "probe", .summary = "test", .size = sizeof(Probe), .version = 1, .fields = probe_fields,
                                       .windows = probe_windows, .pci = &probe_pci };

typedef struct Rig {
    Machine *m;
    PciBus *bus;
    PciDevice *p;
    uint8_t devfn;
    unsigned pin, intx_calls, messages;
    bool level;
    uint64_t msi_address;
    uint32_t msi_data;
} Rig;

static void note_intx(void *opaque, uint8_t devfn, unsigned pin, bool level)
{
    Rig *r = opaque;
    r->devfn = devfn;
    r->pin = pin;
    r->level = level;
    r->intx_calls++;
}

static void note_msi(void *opaque, uint64_t address, uint32_t data)
{
    Rig *r = opaque;
    r->msi_address = address;
    r->msi_data = data;
    r->messages++;
}

static const PciBusOps rig_ops = { .set_intx = note_intx, .msi = note_msi };

static PciDevice *add(Rig *r, int devfn)
{
    Device *d = device_new(r->m, &probe_type, NULL, NULL, NULL);
    g_assert_true(pci_plug((PciDevice *)d, r->bus, devfn, NULL));
    g_assert_true(device_realize(d, NULL));
    return (PciDevice *)d;
}

static void rig_init(Rig *r)
{
    MachineConfig config = { .ram_size = 1 << 20, .manual_clock = true, .max_cpus = 1 };
    memset(r, 0, sizeof(*r));
    r->m = machine_create(&config, NULL);
    r->bus = pci_bus_create(r->m, "pci.0", &rig_ops, r);
    r->p = add(r, pci_devfn(3, 1));
}

static void rig_finish(Rig *r)
{
    machine_destroy(r->m);
    pci_bus_destroy(r->bus);
}

static uint32_t cfg(Rig *r, unsigned off, unsigned size) { return pci_config_read(r->bus, r->p->devfn, off, size); }
static void set_cfg(Rig *r, unsigned off, unsigned size, uint32_t value) { pci_config_write(r->bus, r->p->devfn, off, size, value); }

static uint64_t peek(AddressSpace *s, uint64_t at, unsigned size)
{
    FlatView *v = space_view(s);
    uint64_t value = view_read(v, at, size);
    view_unref(v);
    return value;
}

static void poke(AddressSpace *s, uint64_t at, unsigned size, uint64_t value)
{
    FlatView *v = space_view(s);
    view_write(v, at, size, value);
    view_unref(v);
}

static void test_header(void)
{
    Rig r;
    rig_init(&r);
    g_assert_cmphex(cfg(&r, 0, 4), ==, 0x56781234);
    g_assert_cmphex(cfg(&r, 8, 4), ==, 0x02010000);
    g_assert_cmphex(cfg(&r, PCI_INTERRUPT_PIN, 1), ==, 2);
    g_assert_cmphex(pci_config_read(r.bus, 0, 0, 4), ==, UINT32_MAX); /* nobody there */
    g_assert_cmphex(pci_config_read(r.bus, 0, 0, 2), ==, 0xffff);
    set_cfg(&r, 0, 4, 0);                                             /* read-only */
    g_assert_cmphex(cfg(&r, 0, 4), ==, 0x56781234);
    set_cfg(&r, PCI_COMMAND, 2, 0xffff);
    g_assert_cmphex(cfg(&r, PCI_COMMAND, 2), ==, 0x547);
    g_assert_cmphex(((Probe *)r.p)->hook_old, ==, 0);
    g_assert_cmphex(((Probe *)r.p)->hook_value, ==, 0x547);
    set_cfg(&r, PCI_INTERRUPT_LINE, 1, 11);
    device_reset(&r.p->dev, RESET_COLD);
    g_assert_cmphex(cfg(&r, PCI_COMMAND, 2), ==, 0);
    g_assert_cmphex(cfg(&r, PCI_INTERRUPT_LINE, 1), ==, 0);
    g_assert_cmphex(cfg(&r, 256, 4), ==, UINT32_MAX); /* not express */
    rig_finish(&r);
}

static void test_write_one_to_clear(void)
{
    Rig r;
    rig_init(&r);
    pci_set16(r.p, PCI_STATUS, pci_get16(r.p, PCI_STATUS) | 0x3000);
    set_cfg(&r, PCI_STATUS, 2, 0x1000);
    g_assert_cmphex(cfg(&r, PCI_STATUS, 2) & PCI_STATUS_ERRORS, ==, 0x2000);
    rig_finish(&r);
}

static void test_sizing(void)
{
    static const struct { unsigned bar; uint32_t want; } rows[] = { { 0, 0xfffff000 }, { 1, 0xffffffe1 }, { 2, 0xfffff000 }, { 3, 0 }, { 4, 0x0000000c }, { 5, 0xfffffffe } };
    Rig r;
    rig_init(&r);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        set_cfg(&r, PCI_BAR0 + 4 * rows[i].bar, 4, UINT32_MAX);
        g_assert_cmphex(cfg(&r, PCI_BAR0 + 4 * rows[i].bar, 4), ==, rows[i].want);
    }
    rig_finish(&r);
}

static void test_mapping(void)
{
    Rig r;
    rig_init(&r);
    set_cfg(&r, PCI_BAR0, 4, 0xfe000000);
    set_cfg(&r, PCI_BAR0 + 4, 4, 0xc000);
    set_cfg(&r, PCI_BAR0 + 16, 4, 0);
    set_cfg(&r, PCI_BAR0 + 20, 4, 0x40);
    g_assert_cmphex(peek(r.m->memory, 0xfe000000, 4), ==, 0xffffffff); /* not decoded yet */
    set_cfg(&r, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    g_assert_cmphex(peek(r.m->memory, 0xfe000000, 4), ==, 0x55667788);
    g_assert_cmphex(peek(r.m->memory, 0x4000000002, 2), ==, 0x5566);
    g_assert_cmphex(peek(r.m->ports, 0xc001, 1), ==, 0x77);
    poke(r.m->memory, 0xfe000010, 4, 0xabc);
    g_assert_cmphex(((Probe *)r.p)->last, ==, 0xabc10);
    set_cfg(&r, PCI_BAR0, 4, 0xfd000000); /* moves */
    g_assert_cmphex(peek(r.m->memory, 0xfe000000, 4), ==, 0xffffffff);
    g_assert_cmphex(peek(r.m->memory, 0xfd000000, 4), ==, 0x55667788);
    set_cfg(&r, PCI_BAR0, 4, UINT32_MAX); /* sizing while decoded maps nothing at the top of 4 GiB */
    g_assert_cmphex(peek(r.m->memory, 0xfffff000, 4), ==, 0xffffffff);
    set_cfg(&r, PCI_BAR0, 4, 0xfd000000);
    set_cfg(&r, PCI_COMMAND, 2, PCI_COMMAND_IO);
    g_assert_cmphex(peek(r.m->memory, 0xfd000000, 4), ==, 0xffffffff);
    g_assert_cmphex(peek(r.m->ports, 0xc001, 1), ==, 0x77);
    device_reset(&r.p->dev, RESET_COLD);
    g_assert_cmphex(peek(r.m->ports, 0xc001, 1), ==, 0xff);
    rig_finish(&r);
}

static void test_ram_wins(void)
{
    Rig r;
    rig_init(&r);
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = 1 << 20, .ram = r.m->ram };
    g_assert_nonnull(region_add(r.m->memory, &ram, NULL));
    set_cfg(&r, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    set_cfg(&r, PCI_BAR0, 4, 0x10000);
    g_assert_cmphex(peek(r.m->memory, 0x10000, 4), ==, 0);
    rig_finish(&r);
}

static void set_level(Rig *r, bool level)
{
    g_mutex_lock(&r->p->dev.lock);
    pci_set_intx(r->p, level);
    g_mutex_unlock(&r->p->dev.lock);
}

static void test_intx(void)
{
    Rig r;
    rig_init(&r);
    unsigned before = r.intx_calls;
    set_level(&r, true);
    set_level(&r, true);
    g_assert_cmpuint(r.intx_calls, ==, before + 1);
    g_assert_true(r.level);
    g_assert_cmpuint(r.pin, ==, 1);
    g_assert_cmphex(r.devfn, ==, pci_devfn(3, 1));
    g_assert_cmphex(cfg(&r, PCI_STATUS, 2) & PCI_STATUS_INTX, ==, PCI_STATUS_INTX);
    set_cfg(&r, PCI_COMMAND, 2, PCI_COMMAND_INTX_OFF);
    g_assert_false(r.level);
    set_cfg(&r, PCI_COMMAND, 2, 0);
    g_assert_true(r.level);
    device_reset(&r.p->dev, RESET_COLD);
    g_assert_false(r.level);
    rig_finish(&r);
}

static bool notify(Rig *r, unsigned vector)
{
    g_mutex_lock(&r->p->dev.lock);
    bool taken = pci_msix_notify(r->p, vector);
    g_mutex_unlock(&r->p->dev.lock);
    return taken;
}

enum { TABLE = 0xfd100000 };

static void program_vector(Rig *r, unsigned v, uint32_t control)
{
    poke(r->m->memory, TABLE + v * 16, 4, 0xfee01000);
    poke(r->m->memory, TABLE + v * 16 + 4, 4, 0);
    poke(r->m->memory, TABLE + v * 16 + 8, 4, 0x4000 + v);
    poke(r->m->memory, TABLE + v * 16 + 12, 4, control);
}

static void test_msix(void)
{
    Rig r;
    rig_init(&r);
    unsigned cap = cfg(&r, PCI_CAPABILITIES, 1);
    g_assert_cmphex(cfg(&r, cap, 1), ==, PCI_CAP_MSIX);
    g_assert_cmphex(cfg(&r, cap + 2, 2), ==, 39);
    g_assert_cmphex(cfg(&r, cap + 4, 4), ==, 2);
    g_assert_cmphex(cfg(&r, cap + 8, 4), ==, 0x802);
    g_assert_false(notify(&r, 0)); /* off: the caller uses its pin */
    set_cfg(&r, PCI_BAR0 + 8, 4, TABLE);
    set_cfg(&r, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    g_assert_cmphex(peek(r.m->memory, TABLE + 12, 4), ==, 1); /* masked at reset */
    set_cfg(&r, cap + 2, 2, 0x8000);
    program_vector(&r, 33, 0);
    g_assert_true(notify(&r, 33));
    g_assert_cmpuint(r.messages, ==, 1);
    g_assert_cmphex(r.msi_address, ==, 0xfee01000);
    g_assert_cmphex(r.msi_data, ==, 0x4021);
    program_vector(&r, 34, 1);
    g_assert_true(notify(&r, 34)); /* masked: pending */
    g_assert_cmpuint(r.messages, ==, 1);
    g_assert_cmphex(peek(r.m->memory, TABLE + 0x800, 8), ==, 1ull << 34);
    program_vector(&r, 34, 0); /* sent on unmasking */
    g_assert_cmpuint(r.messages, ==, 2);
    g_assert_cmphex(r.msi_data, ==, 0x4022);
    g_assert_cmphex(peek(r.m->memory, TABLE + 0x800, 8), ==, 0);
    set_cfg(&r, cap + 2, 2, 0xc000); /* function mask */
    g_assert_true(notify(&r, 33));
    g_assert_cmpuint(r.messages, ==, 2);
    set_cfg(&r, cap + 2, 2, 0x8000);
    g_assert_cmpuint(r.messages, ==, 3);
    g_assert_true(notify(&r, 1000)); /* beyond the table: dropped */
    poke(r.m->memory, TABLE + 0x7f0, 4, 0xdead); /* between table and pending bits: nothing */
    g_assert_cmphex(peek(r.m->memory, TABLE + 0x7f0, 4), ==, 0);
    rig_finish(&r);
}

static void test_slots(void)
{
    Rig r;
    g_autoptr(GError) err = NULL;
    rig_init(&r);
    g_assert_cmphex(add(&r, -1)->devfn, ==, pci_devfn(0, 0));
    g_assert_cmphex(add(&r, -1)->devfn, ==, pci_devfn(1, 0));
    Device *d = device_new(r.m, &probe_type, "late", NULL, NULL);
    g_assert_false(pci_plug((PciDevice *)d, r.bus, pci_devfn(3, 1), &err));
    g_assert_nonnull(strstr(err->message, r.p->dev.path));
    device_destroy(d);
    d = device_new(r.m, &probe_type, "never", NULL, NULL); /* plugged, but not realized: the slot is free again */
    g_assert_true(pci_plug((PciDevice *)d, r.bus, pci_devfn(9, 0), NULL));
    device_destroy(d);
    g_assert_null(pci_find(r.bus, pci_devfn(9, 0)));
    device_destroy(&r.p->dev);
    g_assert_null(pci_find(r.bus, pci_devfn(3, 1)));
    rig_finish(&r);
}

static void test_addresses(void)
{
    static const struct { const char *text; bool ok; uint8_t devfn; } rows[] = {
        { "3", true, 0x18 }, { "0x3.1", true, 0x19 }, { "1f.7", true, 0xff }, { "10", true, 0x80 }, { "20", false }, { "1.8", false },
        { "", false }, { "x", false }, { "1.", false }, { "1.0x", false },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t devfn = 0;
        g_assert_true(pci_devfn_parse(rows[i].text, &devfn, NULL) == rows[i].ok);
        if (rows[i].ok)
            g_assert_cmphex(devfn, ==, rows[i].devfn);
    }
}

static PciDevice *add_with_rom(Rig *r, const char *file, GError **err)
{
    const char *props[] = { "romfile", file, NULL };
    Device *d = device_new(r->m, &probe_type, NULL, props, NULL);
    g_assert_true(pci_plug((PciDevice *)d, r->bus, pci_devfn(9, 0), NULL));
    if (device_realize(d, err))
        return (PciDevice *)d;
    device_destroy(d);
    return NULL;
}

static char *rom_file(const char *first, size_t n)
{
    g_autofree char *data = g_malloc0(n);
    char *path = NULL;
    int fd = g_file_open_tmp("rom-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    memcpy(data, first, strlen(first));
    g_assert_true(g_file_set_contents(path, data, n, NULL));
    return path;
}

static void test_rom(void)
{
    Rig r;
    rig_init(&r);
    g_assert_cmphex(cfg(&r, PCI_ROM, 4), ==, 0);
    set_cfg(&r, PCI_ROM, 4, UINT32_MAX);
    g_assert_cmphex(cfg(&r, PCI_ROM, 4), ==, 0); /* nobody named one */
    g_autofree char *path = rom_file("\x55\xaa\x01hello", 5000);
    r.p = add_with_rom(&r, path, NULL);
    g_assert_nonnull(r.p);
    set_cfg(&r, PCI_ROM, 4, UINT32_MAX);
    g_assert_cmphex(cfg(&r, PCI_ROM, 4), ==, 0xffffe001);
    set_cfg(&r, PCI_ROM, 4, 0xe0000001);
    g_assert_cmphex(peek(r.m->memory, 0xe0000000, 4), ==, UINT32_MAX); /* memory decoding is off */
    set_cfg(&r, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    g_assert_cmphex(peek(r.m->memory, 0xe0000000, 4), ==, 0x6801aa55);
    poke(r.m->memory, 0xe0000000, 4, 0);
    g_assert_cmphex(peek(r.m->memory, 0xe0000000, 4), ==, 0x6801aa55);
    set_cfg(&r, PCI_ROM, 4, 0xd0000001);
    g_assert_cmphex(peek(r.m->memory, 0xd0001000, 8), ==, 0);
    g_assert_cmphex(peek(r.m->memory, 0xe0000000, 4), ==, UINT32_MAX);
    device_reset(&r.p->dev, RESET_COLD);
    g_assert_cmphex(peek(r.m->memory, 0xd0000000, 4), ==, UINT32_MAX);
    g_remove(path);
    rig_finish(&r);
}

static void test_bad_rom(void)
{
    Rig r;
    rig_init(&r);
    g_autoptr(GError) err = NULL, missing = NULL;
    g_autofree char *path = rom_file("no rom", 512);
    g_assert_null(add_with_rom(&r, path, &err));
    g_assert_error(err, ATOLL_ERROR, ERR_INVALID);
    g_remove(path);
    g_assert_null(add_with_rom(&r, "no-such-rom.bin", &missing));
    g_assert_error(missing, ATOLL_ERROR, ERR_NOT_FOUND);
    rig_finish(&r);
}

static void test_save(void)
{
    Rig r;
    g_autoptr(GError) err = NULL;
    rig_init(&r);
    set_cfg(&r, PCI_BAR0, 4, 0xfe000000);
    set_cfg(&r, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_assert_true(machine_save(r.m, state, &err));
    device_reset(&r.p->dev, RESET_COLD);
    g_assert_cmphex(peek(r.m->memory, 0xfe000000, 4), ==, 0xffffffff);
    g_assert_true(machine_load(r.m, state->data, state->len, &err));
    g_assert_cmphex(peek(r.m->memory, 0xfe000000, 4), ==, 0x55667788);
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pci/header", test_header);
    g_test_add_func("/pci/write-one-to-clear", test_write_one_to_clear);
    g_test_add_func("/pci/bar-sizing", test_sizing);
    g_test_add_func("/pci/bar-mapping", test_mapping);
    g_test_add_func("/pci/ram-wins-over-bar", test_ram_wins);
    g_test_add_func("/pci/intx", test_intx);
    g_test_add_func("/pci/msix", test_msix);
    g_test_add_func("/pci/slots", test_slots);
    g_test_add_func("/pci/addresses", test_addresses);
    g_test_add_func("/pci/rom", test_rom);
    g_test_add_func("/pci/bad-rom", test_bad_rom);
    g_test_add_func("/pci/saved-state", test_save);
    return g_test_run();
}
