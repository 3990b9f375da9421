#pragma once
#include <glib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
/* filter.h - a seccomp filter of x86-64 made of rules: a program of classic BPF (seccomp(2)). */

/* What happens at a call of this number whose argument `arg`, below the mask, has (or, with `not`, has not) this value.  mask 0: at
 * any.  `not` wants a mask of 32 bits. */
typedef struct FilterRule {
    uint32_t number, action; /* SECCOMP_RET_... */
    unsigned arg;
    uint64_t mask, value;
    bool not;
} FilterRule;

/* The first rule that fits says what happens; where none does, `otherwise`.  Calls of other architectures kill the process.  Returns
 * struct sock_filter; caller frees. */
GArray *filter_make(const FilterRule *rules, unsigned n, uint32_t otherwise);
