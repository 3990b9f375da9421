/* smbios.c - SMBIOS structures.  Section numbers are those of DSP0134 3.x; the entry point is the 32-bit one (5.2.1). */
#include "devices/acpi/smbios.h"

#include <string.h>

enum { TYPE_BIOS = 0, TYPE_SYSTEM = 1, TYPE_BASE_BOARD = 2, TYPE_CHASSIS = 3, TYPE_CPU = 4, TYPE_OEM = 11, TYPE_MEMORY_ARRAY = 16, TYPE_MEMORY_DEVICE = 17, TYPE_MEMORY_MAP = 19, TYPE_BOOT = 32, TYPE_END = 127 };
enum { MAJOR = 2, MINOR = 8 };
#define DIMM_MAX (16ull << 30) /* larger RAM is shown as several modules */
static const char MAKER[] = "Atoll";

/* ---- writing structures */

typedef struct Writer {
    GByteArray *out;
    uint16_t structures, largest;
    uint32_t start;      /* of the structure being written */
    const char *strings[SMBIOS_OEM_MOST];
    unsigned n_strings;
} Writer;

static void put(Writer *w, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t b = value >> (i * 8);
        g_byte_array_append(w->out, &b, 1);
    }
}

/* The number under which a structure refers to a string of its own; none is 0. */
static void text(Writer *w, const char *s)
{
    if (s && *s)
        w->strings[w->n_strings++] = s;
    put(w, s && *s ? w->n_strings : 0, 1);
}

static void begin(Writer *w, uint8_t type, uint16_t handle)
{
    w->start = w->out->len;
    w->n_strings = 0;
    put(w, type, 1);
    put(w, 0, 1); /* length */
    put(w, handle, 2);
}

static void end(Writer *w)
{
    w->out->data[w->start + 1] = w->out->len - w->start;
    for (unsigned i = 0; i < w->n_strings; i++)
        g_byte_array_append(w->out, (const uint8_t *)w->strings[i], strlen(w->strings[i]) + 1);
    put(w, 0, w->n_strings ? 1 : 2);
    w->structures++;
    w->largest = MAX(w->largest, w->out->len - w->start);
}

/* ---- the structures; handles are type << 8 and a number */

static uint16_t handle(unsigned type, unsigned n) { return type << 8 | n; }

/* What the user says, or else. */
static const char *said(const SmbiosBoard *b, SmbiosText n, const char *otherwise)
{
    return b->user && b->user->text[n] ? b->user->text[n] : otherwise;
}

static void add_bios(Writer *w, const SmbiosBoard *b) /* 7.1 */
{
    enum { NO_CHARACTERISTICS = 1 << 3, EXT2_VIRTUAL_MACHINE = 0x14 }; /* and targeted content distribution */
    begin(w, TYPE_BIOS, handle(TYPE_BIOS, 0));
    text(w, said(b, SMBIOS_BIOS_VENDOR, MAKER));
    text(w, said(b, SMBIOS_BIOS_VERSION, ATOLL_VERSION));
    put(w, 0xe800, 2);
    text(w, said(b, SMBIOS_BIOS_DATE, "04/01/2014"));
    put(w, 0, 1); /* 64 KiB */
    put(w, NO_CHARACTERISTICS, 8);
    put(w, 0, 1);
    put(w, EXT2_VIRTUAL_MACHINE, 1);
    put(w, 0, 2); /* release */
    put(w, 0xffff, 2);
    end(w);
}

/* 7.2.1: the first three fields are little-endian, unlike the text form. */
static void put_uuid(Writer *w, const uint8_t *u)
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (unsigned i = 0; i < 16; i++)
        put(w, u ? u[order[i]] : 0, 1);
}

static void add_system(Writer *w, const SmbiosBoard *b) /* 7.2 */
{
    enum { WAKE_POWER_SWITCH = 6 };
    begin(w, TYPE_SYSTEM, handle(TYPE_SYSTEM, 0));
    text(w, said(b, SMBIOS_SYSTEM_MAKER, MAKER));
    text(w, said(b, SMBIOS_SYSTEM_PRODUCT, b->product));
    text(w, said(b, SMBIOS_SYSTEM_VERSION, b->version));
    text(w, said(b, SMBIOS_SYSTEM_SERIAL, NULL));
    put_uuid(w, b->uuid);
    put(w, WAKE_POWER_SWITCH, 1);
    text(w, said(b, SMBIOS_SYSTEM_SKU, NULL));
    text(w, said(b, SMBIOS_SYSTEM_FAMILY, "Virtual Machine"));
    end(w);
}

static bool any_said(const SmbiosBoard *b, SmbiosText first, SmbiosText last)
{
    bool any = false;
    for (unsigned n = first; n <= last; n++)
        any |= said(b, n, NULL) != NULL;
    return any;
}

static void add_base_board(Writer *w, const SmbiosBoard *b) /* 7.3; only where asked for */
{
    enum { HOSTING = 1, TYPE_MOTHERBOARD = 0x0a };
    if (!any_said(b, SMBIOS_BOARD_MAKER, SMBIOS_BOARD_LOCATION))
        return;
    begin(w, TYPE_BASE_BOARD, handle(TYPE_BASE_BOARD, 0));
    text(w, said(b, SMBIOS_BOARD_MAKER, MAKER));
    text(w, said(b, SMBIOS_BOARD_PRODUCT, b->product));
    text(w, said(b, SMBIOS_BOARD_VERSION, b->version));
    text(w, said(b, SMBIOS_BOARD_SERIAL, NULL));
    text(w, said(b, SMBIOS_BOARD_ASSET, NULL));
    put(w, HOSTING, 1);
    text(w, said(b, SMBIOS_BOARD_LOCATION, NULL));
    put(w, handle(TYPE_CHASSIS, 0), 2);
    put(w, TYPE_MOTHERBOARD, 1);
    put(w, 0, 1); /* contained objects */
    end(w);
}

static void add_oem(Writer *w, const SmbiosBoard *b) /* 7.12 */
{
    const GPtrArray *oem = b->user ? b->user->oem : NULL;
    if (!oem || !oem->len)
        return;
    begin(w, TYPE_OEM, handle(TYPE_OEM, 0));
    put(w, oem->len, 1);
    for (unsigned n = 0; n < oem->len; n++)
        w->strings[w->n_strings++] = oem->pdata[n];
    end(w);
}

static void add_chassis(Writer *w, const SmbiosBoard *b) /* 7.4 */
{
    enum { OTHER = 1, STATE_SAFE = 3, SECURITY_UNKNOWN = 2 };
    begin(w, TYPE_CHASSIS, handle(TYPE_CHASSIS, 0));
    text(w, said(b, SMBIOS_CHASSIS_MAKER, MAKER));
    put(w, OTHER, 1);
    text(w, said(b, SMBIOS_CHASSIS_VERSION, b->version));
    text(w, said(b, SMBIOS_CHASSIS_SERIAL, NULL));
    text(w, said(b, SMBIOS_CHASSIS_ASSET, NULL));
    put(w, STATE_SAFE, 1);
    put(w, STATE_SAFE, 1);
    put(w, STATE_SAFE, 1);
    put(w, SECURITY_UNKNOWN, 1);
    put(w, 0, 4);
    put(w, 0, 4); /* height, power cords, contained elements and their length */
    text(w, said(b, SMBIOS_CHASSIS_SKU, NULL));
    end(w);
}

static void add_cpu(Writer *w, const SmbiosBoard *b, unsigned n) /* 7.5 */
{
    enum { CENTRAL = 3, FAMILY_OTHER = 1, ENABLED_POPULATED = 0x41, UPGRADE_OTHER = 1, IS_64BIT_MULTI = 0x0c };
    g_autofree char *socket = g_strdup_printf("%s %u", said(b, SMBIOS_CPU_SOCKET, "CPU"), n);
    unsigned threads = b->cores * b->threads;
    begin(w, TYPE_CPU, handle(TYPE_CPU, n));
    text(w, socket);
    put(w, CENTRAL, 1);
    put(w, FAMILY_OTHER, 1);
    text(w, said(b, SMBIOS_CPU_MAKER, b->cpu_vendor));
    put(w, b->cpu_signature, 4);
    put(w, b->cpu_features, 4);
    text(w, said(b, SMBIOS_CPU_VERSION, b->cpu_brand));
    put(w, 0, 1); /* voltage, external clock: unknown */
    put(w, 0, 2);
    put(w, 2000, 2); /* MHz: some guests take 0 for a fault */
    put(w, 2000, 2);
    put(w, ENABLED_POPULATED, 1);
    put(w, UPGRADE_OTHER, 1);
    put(w, 0xffff, 2); /* caches: none described */
    put(w, 0xffff, 2);
    put(w, 0xffff, 2);
    text(w, said(b, SMBIOS_CPU_SERIAL, NULL));
    text(w, said(b, SMBIOS_CPU_ASSET, NULL));
    text(w, said(b, SMBIOS_CPU_PART, NULL));
    put(w, MIN(b->cores, 255), 1);
    put(w, MIN(b->cores, 255), 1);
    put(w, MIN(threads, 255), 1);
    put(w, IS_64BIT_MULTI, 2);
    put(w, FAMILY_OTHER, 2);
    put(w, b->cores, 2);
    put(w, b->cores, 2);
    put(w, threads, 2);
    end(w);
}

static uint64_t total_memory(const SmbiosBoard *b)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < b->n_memory; i++)
        total += b->memory[i].size;
    return total;
}

static void add_memory_array(Writer *w, uint64_t total, unsigned modules) /* 7.17 */
{
    enum { LOCATION_OTHER = 1, USE_SYSTEM = 3, ECC_MULTI_BIT = 6, NO_ERROR_HANDLE = 0xfffe };
    bool huge = total >= 2ull << 40;
    begin(w, TYPE_MEMORY_ARRAY, handle(TYPE_MEMORY_ARRAY, 0));
    put(w, LOCATION_OTHER, 1);
    put(w, USE_SYSTEM, 1);
    put(w, ECC_MULTI_BIT, 1);
    put(w, huge ? 0x80000000 : total >> 10, 4);
    put(w, NO_ERROR_HANDLE, 2);
    put(w, modules, 2);
    put(w, huge ? total : 0, 8);
    end(w);
}

static void add_module(Writer *w, const SmbiosBoard *b, unsigned n, uint64_t size) /* 7.18 */
{
    enum { FORM_DIMM = 9, TYPE_RAM = 7, DETAIL_OTHER = 2, NO_ERROR_HANDLE = 0xfffe };
    g_autofree char *locator = g_strdup_printf("%s %u", said(b, SMBIOS_MODULE_LOCATOR, "DIMM"), n);
    begin(w, TYPE_MEMORY_DEVICE, handle(TYPE_MEMORY_DEVICE, n));
    put(w, handle(TYPE_MEMORY_ARRAY, 0), 2);
    put(w, NO_ERROR_HANDLE, 2);
    put(w, 0xffff, 2); /* widths: unknown */
    put(w, 0xffff, 2);
    put(w, MIN(size >> 20, 0x7fff), 2);
    put(w, FORM_DIMM, 1);
    put(w, 0, 1);
    text(w, locator);
    text(w, said(b, SMBIOS_MODULE_BANK, NULL));
    put(w, TYPE_RAM, 1);
    put(w, DETAIL_OTHER, 2);
    put(w, 0, 2); /* speed */
    text(w, said(b, SMBIOS_MODULE_MAKER, MAKER));
    text(w, said(b, SMBIOS_MODULE_SERIAL, NULL));
    text(w, said(b, SMBIOS_MODULE_ASSET, NULL));
    text(w, said(b, SMBIOS_MODULE_PART, NULL));
    put(w, 0, 1);
    put(w, size >> 20 > 0x7ffe ? size >> 20 : 0, 4);
    put(w, 0, 2); /* configured speed, voltages */
    put(w, 0, 2);
    put(w, 0, 2);
    put(w, 0, 2);
    end(w);
}

static void add_memory_map(Writer *w, unsigned n, const SmbiosMemory *m) /* 7.20 */
{
    uint64_t first = m->base >> 10, last = ((m->base + m->size) >> 10) - 1;
    bool wide = last > UINT32_MAX - 1;
    begin(w, TYPE_MEMORY_MAP, handle(TYPE_MEMORY_MAP, n));
    put(w, wide ? UINT32_MAX : first, 4);
    put(w, wide ? UINT32_MAX : last, 4);
    put(w, handle(TYPE_MEMORY_ARRAY, 0), 2);
    put(w, 1, 1); /* partition width */
    put(w, wide ? m->base : 0, 8);
    put(w, wide ? m->base + m->size - 1 : 0, 8);
    end(w);
}

static void add_memory(Writer *w, const SmbiosBoard *b)
{
    uint64_t total = total_memory(b);
    unsigned modules = (total + DIMM_MAX - 1) / DIMM_MAX;
    add_memory_array(w, total, modules);
    for (unsigned n = 0; n < modules; n++)
        add_module(w, b, n, n + 1 < modules ? DIMM_MAX : total - n * DIMM_MAX);
    for (unsigned n = 0; n < b->n_memory; n++)
        add_memory_map(w, n, &b->memory[n]);
}

static void add_ends(Writer *w) /* 7.33, 7.45 */
{
    begin(w, TYPE_BOOT, handle(TYPE_BOOT, 0));
    put(w, 0, 6);
    put(w, 0, 1); /* no errors detected */
    end(w);
    begin(w, TYPE_END, handle(TYPE_END, 0));
    end(w);
}

/* ---- what the user brings */

const SmbiosKey smbios_keys[SMBIOS_TEXTS] = {
    { 0, "vendor", SMBIOS_BIOS_VENDOR }, { 0, "version", SMBIOS_BIOS_VERSION }, { 0, "date", SMBIOS_BIOS_DATE },
    { 1, "manufacturer", SMBIOS_SYSTEM_MAKER }, { 1, "product", SMBIOS_SYSTEM_PRODUCT }, { 1, "version", SMBIOS_SYSTEM_VERSION },
    { 1, "serial", SMBIOS_SYSTEM_SERIAL }, { 1, "sku", SMBIOS_SYSTEM_SKU }, { 1, "family", SMBIOS_SYSTEM_FAMILY },
    { 2, "manufacturer", SMBIOS_BOARD_MAKER }, { 2, "product", SMBIOS_BOARD_PRODUCT }, { 2, "version", SMBIOS_BOARD_VERSION },
    { 2, "serial", SMBIOS_BOARD_SERIAL }, { 2, "asset", SMBIOS_BOARD_ASSET }, { 2, "location", SMBIOS_BOARD_LOCATION },
    { 3, "manufacturer", SMBIOS_CHASSIS_MAKER }, { 3, "version", SMBIOS_CHASSIS_VERSION }, { 3, "serial", SMBIOS_CHASSIS_SERIAL },
    { 3, "asset", SMBIOS_CHASSIS_ASSET }, { 3, "sku", SMBIOS_CHASSIS_SKU },
    { 4, "sock_pfx", SMBIOS_CPU_SOCKET }, { 4, "manufacturer", SMBIOS_CPU_MAKER }, { 4, "version", SMBIOS_CPU_VERSION },
    { 4, "serial", SMBIOS_CPU_SERIAL }, { 4, "asset", SMBIOS_CPU_ASSET }, { 4, "part", SMBIOS_CPU_PART },
    { 17, "loc_pfx", SMBIOS_MODULE_LOCATOR }, { 17, "bank", SMBIOS_MODULE_BANK }, { 17, "manufacturer", SMBIOS_MODULE_MAKER },
    { 17, "serial", SMBIOS_MODULE_SERIAL }, { 17, "asset", SMBIOS_MODULE_ASSET }, { 17, "part", SMBIOS_MODULE_PART },
};

void smbios_user_clear(SmbiosUser *u)
{
    for (unsigned n = 0; n < SMBIOS_TEXTS; n++)
        g_clear_pointer(&u->text[n], g_free);
    g_clear_pointer(&u->oem, g_ptr_array_unref);
    g_clear_pointer(&u->structures, g_ptr_array_unref);
}

SmbiosUser smbios_user_copy(const SmbiosUser *u)
{
    SmbiosUser copy = { .oem = u->oem ? g_ptr_array_ref(u->oem) : NULL, .structures = u->structures ? g_ptr_array_ref(u->structures) : NULL };
    for (unsigned n = 0; n < SMBIOS_TEXTS; n++)
        copy.text[n] = g_strdup(u->text[n]);
    return copy;
}

/* 6.1: header, body, then strings with two NULs behind the last. */
bool smbios_user_add_structure(SmbiosUser *u, GBytes *data)
{
    gsize n;
    const uint8_t *p = g_bytes_get_data(data, &n);
    bool ok = n >= 6 && n <= 0xffff && p[0] != TYPE_END && p[1] >= 4 && p[1] + 2u <= n && !p[n - 1] && !p[n - 2];
    for (gsize i = ok ? p[1] : n; ok && i + 2 < n; i++)
        ok = p[i] || p[i + 1]; /* the end, but not before the end */
    if (!ok) {
        g_bytes_unref(data);
        return false;
    }
    if (!u->structures)
        u->structures = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    g_ptr_array_add(u->structures, data);
    return true;
}

static void add_structure(Writer *w, GBytes *data)
{
    gsize n;
    const uint8_t *p = g_bytes_get_data(data, &n);
    g_byte_array_append(w->out, p, n);
    w->structures++;
    w->largest = MAX(w->largest, n);
}

static bool brought(const SmbiosBoard *b, uint8_t type)
{
    const GPtrArray *all = b->user ? b->user->structures : NULL;
    for (unsigned n = 0; all && n < all->len; n++)
        if (*(const uint8_t *)g_bytes_get_data(all->pdata[n], NULL) == type)
            return true;
    return false;
}

static void add_cpus(Writer *w, const SmbiosBoard *b)
{
    for (unsigned n = 0; n < b->sockets; n++)
        add_cpu(w, b, n);
}

static void add_structures(Writer *w, const SmbiosBoard *b)
{
    static const struct { uint8_t type; void (*add)(Writer *w, const SmbiosBoard *b); } own[] = {
        { TYPE_BIOS, add_bios }, { TYPE_SYSTEM, add_system }, { TYPE_BASE_BOARD, add_base_board }, { TYPE_CHASSIS, add_chassis },
        { TYPE_CPU, add_cpus }, { TYPE_OEM, add_oem }, { TYPE_MEMORY_ARRAY, add_memory },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(own); n++)
        if (!brought(b, own[n].type))
            own[n].add(w, b);
    for (unsigned n = 0; b->user && b->user->structures && n < b->user->structures->len; n++)
        add_structure(w, b->user->structures->pdata[n]);
}

/* ---- entry point */

typedef struct __attribute__((packed)) EntryPoint {
    char anchor[4];
    uint8_t checksum, length, major, minor;
    uint16_t largest;
    uint8_t revision, formatted[5];
    char dmi_anchor[5];
    uint8_t dmi_checksum;
    uint16_t tables_length;
    uint32_t tables_at;
    uint16_t structures;
    uint8_t bcd_revision;
} EntryPoint;
_Static_assert(sizeof(EntryPoint) == sizeof(((Smbios *)0)->anchor), "31 bytes");

static uint8_t checksum(const void *data, size_t n)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((const uint8_t *)data)[i];
    return -sum;
}

void smbios_place(Smbios *s, uint32_t tables_at)
{
    EntryPoint *e = (EntryPoint *)s->anchor;
    e->tables_at = tables_at;
    e->checksum = e->dmi_checksum = 0;
    e->dmi_checksum = checksum(e->dmi_anchor, sizeof(*e) - offsetof(EntryPoint, dmi_anchor));
    e->checksum = checksum(e, sizeof(*e));
}

Smbios *smbios_build(const SmbiosBoard *b)
{
    Smbios *s = g_new0(Smbios, 1);
    Writer w = { .out = s->tables = g_byte_array_new() };
    add_structures(&w, b);
    add_ends(&w);
    EntryPoint e = { .anchor = { '_', 'S', 'M', '_' }, .length = sizeof(e), .major = MAJOR, .minor = MINOR, .largest = w.largest,
                     .dmi_anchor = { '_', 'D', 'M', 'I', '_' }, .tables_length = w.out->len, .structures = w.structures,
                     .bcd_revision = MAJOR << 4 | MINOR };
    memcpy(s->anchor, &e, sizeof(e));
    smbios_place(s, 0);
    return s;
}

void smbios_free(Smbios *s)
{
    if (!s)
        return;
    g_byte_array_unref(s->tables);
    g_free(s);
}
