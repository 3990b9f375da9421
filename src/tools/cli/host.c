/* host.c - commands: the host and what it can do. */
#include <stdio.h>
#include <string.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* Commands that print the one text that a procedure without arguments answers with. */
static const struct {
    const char *command, *procedure, *name;
} texts[] = { { "hostname", "CONNECT_GET_HOSTNAME", "hostname" }, { "uri", "CONNECT_GET_URI", "uri" }, { "capabilities", "CONNECT_GET_CAPABILITIES", "xml" } };

static bool run_text(Cli *c, GError **err)
{
    unsigned i = 0;
    while (strcmp(texts[i].command, c->command->name))
        i++;
    g_autoptr(GVariant) v = cli_call(c, texts[i].procedure, NULL, err);
    const char *text;
    if (!v)
        return false;
    g_variant_get(v, "(&s)", &text);
    if (!strcmp(texts[i].name, "xml"))
        return out_document(c, text, err);
    out_line(c, texts[i].name, "%s", text);
    return true;
}

static bool run_sysinfo(Cli *c, GError **err)
{
    g_autoptr(GVariant) v = cli_call(c, "CONNECT_GET_SYSINFO", g_variant_new("(u)", 0), err);
    const char *text;
    if (v)
        g_variant_get(v, "(&s)", &text);
    return v && out_document(c, text, err);
}

static bool run_domcapabilities(Cli *c, GError **err)
{
    GVariant *args = g_variant_new("(msmsmsmsu)", arg_text(c, "emulatorbin"), arg_text(c, "arch"), arg_text(c, "machine"), arg_text(c, "virttype"), 0);
    g_autoptr(GVariant) v = cli_call(c, "CONNECT_GET_DOMAIN_CAPABILITIES", args, err);
    const char *text;
    if (v)
        g_variant_get(v, "(&s)", &text);
    return v && out_document(c, text, err);
}

static bool run_nodeinfo(Cli *c, GError **err)
{
    enum { W = 20 };
    const char *model;
    guint64 memory;
    int n[6];
    g_autoptr(GVariant) v = atoll_connection_get_node_info_sync(c->connection, NULL, err);
    static const char *const labels[] = { "CPU(s)", "CPU frequency", "NUMA cell(s)", "CPU socket(s)", "Core(s) per socket", "Thread(s) per core" };
    static const unsigned order[] = { 0, 1, 3, 4, 5, 2 };
    if (!v) {
        cli_headline(c, "failed to get node information");
        return false;
    }
    g_variant_get(v, "(&stiiiiii)", &model, &memory, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]);
    out_pair(c, W, "CPU model", "%s", model);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++)
        out_pair(c, W, labels[order[i]], order[i] == 1 ? "%d MHz" : "%d", n[order[i]]);
    out_pair(c, W, "Memory size", "%" G_GUINT64_FORMAT " KiB", memory);
    return true;
}

static char *version_text(guint64 v) { return g_strdup_printf("%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT, v / 1000000, v / 1000 % 1000, v % 1000); }

static bool run_version(Cli *c, GError **err)
{
    guint64 hypervisor = 0, library = 0;
    const char *type;
    g_autoptr(GVariant) kind = cli_call(c, "CONNECT_GET_TYPE", NULL, err), lib = kind ? cli_call(c, "CONNECT_GET_LIB_VERSION", NULL, err) : NULL;
    if (!lib || !atoll_connection_get_version_sync(c->connection, &hypervisor, NULL, err))
        return false;
    g_variant_get(kind, "(&s)", &type);
    g_variant_get(lib, "(t)", &library);
    g_autofree char *l = version_text(library), *h = version_text(hypervisor);
    out_line(c, "compiled-against", "Compiled against library: libatoll " ATOLL_VERSION);
    out_line(c, "library", "Using library: libatoll " ATOLL_VERSION);
    out_line(c, "api", "Using API: %s %s", type, l);
    out_line(c, "hypervisor", "Running hypervisor: %s %s", type, h);
    if (arg_given(c, "daemon"))
        out_line(c, "daemon", "Running against daemon: %s", l);
    return true;
}

static bool run_freecell(Cli *c, GError **err)
{
    guint64 bytes = 0;
    if (!atoll_connection_get_free_memory_sync(c->connection, &bytes, NULL, err))
        return false;
    out_line(c, "total", "Total: %" G_GUINT64_FORMAT " KiB", bytes / 1024);
    return true;
}

static bool run_maxvcpus(Cli *c, GError **err)
{
    g_autoptr(GVariant) v = cli_call(c, "CONNECT_GET_MAX_VCPUS", g_variant_new("(ms)", arg_text(c, "type")), err);
    int count;
    if (!v)
        return false;
    g_variant_get(v, "(i)", &count);
    out_line(c, "count", "%d", count);
    return true;
}

static int by_text(gconstpointer a, gconstpointer b) { return g_ascii_strcasecmp(*(char *const *)a, *(char *const *)b); }

static bool run_nodedev_list(Cli *c, GError **err)
{
    g_autoptr(GVariant) v = cli_call(c, "CONNECT_LIST_ALL_NODE_DEVICES", g_variant_new("(iu)", 1, 0), err);
    g_autofree const char **names = NULL;
    if (!v)
        return false;
    g_variant_get(v, "(^a&su)", &names, NULL);
    GPtrArray *sorted = g_ptr_array_new();
    for (unsigned i = 0; names[i]; i++)
        g_ptr_array_add(sorted, (char *)names[i]);
    g_ptr_array_sort(sorted, by_text);
    Table *t = c->json ? table_new("Name", NULL) : NULL;
    for (guint i = 0; i < sorted->len; i++)
        if (t)
            table_row(t, sorted->pdata[i], NULL);
        else
            puts(sorted->pdata[i]);
    if (t)
        table_print(c, t);
    g_ptr_array_unref(sorted);
    return true;
}

static const Argument no_args[] = { { NULL } };

const Command host_commands[] = {
    { "capabilities", "capabilities", ARGS(XPATH_ARGS), run_text },
    { "domcapabilities", "domain capabilities",
      ARGS({ "virttype", ARG_TEXT, 0, "virtualization type (/domain/@type)" }, { "emulatorbin", ARG_FILE, 0, "path to emulator binary (/domain/devices/emulator)" },
           { "arch", ARG_TEXT, 0, "domain architecture (/domain/os/type/@arch)" }, { "machine", ARG_TEXT, 0, "machine type (/domain/os/type/@machine)" }, XPATH_ARGS),
      run_domcapabilities },
    { "freecell", "NUMA free memory", no_args, run_freecell },
    { "hostname", "print the hypervisor hostname", no_args, run_text },
    { "maxvcpus", "connection vcpu maximum", ARGS({ "type", ARG_TEXT, 0, "domain type" }), run_maxvcpus },
    { "nodedev-dumpxml", "node device details in XML", ARGS({ "device", ARG_NODE_DEVICE, ARG_REQUIRED, "device name or wwn pair in 'wwnn,wwpn' format" }, XPATH_ARGS), run_dumpxml },
    { "nodedev-list", "enumerate devices on this host", no_args, run_nodedev_list },
    { "nodeinfo", "node information", no_args, run_nodeinfo },
    { "sysinfo", "print the hypervisor sysinfo", ARGS(XPATH_ARGS), run_sysinfo },
    { "uri", "print the hypervisor canonical URI", no_args, run_text },
    { "version", "show version", ARGS({ "daemon", ARG_FLAG, 0, "report daemon version too" }), run_version },
    { NULL },
};
