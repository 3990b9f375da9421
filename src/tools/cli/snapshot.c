/* snapshot.c - commands: snapshots of domains. */
#include <stdio.h>
#include <string.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

static char *at(const char *xml, const char *path)
{
    g_autoptr(Document) x = document_read(xml, NULL);
    return x ? document_text(x, path) : g_strdup("");
}

static AtollSnapshot *snapshot_of(Cli *c, AtollDomain *d, GError **err)
{
    const char *name = arg_text(c, "snapshotname");
    if (name)
        return atoll_domain_find_snapshot_sync(d, name, 0, NULL, err);
    if (!arg_given(c, "current")) {
        cli_error(err, "--snapshotname or --current is required");
        return NULL;
    }
    g_autoptr(GVariant) v = object_call(d, "DOMAIN_SNAPSHOT_CURRENT", g_variant_new("(u)", 0), err), handle = v ? g_variant_get_child_value(v, 0) : NULL;
    return handle ? (AtollSnapshot *)atoll_object_new(ATOLL_TYPE_SNAPSHOT, c->connection, handle) : NULL;
}

static bool run_create(Cli *c, GError **err)
{
    bool as = !strcmp(c->command->name, "snapshot-create-as");
    g_autofree char *xml = NULL;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || (!as && arg_given(c, "xmlfile") && !arg_file(c, "xmlfile", &xml, err)))
        return false;
    if (!xml) {
        g_autofree char *name = arg_given(c, "name") ? g_markup_printf_escaped("  <name>%s</name>\n", arg_text(c, "name")) : g_strdup("");
        g_autofree char *description = arg_given(c, "description") ? g_markup_printf_escaped("  <description>%s</description>\n", arg_text(c, "description")) : g_strdup("");
        xml = g_strdup_printf("<domainsnapshot>\n%s%s</domainsnapshot>\n", name, description);
    }
    if (arg_given(c, "print-xml")) {
        out_text(c, "xml", xml);
        return true;
    }
    g_autoptr(AtollSnapshot) s = atoll_domain_create_snapshot_sync(d, xml, arg_bits(c), NULL, err);
    if (s && !as && arg_given(c, "xmlfile"))
        out_message(c, "Domain snapshot %s created from '%s'", name_of(s), arg_text(c, "xmlfile"));
    else if (s)
        out_message(c, "Domain snapshot %s created", name_of(s));
    return s;
}

static int by_name(gconstpointer a, gconstpointer b) { return strcmp(name_of(*(gpointer *)a), name_of(*(gpointer *)b)); }

static bool run_list(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GPtrArray) list = d ? atoll_domain_list_snapshots_sync(d, arg_bits(c), NULL, err) : NULL;
    if (!list)
        return false;
    g_ptr_array_sort(list, by_name);
    bool parent = arg_given(c, "parent"), names = !c->json && arg_given(c, "name");
    Table *t = names ? NULL : parent ? table_new("Name", "Creation Time", "State", "Parent", NULL) : table_new("Name", "Creation Time", "State", NULL);
    for (guint i = 0; i < list->len; i++) {
        if (names) {
            puts(name_of(list->pdata[i]));
            continue;
        }
        g_autofree char *xml = atoll_snapshot_get_xml_sync(list->pdata[i], 0, NULL, NULL);
        if (!xml)
            continue;
        g_autofree char *time = at(xml, "string(/domainsnapshot/creationTime)"), *state = at(xml, "string(/domainsnapshot/state)"), *of = at(xml, "string(/domainsnapshot/parent/name)");
        g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(g_ascii_strtoll(time, NULL, 10));
        g_autofree char *text = g_date_time_format(when, "%Y-%m-%d %H:%M:%S %z");
        table_row(t, name_of(list->pdata[i]), text, state, of ? of : "", NULL);
    }
    if (t)
        table_print(c, t);
    return true;
}

static bool run_dumpxml_of(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(AtollSnapshot) s = d ? snapshot_of(c, d, err) : NULL;
    g_autofree char *xml = s ? atoll_snapshot_get_xml_sync(s, arg_bits(c), NULL, err) : NULL;
    return xml && out_document(c, xml, err);
}

static bool run_current(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(GVariant) v = d ? object_call(d, "DOMAIN_SNAPSHOT_CURRENT", g_variant_new("(u)", 0), err) : NULL, handle = v ? g_variant_get_child_value(v, 0) : NULL;
    if (!handle)
        return false;
    g_autoptr(AtollSnapshot) s = (AtollSnapshot *)atoll_object_new(ATOLL_TYPE_SNAPSHOT, c->connection, handle);
    if (arg_given(c, "name")) {
        out_line(c, "name", "%s", name_of(s));
        return true;
    }
    g_autofree char *xml = atoll_snapshot_get_xml_sync(s, arg_bits(c), NULL, err);
    return xml && out_document(c, xml, err);
}

static bool run_revert(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(AtollSnapshot) s = d ? snapshot_of(c, d, err) : NULL;
    return s && atoll_snapshot_revert_sync(s, arg_bits(c), NULL, err);
}

static bool run_delete(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(AtollSnapshot) s = d ? snapshot_of(c, d, err) : NULL;
    if (!s)
        return false;
    bool only = arg_given(c, "children-only");
    if (atoll_snapshot_delete_sync(s, arg_bits(c), NULL, err)) {
        out_message(c, only ? "Domain snapshot %s children deleted" : "Domain snapshot %s deleted", name_of(s));
        return true;
    }
    cli_headline(c, "Failed to delete snapshot %s", name_of(s));
    return false;
}

static bool run_parent(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_autoptr(AtollSnapshot) s = d ? snapshot_of(c, d, err) : NULL;
    g_autoptr(GVariant) v = s ? object_call(s, "DOMAIN_SNAPSHOT_GET_PARENT", g_variant_new("(u)", 0), err) : NULL;
    const char *name;
    if (!v)
        return false;
    g_variant_get(v, "((&s(ssi)))", &name, NULL, NULL, NULL);
    out_line(c, "name", "%s", name);
    return true;
}

#define SNAPSHOT_ARG { "snapshotname", ARG_SNAPSHOT, 0, "snapshot name" }
#define CURRENT_FLAG { "current", ARG_FLAG, 0, "the current snapshot" }
#define CREATE_FLAGS                                                                                                                               \
    { "print-xml", ARG_FLAG, 0, "print XML document rather than create" }, { "no-metadata", ARG_FLAG, 0, "take snapshot but create no metadata", 4 }, \
        { "halt", ARG_FLAG, 0, "halt domain after snapshot is created", 8 }, { "disk-only", ARG_FLAG, 0, "capture disk state but not vm state", 16 },  \
        { "reuse-external", ARG_FLAG, 0, "reuse any existing external files", 32 }, { "quiesce", ARG_FLAG, 0, "quiesce guest's file systems", 64 },   \
        { "atomic", ARG_FLAG, 0, "require atomic operation", 128 }, { "live", ARG_FLAG, 0, "take a live snapshot", 256 }

const Command snapshot_commands[] = {
    { "snapshot-create", "Create a snapshot from XML", ARGS(DOMAIN_ARG, { "xmlfile", ARG_FILE, 0, "domain snapshot XML" }, CREATE_FLAGS), run_create },
    { "snapshot-create-as", "Create a snapshot from a set of args",
      ARGS(DOMAIN_ARG, { "name", ARG_TEXT, 0, "name of snapshot" }, { "description", ARG_TEXT, 0, "description of snapshot" }, CREATE_FLAGS), run_create },
    { "snapshot-current", "Get or set the current snapshot", ARGS(DOMAIN_ARG, { "name", ARG_FLAG, 0, "list the name, rather than the full xml" }, { "security-info", ARG_FLAG, 0, "include security sensitive information in XML dump", 1 }), run_current },
    { "snapshot-delete", "Delete a domain snapshot",
      ARGS(DOMAIN_ARG, SNAPSHOT_ARG, CURRENT_FLAG, { "children", ARG_FLAG, 0, "delete snapshot and all children", 1 }, { "children-only", ARG_FLAG, 0, "delete children but not snapshot", 4 },
           { "metadata", ARG_FLAG, 0, "delete only libvirt metadata, leaving snapshot contents behind", 2 }),
      run_delete },
    { "snapshot-dumpxml", "Dump XML for a domain snapshot",
      ARGS(DOMAIN_ARG, { "snapshotname", ARG_SNAPSHOT, ARG_REQUIRED, "snapshot name" }, { "security-info", ARG_FLAG, 0, "include security sensitive information in XML dump", 1 }, XPATH_ARGS),
      run_dumpxml_of },
    { "snapshot-list", "List snapshots for a domain",
      ARGS(DOMAIN_ARG, { "parent", ARG_FLAG, 0, "add a column showing parent snapshot" }, { "roots", ARG_FLAG, 0, "list only snapshots without parents", 1 },
           { "leaves", ARG_FLAG, 0, "list only snapshots without children", 4 }, { "name", ARG_FLAG, 0, "list snapshot names only" }),
      run_list },
    { "snapshot-parent", "Get the name of the parent of a snapshot", ARGS(DOMAIN_ARG, SNAPSHOT_ARG, CURRENT_FLAG), run_parent },
    { "snapshot-revert", "Revert a domain to a snapshot",
      ARGS(DOMAIN_ARG, SNAPSHOT_ARG, CURRENT_FLAG, { "running", ARG_FLAG, 0, "after reverting, change state to running", 1 }, { "paused", ARG_FLAG, 0, "after reverting, change state to paused", 2 },
           { "force", ARG_FLAG, 0, "try harder on risky reverts", 4 }),
      run_revert },
    { NULL },
};
