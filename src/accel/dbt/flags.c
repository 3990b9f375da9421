/*
 * flags.c - which status flags are live, so that address translation may spoil the others.
 *
 * Backwards within a block; beyond its end a short look at what comes next.  Unknown means live.
 */
#include "accel/dbt/dbt.h"

enum { LOOK_AHEAD = 8 };

uint32_t dbt_flags_before(const Insn *i, uint32_t live_after)
{
    const InsnRow *row = insn_row(i);
    return ((live_after & ~row->flags_written) | row->flags_read) & RFLAGS_STATUS;
}

uint32_t dbt_flags_read_from(const uint8_t *host, const uint8_t *end, CodeSize size)
{
    uint32_t unwritten = RFLAGS_STATUS, read = 0;
    for (unsigned n = 0; n < LOOK_AHEAD && host < end && unwritten; n++) {
        Insn i;
        if (insn_decode(host, MIN((size_t)(end - host), INSN_MAX_BYTES), size, &i) != DECODE_OK)
            break;
        const InsnRow *row = insn_row(&i);
        read |= row->flags_read & unwritten;
        if (row->attrs & (ROW_BRANCH | ROW_SYSTEM | ROW_IO))
            break;
        unwritten &= ~row->flags_written;
        host += i.length;
    }
    return (read | unwritten) & RFLAGS_STATUS;
}
