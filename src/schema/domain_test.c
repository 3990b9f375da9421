/* domain_test.c - definitions as virt-install and people write them. */
#include <string.h>

#include "base/error.h"
#include "schema/domain.h"

static const char whole[] =
    "<domain type='kvm'>\n"
    "  <name>vf</name>\n"
    "  <uuid>5ed9631a-e07a-47ed-9140-631a3979af6b</uuid>\n"
    "  <metadata>\n"
    "    <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>\n"
    "      <libosinfo:os id='http://debian.org/debian/12'/>\n"
    "    </libosinfo:libosinfo>\n"
    "  </metadata>\n"
    "  <memory unit='KiB'>262144</memory>\n"
    "  <currentMemory unit='KiB'>262144</currentMemory>\n"
    "  <vcpu placement='static'>2</vcpu>\n"
    "  <os>\n"
    "    <type arch='x86_64' machine='q35'>hvm</type>\n"
    "  </os>\n"
    "  <features>\n"
    "    <acpi/>\n"
    "    <apic/>\n"
    "    <vmport state='off'/>\n"
    "  </features>\n"
    "  <cpu mode='host-passthrough' check='none' migratable='on'/>\n"
    "  <clock offset='utc'>\n"
    "    <timer name='rtc' tickpolicy='catchup'/>\n"
    "    <timer name='hpet' present='no'/>\n"
    "  </clock>\n"
    "  <on_poweroff>destroy</on_poweroff>\n"
    "  <on_reboot>restart</on_reboot>\n"
    "  <on_crash>destroy</on_crash>\n"
    "  <pm>\n"
    "    <suspend-to-mem enabled='no'/>\n"
    "    <suspend-to-disk enabled='no'/>\n"
    "  </pm>\n"
    "  <devices>\n"
    "    <emulator>/usr/bin/atoll-vm</emulator>\n"
    "    <disk type='file' device='disk'>\n"
    "      <driver name='qemu' type='qcow2' discard='unmap'/>\n"
    "      <source file='/images/imp.qcow2'/>\n"
    "      <target dev='vda' bus='virtio'/>\n"
    "      <boot order='1'/>\n"
    "      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>\n"
    "    </disk>\n"
    "    <controller type='pci' index='0' model='pcie-root'/>\n"
    "    <interface type='bridge'>\n"
    "      <mac address='52:54:00:64:6d:d0'/>\n"
    "      <source bridge='br0'/>\n"
    "      <model type='virtio'/>\n"
    "    </interface>\n"
    "    <console type='pty'>\n"
    "      <target type='serial' port='0'/>\n"
    "    </console>\n"
    "    <input type='tablet' bus='usb'/>\n"
    "    <graphics type='vnc' port='-1' autoport='yes'>\n"
    "      <listen type='address'/>\n"
    "    </graphics>\n"
    "    <video>\n"
    "      <model type='virtio' heads='1' primary='yes'/>\n"
    "    </video>\n"
    "    <memballoon model='virtio'/>\n"
    "    <rng model='virtio'>\n"
    "      <backend model='random'>/dev/urandom</backend>\n"
    "    </rng>\n"
    "  </devices>\n"
    "</domain>\n";

static void test_round_trip(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    Domain *d = record_read_xml(&domain_type, whole, 0, warnings, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(warnings->len, ==, 0);
    g_autofree char *xml = record_write_xml(d, 0);
    g_assert_cmpstr(xml, ==, whole);
    g_assert_cmpuint(((Disk *)d->devices->disks->pdata[0])->bus, ==, BUS_VIRTIO);
    g_assert_cmpuint(d->memory, ==, 256 << 20);
    record_free(d);
}

/* As a person writes it: what is not said is filled in. */
static void test_defaults(void)
{
    g_autoptr(GError) err = NULL;
    Domain *d = record_read_xml(&domain_type,
                                "<domain type='qemu'><name>a</name><memory unit='MB'>100</memory><os><type>hvm</type></os>"
                                "<devices><disk device='cdrom'><target dev='hda'/></disk><controller type='pci'/><controller type='usb'/><controller type='pci' index='0'/>"
                                "<controller type='pci'/><controller type='usb' model='ich9-ehci1'/><controller type='usb' model='ich9-uhci1'/></devices></domain>",
                                0, NULL, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(strlen(d->uuid), ==, 36);
    g_assert_cmpuint(d->memory, ==, 97657 * UINT64_C(1024)); /* upwards to whole KiB */
    g_assert_cmpuint(d->vcpus, ==, 1);
    g_assert_cmpuint(d->on_reboot, ==, ACTION_RESTART);
    Disk *disk = d->devices->disks->pdata[0];
    static const uint64_t numbers[] = { 1, 0, 0, 2, 1, 1 };
    for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
        g_assert_cmpuint(((Controller *)d->devices->controllers->pdata[i])->index, ==, numbers[i]);
    g_assert_true(disk->bus == BUS_IDE && disk->readonly && disk->type == DISK_FILE);
    record_free(d);
}

static const char *const wrong[][2] = {
    { "<domain type='kvm'><name>a</name><memory>1048576</memory><os><type>hvm</type><boot dev='hd'/></os><devices><disk><target dev='vda'/><boot order='1'/></disk></devices></domain>",
      "per-device boot elements cannot be used together with os/boot elements" },
    { "<domain type='kvm'><name>a</name><memory>1048576</memory><os><type>hvm</type></os><devices><disk><target dev='vda'/><boot order='1'/></disk>"
      "<interface type='user'><boot order='1'/></interface></devices></domain>", "boot order '1' used for more than one device" },
    { "<domain><name>a</name><memory>1048576</memory></domain>", "needs @type" },
    { "<domain type='kvm'><name>a/b</name><memory>1048576</memory></domain>", "no name for a machine" },
    { "<domain type='kvm'><name>..</name><memory>1048576</memory></domain>", "no name for a machine" },
    { "<domain type='kvm'><name>a</name></domain>", "needs memory" },
    { "<domain type='kvm'><name>a</name><memory>1048576</memory><vcpu current='3'>2</vcpu></domain>", "more than the most" },
    { "<domain type='kvm'><name>a</name><memory>1048576</memory><currentMemory>1048577</currentMemory></domain>", "more than memory" },
    { "<domain type='kvm'><name>a</name><memory>1048576</memory><devices><disk><target dev='vda'/></disk><disk><target dev='vda'/></disk></devices></domain>",
      "two disks" },
    { "<domain type='kvm'><name>a</name><memory>1048576</memory><devices><interface type='network'/></devices></domain>", "needs source/@network" },
    { "<domain type='kvm'><name>a</name><memory>1048576</memory><devices><disk><target dev='q'/></disk></devices></domain>", "say its bus" },
};

static void test_wrong(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(record_read_xml(&domain_type, wrong[i][0], 0, NULL, &err));
        if (!err || !strstr(err->message, wrong[i][1]))
            g_error("%s: \"%s\", not \"%s\"", wrong[i][0], err ? err->message : "no error", wrong[i][1]);
    }
}

/* Each row of each record can be read and written alone: no two rows of a record have one name or one place. */
static void check_rows(const RecordType *t, GHashTable *seen)
{
    if (!g_hash_table_add(seen, (gpointer)t))
        return;
    for (const RecordField *f = t->fields; f->name; f++) {
        g_assert_cmpuint(f->off, <, t->size);
        g_assert_true(f->kind != RK_WORD || f->words);
        g_assert_true(f->record || f->doc);
        for (const RecordField *g = t->fields; g < f; g++)
            if (!strcmp(f->name, g->name) || f->off == g->off || (!strcmp(f->path, g->path) && !f->when))
                g_error("%s: rows %s and %s are the same", t->element, g->name, f->name);
        if (f->record)
            check_rows(f->record, seen);
    }
}

static void test_rows(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    check_rows(&domain_type, seen);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/domain/round-trip", test_round_trip);
    g_test_add_func("/domain/defaults", test_defaults);
    g_test_add_func("/domain/wrong", test_wrong);
    g_test_add_func("/domain/rows", test_rows);
    return g_test_run();
}
