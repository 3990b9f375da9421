/*
 * flags.c - which status flags are live, so that address translation may spoil the others.
 *
 * Backwards within a block; beyond its end a short look at what comes next.  Unknown means live.
 */
#include "accel/dbt/dbt.h"

enum { LOOK_AHEAD = 8 };

/* A shift by a constant that counts as 0 leaves all as they were. */
static uint32_t flags_written(const Insn *i)
{
    switch (i->op) {
    case OP_SHL: case OP_SHR: case OP_SAR: case OP_ROL: case OP_ROR: case OP_RCL: case OP_RCR: case OP_SHLD: case OP_SHRD:
        if (i->imm_len && !(i->imm & (i->opsize == 8 ? 63 : 31)))
            return 0;
    }
    return insn_row(i)->flags_written;
}

uint32_t dbt_flags_before(const Insn *i, uint32_t live_after)
{
    const InsnRow *row = insn_row(i);
    return ((live_after & ~flags_written(i)) | row->flags_read) & RFLAGS_STATUS;
}

uint32_t dbt_flags_read_from(const uint8_t *host, const uint8_t *end, CodeSize size, size_t *ret_bytes)
{
    const uint8_t *start = host;
    uint32_t unwritten = RFLAGS_STATUS, read = 0;
    for (unsigned n = 0; n < LOOK_AHEAD && host < end && unwritten; n++) {
        Insn i;
        if (insn_decode(host, MIN((size_t)(end - host), INSN_MAX_BYTES), size, &i) != DECODE_OK)
            break;
        host += i.length;
        const InsnRow *row = insn_row(&i);
        read |= row->flags_read & unwritten;
        if (row->attrs & (ROW_BRANCH | ROW_SYSTEM | ROW_IO))
            break;
        unwritten &= ~flags_written(&i);
    }
    *ret_bytes = (size_t)(host - start);
    return (read | unwritten) & RFLAGS_STATUS;
}
