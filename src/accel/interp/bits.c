/*
 * bits.c - bit tests and scans, counts, BMI1 and BMI2, ADX, CRC32, random numbers.
 */
#include <unistd.h>

#include "accel/interp/alu.h"

/* ---- BT BTS BTR BTC.  With a register index the memory operand is a bit string: the index, signed, moves the address
 * by whole operands (SDM 2, BT); an immediate index stays within the operand. */
typedef uint64_t BitUpdate(uint64_t old, uint64_t bit, uint64_t *flags);
static uint64_t bit_keep(uint64_t old, uint64_t bit, uint64_t *flags) { return old; }
static uint64_t bit_set(uint64_t old, uint64_t bit, uint64_t *flags) { return old | bit; }
static uint64_t bit_reset(uint64_t old, uint64_t bit, uint64_t *flags) { return old & ~bit; }
static uint64_t bit_complement(uint64_t old, uint64_t bit, uint64_t *flags) { return old ^ bit; }

static uint64_t bit_string_address(InterpVcpu *v, const Insn *i, unsigned size)
{
    uint64_t at = effective_address(v, i);
    if (i->opnd[1].kind != OPND_REG)
        return at;
    int64_t index = sign_extend(reg_read(v, &i->opnd[1], size), size);
    unsigned shift = __builtin_ctz(size * 8);
    return (at + (uint64_t)((index >> shift) * (int64_t)size)) & size_mask(i->addrsize);
}

ALWAYS_INLINE void bit_test(InterpVcpu *v, const Insn *i, BitUpdate *update, bool writes)
{
    unsigned size = i->opnd[0].size;
    uint64_t index = operand_read(v, i, 1, i->opnd[1].kind == OPND_REG ? size : 1);
    uint64_t bit = 1ull << (index & (size * 8 - 1)), old, flags = 0;
    if (i->opnd[0].kind == OPND_REG) {
        old = reg_read(v, &i->opnd[0], size);
        if (writes)
            reg_write(v, &i->opnd[0], size, update(old, bit, &flags));
    } else if (!writes) {
        old = mem_load(v, i->seg, bit_string_address(v, i, size), size);
    } else {
        Place p = place_at(v, i->seg, bit_string_address(v, i, size), size);
        if (i->prefixes & PFX_LOCK) {
            old = place_update_locked(v, &p, size, update, bit, &flags);
        } else {
            old = place_read(v, &p, size);
            place_write(v, &p, size, update(old, bit, &flags));
        }
    }
    flags_set(v, RFLAGS_CF, old & bit ? RFLAGS_CF : 0);
}

static void exec_bt(InterpVcpu *v, const Insn *i) { bit_test(v, i, bit_keep, false); }
static void exec_bts(InterpVcpu *v, const Insn *i) { bit_test(v, i, bit_set, true); }
static void exec_btr(InterpVcpu *v, const Insn *i) { bit_test(v, i, bit_reset, true); }
static void exec_btc(InterpVcpu *v, const Insn *i) { bit_test(v, i, bit_complement, true); }

/* ---- scans.  BSF and BSR of zero leave the destination alone, as processors do; flags other than ZF are undefined. */
static void bit_scan(InterpVcpu *v, const Insn *i, bool reverse)
{
    unsigned size = i->opnd[0].size;
    uint64_t x = operand_read(v, i, 1, size);
    if (x)
        reg_write(v, &i->opnd[0], size, reverse ? 63 - __builtin_clzll(x) : __builtin_ctzll(x));
    flags_set(v, RFLAGS_STATUS, (x ? 0 : RFLAGS_ZF) | RFLAGS_PF);
}

static void exec_bsf(InterpVcpu *v, const Insn *i) { bit_scan(v, i, false); }
static void exec_bsr(InterpVcpu *v, const Insn *i) { bit_scan(v, i, true); }

/* On a CPU model without BMI1 or LZCNT the F3 prefix is ignored and these are BSF and BSR. */
static void count_zeros(InterpVcpu *v, const Insn *i, bool leading)
{
    unsigned size = i->opnd[0].size;
    uint64_t x = operand_read(v, i, 1, size), n = size * 8;
    if (x)
        n = leading ? __builtin_clzll(x) - (64 - size * 8) : (unsigned)__builtin_ctzll(x);
    reg_write(v, &i->opnd[0], size, n);
    flags_set(v, RFLAGS_CF | RFLAGS_ZF, (x ? 0 : RFLAGS_CF) | (n ? 0 : RFLAGS_ZF));
}

static void exec_tzcnt(InterpVcpu *v, const Insn *i) { count_zeros(v, i, false); }
static void exec_lzcnt(InterpVcpu *v, const Insn *i) { count_zeros(v, i, true); }

static void exec_popcnt(InterpVcpu *v, const Insn *i)
{
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size);
    reg_write(v, &i->opnd[0], i->opnd[0].size, __builtin_popcountll(x));
    flags_set(v, RFLAGS_STATUS, x ? 0 : RFLAGS_ZF);
}

/* ---- BMI1 and BMI2: 32 or 64 bits, three operands, flags from the result */
static uint64_t flags_of_result(uint64_t r, unsigned size, bool carry)
{
    return (r & size_mask(size) ? 0 : RFLAGS_ZF) | (r & sign_bit(size) ? RFLAGS_SF : 0) | (carry ? RFLAGS_CF : 0);
}

static void bmi_result(InterpVcpu *v, const Insn *i, uint64_t r, bool carry)
{
    flags_set(v, RFLAGS_STATUS, flags_of_result(r, i->opnd[0].size, carry));
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, r);
}

static void exec_andn(InterpVcpu *v, const Insn *i)
{
    bmi_result(v, i, ~operand_read(v, i, 1, i->opnd[0].size) & operand_read(v, i, 2, i->opnd[0].size), false);
}

static void exec_blsi(InterpVcpu *v, const Insn *i)
{
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size);
    bmi_result(v, i, -x & x, x);
}

static void exec_blsmsk(InterpVcpu *v, const Insn *i)
{
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size);
    bmi_result(v, i, (x - 1) ^ x, !x);
}

static void exec_blsr(InterpVcpu *v, const Insn *i)
{
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size);
    bmi_result(v, i, (x - 1) & x, !x);
}

static void exec_bextr(InterpVcpu *v, const Insn *i)
{
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size), control = operand_read(v, i, 2, i->opnd[0].size);
    unsigned start = control & 0xff, length = control >> 8 & 0xff;
    x = start < 64 ? x >> start : 0;
    if (length < 64)
        x &= (1ull << length) - 1;
    bmi_result(v, i, x, false);
}

static void exec_bzhi(InterpVcpu *v, const Insn *i)
{
    unsigned n = operand_read(v, i, 2, i->opnd[0].size) & 0xff, bits = i->opnd[0].size * 8;
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size);
    bmi_result(v, i, n < bits ? x & ((1ull << n) - 1) : x, n >= bits);
}

/* Bits of the mask, from the lowest: of the source in order (PDEP), or gathered to the bottom (PEXT). */
static void exec_pdep(InterpVcpu *v, const Insn *i)
{
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size), mask = operand_read(v, i, 2, i->opnd[0].size), r = 0;
    for (; mask; mask &= mask - 1, x >>= 1)
        r |= x & 1 ? mask & -mask : 0;
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, r);
}

static void exec_pext(InterpVcpu *v, const Insn *i)
{
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size), mask = operand_read(v, i, 2, i->opnd[0].size), r = 0;
    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        r |= x & mask & -mask ? 1ull << n : 0;
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, r);
}

/* Shifts without flags; the count is masked to the operand size. */
static void exec_shlx(InterpVcpu *v, const Insn *i)
{
    unsigned n = operand_read(v, i, 2, i->opnd[0].size) & (i->opnd[0].size * 8 - 1);
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, operand_read(v, i, 1, i->opnd[0].size) << n);
}

static void exec_shrx(InterpVcpu *v, const Insn *i)
{
    unsigned n = operand_read(v, i, 2, i->opnd[0].size) & (i->opnd[0].size * 8 - 1);
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, operand_read(v, i, 1, i->opnd[0].size) >> n);
}

static void exec_sarx(InterpVcpu *v, const Insn *i)
{
    unsigned n = operand_read(v, i, 2, i->opnd[0].size) & (i->opnd[0].size * 8 - 1);
    int64_t x = sign_extend(operand_read(v, i, 1, i->opnd[0].size), i->opnd[0].size);
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, x >> n);
}

static void exec_rorx(InterpVcpu *v, const Insn *i)
{
    unsigned bits = i->opnd[0].size * 8, n = i->imm & (bits - 1);
    uint64_t x = operand_read(v, i, 1, i->opnd[0].size);
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, n ? x >> n | x << (bits - n) : x);
}

/* Destinations high, low; the source is multiplied by rDX.  If both are one register it gets the high half. */
static void exec_mulx(InterpVcpu *v, const Insn *i)
{
    unsigned bits = i->opnd[0].size * 8;
    unsigned __int128 r =
        (unsigned __int128)operand_read(v, i, 2, i->opnd[0].size) * gpr_get(v, GPR_RDX, i->opnd[0].size);
    gpr_set(v, i->opnd[1].reg, i->opnd[0].size, r);
    gpr_set(v, i->opnd[0].reg, i->opnd[0].size, r >> bits);
}

/* ---- ADX: ADCX carries through CF, ADOX through OF; the others stay */
static void add_with(InterpVcpu *v, const Insn *i, uint64_t flag)
{
    unsigned size = i->opnd[0].size;
    unsigned __int128 r = (unsigned __int128)reg_read(v, &i->opnd[0], size) + operand_read(v, i, 1, size) +
                          !!(v->s.rflags & flag);
    flags_set(v, flag, r >> (size * 8) ? flag : 0);
    reg_write(v, &i->opnd[0], size, r);
}

static void exec_adcx(InterpVcpu *v, const Insn *i) { add_with(v, i, RFLAGS_CF); }
static void exec_adox(InterpVcpu *v, const Insn *i) { add_with(v, i, RFLAGS_OF); }

/* ---- CRC32: the Castagnoli polynomial 11edc6f41h, bit-reflected, no inversions (SDM 2, CRC32) */
static uint32_t crc32c_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (unsigned n = 0; n < 8; n++)
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    return crc;
}

static void exec_crc32(InterpVcpu *v, const Insn *i)
{
    unsigned size = i->opnd[1].size;
    uint64_t x = operand_read(v, i, 1, size);
    uint32_t crc = v->s.gpr[i->opnd[0].reg];
    for (unsigned n = 0; n < size; n++, x >>= 8)
        crc = crc32c_byte(crc, x);
    v->s.gpr[i->opnd[0].reg] = crc; /* clears the upper half in both forms */
}

/* ---- RDRAND and RDSEED: from the kernel's generator, which any host has.  CF: a number was given. */
static void exec_rdrand(InterpVcpu *v, const Insn *i)
{
    uint64_t x = 0;
    interp_save_fpu(v);
    bool given = getentropy(&x, sizeof(x)) == 0;
    reg_write(v, &i->opnd[0], i->opnd[0].size, given ? x : 0);
    flags_set(v, RFLAGS_STATUS, given ? RFLAGS_CF : 0);
}

const ExecEntry exec_bits[] = {
    { OP_BT, exec_bt },
    { OP_BTS, exec_bts },
    { OP_BTR, exec_btr },
    { OP_BTC, exec_btc },
    { OP_BSF, exec_bsf },
    { OP_BSR, exec_bsr },
    { OP_TZCNT, exec_tzcnt },
    { OP_LZCNT, exec_lzcnt },
    { OP_POPCNT, exec_popcnt },
    { OP_ANDN, exec_andn },
    { OP_BLSI, exec_blsi },
    { OP_BLSMSK, exec_blsmsk },
    { OP_BLSR, exec_blsr },
    { OP_BEXTR, exec_bextr },
    { OP_BZHI, exec_bzhi },
    { OP_PDEP, exec_pdep },
    { OP_PEXT, exec_pext },
    { OP_SHLX, exec_shlx },
    { OP_SHRX, exec_shrx },
    { OP_SARX, exec_sarx },
    { OP_RORX, exec_rorx },
    { OP_MULX, exec_mulx },
    { OP_ADCX, exec_adcx },
    { OP_ADOX, exec_adox },
    { OP_CRC32, exec_crc32 },
    { OP_RDRAND, exec_rdrand },
    { OP_RDSEED, exec_rdrand },
    { OP_INVALID },
};
