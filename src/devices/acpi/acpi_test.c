/*
 * acpi_test.c - the ACPI and SMBIOS tables: placed by ourselves and by a reader of the loader script, checked sum by sum,
 * and given to ACPICA's own disassembler and compiler where that is installed (package acpica-tools).
 */
#include <string.h>

#include "devices/acpi/acpi_tables.h"
#include "devices/acpi/fw_cfg.h"
#include "devices/acpi/mptable.h"
#include "devices/acpi/smbios.h"
#include "machine/machine.h"

enum { AT = 0xe0000, CPUS = 300 };

static uint32_t ids[CPUS];

static unsigned any_pirq(unsigned slot, unsigned pin) { return (slot + pin) % 8; }

static AcpiTables *build_with(unsigned cpus, uint64_t ecam)
{
    for (unsigned i = 0; i < CPUS; i++)
        ids[i] = i;
    static const AcpiChips chips = { .pm_port = 0x600, .gpe_port = 0xafe0, .gpe_bytes = 4, .hotplug_port = 0xae00, .isa_slot = 1, .links = 8, .pirq_gsi = 16, .pirq = any_pirq };
    AcpiBoard b = { .chips = &chips, .ecam = ecam, .cpus = cpus, .apic_ids = ids, .pci32_first = 0xc0000000, .pci32_last = 0xfebfffff, .pci64_first = 1ull << 36,
                    .pci64_last = (1ull << 37) - 1, .serial = { true, true, true, true }, .hpet = true, .fw_cfg = true, .fdc_port = 0x3f0, .dsdt = acpi_pc_dsdt, .pvpanic_port = 0x505 };
    return acpi_tables_build(&b);
}

#define ECAM 0xd0000000u
static AcpiTables *build(unsigned cpus) { return build_with(cpus, ECAM); }

static uint64_t get(const uint8_t *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static uint8_t sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;
    while (n--)
        s += *p++;
    return s;
}

/* ---- a walk over placed tables, as an operating system does it */

typedef struct Placed {
    const uint8_t *tables, *rsdp;
    uint64_t at;
    size_t n;
    GPtrArray *seen; /* const uint8_t *: every table but the FACS */
} Placed;

static const uint8_t *table_at(const Placed *p, uint64_t gpa)
{
    g_assert_cmphex(gpa, >=, p->at);
    g_assert_cmphex(gpa + 36, <=, p->at + p->n);
    const uint8_t *t = p->tables + (gpa - p->at);
    g_assert_cmphex(gpa - p->at + get(t + 4, 4), <=, p->n);
    return t;
}

static void see(Placed *p, uint64_t gpa)
{
    const uint8_t *t = table_at(p, gpa);
    g_assert_cmphex(sum(t, get(t + 4, 4)), ==, 0);
    g_ptr_array_add(p->seen, (void *)t);
    if (!memcmp(t, "FACP", 4)) {
        g_assert_cmpuint(get(t + 4, 4), ==, 244);
        g_assert_cmphex(get(t + 40, 4), ==, get(t + 140, 8)); /* DSDT and X_DSDT */
        see(p, get(t + 40, 4));
        const uint8_t *facs = table_at(p, get(t + 36, 4));
        g_assert_cmphex(get(t + 36, 4) % 64, ==, 0);
        g_assert_true(!memcmp(facs, "FACS", 4));
    }
}

static void walk_root(Placed *p, uint64_t gpa, const char *signature, unsigned entry)
{
    const uint8_t *root = table_at(p, gpa);
    g_assert_true(!memcmp(root, signature, 4));
    g_assert_cmphex(sum(root, get(root + 4, 4)), ==, 0);
    for (unsigned off = 36; off < get(root + 4, 4); off += entry)
        see(p, get(root + off, entry));
}

static void walk(Placed *p)
{
    p->seen = g_ptr_array_new();
    g_assert_true(!memcmp(p->rsdp, "RSD PTR ", 8));
    g_assert_cmphex(sum(p->rsdp, 20), ==, 0);
    g_assert_cmphex(sum(p->rsdp, 36), ==, 0);
    walk_root(p, get(p->rsdp + 16, 4), "RSDT", 4);
    g_assert_cmpuint(p->seen->len, ==, 6); /* FACP, DSDT, APIC, HPET, MCFG, WAET */
    walk_root(p, get(p->rsdp + 24, 8), "XSDT", 8);
    g_assert_cmpuint(p->seen->len, ==, 12);
}

static void test_placed(void)
{
    g_autoptr(AcpiTables) t = build(4);
    acpi_place(t, AT);
    Placed p = { .tables = t->tables->data, .rsdp = t->rsdp->data, .at = AT, .n = t->tables->len };
    walk(&p);
    g_ptr_array_unref(p.seen);
}

/* ---- the loader script, executed as firmware does */

static uint8_t *file_bytes(GHashTable *files, const char *name)
{
    uint8_t *data = g_hash_table_lookup(files, name);
    g_assert_nonnull(data);
    return data;
}

static void run_entry(GHashTable *files, const uint8_t *e, uint64_t tables_at)
{
    const char *first = (const char *)e + 4;
    switch (get(e, 4)) {
    case 0: /* behind the end */
        break;
    case 1:
        g_assert_nonnull(file_bytes(files, first));
        break;
    case 2: {
        uint8_t *at = file_bytes(files, first) + get(e + 116, 4);
        uint64_t value = get(at, e[120]) + tables_at;
        g_assert_cmpstr((const char *)e + 60, ==, "etc/acpi/tables");
        memcpy(at, &value, e[120]);
        break;
    }
    case 3: {
        uint8_t *data = file_bytes(files, first);
        data[get(e + 60, 4)] -= sum(data + get(e + 64, 4), get(e + 68, 4));
        break;
    }
    default:
        g_assert_not_reached();
    }
}

static void add_copy(GHashTable *files, Device *fw_cfg, const char *name)
{
    gsize n;
    const void *data = g_bytes_get_data(fw_cfg_file(fw_cfg, name), &n);
    g_hash_table_insert(files, (void *)name, g_memdup2(data, n));
}

static void test_loader(void)
{
    MachineConfig config = { .ram_size = 1 << 20, .manual_clock = true };
    Machine *m = machine_create(&config, NULL);
    Device *fw_cfg = device_create(m, &fw_cfg_type, NULL, NULL, NULL);
    g_autoptr(AcpiTables) t = build(4);
    g_assert_true(acpi_add_files(t, fw_cfg, NULL));
    g_autoptr(GHashTable) files = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    add_copy(files, fw_cfg, "etc/acpi/tables");
    add_copy(files, fw_cfg, "etc/acpi/rsdp");
    gsize n;
    const uint8_t *script = g_bytes_get_data(fw_cfg_file(fw_cfg, "etc/table-loader"), &n);
    g_assert_cmpuint(n % 128, ==, 0);
    for (gsize off = 0; off < n; off += 128)
        run_entry(files, script + off, 0x7ff0000);
    Placed p = { .tables = file_bytes(files, "etc/acpi/tables"), .rsdp = file_bytes(files, "etc/acpi/rsdp"), .at = 0x7ff0000, .n = t->tables->len };
    walk(&p);
    g_ptr_array_unref(p.seen);
    machine_destroy(m);
}

/* Firmware knows the sizes from before it placed the PCIe configuration space. */
static void test_sizes_stay(void)
{
    static const char *const names[] = { "etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader" };
    MachineConfig config = { .ram_size = 1 << 20, .manual_clock = true };
    Machine *m = machine_create(&config, NULL);
    Device *fw_cfg = device_create(m, &fw_cfg_type, NULL, NULL, NULL);
    g_autoptr(AcpiTables) before = build_with(4, 0), after = build_with(4, ECAM);
    gsize size[G_N_ELEMENTS(names)];
    g_assert_cmpuint(before->tables->len, <, after->tables->len);
    g_assert_true(acpi_add_files(before, fw_cfg, NULL));
    for (unsigned n = 0; n < G_N_ELEMENTS(names); n++)
        size[n] = g_bytes_get_size(fw_cfg_file(fw_cfg, names[n]));
    g_assert_true(acpi_add_files(after, fw_cfg, NULL));
    for (unsigned n = 0; n < G_N_ELEMENTS(names); n++)
        g_assert_cmpuint(g_bytes_get_size(fw_cfg_file(fw_cfg, names[n])), ==, size[n]);
    machine_destroy(m);
}

/* ---- MADT: every CPU once, x2APIC entries beyond 254 */

static void test_many_cpus(void)
{
    g_autoptr(AcpiTables) t = build(CPUS);
    acpi_place(t, AT);
    const uint8_t *madt = NULL;
    for (unsigned off = 0; off + 4 < t->tables->len && !madt; off += 16)
        if (!memcmp(t->tables->data + off, "APIC", 4))
            madt = t->tables->data + off;
    g_assert_nonnull(madt);
    unsigned xapic = 0, x2apic = 0;
    for (unsigned off = 44; off < get(madt + 4, 4); off += madt[off + 1]) {
        xapic += madt[off] == 0;
        x2apic += madt[off] == 9;
        if (madt[off] == 9)
            g_assert_cmpuint(get(madt + off + 4, 4), >=, 255);
    }
    g_assert_cmpuint(xapic, ==, 255);
    g_assert_cmpuint(x2apic, ==, CPUS - 255);
}

/* ---- ACPICA */

static bool run(const char *dir, const char *const *argv, char **output)
{
    int status = -1;
    g_autofree char *out = NULL, *errors = NULL;
    g_autoptr(GError) err = NULL;
    bool ran = g_spawn_sync(dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &errors, &status, &err);
    *output = g_strconcat(out ? out : "", errors ? errors : "", NULL);
    return ran && g_spawn_check_wait_status(status, NULL);
}

/* Disassembles a table and compiles the text again: no error, no warning. */
static void check_table(const char *dir, const uint8_t *t)
{
    char name[5] = { 0 };
    memcpy(name, t, 4);
    g_autofree char *aml = g_strdup_printf("%s/%s.dat", dir, name), *dsl = g_strdup_printf("%s.dsl", name), *dat = g_strdup_printf("%s.dat", name);
    g_assert_true(g_file_set_contents(aml, (const char *)t, get(t + 4, 4), NULL));
    g_autofree char *first = NULL, *second = NULL;
    bool ok = run(dir, (const char *[]){ "iasl", "-d", dat, NULL }, &first);
    if (!ok || strstr(first, "Error") || strstr(first, "Warning"))
        g_error("iasl -d %s: %s", name, first);
    ok = run(dir, (const char *[]){ "iasl", "-p", "again", dsl, NULL }, &second);
    if (!ok || !strstr(second, " 0 Errors") || !strstr(second, " 0 Warnings"))
        g_error("iasl %s: %s", name, second);
}

static void test_acpica(void)
{
    g_autofree char *iasl = g_find_program_in_path("iasl");
    if (!iasl) {
        g_test_skip("iasl is not installed (package acpica-tools)");
        return;
    }
    g_autofree char *dir = g_dir_make_tmp("atoll-acpi-XXXXXX", NULL);
    g_autoptr(AcpiTables) t = build(CPUS);
    acpi_place(t, AT);
    Placed p = { .tables = t->tables->data, .rsdp = t->rsdp->data, .at = AT, .n = t->tables->len, .seen = g_ptr_array_new() };
    walk_root(&p, get(p.rsdp + 24, 8), "XSDT", 8);
    for (unsigned i = 0; i < p.seen->len; i++)
        check_table(dir, p.seen->pdata[i]);
    g_ptr_array_unref(p.seen);
    g_autofree char *unused = NULL;
    g_assert_true(run(NULL, (const char *[]){ "rm", "-r", dir, NULL }, &unused));
}

/* ---- SMBIOS: a walk by lengths and string ends must meet every structure once and stop at type 127 */

static void test_smbios(void)
{
    static const uint8_t uuid[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
    SmbiosMemory memory[] = { { 0, 3ull << 30 }, { 1ull << 32, 61ull << 30 } };
    SmbiosBoard b = { .product = "PC", .version = "pc", .cpu_vendor = "AuthenticAMD", .cpu_brand = "x", .sockets = 2, .cores = 4, .threads = 2,
                      .memory = memory, .n_memory = 2, .uuid = uuid };
    g_autoptr(Smbios) s = smbios_build(&b);
    smbios_place(s, 0xf1000);
    g_assert_cmphex(sum(s->anchor, 31), ==, 0);
    g_assert_cmphex(sum(s->anchor + 16, 15), ==, 0);
    g_assert_cmphex(get(s->anchor + 24, 4), ==, 0xf1000);
    g_assert_cmpuint(get(s->anchor + 22, 2), ==, s->tables->len);
    unsigned count[128] = { 0 }, n = 0, off = 0, largest = 0;
    for (uint8_t type = 0; type != 127; n++) {
        unsigned start = off;
        const uint8_t *p = s->tables->data + off;
        type = p[0];
        count[type & 127]++;
        if (type == 1)
            g_assert_cmphex(get(p + 8, 4), ==, 0x00112233);
        for (off += p[1]; s->tables->data[off] || s->tables->data[off + 1]; off++)
            g_assert_cmpuint(off + 2, <, s->tables->len);
        off += 2;
        largest = MAX(largest, off - start);
    }
    g_assert_cmpuint(off, ==, s->tables->len);
    g_assert_cmpuint(get(s->anchor + 28, 2), ==, n);
    g_assert_cmpuint(get(s->anchor + 8, 2), ==, largest);
    static const struct { uint8_t type, n; } want[] = { { 0, 1 }, { 1, 1 }, { 3, 1 }, { 4, 2 }, { 16, 1 }, { 17, 4 }, { 19, 2 }, { 32, 1 }, { 127, 1 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++)
        g_assert_cmpuint(count[want[i].type], ==, want[i].n);
}

/* ---- MP table: entries by their sizes fill the table exactly */

static void test_mp_table(void)
{
    static const MpPciPin pins[] = { { 3, 0, 11 }, { 4, 1, 11 } };
    MpBoard b = { .cpus = CPUS, .apic_ids = ids, .pins = pins, .n_pins = 2 };
    for (unsigned i = 0; i < CPUS; i++)
        ids[i] = i;
    g_autoptr(GByteArray) t = mp_table_build(&b);
    unsigned count[5] = { 0 }, off = 44, n = 0;
    g_assert_cmphex(sum(t->data, t->len), ==, 0);
    g_assert_cmpuint(get(t->data + 4, 2), ==, t->len);
    for (; off < t->len; off += t->data[off] ? 8 : 20, n++) {
        g_assert_cmpuint(t->data[off], <, 5);
        count[t->data[off]]++;
    }
    g_assert_cmpuint(off, ==, t->len);
    g_assert_cmpuint(get(t->data + 34, 2), ==, n);
    g_assert_cmpuint(count[0], ==, 255); /* ids 0 to 254 */
    g_assert_cmpuint(count[1], ==, 2);
    g_assert_cmpuint(count[2], ==, 1);
    g_assert_cmpuint(count[3], ==, 2 + 14); /* no cascade, and IRQ 11 is the pins' */
    g_assert_cmpuint(count[4], ==, 2);
    uint8_t floating[MP_FLOATING_SIZE];
    mp_floating_build(floating, 0xf1000);
    g_assert_cmphex(sum(floating, sizeof(floating)), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi/placed", test_placed);
    g_test_add_func("/acpi/loader-script", test_loader);
    g_test_add_func("/acpi/sizes-stay", test_sizes_stay);
    g_test_add_func("/acpi/many-cpus", test_many_cpus);
    g_test_add_func("/acpi/acpica-accepts", test_acpica);
    g_test_add_func("/smbios/structures", test_smbios);
    g_test_add_func("/mp/table", test_mp_table);
    return g_test_run();
}
