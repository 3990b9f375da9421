/* network.c - commands: networks. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* From a file: a network, a pool; defined or started at once. */
static bool run_net_from_file(Cli *c, GError **err)
{
    bool define = !strcmp(c->command->name, "net-define");
    const char *from = arg_text(c, "file");
    g_autofree char *xml = NULL;
    if (!arg_file(c, "file", &xml, err))
        return false;
    g_autoptr(AtollNetwork) n = define ? atoll_connection_define_network_sync(c->connection, xml, NULL, err) : atoll_connection_create_network_sync(c->connection, xml, NULL, err);
    if (n)
        out_message(c, define ? "Network %s defined from %s" : "Network %s created from %s", name_of(n), from);
    else
        cli_headline(c, define ? "Failed to define network from %s" : "Failed to create network from %s", from);
    return n;
}

/* Active ones first, each by name. */
typedef struct Row {
    AtollObject *object;
    int active;
} Row;

static int by_activity(gconstpointer a, gconstpointer b)
{
    const Row *x = a, *y = b;
    return x->active != y->active ? y->active - x->active : g_ascii_strcasecmp(name_of(x->object), name_of(y->object));
}

static bool run_net_list(Cli *c, GError **err)
{
    guint flags = arg_bits(c);
    bool name = arg_given(c, "name"), uuid = arg_given(c, "uuid");
    if (!arg_given(c, "inactive") && !arg_given(c, "all"))
        flags |= 2;
    else if (!arg_given(c, "all"))
        flags |= 1;
    g_autoptr(GPtrArray) list = atoll_connection_list_networks_sync(c->connection, flags, NULL, err);
    if (!list) {
        cli_headline(c, "Failed to list networks");
        return false;
    }
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(Row));
    for (guint i = 0; i < list->len; i++) {
        Row r = { list->pdata[i], 0 };
        object_int(r.object, "NETWORK_IS_ACTIVE", &r.active, NULL);
        g_array_append_val(rows, r);
    }
    g_array_sort(rows, by_activity);
    Table *t = c->json || (!name && !uuid) ? table_new("Name", "State", "Autostart", "Persistent", NULL) : NULL;
    for (guint i = 0; i < rows->len; i++) {
        const Row *r = &g_array_index(rows, Row, i);
        int autostart, persistent = 0;
        if (!t) {
            puts(uuid ? key_of(r->object) : name_of(r->object));
            continue;
        }
        bool known = object_int(r->object, "NETWORK_GET_AUTOSTART", &autostart, NULL);
        object_int(r->object, "NETWORK_IS_PERSISTENT", &persistent, NULL);
        table_row(t, name_of(r->object), r->active ? "active" : "inactive", !known ? "no autostart" : autostart ? "yes" : "no", persistent ? "yes" : "no", NULL);
    }
    if (t)
        table_print(c, t);
    return true;
}

static bool run_net_info(Cli *c, GError **err)
{
    enum { W = 15 };
    int value;
    g_autoptr(AtollNetwork) n = cli_network(c, err);
    if (!n)
        return false;
    out_pair(c, W, "Name", "%s", name_of(n));
    out_pair(c, W, "UUID", "%s", key_of(n));
    if (object_int(n, "NETWORK_IS_ACTIVE", &value, NULL))
        out_pair(c, W, "Active", "%s", value ? "yes" : "no");
    if (object_int(n, "NETWORK_IS_PERSISTENT", &value, NULL))
        out_pair(c, W, "Persistent", "%s", value ? "yes" : "no");
    if (object_int(n, "NETWORK_GET_AUTOSTART", &value, NULL))
        out_pair(c, W, "Autostart", "%s", value ? "yes" : "no");
    g_autofree char *bridge = atoll_network_get_bridge_sync(n, NULL, NULL);
    if (bridge)
        out_pair(c, W, "Bridge", "%s", bridge);
    return true;
}

static bool run_net_dhcp_leases(Cli *c, GError **err)
{
    g_autoptr(AtollNetwork) n = cli_network(c, err);
    g_autoptr(GVariant) v = n ? atoll_network_get_leases_sync(n, arg_text(c, "mac"), 0, NULL, err) : NULL;
    if (!v) {
        if (n)
            cli_headline(c, "Failed to get leases info for %s", name_of(n));
        return false;
    }
    Table *t = table_new("Expiry Time", "MAC address", "Protocol", "IP address", "Hostname", "Client ID or DUID", NULL);
    g_autoptr(GVariant) list = g_variant_get_child_value(v, 0);
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        const char *mac, *address, *host, *client;
        gint64 expiry;
        int type;
        guint prefix;
        g_variant_get_child(list, i, "(&sxim&sm&s&sum&sm&s)", NULL, &expiry, &type, &mac, NULL, &address, &prefix, &host, &client);
        g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(expiry);
        g_autofree char *time = g_date_time_format(when, "%Y-%m-%d %H:%M:%S"), *whole = g_strdup_printf("%s/%u", address, prefix);
        table_row(t, time, mac ? mac : "-", type ? "ipv6" : "ipv4", whole, host ? host : "-", client ? client : "-", NULL);
    }
    table_print(c, t);
    return true;
}

static int word_of(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++)
        if (!strcmp(words[i], word))
            return i;
    return -1;
}

/* virNetworkUpdateCommand and virNetworkUpdateSection */
static bool run_net_update(Cli *c, GError **err)
{
    static const char *const commands[] = { "none", "modify", "delete", "add-last", "add-first", NULL };
    static const char *const sections[] = { "none", "bridge", "domain", "ip", "ip-dhcp-host", "ip-dhcp-range", "forward", "forward-interface", "forward-pf", "portgroup", "dns-host",
                                            "dns-txt", "dns-srv", NULL };
    const char *word = arg_text(c, "command");
    int command = word_of(commands, strcmp(word, "add") ? word : "add-last"), section = word_of(sections, arg_text(c, "section"));
    gint64 parent = -1;
    g_autoptr(AtollNetwork) n = cli_network(c, err);
    g_autofree char *file = NULL;
    if (n && (command < 1 || section < 1))
        return cli_error(err, command < 1 ? "unrecognized command name '%s'" : "unrecognized section name '%s'", command < 1 ? word : arg_text(c, "section"));
    if (!n || !arg_int(c, "parent-index", &parent, err) || (*arg_text(c, "xml") != '<' && !g_file_get_contents(arg_text(c, "xml"), &file, NULL, err)))
        return false;
    guint affect = arg_affect(c);
    g_autoptr(GVariant) v = object_call(n, "NETWORK_UPDATE", g_variant_new("(uuisu)", command, section, (int)parent, file ? file : arg_text(c, "xml"), affect), err);
    if (v)
        out_message(c, "Updated network %s %s", name_of(n), affect == 3 ? "persistent config and live state" : affect == 2 ? "persistent config" : "live state");
    else
        cli_headline(c, "Failed to update network %s", name_of(n));
    return v;
}

#define CALL(verb, sentence, complaint, withflags) { "NETWORK_" verb, "Network %s " sentence, "Failed to " complaint " network %s", withflags }

const Command network_commands[] = {
    { "net-autostart", "autostart a network", ARGS(NETWORK_ARG, { "disable", ARG_FLAG, 0, "disable autostarting" }), run_autostart },
    { "net-create", "create a network from an XML file", ARGS(FILE_ARG, VALIDATE_FLAG(1)), run_net_from_file },
    { "net-define", "define an inactive persistent virtual network or modify an existing persistent one from an XML file", ARGS(FILE_ARG, VALIDATE_FLAG(1)), run_net_from_file },
    { "net-destroy", "destroy (stop) a network", ARGS(NETWORK_ARG), NULL, CALL("DESTROY", "destroyed", "destroy", false) },
    { "net-dhcp-leases", "print lease info for a given network", ARGS(NETWORK_ARG, { "mac", ARG_TEXT, 0, "MAC address" }), run_net_dhcp_leases },
    { "net-dumpxml", "network information in XML", ARGS(NETWORK_ARG, { "inactive", ARG_FLAG, 0, "show inactive defined XML", 1 }, XPATH_ARGS), run_dumpxml },
    { "net-edit", "edit XML configuration for a network", ARGS(NETWORK_ARG), run_edit },
    { "net-doctor", "which rule of the host's firewall ends a packet that the network needs", ARGS(NETWORK_ARG), run_net_doctor },
    { "net-info", "network information", ARGS(NETWORK_ARG), run_net_info },
    { "net-list", "list networks",
      ARGS({ "inactive", ARG_FLAG, 0, "list inactive networks" }, { "all", ARG_FLAG, 0, "list inactive & active networks" }, { "persistent", ARG_FLAG, 0, "list persistent networks", 4 },
           { "transient", ARG_FLAG, 0, "list transient networks", 8 }, { "autostart", ARG_FLAG, 0, "list networks with autostart enabled", 16 },
           { "no-autostart", ARG_FLAG, 0, "list networks with autostart disabled", 32 }, { "uuid", ARG_FLAG, 0, "list uuid's only" }, { "name", ARG_FLAG, 0, "list network names only" },
           { "table", ARG_FLAG, 0, "list table (default)" }),
      run_net_list },
    { "net-name", "convert a network UUID to network name", ARGS({ "network", ARG_NETWORK, ARG_REQUIRED, "network uuid" }), run_name },
    { "net-start", "start a (previously defined) inactive network", ARGS(NETWORK_ARG), NULL, CALL("CREATE", "started", "start", false) },
    { "net-undefine", "undefine a persistent network", ARGS(NETWORK_ARG), NULL, CALL("UNDEFINE", "has been undefined", "undefine", false) },
    { "net-update", "update parts of an existing network's configuration",
      ARGS(NETWORK_ARG, { "command", ARG_TEXT, ARG_REQUIRED, "type of update (add-first, add-last (add), delete, or modify)" },
           { "section", ARG_TEXT, ARG_REQUIRED, "which section of network configuration to update" },
           { "xml", ARG_TEXT, ARG_REQUIRED, "name of file containing xml (or, if it starts with '<', the complete xml element itself) to add/modify, or to be matched for search" },
           { "parent-index", ARG_INT, ARG_NAMED, "which parent object to search through" }, AFFECT_ARGS),
      run_net_update },
    { "net-uuid", "convert a network name to network UUID", ARGS({ "network", ARG_NETWORK, ARG_REQUIRED, "network name" }), run_uuid },
    { NULL },
};
