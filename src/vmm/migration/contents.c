/* contents.c - see contents.h. */
#include "vmm/migration/contents.h"

#include <string.h>

enum { PAGE = 4096, RUN_PAGES = 256 };

typedef struct PagesHead {
    uint32_t block, pages;
    uint64_t first;
} PagesHead;

/* ---- blocks: the machine's RAM, then the memory of devices, in the order in which they were made */
static unsigned block_count(const Machine *m) { return m->device_ram->len + 1; }
static RamBlock *block_of(const Machine *m, unsigned i) { return i ? m->device_ram->pdata[i - 1] : m->ram; }

static uint64_t all_bytes(const Machine *m)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < block_count(m); i++)
        bytes += block_of(m, i)->size;
    return bytes;
}

static bool is_zero(const uint8_t *page) { return !page[0] && memcmp(page, page + 1, PAGE - 1) == 0; }

/* ---- what machine it is */
#define MACHINE_TYPE "(sttsas)" /* board, bytes of RAM, processors, their model, its features by name */

static GVariant *describe(const Machine *m, const char *board)
{
    const CpuModel *cpu = &m->config.cpu_model;
    GVariantBuilder features;
    g_variant_builder_init(&features, G_VARIANT_TYPE_STRING_ARRAY);
    for (unsigned f = FEAT_ALWAYS + 1; f < FEAT_COUNT; f++)
        if (cpu_has(cpu, f))
            g_variant_builder_add(&features, "s", cpu_feature_table[f].name);
    return g_variant_ref_sink(g_variant_new(MACHINE_TYPE, board, m->ram->size, (guint64)m->vcpus->len, cpu->name, &features));
}

static bool check_features(const Machine *m, const char *model, const char *const *features, GError **err)
{
    const CpuModel *here = &m->config.cpu_model;
    for (unsigned i = 0; features[i]; i++) {
        CpuFeature f = cpu_feature_find(features[i]);
        if (f == FEAT_ALWAYS || !cpu_has(here, f))
            return error_set(err, ERR_UNSUPPORTED, "its processor, '%s', has the feature '%s', which the one here, '%s', lacks; start the machine with that processor (-cpu), on a host that has it",
                             model, features[i], here->name);
    }
    return true;
}

static bool check_machine(const Machine *m, const char *board, GBytes *bytes, GError **err)
{
    g_autoptr(GVariant) v = g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE(MACHINE_TYPE), bytes, FALSE));
    const char *its_board, *model;
    guint64 ram, cpus;
    if (!g_variant_is_normal_form(v))
        return error_set(err, ERR_INVALID, "it is damaged: the description of its machine does not parse");
    g_autofree const char **features = NULL;
    g_variant_get(v, "(&stt&s^a&s)", &its_board, &ram, &cpus, &model, &features);
    if (!g_str_equal(its_board, board))
        return error_set(err, ERR_INVALID, "its main board is '%s', and the one here is '%s' (-machine)", its_board, board);
    if (ram != m->ram->size)
        return error_set(err, ERR_INVALID, "it has %" G_GUINT64_FORMAT " MiB of RAM, and the machine here has %" G_GUINT64_FORMAT " (-m)", ram >> 20, m->ram->size >> 20);
    if (cpus != m->vcpus->len)
        return error_set(err, ERR_INVALID, "it has %" G_GUINT64_FORMAT " processors, and the machine here has %u (-smp)", cpus, m->vcpus->len);
    return check_features(m, model, features, err);
}

/* ---- writing */
static bool write_block(Stream *s, const Machine *m, unsigned i, GError **err)
{
    const RamBlock *b = block_of(m, i);
    return stream_put(s, STREAM_BLOCK, &b->size, sizeof(b->size), b->name, strlen(b->name), err);
}

/* Pages from `first` on that are not zero, at most RUN_PAGES. */
static unsigned run_of(const RamBlock *b, uint64_t first)
{
    unsigned n = 0;
    while (n < RUN_PAGES && (first + n) * PAGE < b->size && !is_zero(b->host + (first + n) * PAGE))
        n++;
    return n;
}

static bool write_pages(Stream *s, const Machine *m, unsigned i, MemoryCount *count, GError **err)
{
    const RamBlock *b = block_of(m, i);
    for (uint64_t page = 0; page * PAGE < b->size;) {
        PagesHead h = { i, run_of(b, page), page };
        if (h.pages && !stream_put(s, STREAM_PAGES, &h, sizeof(h), b->host + page * PAGE, (size_t)h.pages * PAGE, err))
            return false;
        *(h.pages ? &count->normal : &count->zero) += MAX(h.pages, 1) * PAGE;
        count->left -= MAX(h.pages, 1) * PAGE;
        page += MAX(h.pages, 1);
    }
    return true;
}

bool contents_write(Stream *s, Machine *m, const char *board, const GByteArray *state, MemoryCount *count, GError **err)
{
    g_autoptr(GVariant) machine = describe(m, board);
    count->total = count->left = all_bytes(m);
    if (!stream_write_head(s, err) || !stream_put(s, STREAM_MACHINE, g_variant_get_data(machine), g_variant_get_size(machine), NULL, 0, err))
        return false;
    for (unsigned i = 0; i < block_count(m); i++)
        if (!write_block(s, m, i, err) || !write_pages(s, m, i, count, err))
            return false;
    return stream_put(s, STREAM_STATE, state->data, state->len, NULL, 0, err) && stream_put(s, STREAM_END, NULL, 0, NULL, 0, err);
}

/* ---- reading */
typedef struct Reader {
    Stream *s;
    Machine *m;
    const char *board;
    MemoryCount *count;
    unsigned blocks; /* that have come */
    bool machine;
    GByteArray *state;
} Reader;

static bool read_machine(Reader *r, GError **err)
{
    g_autoptr(GBytes) bytes = g_bytes_new(r->s->section->data, r->s->section->len);
    r->machine = true;
    return check_machine(r->m, r->board, bytes, err);
}

/* Pages that do not come are zero; devices have drawn and firmware has stood there before. */
static void wipe(RamBlock *b)
{
    if (ram_discard(b, 0, b->size))
        memset(b->host, 0, b->size);
    for (uint64_t page = 0; page < b->size / PAGE; page++)
        atomic_fetch_or_explicit(&b->page_flags[page], PAGE_DIRTY, memory_order_relaxed);
}

static bool read_block(Reader *r, GError **err)
{
    const GByteArray *p = r->s->section;
    uint64_t bytes;
    if (p->len < sizeof(bytes) || r->blocks >= block_count(r->m))
        return error_set(err, ERR_INVALID, "it has more memory blocks than the %u of the machine here; start it with the same devices", block_count(r->m));
    g_autofree char *name = g_strndup((char *)p->data + sizeof(bytes), p->len - sizeof(bytes));
    RamBlock *b = block_of(r->m, r->blocks++);
    memcpy(&bytes, p->data, sizeof(bytes));
    if (bytes != b->size || !g_str_equal(name, b->name))
        return error_set(err, ERR_INVALID, "its memory '%s' has %" G_GUINT64_FORMAT " KiB, but here '%s' with %" G_GUINT64_FORMAT " KiB is in that place; start the machine with the same devices and firmware",
                         name, bytes >> 10, b->name, b->size >> 10);
    wipe(b);
    return true;
}

static bool read_pages(Reader *r, GError **err)
{
    const GByteArray *p = r->s->section;
    PagesHead h = { 0 };
    if (p->len >= sizeof(h))
        memcpy(&h, p->data, sizeof(h));
    RamBlock *b = h.block < r->blocks ? block_of(r->m, h.block) : NULL;
    uint64_t pages = b ? b->size / PAGE : 0;
    if (!h.pages || h.pages > RUN_PAGES || p->len != sizeof(h) + (size_t)h.pages * PAGE || h.first > pages || h.pages > pages - h.first)
        return error_set(err, ERR_INVALID, "it is damaged: it has pages for a place that is no memory");
    memcpy(b->host + h.first * PAGE, p->data + sizeof(h), (size_t)h.pages * PAGE);
    r->count->normal += h.pages * PAGE;
    return true;
}

static bool read_state(Reader *r, GError **err)
{
    if (r->state)
        return error_set(err, ERR_INVALID, "it is damaged: it has two states");
    r->state = g_byte_array_new();
    g_byte_array_append(r->state, r->s->section->data, r->s->section->len);
    return true;
}

static bool read_section(Reader *r, StreamKind kind, GError **err)
{
    static bool (*const readers[STREAM_KINDS])(Reader *, GError **) = {
        [STREAM_MACHINE] = read_machine, [STREAM_BLOCK] = read_block, [STREAM_PAGES] = read_pages, [STREAM_STATE] = read_state,
    };
    if (r->machine == (kind == STREAM_MACHINE))
        return error_set(err, ERR_INVALID, "it is damaged: the description of its machine is not where it has to be");
    return readers[kind](r, err);
}

bool contents_read(Stream *s, Machine *m, const char *board, GByteArray **state, MemoryCount *count, GError **err)
{
    Reader r = { .s = s, .m = m, .board = board, .count = count };
    StreamKind kind = STREAM_MACHINE;
    count->total = all_bytes(m);
    bool ok = stream_read_head(s, err);
    while (ok && (ok = stream_get(s, &kind, err)) && kind != STREAM_END)
        ok = read_section(&r, kind, err);
    if (ok && (r.blocks != block_count(m) || !r.state))
        ok = error_set(err, ERR_INVALID, "it lacks memory or devices that the machine here has; start it with the same devices");
    if (ok)
        *state = g_steal_pointer(&r.state);
    g_clear_pointer(&r.state, g_byte_array_unref);
    return ok;
}
