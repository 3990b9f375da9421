#pragma once
#include "schema/secret.h"
/*
 * domain.h - a machine's definition (https://libvirt.org/formatdomain.html), as structs.  The rows are in domain.c and
 * domain_devices.c; words are the arrays named below, and a word's value is 1 + its index.
 *
 * GPtrArray members hold structs of the type that the comment names.
 */
extern const char *const domain_types[]; /* kvm, qemu, test */
typedef enum DomainType { DOMAIN_KVM = 1, DOMAIN_QEMU, DOMAIN_TEST } DomainType;
extern const char *const domain_actions[];
typedef enum DomainAction { ACTION_DESTROY = 1, ACTION_RESTART, ACTION_PRESERVE, ACTION_RENAME_RESTART, ACTION_COREDUMP_DESTROY, ACTION_COREDUMP_RESTART } DomainAction;
extern const char *const disk_types[];
typedef enum DiskType { DISK_FILE = 1, DISK_BLOCK, DISK_DIR, DISK_NETWORK, DISK_VOLUME } DiskType;
extern const char *const disk_devices[];
typedef enum DiskDevice { DISK_DISK = 1, DISK_CDROM, DISK_FLOPPY, DISK_LUN } DiskDevice;
extern const char *const disk_buses[];
typedef enum DiskBus { BUS_IDE = 1, BUS_FDC, BUS_SCSI, BUS_VIRTIO, BUS_USB, BUS_SATA, BUS_XEN, BUS_SD } DiskBus;
extern const char *const controller_types[];
typedef enum ControllerType { CONTROLLER_PCI = 1, CONTROLLER_USB, CONTROLLER_SCSI, CONTROLLER_IDE, CONTROLLER_SATA, CONTROLLER_FDC, CONTROLLER_VIRTIO_SERIAL } ControllerType;
extern const char *const interface_types[];
typedef enum InterfaceType { IF_NETWORK = 1, IF_BRIDGE, IF_USER, IF_ETHERNET, IF_DIRECT } InterfaceType;
extern const char *const char_types[];
typedef enum CharType { CHAR_PTY = 1, CHAR_FILE, CHAR_UNIX, CHAR_TCP, CHAR_NULL, CHAR_STDIO, CHAR_DEV, CHAR_PIPE, CHAR_UDP, CHAR_VC, CHAR_SPICEVMC, CHAR_SPICEPORT } CharType;
extern const char *const graphics_types[];
typedef enum GraphicsType { GRAPHICS_VNC = 1, GRAPHICS_SPICE, GRAPHICS_SDL } GraphicsType;
extern const char *const address_types[];
typedef enum AddressType { ADDRESS_PCI = 1, ADDRESS_DRIVE, ADDRESS_USB, ADDRESS_VIRTIO_SERIAL, ADDRESS_ISA, ADDRESS_CCW, ADDRESS_VIRTIO_MMIO } AddressType;

/* Where a device sits: the members that belong to its type. */
typedef struct Address {
    Record record;
    unsigned type;
    uint64_t domain, bus, slot, function, controller, target, unit, iobase, irq;
    unsigned multifunction; /* record_on_off */
    char *port;
} Address;

typedef struct IoTune {
    Record record;
    uint64_t total_bytes, read_bytes, write_bytes, total_iops, read_iops, write_iops;
    uint64_t total_bytes_max, read_bytes_max, write_bytes_max, total_iops_max, read_iops_max, write_iops_max;
    char *group;
} IoTune;

typedef struct Host {
    Record record;
    char *name, *port, *transport, *socket;
} Host;

/* An image below another one, or the one that a job copies a disk to. */
typedef struct Layer {
    Record record;
    unsigned type;  /* DiskType */
    char *format, *file, *dev, *job, *ready;
    uint64_t source_index;
    Encryption *encryption;
    struct Layer *backing;
} Layer;

typedef struct Disk {
    Record record;
    unsigned type, device, bus, removable, tray;
    char *driver, *format, *cache, *io, *discard, *detect_zeroes, *error_policy, *rerror_policy;
    uint64_t iothread, queues, boot, source_index;
    char *file, *dev, *dir, *protocol, *source_name, *pool, *volume, *startup_policy;
    GPtrArray *hosts;  /* Host */
    char *target, *serial, *wwn, *vendor, *product, *alias;
    bool readonly, shareable, transient;
    IoTune *iotune;
    Encryption *encryption, *encryption_outside; /* within <source>, or beside it as it was written first */
    Layer *backing, *mirror;
    Address *address;
} Disk;

typedef struct Controller {
    Record record;
    unsigned type;
    uint64_t index, ports, vectors, queues, iothread, chassis, chassis_port;
    char *model, *model_name, *alias;
    Address *address;
} Controller;

typedef struct Interface {
    Record record;
    unsigned type, link, trust_guest_rx_filters;
    char *mac, *network, *portgroup, *bridge, *dev, *mode, *model, *driver, *target, *script, *alias, *backend;
    uint64_t queues, boot, mtu;
    Address *address;
} Interface;

/* serial, parallel, console and channel. */
typedef struct Character {
    Record record;
    unsigned type;
    char *tty, *path, *mode, *host, *service, *protocol, *log, *log_append, *append;
    char *target_type, *target_name, *target_state, *target_model, *alias;
    uint64_t target_port;
    Address *address;
} Character;

typedef struct Input {
    Record record;
    unsigned type, bus;
    char *model, *alias;
    Address *address;
} Input;

typedef struct Listen {
    Record record;
    unsigned type;
    char *address, *network, *socket;
} Listen;

typedef struct Graphics {
    Record record;
    unsigned type, autoport;
    char *port, *websocket, *socket, *listen, *keymap, *password, *password_valid_to, *share_policy, *gl;
    GPtrArray *listens; /* Listen */
} Graphics;

typedef struct Video {
    Record record;
    char *model, *alias;
    uint64_t vram, heads, ram, vgamem;
    unsigned primary, accel3d;
    Address *address;
} Video;

/* A device with a model, a back end and little else: sound, rng, watchdog, memballoon, tpm, panic, vsock. */
typedef struct Simple {
    Record record;
    char *model, *action, *backend_model, *backend, *autodeflate, *free_page_reporting, *alias, *version, *type, *audio;
    uint64_t stats_period, rate_bytes, rate_period;
    Address *address;
} Simple;

typedef struct Devices {
    Record record;
    char *emulator;
    GPtrArray *disks, *controllers, *interfaces, *serials, *consoles, *parallels, *channels, *inputs, *graphics, *videos;
    GPtrArray *sounds, *audios, *rngs, *watchdogs, *tpms, *panics;
    Simple *balloon;
} Devices;

typedef struct Feature {
    Record record;
    char *name;
    unsigned policy;
} Feature;

/* Of firmware that is chosen by what it can do: secure-boot, enrolled-keys. */
typedef struct FirmwareFeature {
    Record record;
    char *name;
    unsigned enabled; /* record_yes_no */
} FirmwareFeature;

typedef struct Timer {
    Record record;
    char *name, *tickpolicy;
    unsigned present;
} Timer;

typedef struct Cpu {
    Record record;
    unsigned mode, match, check, migratable;
    char *model, *fallback, *vendor, *numa;
    uint64_t sockets, dies, cores, threads;
    GPtrArray *features; /* Feature */
} Cpu;

/* <vcpupin>, <iothreadpin>: where a thread may run (cpuset.h). */
typedef struct Pin {
    Record record;
    uint64_t id;
    char *cpuset;
} Pin;

typedef struct IoThreadConfig {
    Record record;
    uint64_t id;
} IoThreadConfig;

typedef struct Domain {
    Record record;
    unsigned type;
    uint64_t id, memory, current_memory, max_memory, max_memory_slots, vcpus, current_vcpus, iothreads;
    char *name, *uuid, *title, *description, *metadata, *placement, *genid;
    unsigned memory_source, memory_access;
    bool hugepages;
    char *os_type, *arch, *machine, *firmware, *loader, *loader_type, *loader_readonly, *loader_secure, *nvram, *nvram_template;
    GPtrArray *firmware_features; /* FirmwareFeature */
    char *kernel, *initrd, *cmdline, *dtb;
    GPtrArray *boot; /* texts: hd, cdrom, network, fd */
    unsigned boot_menu, use_serial;
    uint64_t boot_menu_timeout, reboot_timeout;
    unsigned smbios;
    char *sysinfo;
    bool acpi, apic, pae, hap;
    unsigned apic_eoi, vmport, smm;
    char *hyperv, *kvm_features;
    Cpu *cpu;
    unsigned clock;
    char *timezone, *adjustment, *basis;
    GPtrArray *timers; /* Timer */
    unsigned on_poweroff, on_reboot, on_crash;
    unsigned suspend_to_mem, suspend_to_disk;
    uint64_t cpu_shares, cpu_period, global_period;
    char *cpu_quota, *global_quota, *cpuset, *emulator_pin;
    GPtrArray *vcpu_pins, *iothread_pins; /* Pin */
    GPtrArray *iothread_ids;              /* IoThreadConfig: as many as `iothreads` */
    uint64_t memory_hard_limit, memory_soft_limit, swap_hard_limit, io_weight;
    Devices *devices;
} Domain;

extern const RecordType domain_type, disk_record, interface_record, graphics_record, listen_record, character_record, controller_record, input_record, video_record, devices_record,
    sound_record, rng_record, watchdog_record, balloon_record, vcpu_pin_record, iothread_pin_record, iothread_record, address_record, cpu_record, layer_record, mirror_record, iotune_record;
bool controller_is_root(const Controller *c); /* the board's own PCI bus */
void controllers_number(GPtrArray *list); /* gives each Controller without an index the next of its type; NULL is fine */
/* The type whose element has that name, for <disk>, <interface> and so on alone (attach-device); NULL: none. */
const RecordType *device_record_for(const char *element);
