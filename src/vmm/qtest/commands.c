/*
 * commands.c - what a line of qtest means, a row of a table each.
 */
#include <string.h>

#include "vmm/qtest/qtest.h"

typedef struct QtestCommand {
    const char *name;
    unsigned args; /* at least */
    unsigned size; /* of the access, for handlers of several rows */
    bool (*run)(Qtest *q, const struct QtestCommand *c, char **args, GString *ret, GError **err); /* appends to "OK" */
} QtestCommand;

static bool number(const char *text, uint64_t *ret, GError **err)
{
    char *end;
    *ret = g_ascii_strtoull(text, &end, 0);
    return (end != text && !*end) || error_set(err, ERR_INVALID, "'%s' is no number", text);
}

/* ---- ports */

static bool run_in(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t port;
    if (!number(args[0], &port, err))
        return false;
    FlatView *v = space_view(q->vm->machine->ports);
    g_string_append_printf(ret, " 0x%04" G_GINT64_MODIFIER "x", view_read(v, port & 0xffff, c->size));
    view_unref(v);
    return true;
}

static bool run_out(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t port, value;
    if (!number(args[0], &port, err) || !number(args[1], &value, err))
        return false;
    FlatView *v = space_view(q->vm->machine->ports);
    view_write(v, port & 0xffff, c->size, value);
    view_unref(v);
    return true;
}

/* ---- memory: as a processor's own access, so that its local APIC is seen, too */

typedef struct Access {
    uint64_t at, value;
    unsigned size;
    bool write;
} Access;

static void access_memory(Vcpu *v, void *opaque)
{
    Access *a = opaque;
    if (a->write)
        vcpu_mmio_write(v, a->at, a->size, a->value);
    else
        a->value = vcpu_mmio_read(v, a->at, a->size);
}

static uint64_t load(Qtest *q, uint64_t at, unsigned size)
{
    uint64_t value = 0;
    Access a = { .at = at, .size = size };
    Vcpu *v = machine_vcpu(q->vm->machine, 0);
    if (v && !dma_read(q->vm->machine, at, &value, size)) {
        vcpu_run_on(v, access_memory, &a);
        value = a.value;
    }
    return value;
}

static void store(Qtest *q, uint64_t at, unsigned size, uint64_t value)
{
    Access a = { .at = at, .value = value, .size = size, .write = true };
    Vcpu *v = machine_vcpu(q->vm->machine, 0);
    if (v && !dma_write(q->vm->machine, at, &value, size))
        vcpu_run_on(v, access_memory, &a);
}

static bool run_read_one(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t at;
    if (!number(args[0], &at, err))
        return false;
    g_string_append_printf(ret, " 0x%016" G_GINT64_MODIFIER "x", load(q, at, c->size));
    return true;
}

static bool run_write_one(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t at, value;
    if (!number(args[0], &at, err) || !number(args[1], &value, err))
        return false;
    store(q, at, c->size, value);
    return true;
}

/* ---- blocks of memory: RAM at once, registers in the largest accesses that are aligned */

static unsigned step(uint64_t at, uint64_t left)
{
    unsigned size = 8;
    while (size > left || at % size)
        size /= 2;
    return size;
}

static void read_block(Qtest *q, uint64_t at, uint8_t *data, uint64_t n)
{
    if (dma_read(q->vm->machine, at, data, n))
        return;
    for (unsigned size; n; at += size, data += size, n -= size) {
        size = step(at, n);
        uint64_t value = load(q, at, size);
        memcpy(data, &value, size);
    }
}

static void write_block(Qtest *q, uint64_t at, const uint8_t *data, uint64_t n)
{
    if (dma_write(q->vm->machine, at, data, n))
        return;
    for (unsigned size; n; at += size, data += size, n -= size) {
        uint64_t value = 0;
        size = step(at, n);
        memcpy(&value, data, size);
        store(q, at, size, value);
    }
}

static bool place(char **args, uint64_t most, uint64_t *ret_at, uint64_t *ret_n, GError **err)
{
    if (!number(args[0], ret_at, err) || !number(args[1], ret_n, err))
        return false;
    return (*ret_n && *ret_n <= most) || error_set(err, ERR_INVALID, "a block has 1 to %" G_GUINT64_FORMAT " bytes, not %s", most, args[1]);
}

static bool run_read(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t at, n;
    if (!place(args, QTEST_READ_BYTES, &at, &n, err))
        return false;
    g_autofree uint8_t *data = g_malloc(n);
    read_block(q, at, data, n);
    g_string_append(ret, " 0x");
    for (uint64_t i = 0; i < n; i++)
        g_string_append_printf(ret, "%02x", data[i]);
    return true;
}

static bool run_b64read(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t at, n;
    if (!place(args, QTEST_READ_BYTES, &at, &n, err))
        return false;
    g_autofree uint8_t *data = g_malloc(n);
    read_block(q, at, data, n);
    g_autofree char *text = g_base64_encode(data, n);
    g_string_append_printf(ret, " %s", text);
    return true;
}

/* What is not said is zero. */
static bool run_write(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t at, n;
    const char *text = args[2];
    if (!place(args, QTEST_LINE_BYTES, &at, &n, err))
        return false;
    if (!g_str_has_prefix(text, "0x"))
        return error_set(err, ERR_INVALID, "data begins with 0x");
    g_autofree uint8_t *data = g_malloc0(n);
    text += 2;
    for (uint64_t i = 0; i < n && g_ascii_isxdigit(text[0]) && g_ascii_isxdigit(text[1]); i++, text += 2)
        data[i] = g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]);
    write_block(q, at, data, n);
    return true;
}

static bool run_b64write(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t at, n;
    gsize have;
    if (!place(args, QTEST_LINE_BYTES, &at, &n, err))
        return false;
    g_autofree uint8_t *data = g_base64_decode(args[2], &have);
    if (have != n)
        return error_set(err, ERR_INVALID, "%" G_GSIZE_FORMAT " bytes of data for a block of %s", have, args[1]);
    write_block(q, at, data, n);
    return true;
}

static bool run_memset(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t at, n, value;
    if (!place(args, q->vm->machine->config.ram_size, &at, &n, err) || !number(args[2], &value, err))
        return false;
    g_autofree uint8_t *data = g_malloc(n);
    memset(data, value, n);
    write_block(q, at, data, n);
    return true;
}

static bool run_endianness(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    g_string_append(ret, " little");
    return true;
}

/* ---- time */

static bool move_clock(Qtest *q, int64_t ns, GString *ret, GError **err)
{
    Machine *m = q->vm->machine;
    if (!m->config.manual_clock)
        return error_set(err, ERR_INVALID, "time passes by itself; -accel qtest makes it stand");
    if (ns > 0)
        clock_advance(m->clock, ns);
    g_string_append_printf(ret, " %" G_GINT64_FORMAT, clock_now(m->clock));
    return true;
}

static bool run_clock_step(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    Clock *clock = q->vm->machine->clock;
    uint64_t ns = 0;
    int64_t next = clock_next(clock);
    if (args[0] && !number(args[0], &ns, err))
        return false;
    if (!args[0] && next != INT64_MAX)
        ns = MAX(next - clock_now(clock), 0);
    return move_clock(q, MIN(ns, INT64_MAX / 2), ret, err);
}

static bool run_clock_set(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t to;
    return number(args[0], &to, err) && move_clock(q, MIN(to, INT64_MAX / 2) - clock_now(q->vm->machine->clock), ret, err);
}

/* ---- interrupts */

static bool run_intercept_in(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    return qtest_tap(q, args[0], false, err);
}

static bool run_intercept_out(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    return qtest_tap(q, args[0], true, err);
}

/* PATH NAME NUMBER LEVEL: our inputs have no names. */
static bool run_set_irq_in(Qtest *q, const QtestCommand *c, char **args, GString *ret, GError **err)
{
    uint64_t n, level;
    if (!g_str_equal(args[1], "unnamed-gpio-in"))
        return error_set(err, ERR_INVALID, "inputs are called unnamed-gpio-in, not '%s'", args[1]);
    return number(args[2], &n, err) && number(args[3], &level, err) && qtest_set_input(q, args[0], MIN(n, 256), level, err);
}

/* ---- the table */

static const QtestCommand commands[] = {
    { "inb", 1, 1, run_in },
    { "inw", 1, 2, run_in },
    { "inl", 1, 4, run_in },
    { "outb", 2, 1, run_out },
    { "outw", 2, 2, run_out },
    { "outl", 2, 4, run_out },
    { "readb", 1, 1, run_read_one },
    { "readw", 1, 2, run_read_one },
    { "readl", 1, 4, run_read_one },
    { "readq", 1, 8, run_read_one },
    { "writeb", 2, 1, run_write_one },
    { "writew", 2, 2, run_write_one },
    { "writel", 2, 4, run_write_one },
    { "writeq", 2, 8, run_write_one },
    { "read", 2, 0, run_read },
    { "write", 3, 0, run_write },
    { "b64read", 2, 0, run_b64read },
    { "b64write", 3, 0, run_b64write },
    { "memset", 3, 0, run_memset },
    { "endianness", 0, 0, run_endianness },
    { "clock_step", 0, 0, run_clock_step },
    { "clock_set", 1, 0, run_clock_set },
    { "irq_intercept_in", 1, 0, run_intercept_in },
    { "irq_intercept_out", 1, 0, run_intercept_out },
    { "set_irq_in", 4, 0, run_set_irq_in },
    { NULL },
};

static const QtestCommand *find(const char *name)
{
    const QtestCommand *c = commands;
    while (c->name && !g_str_equal(c->name, name))
        c++;
    return c->name ? c : NULL;
}

char *qtest_command(Qtest *q, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    g_autoptr(GError) err = NULL;
    if (!words[0])
        return g_strdup("");
    const QtestCommand *c = find(words[0]);
    if (!c)
        return g_strdup_printf("FAIL Unknown command '%s'", words[0]);
    if (g_strv_length(words) - 1 < c->args)
        return g_strdup_printf("FAIL %s takes %u arguments", c->name, c->args);
    g_autoptr(GString) ret = g_string_new("OK");
    if (!c->run(q, c, words + 1, ret, &err))
        return g_strdup_printf("FAIL %s", err->message);
    return g_strdup(ret->str);
}
