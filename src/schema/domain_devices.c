/* domain_devices.c - the rows of a machine's devices (https://libvirt.org/formatdomain.html#devices). */
#include <string.h>

#include "base/error.h"
#include "schema/domain.h"

#define END { .name = NULL }

const char *const disk_types[] = { "file", "block", "dir", "network", "volume", NULL };
const char *const disk_devices[] = { "disk", "cdrom", "floppy", "lun", NULL };
const char *const disk_buses[] = { "ide", "fdc", "scsi", "virtio", "usb", "sata", "xen", "sd", NULL };
const char *const interface_types[] = { "network", "bridge", "user", "ethernet", "direct", NULL };
const char *const char_types[] = { "pty", "file", "unix", "tcp", "null", "stdio", "dev", "pipe", "udp", "vc", "spicevmc", "spiceport", NULL };
const char *const graphics_types[] = { "vnc", "spice", "sdl", NULL };
const char *const address_types[] = { "pci", "drive", "usb", "virtio-serial", "isa", "ccw", "virtio-mmio", NULL };
const char *const controller_types[] = { "pci", "usb", "scsi", "ide", "sata", "fdc", "virtio-serial", "ccid", "xenbus", NULL };
static const char *const input_types[] = { "mouse", "tablet", "keyboard", "passthrough", "evdev", NULL };
static const char *const input_buses[] = { "ps2", "usb", "virtio", "xen", "none", NULL };
static const char *const listen_types[] = { "address", "network", "socket", "none", NULL };
static const char *const trays[] = { "closed", "open", NULL };
static const char *const links[] = { "up", "down", NULL };

static const RecordField address_fields[] = {
    { RF(Address, type, RK_WORD, "@type"), .words = address_types, .required = true, .doc = "kind of bus" },
    { RF(Address, domain, RK_UINT, "@domain"), .hex = 4, .max = 0xffff, .when = "type=pci", .doc = "PCI domain" },
    { RF(Address, controller, RK_UINT, "@controller"), .when = "type=drive,virtio-serial", .doc = "index of the controller" },
    /* A number in hexadecimal on PCI, in decimal elsewhere: libvirt reads both everywhere. */
    { RF(Address, bus, RK_UINT, "@bus"), .hex = 2, .max = 0xff, .when = "type=pci,drive,usb,virtio-serial", .doc = "bus" },
    { RF(Address, slot, RK_UINT, "@slot"), .hex = 2, .max = 31, .when = "type=pci", .doc = "slot" },
    { RF(Address, function, RK_UINT, "@function"), .hex = 1, .max = 7, .when = "type=pci", .doc = "function" },
    { RF(Address, multifunction, RK_WORD, "@multifunction"), .words = record_on_off, .when = "type=pci", .doc = "other functions share the slot" },
    { RF(Address, target, RK_UINT, "@target"), .when = "type=drive", .doc = "SCSI target" },
    { RF(Address, unit, RK_UINT, "@unit"), .when = "type=drive", .doc = "unit on the bus" },
    { RF(Address, port, RK_TEXT, "@port"), .when = "type=usb,virtio-serial", .doc = "port" },
    { RF(Address, iobase, RK_UINT, "@iobase"), .hex = 1, .max = 0xffff, .when = "type=isa", .doc = "first I/O port" },
    { RF(Address, irq, RK_UINT, "@irq"), .hex = 1, .max = 15, .when = "type=isa", .doc = "interrupt line" },
    END
};
const RecordType address_record = { .element = "address", .size = sizeof(Address), .fields = address_fields, .doc = "where a device sits" };
#define ADDRESS(T) { RF(T, address, RK_RECORD, "address"), .record = &address_record, .doc = "where it sits" }
#define ALIAS(T) { RF(T, alias, RK_TEXT, "alias/@name"), .live = true, .doc = "the running machine's name for it" }

static const RecordField iotune_fields[] = {
    { RF(IoTune, total_bytes, RK_UINT, "total_bytes_sec"), .doc = "bytes a second" },
    { RF(IoTune, read_bytes, RK_UINT, "read_bytes_sec"), .doc = "bytes read a second" },
    { RF(IoTune, write_bytes, RK_UINT, "write_bytes_sec"), .doc = "bytes written a second" },
    { RF(IoTune, total_iops, RK_UINT, "total_iops_sec"), .doc = "requests a second" },
    { RF(IoTune, read_iops, RK_UINT, "read_iops_sec"), .doc = "reads a second" },
    { RF(IoTune, write_iops, RK_UINT, "write_iops_sec"), .doc = "writes a second" },
    { RF(IoTune, total_bytes_max, RK_UINT, "total_bytes_sec_max"), .doc = "bytes a second in a burst" },
    { RF(IoTune, read_bytes_max, RK_UINT, "read_bytes_sec_max"), .doc = "bytes read a second in a burst" },
    { RF(IoTune, write_bytes_max, RK_UINT, "write_bytes_sec_max"), .doc = "bytes written a second in a burst" },
    { RF(IoTune, total_iops_max, RK_UINT, "total_iops_sec_max"), .doc = "requests a second in a burst" },
    { RF(IoTune, read_iops_max, RK_UINT, "read_iops_sec_max"), .doc = "reads a second in a burst" },
    { RF(IoTune, write_iops_max, RK_UINT, "write_iops_sec_max"), .doc = "writes a second in a burst" },
    { RF(IoTune, group, RK_TEXT, "group_name"), .doc = "disks of one name share the limits" },
    END
};
const RecordType iotune_record = { .element = "iotune", .size = sizeof(IoTune), .fields = iotune_fields };

static const RecordField host_fields[] = {
    { RF(Host, name, RK_TEXT, "@name"), .doc = "name or address" },
    { RF(Host, port, RK_TEXT, "@port"), .doc = "port" },
    { RF(Host, transport, RK_TEXT, "@transport"), .doc = "tcp, unix" },
    { RF(Host, socket, RK_TEXT, "@socket"), .doc = "path of a unix socket" },
    END
};
static const RecordType host_record = { .element = "host", .size = sizeof(Host), .fields = host_fields };

static const RecordField layer_fields[] = {
    { RF(Layer, type, RK_WORD, "@type"), .words = disk_types, .doc = "where its data is; none: the chain ends here" },
    { RF(Layer, format, RK_TEXT, "format/@type"), .doc = "format of the image" },
    { RF(Layer, file, RK_TEXT, "source/@file"), .when = "type=file", .doc = "path of the image" },
    { RF(Layer, dev, RK_TEXT, "source/@dev"), .when = "type=block", .doc = "path of the host's device" },
    { RF(Layer, source_index, RK_UINT, "source/@index"), .live = true, .doc = "number in names of nodes" },
    { RF(Layer, encryption, RK_RECORD, "source/encryption"), .record = &encryption_record, .doc = "how it is encrypted" },
    { RF(Layer, backing, RK_RECORD, "backingStore"), .record = &layer_record, .doc = "the image below it" },
    END
};
const RecordType layer_record = { .element = "backingStore", .size = sizeof(Layer), .fields = layer_fields, .doc = "an image below another one" };

static const RecordField mirror_fields[] = {
    { RF(Layer, type, RK_WORD, "@type"), .words = disk_types, .doc = "where its data is" },
    { RF(Layer, job, RK_TEXT, "@job"), .doc = "copy, active-commit" },
    { RF(Layer, ready, RK_TEXT, "@ready"), .doc = "yes: both are alike, and the job can end" },
    { RF(Layer, format, RK_TEXT, "format/@type"), .doc = "format of the image" },
    { RF(Layer, file, RK_TEXT, "source/@file"), .when = "type=file", .doc = "path of the image" },
    { RF(Layer, dev, RK_TEXT, "source/@dev"), .when = "type=block", .doc = "path of the host's device" },
    { RF(Layer, source_index, RK_UINT, "source/@index"), .doc = "number in names of nodes" },
    END
};
const RecordType mirror_record = { .element = "mirror", .size = sizeof(Layer), .fields = mirror_fields, .doc = "where a job copies a disk to" };

static const RecordField disk_fields[] = {
    { RF(Disk, type, RK_WORD, "@type"), .words = disk_types, .def = "file", .doc = "where its data is" },
    { RF(Disk, device, RK_WORD, "@device"), .words = disk_devices, .def = "disk", .doc = "what the guest sees" },
    { RF(Disk, driver, RK_TEXT, "driver/@name"), .doc = "qemu" },
    { RF(Disk, format, RK_TEXT, "driver/@type"), .doc = "format of the image: raw, qcow2 and so on" },
    { RF(Disk, cache, RK_TEXT, "driver/@cache"), .doc = "none, writeback, writethrough, directsync, unsafe" },
    { RF(Disk, error_policy, RK_TEXT, "driver/@error_policy"), .doc = "stop, report, ignore, enospace" },
    { RF(Disk, rerror_policy, RK_TEXT, "driver/@rerror_policy"), .doc = "the same for reads" },
    { RF(Disk, io, RK_TEXT, "driver/@io"), .doc = "threads, native, io_uring" },
    { RF(Disk, discard, RK_TEXT, "driver/@discard"), .doc = "unmap, ignore" },
    { RF(Disk, detect_zeroes, RK_TEXT, "driver/@detect_zeroes"), .doc = "off, on, unmap" },
    { RF(Disk, iothread, RK_UINT, "driver/@iothread"), .min = 1, .doc = "number of the I/O thread" },
    { RF(Disk, queues, RK_UINT, "driver/@queues"), .min = 1, .max = 256, .doc = "request queues" },
    { RF(Disk, file, RK_TEXT, "source/@file"), .when = "type=file", .doc = "path of the image; none: an empty drive" },
    { RF(Disk, dev, RK_TEXT, "source/@dev"), .when = "type=block", .doc = "path of the host's device" },
    { RF(Disk, dir, RK_TEXT, "source/@dir"), .when = "type=dir", .doc = "folder" },
    { RF(Disk, protocol, RK_TEXT, "source/@protocol"), .when = "type=network", .required = true, .doc = "nbd, http, https" },
    { RF(Disk, source_name, RK_TEXT, "source/@name"), .when = "type=network", .doc = "export or path on the server" },
    { RF(Disk, hosts, RK_LIST, "source/host"), .record = &host_record, .when = "type=network", .doc = "server" },
    { RF(Disk, pool, RK_TEXT, "source/@pool"), .when = "type=volume", .required = true, .doc = "storage pool" },
    { RF(Disk, volume, RK_TEXT, "source/@volume"), .when = "type=volume", .required = true, .doc = "volume in the pool" },
    { RF(Disk, startup_policy, RK_TEXT, "source/@startupPolicy"), .doc = "mandatory, requisite, optional" },
    { RF(Disk, source_index, RK_UINT, "source/@index"), .live = true, .doc = "number in names of nodes" },
    { RF(Disk, encryption, RK_RECORD, "source/encryption"), .record = &encryption_record, .doc = "how the image is encrypted" },
    { RF(Disk, target, RK_TEXT, "target/@dev"), .required = true, .doc = "name: vda, sda, hda, fda and so on" },
    { RF(Disk, bus, RK_WORD, "target/@bus"), .words = disk_buses, .doc = "bus; by the name where it is not given" },
    { RF(Disk, tray, RK_WORD, "target/@tray"), .words = trays, .doc = "the drive's tray" },
    { RF(Disk, removable, RK_WORD, "target/@removable"), .words = record_on_off, .doc = "USB: says that it is removable" },
    { RF(Disk, backing, RK_RECORD, "backingStore"), .record = &layer_record, .doc = "the image below the disk's own" },
    { RF(Disk, mirror, RK_RECORD, "mirror"), .record = &mirror_record, .live = true, .doc = "a job that copies the disk" },
    { RF(Disk, iotune, RK_RECORD, "iotune"), .record = &iotune_record, .doc = "limits" },
    { RF(Disk, encryption_outside, RK_RECORD, "encryption"), .record = &encryption_record, .doc = "the same, as it was written first" },
    { RF(Disk, readonly, RK_FLAG, "readonly"), .doc = "the guest cannot write" },
    { RF(Disk, shareable, RK_FLAG, "shareable"), .doc = "other machines may have it too" },
    { RF(Disk, transient, RK_FLAG, "transient"), .doc = "writes are lost at the end" },
    { RF(Disk, serial, RK_TEXT, "serial"), .doc = "serial number" },
    { RF(Disk, wwn, RK_TEXT, "wwn"), .doc = "World Wide Name" },
    { RF(Disk, vendor, RK_TEXT, "vendor"), .doc = "SCSI vendor" },
    { RF(Disk, product, RK_TEXT, "product"), .doc = "SCSI product" },
    { RF(Disk, boot, RK_UINT, "boot/@order"), .min = 1, .doc = "place in the order of booting" },
    ALIAS(Disk),
    ADDRESS(Disk),
    END
};

static const struct {
    const char *prefix;
    DiskBus bus;
} bus_of_target[] = { { "vd", BUS_VIRTIO }, { "sd", BUS_SCSI }, { "hd", BUS_IDE }, { "fd", BUS_FDC }, { "xvd", BUS_XEN } };

static bool check_disk(void *record, GError **err)
{
    Disk *d = record;
    for (unsigned i = 0; !d->bus && i < G_N_ELEMENTS(bus_of_target); i++)
        if (g_str_has_prefix(d->target, bus_of_target[i].prefix))
            d->bus = bus_of_target[i].bus;
    if (d->device == DISK_CDROM)
        d->readonly = true;
    if (!d->encryption)
        d->encryption = g_steal_pointer(&d->encryption_outside);
    if (!d->bus)
        return error_set(err, ERR_INVALID, "<disk>: target '%s' begins with none of vd, sd, hd, fd: say its bus too", d->target);
    return true;
}
const RecordType disk_record = { .element = "disk", .size = sizeof(Disk), .fields = disk_fields, .check = check_disk, .doc = "a disk, CD-ROM or floppy drive" };

static const RecordField controller_fields[] = {
    { RF(Controller, type, RK_WORD, "@type"), .words = controller_types, .required = true, .doc = "what it controls" },
    { RF(Controller, index, RK_UINT, "@index"), .max = 255, .doc = "number among its type; the next free one where none is given" },
    { RF(Controller, model, RK_TEXT, "@model"), .doc = "device: pcie-root-port, qemu-xhci, virtio-scsi and so on" },
    { RF(Controller, ports, RK_UINT, "@ports"), .doc = "ports" },
    { RF(Controller, vectors, RK_UINT, "@vectors"), .doc = "interrupt vectors" },
    { RF(Controller, queues, RK_UINT, "driver/@queues"), .doc = "request queues" },
    { RF(Controller, iothread, RK_UINT, "driver/@iothread"), .doc = "number of the I/O thread" },
    { RF(Controller, model_name, RK_TEXT, "model/@name"), .doc = "the device behind a PCI controller" },
    { RF(Controller, chassis, RK_UINT, "target/@chassis"), .doc = "chassis number of a root port" },
    { RF(Controller, chassis_port, RK_UINT, "target/@port"), .hex = 1, .doc = "port number of a root port" },
    ALIAS(Controller),
    ADDRESS(Controller),
    END
};
const RecordType controller_record = { .element = "controller", .size = sizeof(Controller), .fields = controller_fields, .doc = "a bus's controller" };

static const RecordField interface_fields[] = {
    { RF(Interface, type, RK_WORD, "@type"), .words = interface_types, .required = true, .doc = "what the card is joined to" },
    { RF(Interface, mac, RK_MAC, "mac/@address"), .doc = "MAC address; made up where none is given" },
    { RF(Interface, network, RK_TEXT, "source/@network"), .when = "type=network", .required = true, .doc = "name of a network" },
    { RF(Interface, portgroup, RK_TEXT, "source/@portgroup"), .when = "type=network", .doc = "group of ports" },
    { RF(Interface, bridge, RK_TEXT, "source/@bridge"), .when = "type=bridge,network", .doc = "the host's bridge" },
    { RF(Interface, dev, RK_TEXT, "source/@dev"), .when = "type=direct,user", .doc = "the host's device" },
    { RF(Interface, mode, RK_TEXT, "source/@mode"), .when = "type=direct", .doc = "bridge, vepa, private, passthrough" },
    { RF(Interface, script, RK_TEXT, "script/@path"), .when = "type=bridge,ethernet", .doc = "program that sets the interface up" },
    { RF(Interface, target, RK_TEXT, "target/@dev"), .doc = "name of the host's end" },
    { RF(Interface, model, RK_TEXT, "model/@type"), .doc = "card: virtio, e1000 and so on" },
    { RF(Interface, driver, RK_TEXT, "driver/@name"), .doc = "vhost, qemu" },
    { RF(Interface, queues, RK_UINT, "driver/@queues"), .min = 1, .max = 256, .doc = "pairs of queues" },
    { RF(Interface, backend, RK_TEXT, "backend/@type"), .doc = "default, passt" },
    { RF(Interface, link, RK_WORD, "link/@state"), .words = links, .doc = "cable in or out" },
    { RF(Interface, mtu, RK_UINT, "mtu/@size"), .min = 68, .max = 65535, .doc = "largest packet, bytes" },
    { RF(Interface, boot, RK_UINT, "boot/@order"), .min = 1, .doc = "place in the order of booting" },
    { RF(Interface, trust_guest_rx_filters, RK_WORD, "@trustGuestRxFilters"), .words = record_yes_no, .doc = "the guest may change its MAC address" },
    ALIAS(Interface),
    ADDRESS(Interface),
    END
};
const RecordType interface_record = { .element = "interface", .size = sizeof(Interface), .fields = interface_fields, .doc = "a network card" };

static const RecordField character_fields[] = {
    { RF(Character, type, RK_WORD, "@type"), .words = char_types, .required = true, .doc = "the host's end" },
    { RF(Character, tty, RK_TEXT, "@tty"), .live = true, .doc = "path of the terminal" },
    { RF(Character, mode, RK_TEXT, "source/@mode"), .doc = "bind (we listen) or connect" },
    { RF(Character, path, RK_TEXT, "source/@path"), .doc = "path of file, socket or terminal" },
    { RF(Character, append, RK_TEXT, "source/@append"), .doc = "on: what is in the file stays" },
    { RF(Character, host, RK_TEXT, "source/@host"), .doc = "address" },
    { RF(Character, service, RK_TEXT, "source/@service"), .doc = "port" },
    { RF(Character, protocol, RK_TEXT, "protocol/@type"), .doc = "raw, telnet" },
    { RF(Character, log, RK_TEXT, "log/@file"), .doc = "what passes is also written there" },
    { RF(Character, log_append, RK_TEXT, "log/@append"), .doc = "on: what is in the log stays" },
    { RF(Character, target_type, RK_TEXT, "target/@type"), .doc = "the guest's end: isa-serial, serial, virtio and so on" },
    { RF(Character, target_port, RK_UINT, "target/@port"), .max = 255, .doc = "number" },
    { RF(Character, target_name, RK_TEXT, "target/@name"), .doc = "name of a channel" },
    { RF(Character, target_state, RK_TEXT, "target/@state"), .live = true, .doc = "connected, disconnected" },
    { RF(Character, target_model, RK_TEXT, "target/model/@name"), .doc = "device" },
    ALIAS(Character),
    ADDRESS(Character),
    END
};
const RecordType character_record = { .element = "serial", .size = sizeof(Character), .fields = character_fields, .doc = "a serial or parallel line" };
static const RecordType console_record = { .element = "console", .size = sizeof(Character), .fields = character_fields, .doc = "the console" };
static const RecordType parallel_record = { .element = "parallel", .size = sizeof(Character), .fields = character_fields, .doc = "a parallel line" };
static const RecordType channel_record = { .element = "channel", .size = sizeof(Character), .fields = character_fields, .doc = "a channel for an agent" };

static const RecordField input_fields[] = {
    { RF(Input, type, RK_WORD, "@type"), .words = input_types, .required = true, .doc = "device" },
    { RF(Input, bus, RK_WORD, "@bus"), .words = input_buses, .doc = "bus" },
    { RF(Input, model, RK_TEXT, "@model"), .doc = "virtio's variant" },
    ALIAS(Input),
    ADDRESS(Input),
    END
};
const RecordType input_record = { .element = "input", .size = sizeof(Input), .fields = input_fields, .doc = "keyboard, mouse or tablet" };

static const RecordField listen_fields[] = {
    { RF(Listen, type, RK_WORD, "@type"), .words = listen_types, .required = true, .doc = "where it listens" },
    { RF(Listen, address, RK_TEXT, "@address"), .when = "type=address,network", .doc = "address" },
    { RF(Listen, network, RK_TEXT, "@network"), .when = "type=network", .doc = "network" },
    { RF(Listen, socket, RK_TEXT, "@socket"), .when = "type=socket", .doc = "path" },
    END
};
const RecordType listen_record = { .element = "listen", .size = sizeof(Listen), .fields = listen_fields };

static const RecordField graphics_fields[] = {
    { RF(Graphics, type, RK_WORD, "@type"), .words = graphics_types, .required = true, .doc = "protocol" },
    { RF(Graphics, socket, RK_TEXT, "@socket"), .when = "type=vnc", .doc = "path of a unix socket" },
    { RF(Graphics, port, RK_TEXT, "@port"), .when = "type=vnc,spice", .doc = "port; -1: one that is free" },
    { RF(Graphics, autoport, RK_WORD, "@autoport"), .words = record_yes_no, .when = "type=vnc,spice", .doc = "a free port is taken" },
    { RF(Graphics, websocket, RK_TEXT, "@websocket"), .when = "type=vnc", .doc = "port for browsers" },
    { RF(Graphics, listen, RK_TEXT, "@listen"), .when = "type=vnc,spice", .doc = "address" },
    { RF(Graphics, keymap, RK_TEXT, "@keymap"), .doc = "layout" },
    { RF(Graphics, share_policy, RK_TEXT, "@sharePolicy"), .doc = "allow-exclusive, force-shared, ignore" },
    { RF(Graphics, password, RK_TEXT, "@passwd"), .secret = true, .doc = "password" },
    { RF(Graphics, password_valid_to, RK_TEXT, "@passwdValidTo"), .secret = true, .doc = "the password's end, UTC" },
    { RF(Graphics, listens, RK_LIST, "listen"), .record = &listen_record, .doc = "where it listens" },
    { RF(Graphics, gl, RK_TEXT, "gl/@enable"), .doc = "OpenGL" },
    END
};
const RecordType graphics_record = { .element = "graphics", .size = sizeof(Graphics), .fields = graphics_fields, .doc = "how the screen is seen" };

static const RecordField video_fields[] = {
    { RF(Video, model, RK_TEXT, "model/@type"), .required = true, .doc = "vga, virtio, bochs, ramfb, none" },
    { RF(Video, ram, RK_UINT, "model/@ram"), .doc = "KiB" },
    { RF(Video, vram, RK_UINT, "model/@vram"), .doc = "video memory, KiB" },
    { RF(Video, vgamem, RK_UINT, "model/@vgamem"), .doc = "KiB" },
    { RF(Video, heads, RK_UINT, "model/@heads"), .min = 1, .max = 16, .doc = "screens" },
    { RF(Video, primary, RK_WORD, "model/@primary"), .words = record_yes_no, .doc = "firmware draws on it" },
    { RF(Video, accel3d, RK_WORD, "model/acceleration/@accel3d"), .words = record_yes_no, .doc = "3D" },
    ALIAS(Video),
    ADDRESS(Video),
    END
};
const RecordType video_record = { .element = "video", .size = sizeof(Video), .fields = video_fields, .doc = "a graphics card" };

static const RecordField simple_fields[] = {
    { RF(Simple, model, RK_TEXT, "@model"), .doc = "device" },
    { RF(Simple, type, RK_TEXT, "@type"), .doc = "back end of <audio>" },
    { RF(Simple, action, RK_TEXT, "@action"), .doc = "watchdog: reset, poweroff, pause, none and so on" },
    { RF(Simple, autodeflate, RK_TEXT, "@autodeflate"), .doc = "memballoon: gives memory back when the guest runs out" },
    { RF(Simple, free_page_reporting, RK_TEXT, "@freePageReporting"), .doc = "memballoon: the guest says which pages are free" },
    { RF(Simple, stats_period, RK_UINT, "stats/@period"), .doc = "memballoon: seconds between statistics" },
    { RF(Simple, rate_bytes, RK_UINT, "rate/@bytes"), .doc = "rng: bytes in a period" },
    { RF(Simple, rate_period, RK_UINT, "rate/@period"), .doc = "rng: milliseconds" },
    { RF(Simple, backend_model, RK_TEXT, "backend/@model"), .doc = "rng: random, builtin" },
    { RF(Simple, version, RK_TEXT, "backend/@version"), .doc = "tpm: 1.2, 2.0" },
    { RF(Simple, backend, RK_TEXT, "backend"), .doc = "rng: the host's source" },
    { RF(Simple, audio, RK_TEXT, "audio/@id"), .doc = "sound: its <audio>" },
    ALIAS(Simple),
    ADDRESS(Simple),
    END
};
#define SIMPLE(NAME, ELEMENT, DOC) const RecordType NAME = { .element = ELEMENT, .size = sizeof(Simple), .fields = simple_fields, .doc = DOC }
SIMPLE(sound_record, "sound", "a sound card");
SIMPLE(rng_record, "rng", "random numbers");
SIMPLE(watchdog_record, "watchdog", "acts when the guest hangs");
SIMPLE(balloon_record, "memballoon", "takes memory back from the guest");
static SIMPLE(audio_record, "audio", "the host's sound");
static SIMPLE(tpm_record, "tpm", "a TPM");
static SIMPLE(panic_record, "panic", "the guest says that it has crashed");

static const RecordField devices_fields[] = {
    { RF(Devices, emulator, RK_TEXT, "emulator"), .doc = "program that runs the machine" },
    { RF(Devices, disks, RK_LIST, "disk"), .record = &disk_record },
    { RF(Devices, controllers, RK_LIST, "controller"), .record = &controller_record },
    { RF(Devices, interfaces, RK_LIST, "interface"), .record = &interface_record },
    { RF(Devices, serials, RK_LIST, "serial"), .record = &character_record },
    { RF(Devices, parallels, RK_LIST, "parallel"), .record = &parallel_record },
    { RF(Devices, consoles, RK_LIST, "console"), .record = &console_record },
    { RF(Devices, channels, RK_LIST, "channel"), .record = &channel_record },
    { RF(Devices, inputs, RK_LIST, "input"), .record = &input_record },
    { RF(Devices, tpms, RK_LIST, "tpm"), .record = &tpm_record },
    { RF(Devices, graphics, RK_LIST, "graphics"), .record = &graphics_record },
    { RF(Devices, sounds, RK_LIST, "sound"), .record = &sound_record },
    { RF(Devices, audios, RK_LIST, "audio"), .record = &audio_record },
    { RF(Devices, videos, RK_LIST, "video"), .record = &video_record },
    { RF(Devices, watchdogs, RK_LIST, "watchdog"), .record = &watchdog_record },
    { RF(Devices, balloon, RK_RECORD, "memballoon"), .record = &balloon_record },
    { RF(Devices, rngs, RK_LIST, "rng"), .record = &rng_record },
    { RF(Devices, panics, RK_LIST, "panic"), .record = &panic_record },
    END
};
const RecordType devices_record = { .element = "devices", .size = sizeof(Devices), .fields = devices_fields, .doc = "devices" };

static bool is_taken(const GPtrArray *list, const Controller *like, uint64_t index)
{
    for (guint i = 0; i < list->len; i++)
        if (((Controller *)list->pdata[i])->type == like->type && ((Controller *)list->pdata[i])->index == index)
            return true;
    return false;
}

bool controller_is_root(const Controller *c) { return c->type == CONTROLLER_PCI && c->model && g_str_has_suffix(c->model, "-root"); }

/* An ehci controller's uhci companions have its number. */
static uint64_t companion_of(const GPtrArray *list, guint at)
{
    const Controller *c = list->pdata[at];
    if (c->type != CONTROLLER_USB || !c->model || !g_str_has_prefix(c->model, "ich9-uhci"))
        return RECORD_NONE;
    for (guint i = at; i--;) {
        const Controller *ehci = list->pdata[i];
        if (ehci->type == CONTROLLER_USB && ehci->model && g_str_has_prefix(ehci->model, "ich9-ehci"))
            return ehci->index;
    }
    return RECORD_NONE;
}

void controllers_number(GPtrArray *list)
{
    for (guint i = 0; list && i < list->len; i++) {
        Controller *c = list->pdata[i];
        if (c->index == RECORD_NONE)
            c->index = companion_of(list, i);
        uint64_t next = c->type == CONTROLLER_PCI && !controller_is_root(c); /* the root is number 0, also where it is not written down */
        while (c->index == RECORD_NONE && is_taken(list, c, next))
            next++;
        if (c->index == RECORD_NONE)
            c->index = next;
    }
}

const RecordType *device_record_for(const char *element)
{
    for (const RecordField *f = devices_fields; f->name; f++)
        if (f->record && !strcmp(f->record->element, element))
            return f->record;
    return NULL;
}
