#pragma once
#include "schema/record.h"
/* node_device.h - devices of the host (https://libvirt.org/formatnode.html) and its interfaces, as netcf writes them. */
extern const char *const node_device_kinds[];
typedef enum NodeDeviceKind { NODE_SYSTEM = 1, NODE_PCI, NODE_USB, NODE_NET, NODE_STORAGE } NodeDeviceKind;

typedef struct NodeDevice {
    Record record;
    unsigned kind;
    char *name, *path, *parent, *driver, *class, *product_id, *vendor_id, *interface, *address, *link, *block, *drive_type, *hardware_vendor, *product;
    uint64_t domain, bus, slot, function, size, device;
} NodeDevice;

typedef struct HostInterface {
    Record record;
    unsigned kind;
    char *name, *mac, *link;
    uint64_t mtu;
} HostInterface;

extern const RecordType node_device_type, host_interface_type;
