/*
 * virtio_pci.c - the PCI function of a virtio device: ids, BARs, capabilities, interrupts.  Virtio 1.2, 4.1.2 to 4.1.4.
 *
 * BAR 0 is the legacy interface in I/O space, BAR 1 MSI-X, BAR 4 the modern interface.
 */
#include <string.h>

#include "devices/virtio/virtio_mmio.h"

enum { WIN_LEGACY, WIN_MSIX, WIN_MODERN };
enum { LEGACY_BYTES = 256, MSIX_BYTES = 4096 };
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_ISR = 3, CFG_DEVICE = 4, CFG_PCI = 5 };
enum { CAP_BYTES = 16, CAP_LONG_BYTES = 20, CAP_LEN = 2, CAP_TYPE = 3, CAP_BAR = 4, CAP_OFFSET = 8, CAP_LENGTH = 12, CAP_DATA = 16 };
enum { BAR_LEGACY = 0, BAR_MODERN = 4 };

static const WindowOps legacy_ops = { virtio_legacy_read, virtio_legacy_write, .min = 1, .max = 4, .unlocked_write = virtio_legacy_ring };
static const WindowOps modern_ops = { virtio_modern_read, virtio_modern_write, .min = 1, .max = 4, .unlocked_write = virtio_modern_ring };

const WindowDecl virtio_pci_windows[] = {
    { "legacy", SPACE_PCI_BAR, LEGACY_BYTES, &legacy_ops, .bar = BAR_LEGACY, .bar_io = true },
    { "msix", SPACE_PCI_BAR, MSIX_BYTES, &pci_msix_window, .bar = VIRTIO_PCI_MSIX_BAR },
    { "modern", SPACE_PCI_BAR, MODERN_BYTES, &modern_ops, .bar = BAR_MODERN, .bar_64 = true, .bar_prefetch = true },
    { .name = NULL },
};

/* ---- interrupts */

static void update_intx(VirtioPci *p) { pci_set_intx(&p->pci, p->virtio.isr && !pci_msix_enabled(&p->pci)); }

static void interrupt(Virtio *v, uint16_t vector)
{
    VirtioPci *p = virtio_pci(v);
    update_intx(p);
    if (vector != VIRTIO_NO_VECTOR)
        pci_msix_notify(&p->pci, vector);
}

uint8_t virtio_pci_take_isr(VirtioPci *p)
{
    uint8_t isr = p->virtio.isr;
    p->virtio.isr = 0;
    update_intx(p);
    return isr;
}

uint16_t virtio_pci_vector(const VirtioPci *p, uint16_t vector)
{
    return vector < p->pci.dev.type->pci->msix_vectors ? vector : VIRTIO_NO_VECTOR;
}

Virtqueue *virtio_pci_queue(const VirtioPci *p)
{
    return p->queue_select < p->virtio.n_queues ? (Virtqueue *)&p->virtio.queue[p->queue_select] : NULL;
}

/* ---- notifications: 4.1.5.2; one's own address a queue, or for a legacy driver the queue's number in one register */

bool virtio_pci_doorbell(const Virtio *v, unsigned n, IoEvent *ret)
{
    const VirtioPci *p = virtio_pci((Virtio *)v);
    bool modern = virtio_has(v, VIRTIO_F_VERSION_1);
    uint64_t base;
    if (!p->ioeventfd || !pci_bar_address(&p->pci, modern ? WIN_MODERN : WIN_LEGACY, &base))
        return false;
    *ret = modern ? (IoEvent){ .addr = base + MODERN_NOTIFY + (uint64_t)n * NOTIFY_MULTIPLIER, .size = NOTIFY_BYTES, .any_value = true }
                  : (IoEvent){ .addr = base + LEGACY_NOTIFY, .size = NOTIFY_BYTES, .pio = true, .match = n };
    return true;
}

/* ---- capabilities */

static uint8_t add_cap(VirtioPci *p, uint8_t type, uint8_t bytes, uint32_t offset, uint32_t length)
{
    uint8_t at = pci_add_capability(&p->pci, PCI_CAP_VENDOR, bytes);
    p->pci.config[at + CAP_LEN] = bytes;
    p->pci.config[at + CAP_TYPE] = type;
    p->pci.config[at + CAP_BAR] = BAR_MODERN;
    pci_set32(&p->pci, at + CAP_OFFSET, offset);
    pci_set32(&p->pci, at + CAP_LENGTH, length);
    return at;
}

/* 4.1.4.9: the driver chooses BAR, offset and length, and finds the registers at the capability's end. */
static void add_window_cap(VirtioPci *p)
{
    p->cap_window = add_cap(p, CFG_PCI, CAP_LONG_BYTES, 0, 0);
    p->pci.config[p->cap_window + CAP_BAR] = 0;
    pci_set_writable(&p->pci, p->cap_window + CAP_BAR, 1, 0xff);
    pci_set_writable(&p->pci, p->cap_window + CAP_OFFSET, 4, 0xffffffff);
    pci_set_writable(&p->pci, p->cap_window + CAP_LENGTH, 4, 0xffffffff);
    pci_set_writable(&p->pci, p->cap_window + CAP_DATA, 4, 0xffffffff);
}

static void add_modern(VirtioPci *p)
{
    const VirtioType *t = p->virtio.type;
    add_cap(p, CFG_COMMON, CAP_BYTES, MODERN_COMMON, COMMON_BYTES);
    add_cap(p, CFG_ISR, CAP_BYTES, MODERN_ISR, 1);
    if (t->config_bytes)
        add_cap(p, CFG_DEVICE, CAP_BYTES, MODERN_CONFIG, t->config_bytes);
    uint8_t notify = add_cap(p, CFG_NOTIFY, CAP_LONG_BYTES, MODERN_NOTIFY, p->virtio.n_queues * NOTIFY_MULTIPLIER);
    pci_set32(&p->pci, notify + CAP_DATA, NOTIFY_MULTIPLIER);
    add_window_cap(p);
}

/* What the window capability points at; only the modern BAR can be reached through it. */
static bool window_target(VirtioPci *p, unsigned off, uint32_t *ret_off, uint32_t *ret_len)
{
    if (!p->cap_window || off != p->cap_window + (unsigned)CAP_DATA)
        return false;
    *ret_off = pci_get32(&p->pci, p->cap_window + CAP_OFFSET);
    *ret_len = pci_get32(&p->pci, p->cap_window + CAP_LENGTH);
    return p->pci.config[p->cap_window + CAP_BAR] == BAR_MODERN && (*ret_len == 1 || *ret_len == 2 || *ret_len == 4) &&
           !(*ret_off % *ret_len) && *ret_off < MODERN_BYTES;
}

uint32_t virtio_pci_config_read(PciDevice *d, unsigned off, unsigned size, uint32_t value)
{
    uint32_t at, len;
    if (!window_target((VirtioPci *)d, off, &at, &len))
        return value;
    return virtio_modern_read(&d->dev, at, len);
}

void virtio_pci_config_written(PciDevice *d, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    VirtioPci *p = (VirtioPci *)d;
    uint32_t at, len;
    if (window_target(p, off, &at, &len))
        virtio_modern_write(&d->dev, at, len, value);
    if (p->virtio.type)
        update_intx(p); /* MSI-X may have been turned on or off */
    virtio_sync_doorbells(&p->virtio); /* a BAR may have moved */
}

/* ---- life */

static void hide_bar(VirtioPci *p, unsigned bar)
{
    pci_set32(&p->pci, PCI_BAR0 + 4 * bar, 0);
    pci_set_writable(&p->pci, PCI_BAR0 + 4 * bar, 4, 0);
}

static bool is_on(VirtioPci *p, const char *name, const char *value, bool *ret, GError **err)
{
    *ret = g_str_equal(value, "on") || g_str_equal(value, "true");
    if (*ret || g_str_equal(value, "off") || g_str_equal(value, "false") || g_str_equal(value, "auto"))
        return true;
    return error_set(err, ERR_INVALID, "%s: property '%s' takes on, off or auto, not '%s'", p->pci.dev.path, name, value);
}

static void make_modern_only(VirtioPci *p)
{
    hide_bar(p, BAR_LEGACY);
    pci_set16(&p->pci, PCI_DEVICE_ID, 0x1040 + p->virtio.type->id);
    pci_set16(&p->pci, PCI_SUBSYSTEM, 0x1100);
    p->pci.config[PCI_REVISION] = 1;
}

static void make_transitional(VirtioPci *p) { pci_set16(&p->pci, PCI_SUBSYSTEM, p->virtio.type->id); }

/* What is named -transitional or -non-transitional needs no property to be that. */
static bool choose_interfaces(VirtioPci *p, bool *ret_no_legacy, bool *ret_no_modern, GError **err)
{
    const char *name = p->pci.dev.type->name;
    if (!is_on(p, "disable-legacy", p->disable_legacy, ret_no_legacy, err) ||
        !is_on(p, "disable-modern", p->disable_modern, ret_no_modern, err))
        return false;
    *ret_no_legacy |= g_str_has_suffix(name, VIRTIO_PCI_NON_TRANSITIONAL);
    if (*ret_no_legacy && *ret_no_modern)
        return error_set(err, ERR_INVALID, "%s: disable-legacy and disable-modern are both on, which leaves nothing; turn one off",
                         p->pci.dev.path);
    return true;
}

void virtio_pci_prepare(VirtioPci *p, const VirtioType *type)
{
    bool pci = p->pci.dev.type->pci;
    virtio_init(&p->virtio, &p->pci.dev, type, pci ? interrupt : virtio_mmio_interrupt);
    p->virtio.doorbell = pci ? virtio_pci_doorbell : NULL;
    if (!p->event_idx)
        p->virtio.offered &= ~(1ull << VIRTIO_F_EVENT_IDX);
}

bool virtio_pci_realize(VirtioPci *p, const VirtioType *type, GError **err)
{
    bool no_legacy, no_modern;
    if (!p->pci.dev.type->pci)
        return virtio_mmio_realize(p, type, err);
    if (!choose_interfaces(p, &no_legacy, &no_modern, err))
        return false;
    if (!p->virtio.type)
        virtio_pci_prepare(p, type);
    p->virtio.offered |= no_modern ? 0 : 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_RESET;
    p->virtio.offered |= no_legacy ? 0 : 1ull << VIRTIO_F_ANY_LAYOUT;
    pci_set16(&p->pci, PCI_SUBSYSTEM_VENDOR, VIRTIO_PCI_VENDOR);
    if (no_legacy)
        make_modern_only(p);
    else
        make_transitional(p);
    if (no_modern) {
        hide_bar(p, BAR_MODERN);
        hide_bar(p, BAR_MODERN + 1);
    } else {
        add_modern(p);
    }
    return true;
}

void virtio_pci_reset(Device *d, ResetKind k)
{
    VirtioPci *p = (VirtioPci *)d;
    p->feature_select = p->driver_feature_select = p->queue_select = 0;
    virtio_reset(&p->virtio);
}

void virtio_pci_pre_save(Device *d)
{
    Virtio *v = &((VirtioPci *)d)->virtio;
    virtio_settle(v);
    if (v->type->quiesce)
        v->type->quiesce(v);
    virtio_settle(v); /* what was answered meanwhile is signalled too */
}

bool virtio_pci_post_load(Device *d, GError **err)
{
    Virtio *v = &((VirtioPci *)d)->virtio;
    if (!virtio_check(v, err))
        return false;
    virtio_sync_doorbells(v);
    return true;
}
