/*
 * cache.c - translated blocks: found by host address of their code, RIP and mode; linked; dropped when their bytes change.
 *
 * Blocks and exits come from an arena, host code from a CodeBuffer.  When either is full, or dropped blocks take most of it, all
 * goes and starts anew.
 */
#include "accel/dbt/mem.h"

#include <sys/mman.h>

#include "accel/interp/mem_inline.h"
#include "accel/dbt/emit.h"

enum { BUCKETS = 1 << 17, PAGE_BUCKETS = 1 << 12 };
#define ARENA_BYTES (64u << 20)
#define CODE_BYTES  (64u << 20)
#define MOST_DEAD   (8u << 20) /* more than this and than half: what is alive is translated anew for less than it costs to keep */

struct DbtCache {
    CodeBuffer *code;
    uint8_t *arena;
    size_t used, dead; /* bytes of the arena; of code of dropped blocks */
    DbtBlock *bucket[BUCKETS], *page_bucket[PAGE_BUCKETS], *second_bucket[PAGE_BUCKETS];
};

static const uint8_t *page_of(const uint8_t *p) { return (const uint8_t *)((uintptr_t)p & ~0xfffull); }
static unsigned bucket_of(const uint8_t *host, uint64_t rip) { return ((uintptr_t)host ^ (uintptr_t)host >> 12 ^ rip >> 3) % BUCKETS; }
static unsigned page_bucket_of(const uint8_t *host) { return ((uintptr_t)host >> 12 ^ (uintptr_t)host >> 24) % PAGE_BUCKETS; }

CodeBuffer *dbt_code(DbtVcpu *v) { return v->cache->code; }

void *dbt_arena_alloc(DbtVcpu *v, size_t n)
{
    struct DbtCache *c = v->cache;
    void *p = c->arena + c->used;
    c->used += (n + 7) & ~(size_t)7;
    return p;
}

/* ---- links */

void dbt_link(DbtVcpu *v, DbtExit *from, DbtBlock *to)
{
    if (from->to || !from->linkable || !from->block->host || to->second)
        return;
    const void *entry = to->rip > from->block->rip ? to->entry : to->polled_entry;
    patch_rel32(from->jump, code_buffer_writable(v->cache->code, entry));
    from->to = to;
    from->next_in = to->linked_in;
    to->linked_in = from;
}

/* Sends everybody who jumps to b to their own exits again: the cold code that the jump had when it was translated. */
static void unlink_incoming(DbtBlock *b)
{
    for (DbtExit *x = b->linked_in; x; x = x->next_in) {
        memcpy(x->jump, &x->unlinked, 4);
        x->to = NULL;
    }
    b->linked_in = NULL;
}

static void unlink_outgoing(DbtExit *x)
{
    for (DbtExit **p = &x->to->linked_in; *p; p = &(*p)->next_in)
        if (*p == x) {
            *p = x->next_in;
            break;
        }
    x->to = NULL;
}

/* ---- dropping */

static void take_out(DbtBlock **list, DbtBlock *b)
{
    for (DbtBlock **p = list; *p; p = &(*p)->next)
        if (*p == b) {
            *p = b->next;
            return;
        }
}

static void block_drop(DbtVcpu *v, DbtBlock *b)
{
    take_out(&v->cache->bucket[bucket_of(b->host, b->rip)], b);
    unlink_incoming(b);
    for (DbtExit *x = b->jumps; x; x = x->next_own)
        if (x->to)
            unlink_outgoing(x);
    dbt_jump_forget(v, b);
    v->cache->dead += b->code_bytes;
    b->host = NULL;
}

static void cache_empty(DbtVcpu *v)
{
    struct DbtCache *c = v->cache;
    memset(c->bucket, 0, sizeof(c->bucket));
    memset(c->page_bucket, 0, sizeof(c->page_bucket));
    memset(c->second_bucket, 0, sizeof(c->second_bucket));
    c->used = c->dead = 0;
    dbt_faults_forget(v);
    code_buffer_reset(c->code);
    dbt_glue_destroy(v->glue);
    v->glue = dbt_glue_create(c->code);
    dbt_jumps_reset(v);
    v->last_exit = NULL;
    v->stats.evictions++;
}

size_t dbt_cache_bytes(const DbtVcpu *v) { return v->cache->used + code_buffer_used(v->cache->code); }

void dbt_cache_release(DbtVcpu *v)
{
    cache_empty(v);
    code_buffer_release(v->cache->code);
    madvise(v->cache->arena, ARENA_BYTES, MADV_DONTNEED);
}

uint64_t dbt_granules(const uint8_t *host, size_t n)
{
    unsigned first = ((uintptr_t)host & 0xfff) >> 6, last = (((uintptr_t)host & 0xfff) + n - 1) >> 6;
    return (~0ull >> (63 - (last - first))) << first;
}

static size_t bytes_in_first(const DbtBlock *b) { return MIN(b->bytes, 0x1000u - ((uintptr_t)b->host & 0xfff)); }
static uint64_t granules_of(const DbtBlock *b) { return dbt_granules(b->host, bytes_in_first(b)) | b->looked_at; }

/* Blocks whose instruction ends in that page. */
static void drop_second(DbtVcpu *v, const uint8_t *page, uint64_t granules)
{
    for (DbtBlock **p = &v->cache->second_bucket[page_bucket_of(page)], *b; (b = *p) != NULL;) {
        bool hit = b->host && b->second == page && granules & dbt_granules(page, b->bytes - bytes_in_first(b));
        if (b->host && !hit) {
            p = &b->second_next;
            continue;
        }
        *p = b->second_next;
        if (hit)
            block_drop(v, b);
    }
}

/* Called by the code map, on this vCPU's thread and between instructions; page NULL: everything. */
void dbt_code_dropped(InterpVcpu *i, const uint8_t *page, uint64_t granules)
{
    DbtVcpu *v = (DbtVcpu *)i;
    v->last_exit = NULL;
    if (!page) {
        cache_empty(v);
        return;
    }
    drop_second(v, page, granules);
    for (DbtBlock **p = &v->cache->page_bucket[page_bucket_of(page)], *b; (b = *p) != NULL;) {
        if (!b->host) {
            *p = b->page_next;
            continue;
        }
        if (page_of(b->host) != page || !(granules_of(b) & granules)) {
            p = &b->page_next;
            continue;
        }
        *p = b->page_next;
        block_drop(v, b);
    }
}

/* ---- finding */

static uint64_t rip_of_block(const DbtVcpu *v) { return mode_relative(v->mode) ? v->i.s.rip & 0xfff : v->i.s.rip; }

static TlbEntry *code_page(InterpVcpu *i, uint64_t linear)
{
    TlbEntry *e = tlb_entry(i, linear, i->who);
    return e->tag[ACCESS_EXEC] == (linear & ~0xfffull) ? e : mmu_translate(i, linear, ACCESS_EXEC, i->who);
}

/* Behind the page of the code at s.rip. */
static TlbEntry *second_page(DbtVcpu *v)
{
    InterpVcpu *i = &v->i;
    return code_page(i, ((mem_flat_linear(i, SEG_CS, i->s.rip) | 0xfff) + 1) & i->linear_mask);
}

static DbtBlock *lookup(DbtVcpu *v, const uint8_t *host, uint64_t rip, uint32_t mode)
{
    for (DbtBlock *b = v->cache->bucket[bucket_of(host, rip)]; b; b = b->next)
        if (b->host == host && b->rip == rip && b->mode == mode && (!b->second || b->second == second_page(v)->host))
            return b;
    return NULL;
}

/* Does the instruction at host go on in the next page? */
static bool crosses(DbtVcpu *v, const uint8_t *host)
{
    uint8_t bytes[INSN_MAX_BYTES];
    size_t n = 0x1000 - ((uintptr_t)host & 0xfff);
    Insn i;
    if (n >= INSN_MAX_BYTES)
        return false;
    memcpy(bytes, host, n);
    interp_save_fpu(&v->i);
    return insn_decode(bytes, n, v->i.code_size, &i) == DECODE_MORE;
}

static void insert(struct DbtCache *c, DbtBlock *b)
{
    DbtBlock **first = &c->bucket[bucket_of(b->host, b->rip)], **page_first = &c->page_bucket[page_bucket_of(b->host)];
    b->next = *first;
    *first = b;
    b->page_next = *page_first;
    *page_first = b;
    if (b->second) {
        DbtBlock **second_first = &c->second_bucket[page_bucket_of(b->second)];
        b->second_next = *second_first;
        *second_first = b;
    }
}

static DbtBlock *create(DbtVcpu *v, const TlbEntry *page, const TlbEntry *second, const uint8_t *host)
{
    enum { MOST_EXITS = 160, MOST_INSNS = 32 /* of a block */ };
    interp_save_fpu(&v->i);
    if (v->cache->dead > MOST_DEAD && v->cache->dead > code_buffer_used(v->cache->code) / 2)
        cache_empty(v);
    if (v->cache->used + sizeof(DbtBlock) + MOST_EXITS * (sizeof(DbtExit) + sizeof(FaultSite)) + MOST_INSNS * (sizeof(Insn) + 16) > ARENA_BYTES)
        cache_empty(v);
    size_t used = v->cache->used;
    DbtBlock *b = dbt_arena_alloc(v, sizeof(*b));
    *b = (DbtBlock){ .host = host, .rip = rip_of_block(v), .mode = v->mode };
    if (!dbt_translate(v, b, page, second)) {
        cache_empty(v);
        used = v->cache->used;
        b = dbt_arena_alloc(v, sizeof(*b));
        *b = (DbtBlock){ .host = host, .rip = rip_of_block(v), .mode = v->mode };
        if (!dbt_translate(v, b, page, second))
            return NULL;
    }
    if (!b->n_insns) { /* asked for at every execution: it must not fill the arena */
        v->cache->used = used;
        return NULL;
    }
    insert(v->cache, b);
    v->stats.blocks++;
    return b;
}

DbtBlock *dbt_block_get(DbtVcpu *v)
{
    InterpVcpu *i = &v->i;
    uint64_t linear = mem_flat_linear(i, SEG_CS, i->s.rip);
    TlbEntry *e = code_page(i, linear), *second = NULL;
    if (!e->host || !e->ram)
        return NULL;
    v->page_global = e->global;
    const uint8_t *host = e->host + (linear & 0xfff);
    DbtBlock *b = lookup(v, host, rip_of_block(v), v->mode);
    if (!b && crosses(v, host)) {
        second = second_page(v);
        if (!second->host || !second->ram)
            return NULL;
    }
    b = b ? b : create(v, e, second, host);
    v->page_global &= !b || !b->second || second_page(v)->global;
    return b;
}

/* ---- life */

struct DbtCache *dbt_cache_create(DbtVcpu *v, GError **err)
{
    struct DbtCache *c = g_new0(struct DbtCache, 1);
    v->cache = c;
    c->code = code_buffer_create(CODE_BYTES, err);
    c->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!c->code || c->arena == MAP_FAILED) {
        if (c->code)
            error_set(err, ERR_NO_SPACE, "no memory for translated blocks");
        dbt_cache_destroy(c);
        return NULL;
    }
    v->glue = dbt_glue_create(c->code);
    return c;
}

void dbt_cache_destroy(struct DbtCache *c)
{
    if (!c)
        return;
    if (c->arena && c->arena != MAP_FAILED)
        munmap(c->arena, ARENA_BYTES);
    code_buffer_destroy(c->code);
    g_free(c);
}
