/*
 * mem.c - the guest's memory accesses that miss the inline path: segment checks, page crossings, devices, ROM, data
 * breakpoints.  Every page of an access is translated before the first byte is written.
 */
#include "accel/interp/sys.h"

static G_NORETURN void raise_segment(InterpVcpu *v, unsigned seg)
{
    interp_raise_error(v, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

/* SDM 3, 5.5 (type checking).  Execute rights are the far transfers' matter. */
static bool type_permits(const Segment *s, MemAccess access)
{
    if (segment_unusable(s))
        return false;
    bool code = s->attr & TYPE_CODE, rw = s->attr & TYPE_RW;
    return access == ACCESS_WRITE ? !code && rw : access == ACCESS_EXEC || !code || rw;
}

static bool alignment_checked(const InterpVcpu *v)
{
    return v->cpl == 3 && (v->s.cr0 & CR0_AM) && (v->s.rflags & RFLAGS_AC);
}

uint64_t interp_linear(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size, MemAccess access)
{
    uint64_t linear = mem_flat_linear(v, seg, offset);
    if (v->code_size == CODE64) {
        if (!interp_canonical(v, linear) || !interp_canonical(v, linear + size - 1))
            raise_segment(v, seg);
    } else {
        const Segment *s = &v->s.seg[seg];
        if ((v->protected_mode && !type_permits(s, access)) || !segment_within_limit(s, offset, offset + size - 1))
            raise_segment(v, seg);
    }
    if (G_UNLIKELY(alignment_checked(v)) && size > 1 && (linear & (MIN(size & -size, 8u) - 1)))
        interp_raise_error(v, EXC_AC, 0);
    return linear;
}

MemWho mem_who(const InterpVcpu *v, unsigned cpl)
{
    if (cpl == 3)
        return MEM_USER;
    return (v->s.cr4 & CR4_SMAP) && (v->s.rflags & RFLAGS_AC) ? MEM_SMAP_AC : MEM_IMPLICIT;
}

/* ---- one or two pages of an access */
typedef struct Span {
    TlbEntry page[2];
    unsigned first; /* bytes in page[0] */
} Span;

static void span_translate(InterpVcpu *v, Span *s, uint64_t linear, unsigned n, MemAccess access, MemWho who)
{
    unsigned room = 4096 - (linear & 0xfff);
    s->first = MIN(n, room);
    s->page[0] = *mmu_translate(v, linear, access, who);
    if (n > room) {
        uint64_t next = linear + room;
        if (v->code_size != CODE64 && linear <= 0xffffffff)
            next &= 0xffffffff;
        s->page[1] = *mmu_translate(v, next, access, who);
    }
}

static void device_read(InterpVcpu *v, uint64_t gpa, uint8_t *buf, unsigned n)
{
    interp_save_fpu(v);
    while (n) {
        unsigned size = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        host_store(buf, size, vcpu_mmio_read(&v->vcpu, gpa, size));
        buf += size, gpa += size, n -= size;
    }
}

static void device_write(InterpVcpu *v, uint64_t gpa, const uint8_t *buf, unsigned n)
{
    interp_save_fpu(v);
    while (n) {
        unsigned size = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        vcpu_mmio_write(&v->vcpu, gpa, size, host_load(buf, size));
        buf += size, gpa += size, n -= size;
    }
}

static bool is_scalar(unsigned n) { return n == 1 || n == 2 || n == 4 || n == 8; }

static void page_read(InterpVcpu *v, const TlbEntry *e, unsigned offset, void *buf, unsigned n)
{
    if (!e->host) {
        device_read(v, e->gpa + offset, buf, n);
    } else if (is_scalar(n)) {
        host_store(buf, n, host_load(e->host + offset, n));
    } else {
        host_copy(buf, e->host + offset, n);
    }
}

static void page_write(InterpVcpu *v, const TlbEntry *e, unsigned offset, const void *buf, unsigned n)
{
    if (!e->host || !e->flags) { /* a device; or ROM, whose writes may be a flash chip's commands */
        device_write(v, e->gpa + offset, buf, n);
        return;
    }
    if (is_scalar(n))
        host_store(e->host + offset, n, host_load(buf, n));
    else
        host_copy(e->host + offset, buf, n);
    tlb_stored(v, e, offset, n);
}

void linear_read_bytes(InterpVcpu *v, uint64_t linear, void *buf, unsigned n, MemWho who)
{
    Span s;
    span_translate(v, &s, linear, n, ACCESS_READ, who);
    page_read(v, &s.page[0], linear & 0xfff, buf, s.first);
    if (n > s.first)
        page_read(v, &s.page[1], 0, (uint8_t *)buf + s.first, n - s.first);
}

void linear_write_bytes(InterpVcpu *v, uint64_t linear, const void *buf, unsigned n, MemWho who)
{
    Span s;
    span_translate(v, &s, linear, n, ACCESS_WRITE, who);
    page_write(v, &s.page[0], linear & 0xfff, buf, s.first);
    if (n > s.first)
        page_write(v, &s.page[1], 0, (const uint8_t *)buf + s.first, n - s.first);
}

uint64_t linear_read(InterpVcpu *v, uint64_t linear, unsigned size, MemWho who)
{
    const uint8_t *p = tlb_host(v, linear, size, ACCESS_READ, who);
    if (p)
        return host_load(p, size);
    uint64_t value = 0;
    linear_read_bytes(v, linear, &value, size, who);
    return value;
}

void linear_write(InterpVcpu *v, uint64_t linear, unsigned size, uint64_t value, MemWho who)
{
    uint8_t *p = tlb_host(v, linear, size, ACCESS_WRITE, who);
    if (p) {
        host_store(p, size, value);
        tlb_stored(v, tlb_entry(v, linear, who), linear, size);
        return;
    }
    linear_write_bytes(v, linear, &value, size, who);
}

void linear_probe_write(InterpVcpu *v, uint64_t linear, unsigned n, MemWho who)
{
    Span s;
    span_translate(v, &s, linear, n, ACCESS_WRITE, who);
}

/* ---- through a segment */
static void watch(InterpVcpu *v, uint64_t linear, unsigned n, bool write)
{
    if (G_UNLIKELY(v->attention & ATTN_BREAK))
        debug_check_data(v, linear, n, write);
}

void mem_read_bytes(InterpVcpu *v, unsigned seg, uint64_t offset, void *buf, unsigned n)
{
    uint64_t linear = interp_linear(v, seg, offset, n, ACCESS_READ);
    linear_read_bytes(v, linear, buf, n, v->who);
    watch(v, linear, n, false);
}

void mem_write_bytes(InterpVcpu *v, unsigned seg, uint64_t offset, const void *buf, unsigned n)
{
    uint64_t linear = interp_linear(v, seg, offset, n, ACCESS_WRITE);
    linear_write_bytes(v, linear, buf, n, v->who);
    watch(v, linear, n, true);
}

uint64_t mem_read(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size)
{
    uint64_t value = 0;
    mem_read_bytes(v, seg, offset, &value, size);
    return value;
}

void mem_write(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size, uint64_t value)
{
    mem_write_bytes(v, seg, offset, &value, size);
}

void mem_probe_write(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned n)
{
    linear_probe_write(v, interp_linear(v, seg, offset, n, ACCESS_WRITE), n, v->who);
}

void *mem_atomic(InterpVcpu *v, unsigned seg, uint64_t offset, unsigned size)
{
    uint64_t linear = interp_linear(v, seg, offset, size, ACCESS_WRITE);
    if ((linear & 0xfff) + size > 4096) {
        linear_probe_write(v, linear, size, v->who);
        return NULL;
    }
    const TlbEntry *e = mmu_translate(v, linear, ACCESS_WRITE, v->who);
    if (!e->flags)
        return NULL;
    watch(v, linear, size, true);
    tlb_stored(v, e, linear, size);
    return e->host + (linear & 0xfff);
}

/* ---- after stores */
void ram_written(InterpVcpu *v, RamBlock *ram, uint64_t ram_offset, uint64_t size)
{
    bool code = false;
    for (uint64_t page = ram_offset / 4096; page <= (ram_offset + size - 1) / 4096; page++)
        code |= atomic_fetch_or(&ram->page_flags[page], PAGE_DIRTY) & PAGE_HAS_CODE;
    if (!code)
        return;
    interp_save_fpu(v);
    code_invalidate(v, ram, ram_offset, size);
}

/* ---- the stack */
void stack_push(InterpVcpu *v, unsigned size, uint64_t value) { stack_push_inline(v, size, value); }
uint64_t stack_pop(InterpVcpu *v, unsigned size) { return stack_pop_inline(v, size); }
