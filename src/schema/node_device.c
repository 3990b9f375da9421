/* node_device.c - the rows of the host's devices and interfaces. */
#include "schema/node_device.h"

#define END { .name = NULL }

const char *const node_device_kinds[] = { "system", "pci", "usb_device", "net", "storage", NULL };

static const RecordField node_device_fields[] = {
    { RF(NodeDevice, name, RK_TEXT, "name"), .required = true, .doc = "name" },
    { RF(NodeDevice, path, RK_TEXT, "path"), .doc = "in /sys" },
    { RF(NodeDevice, parent, RK_TEXT, "parent"), .doc = "device that it is part of" },
    { RF(NodeDevice, driver, RK_TEXT, "driver/name"), .doc = "the host's driver" },
    { RF(NodeDevice, kind, RK_WORD, "capability/@type"), .words = node_device_kinds, .required = true, .doc = "what it is" },
    { RF(NodeDevice, class, RK_TEXT, "capability/class"), .when = "kind=pci", .doc = "class of PCI" },
    { RF(NodeDevice, domain, RK_UINT, "capability/domain"), .when = "kind=pci", .doc = "domain" },
    { RF(NodeDevice, bus, RK_UINT, "capability/bus"), .when = "kind=pci,usb_device", .doc = "bus" },
    { RF(NodeDevice, slot, RK_UINT, "capability/slot"), .when = "kind=pci", .doc = "slot" },
    { RF(NodeDevice, function, RK_UINT, "capability/function"), .when = "kind=pci", .doc = "function" },
    { RF(NodeDevice, device, RK_UINT, "capability/device"), .when = "kind=usb_device", .doc = "number on its bus" },
    { RF(NodeDevice, product, RK_TEXT, "capability/product"), .when = "kind=system", .doc = "the host's model" },
    { RF(NodeDevice, hardware_vendor, RK_TEXT, "capability/hardware/vendor"), .when = "kind=system", .doc = "who made it" },
    { RF(NodeDevice, product_id, RK_TEXT, "capability/product/@id"), .when = "kind=pci,usb_device", .doc = "product" },
    { RF(NodeDevice, vendor_id, RK_TEXT, "capability/vendor/@id"), .when = "kind=pci,usb_device", .doc = "vendor" },
    { RF(NodeDevice, interface, RK_TEXT, "capability/interface"), .when = "kind=net", .doc = "interface" },
    { RF(NodeDevice, address, RK_TEXT, "capability/address"), .when = "kind=net", .doc = "MAC address" },
    { RF(NodeDevice, link, RK_TEXT, "capability/link/@state"), .when = "kind=net", .doc = "state of its link" },
    { RF(NodeDevice, block, RK_TEXT, "capability/block"), .when = "kind=storage", .doc = "device file" },
    { RF(NodeDevice, drive_type, RK_TEXT, "capability/drive_type"), .when = "kind=storage", .doc = "disk, cdrom" },
    { RF(NodeDevice, size, RK_UINT, "capability/size"), .when = "kind=storage", .doc = "bytes" },
    END
};
const RecordType node_device_type = { .element = "device", .size = sizeof(NodeDevice), .fields = node_device_fields, .doc = "a device of the host" };

static const char *const interface_kinds[] = { "ethernet", "bridge", NULL };
static const RecordField host_interface_fields[] = {
    { RF(HostInterface, kind, RK_WORD, "@type"), .words = interface_kinds, .required = true, .doc = "what it is" },
    { RF(HostInterface, name, RK_TEXT, "@name"), .required = true, .doc = "name" },
    { RF(HostInterface, mac, RK_TEXT, "mac/@address"), .doc = "MAC address" },
    { RF(HostInterface, mtu, RK_UINT, "mtu/@size"), .doc = "largest packet, bytes" },
    { RF(HostInterface, link, RK_TEXT, "link/@state"), .doc = "state of its link" },
    END
};
const RecordType host_interface_type = { .element = "interface", .size = sizeof(HostInterface), .fields = host_interface_fields, .doc = "an interface of the host" };
