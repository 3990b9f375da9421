/* domain_stats.c - commands: counters of a running domain's devices, its state of control, saved states. */
#include <stdio.h>
#include <string.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* In virsh's order, and as virsh names them. */
static bool run_domblkstat(Cli *c, GError **err)
{
    static const struct {
        const char *field, *name;
    } fields[] = { { "rd_operations", "rd_req" }, { "rd_bytes", "rd_bytes" }, { "wr_operations", "wr_req" }, { "wr_bytes", "wr_bytes" }, { "flush_operations", "flush_operations" },
                   { "rd_total_times", "rd_total_times" }, { "wr_total_times", "wr_total_times" }, { "flush_total_times", "flush_total_times" }, { "errs", "errs" } };
    enum { PARAMS = 16 };
    const char *device = arg_given(c, "device") ? arg_text(c, "device") : "";
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GVariant) v = d ? object_call(d, "DOMAIN_BLOCK_STATS_FLAGS", g_variant_new("(siu)", device, PARAMS, 0), err) : NULL, list = v ? g_variant_get_child_value(v, 0) : NULL;
    if (!v) {
        if (d)
            cli_headline(c, "Failed to get block stats for domain '%s' device '%s'", name_of(d), device);
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++)
        for (gsize n = 0; n < g_variant_n_children(list); n++) {
            const char *field;
            g_autoptr(GVariant) value = NULL;
            g_variant_get_child(list, n, "(&sv)", &field, &value);
            g_autofree char *text = strcmp(field, fields[i].field) ? NULL : g_variant_print(value, FALSE);
            if (text)
                out_line(c, fields[i].name, "%s %s %s", device, fields[i].name, text);
        }
    return true;
}

static bool run_domifstat(Cli *c, GError **err)
{
    static const char *const names[] = { "rx_bytes", "rx_packets", "rx_errs", "rx_drop", "tx_bytes", "tx_packets", "tx_errs", "tx_drop" };
    const char *device = arg_text(c, "interface");
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GVariant) v = d ? object_call(d, "DOMAIN_INTERFACE_STATS", g_variant_new("(s)", device), err) : NULL;
    if (!v) {
        if (d)
            cli_headline(c, "Failed to get interface stats %s %s", name_of(d), device);
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        gint64 value;
        g_variant_get_child(v, i, "x", &value);
        if (value >= 0)
            out_line(c, names[i], "%s %s %" G_GINT64_FORMAT, device, names[i], value);
    }
    return true;
}

/* virDomainControlState */
static bool run_domcontrol(Cli *c, GError **err)
{
    static const char *const states[] = { "ok", "background job", "occupied", "error" };
    guint state, details;
    guint64 ms;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GVariant) v = d ? object_call(d, "DOMAIN_GET_CONTROL_INFO", g_variant_new("(u)", 0), err) : NULL;
    if (!v)
        return false;
    g_variant_get(v, "(uut)", &state, &details, &ms);
    const char *text = state < G_N_ELEMENTS(states) ? states[state] : "unknown";
    if (state == 1 || state == 2)
        out_line(c, "state", "%s (%0.3fs)", text, ms / 1000.0);
    else
        out_line(c, "state", "%s", text);
    return true;
}

static bool run_domhostname(Cli *c, GError **err)
{
    const char *source = arg_text(c, "source");
    guint flags = !source ? 0 : !strcmp(source, "lease") ? 1 : !strcmp(source, "agent") ? 2 : 4;
    if (flags == 4)
        return cli_error(err, "Unknown data source '%s'", source);
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autofree char *name = d ? object_text(d, "DOMAIN_GET_HOSTNAME", flags, err) : NULL;
    if (name)
        out_line(c, "hostname", "%s", name);
    else if (d)
        cli_headline(c, "failed to get hostname");
    return name;
}

static bool run_save(Cli *c, GError **err)
{
    g_autofree char *path = g_canonicalize_filename(arg_text(c, "file"), NULL), *xml = NULL;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || (arg_given(c, "xml") && !arg_file(c, "xml", &xml, err)))
        return false;
    bool plain = !xml && !arg_bits(c); /* older daemons know no more */
    GVariant *args = plain ? g_variant_new("(s)", path) : g_variant_new("(smsu)", path, xml, arg_bits(c));
    g_autoptr(GVariant) v = object_call(d, plain ? "DOMAIN_SAVE" : "DOMAIN_SAVE_FLAGS", args, err);
    if (v)
        out_message(c, "\nDomain '%s' saved to %s", name_of(d), arg_text(c, "file"));
    else
        cli_headline(c, "Failed to save domain '%s' to %s", name_of(d), arg_text(c, "file"));
    return v;
}

static bool run_restore(Cli *c, GError **err)
{
    g_autofree char *path = g_canonicalize_filename(arg_text(c, "file"), NULL), *xml = NULL;
    if (arg_given(c, "xml") && !arg_file(c, "xml", &xml, err))
        return false;
    bool plain = !xml && !arg_bits(c);
    GVariant *args = plain ? g_variant_new("(s)", path) : g_variant_new("(smsu)", path, xml, arg_bits(c));
    g_autoptr(GVariant) v = cli_call(c, plain ? "DOMAIN_RESTORE" : "DOMAIN_RESTORE_FLAGS", args, err);
    if (v)
        out_message(c, "Domain restored from %s", arg_text(c, "file"));
    else
        cli_headline(c, "Failed to restore domain from %s", arg_text(c, "file"));
    return v;
}

#define SAVE_FLAGS                                                                                                                            \
    { "bypass-cache", ARG_FLAG, 0, "avoid file system cache when saving or restoring", 1 },                                                    \
        { "xml", ARG_FILE, 0, "filename containing updated XML for the target" }, { "running", ARG_FLAG, 0, "set domain to be running on restore", 2 }, \
        { "paused", ARG_FLAG, 0, "set domain to be paused on restore", 4 }

const Command domain_stats_commands[] = {
    { "domblkstat", "get device block stats for a domain", ARGS(DOMAIN_ARG, { "device", ARG_TEXT, 0, "block device" }), run_domblkstat },
    { "domcontrol", "domain control interface state", ARGS(DOMAIN_ARG), run_domcontrol },
    { "domhostname", "print the domain's hostname", ARGS(DOMAIN_ARG, { "source", ARG_TEXT, ARG_NAMED, "address source: 'lease' or 'agent'" }), run_domhostname },
    { "domifstat", "get network interface stats for a domain", ARGS(DOMAIN_ARG, { "interface", ARG_TEXT, ARG_REQUIRED, "interface device specified by name or MAC Address" }), run_domifstat },
    { "restore", "restore a domain from a saved state in a file", ARGS({ "file", ARG_FILE, ARG_REQUIRED, "the state to restore" }, SAVE_FLAGS), run_restore },
    { "save", "save a domain state to a file", ARGS(DOMAIN_ARG, { "file", ARG_FILE, ARG_REQUIRED, "where to save the data" }, SAVE_FLAGS), run_save },
    { NULL },
};
