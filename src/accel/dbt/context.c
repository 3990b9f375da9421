/*
 * context.c - where a vCPU and its tables lie.
 *
 * [DbtVcpu][DbtContext][gap][flat table] is repeated for each context; the DbtVcpu is the same memory in all of them, and GS points behind the gap of
 * the one whose tables count.  C code uses the first alone.  In front of all stands the signal handler's stack.
 */
#include "accel/dbt/mem.h"

#include <asm/prctl.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

enum { HWCAP2_FSGSBASE_BIT = 2, GUARD_BYTES = 4096 };
#define FRONT_BYTES (SIGNAL_STACK_BYTES + GUARD_BYTES)

static bool is_flat(const Accel *a) { return ((const DbtShared *)((const InterpAccel *)a)->translator)->region; }
static size_t stride(const Accel *a) { return is_flat(a) ? DBT_GS_OFFSET + FLAT_SLOTS * 8 : DBT_GS_OFFSET; }
static size_t all_bytes(const Accel *a) { return FRONT_BYTES + stride(a) * TLB_CONTEXTS; }
static uint8_t *place(DbtVcpu *v, unsigned index) { return (uint8_t *)v + index * stride(v->i.vcpu.accel); }
static uint8_t *front(const DbtVcpu *v) { return (uint8_t *)v - FRONT_BYTES; }

static bool map(uint8_t *at, size_t bytes, int how)
{
    return mmap(at, bytes, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static bool map_tables(uint8_t *at) { return map(at + DBT_CONTEXT_OFF, CONTEXT_BYTES, MAP_PRIVATE); }

void *dbt_vcpu_alloc(Accel *a, GError **err)
{
    uint8_t *start = mmap(NULL, all_bytes(a), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        error_set_errno(err, errno, "no address space for the tables of a vCPU (%zu MiB)", all_bytes(a) >> 20);
        return NULL;
    }
    uint8_t *at = start + FRONT_BYTES;
    if (!map(start, SIGNAL_STACK_BYTES, MAP_PRIVATE) || !map(at, DBT_CONTEXT_OFF, MAP_SHARED) || !map_tables(at)) {
        error_set_errno(err, errno, "no memory for a vCPU");
        munmap(start, all_bytes(a));
        return NULL;
    }
    return at;
}

void dbt_vcpu_free(Vcpu *v) { munmap(front((DbtVcpu *)v), all_bytes(v->accel)); }

void *dbt_signal_stack(const DbtVcpu *v) { return front(v); }

static DbtContext *make(DbtVcpu *v, unsigned index)
{
    interp_save_fpu(&v->i);
    uint8_t *at = place(v, index);
    /* Size 0: another mapping of the same shared memory (mremap(2)). */
    if (index && (mremap(v, 0, DBT_CONTEXT_OFF, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED || !map_tables(at)))
        g_error("no memory for the tables of vCPU %u: %s", v->i.vcpu.id, g_strerror(errno)); /* as g_malloc does */
    DbtContext *c = (DbtContext *)(at + DBT_CONTEXT_OFF);
    if (v->flat)
        dbt_flat_make_table(v->flat, index, (uint64_t *)(at + DBT_GS_OFFSET));
    for (unsigned n = 0; n < MEM_WHO_COUNT - 1; n++) {
        dbt_tlb_init(&c->tlb[n][DTLB_READ]);
        dbt_tlb_init(&c->tlb[n][DTLB_WRITE]);
        dbt_jumps_init(v, &c->jumps[n]);
    }
    return c;
}

void dbt_context_enter(DbtVcpu *v)
{
    const uint8_t *base = (uint8_t *)v->context - DBT_CONTEXT_OFF + DBT_GS_OFFSET;
    if (v->has_wrgsbase) {
        __asm__ volatile("wrgsbase %0" : : "r"(base) : "memory");
        return;
    }
    interp_save_fpu(&v->i);
    syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)base);
}

bool dbt_has_wrgsbase(void) { return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT; }

void dbt_context_select(DbtVcpu *v, unsigned index)
{
    if (!v->contexts[index])
        v->contexts[index] = make(v, index);
    v->context = v->contexts[index];
    if (v->on_thread)
        dbt_context_enter(v);
}
