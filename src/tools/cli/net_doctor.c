/*
 * net_doctor.c - `atoll net-doctor`: why guests of a network do not reach what they should.
 *
 * It runs on the network's host and as root: it looks at the kernel's interfaces and at all rules, also those of others, and
 * says which of them ends a packet that the network needs, and the command that lets it through.
 */
#include <gio/gio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/cli.h"
#include "tools/cli/firewall.h"

static char *output_of(const char *const *argv, GError **err)
{
    g_autofree char *out = NULL, *said = NULL;
    g_autoptr(GSubprocess) p = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, err);
    if (!p || !g_subprocess_communicate_utf8(p, NULL, NULL, &out, &said, err))
        return NULL;
    if (g_subprocess_get_successful(p))
        return g_steal_pointer(&out);
    cli_error(err, "%s: %s", argv[0], g_strstrip(said));
    return NULL;
}

/* The rule's own words. */
static char *words_of(const Drop *d)
{
    const char *const argv[] = { "nft", "-a", "list", "chain", d->family, d->table, d->chain, NULL };
    g_autofree char *out = output_of(argv, NULL), *mark = g_strdup_printf("# handle %d", d->handle);
    g_auto(GStrv) lines = g_strsplit(out ? out : "", "\n", -1);
    for (char **line = lines; *line; line++)
        if (g_str_has_suffix(*line, mark)) {
            (*line)[strlen(*line) - strlen(mark)] = 0;
            return g_strdup(g_strstrip(*line));
        }
    return g_strdup("(gone meanwhile)");
}

static char *remedy(const Drop *d, const char *bridge)
{
    const char *side = g_strcmp0(d->packet->out, bridge) ? "iifname" : "oifname";
    return g_strdup_printf("nft insert rule %s %s %s %s \"%s\" accept", d->family, d->table, d->chain, side, bridge);
}

static void print_drops(Cli *c, const GPtrArray *drops, const char *bridge)
{
    Table *t = table_new("What", "Ends in", "Rule", "Mend", NULL);
    for (guint i = 0; i < drops->len; i++) {
        const Drop *d = drops->pdata[i];
        g_autofree char *where = g_strdup_printf("%s%s %s, chain %s", d->perhaps ? "perhaps " : "", d->family, d->table, d->chain);
        g_autofree char *rule = d->handle ? words_of(d) : g_strdup("policy drop"), *mend = remedy(d, bridge);
        table_row(t, d->packet->what, where, rule, mend, NULL);
    }
    table_print(c, t);
}

/* ---- the host */
static bool host_is_well(const char *bridge, bool forwards, GError **err)
{
    g_autofree char *folder = g_build_filename("/sys/class/net", bridge, NULL), *flags_path = g_build_filename(folder, "flags", NULL), *flags = NULL, *forward = NULL;
    if (!g_file_get_contents(flags_path, &flags, NULL, NULL))
        return cli_error(err, "this host has no interface '%s': net-doctor runs on the host of the network", bridge);
    if (!(strtoul(flags, NULL, 16) & 1))
        return cli_error(err, "the bridge '%s' is down: ip link set %s up", bridge, bridge);
    if (forwards && g_file_get_contents("/proc/sys/net/ipv4/ip_forward", &forward, NULL, NULL) && *forward == '0')
        return cli_error(err, "this host does not forward packets: sysctl net.ipv4.ip_forward=1");
    return true;
}

/* ---- what must pass */
static const char *const inwards[] = { "prerouting", "input", NULL }, *const outwards[] = { "output", "postrouting", NULL }, *const through[] = { "prerouting", "forward", "postrouting", NULL };

static void walk_forwards(Document *xml, JsonNode *rules, const char *bridge, GPtrArray *drops, GPtrArray *kept)
{
    int n = document_count(xml, "/network/forward/portForward");
    for (int i = 1; i <= n; i++) {
        g_autofree char *port_path = g_strdup_printf("/network/forward/portForward[%d]/@port", i), *to_path = g_strdup_printf("/network/forward/portForward[%d]/@to", i);
        g_autofree char *inner_path = g_strdup_printf("/network/forward/portForward[%d]/@toPort", i), *kind_path = g_strdup_printf("/network/forward/portForward[%d]/@protocol", i);
        g_autofree char *port = document_text(xml, port_path), *inner = document_text(xml, inner_path);
        char *to = document_text(xml, to_path), *kind = document_text(xml, kind_path), *what = g_strdup_printf("port %s of the host is led to %s", port, to);
        Packet *p = g_new0(Packet, 1);
        *p = (Packet){ .what = what, .hooks = through, .out = bridge, .to = to, .protocol = kind && !strcmp(kind, "udp") ? "udp" : "tcp",
                       .to_port = atoi(inner ? inner : port ? port : "0"), .from_port = -1, .state = "new", .forwarded = true };
        firewall_walk(rules, p, drops);
        for (gpointer *mine = (gpointer[]){ to, kind, what, p, NULL }; *mine; mine++)
            g_ptr_array_add(kept, *mine);
    }
}

static bool diagnose(Cli *c, const char *name, const char *bridge, Document *xml, GError **err)
{
    g_autofree char *mode = document_text(xml, "/network/forward/@mode"), *guest = document_text(xml, "/network/ip/dhcp/range/@start");
    bool forwards = document_count(xml, "/network/forward"), offers = document_count(xml, "/network/ip");
    static const char *const list[] = { "nft", "-j", "list", "ruleset", NULL };
    g_autofree char *json = host_is_well(bridge, forwards, err) ? output_of(list, err) : NULL;
    g_autoptr(JsonNode) rules = json ? json_from_string(json, err) : NULL;
    if (!rules)
        return false;
    const Packet packets[] = {
        { "a guest asks for an address", inwards, bridge, NULL, NULL, NULL, "udp", 67, 68, "new", false },
        { "the answer with its address", outwards, NULL, bridge, NULL, NULL, "udp", 68, 67, "new", false },
        { "a guest asks for a name", inwards, bridge, NULL, guest, NULL, "udp", 53, -1, "new", false },
        { "the answer with an address of a name", outwards, NULL, bridge, NULL, guest, "udp", -1, 53, "established", false },
        { "a guest reaches out", through, bridge, NULL, guest, NULL, "tcp", -1, -1, "new", false },
        { "an answer from outside", through, NULL, bridge, NULL, guest, "tcp", -1, -1, "established", false },
    };
    g_autoptr(GPtrArray) drops = g_ptr_array_new_with_free_func((GDestroyNotify)drop_free), kept = g_ptr_array_new_with_free_func(g_free);
    for (guint i = offers ? 0 : 4; i < (forwards ? G_N_ELEMENTS(packets) : 4); i++)
        firewall_walk(rules, &packets[i], drops);
    walk_forwards(xml, rules, bridge, drops, kept);
    if (!drops->len) {
        out_message(c, "Network %s: no rule of this host's firewall ends a packet that it needs", name);
        return true;
    }
    print_drops(c, drops, bridge);
    return cli_error(err, "packets that network '%s' needs end in this host's firewall", name);
}

bool run_net_doctor(Cli *c, GError **err)
{
    g_autoptr(AtollNetwork) n = cli_network(c, err);
    g_autofree char *bridge = n ? atoll_network_get_bridge_sync(n, NULL, err) : NULL, *text = bridge ? object_text(n, "NETWORK_GET_XML_DESC", 0, err) : NULL;
    g_autoptr(Document) xml = text ? document_read(text, err) : NULL;
    int active = 0;
    if (!xml)
        return false;
    if (object_int(n, "NETWORK_IS_ACTIVE", &active, NULL) && !active)
        return cli_error(err, "network '%s' is not active: atoll net-start %s", name_of(n), name_of(n));
    if (geteuid())
        return cli_error(err, "only root sees the rules of a host: sudo atoll net-doctor %s", name_of(n));
    return diagnose(c, name_of(n), bridge, xml, err);
}
