/* virtio_gpu_resource.c - the driver's pictures: made, filled from its memory, freed.  Virtio 1.2, 5.7.6.8. */
#include <string.h>

#include "devices/display/virtio_gpu.h"
#include "machine/machine.h"

/* Formats by what stands in a byte of memory, from the lowest; the shifts of red, green and blue in a little-endian word. */
static const struct { uint32_t id; uint8_t red, green, blue, alpha; bool has_alpha; } formats[] = {
    { 1, 16, 8, 0, 24, true },   /* B8G8R8A8 */
    { 2, 16, 8, 0, 24, false },  /* B8G8R8X8: the screen's own */
    { 3, 8, 16, 24, 0, true },   /* A8R8G8B8 */
    { 4, 8, 16, 24, 0, false },  /* X8R8G8B8 */
    { 67, 0, 8, 16, 24, true },  /* R8G8B8A8 */
    { 68, 24, 16, 8, 0, false }, /* X8B8G8R8 */
    { 121, 24, 16, 8, 0, true }, /* A8B8G8R8 */
    { 134, 0, 8, 16, 24, false },/* R8G8B8X8 */
};

static unsigned format_row(uint32_t id)
{
    unsigned i = 0;
    while (i < G_N_ELEMENTS(formats) && formats[i].id != id)
        i++;
    return i;
}

void gpu_convert(const GpuResource *r, uint32_t x, uint32_t y, uint32_t *to, uint32_t n, bool alpha)
{
    const uint32_t *from = r->pixels + (size_t)y * r->width + x;
    unsigned f = format_row(r->format);
    alpha &= formats[f].has_alpha;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = GUINT32_FROM_LE(from[i]);
        to[i] = (p >> formats[f].red & 0xff) << 16 | (p >> formats[f].green & 0xff) << 8 | (p >> formats[f].blue & 0xff) |
                (alpha ? p >> formats[f].alpha << 24 : 0);
    }
}

/* ---- life */

GpuResource *gpu_resource(VirtioGpu *g, uint32_t id) { return g_hash_table_lookup(g->resources, GUINT_TO_POINTER(id)); }

static void drop_pieces(VirtioGpu *g, GpuResource *r)
{
    uint64_t bytes = r->piece ? (r->n_pieces + 1ull) * sizeof(GpuPiece) : 0;
    g->hostmem -= bytes;
    r->charge -= bytes;
    g_clear_pointer(&r->piece, g_free);
    r->n_pieces = 0;
}

static void destroy(VirtioGpu *g, GpuResource *r)
{
    drop_pieces(g, r);
    g->hostmem -= r->charge;
    g_hash_table_remove(g->resources, GUINT_TO_POINTER(r->id));
    g_free(r->pixels);
    g_free(r);
}

void gpu_resources_clear(VirtioGpu *g)
{
    g_autoptr(GList) all = g_hash_table_get_values(g->resources);
    for (GList *i = all; i; i = i->next)
        destroy(g, i->data);
}

static bool take_hostmem(VirtioGpu *g, GpuResource *r, uint64_t bytes)
{
    if (bytes > g->max_hostmem - MIN(g->hostmem, g->max_hostmem)) {
        guest_error(&g->base.pci.dev, "pictures take more than max_hostmem (%" G_GUINT64_FORMAT " bytes)", g->max_hostmem);
        return false;
    }
    g->hostmem += bytes;
    r->charge += bytes;
    return true;
}

GpuError gpu_resource_create(VirtioGpu *g, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
    if (!id || gpu_resource(g, id))
        return GPU_NO_RESOURCE;
    if (format_row(format) == G_N_ELEMENTS(formats) || !width || !height || width > GPU_SIDE_MAX || height > GPU_SIDE_MAX)
        return GPU_BAD_PARAMETER;
    GpuResource *r = g_new(GpuResource, 1);
    *r = (GpuResource){ .id = id, .format = format, .width = width, .height = height };
    uint64_t bytes = (uint64_t)width * height * 4;
    r->pixels = take_hostmem(g, r, bytes + sizeof(*r)) ? g_try_malloc0(bytes) : NULL;
    if (!r->pixels) {
        g->hostmem -= r->charge;
        g_free(r);
        return GPU_NO_MEMORY;
    }
    g_hash_table_insert(g->resources, GUINT_TO_POINTER(id), r);
    return GPU_OK;
}

GpuError gpu_resource_destroy(VirtioGpu *g, uint32_t id)
{
    GpuResource *r = gpu_resource(g, id);
    if (!r)
        return GPU_NO_RESOURCE;
    gpu_resource_gone(g, id);
    destroy(g, r);
    return GPU_OK;
}

/* ---- the driver's memory behind it */

GpuError gpu_resource_attach(VirtioGpu *g, uint32_t id, const uint8_t *entries, uint32_t n)
{
    GpuResource *r = gpu_resource(g, id);
    if (!r)
        return GPU_NO_RESOURCE;
    if (r->piece || n > GPU_PIECES_MAX)
        return GPU_FAILED;
    if (!take_hostmem(g, r, (n + 1ull) * sizeof(GpuPiece)))
        return GPU_NO_MEMORY;
    uint64_t start = 0;
    r->piece = g_new0(GpuPiece, n + 1);
    r->n_pieces = n;
    for (uint32_t i = 0; i < n; i++, entries += 16) {
        uint32_t length;
        memcpy(&r->piece[i].gpa, entries, 8);
        memcpy(&length, entries + 8, 4);
        r->piece[i].gpa = GUINT64_FROM_LE(r->piece[i].gpa);
        r->piece[i].start = start;
        start += GUINT32_FROM_LE(length);
    }
    r->piece[n].start = start;
    return GPU_OK;
}

GpuError gpu_resource_detach(VirtioGpu *g, uint32_t id)
{
    GpuResource *r = gpu_resource(g, id);
    if (!r || !r->piece)
        return GPU_NO_RESOURCE;
    drop_pieces(g, r);
    return GPU_OK;
}

/* The last piece that begins at or before `at`. */
static uint32_t piece_at(const GpuResource *r, uint64_t at)
{
    uint32_t low = 0, high = r->n_pieces;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (r->piece[mid].start <= at)
            low = mid;
        else
            high = mid;
    }
    return low;
}

/* [at, at + n) of the memory behind it, which is there; false: some of it is not RAM. */
static bool read_behind(const FlatView *v, const GpuResource *r, uint64_t at, uint8_t *to, uint64_t n)
{
    for (uint32_t i = piece_at(r, at); n; i++) {
        uint64_t off = at - r->piece[i].start, left = MIN(n, r->piece[i + 1].start - at);
        n -= left;
        at += left;
        for (uint64_t gpa = r->piece[i].gpa + off, len; left; gpa += len, left -= len, to += len) {
            len = left;
            const void *host = view_ram(v, gpa, &len, false);
            if (!host)
                return false;
            memcpy(to, host, len);
        }
    }
    return true;
}

GpuError gpu_resource_fetch(VirtioGpu *g, uint32_t id, const GpuRect *rect, uint64_t offset)
{
    GpuResource *r = gpu_resource(g, id);
    if (!r || !r->piece)
        return GPU_NO_RESOURCE;
    if (!gpu_rect_inside(rect, r->width, r->height))
        return GPU_BAD_PARAMETER;
    uint64_t stride = r->width * 4ull, line = rect->width * 4ull, end = r->piece[r->n_pieces].start;
    FlatView *v = space_view(g->base.pci.dev.machine->memory);
    bool ok = true;
    for (uint32_t y = 0; ok && line && y < rect->height; y++) {
        uint64_t at = offset + stride * y;
        ok = at >= offset && at <= end && line <= end - at &&
             read_behind(v, r, at, (uint8_t *)(r->pixels + (size_t)(rect->y + y) * r->width + rect->x), line);
    }
    view_unref(v);
    return ok ? GPU_OK : GPU_BAD_PARAMETER;
}

void gpu_resource_refresh(VirtioGpu *g, GpuResource *r)
{
    if (r->stale && r->piece)
        gpu_resource_fetch(g, r->id, &(GpuRect){ 0, 0, r->width, r->height }, 0);
    r->stale = false;
}

/* ---- saved state: what resources there are, and where their memory is; pixels are fetched from there again */

#define SAVED_TYPE "a(uuuua(tt))"

static int by_id(const void *a, const void *b) { return ((const GpuResource *)a)->id < ((const GpuResource *)b)->id ? -1 : 1; }

char *gpu_resources_save(const VirtioGpu *g)
{
    GVariantBuilder b;
    g_autoptr(GList) all = g_list_sort(g_hash_table_get_values(g->resources), by_id);
    g_variant_builder_init(&b, G_VARIANT_TYPE(SAVED_TYPE));
    for (GList *i = all; i; i = i->next) {
        const GpuResource *r = i->data;
        g_variant_builder_open(&b, G_VARIANT_TYPE("(uuuua(tt))"));
        g_variant_builder_add(&b, "u", r->id);
        g_variant_builder_add(&b, "u", r->format);
        g_variant_builder_add(&b, "u", r->width);
        g_variant_builder_add(&b, "u", r->height);
        g_variant_builder_open(&b, G_VARIANT_TYPE("a(tt)"));
        for (uint32_t n = 0; n < r->n_pieces; n++)
            g_variant_builder_add(&b, "(tt)", r->piece[n].gpa, r->piece[n + 1].start - r->piece[n].start);
        g_variant_builder_close(&b);
        g_variant_builder_close(&b);
    }
    g_autoptr(GVariant) v = g_variant_ref_sink(g_variant_builder_end(&b));
    return g_base64_encode(g_variant_get_data(v) ? g_variant_get_data(v) : (const void *)"", g_variant_get_size(v));
}

static GpuError load_one(VirtioGpu *g, GVariant *v)
{
    uint32_t id, format, width, height;
    g_autoptr(GVariant) pieces = NULL;
    g_variant_get(v, "(uuuu@a(tt))", &id, &format, &width, &height, &pieces);
    gsize n = g_variant_n_children(pieces);
    GpuError e = n > GPU_PIECES_MAX ? GPU_BAD_PARAMETER : gpu_resource_create(g, id, format, width, height);
    if (e != GPU_OK || !n)
        return e;
    g_autofree uint8_t *entries = g_malloc0(n * 16);
    for (gsize i = 0; i < n; i++) {
        uint64_t gpa, length;
        g_variant_get_child(pieces, i, "(tt)", &gpa, &length);
        gpa = GUINT64_TO_LE(gpa);
        uint32_t le = GUINT32_TO_LE((uint32_t)length);
        memcpy(entries + i * 16, &gpa, 8);
        memcpy(entries + i * 16 + 8, &le, 4);
    }
    gpu_resource(g, id)->stale = true;
    return gpu_resource_attach(g, id, entries, n);
}

bool gpu_resources_load(VirtioGpu *g, const char *saved, GError **err)
{
    gsize bytes = 0;
    gpu_resources_clear(g);
    if (!saved || !*saved)
        return true;
    guchar *raw = g_base64_decode(saved, &bytes);
    g_autoptr(GVariant) v = g_variant_ref_sink(g_variant_new_from_data(G_VARIANT_TYPE(SAVED_TYPE), raw, bytes, FALSE, g_free, raw));
    g_autoptr(GVariant) normal = g_variant_get_normal_form(v);
    for (gsize i = 0; i < g_variant_n_children(normal); i++) {
        g_autoptr(GVariant) one = g_variant_get_child_value(normal, i);
        if (load_one(g, one) != GPU_OK)
            return error_set(err, ERR_INVALID, "%s: saved state has a picture that cannot be made; is max_hostmem smaller?", g->base.pci.dev.path);
    }
    return true;
}
