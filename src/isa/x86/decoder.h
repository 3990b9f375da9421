#pragma once
#include <string.h>

#include "isa/x86/decode.h"
/*
 * decoder.h - the state of one call of insn_decode(), between decode.c (prefixes, opcode, row) and decode_operands.c.
 */
enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

typedef struct Decoder {
    const uint8_t *bytes;
    unsigned pos, limit; /* limit: min(n, 15) */
    bool ended;          /* a byte beyond limit was asked for */
    bool opsize, addrsize, lock, has_rex, vex;
    uint8_t rep;         /* the last of F2 and F3 */
    uint8_t seg;         /* override, or INSN_NO_REG */
    uint8_t rex;         /* REX_*; of VEX too */
    bool w;              /* REX.W or VEX.W as encoded, whatever the mode */
    uint8_t pp;          /* VEX: 0, 66, F3, F2 */
} Decoder;

static inline uint8_t next_byte(Decoder *d)
{
    if (d->pos >= d->limit) {
        d->ended = true;
        return 0;
    }
    return d->bytes[d->pos++];
}

/* Little-endian, zero-extended. */
static inline uint64_t next_bytes(Decoder *d, unsigned n)
{
    uint64_t value = 0;
    if (d->limit - d->pos < n) {
        d->pos = d->limit;
        d->ended = true;
        return 0;
    }
    memcpy(&value, d->bytes + d->pos, n);
    d->pos += n;
    return value;
}

unsigned decode_address_size(const Decoder *d, CodeSize size);
/* ModRM, SIB and displacement; ret->addrsize and ret->vsib are set. */
void decode_memory(Decoder *d, Insn *ret);
/* false: a register that does not exist, #UD. */
bool decode_operands(Decoder *d, Insn *ret, const DecodeRow *row);
