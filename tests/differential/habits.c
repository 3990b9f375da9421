/*
 * habits.c - what AMD's processors do otherwise than Intel's, where neither manual promises what ours does.
 *
 * The interpreter follows Intel's in these.  On a host of AMD's what a row of the table names is not compared.
 */
#include "habits.h"

#include <string.h>

enum { STATUS_ES = 1 << 7 }; /* x87: an unmasked exception is pending */

typedef struct Habit {
    Op op;
    bool (*applies)(const Case *c, const Outcome *host, const Outcome *guest); /* NULL: always */
    unsigned free; /* HabitFree */
    const char *what;
    bool quiet; /* shows without an exception: then a sequence goes on with it */
} Habit;

static bool is_fault(const Outcome *o) { return o->vector >= EXC_SS && o->vector <= EXC_PF; }
static bool host_faults(const Case *c, const Outcome *host, const Outcome *guest) { return is_fault(host); }
static bool host_hangs(const Case *c, const Outcome *host, const Outcome *guest) { return host->vector == TIMED_OUT; }
static bool guest_minds_alignment(const Case *c, const Outcome *host, const Outcome *guest) { return guest->vector == EXC_GP; }
static bool of_64_bits(const Case *c, const Outcome *host, const Outcome *guest) { return c->insn.opsize == 8; }
static bool segment(const Case *c, const Outcome *host, const Outcome *guest) { return c->insn.opnd[0].kind == OPND_REG && c->insn.opnd[0].cls == RC_SEG; }
static bool segment_and_fault(const Case *c, const Outcome *host, const Outcome *guest) { return segment(c, host, guest) && is_fault(host); }
static bool guest_lacks_bytes(const Case *c, const Outcome *host, const Outcome *guest) { return is_fault(guest); }
static bool of_register(const Case *c, const Outcome *host, const Outcome *guest) { return !c->insn.has_mem; }

/* The store's address is looked at first, and then the exception is not raised. */
static bool fault_before_exception(const Case *c, const Outcome *host, const Outcome *guest)
{
    return is_fault(host) && !is_fault(guest) && guest->fpu.fsw & STATUS_ES;
}

static const Habit habits[] = {
    { OP_PUSH, segment, FREE_MEMORY, "all four bytes are written, not two", true },
    { OP_PUSH, segment_and_fault, FREE_ALL, "all four bytes are accessed, not two" },
    { OP_POP, segment_and_fault, FREE_ALL, "all four bytes are accessed, not two" },
    { OP_UD0, guest_lacks_bytes, FREE_ALL, "bytes behind the opcode are not fetched" },
    { OP_UD1, guest_lacks_bytes, FREE_ALL, "bytes behind the opcode are not fetched" },
    { OP_CALL, host_faults, FREE_MEMORY, "a target beyond the limit is found before the return address is pushed" },
    { OP_CALL_FAR, host_hangs, FREE_ALL, "Linux comes back to a page fault for ever" },
    { OP_CALL_FAR, of_64_bits, FREE_ALL, "far pointers have 32-bit offsets, REX.W or not", true },
    { OP_JMP_FAR, of_64_bits, FREE_ALL, "far pointers have 32-bit offsets, REX.W or not", true },
    { OP_LFS, of_64_bits, FREE_ALL, "far pointers have 32-bit offsets, REX.W or not", true },
    { OP_LGS, of_64_bits, FREE_ALL, "far pointers have 32-bit offsets, REX.W or not", true },
    { OP_LSS, of_64_bits, FREE_ALL, "far pointers have 32-bit offsets, REX.W or not", true },
    { OP_NOP, of_register, FREE_ALL, "0F 0D is PREFETCHW, and #UD with a register", true },
    { OP_BOUND, host_faults, FREE_ALL, "both bounds are read before one is looked at" },
    { OP_MOVSXD, host_faults, FREE_ALL, "four bytes are read for a 16-bit operand, too" },
    { OP_CMPS, host_faults, FREE_FLAGS, "flags of the iterations before a fault are there" },
    { OP_SCAS, host_faults, FREE_FLAGS, "flags of the iterations before a fault are there" },
    { OP_FXSAVE, NULL, FREE_MEMORY, "MXCSR_MASK has bit 17", true },
    { OP_XSAVE, NULL, FREE_MEMORY, "MXCSR_MASK has bit 17", true },
    { OP_XSAVEC, NULL, FREE_MEMORY, "MXCSR_MASK has bit 17", true },
    { OP_XSAVEOPT, NULL, FREE_MEMORY, "MXCSR_MASK has bit 17", true },
    { OP_FST, fault_before_exception, FREE_ALL, "a store's fault comes before an unmasked exception" },
    { OP_FSTP, fault_before_exception, FREE_ALL, "a store's fault comes before an unmasked exception" },
    { OP_FIST, fault_before_exception, FREE_ALL, "a store's fault comes before an unmasked exception" },
    { OP_FISTP, fault_before_exception, FREE_ALL, "a store's fault comes before an unmasked exception" },
    { OP_FISTTP, fault_before_exception, FREE_ALL, "a store's fault comes before an unmasked exception" },
    { OP_FBSTP, fault_before_exception, FREE_ALL, "a store's fault comes before an unmasked exception" },
    { OP_MOVD, host_faults, FREE_X87, "a store of MMX that faults has not touched TOP" },
    { OP_MOVQ, host_faults, FREE_X87, "a store of MMX that faults has not touched TOP" },
    { OP_MOVNTQ, host_faults, FREE_X87, "a store of MMX that faults has not touched TOP" },
    { OP_SHA1MSG1, guest_minds_alignment, FREE_ALL, "an operand in memory need not be aligned", true },
    { OP_SHA1MSG2, guest_minds_alignment, FREE_ALL, "an operand in memory need not be aligned", true },
    { OP_SHA1NEXTE, guest_minds_alignment, FREE_ALL, "an operand in memory need not be aligned", true },
    { OP_SHA1RNDS4, guest_minds_alignment, FREE_ALL, "an operand in memory need not be aligned", true },
    { OP_SHA256MSG1, guest_minds_alignment, FREE_ALL, "an operand in memory need not be aligned", true },
    { OP_SHA256MSG2, guest_minds_alignment, FREE_ALL, "an operand in memory need not be aligned", true },
    { OP_SHA256RNDS2, guest_minds_alignment, FREE_ALL, "an operand in memory need not be aligned", true },
    { OP_VCVTPS2PH, host_faults, FREE_ALL, "a store's fault comes before exceptions, and raises no flags" },
};

/* What holds for all instructions of a kind. */
static unsigned free_of_kind(const Case *c, const Outcome *host)
{
    unsigned set = FREE_POINTERS; /* without #MF they are 0, or not loaded */
    if (c->row->attrs & ROW_STRING && c->size == CODE64)
        set |= FREE_UPPER; /* with a 32-bit address size, where no iteration ends, the upper halves stay */
    if (c->insn.vsib && is_fault(host))
        set |= FREE_VECTORS; /* a gather that faults has not begun */
    return set;
}

bool habit_is_quiet(const Insn *i)
{
    for (unsigned n = 0; n < G_N_ELEMENTS(habits) && __builtin_cpu_is("amd"); n++)
        if (habits[n].quiet && habits[n].op == i->op && (habits[n].op != OP_PUSH || i->opnd[0].cls == RC_SEG))
            return true;
    return false;
}

/* Operands that go past the end of 4 GiB are beyond a segment's limit, where Intel's go on at 0. */
static bool past_4g(const Case *c, const Outcome *host, const Outcome *guest)
{
    return c->size != CODE64 && (host->vector == EXC_GP || host->vector == EXC_SS) && guest->vector == EXC_PF;
}

unsigned habits_of(const Case *c, const Outcome *host, const Outcome *guest)
{
    if (!__builtin_cpu_is("amd"))
        return 0;
    if (past_4g(c, host, guest))
        return FREE_ALL;
    unsigned set = free_of_kind(c, host);
    for (unsigned n = 0; n < G_N_ELEMENTS(habits); n++)
        if (habits[n].op == c->row->op && (!habits[n].applies || habits[n].applies(c, host, guest)))
            set |= habits[n].free;
    return set;
}
