/*
 * piix3_ide.c - function 1 of the PIIX3: two IDE channels at the legacy ports, and a bus master.
 *
 * Sources: Intel 82371SB (PIIX3) data sheet 2.3 and 3.3; Intel, Programming Interface for Bus Master IDE Controller 1.0.
 */
#include "base/checked.h"
#include "devices/storage/ide_core.h"
#include "machine/machine.h"

enum { WIN_COMMAND, WIN_CONTROL, WINDOWS_A_CHANNEL, WIN_BUS_MASTER = 4 };
enum { IDETIM = 0x40, SIDETIM = 0x44, IDE_DECODE = 0x8000 };
enum { BM_REG_COMMAND, BM_REG_STATUS = 2, BM_REG_TABLE = 4, BM_CHANNEL_BYTES = 8 };
enum { PRD_BYTES = 8, PRD_MAX = 65536 / PRD_BYTES }; /* a table does not cross a 64 KiB boundary */
#define PRD_LAST (1u << 31)

typedef struct Piix3Ide {
    PciDevice pci;
    IdeChannel channel[2];
} Piix3Ide;

static const Field piix3_ide_fields[] = {
    { FSA(Piix3Ide, channel, ide_channel_fields), .doc = "primary and secondary channel" },
    DEVICE_FIELDS_END,
};

static IdeChannel *channel(Device *d, unsigned n) { return &((Piix3Ide *)d)->channel[n]; }

/* ---- bus master */

static bool dma_started(IdeChannel *c) { return c->bm_command & BM_START && c->bm_status & BM_ACTIVE; }

/* Adds what one descriptor gives to a transfer that still lacks `len` bytes. */
static bool add_descriptor(DmaMap *map, const uint32_t prd[2], uint64_t *len, bool *ret_more)
{
    uint32_t bytes = prd[1] & 0xfffe ? prd[1] & 0xfffe : 65536; /* bit 0 of both words is 0 */
    uint32_t used = MIN(bytes, *len);
    *len -= used;
    *ret_more = bytes > used;
    return dma_map_add(map, prd[0] & ~1u, used);
}

static IdeDmaResult read_table(IdeChannel *c, uint64_t len, DmaMap *map)
{
    for (unsigned i = 0; i < PRD_MAX; i++) {
        uint32_t prd[2];
        if (!dma_read(c->dev->machine, (uint64_t)c->bm_table + i * PRD_BYTES, prd, sizeof(prd)) ||
            !add_descriptor(map, prd, &len, &c->bm_more))
            return DMA_BAD;
        c->bm_more |= !(prd[1] & PRD_LAST);
        if (!len || prd[1] & PRD_LAST)
            break;
    }
    c->bm_more &= !len;
    return len ? DMA_SHORT : DMA_OK;
}

static IdeDmaResult bus_master_map(IdeChannel *c, uint64_t len, bool to_memory, DmaMap *map)
{
    c->bm_more = false;
    dma_map_begin(map, c->dev->machine, to_memory);
    if (pci_bus_master((PciDevice *)c->dev))
        return read_table(c, len, map);
    guest_error(c->dev, "%s: DMA while the command register does not allow it", c->dev->path);
    return DMA_BAD;
}

/* The bus master stays active where its table describes more than the drive moved. */
static void bus_master_end(IdeChannel *c, bool error)
{
    if (error)
        c->bm_status |= BM_ERROR;
    if (error || !c->bm_more)
        c->bm_status &= ~BM_ACTIVE;
}

static const IdeBusOps bus_ops = { .dma_started = dma_started, .dma_map = bus_master_map, .dma_end = bus_master_end };

static void start(IdeChannel *c)
{
    IdeDrive *d = ide_selected(c);
    c->bm_status |= BM_ACTIVE;
    if (d->phase == IDE_DMA_WAIT)
        ide_dma_go(d);
}

/* A transfer that is under way comes to its end first. */
static void stop(IdeChannel *c)
{
    ide_channel_quiesce(c, false);
    c->bm_status &= ~BM_ACTIVE;
}

static void write_bm_command(IdeChannel *c, uint8_t value)
{
    uint8_t old = c->bm_command;
    c->bm_command = value & (BM_START | BM_TO_MEMORY);
    if (~old & value & BM_START)
        start(c);
    else if (old & ~value & BM_START)
        stop(c);
}

static void write_bm_status(IdeChannel *c, uint8_t value)
{
    c->bm_status &= ~(value & (BM_ERROR | BM_INT));
    c->bm_status = (c->bm_status & ~BM_CAPABLE) | (value & BM_CAPABLE);
}

static uint8_t bus_master_read_byte(IdeChannel *c, unsigned reg)
{
    switch (reg) {
    case BM_REG_COMMAND:
        return c->bm_command;
    case BM_REG_STATUS:
        return c->bm_status;
    case BM_REG_TABLE ... BM_REG_TABLE + 3:
        return c->bm_table >> 8 * (reg - BM_REG_TABLE);
    }
    return 0;
}

static void bus_master_write_byte(IdeChannel *c, unsigned reg, uint8_t value)
{
    unsigned shift = 8 * (reg & 3);
    switch (reg) {
    case BM_REG_COMMAND:
        write_bm_command(c, value);
        break;
    case BM_REG_STATUS:
        write_bm_status(c, value);
        break;
    case BM_REG_TABLE ... BM_REG_TABLE + 3:
        c->bm_table = ((c->bm_table & ~(0xffu << shift)) | (uint32_t)value << shift) & ~3u;
    }
}

static uint64_t bus_master_read(Device *d, uint64_t off, unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bus_master_read_byte(channel(d, off + i >= BM_CHANNEL_BYTES), (off + i) % BM_CHANNEL_BYTES) << 8 * i;
    return value;
}

static void bus_master_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++)
        bus_master_write_byte(channel(d, off + i >= BM_CHANNEL_BYTES), (off + i) % BM_CHANNEL_BYTES, value >> 8 * i);
}

/* ---- legacy ports */

static uint64_t command0_read(Device *d, uint64_t off, unsigned size) { return ide_command_read(channel(d, 0), off, size); }
static uint64_t command1_read(Device *d, uint64_t off, unsigned size) { return ide_command_read(channel(d, 1), off, size); }
static uint64_t control0_read(Device *d, uint64_t off, unsigned size) { return ide_control_read(channel(d, 0)); }
static uint64_t control1_read(Device *d, uint64_t off, unsigned size) { return ide_control_read(channel(d, 1)); }

static void command0_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    ide_command_write(channel(d, 0), off, size, value);
}

static void command1_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    ide_command_write(channel(d, 1), off, size, value);
}

static void control0_write(Device *d, uint64_t off, unsigned size, uint64_t value) { ide_control_write(channel(d, 0), value); }
static void control1_write(Device *d, uint64_t off, unsigned size, uint64_t value) { ide_control_write(channel(d, 1), value); }

static const WindowOps command0_ops = { command0_read, command0_write, .min = 1, .max = 4 };
static const WindowOps command1_ops = { command1_read, command1_write, .min = 1, .max = 4 };
static const WindowOps control0_ops = { control0_read, control0_write, .min = 1, .max = 1 };
static const WindowOps control1_ops = { control1_read, control1_write, .min = 1, .max = 1 };
static const WindowOps bus_master_ops = { bus_master_read, bus_master_write, .min = 1, .max = 4 };

static const WindowDecl windows[] = {
    { "primary", SPACE_PIO, 8, &command0_ops },
    { "primary-control", SPACE_PIO, 1, &control0_ops },
    { "secondary", SPACE_PIO, 8, &command1_ops },
    { "secondary-control", SPACE_PIO, 1, &control1_ops },
    { "bus-master", SPACE_PCI_BAR, 16, &bus_master_ops, .bar = 4, .bar_io = true },
    { .name = NULL },
};

/* ---- the function */

/* The timing registers are stored and change nothing.  Both channels start decoded, as firmware leaves them, because a
 * kernel may be started without any. */
static void init_config(PciDevice *p)
{
    pci_set16(p, IDETIM, IDE_DECODE);
    pci_set16(p, IDETIM + 2, IDE_DECODE);
    pci_set_writable(p, IDETIM, 4, 0xffffffff);
    pci_set_writable(p, SIDETIM, 1, 0xff);
}

static bool realize(Device *d, GError **err)
{
    init_config((PciDevice *)d);
    for (unsigned i = 0; i < 2; i++)
        ide_channel_init(channel(d, i), d, i, &bus_ops);
    return true;
}

static void unrealize(Device *d)
{
    for (unsigned i = 0; i < 2; i++)
        ide_channel_finish(channel(d, i));
}

static void reset(Device *d, ResetKind k)
{
    for (unsigned i = 0; i < 2; i++) {
        ide_channel_reset(channel(d, i));
        irq_set(&d->irq[i], false);
    }
}

static void pre_save(Device *d)
{
    for (unsigned i = 0; i < 2; i++)
        ide_channel_quiesce(channel(d, i), false);
}

static bool post_load(Device *d, GError **err)
{
    return ide_channel_check(channel(d, 0), err) && ide_channel_check(channel(d, 1), err);
}

static const PciInfo pci_info = { .vendor = 0x8086, .device = 0x7010, .class_code = 0x010180, .revision = 0 };

const DeviceType piix3_ide_type = {
    .name = "piix3-ide", .summary = "IDE controller of the PIIX3", .spec = "Intel 82371SB (PIIX3) data sheet",
    .size = sizeof(Piix3Ide), .version = 2, .fields = piix3_ide_fields, .windows = windows, .n_irqs = 2,
    .internal = true, .pci = &pci_info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = pre_save, .post_load = post_load,
};

static bool connect(Device *d, PciBus *bus, uint8_t devfn, GError **err)
{
    static const uint16_t ports[] = { 0x1f0, 0x3f6, 0x170, 0x376 };
    if (!pci_plug((PciDevice *)d, bus, devfn, err) || !device_realize(d, err))
        return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(ports); i++)
        if (!device_map(d, i, ports[i], err))
            return false;
    return true;
}

Device *piix3_ide_create(Machine *m, PciBus *bus, uint8_t devfn, IrqLine primary, IrqLine secondary, GError **err)
{
    Device *d = device_new(m, &piix3_ide_type, NULL, NULL, err);
    if (!d)
        return NULL;
    d->irq[0] = primary;
    d->irq[1] = secondary;
    if (!connect(d, bus, devfn, err)) {
        device_destroy(d);
        return NULL;
    }
    return d;
}

/* ---- places */

static bool place_free(Device *controller, unsigned bus, unsigned unit)
{
    return !channel(controller, bus)->drive[unit].plugged;
}

IdeDrive *ide_place(Device *controller, unsigned *bus, unsigned *unit, GError **err)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned b = i / 2, u = i % 2;
        if ((*bus == IDE_ANY || *bus == b) && (*unit == IDE_ANY || *unit == u) && place_free(controller, b, u)) {
            *bus = b;
            *unit = u;
            return &channel(controller, b)->drive[u];
        }
    }
    unsigned b = *bus == IDE_ANY ? 0 : *bus, u = *unit == IDE_ANY ? 0 : *unit;
    error_set(err, ERR_BUSY, "%s: bus ide.%u, unit %u is taken by '%s'; a controller has two buses of two units", controller->path, b,
              u, channel(controller, b)->drive[u].plugged->path);
    return NULL;
}
