/*
 * fault_sites.c - which guest instruction a host fault of translated code belongs to: blocks that have such instructions, in
 * order of their code.
 */
#include "accel/dbt/mem.h"

void dbt_faults_create(DbtVcpu *v) { v->faulting = g_ptr_array_new(); }

void dbt_faults_destroy(DbtVcpu *v) { g_clear_pointer(&v->faulting, g_ptr_array_unref); }

void dbt_faults_add(DbtVcpu *v, const DbtBlock *b) { g_ptr_array_add(v->faulting, (void *)b); }

void dbt_faults_forget(DbtVcpu *v) { g_ptr_array_set_size(v->faulting, 0); }

/* The last block that begins at or before pc. */
static const DbtBlock *block_at(const GPtrArray *all, const uint8_t *pc)
{
    unsigned low = 0, high = all->len;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const DbtBlock *b = all->pdata[middle];
        if ((const uint8_t *)b->checked_entry <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? all->pdata[low - 1] : NULL;
}

const FaultSite *dbt_faults_find(const DbtVcpu *v, const uint8_t *pc, const DbtBlock **ret_block)
{
    const DbtBlock *b = block_at(v->faulting, pc);
    size_t offset = b ? (size_t)(pc - (const uint8_t *)b->checked_entry) : 0;
    if (!b || offset >= b->code_bytes)
        return NULL;
    const FaultSite *found = NULL;
    for (unsigned n = 0; n < b->n_faults && b->faults[n].pc <= offset; n++)
        found = &b->faults[n];
    *ret_block = b;
    return found;
}
