/*
 * bridges.c - plain bridges, without hotplug: pci-bridge and the ICH's between PCI buses, pcie-pci-bridge from PCI Express to PCI.  PCI-to-PCI
 * Bridge Architecture Specification 1.2; PCI Express to PCI/PCI-X Bridge Specification 1.0.
 */
#include "devices/pci/bridges.h"

#include "machine/pci_bridge.h"

enum { SLOTS = 32, CAP_EXPRESS = 0x10, EXPRESS_BYTES = 0x14, EXPRESS_FLAGS = 2, EXPRESS_DEVCAP = 4, EXPRESS_DEVCTL = 8, EXPRESS_LNKCAP = 0xc, EXPRESS_LNKSTA = 0x12 };
enum { FLAGS_TO_PCI = 1 | 7 << 4, ROLE_BASED_ERRORS = 1 << 15, LINK = 1 | 1 << 4 /* 2.5 GT/s, one lane */ };

typedef struct PlainBridge {
    PciDevice pci;
    PciBridge bridge;
    uint8_t chassis;
} PlainBridge;

static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    pci_bridge_written(&((PlainBridge *)p)->bridge, off, size, old, value);
}

static void add_express(PciDevice *p)
{
    unsigned at = pci_add_capability(p, CAP_EXPRESS, EXPRESS_BYTES);
    pci_set16(p, at + EXPRESS_FLAGS, FLAGS_TO_PCI);
    pci_set32(p, at + EXPRESS_DEVCAP, ROLE_BASED_ERRORS);
    pci_set_writable(p, at + EXPRESS_DEVCTL, 2, 0x7fff);
    pci_set32(p, at + EXPRESS_LNKCAP, LINK);
    pci_set16(p, at + EXPRESS_LNKSTA, LINK);
}

static bool realize(Device *d, GError **err)
{
    PlainBridge *b = (PlainBridge *)d;
    if (!pci_bridge_init(&b->bridge, &b->pci, SLOTS, err))
        return false;
    if (d->type->pci->express)
        add_express(&b->pci);
    return true;
}

static void unrealize(Device *d) { pci_bridge_finish(&((PlainBridge *)d)->bridge); }

static const Field fields[] = {
    { FS(PlainBridge, bridge, pci_bridge_fields), .doc = "the bus behind" },
    { FN(PlainBridge, chassis, "chassis_nr"), .role = FIELD_PROP, .doc = "the chassis that the slots are in; told apart by people only" },
    DEVICE_FIELDS_END,
};
static const PciInfo pci_info = { .vendor = 0x1b36, .device = 0x0001, .class_code = 0x060400, .config_written = config_written };
static const PciInfo ich_info = { .vendor = 0x8086, .device = 0x244e, .class_code = 0x060401, .revision = 0x92, .config_written = config_written };
static const PciInfo express_info = { .vendor = 0x1b36, .device = 0x000e, .class_code = 0x060400, .express = true, .config_written = config_written };

#define BRIDGE_TYPE(type_name, text, source, info)                                                                                          \
    { .name = type_name, .summary = text, .spec = source, .size = sizeof(PlainBridge), .version = 1, .fields = fields, .pci = info,         \
      .realize = realize, .unrealize = unrealize }
const DeviceType pci_bridge_type = BRIDGE_TYPE("pci-bridge", "bridge to another PCI bus of 32 slots", "PCI-to-PCI Bridge 1.2", &pci_info);
const DeviceType dmi_pci_bridge_type = BRIDGE_TYPE("i82801b11-bridge", "bridge of the ICH9 to a PCI bus of 32 slots", "Intel ICH9, order number 316972", &ich_info);
const DeviceType pcie_pci_bridge_type = BRIDGE_TYPE("pcie-pci-bridge", "bridge from PCI Express to a PCI bus of 32 slots", "PCI Express to PCI Bridge 1.0", &express_info);
