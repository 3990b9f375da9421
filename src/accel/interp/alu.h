#pragma once
#include "accel/interp/operand.h"
/*
 * alu.h - arithmetic with the host's own flags.
 *
 * Guest and host are the same architecture, so the flags of ADD are what ADD leaves here, undefined ones included: run
 * the instruction, read SF ZF AF PF CF by LAHF and OF by SETO.  Operands are zero-extended values; `flags` is RFLAGS
 * in, and has the six status flags replaced on return.
 */
#define FLAGS_TO_AX "\n\tlahf\n\tseto %%al"
#define CARRY_IN    "btq $0, %[in]\n\t"

ALWAYS_INLINE uint64_t flags_merge(uint64_t flags, uint32_t ax)
{
    return (flags & ~(uint64_t)RFLAGS_STATUS) | (ax >> 8 & (RFLAGS_STATUS & 0xff)) | (uint64_t)(ax & 1) << 11;
}

#define ALU_CASE(text, suffix, modifier)                                                                               \
    asm(text suffix " %" modifier "[b], %" modifier "[a]" FLAGS_TO_AX                                                  \
        : [a] "+q"(a), "=&a"(ax) : [b] "q"(b), [in] "q"(*flags) : "cc")
#define ALU_UNARY_CASE(text, suffix, modifier)                                                                         \
    asm(text suffix " %" modifier "[a]" FLAGS_TO_AX : [a] "+q"(a), "=&a"(ax) : [in] "q"(*flags) : "cc")
#define ALU_SHIFT_CASE(text, suffix, modifier)                                                                         \
    asm(text suffix " %%cl, %" modifier "[a]" FLAGS_TO_AX                                                              \
        : [a] "+q"(a), "=&a"(ax)                                                                                       \
        : "c"((uint8_t)b), [in] "q"(*flags)                                                                            \
        : "cc")

#define ALU_SIZES(CASE, text)                                                                                          \
    uint32_t ax;                                                                                                       \
    switch (size) {                                                                                                    \
    case 1: CASE(text, "b", "b"); break;                                                                               \
    case 2: CASE(text, "w", "w"); break;                                                                               \
    case 4: CASE(text, "l", "k"); break;                                                                               \
    default: CASE(text, "q", "q"); break;                                                                              \
    }

#define ALU_BINARY(name, text)                                                                                         \
    ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t b, uint64_t *flags)                          \
    {                                                                                                                  \
        ALU_SIZES(ALU_CASE, text)                                                                                      \
        *flags = flags_merge(*flags, ax);                                                                              \
        return a;                                                                                                      \
    }
ALU_BINARY(add, "add")
ALU_BINARY(or, "or")
ALU_BINARY(adc, CARRY_IN "adc")
ALU_BINARY(sbb, CARRY_IN "sbb")
ALU_BINARY(and, "and")
ALU_BINARY(sub, "sub")
ALU_BINARY(xor, "xor")
ALU_BINARY(cmp, "cmp")
ALU_BINARY(test, "test")

#define ALU_UNARY(name, text)                                                                                          \
    ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t b, uint64_t *flags)                          \
    {                                                                                                                  \
        ALU_SIZES(ALU_UNARY_CASE, text)                                                                                \
        *flags = flags_merge(*flags, ax);                                                                              \
        return a;                                                                                                      \
    }
ALU_UNARY(inc, CARRY_IN "inc") /* leaves CF alone */
ALU_UNARY(dec, CARRY_IN "dec")
ALU_UNARY(neg, "neg")

ALWAYS_INLINE uint64_t alu_not(unsigned size, uint64_t a, uint64_t b, uint64_t *flags) { return ~a & size_mask(size); }

/* Shifts and rotates: a count that is zero after masking to 5 or 6 bits changes no flag (SDM 2, SAL and RCL).  Rotates
 * write CF and OF only; RCL and RCR of 8 and 16 bits go round in 9 and 17 steps, which the host does too. */
#define ALU_SHIFT(name, text, mask)                                                                                    \
    ALWAYS_INLINE uint64_t alu_##name(unsigned size, uint64_t a, uint64_t b, uint64_t *flags)                          \
    {                                                                                                                  \
        b &= size == 8 ? 63 : 31;                                                                                      \
        if (!b)                                                                                                        \
            return a;                                                                                                  \
        ALU_SIZES(ALU_SHIFT_CASE, text)                                                                                \
        *flags = (*flags & ~(uint64_t)(mask)) | (flags_merge(*flags, ax) & (mask));                                    \
        return a;                                                                                                      \
    }
ALU_SHIFT(rol, "rol", RFLAGS_CF | RFLAGS_OF)
ALU_SHIFT(ror, "ror", RFLAGS_CF | RFLAGS_OF)
ALU_SHIFT(rcl, CARRY_IN "rcl", RFLAGS_CF | RFLAGS_OF)
ALU_SHIFT(rcr, CARRY_IN "rcr", RFLAGS_CF | RFLAGS_OF)
ALU_SHIFT(shl, "shl", RFLAGS_STATUS)
ALU_SHIFT(shr, "shr", RFLAGS_STATUS)
ALU_SHIFT(sar, "sar", RFLAGS_STATUS)
