/* native.c - see native.h.  Linux, arch/x86/kernel/signal_64.c, restore_sigcontext(). */
#include "native.h"

#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

#include "base/error.h"

enum { ALT_STACK_BYTES = 256 * 1024, FPU_FRAME_BYTES = 16384, WATCHDOG_S = 1, RUN_LIMIT_MS = 500, HAS_FSGSBASE = 2 };
/* struct _fpx_sw_bytes stands in the last 48 bytes of the FXSAVE area: magic1, extended_size, xfeatures, xstate_size.
 */
enum { SW_EXTENDED_SIZE = 468, XSTATE_BV = 512 };

struct Native {
    SubjectMemory memory;
    uint8_t *sequence; /* NULL: not mapped */
    uint64_t own_fs;   /* not 0: FS is the subject's while it runs */
    uint8_t *alt_stack;
    sigjmp_buf back;
    volatile sig_atomic_t armed;
    volatile int vector;
    volatile uint64_t steps, steps_at_tick; /* the watchdog ends a step that lasts from one tick to the next */
    ucontext_t after;                       /* fpregs points into fpu_after */
    uint8_t *fpu_after;                     /* XSAVE, standard format */
    struct {
        uint64_t return_address; /* as if a handler was about to return */
        ucontext_t context;
    } frame;
    uint8_t *fpu_frame;
};

static Native *the_native; /* for the signal handler: see native.h */

static const int greg_of[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

static size_t fpu_frame_size(const uint8_t *fpregs)
{
    uint32_t n;
    memcpy(&n, fpregs + SW_EXTENDED_SIZE, 4);
    return n;
}

static void handler(int sig, siginfo_t *info, void *context)
{
    Native *n = the_native;
    if (sig == SIGALRM && (!n->armed || n->steps != n->steps_at_tick)) {
        n->steps_at_tick = n->steps;
        return;
    }
    if (!n->armed) { /* a bug of ours, found in the interpreter or the test */
        dprintf(2, "differential: signal %d at %p, address %p\n", sig,
                (void *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP], info->si_addr);
        signal(sig, SIG_DFL);
        return;
    }
    n->armed = 0;
    n->after = *(ucontext_t *)context;
    memcpy(n->fpu_after, n->after.uc_mcontext.fpregs, fpu_frame_size((uint8_t *)n->after.uc_mcontext.fpregs));
    n->vector = sig == SIGALRM ? TIMED_OUT : sig == SIGSYS ? LOST : (int)n->after.uc_mcontext.gregs[REG_TRAPNO];
    siglongjmp(n->back, 1);
}

/* Before anything looks for the thread's own data. */
__attribute__((no_stack_protector, target("fsgsbase"))) static void on_signal(int sig, siginfo_t *info, void *context)
{
    if (the_native->own_fs)
        __builtin_ia32_wrfsbase64(the_native->own_fs);
    handler(sig, info, context);
}

static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM, SIGUSR1, SIGSYS };

static bool install_handlers(Native *n, GError **err)
{
    stack_t alt = { .ss_sp = n->alt_stack, .ss_size = ALT_STACK_BYTES };
    if (sigaltstack(&alt, NULL))
        return error_set_errno(err, errno, "cannot set a signal stack");
    struct sigaction a = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        if (sigaction(signals[i], &a, NULL))
            return error_set_errno(err, errno, "cannot handle signal %d", signals[i]);
    return true;
}

/* The kernel's own frame, of a signal sent to ourselves, is the model of those that we make. */
static void take_frame(Native *n)
{
    n->armed = 1;
    if (!sigsetjmp(n->back, 0))
        raise(SIGUSR1);
    n->frame.context = n->after;
    memcpy(n->fpu_frame, n->fpu_after, fpu_frame_size(n->fpu_after));
    n->frame.context.uc_mcontext.fpregs = (void *)n->fpu_frame;
    sigemptyset(&n->frame.context.uc_sigmask);
}

static void *map_at(uint64_t at, size_t bytes, int rights)
{
    return mmap((void *)at, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
}

/* Two mappings each of the code (which runs and is written) and of the page that the subject can only read. */
static void *map_shared(uint64_t at, size_t bytes, int rights, int fd, off_t off)
{
    return mmap((void *)at, bytes, rights, MAP_SHARED | MAP_POPULATE | (at ? MAP_FIXED_NOREPLACE : 0), fd, off);
}

static bool map_memory(Native *n, GError **err)
{
    int fd = memfd_create("differential", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, PAGE + DATA_BYTES))
        return error_set_errno(err, errno, "cannot create a memory file");
    uint8_t *ours = map_shared(0, PAGE + DATA_BYTES, PROT_READ | PROT_WRITE, fd, 0);
    bool ok = ours != MAP_FAILED && map_shared(CODE_AT, PAGE, PROT_READ | PROT_EXEC, fd, 0) != MAP_FAILED &&
              map_shared(DATA_AT, DATA_WRITABLE, PROT_READ | PROT_WRITE, fd, PAGE) != MAP_FAILED &&
              map_shared(DATA_AT + DATA_WRITABLE, PAGE, PROT_READ, fd, PAGE + DATA_WRITABLE) != MAP_FAILED &&
              map_at(STACK_AT, PAGE, PROT_READ | PROT_WRITE) != MAP_FAILED;
    int error = errno;
    close(fd);
    if (!ok)
        return error_set_errno(err, error, "cannot map memory at 0x%llx", CODE_AT);
    n->memory = (SubjectMemory){ .code = ours, .data = ours + PAGE, .stack = (uint8_t *)STACK_AT };
    return true;
}

static bool set_ldt(GError **err)
{
    for (unsigned n = 0; n < LDT_COUNT; n++) {
        const SubjectSegment *s = &subject_ldt[n];
        struct user_desc d = { .entry_number = n,
                               .base_addr = (unsigned)s->base,
                               .limit = s->limit,
                               .contents = s->code ? 2 : s->expand_down,
                               .useable = 1 };
        if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)))
            return error_set_errno(err, errno, "cannot set LDT entry %u", n);
    }
    return true;
}

Native *native_create(GError **err)
{
    Native *n = g_new0(Native, 1);
    n->alt_stack = g_malloc0(ALT_STACK_BYTES);
    n->fpu_after = g_aligned_alloc0(1, FPU_FRAME_BYTES, 64);
    n->fpu_frame = g_aligned_alloc0(1, FPU_FRAME_BYTES, 64);
    the_native = n;
    if (!map_memory(n, err) || !install_handlers(n, err) || !set_ldt(err) ||
        (syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE) && error_set_errno(err, errno, "cannot set the GS base"))) {
        native_destroy(n);
        return NULL;
    }
    take_frame(n);
    setitimer(ITIMER_REAL, &(struct itimerval){ { WATCHDOG_S, 0 }, { WATCHDOG_S, 0 } }, NULL);
    return n;
}

void native_destroy(Native *n)
{
    if (!n)
        return;
    setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
    the_native = NULL;
    stack_t off = { .ss_flags = SS_DISABLE };
    sigaltstack(&off, NULL);
    if (n->sequence)
        munmap(n->sequence, SEQUENCE_BYTES);
    if (n->memory.code) {
        munmap(n->memory.code, PAGE + DATA_BYTES);
        munmap((void *)CODE_AT, PAGE);
        munmap((void *)DATA_AT, DATA_BYTES);
        munmap((void *)STACK_AT, PAGE);
    }
    g_free(n->alt_stack);
    g_aligned_free(n->fpu_after);
    g_aligned_free(n->fpu_frame);
    g_free(n);
}

SubjectMemory native_memory(Native *n)
{
    return n->memory;
}

uint64_t native_fs_base(void)
{
    uint64_t base = 0;
    syscall(SYS_arch_prctl, ARCH_GET_FS, &base);
    return base;
}

static void fill_frame(Native *n, const Case *c, uint64_t flags)
{
    greg_t *g = n->frame.context.uc_mcontext.gregs;
    for (unsigned r = 0; r < 16; r++)
        g[greg_of[r]] = (greg_t)c->state.gpr[r];
    g[REG_RIP] = (greg_t)c->state.rip;
    g[REG_EFL] = (greg_t)(c->state.rflags | flags);
    uint16_t *selectors = (uint16_t *)&g[REG_CSGSFS]; /* CS, GS, FS, SS */
    selectors[0] = c->cs;
    selectors[3] = c->ss;
    uint8_t sw_bytes[48];
    memcpy(sw_bytes, n->fpu_frame + 464, sizeof(sw_bytes));
    memcpy(n->fpu_frame, &c->state.fpu, sizeof(XsaveImage));
    memcpy(n->fpu_frame + 464, sw_bytes, sizeof(sw_bytes));
    memcpy(n->fpu_frame + XSTATE_BV, &(uint64_t){ XCR0_X87 | XCR0_SSE | XCR0_AVX }, 8);
    memset(n->fpu_frame + XSTATE_BV + 8, 0, 56);
}

static void read_after(const Native *n, Outcome *ret)
{
    const greg_t *g = n->after.uc_mcontext.gregs;
    for (unsigned r = 0; r < 16; r++)
        ret->gpr[r] = (uint64_t)g[greg_of[r]];
    ret->rip = (uint64_t)g[REG_RIP];
    ret->rflags = (uint64_t)g[REG_EFL];
    ret->vector = n->vector;
    ret->error = (uint32_t)g[REG_ERR];
    ret->cr2 = (uint64_t)g[REG_CR2];
    ret->cs = (uint16_t)g[REG_CSGSFS];
    memcpy(&ret->fpu, n->fpu_after, sizeof(ret->fpu));
}

/* Instructions that load GS or its base; after them it is put back. */
static void take_gs(Outcome *ret)
{
    syscall(SYS_arch_prctl, ARCH_GET_GS, &ret->gs_base);
    if (ret->gs_base != GS_BASE)
        syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE);
}

/* Data segments for other than 64-bit mode, and flags as C wants them. */
static void tidy(uint16_t ds, uint16_t es)
{
    __asm__ volatile("mov %0, %%ds; mov %1, %%es" : : "r"(ds), "r"(es));
    __asm__ volatile("pushq $0x202; popfq" : : : "cc", "memory");
}

static void enter(Native *n)
{
    __asm__ volatile("mov %0, %%rsp; mov %1, %%eax; syscall"
                     :
                     : "r"(&n->frame.context), "i"(SYS_rt_sigreturn)
                     : "memory");
    __builtin_unreachable();
}

void native_step(Native *n, const Case *c, Outcome *ret)
{
    fill_frame(n, c, RFLAGS_TF);
    tidy(c->ds, c->es);
    n->steps++;
    if (!sigsetjmp(n->back, 0)) {
        n->armed = 1;
        enter(n);
    }
    tidy(USER_DS, USER_DS);
    read_after(n, ret);
    if (ret->vector == EXC_DB)
        ret->vector = NO_VECTOR;
    ret->gs_base = GS_BASE;
    if (c->may_change_gs)
        take_gs(ret);
}

/* ---- sequences */

/* A system call of the subject's own is a signal: what it writes over itself may be one. */
static bool forbid_system_calls(GError **err)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CODE_AT, 0, 1),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, STACK_AT + PAGE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = { G_N_ELEMENTS(filter), filter };
    if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return true;
    return error_set_errno(err, errno, "cannot forbid system calls");
}

uint8_t *native_sequence(Native *n, GError **err)
{
    if (!(getauxval(AT_HWCAP2) & HAS_FSGSBASE)) {
        error_set(err, ERR_UNSUPPORTED, "sequences on the host's CPU need FSGSBASE");
        return NULL;
    }
    uint8_t *at = map_at(SEQUENCE_AT, SEQUENCE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (at == MAP_FAILED) {
        error_set_errno(err, errno, "cannot map memory at 0x%llx", SEQUENCE_AT);
        return NULL;
    }
    n->sequence = at;
    setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL); /* native_run() has its own */
    return forbid_system_calls(err) ? at : NULL;
}

typedef struct Handlers {
    struct sigaction action[G_N_ELEMENTS(signals)];
    stack_t stack;
} Handlers;

static void keep_handlers(Handlers *h)
{
    sigaltstack(NULL, &h->stack);
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        sigaction(signals[i], NULL, &h->action[i]);
}

static void restore_handlers(const Handlers *h)
{
    sigaltstack(&h->stack, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        sigaction(signals[i], &h->action[i], NULL);
}

static void set_limit(unsigned ms) { setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = ms * 1000 }, NULL); }

__attribute__((target("fsgsbase"))) static void enter_with_fs(Native *n, uint64_t fs)
{
    __asm__ volatile("wrfsbase %2; mov %0, %%rsp; mov %1, %%eax; syscall"
                     :
                     : "r"(&n->frame.context), "i"(SYS_rt_sigreturn), "r"(fs)
                     : "memory");
    __builtin_unreachable();
}

bool native_run(Native *n, const Case *c, uint64_t fs_base, Outcome *ret)
{
    Handlers theirs;
    keep_handlers(&theirs);
    if (!install_handlers(n, NULL))
        return false;
    fill_frame(n, c, 0);
    n->own_fs = native_fs_base();
    n->steps_at_tick = n->steps; /* the first tick ends it */
    set_limit(RUN_LIMIT_MS);
    tidy(c->ds, c->es);
    if (!sigsetjmp(n->back, 0)) {
        n->armed = 1;
        enter_with_fs(n, fs_base);
    }
    tidy(USER_DS, USER_DS);
    n->own_fs = 0;
    set_limit(0);
    restore_handlers(&theirs);
    read_after(n, ret);
    ret->gs_base = GS_BASE;
    return true;
}
