/*
 * region.c - the arena of host addresses in which RAM stands for translated code, see mem.h.
 */
#include <errno.h>
#include <sys/mman.h>

#include "accel/dbt/mem.h"
#include "base/error.h"

enum { COPIES = 64, MOST_BLOCKS = 32, GAP = 1 << 21 };
#define CANDIDATE_STEP (16ull << 30)
#define ELBOW_ROOM (16ull << 30) /* around what is known to be mapped */
#define POISON_FROM_END 0x10000
/* An addend that is read as one of another kind leads further than the windows reach, but not out of the arena. */
#define MOST_KINDS_OFF (5 * FLAT_KIND_SLOTS * 4096)
_Static_assert(FLAT_KIND_SLOTS * 4096 > WINDOWS_BYTES && MOST_KINDS_OFF < WINDOWS_OFFSET, "kinds of entries");
_Static_assert(RESERVE_BYTES - POISON_FROM_END - MOST_KINDS_OFF > WINDOWS_OFFSET + WINDOWS_BYTES, "poison");

typedef struct RamWindow {
    RamBlock *ram;
    uint8_t *at;
} RamWindow;

struct DbtRegion {
    uint64_t base; /* of the lowest copy */
    GMutex lock;   /* of who adds: vCPUs meet new RAM at any time */
    uint64_t used; /* of the windows */
    _Atomic unsigned n;
    RamWindow window[MOST_BLOCKS];
};

static void release(uint64_t base, unsigned copies)
{
    for (unsigned n = 0; n < copies; n++)
        munmap((void *)(base + n * RESERVE_STEP), RESERVE_BYTES);
}

static bool reserve(uint64_t base)
{
    for (unsigned n = 0; n < COPIES; n++) {
        void *want = (void *)(base + n * RESERVE_STEP);
        void *p = mmap(want, RESERVE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (p == want)
            continue;
        if (p != MAP_FAILED)
            munmap(p, RESERVE_BYTES);
        release(base, n);
        return false;
    }
    return true;
}

/* The program, its libraries and its stack stand at random places, and the heap is near the first: an arena that has their residues modulo
 * RESERVE_STEP cannot be reserved. */
static bool is_taken(uint64_t base)
{
    const uintptr_t mapped[] = { (uintptr_t)is_taken, (uintptr_t)munmap, (uintptr_t)__builtin_frame_address(0) };
    for (unsigned n = 0; n < G_N_ELEMENTS(mapped); n++)
        if ((mapped[n] - base + ELBOW_ROOM) % RESERVE_STEP < RESERVE_BYTES + 2 * ELBOW_ROOM)
            return true;
    return false;
}

DbtRegion *dbt_region_create(GError **err)
{
    for (uint64_t base = CANDIDATE_STEP; base + RESERVE_BYTES <= RESERVE_STEP; base += CANDIDATE_STEP) {
        if (is_taken(base) || !reserve(base))
            continue;
        DbtRegion *r = g_new0(DbtRegion, 1);
        r->base = base;
        g_mutex_init(&r->lock);
        return r;
    }
    error_set_errno(err, errno, "cannot reserve address space for tlb=flat; use -accel dbt,tlb=tag");
    return NULL;
}

void dbt_region_destroy(DbtRegion *r)
{
    if (!r)
        return;
    for (unsigned n = 0; n < r->n; n++)
        if (r->window[n].ram->host == r->window[n].at && !ram_move(r->window[n].ram, NULL))
            g_error("no address space for the machine's RAM"); /* as g_malloc does */
    release(r->base, COPIES);
    g_mutex_clear(&r->lock);
    g_free(r);
}

static RamWindow *find(DbtRegion *r, const RamBlock *ram)
{
    unsigned n_windows = atomic_load_explicit(&r->n, memory_order_acquire);
    for (unsigned n = 0; n < n_windows; n++)
        if (r->window[n].ram == ram)
            return &r->window[n];
    return NULL;
}

static bool map(RamBlock *ram, void *want)
{
    return ram->fd >= 0 && mmap(want, ram->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, ram->fd, 0) != MAP_FAILED;
}

static uint8_t *add(DbtRegion *r, RamBlock *ram, bool place(RamBlock *ram, void *want))
{
    uint64_t bytes = (ram->size + 2 * GAP - 1) & ~(uint64_t)(GAP - 1);
    if (r->n == MOST_BLOCKS || bytes > WINDOWS_BYTES - r->used)
        return NULL;
    void *want = (void *)(r->base + WINDOWS_OFFSET + r->used);
    if (!place(ram, want))
        return NULL;
    r->used += bytes;
    r->window[r->n] = (RamWindow){ .ram = ram, .at = want };
    atomic_fetch_add_explicit(&r->n, 1, memory_order_release);
    return want;
}

uint8_t *dbt_region_window(DbtVcpu *v, DbtRegion *r, RamBlock *ram)
{
    RamWindow *w = find(r, ram);
    if (w)
        return w->at;
    interp_save_fpu(&v->i);
    g_mutex_lock(&r->lock);
    w = find(r, ram);
    uint8_t *at = w ? w->at : add(r, ram, map);
    g_mutex_unlock(&r->lock);
    return at;
}

static bool move(RamBlock *ram, void *want) { return ram_move(ram, want); }
bool dbt_region_adopt(DbtRegion *r, RamBlock *ram) { return add(r, ram, move); }

uint64_t dbt_region_poison(const DbtRegion *r) { return r->base + RESERVE_BYTES - POISON_FROM_END; }
