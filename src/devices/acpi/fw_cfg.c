/*
 * fw_cfg.c - firmware configuration: selector at 510h, data byte at 511h, DMA at 514h (big-endian).
 *
 * Of items the guest can write files of fw_cfg_add_writable() only.  DMA goes to RAM only; a transfer that does not fit sets the error bit.
 */
#include "devices/acpi/fw_cfg.h"

#include <string.h>

typedef struct FwCfg {
    Device dev;
    uint16_t key;    /* selected item */
    uint32_t offset; /* next byte of it */
    uint64_t dma_address;
    GHashTable *items; /* key -> GBytes */
    GPtrArray *names;  /* of files, in order of their keys */
    GArray *writable;  /* Writable */
} FwCfg;

typedef struct Writable {
    uint16_t key;
    FwCfgWritten *written;
    void *opaque;
} Writable;

enum { ID_TRADITIONAL = 1, ID_DMA = 2 };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16, DMA_BITS = 31 };
enum { NAME_MAX_BYTES = 56 };

typedef struct __attribute__((packed)) DirectoryEntry {
    uint32_t size; /* this and the next big-endian */
    uint16_t select, reserved;
    char name[NAME_MAX_BYTES];
} DirectoryEntry;

typedef struct DmaAccess {
    uint32_t control, length; /* all big-endian */
    uint64_t address;
} DmaAccess;

/* ---- items */

static FwCfg *cast(Device *d)
{
    g_assert(d->type == &fw_cfg_type);
    return (FwCfg *)d;
}

void fw_cfg_add(Device *d, uint16_t key, const void *data, size_t n)
{
    FwCfg *s = cast(d);
    g_mutex_lock(&d->lock);
    g_hash_table_replace(s->items, GUINT_TO_POINTER(key), g_bytes_new(data, n));
    g_mutex_unlock(&d->lock);
}

void fw_cfg_add_number(Device *d, uint16_t key, uint64_t value, unsigned size)
{
    uint64_t little = GUINT64_TO_LE(value);
    fw_cfg_add(d, key, &little, size);
}

static GBytes *item(const FwCfg *s, uint16_t key) { return g_hash_table_lookup(s->items, GUINT_TO_POINTER(key)); }

static void rebuild_directory(FwCfg *s)
{
    g_autoptr(GByteArray) directory = g_byte_array_new();
    uint32_t count = GUINT32_TO_BE(s->names->len);
    g_byte_array_append(directory, (uint8_t *)&count, sizeof(count));
    for (unsigned i = 0; i < s->names->len; i++) {
        uint16_t key = FW_CFG_FILE_FIRST + i;
        DirectoryEntry e = { .size = GUINT32_TO_BE(g_bytes_get_size(item(s, key))), .select = GUINT16_TO_BE(key) };
        g_strlcpy(e.name, s->names->pdata[i], sizeof(e.name));
        g_byte_array_append(directory, (uint8_t *)&e, sizeof(e));
    }
    fw_cfg_add(&s->dev, FW_CFG_FILE_DIR, directory->data, directory->len);
}

static int find_name(const FwCfg *s, const char *name)
{
    for (unsigned i = 0; i < s->names->len; i++)
        if (g_str_equal(s->names->pdata[i], name))
            return i;
    return -1;
}

bool fw_cfg_add_file(Device *d, const char *name, const void *data, size_t n, GError **err)
{
    FwCfg *s = cast(d);
    if (!*name || strlen(name) >= NAME_MAX_BYTES)
        return error_set(err, ERR_INVALID, "fw_cfg file '%s': a name has 1 to %u bytes", name, NAME_MAX_BYTES - 1);
    if (n > UINT32_MAX)
        return error_set(err, ERR_INVALID, "fw_cfg file '%s': at most 4 GiB", name);
    int i = find_name(s, name);
    if (i < 0) {
        i = s->names->len;
        g_ptr_array_add(s->names, g_strdup(name));
    }
    fw_cfg_add(d, FW_CFG_FILE_FIRST + i, data, n);
    rebuild_directory(s);
    return true;
}

bool fw_cfg_add_writable(Device *d, const char *name, size_t n, FwCfgWritten *written, void *opaque, GError **err)
{
    FwCfg *s = cast(d);
    g_autofree uint8_t *zeros = g_malloc0(n);
    if (!fw_cfg_add_file(d, name, zeros, n, err))
        return false;
    Writable w = { FW_CFG_FILE_FIRST + find_name(s, name), written, opaque };
    g_array_append_val(s->writable, w);
    return true;
}

GBytes *fw_cfg_file(Device *d, const char *name)
{
    int i = find_name(cast(d), name);
    return i < 0 ? NULL : item(cast(d), FW_CFG_FILE_FIRST + i);
}

/* ---- selector and data port */

static void select_item(FwCfg *s, uint16_t key)
{
    s->key = key;
    s->offset = 0;
}

/* What is left of the selected item; beyond its end reads give zeros. */
static const uint8_t *rest_of_item(const FwCfg *s, size_t *ret_n)
{
    gsize n = 0;
    GBytes *bytes = item(s, s->key);
    const uint8_t *data = bytes ? g_bytes_get_data(bytes, &n) : NULL;
    *ret_n = s->offset < n ? n - s->offset : 0;
    return *ret_n ? data + s->offset : NULL;
}

static uint64_t port_read(Device *d, uint64_t off, unsigned size)
{
    FwCfg *s = (FwCfg *)d;
    size_t n;
    if (off != 1)
        return 0;
    const uint8_t *data = rest_of_item(s, &n);
    if (!n)
        return 0;
    s->offset++;
    return *data;
}

static void port_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    if (off == 0 && size == 2)
        select_item((FwCfg *)d, value);
}

/* ---- DMA */

static bool copy_out(FwCfg *s, uint64_t address, uint32_t length)
{
    static const uint8_t zeros[4096];
    size_t n;
    const uint8_t *data = rest_of_item(s, &n);
    n = MIN(n, length);
    if (n && !dma_write(s->dev.machine, address, data, n))
        return false;
    s->offset += n;
    for (uint32_t done = n, part; done < length; done += part) {
        part = MIN(length - done, sizeof(zeros));
        if (!dma_write(s->dev.machine, address + done, zeros, part))
            return false;
    }
    return true;
}

static void skip(FwCfg *s, uint32_t length)
{
    size_t n;
    rest_of_item(s, &n);
    s->offset += MIN(n, length);
}

static const Writable *find_writable(const FwCfg *s, uint16_t key)
{
    for (unsigned i = 0; i < s->writable->len; i++)
        if (g_array_index(s->writable, Writable, i).key == key)
            return &g_array_index(s->writable, Writable, i);
    return NULL;
}

static bool copy_in(FwCfg *s, uint64_t address, uint32_t length)
{
    const Writable *w = find_writable(s, s->key);
    size_t n, size = 0;
    rest_of_item(s, &n);
    if (!w || length > n)
        return false;
    g_autofree uint8_t *data = g_bytes_unref_to_data(g_bytes_ref(item(s, s->key)), &size);
    if (!dma_read(s->dev.machine, address, data + s->offset, length))
        return false;
    g_hash_table_replace(s->items, GUINT_TO_POINTER(s->key), g_bytes_new(data, size));
    s->offset += length;
    w->written(w->opaque, data);
    return true;
}

static bool transfer(FwCfg *s, uint32_t control, uint32_t length, uint64_t address)
{
    if (control & DMA_SELECT)
        select_item(s, control >> 16);
    if (control & DMA_READ)
        return copy_out(s, address, length);
    if (control & DMA_WRITE)
        return copy_in(s, address, length);
    if (control & DMA_SKIP)
        skip(s, length);
    return true;
}

static void run_dma(FwCfg *s)
{
    uint64_t at = s->dma_address;
    DmaAccess a;
    s->dma_address = 0;
    if (!dma_read(s->dev.machine, at, &a, sizeof(a))) {
        guest_error(&s->dev, "DMA descriptor at %#" G_GINT64_MODIFIER "x is not in RAM", at);
        return;
    }
    bool ok = transfer(s, GUINT32_FROM_BE(a.control), GUINT32_FROM_BE(a.length), GUINT64_FROM_BE(a.address));
    uint32_t done = ok ? 0 : GUINT32_TO_BE(DMA_ERROR);
    dma_write(s->dev.machine, at, &done, sizeof(done));
}

static uint64_t dma_port_read(Device *d, uint64_t off, unsigned size)
{
    static const uint8_t signature[] = "QEMU CFG";
    uint64_t value = 0;
    for (unsigned i = 0; i < size && off + i < 8; i++)
        value |= (uint64_t)signature[off + i] << (i * 8);
    return value;
}

/* The address is big-endian, high half first; writing the low half starts the transfer. */
static void dma_port_write(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    FwCfg *s = (FwCfg *)d;
    uint32_t half = GUINT32_FROM_BE((uint32_t)value);
    if (off == 0) {
        s->dma_address = (uint64_t)half << 32;
    } else {
        s->dma_address = (s->dma_address & ~0xffffffffull) | half;
        run_dma(s);
    }
}

/* ---- life */

static bool fw_cfg_realize(Device *d, GError **err)
{
    FwCfg *s = (FwCfg *)d;
    s->items = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_bytes_unref);
    s->names = g_ptr_array_new_with_free_func(g_free);
    s->writable = g_array_new(FALSE, FALSE, sizeof(Writable));
    fw_cfg_add(d, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_number(d, FW_CFG_ID, ID_TRADITIONAL | ID_DMA, 4);
    rebuild_directory(s);
    return true;
}

static void fw_cfg_unrealize(Device *d)
{
    FwCfg *s = (FwCfg *)d;
    g_clear_pointer(&s->items, g_hash_table_unref);
    g_clear_pointer(&s->names, g_ptr_array_unref);
    g_clear_pointer(&s->writable, g_array_unref);
}

static const WindowOps port_ops = { .read = port_read, .write = port_write, .min = 1, .max = 2 };
static const WindowOps dma_ops = { .read = dma_port_read, .write = dma_port_write, .min = 4, .max = 4 };
static const WindowDecl fw_cfg_windows[] = {
    { .name = "ports", .space = SPACE_PIO, .size = 2, .ops = &port_ops },
    { .name = "dma", .space = SPACE_PIO, .size = 8, .ops = &dma_ops },
    { .name = NULL },
};
static const Field fw_cfg_fields[] = {
    { F(FwCfg, key), .doc = "selected item" },
    { F(FwCfg, offset), .doc = "next byte of it" },
    { F(FwCfg, dma_address), .doc = "DMA address register" },
    { FO(FwCfg, items), .role = FIELD_HOST },
    { FO(FwCfg, names), .role = FIELD_HOST },
    { FO(FwCfg, writable), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType fw_cfg_type = {
    .name = "fw_cfg",
    .summary = "firmware configuration",
    .spec = "QEMU docs/specs/fw_cfg.rst",
    .size = sizeof(FwCfg),
    .version = 1,
    .fields = fw_cfg_fields,
    .windows = fw_cfg_windows,
    .internal = true,
    .realize = fw_cfg_realize,
    .unrealize = fw_cfg_unrealize,
};
