/* pci_msix.c - message-signalled interrupts with a table.  PCI Local Bus Specification 3.0, section 6.8.2. */
#include <string.h>

#include "machine/pci.h"

enum { CONTROL = 2, TABLE_OFFSET = 4, PENDING_OFFSET = 8, CAP_SIZE = 12, CONTROL_MASK_ALL = 1 << 14, CONTROL_ENABLE = 1 << 15, VECTOR_MASKED = 1 };

static const WindowDecl *msix_bar(const PciDevice *p)
{
    const WindowDecl *d = p->dev.type->windows;
    while (d && d->name && !(d->space == SPACE_PCI_BAR && d->bar == p->dev.type->pci->msix_bar))
        d++;
    g_assert(d && d->name && d->size >= 32u * p->dev.type->pci->msix_vectors);
    return d;
}

void pci_msix_init(PciDevice *p)
{
    const PciInfo *i = p->dev.type->pci;
    g_assert(i->msix_vectors <= PCI_MSIX_MAX);
    p->cap_msix = pci_add_capability(p, PCI_CAP_MSIX, CAP_SIZE);
    pci_set16(p, p->cap_msix + CONTROL, i->msix_vectors - 1);
    pci_set_writable(p, p->cap_msix + CONTROL, 2, CONTROL_ENABLE | CONTROL_MASK_ALL);
    pci_set32(p, p->cap_msix + TABLE_OFFSET, i->msix_bar);
    pci_set32(p, p->cap_msix + PENDING_OFFSET, i->msix_bar | (uint32_t)(msix_bar(p)->size / 2));
    pci_msix_reset(p);
}

void pci_msix_reset(PciDevice *p)
{
    memset(p->msix_table, 0, sizeof(p->msix_table));
    memset(p->msix_pending, 0, sizeof(p->msix_pending));
    for (unsigned v = 0; v < PCI_MSIX_MAX; v++)
        p->msix_table[v * 4 + 3] = VECTOR_MASKED;
}

bool pci_msix_enabled(const PciDevice *p) { return p->cap_msix && pci_get16(p, p->cap_msix + CONTROL) & CONTROL_ENABLE; }

/* A function that may not master the bus cannot send; the message waits like a masked one. */
static bool can_send(const PciDevice *p, unsigned v)
{
    uint16_t control = pci_get16(p, p->cap_msix + CONTROL);
    return control & CONTROL_ENABLE && !(control & CONTROL_MASK_ALL) && !(p->msix_table[v * 4 + 3] & VECTOR_MASKED) && pci_bus_master(p);
}

static void send(PciDevice *p, unsigned v)
{
    const uint32_t *e = &p->msix_table[v * 4];
    pci_bus_msi(p->bus, (uint64_t)e[1] << 32 | (e[0] & ~3u), e[2]);
}

bool pci_msix_notify(PciDevice *p, unsigned v)
{
    if (!pci_msix_enabled(p))
        return false;
    if (v >= p->dev.type->pci->msix_vectors)
        return true;
    if (can_send(p, v))
        send(p, v);
    else
        p->msix_pending[v / 32] |= 1u << (v % 32);
    return true;
}

void pci_msix_flush(PciDevice *p)
{
    for (unsigned v = 0; v < p->dev.type->pci->msix_vectors; v++)
        if (p->msix_pending[v / 32] >> (v % 32) & 1 && can_send(p, v)) {
            p->msix_pending[v / 32] &= ~(1u << (v % 32));
            send(p, v);
        }
}

/* ---- the window: table in the lower half, pending bits in the upper */

static uint64_t read_window(Device *d, uint64_t off, unsigned size)
{
    PciDevice *p = (PciDevice *)d;
    const PciInfo *i = d->type->pci;
    uint64_t half = msix_bar(p)->size / 2, word = (off % half) / 4;
    if (off >= half)
        return word < (i->msix_vectors + 31u) / 32 ? p->msix_pending[word] : 0;
    return word < i->msix_vectors * 4u ? p->msix_table[word] : 0;
}

static void write_window(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    PciDevice *p = (PciDevice *)d;
    if (off / 4 >= d->type->pci->msix_vectors * 4u)
        return; /* pending bits are read-only */
    p->msix_table[off / 4] = off / 4 % 4 == 3 ? value & VECTOR_MASKED : value;
    pci_msix_flush(p);
}

const WindowOps pci_msix_window = { .read = read_window, .write = write_window, .min = 4, .max = 4 };
