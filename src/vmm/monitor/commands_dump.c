/*
 * commands_dump.c - x and xp: memory as numbers, characters or instructions, as the first processor sees it or by physical address.
 *
 *     x/60i 0xffffffff81000000      xp/4xw 0x7c00      x/2xg 0x1000
 *
 * The format is a count, how (x d u o c i) and a size (b h w g: 1, 2, 4 and 8 bytes), each of which may be left out; as gdb has them.
 */
#include <string.h>

#include "isa/x86/insn.h"
#include "vmm/gdb/gdb.h"
#include "vmm/monitor/command.h"

enum { MOST = 4096, LINE_BYTES = 16 };

typedef struct Dump {
    Machine *m;
    CpuState state; /* of the first processor */
    bool physical;
    unsigned count, size;
    char how;
    uint64_t at;
} Dump;

static bool parse_format(Dump *d, const char *format, size_t n, GError **err)
{
    static const char sizes[] = "bhwg";
    const char *at = format, *end = format + n;
    if (at < end && g_ascii_isdigit(*at)) {
        uint64_t count = g_ascii_strtoull(at, (char **)&at, 10);
        d->count = (unsigned)MIN(count, MOST + 1);
    }
    for (; at < end; at++) {
        const char *size = strchr(sizes, *at);
        if (size)
            d->size = 1u << (size - sizes);
        else if (strchr("xduoci", *at))
            d->how = *at;
        else
            return error_set(err, ERR_INVALID, "a format is a count, one of x d u o c i and one of b h w g, not '%.*s'", (int)n, format);
    }
    return d->count <= MOST || error_set(err, ERR_INVALID, "at most %u at a time", MOST);
}

/* [/FORMAT] ADDRESS */
static bool parse(Dump *d, const char *text, GError **err)
{
    if (*text == '/') {
        size_t n = strcspn(text + 1, " ");
        if (!parse_format(d, text + 1, n, err))
            return false;
        text += 1 + n;
    }
    text += strspn(text, " ");
    char *end;
    d->at = g_ascii_strtoull(text, &end, 0);
    return (*text && !*end) || error_set(err, ERR_INVALID, "an address is a number, as 0x7c00, not '%s'", text);
}

static bool read_bytes(Dump *d, uint64_t at, void *to, size_t n)
{
    return d->physical ? dma_read(d->m, at, to, n) : gdb_memory(d->m, &d->state, at, to, n, false);
}

static bool nothing_there(const Dump *d, uint64_t at, GError **err)
{
    return error_set(err, ERR_INVALID, d->physical ? "no RAM at 0x%" G_GINT64_MODIFIER "x" : "the first processor has nothing mapped at 0x%" G_GINT64_MODIFIER "x", at);
}

static void print_value(const Dump *d, GString *out, uint64_t value)
{
    int64_t whole = (int64_t)(value << (64 - 8 * d->size)) >> (64 - 8 * d->size);
    switch (d->how) {
    case 'd': g_string_append_printf(out, " %" G_GINT64_FORMAT, whole); break;
    case 'u': g_string_append_printf(out, " %" G_GUINT64_FORMAT, value); break;
    case 'o': g_string_append_printf(out, " 0%" G_GINT64_MODIFIER "o", value); break;
    case 'c': g_string_append_printf(out, g_ascii_isprint((char)value) ? " '%c'" : " '\\x%02x'", (unsigned)(value & 0xff)); break;
    default:  g_string_append_printf(out, " 0x%0*" G_GINT64_MODIFIER "x", (int)d->size * 2, value); break;
    }
}

static bool dump_values(Dump *d, GString *out, GError **err)
{
    for (unsigned i = 0; i < d->count; i++, d->at += d->size) {
        uint64_t value = 0;
        if (!read_bytes(d, d->at, &value, d->size))
            return nothing_there(d, d->at, err);
        if (i % (LINE_BYTES / d->size) == 0)
            g_string_append_printf(out, "%s%016" G_GINT64_MODIFIER "x:", i ? "\n" : "", d->at);
        print_value(d, out, value);
    }
    g_string_append_c(out, '\n');
    return true;
}

static CodeSize code_size(const CpuState *s)
{
    const Segment *cs = &s->seg[SEG_CS];
    return s->efer & EFER_LMA && cs->attr & SEG_ATTR_L ? CODE64 : cs->attr & SEG_ATTR_DB ? CODE32 : CODE16;
}

static bool dump_instructions(Dump *d, GString *out, GError **err)
{
    for (unsigned i = 0; i < d->count; i++) {
        uint8_t bytes[INSN_MAX_BYTES];
        size_t n = sizeof(bytes);
        while (n && !read_bytes(d, d->at, bytes, n)) /* the next page may be missing */
            n--;
        Insn insn;
        char text[128] = "(bad)";
        if (!n)
            return nothing_there(d, d->at, err);
        bool ok = insn_decode(bytes, n, code_size(&d->state), &insn) == DECODE_OK;
        if (ok)
            insn_format(&insn, d->at, text, sizeof(text));
        g_string_append_printf(out, "0x%016" G_GINT64_MODIFIER "x: %s\n", d->at, text);
        d->at += ok ? insn.length : 1;
    }
    return true;
}

static void read_state(Vcpu *v, void *opaque)
{
    void **arg = opaque;
    *(bool *)arg[2] = v->accel->ops->get(v, arg[0], arg[1]);
}

static bool dump(MonitorCall *call, bool physical, GError **err)
{
    Dump d = { .m = call->vm->machine, .physical = physical, .count = 1, .size = 4, .how = 'x' };
    bool ok = false;
    if (!parse(&d, arg_text(call, "what"), err))
        return false;
    vcpu_run_on(d.m->vcpus->pdata[0], read_state, (void *[]){ &d.state, err, &ok });
    return ok && (d.how == 'i' ? dump_instructions : dump_values)(&d, call->out, err);
}

static bool dump_linear(MonitorCall *call, GError **err) { return dump(call, false, err); }
static bool dump_physical(MonitorCall *call, GError **err) { return dump(call, true, err); }

const MonitorCommand dump_commands[] = {
    { NULL, "x", "what: rest", .doc = "memory as the first processor sees it: x/60i 0x7c00, x/4xw ADDRESS", .text = dump_linear },
    { NULL, "xp", "what: rest", .doc = "physical memory: xp/4xw 0x7c00", .text = dump_physical },
    { NULL },
};
