/*
 * run.c - the loop around translated code, and what the interpreter tells.
 */
#include "accel/dbt/dbt.h"

/* A request that is made from here on finds poll 0 and sets it. */
static bool attention(DbtVcpu *v)
{
    atomic_store(&v->poll, 0);
    return interp_wants_attention(&v->i);
}

/* To the next exit that is not handled on the spot. */
static void run_on(DbtVcpu *v)
{
    if (v->i.attention || (v->i.single_step && !v->mode_translates)) {
        dbt_interpret_one(v);
    } else if (v->mode_translates) {
        const void *code = dbt_next_code(v);
        if (code)
            dbt_glue_enter(v->glue)(v, code);
    } else {
        v->stats.whole_blocks_interp++;
        interp_run_some(&v->i);
        if (v->i.attention)
            interp_retired(&v->i);
    }
}

static RunExit run(DbtVcpu *v)
{
    RunExit ret;
    v->stepped = false;
    jmp_buf landing;
    v->i.landing = &landing;
    if (_setjmp(landing)) {
        v->last_exit = NULL;
        v->remember = false;
        interp_land_fault(&v->i);
        if (v->i.single_step)
            return RUN_KICKED;
    }
    for (;;) {
        if (attention(v)) {
            v->last_exit = NULL;
            if (interp_serve_requests(&v->i, &ret))
                return ret;
        }
        dbt_update_mode(v);
        run_on(v);
        if (v->i.single_step && v->stepped)
            return RUN_KICKED;
    }
}

RunExit dbt_run(Vcpu *vcpu)
{
    DbtVcpu *v = (DbtVcpu *)vcpu;
    dbt_context_enter(v);
    v->on_thread = true;
    RunExit why = run(v);
    v->on_thread = false;
    interp_save_fpu(&v->i);
    return why;
}

/* ---- what the interpreter tells */

static void on_flush(InterpVcpu *i, TlbFlush what)
{
    DbtVcpu *v = (DbtVcpu *)i;
    if (!v->cache)
        return;
    dbt_tlb_flush(v, what);
    dbt_jump_flush(v, what);
    v->last_exit = NULL;
}

static void on_flush_page(InterpVcpu *i, uint64_t linear, TlbFlush what)
{
    DbtVcpu *v = (DbtVcpu *)i;
    dbt_tlb_flush_page(v, linear, what);
    dbt_jump_flush_page(v, linear, what);
    v->last_exit = NULL;
}

static void on_switch(InterpVcpu *i)
{
    DbtVcpu *v = (DbtVcpu *)i;
    dbt_context_select(v, i->context);
    dbt_tlb_flush_shared(v);
    dbt_jump_flush_shared(v);
    v->last_exit = NULL;
}

/* No vCPU may have the page in its table of writable ones when its code is read. */
static void on_claim(InterpVcpu *self, const uint8_t *page)
{
    GPtrArray *all = ((InterpAccel *)self->vcpu.accel)->vcpus;
    bool others = false;
    for (unsigned n = 0; n < all->len; n++)
        others |= all->pdata[n] != self && dbt_tlb_may_write(all->pdata[n], page);
    if (others)
        exclusive_begin(&self->vcpu);
    for (unsigned n = 0; n < all->len; n++)
        if (others || all->pdata[n] == self)
            dbt_tlb_forbid_write(all->pdata[n], page);
    if (others)
        exclusive_end(&self->vcpu);
}

const InterpClient dbt_client = {
    .tlb_flushed = on_flush, .tlb_page_flushed = on_flush_page, .tlb_switched = on_switch,
    .code_dropped = dbt_code_dropped, .code_claimed = on_claim, .save_fpu = dbt_fpu_save,
};
