/*
 * fuzz_qmp.c - the monitor: rubbish as QMP, and every command with arguments that its row describes or does not.
 *
 * A PC without running CPUs (-accel qtest) has a disk, a CD-ROM drive and a network card.  Each request must be answered, and the
 * monitor must be there at the end.  Names of files hold no slash, and the target works in a folder of its own.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "console/chardev.h"
#include "fuzz.h"
#include "schema/qapi.h"
#include "vmm/monitor/command.h"
#include "vmm/options.h"

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* ---- requests from the rows */

static const MonitorCommand *pick_command(FuzzInput *in)
{
    unsigned n = fuzz_take(in, 2), total = 0;
    for (unsigned t = 0; monitor_tables[t]; t++)
        for (const MonitorCommand *c = monitor_tables[t]; c->name || c->line; c++)
            total += c->name != NULL;
    n %= total;
    for (unsigned t = 0; monitor_tables[t]; t++)
        for (const MonitorCommand *c = monitor_tables[t]; c->name || c->line; c++)
            if (c->name && !n--)
                return c;
    abort();
}

static const char *const words[] = { "n0", "n1", "n2", "d0", "cd0", "u0", "net0", "/machine/peripheral/d0", "/machine/peripheral/cd0/virtio-backend", "raw", "qcow2",
                                     "null-co", "file", "f0", "f1", "user", "e1000", "virtio-blk-pci", "drive", "pci.0", "on", "j0", "info block", "sendkey a", "",
                                     "\xc3\xa4%s\\\"", "vnc", "now", "memory-backend-ram", "secret", "1M" };

static void put_name(FuzzInput *in, GString *to)
{
    g_autofree char *quoted = g_strescape(words[fuzz_take(in, 1) % G_N_ELEMENTS(words)], "\xc3\xa4");
    g_string_append_printf(to, "\"%s\"", quoted);
}

static void put_value(FuzzInput *in, GString *to, const QapiSchema *schema, const char *type, unsigned depth);

static void put_members(FuzzInput *in, GString *to, const QapiSchema *schema, const char *members, bool *first, unsigned depth)
{
    QapiMember m;
    for (const char *at = members ? members : ""; qapi_member_next(&at, &m);) {
        unsigned whim = fuzz_take(in, 1);
        if (m.optional ? whim & 1 : whim == 0xff)
            continue;
        g_string_append_printf(to, "%s\"%s\":%s", *first ? "" : ",", m.name, m.list ? "[" : "");
        *first = false;
        put_value(in, to, schema, m.type, depth + 1);
        if (m.list)
            g_string_append_c(to, ']');
    }
}

/* A union's case is what the tag says only by chance: so put that of one case, with its name as the tag. */
static void put_object(FuzzInput *in, GString *to, const QapiSchema *schema, const QapiType *t, unsigned depth)
{
    bool first = true;
    g_string_append_c(to, '{');
    put_members(in, to, schema, t->members, &first, depth);
    unsigned n = fuzz_take(in, 1) % 8;
    QapiMember m;
    for (const char *at = t->variants ? t->variants : ""; qapi_member_next(&at, &m);) {
        const QapiType *variant = n-- ? NULL : qapi_schema_find(schema, m.type);
        if (!variant)
            continue;
        g_string_append_printf(to, "%s\"%s\":\"%s\"", first ? "" : ",", t->tag, m.name);
        first = false;
        put_members(in, to, schema, variant->members, &first, depth);
    }
    if (t->open)
        for (unsigned extra = fuzz_take(in, 1) % 4; extra--; first = false) {
            g_string_append(to, first ? "" : ",");
            put_name(in, to);
            g_string_append_c(to, ':');
            put_name(in, to);
        }
    g_string_append_c(to, '}');
}

static void put_word(FuzzInput *in, GString *to, const char *list)
{
    g_auto(GStrv) all = g_strsplit(list, " ", -1);
    g_string_append_printf(to, "\"%s\"", all[fuzz_take(in, 1) % g_strv_length(all)]);
}

static void put_value(FuzzInput *in, GString *to, const QapiSchema *schema, const char *type, unsigned depth)
{
    const QapiType *t = qapi_schema_find(schema, type);
    if (depth > 6 || fuzz_take(in, 1) > 250)
        g_string_append(to, "null");
    else if (t && t->meta == QAPI_OBJECT)
        put_object(in, to, schema, t, depth);
    else if (t && t->meta == QAPI_ENUM)
        put_word(in, to, t->members);
    else if (g_str_equal(type, "bool"))
        g_string_append(to, fuzz_take(in, 1) & 1 ? "true" : "false");
    else if (g_str_equal(type, "int") || g_str_equal(type, "number"))
        g_string_append_printf(to, "%" G_GINT64_FORMAT, (int64_t)fuzz_take(in, 8) >> fuzz_take(in, 1) % 64);
    else
        put_name(in, to);
}

static char *make_request(FuzzInput *in, const QapiSchema *schema)
{
    const MonitorCommand *c = pick_command(in);
    GString *s = g_string_new(NULL);
    const QapiType *named = c->args && *c->args && !strchr(c->args, ':') ? qapi_schema_find(schema, c->args) : NULL, written = { .members = c->args };
    g_string_append_printf(s, "{\"execute\":\"%s\",\"id\":1,\"arguments\":", c->name);
    put_object(in, s, schema, named ? named : &written, 0);
    g_string_append_c(s, '}');
    return g_string_free(s, FALSE);
}

/* ---- the machine */

static Vm *build(VmConfig *config)
{
    static const char *const args[] = { "atoll-vm", "-accel", "qtest", "-display", "none", "-nodefaults", "-m", "2", "-S", "-blockdev", "driver=null-co,node-name=n0,size=1M",
                                        "-device", "virtio-blk-pci,drive=n0,id=d0", "-device", "ide-cd,id=cd0", "-netdev", "user,id=u0", "-device",
                                        "virtio-net-pci,netdev=u0,id=net0", "-qmp", "memory" };
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) copy = g_new0(char *, G_N_ELEMENTS(args) + 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(args); i++)
        copy[i] = g_strdup(args[i]);
    Vm *vm = options_parse(config, G_N_ELEMENTS(args), copy, &err) && config_finish(config, &err) ? vm_build(config, &err) : NULL;
    if (!vm)
        g_error("%s", err->message);
    return vm;
}

static Chardev *monitor_of(Vm *vm)
{
    for (unsigned i = 0; i < vm->chardevs->len; i++)
        if (g_str_has_prefix(chardev_id(vm->chardevs->pdata[i]), "compat_monitor"))
            return vm->chardevs->pdata[i];
    abort();
}

static char *say(Chardev *c, const char *text, size_t n)
{
    chardev_memory_feed(c, (const uint8_t *)text, n);
    for (unsigned i = 0; i < 50 && g_main_context_iteration(NULL, FALSE); i++)
        ;
    return chardev_memory_take(c, NULL);
}

static bool is_harmless(const char *request)
{
    static const char *const others[] = { "\"file\"", "pmemsave", "memsave", "dump-guest", "\"quit\"", NULL }; /* they fill the disk, or end it */
    for (unsigned i = 0; others[i]; i++)
        if (i && strstr(request, others[i]))
            return false;
    return true;
}

static void ask(Vm *vm, Chardev *c, FuzzInput *in)
{
    g_autofree char *request = make_request(in, monitors_schema(vm->monitors)), *answer = NULL;
    if (!is_harmless(request))
        return;
    answer = say(c, request, strlen(request));
    require(strstr(answer, "\"return\"") || strstr(answer, "\"error\""));
}

static void rubbish(Chardev *c, FuzzInput *in)
{
    g_autofree char *text = g_memdup2(in->data, in->left);
    for (size_t i = 0; i < in->left; i++)
        if (text[i] == '/' || text[i] == '\\')
            text[i] = '{';
    g_free(say(c, text, in->left));
    in->left = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char begin[] = "{\"execute\":\"qmp_capabilities\"}", last[] = "{\"execute\":\"query-status\",\"id\":\"last\"}";
    FuzzInput in = { data, size };
    static bool moved;
    g_autofree char *folder = moved ? NULL : g_dir_make_tmp("fuzz-qmp-XXXXXX", NULL);
    moved = true;
    if (folder)
        require(chdir(folder) == 0 && g_rmdir(folder) == 0); /* gone once we are: nothing can be made there */
    bool structured = fuzz_take(&in, 1) & 3;
    g_autoptr(VmConfig) config = config_new();
    Vm *vm = build(config);
    Chardev *c = monitor_of(vm);
    g_free(say(c, begin, strlen(begin)));
    if (!structured)
        rubbish(c, &in);
    while (in.left)
        ask(vm, c, &in);
    if (structured) {
        g_autofree char *answer = say(c, last, strlen(last));
        require(strstr(answer, "\"last\""));
    }
    vm_destroy(vm);
    return 0;
}
