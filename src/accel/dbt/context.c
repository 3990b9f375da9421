/*
 * context.c - where a vCPU and its tables lie.
 *
 * [DbtVcpu][DbtContext] is repeated for each context; the DbtVcpu is the same memory in all of them, and GS points to the one
 * whose tables count.  C code uses the first alone.
 */
#include "accel/dbt/dbt.h"

#include <asm/prctl.h>
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"

#define CONTEXT_STRIDE (DBT_CONTEXT_OFF + ((sizeof(DbtContext) + 4095) & ~4095ul))
enum { HWCAP2_FSGSBASE_BIT = 2 };

static uint8_t *place(DbtVcpu *v, unsigned index) { return (uint8_t *)v + index * CONTEXT_STRIDE; }

static bool map_tables(uint8_t *at)
{
    return mmap(at + DBT_CONTEXT_OFF, CONTEXT_STRIDE - DBT_CONTEXT_OFF, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

void *dbt_vcpu_alloc(Accel *a, GError **err)
{
    (void)a;
    uint8_t *at = mmap(NULL, CONTEXT_STRIDE * TLB_CONTEXTS, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        error_set_errno(err, errno, "no memory for the tables of a vCPU");
        return NULL;
    }
    void *vcpu = mmap(at, DBT_CONTEXT_OFF, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (vcpu == MAP_FAILED || !map_tables(at)) {
        error_set_errno(err, errno, "no memory for a vCPU");
        munmap(at, CONTEXT_STRIDE * TLB_CONTEXTS);
        return NULL;
    }
    return vcpu;
}

void dbt_vcpu_free(Vcpu *v) { munmap(v, CONTEXT_STRIDE * TLB_CONTEXTS); }

static DbtContext *make(DbtVcpu *v, unsigned index)
{
    interp_save_fpu(&v->i);
    uint8_t *at = place(v, index);
    /* Size 0: another mapping of the same shared memory (mremap(2)). */
    if (index && (mremap(v, 0, DBT_CONTEXT_OFF, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED || !map_tables(at)))
        g_error("no memory for the tables of vCPU %u: %s", v->i.vcpu.id, g_strerror(errno)); /* as g_malloc does */
    DbtContext *c = (DbtContext *)(at + DBT_CONTEXT_OFF);
    for (unsigned n = 0; n < MEM_WHO_COUNT - 1; n++) {
        dbt_tlb_init(&c->tlb[n][DTLB_READ]);
        dbt_tlb_init(&c->tlb[n][DTLB_WRITE]);
        dbt_jumps_init(v, &c->jumps[n]);
    }
    return c;
}

void dbt_context_enter(DbtVcpu *v)
{
    const uint8_t *base = (uint8_t *)v->context - DBT_CONTEXT_OFF;
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
