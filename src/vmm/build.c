/* build.c - from the words of the command line to a machine, in the order in which mistakes are cheap. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "accel/accel.h"
#include "block/block.h"
#include "console/display.h"
#include "console/input.h"
#include "devices/devices.h"
#include "vmm/chardevs.h"
#include "vmm/gdb/gdb.h"
#include "vmm/migration/migration.h"
#include "vmm/monitor/monitor.h"
#include "vmm/exports.h"
#include "vmm/jobs.h"
#include "vmm/net.h"
#include "vmm/nodes.h"
#include "vmm/io_threads.h"
#include "vmm/objects.h"
#include "vmm/qtest/qtest.h"
#include "vmm/vm.h"

/* ---- memory */

static uint64_t host_bytes(const char *line)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/meminfo", &text, NULL, NULL))
        return UINT64_MAX;
    const char *at = strstr(text, line);
    return at ? g_ascii_strtoull(at + strlen(line), NULL, 10) << 10 : UINT64_MAX;
}

static bool check_memory(const VmConfig *c, GError **err)
{
    uint64_t total = host_bytes("MemTotal:"), available = host_bytes("MemAvailable:");
    if (c->ram_bytes > total)
        return error_set(err, ERR_NO_SPACE, "-m: the machine is to have %" G_GUINT64_FORMAT " MiB, but this host has %" G_GUINT64_FORMAT
                         " MiB in all (%" G_GUINT64_FORMAT " MiB free); give it less", c->ram_bytes >> 20, total >> 20, available >> 20);
    if (c->ram_bytes > available)
        g_printerr("atoll-vm: warning: the machine has %" G_GUINT64_FORMAT " MiB, but only %" G_GUINT64_FORMAT
                   " MiB of this host's memory are free\n", c->ram_bytes >> 20, available >> 20);
    return true;
}

/* ---- firmware */

static char *find_firmware(const VmConfig *c, GError **err)
{
    const char *name = c->firmware ? c->firmware : "bios-256k.bin";
    if (c->firmware && (strchr(name, '/') || g_file_test(name, G_FILE_TEST_EXISTS)))
        return g_strdup(name);
    const GPtrArray *dirs = c->firmware_dirs;
    for (unsigned i = 0; i + 1 < dirs->len; i++) {
        g_autofree char *path = g_build_filename(dirs->pdata[i], name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
            return g_steal_pointer(&path);
    }
    g_autofree char *all = g_strjoinv(", ", (char **)dirs->pdata);
    error_set(err, ERR_NOT_FOUND, "no firmware '%s' in %s; install the package seabios, name a file with -bios, or start a -kernel", name, all);
    return NULL;
}

/* ---- accelerator and processor */

static const AccelOps *choose_accel(const VmConfig *c, GError **err)
{
    for (unsigned i = 0; i < c->accels->len; i++) {
        const AccelOps *ops = c->accels->pdata[i], *next = i + 1 < c->accels->len ? c->accels->pdata[i + 1] : NULL;
        g_autoptr(GError) why = NULL;
        if (ops->probe(&why))
            return ops;
        if (!next) {
            g_propagate_prefixed_error(err, g_steal_pointer(&why), "accelerator %s cannot be used: ", ops->name);
            return NULL;
        }
        if (!c->accels_unasked)
            g_printerr("atoll-vm: accelerator %s cannot be used: %s; trying %s\n", ops->name, why->message, next->name);
    }
    g_return_val_if_reached(NULL);
}

static bool choose_cpu(const VmConfig *c, const AccelOps *ops, CpuModel *ret, GError **err)
{
    CpuModel limit;
    g_autofree char *warning = NULL;
    if (ops->cpu_limit)
        ops->cpu_limit(&limit);
    else
        cpu_model_max(&limit);
    if (!cpu_model_parse(c->cpu ? c->cpu : "qemu64", &limit, ret, &warning, err))
        return false;
    if (warning)
        g_printerr("atoll-vm: warning: %s\n", warning);
    return true;
}

static bool make_machine(Vm *vm, GError **err)
{
    const VmConfig *c = vm->config;
    MachineConfig mc = { .ram_size = c->no_board ? 0 : c->ram_bytes, .ram_source = config_ram_source(c), .cpus = c->no_board ? 0 : c->cpus, .sockets = c->sockets, .cores = c->cores, .threads = c->threads,
                         .max_cpus = c->cpus, .name = c->name, .data_dirs = (const char *const *)c->firmware_dirs->pdata, .accel_options = c->accel_options, .tsc_since = c->begun };
    const AccelOps *ops = choose_accel(c, err);
    mc.manual_clock = ops && ops->manual_clock;
    if (!ops || !choose_cpu(c, ops, &mc.cpu_model, err) || !(vm->machine = machine_create(&mc, err)))
        return false;
    vm->machine->screens = vm->screens = screens_create();
    vm->machine->input = vm->input = input_hub_create();
    if (c->log_path && !log_open(vm->machine->log, c->log_path, err))
        return false;
    if (c->log_categories && !log_enable(vm->machine->log, c->log_categories, err))
        return false;
    return machine_add_accel(vm->machine, ops, err);
}

/* Sources of random numbers: a device finds them by name. */
static void add_rngs(Vm *vm)
{
    for (unsigned i = 0; i < vm->config->objects->len; i++) {
        const ObjectConfig *o = &g_array_index(vm->config->objects, ObjectConfig, i);
        if (g_str_has_prefix(o->type->name, "rng-"))
            machine_add_backend(vm->machine, BACKEND_RNG, o->id, (void *)o->type);
    }
}

/* ---- host ends */

static bool open_drives(Vm *vm, GError **err)
{
    for (unsigned i = 0; i < vm->config->drives->len; i++)
        if (!vm_open_drive(vm, &g_array_index(vm->config->drives, DriveConfig, i), err))
            return false;
    return true;
}

static bool open_serials(Vm *vm, BoardConfig *bc, GError **err)
{
    for (unsigned i = 0; i < vm->config->serials->len; i++) {
        g_autofree char *label = g_strdup_printf("serial%u", i);
        Chardev *c;
        if (!vm_line_chardev(vm, vm->config->serials->pdata[i], label, &c, err))
            return false;
        bc->serial[i] = c ? chardev_id(c) : NULL;
    }
    return true;
}

/* ---- monitors */

/* A mux is shared: its first end is a serial line's. */
static bool open_monitor(Vm *vm, const MonitorConfig *m, unsigned n, GError **err)
{
    g_autofree char *label = g_strdup_printf("compat_monitor%u", n);
    Chardev *c;
    if (!vm_line_chardev(vm, m->chardev, label, &c, err))
        return false;
    if (c && chardev_is_mux(c))
        g_ptr_array_add(vm->chardevs, c = chardev_share(c, label));
    if (c)
        monitor_add(vm->monitors, c, m->mode);
    return true;
}

static bool open_monitors(Vm *vm, GError **err)
{
    const VmConfig *c = vm->config;
    vm->monitors = monitors_new(vm);
    for (unsigned i = 0; i < c->monitors->len; i++)
        if (!open_monitor(vm, &g_array_index(c->monitors, MonitorConfig, i), i, err))
            return false;
    for (unsigned i = 0; i < c->serials->len && !c->no_board && !c->no_text_monitor; i++) /* mon:stdio */
        if (g_str_has_prefix(c->serials->pdata[i], "mon:")) {
            g_autofree char *spec = g_strdup_printf("chardev:serial%u", i);
            MonitorConfig m = { spec, MONITOR_TEXT };
            if (!open_monitor(vm, &m, c->monitors->len + i, err))
                return false;
        }
    return true;
}

static bool open_gdb(Vm *vm, GError **err)
{
    Chardev *c = NULL;
    if (!vm->config->gdb)
        return true;
    if (!vm_line_chardev(vm, vm->config->gdb, "gdb", &c, err))
        return false;
    vm->gdb = c ? gdb_open(vm, c) : NULL;
    return true;
}

static bool open_qtest(Vm *vm, GError **err)
{
    Chardev *c = NULL;
    if (!vm->config->qtest)
        return true;
    if (!vm_line_chardev(vm, vm->config->qtest, "qtest", &c, err))
        return false;
    return !c || (vm->qtest = qtest_open(vm, c, vm->config->qtest_log, err));
}

/* ---- devices of the command line: checked first, plugged in once the board is there */

static bool make_devices(Vm *vm, GPtrArray *ret, GError **err)
{
    for (unsigned i = 0; i < vm->config->devices->len; i++) {
        const DeviceConfig *d = &g_array_index(vm->config->devices, DeviceConfig, i);
        Device *device = device_new(vm->machine, d->type, d->id, (const char *const *)d->props, err);
        if (!device)
            return false;
        g_ptr_array_add(ret, device);
    }
    return true;
}

static bool plug_devices(Vm *vm, GPtrArray *devices, GError **err)
{
    for (unsigned i = 0; i < devices->len; i++) {
        const DeviceConfig *c = &g_array_index(vm->config->devices, DeviceConfig, i);
        if (!board_plug(vm->board, devices->pdata[i], c->bus, c->addr, err))
            return false;
    }
    return true;
}

static bool plug_debugcons(Vm *vm, GError **err)
{
    for (unsigned i = 0; i < vm->config->debugcons->len; i++) {
        g_autofree char *label = g_strdup_printf("debugcon%u", i);
        Chardev *c;
        if (!vm_line_chardev(vm, vm->config->debugcons->pdata[i], label, &c, err))
            return false;
        const DeviceType *type = c ? device_type_find(device_types, "isa-debugcon", err) : NULL;
        const char *props[] = { "chardev", c ? chardev_id(c) : NULL, NULL };
        Device *d = type ? device_new(vm->machine, type, NULL, props, err) : NULL;
        if (c && (!d || !board_plug(vm->board, d, NULL, NULL, err)))
            return false;
    }
    return true;
}

/* ---- the board */

static bool add_files(Vm *vm, GError **err)
{
    for (unsigned i = 0; i < vm->config->files->len; i++) {
        const FileConfig *f = &g_array_index(vm->config->files, FileConfig, i);
        g_autofree char *data = g_strdup(f->text);
        gsize n = f->text ? strlen(f->text) : 0;
        if ((f->path && !g_file_get_contents(f->path, &data, &n, err)) || !board_add_file(vm->board, f->name, data, n, err))
            return false;
    }
    return true;
}

/* SeaBIOS tells the format by the name. */
static bool add_splash(Vm *vm, GError **err)
{
    g_autofree char *data = NULL;
    gsize n = 0;
    const char *path = vm->config->boot_splash;
    if (!path)
        return true;
    if (!g_file_get_contents(path, &data, &n, err))
        return false;
    bool bmp = n > 2 && memcmp(data, "BM", 2) == 0, jpeg = n > 2 && memcmp(data, "\xff\xd8", 2) == 0;
    if (!bmp && !jpeg)
        return error_set(err, ERR_INVALID, "-boot splash: '%s' is neither a JPEG nor a BMP picture", path);
    return board_add_file(vm->board, bmp ? "bootsplash.bmp" : "bootsplash.jpg", data, n, err);
}

bool vm_set_boot_order(Vm *vm, bool first, GError **err)
{
    const VmConfig *c = vm->config;
    return board_set_boot_order(vm->board, &(BootOrder){ first && c->boot_once ? c->boot_once : c->boot_order, c->boot_strict }, err);
}

static void fill_board_config(Vm *vm, BoardConfig *bc)
{
    const VmConfig *c = vm->config;
    memcpy(bc->pflash, c->pflash, sizeof(bc->pflash));
    bc->boot = (BootOrder){ c->boot_once ? c->boot_once : c->boot_order, c->boot_strict };
    bc->boot_menu = c->boot_menu;
    bc->boot_menu_timeout_ms = c->boot_menu_timeout_ms;
    bc->reboot_timeout_ms = c->reboot_timeout_ms;
    bc->rtc_base = c->rtc_base;
    bc->rtc_time = c->rtc_time;
    bc->no_acpi = c->no_acpi;
    bc->no_hpet = c->no_hpet;
    bc->micro = c->micro;
    bc->graphics = c->graphics;
    bc->smbios = &c->smbios;
    bc->has_uuid = c->has_uuid;
    memcpy(bc->uuid, c->uuid, sizeof(bc->uuid));
    for (unsigned slot = 0; slot < IDE_SLOTS; slot++) {
        const DriveConfig *d = c->ide_drive[slot] >= 0 ? &g_array_index(c->drives, DriveConfig, c->ide_drive[slot]) : NULL;
        bc->ide[slot] = d && (d->file || d->tree) ? d->id : NULL;
        bc->ide_props[slot] = d ? (const char *const *)d->props : NULL;
        bc->ide_cdrom[slot] = c->ide_cdrom[slot];
    }
}

/* Devices that never came into the board are taken back; the others are the machine's. */
static bool assemble(Vm *vm, const char *firmware, GError **err)
{
    BoardConfig bc = { .firmware = firmware };
    g_autoptr(GPtrArray) devices = g_ptr_array_new();
    add_rngs(vm);
    if (!vm_open_io_threads(vm, err) || !make_devices(vm, devices, err) || !open_drives(vm, err) || !vm_open_nets(vm, err) || !vm_open_chardevs(vm, err) || !open_serials(vm, &bc, err))
        return false;
    fill_board_config(vm, &bc);
    vm->board = board_create(vm->config->board, vm->machine, &bc, err);
    return vm->board && plug_devices(vm, devices, err) && plug_debugcons(vm, err) && add_files(vm, err) && add_splash(vm, err) && vm_set_boot_order(vm, true, err);
}

bool vm_start_kernel(Vm *vm, GError **err)
{
    BoardStart start = { 0 };
    return !vm->kernel || (board_start_direct(vm->board, &start, err) && kernel_load(vm->kernel, vm->machine, &start, err));
}

/* ---- process id file */

/* Locked from the beginning; the number stands in it once signals end the machine in order. */
static bool claim_pidfile(Vm *vm, GError **err)
{
    const char *path = vm->config->pidfile;
    if (!path)
        return true;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fd < 0)
        return error_set_errno(err, errno, "cannot write -pidfile '%s'", path);
    if (fcntl(fd, F_SETLK, &lock) < 0) {
        close(fd);
        return error_set(err, ERR_BUSY, "-pidfile '%s' belongs to a running machine; end that one first or name another file", path);
    }
    vm->pidfile = fd;
    return ftruncate(fd, 0) == 0 || error_set_errno(err, errno, "cannot write -pidfile '%s'", path);
}

bool vm_write_pid(Vm *vm, GError **err)
{
    char text[32];
    int n = g_snprintf(text, sizeof(text), "%d\n", getpid());
    return vm->pidfile < 0 || write(vm->pidfile, text, n) == n || error_set_errno(err, errno, "cannot write -pidfile '%s'", vm->config->pidfile);
}

/* ---- the whole */

static bool build(Vm *vm, GError **err)
{
    const VmConfig *c = vm->config;
    g_autofree char *firmware = NULL;
    if (!check_memory(c, err))
        return false;
    if (c->kernel && !(vm->kernel = kernel_open(c->kernel, c->initrd, c->append, err)))
        return false;
    if (c->no_board)
        return make_machine(vm, err) && claim_pidfile(vm, err) && vm_open_chardevs(vm, err) && open_monitors(vm, err);
    bool optional = !c->firmware && ((const AccelOps *)c->accels->pdata[0])->manual_clock; /* nobody would execute it */
    if (!c->kernel && !c->pflash[0] && !config_is_bare(c) && !(firmware = find_firmware(c, optional ? NULL : err)) && !optional)
        return false;
    if (!make_machine(vm, err) || !claim_pidfile(vm, err) || !assemble(vm, firmware, err))
        return false;
    machine_reset(vm->machine, RESET_COLD);
    return vm_start_kernel(vm, err) && open_monitors(vm, err) && vm_open_vncs(vm, err) && open_gdb(vm, err) && open_qtest(vm, err);
}

Vm *vm_build(const VmConfig *config, GError **err)
{
    Vm *vm = g_new0(Vm, 1);
    vm->config = config;
    vm->actions = config->actions;
    vm->pidfile = -1;
    vm->loop = g_main_loop_new(NULL, FALSE);
    vm->drives = g_ptr_array_new();
    vm->exports = g_ptr_array_new();
    vm->jobs = g_ptr_array_new();
    vm->chardevs = g_ptr_array_new();
    vm->nets = g_ptr_array_new();
    if (build(vm, err))
        return vm;
    vm_destroy(vm);
    return NULL;
}

void vm_destroy(Vm *vm)
{
    if (!vm)
        return;
    qtest_close(vm->qtest);
    gdb_close(vm->gdb);
    vm_close_vncs(vm);
    vm_end_exports(vm);
    vm_end_jobs(vm);
    migration_free(vm->migration);
    monitors_free(vm->monitors);
    g_clear_pointer(&vm->io_errors, g_hash_table_destroy);
    IoThread *disks = vm->machine ? vm->machine->io_thread : NULL;
    machine_destroy(vm->machine);
    io_thread_free(disks);
    vm_close_io_threads(vm);
    board_destroy(vm->board);
    screens_destroy(vm->screens);
    input_hub_destroy(vm->input);
    kernel_close(vm->kernel);
    vm_close_nets(vm);
    for (unsigned i = 0; i < vm->drives->len; i++) {
        g_autoptr(GError) err = NULL;
        if (!blk_finish(vm->drives->pdata[i], &err))
            g_printerr("atoll-vm: %s\n", err->message);
    }
    for (unsigned i = vm->chardevs->len; i-- > 0;)
        chardev_close(vm->chardevs->pdata[i]);
    g_ptr_array_unref(vm->jobs);
    g_ptr_array_unref(vm->drives);
    g_ptr_array_unref(vm->exports);
    g_ptr_array_unref(vm->chardevs);
    g_ptr_array_unref(vm->nets);
    if (vm->pidfile >= 0) {
        unlink(vm->config->pidfile);
        close(vm->pidfile);
    }
    g_main_loop_unref(vm->loop);
    g_free(vm);
}
