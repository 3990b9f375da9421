/* domain_info.c - commands: what domains are and do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* virDomainState, and what each was reached by (virDomainRunningReason and so on). */
const char *const domain_states[] = { "no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended", NULL };
static const char *const reasons[][15] = {
    { "unknown" },
    { "unknown", "booted", "migrated", "restored", "from snapshot", "unpaused", "migration canceled", "save canceled", "event wakeup", "crashed", "post-copy", "post-copy failed" },
    { "unknown" },
    { "unknown", "user", "migrating", "saving", "dumping", "I/O error", "watchdog", "from snapshot", "shutting down", "creating snapshot", "crashed", "starting up", "post-copy",
      "post-copy failed", "API error" },
    { "unknown", "user" },
    { "unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot", "daemon" },
    { "unknown", "panicked" },
    { "unknown" },
};

const char *domain_state_text(int state) { return state >= 0 && state < (int)g_strv_length((char **)domain_states) ? domain_states[state] : "no state"; }

static const char *reason_text(int state, int reason)
{
    if (state < 0 || state >= (int)G_N_ELEMENTS(reasons) || reason < 0 || reason >= (int)G_N_ELEMENTS(reasons[0]) || !reasons[state][reason])
        return "unknown";
    return reasons[state][reason];
}

static bool get_state(AtollDomain *d, int *ret_state, int *ret_reason, GError **err)
{
    g_autoptr(GVariant) v = atoll_domain_get_state_sync(d, 0, NULL, err);
    if (v)
        g_variant_get(v, "(ii)", ret_state, ret_reason);
    return v;
}

/* Running ones by number, then the others by name. */
static int by_id(gconstpointer a, gconstpointer b)
{
    AtollDomain *x = *(AtollDomain *const *)a, *y = *(AtollDomain *const *)b;
    int i = atoll_domain_get_id(x), j = atoll_domain_get_id(y);
    if (i != j)
        return i < 0 ? 1 : j < 0 ? -1 : i - j;
    return g_ascii_strcasecmp(name_of(x), name_of(y));
}

static char *title_of(AtollDomain *d)
{
    g_autoptr(GVariant) v = object_call(d, "DOMAIN_GET_METADATA", g_variant_new("(imsu)", 1, NULL, 0), NULL);
    char *text = NULL;
    if (v)
        g_variant_get_child(v, 0, "s", &text);
    return text ? text : g_strdup("");
}

static bool run_list(Cli *c, GError **err)
{
    guint flags = arg_bits(c);
    bool name = arg_given(c, "name"), uuid = arg_given(c, "uuid"), id = arg_given(c, "id"), title = arg_given(c, "title");
    if (arg_given(c, "table") && (name || uuid || id))
        return cli_error(err, "Only one argument from --table, --name and --uuid may be specified.");
    if (!arg_given(c, "inactive") && !arg_given(c, "all"))
        flags |= 1;
    else if (arg_given(c, "inactive") && !arg_given(c, "all"))
        flags |= 2;
    g_autoptr(GPtrArray) list = atoll_connection_list_domains_sync(c->connection, flags, NULL, err);
    if (!list) {
        cli_headline(c, "Failed to list domains");
        return false;
    }
    g_ptr_array_sort(list, by_id);
    bool table = c->json || (!name && !uuid && !id);
    Table *t = table ? title ? table_new("Id", "Name", "State", "Title", NULL) : c->json ? table_new("Id", "Name", "State", "UUID", NULL) : table_new("Id", "Name", "State", NULL) : NULL;
    for (guint i = 0; i < list->len; i++) {
        AtollDomain *d = list->pdata[i];
        int state = 0, reason, number = atoll_domain_get_id(d);
        g_autofree char *number_text = number < 0 ? g_strdup("-") : g_strdup_printf("%d", number), *words = NULL;
        if (t && !get_state(d, &state, &reason, NULL))
            continue; /* gone meanwhile */
        words = title ? title_of(d) : NULL;
        if (t)
            table_row(t, number_text, name_of(d), domain_state_text(state), words ? words : key_of(d), NULL);
        else if (uuid && name)
            printf("%s %-30s\n", key_of(d), name_of(d));
        else
            puts(id ? number_text : uuid ? key_of(d) : name_of(d));
    }
    if (t)
        table_print(c, t);
    return true;
}

static const char *yes_no(int value) { return value ? "yes" : "no"; }

static bool run_dominfo(Cli *c, GError **err)
{
    enum { W = 15 };
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d)
        return false;
    int id = atoll_domain_get_id(d), value;
    guint vcpus;
    guint32 state;
    guint64 most, memory, cpu_ns;
    g_autoptr(GVariant) info = atoll_domain_get_info_sync(d, NULL, err);
    if (!info)
        return false;
    g_variant_get(info, "(uttut)", &state, &most, &memory, &vcpus, &cpu_ns);
    if (id < 0)
        out_pair(c, W, "Id", "-");
    else
        out_pair(c, W, "Id", "%d", id);
    out_pair(c, W, "Name", "%s", name_of(d));
    out_pair(c, W, "UUID", "%s", key_of(d));
    g_autoptr(GVariant) os = object_call(d, "DOMAIN_GET_OS_TYPE", NULL, NULL);
    if (os) {
        const char *type;
        g_variant_get(os, "(&s)", &type);
        out_pair(c, W, "OS Type", "%s", type);
    }
    out_pair(c, W, "State", "%s", domain_state_text(state));
    out_pair(c, W, "CPU(s)", "%u", vcpus);
    if (cpu_ns)
        out_pair(c, W, "CPU time", "%.1lfs", cpu_ns / 1e9);
    if (most)
        out_pair(c, W, "Max memory", "%" G_GUINT64_FORMAT " KiB", most);
    else
        out_pair(c, W, "Max memory", "no limit");
    out_pair(c, W, "Used memory", "%" G_GUINT64_FORMAT " KiB", memory);
    if (object_int(d, "DOMAIN_IS_PERSISTENT", &value, NULL))
        out_pair(c, W, "Persistent", "%s", yes_no(value));
    if (object_int(d, "DOMAIN_GET_AUTOSTART", &value, NULL))
        out_pair(c, W, "Autostart", "%s", value ? "enable" : "disable");
    g_autoptr(GVariant) saved = object_call(d, "DOMAIN_HAS_MANAGED_SAVE_IMAGE", g_variant_new("(u)", 0), NULL);
    if (saved) {
        g_variant_get_child(saved, 0, "i", &value);
        out_pair(c, W, "Managed save", "%s", yes_no(value));
    }
    g_autoptr(GVariant) model = cli_call(c, "NODE_GET_SECURITY_MODEL", NULL, NULL);
    if (model && !c->json) {
        g_autoptr(GVariant) name = g_variant_get_child_value(model, 0), doi = g_variant_get_child_value(model, 1);
        gsize n = g_variant_n_children(name);
        g_autoptr(GString) text = g_string_new(NULL);
        for (gsize i = 0; i < n; i++) {
            int letter;
            g_variant_get_child(name, i, "i", &letter);
            if (letter)
                g_string_append_c(text, letter);
        }
        if (text->len)
            out_pair(c, W, "Security model", "%s", text->str);
    }
    g_autoptr(GVariant) messages = object_call(d, "DOMAIN_GET_MESSAGES", g_variant_new("(u)", 0), NULL);
    if (messages) {
        g_autofree const char **lines = NULL;
        g_variant_get(messages, "(^a&s)", &lines);
        for (unsigned i = 0; lines[i]; i++)
            out_pair(c, W, i ? "" : "Messages", "%s", lines[i]);
    }
    return true;
}

static bool run_domstate(Cli *c, GError **err)
{
    int state, reason;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || !get_state(d, &state, &reason, err))
        return false;
    if (arg_given(c, "reason"))
        out_line(c, "state", "%s (%s)", domain_state_text(state), reason_text(state, reason));
    else
        out_line(c, "state", "%s", domain_state_text(state));
    return true;
}

bool run_dumpxml(Cli *c, GError **err)
{
    static const struct {
        const char *command, *argument, *procedure;
    } kinds[] = { { "dumpxml", "domain", "DOMAIN_GET_XML_DESC" }, { "net-dumpxml", "network", "NETWORK_GET_XML_DESC" }, { "pool-dumpxml", "pool", "STORAGE_POOL_GET_XML_DESC" },
                  { "vol-dumpxml", "vol", "STORAGE_VOL_GET_XML_DESC" }, { "nodedev-dumpxml", "device", "NODE_DEVICE_GET_XML_DESC" } };
    unsigned k = 0;
    while (strcmp(kinds[k].command, c->command->name))
        k++;
    g_autoptr(AtollObject) o = cli_object(c, kinds[k].argument, err);
    g_autofree char *xml = o ? object_text(o, kinds[k].procedure, arg_bits(c), err) : NULL;
    return xml && out_document(c, xml, err);
}

bool run_uuid(Cli *c, GError **err)
{
    g_autoptr(AtollObject) o = cli_object(c, c->command->args[0].name, err);
    if (o)
        out_line(c, "uuid", "%s", key_of(o));
    return o;
}

bool run_name(Cli *c, GError **err)
{
    g_autoptr(AtollObject) o = cli_object(c, c->command->args[0].name, err);
    if (o)
        out_line(c, "name", "%s", name_of(o));
    return o;
}

static bool run_domid(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (d && atoll_domain_get_id(d) < 0)
        out_line(c, "id", "-");
    else if (d)
        out_line(c, "id", "%d", atoll_domain_get_id(d));
    return d;
}

/* The definition as a document. */
static Document *definition(AtollDomain *d, guint flags, GError **err)
{
    g_autofree char *xml = atoll_domain_get_xml_sync(d, flags, NULL, err);
    return xml ? document_read(xml, err) : NULL;
}

static char *at(Document *x, const char *format, int i)
{
    g_autofree char *path = g_strdup_printf(format, i);
    char *text = document_text(x, path);
    if (text && *text)
        return text;
    g_free(text);
    return g_strdup("-");
}

static bool run_domblklist(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(Document) x = d ? definition(d, arg_given(c, "inactive") ? 2 : 0, err) : NULL;
    if (!x)
        return false;
    bool details = arg_given(c, "details");
    Table *t = details ? table_new("Type", "Device", "Target", "Source", NULL) : table_new("Target", "Source", NULL);
    int n = document_count(x, "/domain/devices/disk");
    for (int i = 1; i <= n; i++) {
        g_autofree char *type = at(x, "string(/domain/devices/disk[%d]/@type)", i), *device = at(x, "string(/domain/devices/disk[%d]/@device)", i);
        g_autofree char *target = at(x, "string(/domain/devices/disk[%d]/target/@dev)", i);
        g_autofree char *source = at(x, "string(/domain/devices/disk[%d]/source/@*[name()='file' or name()='dev' or name()='dir' or name()='name' or name()='volume'])", i);
        if (details)
            table_row(t, type, strcmp(device, "-") ? device : "disk", target, source, NULL);
        else
            table_row(t, target, source, NULL);
    }
    table_print(c, t);
    return true;
}

static bool run_domiflist(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(Document) x = d ? definition(d, arg_given(c, "inactive") ? 2 : 0, err) : NULL;
    if (!x)
        return false;
    Table *t = table_new("Interface", "Type", "Source", "Model", "MAC", NULL);
    int n = document_count(x, "/domain/devices/interface");
    for (int i = 1; i <= n; i++) {
        g_autofree char *target = at(x, "string(/domain/devices/interface[%d]/target/@dev)", i), *type = at(x, "string(/domain/devices/interface[%d]/@type)", i);
        g_autofree char *source = at(x, "string(/domain/devices/interface[%d]/source/@*[name()='network' or name()='bridge' or name()='dev' or name()='name'])", i);
        g_autofree char *model = at(x, "string(/domain/devices/interface[%d]/model/@type)", i), *mac = at(x, "string(/domain/devices/interface[%d]/mac/@address)", i);
        table_row(t, target, type, source, model, mac, NULL);
    }
    table_print(c, t);
    return true;
}

static bool run_domblkinfo(Cli *c, GError **err)
{
    enum { W = 15 };
    guint64 capacity, allocation, physical;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!arg_given(c, "device"))
        return cli_error(err, "command 'domblkinfo' requires <device> option");
    g_autoptr(GVariant) v = d ? object_call(d, "DOMAIN_GET_BLOCK_INFO", g_variant_new("(su)", arg_text(c, "device"), 0), err) : NULL;
    if (!v)
        return false;
    g_variant_get(v, "(ttt)", &allocation, &capacity, &physical);
    bool human = arg_given(c, "human") && !c->json;
    const struct {
        const char *label;
        guint64 value;
    } rows[] = { { "Capacity", capacity }, { "Allocation", allocation }, { "Physical", physical } };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (!capacity && !allocation && !physical) { /* not known of one that does not run */
            out_pair(c, W, rows[i].label, "-");
        } else if (human) {
            double value;
            const char *unit = pretty_size(rows[i].value, &value);
            out_pair(c, W, rows[i].label, "%-.3lf %s", value, unit);
        } else {
            out_pair(c, W, rows[i].label, "%" G_GUINT64_FORMAT, rows[i].value);
        }
    return true;
}

/* virDomainMemoryStatTags */
static bool run_dommemstat(Cli *c, GError **err)
{
    static const char *const tags[] = { "swap_in", "swap_out", "major_fault", "minor_fault", "unused", "available", "actual", "rss", "usable", "last_update", "disk_caches",
                                        "hugetlb_pgalloc", "hugetlb_pgfail" };
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GVariant) v = d ? object_call(d, "DOMAIN_MEMORY_STATS", g_variant_new("(uu)", 13, 0), err) : NULL;
    if (!v) {
        if (d)
            cli_headline(c, "Failed to get memory statistics for domain %s", name_of(d));
        return false;
    }
    g_autoptr(GVariant) list = g_variant_get_child_value(v, 0);
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        int tag;
        guint64 value;
        g_variant_get_child(list, i, "(it)", &tag, &value);
        if (tag >= 0 && tag < (int)G_N_ELEMENTS(tags))
            out_line(c, tags[tag], "%s %" G_GUINT64_FORMAT, tags[tag], value);
    }
    return true;
}

static char *param_text(GVariant *value)
{
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_STRING))
        return g_variant_dup_string(value, NULL);
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_BOOLEAN))
        return g_strdup(g_variant_get_boolean(value) ? "yes" : "no");
    if (g_variant_is_of_type(value, G_VARIANT_TYPE_DOUBLE))
        return g_strdup_printf("%f", g_variant_get_double(value));
    return g_variant_print(value, FALSE);
}

/* virDomainStatsTypes are the bits of the flags. */
static bool run_domstats(Cli *c, GError **err)
{
    g_autoptr(GVariantBuilder) b = g_variant_builder_new(G_VARIANT_TYPE("a(ssi)"));
    guint wanted = arg_bits(c) & 0xfff, flags = arg_bits(c) & ~0xfffu;
    for (guint i = 0; i < c->rest->len; i++) {
        g_autoptr(AtollDomain) d = atoll_connection_find_domain_sync(c->connection, c->rest->pdata[i], NULL, err);
        if (!d) {
            cli_headline(c, "failed to get domain '%s'", (char *)c->rest->pdata[i]);
            return false;
        }
        g_variant_builder_add_value(b, atoll_object_get_handle(ATOLL_OBJECT(d)));
    }
    g_autoptr(GVariant) v = cli_call(c, "CONNECT_GET_ALL_DOMAIN_STATS", g_variant_new("(a(ssi)uu)", b, wanted, flags & ~0x1000u), err);
    g_autoptr(GVariant) list = v ? g_variant_get_child_value(v, 0) : NULL;
    Table *t = c->json ? table_new("Domain", "Name", "Value", NULL) : NULL;
    for (gsize i = 0; list && i < g_variant_n_children(list); i++) {
        g_autoptr(GVariant) params = NULL;
        const char *name, *key;
        GVariantIter iter;
        GVariant *value;
        g_variant_get_child(list, i, "((&s&si)@a(sv))", &name, NULL, NULL, &params);
        if (!t)
            printf("%sDomain: '%s'\n", i ? "\n" : "", name);
        g_variant_iter_init(&iter, params);
        while (g_variant_iter_next(&iter, "(&sv)", &key, &value)) {
            g_autofree char *text = param_text(value);
            if (t)
                table_row(t, name, key, text, NULL);
            else
                printf("  %s=%s\n", key, text);
            g_variant_unref(value);
        }
    }
    if (t)
        table_print(c, t);
    return v;
}

static bool run_vcpucount(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    bool one = arg_given(c, "maximum") || arg_given(c, "active");
    gboolean active = FALSE, persistent = FALSE;
    if (!d || !atoll_domain_is_active_sync(d, &active, NULL, err) || !atoll_domain_is_persistent_sync(d, &persistent, NULL, err))
        return false;
    static const struct {
        const char *kind, *where;
        guint flags;
    } rows[] = { { "maximum", "config", 6 }, { "maximum", "live", 5 }, { "current", "config", 2 }, { "current", "live", 1 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint affect = rows[i].flags & 3, asked = arg_affect(c);
        if (one && (arg_given(c, "maximum") != (bool)(rows[i].flags & 4)))
            continue;
        if (asked ? !(asked & affect) : (affect == 1 && !active) || (affect == 2 && !persistent))
            continue;
        if (one && !asked && affect == 2 && active)
            continue;
        g_autoptr(GVariant) v = object_call(d, "DOMAIN_GET_VCPUS_FLAGS", g_variant_new("(u)", rows[i].flags), err);
        int count;
        if (!v)
            return false;
        g_variant_get_child(v, 0, "i", &count);
        if (one)
            out_line(c, "count", "%d", count);
        else if (c->json) {
            g_autofree char *label = g_strdup_printf("%s-%s", rows[i].kind, rows[i].where);
            out_pair(c, 0, label, "%d", count);
        } else
            printf("%-12s %-12s %3d\n", rows[i].kind, rows[i].where, count);
    }
    return true;
}

/* Of a machine's screen: scheme://host:port, or for vncdisplay host:display. */
static bool run_display(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(Document) x = d ? definition(d, 0, err) : NULL;
    gboolean active = FALSE;
    bool vnc = !strcmp(c->command->name, "vncdisplay");
    if (!x || !atoll_domain_is_active_sync(d, &active, NULL, err))
        return false;
    if (!active)
        return cli_error(err, "Domain is not running");
    g_autofree char *type = at(x, vnc ? "string(/domain/devices/graphics[@type='vnc'][%d]/@type)" : "string(/domain/devices/graphics[%d]/@type)", 1);
    g_autofree char *port = at(x, vnc ? "string(/domain/devices/graphics[@type='vnc'][%d]/@port)" : "string(/domain/devices/graphics[%d]/@port)", 1);
    g_autofree char *listen = at(x, vnc ? "string(/domain/devices/graphics[@type='vnc'][%d]/@listen)" : "string(/domain/devices/graphics[%d]/@listen)", 1);
    if (!strcmp(type, "-") || !strcmp(port, "-"))
        return cli_error(err, vnc ? "Failed to get VNC port. Is this domain using VNC?" : "No graphical display found");
    bool any = !strcmp(listen, "0.0.0.0") || !strcmp(listen, "-");
    g_autofree char *uri = g_strdup_printf("%s://%s:%d", type, any ? "localhost" : listen, !strcmp(type, "vnc") ? atoi(port) - 5900 : atoi(port));
    if (vnc)
        out_line(c, "display", "%s:%d", any ? "" : listen, atoi(port) - 5900);
    else
        out_text(c, "display", uri);
    return true;
}

static bool run_ttyconsole(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(Document) x = d ? definition(d, 0, err) : NULL;
    if (!x)
        return false;
    g_autofree char *tty = at(x, "string((/domain/devices/console/@tty | /domain/devices/serial/source/@path | /domain/devices/console/source/@path)[%d])", 1);
    if (!strcmp(tty, "-"))
        return cli_error(err, "domain '%s' has no terminal now", name_of(d));
    out_line(c, "tty", "%s", tty);
    return true;
}

/* virDomainInterfaceAddressesSource */
static bool run_domifaddr(Cli *c, GError **err)
{
    static const char *const sources[] = { "lease", "agent", "arp" };
    const char *source = arg_given(c, "source") ? arg_text(c, "source") : "lease";
    guint which = 0;
    while (which < G_N_ELEMENTS(sources) && strcmp(sources[which], source))
        which++;
    if (which == G_N_ELEMENTS(sources))
        return cli_error(err, "Unknown data source '%s': lease, agent or arp", source);
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GVariant) v = d ? atoll_domain_get_interface_addresses_sync(d, which, 0, NULL, err) : NULL;
    if (!v) {
        if (d)
            cli_headline(c, "Failed to query for interfaces addresses");
        return false;
    }
    Table *t = c->json ? table_new("Name", "MAC address", "Protocol", "Address", NULL) : NULL;
    if (!t) {
        out_message(c, " %-10s %-20s %-8s     %s", "Name", "MAC address", "Protocol", "Address");
        out_message(c, "-------------------------------------------------------------------------------");
    }
    g_autoptr(GVariant) list = g_variant_get_child_value(v, 0);
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        const char *name, *mac;
        g_autoptr(GVariant) addresses = NULL;
        g_variant_get_child(list, i, "(&sm&s@a(isu))", &name, &mac, &addresses);
        for (gsize n = 0; n < g_variant_n_children(addresses); n++) {
            int type;
            const char *address;
            guint prefix;
            g_variant_get_child(addresses, n, "(i&su)", &type, &address, &prefix);
            g_autofree char *whole = g_strdup_printf("%s/%u", address, prefix);
            if (t)
                table_row(t, name, mac ? mac : "-", type ? "ipv6" : "ipv4", whole, NULL);
            else
                printf(" %-10s %-17s    %-8s     %s\n", n && !arg_given(c, "full") ? "-" : name, n && !arg_given(c, "full") ? "-" : mac ? mac : "-", type ? "ipv6" : "ipv4", whole);
        }
    }
    if (t)
        table_print(c, t);
    return true;
}

#define LIST_FLAG(name, bit, help) { name, ARG_FLAG, 0, help, bit }

const Command domain_info_commands[] = {
    { "domblkinfo", "domain block device size information",
      ARGS(DOMAIN_ARG, { "device", ARG_TEXT, 0, "block device" }, { "human", ARG_FLAG, 0, "Human readable output" }), run_domblkinfo },
    { "domblklist", "list all domain blocks", ARGS(DOMAIN_ARG, { "inactive", ARG_FLAG, 0, "get inactive rather than running configuration" }, { "details", ARG_FLAG, 0, "additionally display the type and device value" }), run_domblklist },
    { "domdisplay", "domain display connection URI", ARGS(DOMAIN_ARG), run_display },
    { "domid", "convert a domain name or UUID to domain id", ARGS({ "domain", ARG_DOMAIN, ARG_REQUIRED, "domain name or uuid" }), run_domid },
    { "domifaddr", "Get network interfaces' addresses for a running domain",
      ARGS(DOMAIN_ARG, { "interface", ARG_TEXT, 0, "network interface name" }, { "full", ARG_FLAG, 0, "always display names and MACs of interfaces" },
           { "source", ARG_TEXT, ARG_NAMED, "address source: 'lease', 'agent', or 'arp'" }),
      run_domifaddr },
    { "domiflist", "list all domain virtual interfaces", ARGS(DOMAIN_ARG, { "inactive", ARG_FLAG, 0, "get inactive rather than running configuration" }), run_domiflist },
    { "dominfo", "domain information", ARGS(DOMAIN_ARG), run_dominfo },
    { "dommemstat", "get memory statistics for a domain", ARGS(DOMAIN_ARG), run_dommemstat },
    { "domname", "convert a domain id or UUID to domain name", ARGS({ "domain", ARG_DOMAIN, ARG_REQUIRED, "domain id or uuid" }), run_name },
    { "domstate", "domain state", ARGS(DOMAIN_ARG, { "reason", ARG_FLAG, 0, "also print reason for the state" }), run_domstate },
    { "domstats", "get statistics about one or multiple domains",
      ARGS(LIST_FLAG("state", 1, "report domain state"), LIST_FLAG("cpu-total", 2, "report domain physical cpu usage"), LIST_FLAG("balloon", 4, "report domain balloon statistics"),
           LIST_FLAG("vcpu", 8, "report domain virtual cpu information"), LIST_FLAG("interface", 16, "report domain network interface information"),
           LIST_FLAG("block", 32, "report domain block device statistics"), LIST_FLAG("perf", 64, "report domain perf event statistics"),
           LIST_FLAG("iothread", 128, "report domain IOThread information"), LIST_FLAG("memory", 256, "report domain memory usage"),
           LIST_FLAG("dirtyrate", 512, "report domain dirty rate information"), LIST_FLAG("vm", 1024, "report hypervisor-specific statistics"), { "raw", ARG_FLAG, 0, "do not pretty-print the fields" },
           { "domain", ARG_DOMAIN, ARG_REST, "list of domains to get stats for" }),
      run_domstats },
    { "domuuid", "convert a domain name or id to domain UUID", ARGS({ "domain", ARG_DOMAIN, ARG_REQUIRED, "domain id or name" }), run_uuid },
    { "dumpxml", "domain information in XML",
      ARGS(DOMAIN_ARG, { "inactive", ARG_FLAG, 0, "show inactive defined XML", 2 }, { "security-info", ARG_FLAG, 0, "include security sensitive information in XML dump", 1 },
           { "update-cpu", ARG_FLAG, 0, "update guest CPU according to host CPU", 4 }, { "migratable", ARG_FLAG, 0, "provide XML suitable for migrations", 8 }, XPATH_ARGS),
      run_dumpxml },
    { "list", "list domains",
      ARGS({ "inactive", ARG_FLAG, 0, "list inactive domains" }, { "all", ARG_FLAG, 0, "list inactive & active domains" }, LIST_FLAG("transient", 8, "list transient domains"),
           LIST_FLAG("persistent", 4, "list persistent domains"), LIST_FLAG("with-snapshot", 4096, "list domains with existing snapshot"),
           LIST_FLAG("without-snapshot", 8192, "list domains without a snapshot"), LIST_FLAG("with-checkpoint", 16384, "list domains with existing checkpoint"),
           LIST_FLAG("without-checkpoint", 32768, "list domains without a checkpoint"), LIST_FLAG("state-running", 16, "list domains in running state"),
           LIST_FLAG("state-paused", 32, "list domains in paused state"), LIST_FLAG("state-shutoff", 64, "list domains in shutoff state"),
           LIST_FLAG("state-other", 128, "list domains in other states"), LIST_FLAG("autostart", 1024, "list domains with autostart enabled"),
           LIST_FLAG("no-autostart", 2048, "list domains with autostart disabled"), LIST_FLAG("with-managed-save", 256, "list domains with managed save state"),
           LIST_FLAG("without-managed-save", 512, "list domains without managed save"), { "uuid", ARG_FLAG, 0, "list uuid's only" }, { "name", ARG_FLAG, 0, "list domain names only" },
           { "id", ARG_FLAG, 0, "list domain IDs only" }, { "table", ARG_FLAG, 0, "list table (default)" }, { "managed-save", ARG_FLAG, 0, "mark inactive domains with managed save state" },
           { "title", ARG_FLAG, 0, "show domain title" }),
      run_list },
    { "ttyconsole", "tty console", ARGS(DOMAIN_ARG), run_ttyconsole },
    { "vcpucount", "domain vcpu counts",
      ARGS(DOMAIN_ARG, { "maximum", ARG_FLAG, 0, "get maximum count of vcpus" }, { "active", ARG_FLAG, 0, "get number of currently active vcpus" }, AFFECT_ARGS), run_vcpucount },
    { "vncdisplay", "vnc display", ARGS(DOMAIN_ARG), run_display },
    { NULL },
};
