/*
 * code_cache.c - see code_cache.h.
 */
#include "accel/interp/code_cache.h"

#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "accel/interp/interp_accel.h"
#include "base/error.h"

enum {
    BUCKET_BITS = 14, PAGE_BUCKET_BITS = 12, BLOCK_INSNS = 32,
    PAGE = 4096, GRANULE_SHIFT = 6, POSTED_MAX = 1024, POSTED_MERGED = 4,
    WRITES_TO_RELEASE = 32, /* to a page whose code is gone, until it is taken for data */
};
/* Of decoded instructions, a vCPU; when full, all go.  Only pages that were touched cost memory. */
#define ARENA_BYTES (32u << 20)

/* ---- the map: a bit for each 64 bytes of RAM that some vCPU holds decoded code of */
typedef struct CodeRam {
    RamBlock *ram;
    _Atomic uint64_t *granules; /* by page */
    _Atomic uint8_t *writes;    /* by page: how many since it had code */
} CodeRam;

struct CodeMap {
    GMutex lock; /* of writers */
    _Atomic unsigned claiming; /* pages that have their flag, but may yet stand in some vCPU's table of writable ones */
    CodeRam *_Atomic ram[32];
};

static void barrier_on_all_threads(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

CodeMap *code_map_create(GError **err)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) {
        error_set_errno(err, errno, "cannot run guest code by interpretation: membarrier system call");
        return NULL;
    }
    CodeMap *m = g_new0(CodeMap, 1);
    g_mutex_init(&m->lock);
    return m;
}

static size_t n_pages(const RamBlock *ram) { return (ram->size + PAGE - 1) / PAGE; }
static size_t granules_bytes(const RamBlock *ram) { return n_pages(ram) * sizeof(uint64_t); }

static void *map_zeros(size_t n)
{
    return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void code_ram_free(CodeRam *r)
{
    if (r->granules != MAP_FAILED)
        munmap(r->granules, granules_bytes(r->ram));
    if (r->writes != MAP_FAILED)
        munmap(r->writes, n_pages(r->ram));
    g_free(r);
}

void code_map_destroy(CodeMap *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(m->ram); i++) {
        CodeRam *r = atomic_load(&m->ram[i]);
        if (r)
            code_ram_free(r);
    }
    g_mutex_clear(&m->lock);
    g_free(m);
}

static CodeRam *map_find(CodeMap *m, const RamBlock *ram)
{
    for (size_t i = 0; i < G_N_ELEMENTS(m->ram); i++) {
        CodeRam *r = atomic_load_explicit(&m->ram[i], memory_order_acquire);
        if (!r || r->ram == ram)
            return r;
    }
    return NULL;
}

/* Adds a block of RAM, under the lock.  NULL: more blocks than a machine ever has. */
static CodeRam *map_add(CodeMap *m, RamBlock *ram)
{
    for (size_t i = 0; i < G_N_ELEMENTS(m->ram); i++) {
        if (atomic_load(&m->ram[i]))
            continue;
        CodeRam *r = g_new0(CodeRam, 1);
        r->ram = ram;
        r->granules = map_zeros(granules_bytes(ram));
        r->writes = map_zeros(n_pages(ram));
        if (r->granules == MAP_FAILED || r->writes == MAP_FAILED) {
            code_ram_free(r);
            return NULL;
        }
        atomic_store_explicit(&m->ram[i], r, memory_order_release);
        return r;
    }
    return NULL;
}

/* Bits of the granules that [offset, offset + n) touches within one page. */
static uint64_t granule_bits(uint64_t offset, uint64_t n)
{
    unsigned first = (offset & (PAGE - 1)) >> GRANULE_SHIFT, last = ((offset + n - 1) & (PAGE - 1)) >> GRANULE_SHIFT;
    return (~0ull >> (63 - (last - first))) << first;
}

bool code_claim(InterpVcpu *v, RamBlock *ram, uint64_t offset, uint64_t n)
{
    CodeMap *m = ((InterpAccel *)v->vcpu.accel)->code_map;
    uint64_t bits = granule_bits(offset, n);
    CodeRam *r = map_find(m, ram);
    if (r && (atomic_load(&r->granules[offset / PAGE]) & bits) == bits && !atomic_load(&m->claiming))
        return true;
    g_mutex_lock(&m->lock);
    if (!r && !(r = map_find(m, ram)))
        r = map_add(m, ram);
    /* Another vCPU's claim of this page may be under way: its flag alone says nothing yet. */
    bool new_page = atomic_fetch_add(&m->claiming, 1) != 0;
    if (r) {
        atomic_store_explicit(&r->writes[offset / PAGE], 0, memory_order_relaxed);
        atomic_fetch_or(&r->granules[offset / PAGE], bits);
        new_page |= !(atomic_fetch_or(&ram->page_flags[offset / PAGE], PAGE_HAS_CODE) & PAGE_HAS_CODE);
    }
    g_mutex_unlock(&m->lock);
    if (new_page)
        barrier_on_all_threads();
    if (new_page && v->client)
        v->client->code_claimed(v, ram->host + (offset & ~(uint64_t)(PAGE - 1)));
    atomic_fetch_sub(&m->claiming, 1);
    return r != NULL;
}

/* Code was there and may come back, so the page keeps its flag for some writes more: to set it anew stops all vCPUs. */
static void count_write(CodeMap *m, CodeRam *r, uint64_t page, bool all)
{
    if (!all && atomic_fetch_add_explicit(&r->writes[page], 1, memory_order_relaxed) < WRITES_TO_RELEASE)
        return;
    g_mutex_lock(&m->lock);
    atomic_store_explicit(&r->writes[page], 0, memory_order_relaxed);
    if (!atomic_load(&r->granules[page]))
        atomic_fetch_and(&r->ram->page_flags[page], (uint8_t)~PAGE_HAS_CODE);
    g_mutex_unlock(&m->lock);
}

/* Takes the granules that were written off the map, for the caller to drop everywhere: their bits. */
static uint64_t map_release(CodeMap *m, RamBlock *ram, uint64_t offset, uint64_t n)
{
    CodeRam *r = map_find(m, ram);
    uint64_t bits = granule_bits(offset, n);
    if (!r)
        return 0;
    uint64_t now = atomic_load(&r->granules[offset / PAGE]);
    if (now & bits)
        now = atomic_fetch_and(&r->granules[offset / PAGE], ~bits);
    if (!(now & ~bits))
        count_write(m, r, offset / PAGE, n == PAGE);
    return now & bits;
}

/* ---- a vCPU's cache */
typedef struct Posted {
    const uint8_t *page; /* host address */
    uint64_t granules;
} Posted;

typedef struct FullCache {
    CodeCache base;
    InterpVcpu *vcpu;
    CodeBlock *bucket[1 << BUCKET_BITS];       /* by address */
    CodeBlock *page_bucket[1 << PAGE_BUCKET_BITS]; /* by page */
    uint8_t *arena;
    size_t used;
    GMutex lock; /* of what other threads posted */
    Posted posted[POSTED_MAX];
    unsigned n_posted; /* POSTED_MAX: too many, drop all */
} FullCache;

static inline FullCache *full(CodeCache *c) { return (FullCache *)c; }

static inline size_t bucket_of(uint64_t key) { return (key >> 2 ^ key >> 14 ^ key << 6) & ((1 << BUCKET_BITS) - 1); }
static inline size_t page_bucket_of(const uint8_t *page)
{
    return ((uintptr_t)page >> 12 ^ (uintptr_t)page >> 24) & ((1 << PAGE_BUCKET_BITS) - 1);
}
static inline const uint8_t *block_host(const CodeBlock *b) { return (const uint8_t *)(uintptr_t)(b->key >> 2); }
static inline const uint8_t *page_of(const uint8_t *p)
{
    return (const uint8_t *)((uintptr_t)p & ~(uintptr_t)(PAGE - 1));
}

CodeCache *code_cache_create(InterpVcpu *v)
{
    FullCache *c = g_new0(FullCache, 1);
    c->vcpu = v;
    g_mutex_init(&c->lock);
    c->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->arena == MAP_FAILED)
        g_error("out of memory for decoded instructions (%u bytes)", ARENA_BYTES); /* as g_malloc does */
    return &c->base;
}

void code_cache_destroy(CodeCache *base)
{
    FullCache *c = full(base);
    if (!c)
        return;
    munmap(c->arena, ARENA_BYTES);
    g_mutex_clear(&c->lock);
    g_free(c);
}

static void cache_empty(FullCache *c)
{
    c->base.last = NULL;
    memset(c->bucket, 0, sizeof(c->bucket));
    memset(c->page_bucket, 0, sizeof(c->page_bucket));
    c->used = 0;
}

/* Decodes into b from host up to the end of its page.  The bytes are copied first: others may write them. */
static void block_decode(FullCache *c, CodeBlock *b, const TlbEntry *e, const uint8_t *host, CodeSize size)
{
    enum { ENDS = ROW_BRANCH | ROW_SYSTEM | ROW_IO };
    const uint8_t *end = page_of(host) + PAGE, *at = host;
    b->n = 0;
    for (bool open = true; open && b->n < BLOCK_INSNS && at < end; b->n++) {
        CodeInsn *ci = &b->insn[b->n];
        uint8_t bytes[INSN_MAX_BYTES];
        size_t n = MIN((size_t)(end - at), sizeof(bytes));
        if (!code_claim(c->vcpu, e->ram, (uint64_t)(at - e->ram->host), n))
            break;
        memcpy(bytes, at, n);
        DecodeResult r = insn_decode(bytes, n, size, &ci->insn);
        if (r == DECODE_MORE)
            break;
        if (r == DECODE_OK) {
            ci->fn = dispatch((const InterpAccel *)c->vcpu->vcpu.accel, &ci->insn);
            uint32_t attrs = insn_row(&ci->insn)->attrs;
            bool repeats = attrs & ROW_STRING && ci->insn.prefixes & (PFX_REP | PFX_REPNE);
            open = !(attrs & ENDS) && !repeats;
        } else {
            ci->fn = r == DECODE_TOO_LONG ? exec_too_long : exec_undefined;
            open = false;
        }
        at += ci->insn.length;
    }
    b->bytes = at - host;
}

static CodeBlock *block_create(FullCache *c, const TlbEntry *e, const uint8_t *host, CodeSize size)
{
    size_t most = sizeof(CodeBlock) + BLOCK_INSNS * sizeof(CodeInsn);
    if (c->used + most > ARENA_BYTES)
        cache_empty(c);
    CodeBlock *b = (CodeBlock *)(c->arena + c->used);
    block_decode(c, b, e, host, size);
    if (!b->n)
        return NULL;
    c->used += sizeof(CodeBlock) + b->n * sizeof(CodeInsn);
    b->key = code_key(host, size);
    b->after[0] = b->after[1] = NULL;
    b->oldest = 0;
    CodeBlock **first = &c->bucket[bucket_of(b->key)], **page_first = &c->page_bucket[page_bucket_of(page_of(host))];
    b->next = *first;
    *first = b;
    b->page_next = *page_first;
    *page_first = b;
    return b;
}

static CodeBlock *block_lookup(FullCache *c, uint64_t key)
{
    CodeBlock **first = &c->bucket[bucket_of(key)];
    for (CodeBlock **p = first, *b; (b = *p) != NULL; p = &b->next) {
        if (b->key != key)
            continue;
        *p = b->next; /* to the front: hot blocks are found first */
        b->next = *first;
        *first = b;
        return b;
    }
    return NULL;
}

const CodeBlock *code_block_find(CodeCache *base, const TlbEntry *e, const uint8_t *host, CodeSize size)
{
    FullCache *c = full(base);
    CodeBlock *b = block_lookup(c, code_key(host, size));
    if (!b)
        b = block_create(c, e, host, size);
    CodeBlock *last = base->last; /* NULL if making room took it */
    if (last && b) {
        last->after[last->oldest] = b;
        last->oldest ^= 1;
    }
    return base->last = b;
}

/* ---- dropping */
static void block_unlink(FullCache *c, CodeBlock *b)
{
    CodeBlock **p = &c->bucket[bucket_of(b->key)];
    while (*p != b)
        p = &(*p)->next;
    *p = b->next;
    b->key = CODE_DROPPED;
}

/* Drops the blocks that lie in any of the granules of the page.  The memory of a block stays until the arena is
 * emptied, so the one that runs can end its current instruction. */
static void cache_drop(FullCache *c, const uint8_t *page, uint64_t granules)
{
    if (c->vcpu->client)
        c->vcpu->client->code_dropped(c->vcpu, page, granules);
    for (CodeBlock **p = &c->page_bucket[page_bucket_of(page)], *b; (b = *p) != NULL;) {
        const uint8_t *host = block_host(b);
        if (page_of(host) != page || !(granule_bits(host - page, b->bytes) & granules)) {
            p = &b->page_next;
            continue;
        }
        *p = b->page_next;
        block_unlink(c, b);
    }
}

/* Writes come one after the other to the same page. */
static bool post_merged(FullCache *c, const uint8_t *page, uint64_t granules)
{
    for (unsigned n = c->n_posted; n-- > 0 && c->n_posted - n <= POSTED_MERGED;)
        if (c->posted[n].page == page) {
            c->posted[n].granules |= granules;
            return true;
        }
    return false;
}

static void cache_post(InterpVcpu *v, const uint8_t *page, uint64_t granules)
{
    FullCache *c = full(v->code);
    g_mutex_lock(&c->lock);
    if (!post_merged(c, page, granules) && c->n_posted < POSTED_MAX)
        c->posted[c->n_posted++] = (Posted){ page, granules };
    g_mutex_unlock(&c->lock);
    vcpu_request(&v->vcpu, VREQ_ACCEL);
}

void code_drain(CodeCache *base)
{
    FullCache *c = full(base);
    g_mutex_lock(&c->lock);
    if (c->n_posted == POSTED_MAX) {
        cache_empty(c);
        if (c->vcpu->client)
            c->vcpu->client->code_dropped(c->vcpu, NULL, 0);
    } else
        for (unsigned i = 0; i < c->n_posted; i++)
            cache_drop(c, c->posted[i].page, c->posted[i].granules);
    c->n_posted = 0;
    g_mutex_unlock(&c->lock);
}

void code_written(InterpAccel *a, InterpVcpu *self, RamBlock *ram, uint64_t ram_offset, uint64_t size)
{
    atomic_thread_fence(memory_order_seq_cst); /* the store comes before the look at the map */
    for (uint64_t at = ram_offset, end = ram_offset + size; at < end;) {
        uint64_t n = MIN(end - at, PAGE - at % PAGE);
        uint64_t granules = map_release(a->code_map, ram, at, n);
        const uint8_t *page = ram->host + (at & ~(uint64_t)(PAGE - 1));
        for (unsigned i = 0; granules && i < a->vcpus->len; i++) {
            InterpVcpu *v = g_ptr_array_index(a->vcpus, i);
            if (v != self) {
                cache_post(v, page, granules);
                continue;
            }
            cache_drop(full(v->code), page, granules);
            v->leave_block = true;
        }
        at += n;
    }
}

void code_invalidate(InterpVcpu *v, RamBlock *ram, uint64_t ram_offset, uint64_t size)
{
    code_written((InterpAccel *)v->vcpu.accel, v, ram, ram_offset, size);
}
