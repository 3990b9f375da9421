#pragma once
#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * memory.h - what stands at which guest-physical address or port.
 *
 * Writers add, move and switch regions; each commit publishes a new immutable FlatView (sorted, not overlapping).
 * Readers hold a reference to the view that they use and so never take a lock to look something up.
 */
typedef struct Machine Machine;
typedef struct Window Window;
typedef struct AddressSpace AddressSpace;
typedef struct MemRegion MemRegion;

/* Page flags of RAM, a byte a 4 KiB page, set and cleared with atomics. */
enum {
    PAGE_HAS_CODE = 1, /* an accelerator holds decoded or translated code of it: writers must tell (code_changed) */
    PAGE_DIRTY = 2,    /* written since the dirty log was last fetched */
};

/* Guest RAM or ROM contents. */
typedef struct RamBlock {
    char *name;
    int fd; /* of the memory file, which may be mapped elsewhere too; -1: none */
    bool shared; /* what is written there others see, in the memory file or a file of the user's */
    uint8_t *host;
    uint64_t size; /* multiple of 4096 */
    _Atomic uint8_t *page_flags;
    _Atomic bool logged; /* an accelerator keeps the dirty log of it: machine_take_dirty() has been asked */
} RamBlock;

RamBlock *ram_create(const char *name, uint64_t size, GError **err); /* a memory file */
/* Where the machine's own RAM comes from. */
typedef struct RamSource {
    const char *path; /* a file, made where there is none, or a folder, where it gets a file without a name (hugetlbfs, /dev/shm); NULL: private memory */
    bool shared;      /* what the guest writes is in the file */
    bool populated;   /* all pages now, rather than as they are touched */
} RamSource;
RamBlock *ram_create_from(const char *name, uint64_t size, const RamSource *source, GError **err);
/* For an accelerator that wants RAM without `fd` elsewhere (NULL: anywhere else): only while nobody uses it. */
bool ram_move(RamBlock *ram, uint8_t *to);
int ram_discard(RamBlock *ram, uint64_t off, uint64_t n); /* whole pages: they read as 0 from now on, and cost nothing; 0, or -errno */
void ram_destroy(RamBlock *ram);
bool ram_any_dirty(const RamBlock *ram, uint64_t first_page, uint64_t n_pages);
/* Sets bit n of bitmap where page first_page + n is dirty, and clears PAGE_DIRTY.  For an accelerator: machine_take_dirty(). */
void ram_take_dirty(RamBlock *ram, uint64_t first_page, uint64_t n_pages, uint64_t *bitmap);

typedef enum RegionKind {
    REGION_RAM,
    REGION_ROM,  /* RAM block that the guest reads; writes go to .window, or nowhere */
    REGION_IO,   /* a device's window */
    REGION_HOLE, /* nothing, and hides what is below it */
} RegionKind;

typedef struct RegionDecl {
    const char *name;
    RegionKind kind;
    uint64_t base, size;
    int priority;     /* the higher hides the lower; RAM is usually 0, devices 1, overlays (PAM) above */
    RamBlock *ram;    /* RAM, ROM */
    uint64_t offset;  /* into ram or the window */
    Window *window;   /* IO; of ROM: what takes writes, NULL: nobody */
    bool disabled;    /* added, but not visible yet */
} RegionDecl;

/* One piece of a flat view. */
struct FlatRange {
    uint64_t start, size;
    RegionKind kind;
    RamBlock *ram;    /* RAM, ROM: host address is ram->host + offset */
    Window *window;   /* IO */
    uint64_t offset;
    const MemRegion *region;
};
typedef struct FlatRange FlatRange;

typedef struct FlatView {
    _Atomic unsigned refs;
    uint64_t generation; /* grows by one with each published view */
    size_t n;
    FlatRange range[];
} FlatView;

AddressSpace *space_create(const char *name, uint64_t size);
void space_destroy(AddressSpace *s);
/* Called with the map locked after each commit. */
void space_on_change(AddressSpace *s, void (*changed)(void *opaque, const FlatView *old, const FlatView *now), void *opaque);

MemRegion *region_add(AddressSpace *s, const RegionDecl *decl, GError **err); /* error: outside the space, or overflow */
void region_remove(MemRegion *r);
void region_enable(MemRegion *r, bool enabled);
void region_move(MemRegion *r, uint64_t base);
void region_set_kind(MemRegion *r, RegionKind kind); /* RAM <-> ROM <-> HOLE: PAM; ROM <-> IO: flash */
/* Between begin and commit changes are collected and published once.  They nest. */
void space_begin(AddressSpace *s);
void space_commit(AddressSpace *s);

FlatView *space_view(AddressSpace *s); /* a new reference to the current view; any thread */
void view_unref(FlatView *v);
uint64_t space_generation(AddressSpace *s); /* one relaxed load: has the view that I hold been replaced? */
/* NULL: nothing there.  Inline, for callers that may not run other code (accel's light files). */
static inline const FlatRange *view_find(const FlatView *v, uint64_t addr)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        const FlatRange *r = &v->range[mid];
        if (addr < r->start)
            high = mid;
        else if (addr - r->start >= r->size)
            low = mid + 1;
        else
            return r;
    }
    return NULL;
}
char *space_dump(AddressSpace *s); /* "info mtree -f": caller frees */

/* Accesses to device windows, with the device's lock held around its callback.  Split and widened to what the window
 * takes; reads from nowhere give all ones. */
uint64_t view_read(const FlatView *v, uint64_t addr, unsigned size);
void view_write(const FlatView *v, uint64_t addr, unsigned size, uint64_t value);

/* DMA: guest RAM (and reading ROM) only, so a device can never be made to re-enter a device.  False: some byte of the
 * range is not RAM; nothing has been transferred then. */
bool dma_read(Machine *m, uint64_t gpa, void *buf, size_t n);
bool dma_write(Machine *m, uint64_t gpa, const void *buf, size_t n);
/* The host address of RAM at gpa; *len is cut to what is contiguous.  NULL if gpa is not RAM.  Valid while the caller
 * holds `view`.  After writing through it call dma_written(). */
void *view_ram(const FlatView *view, uint64_t gpa, uint64_t *len, bool write);
void dma_written(Machine *m, uint64_t gpa, uint64_t len);
