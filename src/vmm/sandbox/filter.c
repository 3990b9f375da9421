/*
 * filter.c - see filter.h.
 *
 * The program looks a call's number up in a binary tree of ranges: neighbours that any argument suits are one.
 */
#include "vmm/sandbox/filter.h"

#include <linux/audit.h>
#include <stddef.h>

typedef struct Range {
    uint32_t first, last;   /* numbers */
    const FilterRule *rules; /* of the first number */
    unsigned n;
} Range;

typedef struct Maker {
    GArray *code;   /* struct sock_filter */
    GArray *rules;  /* FilterRule, by number */
    GArray *ranges; /* Range, ascending */
    uint32_t otherwise;
} Maker;

/* ---- ranges */

static gint by_number(gconstpointer a, gconstpointer b)
{
    const FilterRule *one = a, *two = b;
    return one->number < two->number ? -1 : one->number > two->number;
}

static bool is_plain(const Range *r) { return !r->rules[0].mask; }

static bool continues(const Range *before, const FilterRule *rule)
{
    return is_plain(before) && !rule->mask && rule->action == before->rules[0].action && rule->number == before->last + 1;
}

static void add_to_ranges(Maker *m, const FilterRule *rule)
{
    Range *last = m->ranges->len ? &g_array_index(m->ranges, Range, m->ranges->len - 1) : NULL;
    if (last && rule->number == last->last) {
        last->n++;
    } else if (last && continues(last, rule)) {
        last->last++;
    } else {
        Range made = { rule->number, rule->number, rule, 1 };
        g_array_append_val(m->ranges, made);
    }
}

/* A range of several numbers has rules of one each, which are alike. */
static void find_ranges(Maker *m)
{
    g_array_sort(m->rules, by_number); /* stable: the first rule of a number stays the first */
    for (unsigned i = 0; i < m->rules->len; i++)
        add_to_ranges(m, &g_array_index(m->rules, FilterRule, i));
}

/* ---- code */

/* Jumps skip so many instructions. */
static void emit_jump(Maker *m, uint16_t op, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    struct sock_filter f = BPF_JUMP(BPF_JMP | op | BPF_K, k, if_true, if_false);
    g_array_append_val(m->code, f);
}

static void emit(Maker *m, uint16_t op, uint32_t k)
{
    struct sock_filter f = BPF_STMT(op, k);
    g_array_append_val(m->code, f);
}

static void emit_return(Maker *m, uint32_t action) { emit(m, BPF_RET | BPF_K, action); }

static void emit_half(Maker *m, const FilterRule *r, unsigned half)
{
    emit(m, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * r->arg + 4 * half); /* little-endian */
    emit(m, BPF_ALU | BPF_AND | BPF_K, r->mask >> 32 * half);
}

/* What does not fit goes on behind it. */
static void emit_rule(Maker *m, const FilterRule *r)
{
    bool low = (uint32_t)r->mask, high = r->mask >> 32;
    if (low) {
        emit_half(m, r, 0);
        uint8_t skip = high ? 4 : 1;
        emit_jump(m, BPF_JEQ, r->value, r->not ? skip : 0, r->not ? 0 : skip);
    }
    if (high) {
        emit_half(m, r, 1);
        emit_jump(m, BPF_JEQ, r->value >> 32, 0, 1);
    }
    emit_return(m, r->action);
}

static void emit_range(Maker *m, const Range *r)
{
    emit_jump(m, BPF_JGE, r->first, 0, 1);
    emit_jump(m, BPF_JGT, r->last, 0, 1);
    emit_return(m, m->otherwise);
    unsigned n = 0;
    do
        emit_rule(m, &r->rules[n]);
    while (r->rules[n].mask && ++n < r->n);
    if (n == r->n)
        emit_return(m, m->otherwise);
}

static void emit_tree(Maker *m, unsigned begin, unsigned end)
{
    const Range *r = &g_array_index(m->ranges, Range, 0);
    unsigned middle = begin + (end - begin) / 2;
    if (end - begin == 1) {
        emit_range(m, &r[begin]);
        return;
    }
    emit_jump(m, BPF_JGE, r[middle].first, 0, 1);
    unsigned far = m->code->len;
    emit(m, BPF_JMP | BPF_JA, 0);
    emit_tree(m, begin, middle);
    g_array_index(m->code, struct sock_filter, far).k = m->code->len - far - 1;
    emit_tree(m, middle, end);
}

GArray *filter_make(const FilterRule *rules, unsigned n, uint32_t otherwise)
{
    Maker m = { .code = g_array_new(FALSE, FALSE, sizeof(struct sock_filter)), .rules = g_array_new(FALSE, FALSE, sizeof(FilterRule)),
                .ranges = g_array_new(FALSE, FALSE, sizeof(Range)), .otherwise = otherwise };
    g_array_append_vals(m.rules, rules, n);
    find_ranges(&m);
    emit(&m, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    emit_jump(&m, BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
    emit_return(&m, SECCOMP_RET_KILL_PROCESS);
    emit(&m, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    if (n)
        emit_tree(&m, 0, m.ranges->len);
    else
        emit_return(&m, otherwise);
    g_array_unref(m.rules);
    g_array_unref(m.ranges);
    return m.code;
}
