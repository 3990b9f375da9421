/* domain.c - the rows of a machine's definition but its devices (https://libvirt.org/formatdomain.html). */
#include <string.h>

#include "base/error.h"
#include "schema/cpuset.h"
#include "schema/domain.h"

#define END { .name = NULL }

const char *const domain_types[] = { "kvm", "qemu", "test", NULL };
const char *const domain_actions[] = { "destroy", "restart", "preserve", "rename-restart", "coredump-destroy", "coredump-restart", NULL };
static const char *const cpu_modes[] = { "custom", "host-model", "host-passthrough", "maximum", NULL };
static const char *const cpu_matches[] = { "minimum", "exact", "strict", NULL };
static const char *const cpu_checks[] = { "none", "partial", "full", NULL };
static const char *const policies[] = { "force", "require", "optional", "disable", "forbid", NULL };
static const char *const clocks[] = { "utc", "localtime", "timezone", "variable", "absolute", NULL };
static const char *const smbios_modes[] = { "emulate", "host", "sysinfo", NULL };
static const char *const memory_sources[] = { "file", "anonymous", "memfd", NULL };
static const char *const memory_accesses[] = { "shared", "private", NULL };

static const RecordField feature_fields[] = {
    { RF(Feature, policy, RK_WORD, "@policy"), .words = policies, .doc = "must it be there" },
    { RF(Feature, name, RK_TEXT, "@name"), .required = true, .doc = "feature of CPUID" },
    END
};
static const RecordType feature_record = { .element = "feature", .size = sizeof(Feature), .fields = feature_fields };

static const RecordField firmware_feature_fields[] = {
    { RF(FirmwareFeature, enabled, RK_WORD, "@enabled"), .words = record_yes_no, .required = true, .doc = "must it be there, or not be there" },
    { RF(FirmwareFeature, name, RK_TEXT, "@name"), .required = true, .doc = "secure-boot, enrolled-keys" },
    END
};
static const RecordType firmware_feature_record = { .element = "feature", .size = sizeof(FirmwareFeature), .fields = firmware_feature_fields };

static const RecordField timer_fields[] = {
    { RF(Timer, name, RK_TEXT, "@name"), .required = true, .doc = "rtc, pit, hpet, tsc, kvmclock, hypervclock" },
    { RF(Timer, present, RK_WORD, "@present"), .words = record_yes_no, .doc = "is it there" },
    { RF(Timer, tickpolicy, RK_TEXT, "@tickpolicy"), .doc = "delay, catchup, merge, discard" },
    END
};
static const RecordType timer_record = { .element = "timer", .size = sizeof(Timer), .fields = timer_fields };

static const RecordField cpu_fields[] = {
    { RF(Cpu, mode, RK_WORD, "@mode"), .words = cpu_modes, .doc = "how the model is found" },
    { RF(Cpu, match, RK_WORD, "@match"), .words = cpu_matches, .doc = "how near it must come" },
    { RF(Cpu, check, RK_WORD, "@check"), .words = cpu_checks, .doc = "is it checked at start" },
    { RF(Cpu, migratable, RK_WORD, "@migratable"), .words = record_on_off, .doc = "without what cannot move to another host" },
    { RF(Cpu, model, RK_TEXT, "model"), .doc = "name of a model" },
    { RF(Cpu, fallback, RK_TEXT, "model/@fallback"), .doc = "allow, forbid" },
    { RF(Cpu, vendor, RK_TEXT, "vendor"), .doc = "vendor" },
    { RF(Cpu, sockets, RK_UINT, "topology/@sockets"), .min = 1, .max = 4096, .doc = "packages" },
    { RF(Cpu, dies, RK_UINT, "topology/@dies"), .min = 1, .max = 4096, .doc = "dies a package" },
    { RF(Cpu, cores, RK_UINT, "topology/@cores"), .min = 1, .max = 4096, .doc = "cores a die" },
    { RF(Cpu, threads, RK_UINT, "topology/@threads"), .min = 1, .max = 4096, .doc = "threads a core" },
    { RF(Cpu, features, RK_LIST, "feature"), .record = &feature_record, .doc = "features more or less" },
    { RF(Cpu, numa, RK_XML, "numa"), .doc = "nodes of memory" },
    END
};
const RecordType cpu_record = { .element = "cpu", .size = sizeof(Cpu), .fields = cpu_fields, .doc = "the processor" };

static const RecordField vcpu_pin_fields[] = {
    { RF(Pin, id, RK_UINT, "@vcpu"), .max = 4095, .required = true, .doc = "number of the virtual processor" },
    { RF(Pin, cpuset, RK_TEXT, "@cpuset"), .required = true, .check = cpuset_check, .doc = "processors of the host" },
    END
};
const RecordType vcpu_pin_record = { .element = "vcpupin", .size = sizeof(Pin), .fields = vcpu_pin_fields };

static const RecordField iothread_pin_fields[] = {
    { RF(Pin, id, RK_UINT, "@iothread"), .min = 1, .required = true, .doc = "number of the I/O thread" },
    { RF(Pin, cpuset, RK_TEXT, "@cpuset"), .required = true, .check = cpuset_check, .doc = "processors of the host" },
    END
};
const RecordType iothread_pin_record = { .element = "iothreadpin", .size = sizeof(Pin), .fields = iothread_pin_fields };

static const RecordField iothread_fields[] = { { RF(IoThreadConfig, id, RK_UINT, "@id"), .min = 1, .max = 65535, .required = true, .doc = "its number" }, END };
const RecordType iothread_record = { .element = "iothread", .size = sizeof(IoThreadConfig), .fields = iothread_fields };

enum { NAME_BYTES = 240 }; /* it is a file's name, with .xml and what stands there while it is written */

static bool check_name(const char *text, GError **err)
{
    if (*text && !strpbrk(text, "/\n") && strcmp(text, ".") && strcmp(text, "..") && strlen(text) <= NAME_BYTES)
        return true;
    return error_set(err, ERR_INVALID, "'%.80s' is no name for a machine: it may not be empty, . or .., hold a slash or a new line, nor have more than %d bytes", text, NAME_BYTES);
}

static const RecordField domain_fields[] = {
    { RF(Domain, type, RK_WORD, "@type"), .words = domain_types, .required = true, .doc = "what runs it: kvm, qemu (by translation), test" },
    { RF(Domain, id, RK_UINT, "@id"), .live = true, .doc = "number of the running machine" },
    { RF(Domain, name, RK_TEXT, "name"), .required = true, .check = check_name, .doc = "name" },
    { RF(Domain, uuid, RK_UUID, "uuid"), .doc = "UUID; made up where none is given" },
    { RF(Domain, genid, RK_TEXT, "genid"), .doc = "generation of the machine" },
    { RF(Domain, title, RK_TEXT, "title"), .doc = "short description" },
    { RF(Domain, description, RK_TEXT, "description"), .doc = "description" },
    { RF(Domain, metadata, RK_XML, "metadata"), .doc = "what other programs keep here" },
    { RF(Domain, max_memory, RK_SIZE, "maxMemory"), .doc = "most that may ever be plugged in" },
    { RF(Domain, max_memory_slots, RK_UINT, "maxMemory/@slots"), .doc = "modules that may be plugged in" },
    { RF(Domain, memory, RK_SIZE, "memory"), .min = 1 << 20, .required = true, .doc = "memory at start" },
    { RF(Domain, current_memory, RK_SIZE, "currentMemory"), .doc = "memory that the balloon leaves; memory where not given" },
    { RF(Domain, hugepages, RK_FLAG, "memoryBacking/hugepages"), .doc = "huge pages of the host" },
    { RF(Domain, memory_source, RK_WORD, "memoryBacking/source/@type"), .words = memory_sources, .doc = "what memory is made of" },
    { RF(Domain, memory_access, RK_WORD, "memoryBacking/access/@mode"), .words = memory_accesses, .doc = "may other processes map it" },
    { RF(Domain, io_weight, RK_UINT, "blkiotune/weight"), .max = 1000, .doc = "weight among machines at disks" },
    { RF(Domain, memory_hard_limit, RK_SIZE, "memtune/hard_limit"), .doc = "most memory of the host that the machine's process takes" },
    { RF(Domain, memory_soft_limit, RK_SIZE, "memtune/soft_limit"), .doc = "what is left to it where memory is short" },
    { RF(Domain, swap_hard_limit, RK_SIZE, "memtune/swap_hard_limit"), .doc = "most memory and swap space together" },
    { RF(Domain, placement, RK_TEXT, "vcpu/@placement"), .def = "static", .doc = "static, auto" },
    { RF(Domain, cpuset, RK_TEXT, "vcpu/@cpuset"), .check = cpuset_check, .doc = "processors of the host for threads without a pin" },
    { RF(Domain, current_vcpus, RK_UINT, "vcpu/@current"), .min = 1, .max = 4096, .doc = "processors at start" },
    { RF(Domain, vcpus, RK_UINT, "vcpu"), .min = 1, .max = 4096, .def = "1", .doc = "most processors" },
    { RF(Domain, iothreads, RK_UINT, "iothreads"), .max = 256, .doc = "threads for disks" },
    { RF(Domain, iothread_ids, RK_LIST, "iothreadids/iothread"), .record = &iothread_record, .doc = "their numbers; 1 and so on where none are given" },
    { RF(Domain, cpu_shares, RK_UINT, "cputune/shares"), .doc = "weight among machines" },
    { RF(Domain, cpu_period, RK_UINT, "cputune/period"), .doc = "microseconds" },
    { RF(Domain, global_period, RK_UINT, "cputune/global_period"), .doc = "microseconds, of global_quota" },
    { RF(Domain, global_quota, RK_TEXT, "cputune/global_quota"), .doc = "microseconds of processor time of the whole machine in a period; -1: no bound" },
    { RF(Domain, cpu_quota, RK_TEXT, "cputune/quota"), .doc = "microseconds of processor time in a period; -1: no bound" },
    { RF(Domain, vcpu_pins, RK_LIST, "cputune/vcpupin"), .record = &vcpu_pin_record, .doc = "where virtual processors run" },
    { RF(Domain, emulator_pin, RK_TEXT, "cputune/emulatorpin/@cpuset"), .check = cpuset_check, .doc = "where the other threads run" },
    { RF(Domain, iothread_pins, RK_LIST, "cputune/iothreadpin"), .record = &iothread_pin_record, .doc = "where I/O threads run" },
    { RF(Domain, sysinfo, RK_XML, "sysinfo"), .doc = "what SMBIOS says" },
    { RF(Domain, firmware, RK_TEXT, "os/@firmware"), .doc = "bios, efi" },
    { RF(Domain, arch, RK_TEXT, "os/type/@arch"), .def = "x86_64", .doc = "architecture" },
    { RF(Domain, machine, RK_TEXT, "os/type/@machine"), .doc = "board: pc, q35, microvm" },
    { RF(Domain, os_type, RK_TEXT, "os/type"), .def = "hvm", .doc = "hvm" },
    { RF(Domain, firmware_features, RK_LIST, "os/firmware/feature"), .record = &firmware_feature_record, .doc = "what firmware that is chosen by itself can do" },
    { RF(Domain, loader_readonly, RK_TEXT, "os/loader/@readonly"), .doc = "yes: the firmware is never written" },
    { RF(Domain, loader_secure, RK_TEXT, "os/loader/@secure"), .doc = "secure boot" },
    { RF(Domain, loader_type, RK_TEXT, "os/loader/@type"), .doc = "rom, pflash" },
    { RF(Domain, loader, RK_TEXT, "os/loader"), .doc = "firmware" },
    { RF(Domain, nvram_template, RK_TEXT, "os/nvram/@template"), .doc = "what the variables start as" },
    { RF(Domain, nvram, RK_TEXT, "os/nvram"), .doc = "where the firmware's variables are" },
    { RF(Domain, kernel, RK_TEXT, "os/kernel"), .doc = "kernel that is started without a boot loader" },
    { RF(Domain, initrd, RK_TEXT, "os/initrd"), .doc = "its initial file system" },
    { RF(Domain, cmdline, RK_TEXT, "os/cmdline"), .doc = "its command line" },
    { RF(Domain, dtb, RK_TEXT, "os/dtb"), .doc = "its device tree" },
    { RF(Domain, boot, RK_TEXTS, "os/boot/@dev"), .doc = "hd, cdrom, network, fd, in this order" },
    { RF(Domain, boot_menu, RK_WORD, "os/bootmenu/@enable"), .words = record_yes_no, .doc = "the firmware asks" },
    { RF(Domain, boot_menu_timeout, RK_UINT, "os/bootmenu/@timeout"), .max = 65535, .doc = "milliseconds it waits" },
    { RF(Domain, smbios, RK_WORD, "os/smbios/@mode"), .words = smbios_modes, .doc = "where SMBIOS comes from" },
    { RF(Domain, use_serial, RK_WORD, "os/bios/@useserial"), .words = record_yes_no, .doc = "firmware on the serial line" },
    { RF(Domain, reboot_timeout, RK_UINT, "os/bios/@rebootTimeout"), .max = 65535, .doc = "milliseconds before it tries again" },
    { RF(Domain, acpi, RK_FLAG, "features/acpi"), .doc = "ACPI" },
    { RF(Domain, apic, RK_FLAG, "features/apic"), .doc = "APIC" },
    { RF(Domain, apic_eoi, RK_WORD, "features/apic/@eoi"), .words = record_on_off, .doc = "paravirtual end of interrupt" },
    { RF(Domain, pae, RK_FLAG, "features/pae"), .doc = "PAE" },
    { RF(Domain, hap, RK_FLAG, "features/hap"), .doc = "nested paging" },
    { RF(Domain, hyperv, RK_XML, "features/hyperv"), .doc = "what Windows likes" },
    { RF(Domain, kvm_features, RK_XML, "features/kvm"), .doc = "KVM's own features" },
    { RF(Domain, vmport, RK_WORD, "features/vmport/@state"), .words = record_on_off, .doc = "VMware's port" },
    { RF(Domain, smm, RK_WORD, "features/smm/@state"), .words = record_on_off, .doc = "system management mode" },
    { RF(Domain, cpu, RK_RECORD, "cpu"), .record = &cpu_record, .doc = "the processor" },
    { RF(Domain, clock, RK_WORD, "clock/@offset"), .words = clocks, .def = "utc", .doc = "what the guest's clock shows" },
    { RF(Domain, timezone, RK_TEXT, "clock/@timezone"), .when = "clock=timezone", .doc = "time zone" },
    { RF(Domain, adjustment, RK_TEXT, "clock/@adjustment"), .when = "clock=variable,utc", .doc = "seconds beside UTC" },
    { RF(Domain, basis, RK_TEXT, "clock/@basis"), .when = "clock=variable", .doc = "utc, localtime" },
    { RF(Domain, timers, RK_LIST, "clock/timer"), .record = &timer_record, .doc = "timers" },
    { RF(Domain, on_poweroff, RK_WORD, "on_poweroff"), .words = domain_actions, .def = "destroy", .doc = "when the guest powers off" },
    { RF(Domain, on_reboot, RK_WORD, "on_reboot"), .words = domain_actions, .def = "restart", .doc = "when the guest reboots" },
    { RF(Domain, on_crash, RK_WORD, "on_crash"), .words = domain_actions, .def = "destroy", .doc = "when the guest crashes" },
    { RF(Domain, suspend_to_mem, RK_WORD, "pm/suspend-to-mem/@enabled"), .words = record_yes_no, .doc = "ACPI S3" },
    { RF(Domain, suspend_to_disk, RK_WORD, "pm/suspend-to-disk/@enabled"), .words = record_yes_no, .doc = "ACPI S4" },
    { RF(Domain, devices, RK_RECORD, "devices"), .record = &devices_record, .doc = "devices" },
    END
};

/* libvirt counts memory in whole KiB, upwards. */
static void whole_kib(uint64_t *bytes)
{
    if (*bytes != RECORD_NONE)
        *bytes = (*bytes + 1023) & ~UINT64_C(1023);
}

static bool two_of_a_target(const GPtrArray *disks, GError **err)
{
    for (guint i = 0; disks && i < disks->len; i++)
        for (guint j = 0; j < i; j++)
            if (!strcmp(((Disk *)disks->pdata[i])->target, ((Disk *)disks->pdata[j])->target))
                return error_set(err, ERR_INVALID, "two disks have the target '%s': give one of them another name", ((Disk *)disks->pdata[i])->target);
    return true;
}

static bool has_iothread(const Domain *d, uint64_t id)
{
    for (guint i = 0; d->iothread_ids && i < d->iothread_ids->len; i++)
        if (((IoThreadConfig *)d->iothread_ids->pdata[i])->id == id)
            return true;
    return false;
}

/* Where numbers are given there are as many threads; else they are 1 and so on. */
static void number_iothreads(Domain *d)
{
    guint known = d->iothread_ids ? d->iothread_ids->len : 0;
    if (d->iothreads == RECORD_NONE || known > d->iothreads)
        d->iothreads = known ? known : RECORD_NONE;
    for (uint64_t id = 1; d->iothreads != RECORD_NONE && known < d->iothreads; id++) {
        if (has_iothread(d, id))
            continue;
        IoThreadConfig *t = record_new(&iothread_record);
        t->id = id;
        if (!d->iothread_ids)
            d->iothread_ids = g_ptr_array_new_with_free_func(record_free);
        g_ptr_array_add(d->iothread_ids, t);
        known++;
    }
}

static bool check_iothreads(Domain *d, GError **err)
{
    const GPtrArray *disks = d->devices->disks;
    number_iothreads(d);
    for (guint i = 0; disks && i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];
        if (disk->iothread != RECORD_NONE && !has_iothread(d, disk->iothread))
            return error_set(err, ERR_INVALID, "disk '%s' wants I/O thread %" G_GUINT64_FORMAT ", and the machine has none of that number: <iothreads> says how many", disk->target, disk->iothread);
    }
    return true;
}

typedef struct BootOrders {
    uint64_t seen[64];
    unsigned count;
} BootOrders;

static bool add_order(BootOrders *o, uint64_t order, GError **err)
{
    if (order == RECORD_NONE)
        return true;
    for (unsigned i = 0; i < o->count; i++)
        if (o->seen[i] == order)
            return error_set(err, ERR_INVALID, "boot order '%" G_GUINT64_FORMAT "' used for more than one device: give each its own number", order);
    if (o->count < G_N_ELEMENTS(o->seen))
        o->seen[o->count++] = order;
    return true;
}

static bool check_boot(const Domain *d, GError **err)
{
    BootOrders o = { .count = 0 };
    for (guint i = 0; d->devices->disks && i < d->devices->disks->len; i++)
        if (!add_order(&o, ((Disk *)d->devices->disks->pdata[i])->boot, err))
            return false;
    for (guint i = 0; d->devices->interfaces && i < d->devices->interfaces->len; i++)
        if (!add_order(&o, ((Interface *)d->devices->interfaces->pdata[i])->boot, err))
            return false;
    if (!o.count || !d->boot || !d->boot->len)
        return true;
    return error_set(err, ERR_INVALID, "per-device boot elements cannot be used together with os/boot elements: leave <boot order=> out of the devices, or <boot dev=> out of <os>");
}

static bool check_domain(void *record, GError **err)
{
    Domain *d = record;
    whole_kib(&d->memory);
    whole_kib(&d->current_memory);
    if (!d->uuid)
        d->uuid = g_uuid_string_random();
    if (d->current_memory == RECORD_NONE)
        d->current_memory = d->memory;
    if (!d->devices)
        d->devices = record_new(&devices_record);
    controllers_number(d->devices->controllers);
    if (d->current_memory > d->memory)
        return error_set(err, ERR_INVALID, "currentMemory is more than memory");
    if (d->current_vcpus != RECORD_NONE && d->current_vcpus > d->vcpus)
        return error_set(err, ERR_INVALID, "vcpu/@current (%" G_GUINT64_FORMAT ") is more than the most, %" G_GUINT64_FORMAT, d->current_vcpus, d->vcpus);
    return check_iothreads(d, err) && two_of_a_target(d->devices->disks, err) && check_boot(d, err);
}
const RecordType domain_type = { .element = "domain", .size = sizeof(Domain), .fields = domain_fields, .check = check_domain, .doc = "a machine" };
