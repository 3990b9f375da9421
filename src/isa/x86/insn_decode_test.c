/*
 * insn_decode_test.c - the decoder by cases whose answer is known: what a comparison with another disassembler
 * (insn_objdump_test.c) does not show.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "isa/x86/cpu_features.h"
#include "isa/x86/decode.h"
#include "isa/x86/insn_example.h"

/* "48 01 d8" */
static size_t parse_hex(const char *hex, uint8_t *ret)
{
    size_t n = 0;
    for (const char *p = hex; *p; p += strspn(p, " ")) {
        ret[n++] = g_ascii_strtoull(p, NULL, 16);
        p += 2;
    }
    return n;
}

static DecodeResult decode(const char *hex, CodeSize size, Insn *ret)
{
    uint8_t bytes[32];
    size_t n = parse_hex(hex, bytes);
    return insn_decode(bytes, n, size, ret);
}

/* ---- results and lengths */

static const struct { CodeSize size; const char *hex; DecodeResult result; unsigned length; } results[] = {
    { CODE64, "90", DECODE_OK, 1 },
    { CODE64, "", DECODE_MORE, 0 },
    { CODE64, "66", DECODE_MORE, 1 },
    { CODE64, "48 8b 84", DECODE_MORE, 3 },
    { CODE64, "c4 e2", DECODE_MORE, 2 },
    { CODE32, "c5", DECODE_MORE, 1 },
    /* 15 bytes are the most (SDM 2, 2.3.11). */
    { CODE64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", DECODE_OK, 15 },
    { CODE64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", DECODE_TOO_LONG, 15 },
    { CODE64, "2e 2e 2e 2e 2e 2e 2e 2e 48 81 00 01 02 03 04", DECODE_OK, 15 },
    { CODE64, "2e 2e 2e 2e 2e 2e 2e 2e 2e 48 81 00 01 02 03 04", DECODE_TOO_LONG, 15 },
    /* LOCK: only with a memory destination, only where allowed. */
    { CODE64, "f0 01 00", DECODE_OK, 3 },
    { CODE64, "f0 01 c0", DECODE_INVALID, 3 },
    { CODE64, "f0 03 00", DECODE_INVALID, 3 },
    { CODE64, "f0 39 00", DECODE_INVALID, 3 }, /* CMP */
    { CODE64, "f0 89 00", DECODE_INVALID, 3 }, /* MOV */
    { CODE64, "f0 87 00", DECODE_OK, 3 },
    { CODE64, "f0 0f a3 00", DECODE_INVALID, 4 }, /* BT */
    { CODE64, "f0 0f ab 00", DECODE_OK, 4 },
    { CODE64, "f0 0f c7 08", DECODE_OK, 4 },
    { CODE64, "f0 90", DECODE_INVALID, 2 },
    /* VEX takes no 66, F2, F3, LOCK or REX before it (SDM 2, 2.3.2), and vvvv 1111 where it is not used. */
    { CODE64, "c5 f8 77", DECODE_OK, 3 },
    { CODE64, "66 c5 f8 77", DECODE_INVALID, 2 },
    { CODE64, "f0 c5 f8 77", DECODE_INVALID, 2 },
    { CODE64, "40 c5 f8 77", DECODE_INVALID, 2 },
    { CODE64, "64 67 c5 f8 10 00", DECODE_OK, 6 },
    { CODE64, "c5 f0 77", DECODE_INVALID, 3 },
    { CODE64, "c4 e4 7d 00 c0", DECODE_INVALID, 3 }, /* map 4 */
    /* Gathers: SIB, and three different registers. */
    { CODE64, "c4 e2 69 90 04 08", DECODE_OK, 6 },
    { CODE64, "c4 e2 69 90 00", DECODE_INVALID, 5 },
    { CODE64, "c4 e2 79 90 04 08", DECODE_INVALID, 6 }, /* destination and mask */
    { CODE64, "c4 e2 71 90 04 08", DECODE_INVALID, 6 }, /* index and mask */
    { CODE16, "c4 e2 69 90 04 08", DECODE_INVALID, 5 }, /* 16-bit addresses have no SIB */
    { CODE16, "67 c4 e2 69 90 04 08", DECODE_OK, 7 },
    /* Registers that do not exist. */
    { CODE64, "0f 20 c0", DECODE_OK, 3 },
    { CODE64, "0f 20 c8", DECODE_INVALID, 3 }, /* CR1 */
    { CODE64, "44 0f 20 c0", DECODE_OK, 4 },  /* CR8 */
    { CODE64, "44 0f 20 c8", DECODE_INVALID, 4 },
    { CODE64, "44 0f 21 c0", DECODE_INVALID, 4 }, /* DR8 */
    { CODE64, "8e c8", DECODE_INVALID, 2 }, /* MOV CS */
    { CODE64, "8e f0", DECODE_INVALID, 2 }, /* segment 6 */
    { CODE64, "0f 20 05", DECODE_OK, 3 }, /* mod is ignored: no displacement */
    /* 64-bit instructions elsewhere. */
    { CODE32, "0f 01 f8", DECODE_INVALID, 3 },
    { CODE32, "f3 0f ae c0", DECODE_INVALID, 4 },
    { CODE32, "0f c7 08", DECODE_OK, 3 },
    /* Mandatory prefixes. */
    { CODE64, "f3 0f 54 c0", DECODE_INVALID, 4 },
    { CODE64, "0f b8 c0", DECODE_INVALID, 3 },
    { CODE64, "f3 0f b8 c0", DECODE_OK, 4 },
    { CODE64, "f2 0f 38 f0 c0", DECODE_OK, 5 },
    { CODE64, "f3 0f 38 f0 00", DECODE_INVALID, 5 },
    { CODE64, "66 0f ae 00", DECODE_INVALID, 4 },
};

static void test_results(void)
{
    for (unsigned k = 0; k < G_N_ELEMENTS(results); k++) {
        Insn i;
        DecodeResult r = decode(results[k].hex, results[k].size, &i);
        if (r != results[k].result || i.length != results[k].length)
            g_test_message("%s: result %u, length %u", results[k].hex, r, i.length);
        g_assert_cmpuint(r, ==, results[k].result);
        g_assert_cmpuint(i.length, ==, results[k].length);
    }
}

/* ---- operation and sizes */

static const struct { CodeSize size; const char *hex; unsigned op, opsize, addrsize, prefixes; } sizes[] = {
    { CODE64, "90", OP_NOP, 4, 8, 0 },
    { CODE64, "f3 90", OP_PAUSE, 4, 8, 0 },
    { CODE64, "41 90", OP_XCHG, 4, 8, PFX_REX },
    { CODE64, "f3 41 90", OP_XCHG, 4, 8, PFX_REX | PFX_REP },
    { CODE16, "87 c0", OP_XCHG, 2, 2, 0 },
    { CODE16, "66 67 8b 00", OP_MOV, 4, 4, PFX_OPSIZE | PFX_ADDRSIZE },
    { CODE32, "66 67 8b 00", OP_MOV, 2, 2, PFX_OPSIZE | PFX_ADDRSIZE },
    { CODE64, "66 48 89 c0", OP_MOV, 8, 8, PFX_OPSIZE | PFX_REX | PFX_REX_W },
    { CODE64, "48 66 89 c0", OP_MOV, 2, 8, PFX_OPSIZE }, /* REX counts only before the opcode */
    { CODE64, "67 8b 00", OP_MOV, 4, 4, PFX_ADDRSIZE },
    { CODE64, "88 c0", OP_MOV, 1, 8, 0 },
    /* 64 bits by default, and forced. */
    { CODE64, "50", OP_PUSH, 8, 8, 0 },
    { CODE64, "66 50", OP_PUSH, 2, 8, PFX_OPSIZE },
    { CODE64, "6a 01", OP_PUSH, 8, 8, 0 },
    { CODE64, "66 e8 00 00 00 00", OP_CALL, 8, 8, PFX_OPSIZE },
    { CODE64, "66 c3", OP_RET, 8, 8, PFX_OPSIZE },
    { CODE64, "ff d0", OP_CALL, 8, 8, 0 },
    { CODE64, "9c", OP_PUSHF, 8, 8, 0 },
    { CODE64, "cf", OP_IRET, 4, 8, 0 },
    { CODE64, "48 cf", OP_IRET, 8, 8, PFX_REX | PFX_REX_W },
    { CODE64, "48 cb", OP_RET_FAR, 8, 8, PFX_REX | PFX_REX_W },
    { CODE32, "66 e9 00 00", OP_JMP, 2, 4, PFX_OPSIZE },
    { CODE64, "48 ed", OP_IN, 4, 8, PFX_REX | PFX_REX_W },
    { CODE64, "66 48 ed", OP_IN, 4, 8, PFX_OPSIZE | PFX_REX | PFX_REX_W },
    { CODE64, "0f 20 c0", OP_MOV_CR, 8, 8, 0 },
    { CODE16, "0f 20 c0", OP_MOV_CR, 4, 2, 0 },
    /* Strings. */
    { CODE64, "f3 48 a5", OP_MOVS, 8, 8, PFX_REP | PFX_REX | PFX_REX_W },
    { CODE64, "f2 a6", OP_CMPS, 1, 8, PFX_REPNE },
    { CODE64, "f2 f3 a6", OP_CMPS, 1, 8, PFX_REP },
    { CODE16, "67 66 ab", OP_STOS, 4, 4, PFX_OPSIZE | PFX_ADDRSIZE },
    { CODE64, "6d", OP_INS, 4, 8, 0 },
    /* A prefix that belongs to the opcode is not repetition or operand size. */
    { CODE64, "f2 0f 10 c0", OP_MOVSD, 4, 8, 0 },
    { CODE64, "66 0f 6f c0", OP_MOVDQA, 4, 8, 0 },
    { CODE64, "66 f3 0f 6f c0", OP_MOVDQU, 2, 8, PFX_OPSIZE },
    { CODE64, "f3 66 0f b8 c0", OP_POPCNT, 2, 8, PFX_OPSIZE },
    { CODE64, "66 f2 0f 38 f1 c0", OP_CRC32, 2, 8, PFX_OPSIZE },
    { CODE64, "66 0f 38 f0 00", OP_MOVBE, 2, 8, PFX_OPSIZE },
    { CODE64, "f3 0f bc c0", OP_TZCNT, 4, 8, 0 },
    { CODE64, "f2 0f bc c0", OP_BSF, 4, 8, PFX_REPNE },
    { CODE64, "f3 0f 1e fa", OP_NOP, 4, 8, 0 },
    /* VEX against LES, LDS, BOUND. */
    { CODE32, "c4 00", OP_LES, 4, 4, 0 },
    { CODE16, "c5 00", OP_LDS, 2, 2, 0 },
    { CODE32, "62 00", OP_BOUND, 4, 4, 0 },
    { CODE32, "c5 f8 77", OP_VZEROUPPER, 4, 4, PFX_VEX },
    { CODE64, "c4 e2 f8 f2 c0", OP_ANDN, 8, 8, PFX_VEX | PFX_REX_W },
    { CODE32, "c4 e2 f8 f2 c0", OP_ANDN, 4, 4, PFX_VEX },
    { CODE64, "63 c0", OP_MOVSXD, 4, 8, 0 },
    { CODE32, "63 c0", OP_ARPL, 4, 4, 0 },
};

static void test_sizes(void)
{
    for (unsigned k = 0; k < G_N_ELEMENTS(sizes); k++) {
        Insn i;
        DecodeResult r = decode(sizes[k].hex, sizes[k].size, &i);
        bool same = r == DECODE_OK && i.op == sizes[k].op && i.opsize == sizes[k].opsize && i.addrsize == sizes[k].addrsize &&
                    i.prefixes == sizes[k].prefixes;
        if (!same)
            g_test_message("%s: result %u, %s, opsize %u, addrsize %u, prefixes %x", sizes[k].hex, r, op_names[i.op], i.opsize, i.addrsize, i.prefixes);
        g_assert_true(same);
    }
}

/* ---- memory operands */

static const struct { CodeSize size; const char *hex; unsigned seg, base, index, scale; int64_t disp; } memories[] = {
    { CODE64, "8b 00", SEG_DS, GPR_RAX, INSN_NO_REG, 0, 0 },
    { CODE64, "8b 45 80", SEG_SS, GPR_RBP, INSN_NO_REG, 0, -128 },
    { CODE64, "8b 04 24", SEG_SS, GPR_RSP, INSN_NO_REG, 0, 0 },
    { CODE64, "41 8b 04 24", SEG_DS, GPR_R12, INSN_NO_REG, 0, 0 },
    { CODE64, "41 8b 45 00", SEG_DS, GPR_R13, INSN_NO_REG, 0, 0 },
    { CODE64, "42 8b 04 a0", SEG_DS, GPR_RAX, GPR_R12, 2, 0 }, /* R12 can be an index */
    { CODE64, "8b 04 68", SEG_DS, GPR_RAX, GPR_RBP, 1, 0 },     /* an index does not choose SS */
    { CODE64, "8b 05 10 00 00 00", SEG_DS, INSN_RIP, INSN_NO_REG, 0, 16 },
    { CODE64, "41 8b 05 10 00 00 00", SEG_DS, INSN_RIP, INSN_NO_REG, 0, 16 },
    { CODE32, "8b 05 10 00 00 00", SEG_DS, INSN_NO_REG, INSN_NO_REG, 0, 16 },
    { CODE64, "8b 04 25 00 00 00 80", SEG_DS, INSN_NO_REG, INSN_NO_REG, 0, INT32_MIN },
    { CODE64, "8b 04 cd 08 00 00 00", SEG_DS, INSN_NO_REG, GPR_RCX, 3, 8 },
    { CODE64, "64 8b 00", SEG_FS, GPR_RAX, INSN_NO_REG, 0, 0 },
    { CODE64, "36 8b 00", SEG_DS, GPR_RAX, INSN_NO_REG, 0, 0 }, /* SS does not count in 64-bit mode */
    { CODE64, "64 36 8b 00", SEG_FS, GPR_RAX, INSN_NO_REG, 0, 0 },
    { CODE32, "64 36 8b 00", SEG_SS, GPR_RAX, INSN_NO_REG, 0, 0 }, /* the last counts */
    { CODE32, "3e 8b 45 00", SEG_DS, GPR_RBP, INSN_NO_REG, 0, 0 },
    { CODE16, "8b 00", SEG_DS, GPR_RBX, GPR_RSI, 0, 0 },
    { CODE16, "8b 03", SEG_SS, GPR_RBP, GPR_RDI, 0, 0 },
    { CODE16, "8b 06 34 92", SEG_DS, INSN_NO_REG, INSN_NO_REG, 0, (int16_t)0x9234 },
    { CODE16, "8b 46 fe", SEG_SS, GPR_RBP, INSN_NO_REG, 0, -2 },
    { CODE64, "a1 88 77 66 55 44 33 22 11", SEG_DS, INSN_NO_REG, INSN_NO_REG, 0, 0x1122334455667788 },
    { CODE64, "67 a1 88 77 66 f5", SEG_DS, INSN_NO_REG, INSN_NO_REG, 0, 0xf5667788 },
    { CODE64, "c4 e2 69 90 04 a0", SEG_DS, GPR_RAX, 4, 2, 0 }, /* XMM4 can be an index: VSIB */
};

static void test_memory(void)
{
    for (unsigned k = 0; k < G_N_ELEMENTS(memories); k++) {
        Insn i;
        DecodeResult r = decode(memories[k].hex, memories[k].size, &i);
        bool same = r == DECODE_OK && i.has_mem && i.seg == memories[k].seg && i.base == memories[k].base &&
                    i.index == memories[k].index && i.scale == memories[k].scale && i.disp == memories[k].disp;
        if (!same)
            g_test_message("%s: result %u, segment %u, base %u, index %u << %u, disp %" G_GINT64_FORMAT, memories[k].hex, r, i.seg,
                           i.base, i.index, i.scale, i.disp);
        g_assert_true(same);
    }
}

/* ---- register operands and immediates */

static void test_byte_registers(void)
{
    Insn i;
    decode("88 e0", CODE64, &i); /* MOV AL, AH */
    g_assert_cmpuint(i.opnd[1].cls, ==, RC_GPR_HIGH);
    g_assert_cmpuint(i.opnd[1].reg, ==, 0);
    decode("40 88 e0", CODE64, &i); /* MOV AL, SPL */
    g_assert_cmpuint(i.opnd[1].cls, ==, RC_GPR);
    g_assert_cmpuint(i.opnd[1].reg, ==, GPR_RSP);
    decode("b7 01", CODE32, &i); /* MOV BH, 1 */
    g_assert_cmpuint(i.opnd[0].cls, ==, RC_GPR_HIGH);
    g_assert_cmpuint(i.opnd[0].reg, ==, 3);
}

static void test_immediates(void)
{
    Insn i;
    decode("48 83 c0 80", CODE64, &i); /* sign-extended */
    g_assert_cmphex(i.imm, ==, 0xffffffffffffff80);
    g_assert_cmpuint(i.opnd[1].size, ==, 8);
    decode("48 05 00 00 00 80", CODE64, &i);
    g_assert_cmphex(i.imm, ==, 0xffffffff80000000);
    decode("24 80", CODE64, &i); /* a byte stays one */
    g_assert_cmphex(i.imm, ==, 0x80);
    decode("48 b8 88 77 66 55 44 33 22 f1", CODE64, &i);
    g_assert_cmphex(i.imm, ==, 0xf122334455667788);
    g_assert_cmpuint(i.imm_off, ==, 2);
    g_assert_cmpuint(i.imm_len, ==, 8);
    decode("c8 34 12 05", CODE64, &i); /* ENTER */
    g_assert_cmphex(i.imm, ==, 0x1234);
    g_assert_cmphex(i.imm2, ==, 5);
    decode("ea 78 56 34 12 cd ab", CODE32, &i);
    g_assert_cmphex(i.imm, ==, 0x12345678);
    g_assert_cmphex(i.imm2, ==, 0xabcd);
    decode("75 fe", CODE64, &i);
    g_assert_cmphex(i.imm, ==, (uint64_t)-2);
    g_assert_cmpuint(i.cc, ==, 5);
    decode("c4 e3 69 4a cb 40", CODE64, &i); /* VBLENDVPS xmm1, xmm2, xmm3, xmm4 */
    g_assert_cmpuint(i.opnd[3].reg, ==, 4);
}

/* ---- the row table */

static void test_row_attributes(void)
{
    static const struct { const char *hex; unsigned feature, cpl; uint32_t attrs, read, written, undefined; } rows[] = {
        { "01 c0", FEAT_ALWAYS, 3, ROW_LOCK | ROW_PASS, 0, RFLAGS_STATUS, 0 },
        { "11 c0", FEAT_ALWAYS, 3, ROW_LOCK | ROW_PASS, RFLAGS_CF, RFLAGS_STATUS, 0 },
        { "ff c0", FEAT_ALWAYS, 3, ROW_LOCK | ROW_PASS, 0, RFLAGS_STATUS & ~RFLAGS_CF, 0 },
        { "21 c0", FEAT_ALWAYS, 3, ROW_LOCK | ROW_PASS, 0, RFLAGS_STATUS, RFLAGS_AF },
        { "f4", FEAT_ALWAYS, 0, ROW_SYSTEM, 0, 0, 0 },
        { "0f 22 c0", FEAT_ALWAYS, 0, ROW_SYSTEM, 0, 0, 0 },
        { "0f 58 c0", FEAT_SSE, 3, ROW_SSE | ROW_PASS | ROW_ALIGNED | ROW_SIMD_FP, 0, 0, 0 },
        { "0f 10 c0", FEAT_SSE, 3, ROW_SSE | ROW_PASS, 0, 0, 0 },
        { "c5 f8 58 c0", FEAT_AVX, 3, ROW_AVX | ROW_PASS | ROW_SIMD_FP | ROW_NO_REAL, 0, 0, 0 },
        { "c5 fd fc c0", FEAT_AVX2, 3, ROW_AVX | ROW_PASS | ROW_NO_REAL, 0, 0, 0 },
        { "d8 c0", FEAT_FPU, 3, ROW_FPU | ROW_PASS, 0, 0, 0 },
        { "9b", FEAT_ALWAYS, 3, ROW_FPU, 0, 0, 0 },
    };
    for (unsigned k = 0; k < G_N_ELEMENTS(rows); k++) {
        Insn i;
        g_assert_cmpuint(decode(rows[k].hex, CODE64, &i), ==, DECODE_OK);
        const InsnRow *r = insn_row(&i);
        g_assert_cmpuint(r->feature, ==, rows[k].feature);
        g_assert_cmpuint(r->cpl, ==, rows[k].cpl);
        g_assert_cmphex(r->attrs, ==, rows[k].attrs);
        g_assert_cmphex(r->flags_read, ==, rows[k].read);
        g_assert_cmphex(r->flags_written, ==, rows[k].written);
        g_assert_cmphex(r->flags_undefined, ==, rows[k].undefined);
    }
}

/* An opcode that is neither prefix nor escape decodes with some ModRM, or is one that 64-bit mode has dropped. */
static bool decodes_somehow(uint8_t opcode, CodeSize size)
{
    for (unsigned modrm = 0; modrm < 256; modrm++) {
        uint8_t bytes[INSN_MAX_BYTES] = { opcode, modrm };
        Insn i;
        if (insn_decode(bytes, sizeof(bytes), size, &i) == DECODE_OK)
            return true;
    }
    return false;
}

static void test_one_byte_opcodes(void)
{
    static const uint8_t prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f };
    static const uint8_t dropped[] = { 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x62, 0x82,
                                       0x9a, 0xce, 0xd4, 0xd5, 0xd6, 0xea };
    for (CodeSize size = CODE16; size <= CODE64; size++)
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            bool rex_or_vex = size == CODE64 && ((opcode & 0xf0) == 0x40 || opcode == 0xc4 || opcode == 0xc5);
            if (memchr(prefixes, opcode, sizeof(prefixes)) || rex_or_vex)
                continue;
            bool expected = size != CODE64 || !memchr(dropped, opcode, sizeof(dropped));
            if (decodes_somehow(opcode, size) != expected)
                g_error("opcode %02x in mode %u", opcode, 16u << size);
        }
}

/* Every row can be encoded in some mode and form, and what was encoded is found again. */
static unsigned encode_forms(unsigned row, CodeSize size)
{
    unsigned forms = 0;
    for (unsigned memory = 0; memory < 2; memory++) {
        InsnExample e = insn_example(row, size);
        e.memory = memory;
        e.base = size == CODE16 ? GPR_RBX : GPR_RSI;
        e.index = insn_row_forms(row).vsib ? 7 : INSN_NO_REG;
        e.addrsize = size == CODE16 && e.index != INSN_NO_REG ? 4 : 0;
        e.disp = 0x70;
        e.reg = 3, e.rm = 1, e.vvvv = 2;
        uint8_t code[INSN_MAX_BYTES];
        Insn i;
        size_t n = insn_encode(&e, code);
        if (!n)
            continue;
        forms++;
        g_assert_cmpuint(insn_decode(code, n, size, &i), ==, DECODE_OK);
        if (i.has_mem && i.base != INSN_NO_REG) {
            g_assert_cmpuint(i.base, ==, e.base);
            g_assert_cmpint(i.disp, ==, e.disp);
        }
        for (size_t cut = 0; cut < n; cut++) /* one byte less is never enough, nor taken for another instruction */
            g_assert_cmpuint(insn_decode(code, cut, size, &i), ==, DECODE_MORE);
    }
    return forms;
}

static void test_every_row(void)
{
    for (unsigned row = 0; row < insn_row_count; row++) {
        unsigned forms = 0;
        InsnForms f = insn_row_forms(row);
        for (CodeSize size = CODE16; size <= CODE64; size++)
            forms += f.modes >> size & 1 ? encode_forms(row, size) : 0;
        if (!forms)
            g_error("row %u, %s %s, cannot be encoded", row, insn_rows[row].name, insn_rows[row].encoding);
    }
}

/* The buffer may be too short: the text is cut, the needed length returned. */
static void test_format(void)
{
    Insn i;
    char text[80];
    decode("48 01 54 c8 10", CODE64, &i);
    size_t needed = insn_format(&i, 0, text, sizeof(text));
    g_assert_cmpstr(text, ==, "add qword ptr [rax+rcx*8+0x10], rdx");
    g_assert_cmpuint(needed, ==, strlen(text) + 1);
    g_assert_cmpuint(insn_format(&i, 0, text, 8), ==, needed);
    g_assert_cmpstr(text, ==, "add qwo");
    g_assert_cmpuint(insn_format(&i, 0, NULL, 0), ==, needed);
    decode("eb fe", CODE16, &i);
    insn_format(&i, 0x7c00, text, sizeof(text));
    g_assert_cmpstr(text, ==, "jmp 0x7c00");
    decode("f3 48 a5", CODE64, &i);
    insn_format(&i, 0, text, sizeof(text));
    g_assert_cmpstr(text, ==, "rep movsq");
    decode("f0 44 0f b1 3d f0 ff ff ff", CODE64, &i);
    insn_format(&i, 0, text, sizeof(text));
    g_assert_cmpstr(text, ==, "lock cmpxchg dword ptr [rip-0x10], r15d");
    decode("06", CODE64, &i);
    insn_format(&i, 0, text, sizeof(text));
    g_assert_cmpstr(text, ==, "(invalid)");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/isa/decode/results", test_results);
    g_test_add_func("/isa/decode/sizes", test_sizes);
    g_test_add_func("/isa/decode/memory", test_memory);
    g_test_add_func("/isa/decode/byte-registers", test_byte_registers);
    g_test_add_func("/isa/decode/immediates", test_immediates);
    g_test_add_func("/isa/decode/row-attributes", test_row_attributes);
    g_test_add_func("/isa/decode/one-byte-opcodes", test_one_byte_opcodes);
    g_test_add_func("/isa/decode/every-row", test_every_row);
    g_test_add_func("/isa/decode/format", test_format);
    return g_test_run();
}
