/* capabilities.c - what the host and its emulator can do, as libvirt's clients read it. */
#include <string.h>

#include "base/error.h"
#include "manage/daemon/cpu_models.h"
#include "manage/hypervisor/firmware.h"

static const char *const machines[] = { "pc", "q35", "microvm", NULL };

static void append_cpus(GString *s, const HvHost *h)
{
    g_string_append_printf(s, "    <topology>\n      <cells num='1'>\n        <cell id='0'>\n          <memory unit='KiB'>%" G_GUINT64_FORMAT "</memory>\n"
                              "          <cpus num='%u'>\n", h->memory / 1024, h->cpus);
    for (unsigned i = 0; i < h->cpus; i++)
        g_string_append_printf(s, "            <cpu id='%u' socket_id='0' die_id='0' core_id='%u' siblings='%u'/>\n", i, i, i);
    g_string_append(s, "          </cpus>\n        </cell>\n      </cells>\n    </topology>\n");
}

static void append_guest(GString *s, const Realm *r, const char *arch, unsigned wordsize)
{
    const HvHost *h = &r->daemon->host;
    g_string_append_printf(s, "  <guest>\n    <os_type>hvm</os_type>\n    <arch name='%s'>\n      <wordsize>%u</wordsize>\n      <emulator>%s</emulator>\n", arch, wordsize,
                           r->in_memory ? "/usr/bin/test-hv" : h->emulator);
    for (unsigned i = 0; machines[i]; i++)
        g_string_append_printf(s, "      <machine maxCpus='255'>%s</machine>\n", machines[i]);
    if (r->in_memory)
        g_string_append(s, "      <domain type='test'/>\n");
    else
        g_string_append_printf(s, "      <domain type='qemu'/>\n%s", h->kvm ? "      <domain type='kvm'/>\n" : "");
    g_string_append(s, "    </arch>\n    <features>\n      <acpi default='on' toggle='yes'/>\n      <apic default='on' toggle='no'/>\n      <cpuselection/>\n"
                       "      <deviceboot/>\n    </features>\n  </guest>\n");
}

char *capabilities_xml(Daemon *d, const Realm *r)
{
    GString *s = g_string_new("<capabilities>\n  <host>\n");
    g_string_append_printf(s, "    <uuid>%s</uuid>\n    <cpu>\n      <arch>x86_64</arch>\n      <model>qemu64</model>\n      <topology sockets='1' dies='1' cores='%u' threads='1'/>\n"
                              "    </cpu>\n    <power_management/>\n", d->uuid, d->host.cpus);
    append_cpus(s, &d->host);
    g_string_append(s, "  </host>\n");
    append_guest(s, r, "x86_64", 64);
    append_guest(s, r, "i686", 32);
    g_string_append(s, "</capabilities>\n");
    return g_string_free(s, FALSE);
}

/* <NAME supported='yes'><enum name=..><value>.. of words separated by blanks. */
static void append_enum(GString *s, const char *name, const char *words)
{
    g_auto(GStrv) each = g_strsplit(words, " ", -1);
    g_string_append_printf(s, "      <enum name='%s'>\n", name);
    for (char **w = each; *w && **w; w++)
        g_string_append_printf(s, "        <value>%s</value>\n", *w);
    g_string_append(s, "      </enum>\n");
}

/* A row is an <enum> of a device's element; a row without words says that there is no such device. */
static const struct {
    const char *device, *name, *words;
} device_enums[] = {
    { "disk", "diskDevice", "disk cdrom floppy lun" }, { "disk", "bus", "ide fdc scsi virtio sata" }, { "disk", "model", "virtio virtio-transitional virtio-non-transitional" },
    { "graphics", "type", "vnc" },
    { "video", "modelType", "vga virtio bochs ramfb none" },
    { "hostdev", NULL, NULL },
    { "rng", "model", "virtio virtio-transitional virtio-non-transitional" }, { "rng", "backendModel", "random builtin" },
    { "filesystem", NULL, NULL }, { "tpm", NULL, NULL }, { "redirdev", NULL, NULL },
    { "channel", "type", "pty unix" },
};

static void append_devices(GString *s)
{
    const char *open = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(device_enums); i++) {
        const char *device = device_enums[i].device;
        if (open && strcmp(open, device)) {
            g_string_append_printf(s, "    </%s>\n", open);
            open = NULL;
        }
        if (!device_enums[i].name) {
            g_string_append_printf(s, "    <%s supported='no'/>\n", device);
            continue;
        }
        if (!open)
            g_string_append_printf(s, "    <%s supported='yes'>\n", open = device);
        append_enum(s, device_enums[i].name, device_enums[i].words);
    }
    if (open)
        g_string_append_printf(s, "    </%s>\n", open);
}

/* What the driver's machines cannot start is left out. */
static void append_os(GString *s, const HvHost *h, const char *emulator, const char *machine)
{
    bool smm = strstr(emulator, "qemu-system-"), efi = false, secure = false;
    g_autoptr(GPtrArray) list = firmware_list(h, "x86_64", machine);
    g_autoptr(GString) paths = g_string_new(NULL);
    for (guint i = 0; i < list->len; i++) {
        const Firmware *f = list->pdata[i];
        if (firmware_can(f, "requires-smm") && !smm)
            continue;
        g_string_append_printf(paths, "      <value>%s</value>\n", f->code);
        efi = true;
        secure |= firmware_can(f, "secure-boot");
    }
    g_string_append(s, "  <os supported='yes'>\n");
    append_enum(s, "firmware", efi ? "efi" : "");
    g_string_append_printf(s, "    <loader supported='yes'>\n%s", paths->str);
    append_enum(s, "type", "rom pflash");
    append_enum(s, "readonly", "yes no");
    append_enum(s, "secure", secure ? "yes no" : "no");
    g_string_append(s, "    </loader>\n  </os>\n");
}

static void append_custom(GString *s, const GPtrArray *models)
{
    if (!models) {
        g_string_append(s, "    <mode name='custom' supported='no'/>\n");
        return;
    }
    g_string_append(s, "    <mode name='custom' supported='yes'>\n");
    for (guint i = 0; i < models->len; i++) {
        const CpuModelName *m = models->pdata[i];
        g_string_append_printf(s, "      <model usable='%s' vendor='unknown'>%s</model>\n", m->usable ? "yes" : "no", m->name);
    }
    g_string_append(s, "    </mode>\n");
}

static void append_cpu_modes(GString *s, const GPtrArray *models)
{
    g_string_append(s, "  <cpu>\n    <mode name='host-passthrough' supported='yes'>\n");
    append_enum(s, "hostPassthroughMigratable", "on off");
    g_string_append(s, "    </mode>\n    <mode name='maximum' supported='yes'>\n");
    append_enum(s, "maximumMigratable", "on off");
    g_string_append(s, "    </mode>\n    <mode name='host-model' supported='no'/>\n");
    append_custom(s, models);
    g_string_append(s, "  </cpu>\n");
}

char *domain_capabilities_xml(Daemon *d, const Realm *r, const char *emulator, const char *machine, const char *type, const GPtrArray *cpu_models, GError **err)
{
    const char *kind = type ? type : r->in_memory ? "test" : d->host.kvm ? "kvm" : "qemu", *board = machine ? machine : "pc";
    if (!record_word_value(domain_types, kind)) {
        rpc_error_set(err, RPC_ERR_INVALID_ARG, "there is no virtualization type '%s': kvm, qemu, test", kind);
        return NULL;
    }
    if (!strcmp(kind, "kvm") && !d->host.kvm) {
        rpc_error_set(err, RPC_ERR_INVALID_ARG, "KVM cannot be used here (/dev/kvm cannot be opened): type 'qemu' runs machines by translation");
        return NULL;
    }
    GString *s = g_string_new(NULL);
    g_autofree char *path = g_markup_escape_text(emulator ? emulator : d->host.emulator, -1), *name = g_markup_escape_text(board, -1);
    g_string_append_printf(s, "<domainCapabilities>\n  <path>%s</path>\n  <domain>%s</domain>\n  <machine>%s</machine>\n  <arch>x86_64</arch>\n  <vcpu max='255'/>\n"
                              "  <iothreads supported='yes'/>\n", path, kind, name);
    append_os(s, &d->host, emulator ? emulator : d->host.emulator, board);
    append_cpu_modes(s, cpu_models);
    g_string_append(s, "  <memoryBacking supported='no'/>\n  <devices>\n");
    append_devices(s);
    g_string_append(s, "  </devices>\n  <features>\n    <gic supported='no'/>\n    <vmcoreinfo supported='no'/>\n    <genid supported='no'/>\n    <backingStoreInput supported='yes'/>\n"
                       "    <backup supported='no'/>\n    <sev supported='no'/>\n  </features>\n</domainCapabilities>\n");
    return g_string_free(s, FALSE);
}
