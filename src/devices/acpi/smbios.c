/* smbios.c - SMBIOS structures.  Section numbers are those of DSP0134 3.x; the entry point is the 32-bit one (5.2.1). */
#include "devices/acpi/smbios.h"

#include <string.h>

enum { TYPE_BIOS = 0, TYPE_SYSTEM = 1, TYPE_CHASSIS = 3, TYPE_CPU = 4, TYPE_MEMORY_ARRAY = 16, TYPE_MEMORY_DEVICE = 17, TYPE_MEMORY_MAP = 19, TYPE_BOOT = 32, TYPE_END = 127 };
enum { MAJOR = 2, MINOR = 8 };
#define DIMM_MAX (16ull << 30) /* larger RAM is shown as several modules */
static const char MAKER[] = "Atoll";

/* ---- writing structures */

typedef struct Writer {
    GByteArray *out;
    uint16_t structures, largest;
    uint32_t start;      /* of the structure being written */
    const char *strings[8];
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

static void add_bios(Writer *w) /* 7.1 */
{
    enum { NO_CHARACTERISTICS = 1 << 3, EXT2_VIRTUAL_MACHINE = 0x14 }; /* and targeted content distribution */
    begin(w, TYPE_BIOS, handle(TYPE_BIOS, 0));
    text(w, MAKER);
    text(w, ATOLL_VERSION);
    put(w, 0xe800, 2);
    text(w, "04/01/2014");
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
    text(w, MAKER);
    text(w, b->product);
    text(w, b->version);
    text(w, NULL);
    put_uuid(w, b->uuid);
    put(w, WAKE_POWER_SWITCH, 1);
    text(w, NULL);
    text(w, "Virtual Machine");
    end(w);
}

static void add_chassis(Writer *w, const SmbiosBoard *b) /* 7.4 */
{
    enum { OTHER = 1, STATE_SAFE = 3, SECURITY_UNKNOWN = 2 };
    begin(w, TYPE_CHASSIS, handle(TYPE_CHASSIS, 0));
    text(w, MAKER);
    put(w, OTHER, 1);
    text(w, b->version);
    text(w, NULL);
    text(w, NULL);
    put(w, STATE_SAFE, 1);
    put(w, STATE_SAFE, 1);
    put(w, STATE_SAFE, 1);
    put(w, SECURITY_UNKNOWN, 1);
    put(w, 0, 4);
    put(w, 0, 4); /* height, power cords, contained elements and their length */
    text(w, NULL);
    end(w);
}

static void add_cpu(Writer *w, const SmbiosBoard *b, unsigned n) /* 7.5 */
{
    enum { CENTRAL = 3, FAMILY_OTHER = 1, ENABLED_POPULATED = 0x41, UPGRADE_OTHER = 1, IS_64BIT_MULTI = 0x0c };
    g_autofree char *socket = g_strdup_printf("CPU %u", n);
    unsigned threads = b->cores * b->threads;
    begin(w, TYPE_CPU, handle(TYPE_CPU, n));
    text(w, socket);
    put(w, CENTRAL, 1);
    put(w, FAMILY_OTHER, 1);
    text(w, b->cpu_vendor);
    put(w, b->cpu_signature, 4);
    put(w, b->cpu_features, 4);
    text(w, b->cpu_brand);
    put(w, 0, 1); /* voltage, external clock: unknown */
    put(w, 0, 2);
    put(w, 2000, 2); /* MHz: some guests take 0 for a fault */
    put(w, 2000, 2);
    put(w, ENABLED_POPULATED, 1);
    put(w, UPGRADE_OTHER, 1);
    put(w, 0xffff, 2); /* caches: none described */
    put(w, 0xffff, 2);
    put(w, 0xffff, 2);
    text(w, NULL);
    text(w, NULL);
    text(w, NULL);
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

static void add_module(Writer *w, unsigned n, uint64_t size) /* 7.18 */
{
    enum { FORM_DIMM = 9, TYPE_RAM = 7, DETAIL_OTHER = 2, NO_ERROR_HANDLE = 0xfffe };
    g_autofree char *locator = g_strdup_printf("DIMM %u", n);
    begin(w, TYPE_MEMORY_DEVICE, handle(TYPE_MEMORY_DEVICE, n));
    put(w, handle(TYPE_MEMORY_ARRAY, 0), 2);
    put(w, NO_ERROR_HANDLE, 2);
    put(w, 0xffff, 2); /* widths: unknown */
    put(w, 0xffff, 2);
    put(w, MIN(size >> 20, 0x7fff), 2);
    put(w, FORM_DIMM, 1);
    put(w, 0, 1);
    text(w, locator);
    text(w, NULL);
    put(w, TYPE_RAM, 1);
    put(w, DETAIL_OTHER, 2);
    put(w, 0, 2); /* speed */
    text(w, MAKER);
    text(w, NULL);
    text(w, NULL);
    text(w, NULL);
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
        add_module(w, n, n + 1 < modules ? DIMM_MAX : total - n * DIMM_MAX);
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
    add_bios(&w);
    add_system(&w, b);
    add_chassis(&w, b);
    for (unsigned n = 0; n < b->sockets; n++)
        add_cpu(&w, b, n);
    add_memory(&w, b);
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
