#pragma once
#include <glib.h>

#include "subject.h"
/* habits.h - what this host's processor may do otherwise than ours: see habits.c. */
typedef enum HabitFree {
    FREE_ALL = 1,
    FREE_MEMORY = 2,   /* what was written */
    FREE_FLAGS = 4,    /* RFLAGS */
    FREE_UPPER = 8,    /* upper halves of general registers */
    FREE_POINTERS = 16, /* FOP, FIP, FDP */
    FREE_X87 = 32,     /* status word and registers */
    FREE_VECTORS = 64,
} HabitFree;
/* A sequence with this instruction may go on otherwise on this host. */
bool habit_is_quiet(const Insn *i);
unsigned habits_of(const Case *c, const Outcome *host, const Outcome *guest);
