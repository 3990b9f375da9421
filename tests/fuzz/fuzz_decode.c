/*
 * fuzz_decode.c - the decoder and the formatter under libFuzzer: any bytes, any mode.
 *
 * Besides what the sanitizers see, each instruction must be the same when exactly its bytes are given, be incomplete
 * with one byte less, and have its parts within itself.
 */
#include <stdlib.h>
#include <string.h>

#include "isa/x86/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_parts(const Insn *i)
{
    require(i->length >= 1 && i->length <= INSN_MAX_BYTES);
    require(i->opcode_off < i->length && i->bytes[i->opcode_off] == i->opcode);
    require(!i->has_modrm || (i->modrm_off < i->length && i->bytes[i->modrm_off] == i->modrm));
    require(i->disp_off + i->disp_len <= i->length && i->imm_off + i->imm_len <= i->length);
    require(i->op != OP_INVALID && i->op < OP_COUNT && i->row < insn_row_count && i->n_operands <= INSN_MAX_OPERANDS);
}

static void check_format(const Insn *i)
{
    char text[128], shorter[9];
    size_t needed = insn_format(i, 0x7ffffffffff0, text, sizeof(text));
    require(needed == strlen(text) + 1);
    require(insn_format(i, 0x7ffffffffff0, shorter, sizeof(shorter)) == needed);
    require(strncmp(text, shorter, sizeof(shorter) - 1) == 0);
}

/* The instruction at bytes[0..n); returns how many bytes to go on. */
static size_t check_at(const uint8_t *bytes, size_t n, CodeSize mode)
{
    Insn i, again;
    if (insn_decode(bytes, n, mode, &i) != DECODE_OK)
        return 1;
    check_parts(&i);
    check_format(&i);
    require(insn_decode(bytes, i.length, mode, &again) == DECODE_OK && memcmp(&i, &again, sizeof(i)) == 0);
    require(insn_decode(bytes, i.length - 1, mode, &again) == DECODE_MORE);
    return i.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t at = 1; at < size;) {
        size_t n = size - at < INSN_MAX_BYTES + 1 ? size - at : INSN_MAX_BYTES + 1;
        uint8_t *bytes = malloc(n); /* on its own, so that the sanitizer sees the end */
        memcpy(bytes, data + at, n);
        at += check_at(bytes, n, data[0] % 3);
        free(bytes);
    }
    return 0;
}
