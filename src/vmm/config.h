#pragma once
#include <glib.h>

#include "base/keyval.h"
#include "boards/board.h"
#include "vmm/sandbox/sandbox.h"
#include "vmm/actions.h"
/*
 * config.h - everything that the command line says about a machine, as data.  options.c fills it, build.c makes the
 * machine from it.
 */
enum { IDE_SLOTS = 4, SERIAL_PORTS = 4, FLASH_CHIPS = 2 };

typedef enum DriveInterface { DRIVE_IDE, DRIVE_VIRTIO, DRIVE_NONE, DRIVE_PFLASH, DRIVE_FLOPPY } DriveInterface;

typedef struct DriveConfig {
    char *id, *file, *format;
    char *options; /* further ones, for the image layer */
    char *tree;    /* instead of file: a stack of nodes, as -blockdev spells it */
    bool used;     /* another -blockdev stands on it */
    DriveInterface interface;
    int index; /* IDE slot, or place among those of its kind; -1: the next free one */
    bool cdrom, snapshot, read_only;
    char **props; /* of the device that it becomes or that names it: "werror", "stop", ..., NULL */
} DriveConfig;

typedef struct DeviceConfig {
    const DeviceType *type;
    char *id, *bus, *addr;
    char **props; /* "name", "value", ..., NULL */
} DeviceConfig;

typedef struct ChardevConfig {
    char *id, *spec;
} ChardevConfig;

typedef struct ObjectConfig { /* -object: objects.h */
    const struct ObjectType *type;
    char *id, *filename;
    uint64_t size; /* of memory */
    char *mem_path;
    bool share, prealloc;
    uint64_t poll_max_ns; /* of an iothread */
} ObjectConfig;

typedef struct GlobalConfig { /* -global DRIVER.PROPERTY=VALUE */
    char *driver, *property, *value;
} GlobalConfig;

typedef struct FdConfig { /* -add-fd, add-fd */
    unsigned set;
    int fd;
    char *opaque; /* what it is to who gave it, or NULL */
} FdConfig;

typedef struct MonitorConfig {
    char *chardev; /* as -serial spells it */
    int mode;      /* MonitorMode */
} MonitorConfig;

typedef struct FileConfig { /* -fw_cfg */
    char *name, *path, *text;
} FileConfig;

typedef struct VncSetup { /* -vnc */
    char *id, *host, *path, *tls_creds, *secret, *adapter;
    unsigned display, to, share; /* VncShare */
    bool password;
} VncSetup;

typedef struct VmConfig {
    TscSample begun; /* when config_new() was */
    char *answer; /* text that was asked for instead of a machine (-help and its kind): print it and leave */

    const BoardType *board;
    bool no_board;         /* -machine none: a monitor without a machine */
    GPtrArray *accels; /* const AccelOps, in order of preference */
    bool accels_unasked; /* nobody named one: these are all that suit */
    char *accel_options; /* KEY=VALUE,... */
    char *cpu, *name;
    uint64_t ram_bytes;
    unsigned cpus, sockets, cores, threads;
    bool has_uuid;
    uint8_t uuid[16];
    SmbiosUser smbios; /* -smbios */
    bool no_acpi, no_hpet;
    MicroConfig micro; /* -machine pic=, pit=, ...: of a microvm */
    RtcBase rtc_base;
    int64_t rtc_time;

    GPtrArray *firmware_dirs; /* -L, then the usual ones; NULL-terminated by config_finish() */
    char *firmware, *kernel, *initrd, *append;
    char *pflash[FLASH_CHIPS]; /* drive ids */
    char *boot_order, *boot_once, *boot_splash;
    bool boot_menu, boot_strict;
    unsigned boot_menu_timeout_ms;
    int reboot_timeout_ms;
    GArray *files; /* FileConfig */

    struct BlkEnv *env; /* -object: secrets and credentials */
    GArray *drives;   /* DriveConfig; -blockdev too */
    GArray *devices;  /* DeviceConfig */
    GArray *chardevs; /* ChardevConfig */
    GArray *objects;  /* ObjectConfig */
    GArray *globals;  /* GlobalConfig */
    char *memory_backend; /* id of an object that is the machine's RAM, or NULL */
    char *mem_path; /* -mem-path: instead of one; or NULL */
    bool mem_prealloc;
    bool message_times;
    SandboxConfig sandbox;
    GArray *fds;      /* FdConfig */
    GArray *monitors; /* MonitorConfig */
    char *gdb;        /* chardev spelling, or NULL */
    char *qtest, *qtest_log; /* the same; a file, "none", or NULL: standard error */
    struct NetConfig *net; /* config_net.h */
    uint8_t escape_key;   /* of a mux */
    bool no_text_monitor; /* -monitor none */
    GPtrArray *serials, *debugcons; /* char: chardev spellings */
    int ide_drive[IDE_SLOTS]; /* index in drives, -1 none; set by config_finish() */
    bool ide_cdrom[IDE_SLOTS];

    GArray *vncs;          /* VncSetup */
    const char *vga;       /* the device of -vga; NULL: none */
    bool usb;              /* -usb: there shall be a controller */
    bool vga_chosen, graphics; /* graphics: there is a display adapter */
    bool nographic, nodefaults, snapshot;
    char *incoming; /* -incoming: where the machine's state comes from; NULL: it starts */
    bool start_paused, daemonize;
    VmActions actions;
    char *pidfile, *log_categories, *log_path;
} VmConfig;

VmConfig *config_new(void);
void config_free(VmConfig *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmConfig, config_free)

RamSource config_ram_source(const VmConfig *c); /* borrows from c */

/* Gives drives their slots, adds default devices, and refuses what contradicts itself. */
bool config_finish(VmConfig *c, GError **err);
bool config_add_display(VmConfig *c, GError **err); /* part of it */

/* -drive if=virtio and its kind become devices, and what a -drive says about errors goes to the device with its drive. */
bool config_plug_drives(VmConfig *c, GError **err);
DriveConfig *config_drive_by_id(VmConfig *c, const char *id); /* NULL: none */

/* What -device and device_add say; clear it, also after a failure. */
bool config_device_read(const VmConfig *c, const char *text, DeviceConfig *ret, GError **err);
void config_device_clear(void *device_config);

/* Handlers of options with text to read: config_machine.c, config_drive.c, config_device.c.  Each takes the option's argument. */
typedef bool OptionHandler(VmConfig *c, const char *arg, GError **err);
OptionHandler config_machine, config_accel, config_enable_kvm, config_cpu, config_ram, config_smp, config_name, config_uuid, config_smbios;
OptionHandler config_rtc, config_boot, config_log, config_firmware_dir, config_fw_cfg;
OptionHandler config_drive, config_blockdev, config_object, config_hda, config_hdb, config_hdc, config_hdd, config_cdrom, config_fda, config_fdb;
OptionHandler config_device, config_serial, config_chardev, config_debugcon;
OptionHandler config_netdev, config_nic, config_net; /* config_net.c */
OptionHandler config_usbdevice; /* config_usb.c */
bool config_add_usb(VmConfig *c, GError **err);
OptionHandler config_display, config_vga, config_vnc; /* config_display.c */
OptionHandler config_parallel, config_overcommit, config_msg, config_audiodev, config_global, config_add_fd; /* config_compat.c */
/* Properties that -global takes for a type without being the device's: what they say is how we are anyway. */
void config_each_known_global(const char *driver, void (*fn)(const char *property, void *arg), void *arg);
/* The text with /dev/fdset/N as a path to the descriptor that -add-fd put into set N; caller frees. */
char *config_with_fds(const VmConfig *c, const char *text);
bool config_machine_fixed(KeyVals *kv, GError **err);
bool config_machine_micro(VmConfig *c, KeyVals *kv, GError **err); /* config_micro.c */
bool config_is_bare(const VmConfig *c);
bool config_check_bare(const VmConfig *c, GError **err);
OptionHandler config_keyboard, config_action, config_watchdog_action, config_no_reboot, config_no_shutdown;
OptionHandler config_gdb, config_gdb_here, config_escape_key;
OptionHandler config_sandbox, config_run_with, config_runas, config_chroot; /* sandbox/config.c */
OptionHandler config_monitor, config_qmp, config_qmp_pretty, config_mon; /* config_monitor.c */
