/* own.c - commands that virsh has not: why, top, ssh. */
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/domain.h"
#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* ---- why: each value of a domain, and where it comes from */

typedef struct Facts {
    Table *table;
    GHashTable *written, *running; /* path: value */
    GPtrArray *order;
} Facts;

static void flatten(GHashTable *into, GPtrArray *order, const char *path, JsonNode *node)
{
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObjectIter i;
        const char *name;
        JsonNode *child;
        json_object_iter_init(&i, json_node_get_object(node));
        while (json_object_iter_next(&i, &name, &child)) {
            g_autofree char *below = *path ? g_strconcat(path, ".", name, NULL) : g_strdup(name);
            flatten(into, order, below, child);
        }
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *list = json_node_get_array(node);
        for (guint i = 0; i < json_array_get_length(list); i++) {
            g_autofree char *below = g_strdup_printf("%s[%u]", path, i);
            flatten(into, order, below, json_array_get_element(list, i));
        }
    } else {
        char *text = json_to_string(node, FALSE);
        if (order && !g_hash_table_contains(into, path))
            g_ptr_array_add(order, g_strdup(path));
        g_hash_table_insert(into, g_strdup(path), text);
    }
}

static bool facts_of(const char *xml, RecordFlags flags, GHashTable *into, GPtrArray *order, GError **err)
{
    Domain *d = record_read_xml(&domain_type, xml, flags, NULL, err);
    if (!d)
        return false;
    g_autoptr(JsonNode) node = record_write_json(d, flags);
    flatten(into, order, "", node);
    record_free(d);
    return true;
}

/* What the table of fields says of a path: its default and its meaning. */
static const RecordField *field_at(const RecordType *t, const char *path)
{
    g_autofree char *name = g_strndup(path, strcspn(path, ".["));
    const RecordField *f = record_field(t, name);
    const char *rest = strchr(path, '.');
    return f && rest && f->record ? field_at(f->record, rest + 1) : f;
}

static bool run_why(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GHashTable) written = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free), running = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GPtrArray) order = g_ptr_array_new_with_free_func(g_free);
    gboolean active = FALSE, persistent = FALSE;
    if (!d || !atoll_domain_is_active_sync(d, &active, NULL, err) || !atoll_domain_is_persistent_sync(d, &persistent, NULL, err))
        return false;
    g_autofree char *config = persistent ? atoll_domain_get_xml_sync(d, 2, NULL, err) : NULL, *live = active ? atoll_domain_get_xml_sync(d, 0, NULL, err) : NULL;
    if ((persistent && (!config || !facts_of(config, 0, written, order, err))) || (active && (!live || !facts_of(live, RECORD_LIVE, running, order, err))))
        return false;
    const char *only = arg_text(c, "value");
    Table *t = table_new("Value", "Is", "Comes from", "Meaning", NULL);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < order->len; i++) {
        const char *path = order->pdata[i], *was = g_hash_table_lookup(written, path), *is = g_hash_table_lookup(running, path);
        if ((only && !strstr(path, only)) || !g_hash_table_add(seen, (char *)path))
            continue;
        const RecordField *f = field_at(&domain_type, path);
        g_autofree char *def = f && f->def ? g_strdup_printf("\"%s\"", f->def) : NULL, *next = NULL;
        const char *now = active && is ? is : was, *from;
        if (def && (!g_strcmp0(now, def) || !g_strcmp0(now, f->def)))
            from = "default";
        else if (active && persistent && is && !was)
            from = "the running machine";
        else if (active && persistent && !is)
            from = "definition, from the next start on";
        else if (active && persistent && g_strcmp0(is, was))
            from = next = g_strdup_printf("the running machine; %s from the next start on", was);
        else
            from = persistent ? "definition" : "as it was created";
        table_row(t, path, now, from, f && f->doc ? f->doc : "-", NULL);
    }
    table_print(c, t);
    return true;
}

/* ---- top: what the machines use, again and again */

typedef struct Use {
    guint64 cpu_ns, rd, wr, rx, tx, memory_kib;
    guint vcpus;
    int state;
} Use;

static guint64 number(GVariant *v)
{
    if (g_variant_is_of_type(v, G_VARIANT_TYPE_UINT64))
        return g_variant_get_uint64(v);
    if (g_variant_is_of_type(v, G_VARIANT_TYPE_INT64))
        return g_variant_get_int64(v);
    if (g_variant_is_of_type(v, G_VARIANT_TYPE_UINT32))
        return g_variant_get_uint32(v);
    return g_variant_is_of_type(v, G_VARIANT_TYPE_INT32) ? (guint64)g_variant_get_int32(v) : 0;
}

static Use use_of(GVariant *params)
{
    Use u = { 0 };
    GVariantIter i;
    const char *key;
    GVariant *value;
    g_variant_iter_init(&i, params);
    while (g_variant_iter_next(&i, "(&sv)", &key, &value)) {
        guint64 n = number(value);
        if (!strcmp(key, "state.state"))
            u.state = n;
        else if (!strcmp(key, "cpu.time"))
            u.cpu_ns = n;
        else if (!strcmp(key, "vcpu.current"))
            u.vcpus = n;
        else if (!strcmp(key, "balloon.current"))
            u.memory_kib = n;
        else if (g_str_has_prefix(key, "block.") && g_str_has_suffix(key, ".rd.bytes"))
            u.rd += n;
        else if (g_str_has_prefix(key, "block.") && g_str_has_suffix(key, ".wr.bytes"))
            u.wr += n;
        else if (g_str_has_prefix(key, "net.") && g_str_has_suffix(key, ".rx.bytes"))
            u.rx += n;
        else if (g_str_has_prefix(key, "net.") && g_str_has_suffix(key, ".tx.bytes"))
            u.tx += n;
        g_variant_unref(value);
    }
    return u;
}

static char *rate(guint64 now, guint64 before, double seconds)
{
    double value;
    const char *unit = pretty_size(seconds > 0 && now > before ? (now - before) / seconds : 0, &value);
    return g_strdup_printf("%.1f %s", value, unit);
}

static bool print_top(Cli *c, GHashTable *before, double seconds, GError **err)
{
    enum { ACTIVE = 1 };
    g_autoptr(GVariant) v = cli_call(c, "CONNECT_GET_ALL_DOMAIN_STATS", g_variant_new("(@a(ssi)uu)", g_variant_new_array(G_VARIANT_TYPE("(ssi)"), NULL, 0), 0, ACTIVE), err);
    g_autoptr(GVariant) list = v ? g_variant_get_child_value(v, 0) : NULL;
    if (!v)
        return false;
    Table *t = table_new("Id", "Name", "State", "vCPUs", "CPU %", "Memory", "Read/s", "Write/s", "In/s", "Out/s", NULL);
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        const char *name, *uuid;
        int id;
        g_autoptr(GVariant) params = NULL;
        g_variant_get_child(list, i, "((&s&si)@a(sv))", &name, &uuid, &id, &params);
        Use u = use_of(params);
        const Use *o = g_hash_table_lookup(before, uuid);
        double memory, busy = o && seconds > 0 ? (u.cpu_ns - o->cpu_ns) / seconds / 1e7 : 0;
        const char *unit = pretty_size(u.memory_kib * 1024, &memory);
        g_autofree char *number_text = g_strdup_printf("%d", id), *vcpus = g_strdup_printf("%u", u.vcpus), *cpu = g_strdup_printf("%.1f", busy), *mem = g_strdup_printf("%.0f %s", memory, unit);
        g_autofree char *rd = rate(u.rd, o ? o->rd : u.rd, seconds), *wr = rate(u.wr, o ? o->wr : u.wr, seconds), *rx = rate(u.rx, o ? o->rx : u.rx, seconds), *tx = rate(u.tx, o ? o->tx : u.tx, seconds);
        table_row(t, number_text, name, domain_state_text(u.state), vcpus, cpu, mem, rd, wr, rx, tx, NULL);
        g_hash_table_insert(before, g_strdup(uuid), g_memdup2(&u, sizeof u));
    }
    table_print(c, t);
    return true;
}

static bool run_top(Cli *c, GError **err)
{
    gint64 delay_s = 2, count = isatty(STDOUT_FILENO) && !c->json ? G_MAXINT : 1;
    g_autoptr(GHashTable) before = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (!arg_int(c, "delay", &delay_s, err) || !arg_int(c, "count", &count, err))
        return false;
    if (delay_s < 1 || count < 1)
        return cli_error(err, "--delay and --count are at least 1");
    gint64 last_us = 0;
    bool clear = isatty(STDOUT_FILENO) && !c->json;
    for (gint64 i = 0; i < count; i++) {
        if (i)
            g_usleep(delay_s * G_USEC_PER_SEC);
        gint64 now_us = g_get_monotonic_time();
        if (clear)
            fputs("\033[H\033[2J", stdout);
        if (!print_top(c, before, last_us ? (now_us - last_us) / 1e6 : 0, err))
            return false;
        fflush(stdout);
        last_us = now_us;
    }
    return true;
}

/* ---- ssh */

/* The first address that is not the loopback's: of a lease, then of the agent, then of the neighbours' table. */
static char *address_of(AtollDomain *d, GError **err)
{
    for (guint source = 0; source < 3; source++) {
        g_autoptr(GVariant) v = atoll_domain_get_interface_addresses_sync(d, source, 0, NULL, NULL), list = v ? g_variant_get_child_value(v, 0) : NULL;
        for (gsize i = 0; list && i < g_variant_n_children(list); i++) {
            g_autoptr(GVariant) addresses = NULL;
            const char *address;
            g_variant_get_child(list, i, "(sms@a(isu))", NULL, NULL, &addresses);
            for (gsize n = 0; n < g_variant_n_children(addresses); n++) {
                g_variant_get_child(addresses, n, "(i&su)", NULL, &address, NULL);
                if (!g_str_has_prefix(address, "127.") && strcmp(address, "::1") && !g_str_has_prefix(address, "fe80"))
                    return g_strdup(address);
            }
        }
    }
    cli_error(err, "no address of domain '%s' is known: it has no lease of a network of ours, no agent answers, and no neighbour has its MAC address", name_of(d));
    return NULL;
}

static bool run_ssh(Cli *c, GError **err)
{
    const char *spec = arg_text(c, "domain"), *at = strchr(spec, '@');
    g_autofree char *user = at ? g_strndup(spec, at - spec) : NULL, *name = g_strdup(at ? at + 1 : spec);
    g_hash_table_insert(c->values, (char *)"domain", g_strdup(name));
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autofree char *address = d ? address_of(d, err) : NULL, *target = NULL;
    if (!address)
        return false;
    target = user ? g_strdup_printf("%s@%s", user, address) : g_strdup(address);
    if (arg_given(c, "print")) {
        out_line(c, "command", "ssh %s", target);
        return true;
    }
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_ptr_array_add(words, "ssh");
    g_ptr_array_add(words, target);
    for (guint i = 0; i < c->rest->len; i++)
        g_ptr_array_add(words, c->rest->pdata[i]);
    g_ptr_array_add(words, NULL);
    fflush(stdout);
    execvp("ssh", (char **)words->pdata);
    return cli_error(err, "cannot run ssh: %s", g_strerror(errno));
}

const Command own_commands[] = {
    { "ssh", "log in to a domain by its address", ARGS({ "domain", ARG_DOMAIN, ARG_REQUIRED, "[USER@]domain" }, { "print", ARG_FLAG, 0, "print the command rather than run it" },
                                                       { "command", ARG_TEXT, ARG_REST, "what to run there" }), run_ssh },
    { "top", "what running domains use, again and again", ARGS({ "delay", ARG_INT, ARG_NAMED, "seconds between two looks" }, { "count", ARG_INT, ARG_NAMED, "looks" }), run_top },
    { "why", "each effective value of a domain and where it comes from", ARGS(DOMAIN_ARG, { "value", ARG_TEXT, 0, "only those whose path has this" }), run_why },
    { NULL },
};
