#pragma once
#include <glib.h>

#include "subject.h"
/*
 * generate.h - cases at random: an encoding of a row, registers, and memory at its operand.
 */
typedef struct Random {
    uint64_t state;
} Random;

static inline uint64_t random_next(Random *r) /* splitmix64 */
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline unsigned random_below(Random *r, unsigned n) { return (unsigned)((random_next(r) >> 32) * n >> 32); }
static inline bool random_percent(Random *r, unsigned percent) { return random_below(r, 100) < percent; }

/* Can user code execute it here without harm to this process, and is what comes of it defined? */
bool row_is_testable(const InsnRow *row);

/* Makes a case of the row and writes the instruction and its operand's surroundings into `memory`.  False: the row has
 * no such form in this mode. */
bool case_generate(Random *r, unsigned row, CodeSize size, uint64_t fs_base, const SubjectMemory *memory, Case *ret);

/* Parts of it. */
uint64_t random_integer(Random *r);
void random_vector(Random *r, uint8_t *bytes, unsigned n); /* a multiple of 8 */
void random_state(Random *r, Case *c);                     /* registers and flags */
void narrow_to_32(CpuState *s);
