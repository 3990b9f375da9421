/*
 * signal.c - host faults of translated code become exits.
 *
 * An access to something that the flat table does not hold faults in the host.  The handler looks up which access that was
 * and lets the thread go on at the exit that a check would have taken, with the guest's registers as they were.  In the same
 * way an operation of SSE or AVX whose exception the guest has not masked becomes its #XM.
 *
 * The handler finds its vCPU by GS, so there is nothing global but the handler itself.  SS_AUTODISARM makes the kernel use
 * the stack that we name whatever RSP is: RSP is the guest's and may point anywhere, into that stack too.
 */
#include <asm/prctl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "accel/dbt/mem.h"
#include "base/error.h"

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE (1 << 1)
#endif
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static const int reg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static DbtVcpu *vcpu_of_thread(void)
{
    uintptr_t gs = 0;
    if (dbt_has_wrgsbase())
        __asm__("rdgsbase %0" : "=r"(gs));
    else
        syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
    return gs ? (DbtVcpu *)(gs - DBT_GS_OFFSET) : NULL;
}

static void redirect(DbtVcpu *v, ExitKind kind, const DbtBlock *b, const FaultSite *s, greg_t *regs)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(s->held); n++)
        if (s->held[n] != NOT_HELD)
            regs[reg_of[s->held[n]]] = (greg_t)v->borrow[n];
    regs[reg_of[SCRATCH_U]] += s->ea;
    if (s->push) {
        uint64_t ea = (uint64_t)regs[REG_RSP] - s->size;
        regs[reg_of[SCRATCH_U]] = (greg_t)(mode_code_size(b->mode) == CODE64 ? ea : (uint32_t)ea);
    }
    v->fault = (DbtExit){ .kind = kind, .size = s->size, .access = s->access, .flags_saved = s->flags_saved, .faulted = true, .aligned = s->aligned,
                          .resume = s->resume == NO_RESUME ? NULL : (const uint8_t *)b->checked_entry + s->resume,
                          .rip = b->rip + s->rip, .relative = mode_relative(b->mode), .mode = b->mode,
                          .block = (DbtBlock *)b };
    regs[reg_of[SCRATCH_T]] = (greg_t)&v->fault;
    regs[REG_RIP] = (greg_t)dbt_glue_exit(v->glue, s->flags_saved);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    DbtVcpu *v = vcpu_of_thread();
    const DbtBlock *b = NULL;
    const FaultSite *s = v && info->si_code > 0 ? dbt_faults_find(v, (const uint8_t *)regs[REG_RIP], &b) : NULL;
    bool simd_fp = number == SIGFPE && regs[REG_TRAPNO] == EXC_XM;
    if (s && (simd_fp || number != SIGFPE)) {
        redirect(v, simd_fp ? EXIT_SIMD_FP : EXIT_MEMORY, b, s, regs);
        return;
    }
    signal(number, SIG_DFL); /* a bug of ours, or somebody's kill(): as if there were no handler */
    if (info->si_code <= 0)
        raise(number);
}

/* In translated code RSP is the guest's, so no handler may run on this thread but ours. */
static void mask_signals(void)
{
    sigset_t mask;
    sigfillset(&mask);
    sigdelset(&mask, SIGSEGV);
    sigdelset(&mask, SIGBUS); /* #SS is reported so */
    sigdelset(&mask, SIGILL); /* branch_if_misaligned() in mem_flat.c */
    sigdelset(&mask, SIGFPE);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

void dbt_signal_thread_start(DbtVcpu *v)
{
    stack_t alternate = { .ss_sp = dbt_signal_stack(v), .ss_size = SIGNAL_STACK_BYTES, .ss_flags = (int)SS_AUTODISARM };
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigfillset(&action.sa_mask);
    sigaltstack(&alternate, &v->stack_before);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    mask_signals();
}

/* Who named a stack before us takes back and frees what the thread has at its end: AddressSanitizer unmapped ours. */
void dbt_signal_thread_end(DbtVcpu *v) { sigaltstack(&v->stack_before, NULL); }

bool dbt_signal_probe(GError **err)
{
    if (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)
        return true;
    return error_set(err, ERR_UNSUPPORTED, "tlb=flat needs FSGSBASE, which this host's kernel does not enable; use -accel dbt,tlb=tag");
}
