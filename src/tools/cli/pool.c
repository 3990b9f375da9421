/* pool.c - commands: storage pools. */
#include <stdio.h>
#include <string.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

static bool made(Cli *c, AtollPool *p, const char *from, bool define)
{
    const char *verb = define ? "defined" : "created";
    if (p && from)
        out_message(c, "Pool %s %s from %s", name_of(p), verb, from);
    else if (p)
        out_message(c, "Pool %s %s", name_of(p), verb);
    else
        cli_headline(c, define ? "Failed to define pool%s%s" : "Failed to create pool%s%s", from ? " from " : " ", from ? from : arg_text(c, "name"));
    return p;
}

static AtollPool *make(Cli *c, const char *xml, bool define, GError **err)
{
    return define ? atoll_connection_define_pool_sync(c->connection, xml, 0, NULL, err) : atoll_connection_create_pool_sync(c->connection, xml, arg_bits(c), NULL, err);
}

static bool run_pool_from_file(Cli *c, GError **err)
{
    bool define = !strcmp(c->command->name, "pool-define");
    g_autofree char *xml = NULL;
    if (!arg_file(c, "file", &xml, err))
        return false;
    g_autoptr(AtollPool) p = make(c, xml, define, err);
    return made(c, p, arg_text(c, "file"), define);
}

static void element(GString *s, const char *format, const char *value)
{
    g_autofree char *safe = value ? g_markup_escape_text(value, -1) : NULL;
    if (safe)
        g_string_append_printf(s, format, safe);
}

static bool run_pool_as(Cli *c, GError **err)
{
    bool define = !strcmp(c->command->name, "pool-define-as");
    g_autoptr(GString) s = g_string_new(NULL);
    element(s, "<pool type='%s'>\n", arg_text(c, "type"));
    element(s, "  <name>%s</name>\n", arg_text(c, "name"));
    if (arg_given(c, "source-host") || arg_given(c, "source-path") || arg_given(c, "source-dev") || arg_given(c, "source-format") || arg_given(c, "source-name")) {
        g_string_append(s, "  <source>\n");
        element(s, "    <host name='%s'/>\n", arg_text(c, "source-host"));
        element(s, "    <dir path='%s'/>\n", arg_text(c, "source-path"));
        element(s, "    <device path='%s'/>\n", arg_text(c, "source-dev"));
        element(s, "    <format type='%s'/>\n", arg_text(c, "source-format"));
        element(s, "    <name>%s</name>\n", arg_text(c, "source-name"));
        g_string_append(s, "  </source>\n");
    }
    if (arg_given(c, "target"))
        element(s, "  <target>\n    <path>%s</path>\n  </target>\n", arg_text(c, "target"));
    g_string_append(s, "</pool>\n");
    if (arg_given(c, "print-xml")) {
        out_text(c, "xml", s->str);
        return true;
    }
    g_autoptr(AtollPool) p = make(c, s->str, define, err);
    return made(c, p, NULL, define);
}

/* virStoragePoolState */
static const char *state_text(int state)
{
    static const char *const words[] = { "inactive", "building", "running", "degraded", "inaccessible" };
    return state >= 0 && state < (int)G_N_ELEMENTS(words) ? words[state] : "unknown";
}

typedef struct Row {
    AtollObject *object;
    int active;
} Row;

static int by_activity(gconstpointer a, gconstpointer b)
{
    const Row *x = a, *y = b;
    return x->active != y->active ? y->active - x->active : g_ascii_strcasecmp(name_of(x->object), name_of(y->object));
}

static char *sized(guint64 bytes)
{
    double value;
    const char *unit = pretty_size(bytes, &value);
    return g_strdup_printf("%.2lf %s", value, unit);
}

static void detailed_row(Table *t, AtollObject *o, const char *autostart, const char *persistent, bool active)
{
    int state = 0;
    guint64 capacity, allocation, available;
    g_autoptr(GVariant) v = object_call(o, "STORAGE_POOL_GET_INFO", NULL, NULL);
    if (!v || !active) {
        table_row(t, name_of(o), active ? "unknown" : "inactive", autostart, persistent, "-", "-", "-", NULL);
        return;
    }
    g_variant_get(v, "(uttt)", &state, &capacity, &allocation, &available);
    g_autofree char *a = sized(capacity), *b = sized(allocation), *d = sized(available);
    table_row(t, name_of(o), state_text(state), autostart, persistent, a, b, d, NULL);
}

static bool run_pool_list(Cli *c, GError **err)
{
    static const char *const types[] = { "dir", "fs", "netfs", "logical", "disk", "iscsi", "scsi", "mpath", "rbd", "sheepdog", "gluster", "zfs", "vstorage", "iscsi-direct", NULL };
    guint flags = arg_bits(c);
    g_auto(GStrv) wanted = g_strsplit(arg_given(c, "type") ? arg_text(c, "type") : "", ",", -1);
    for (char **w = wanted; *w; w++) {
        int i = 0;
        while (types[i] && strcmp(types[i], *w))
            i++;
        if (!types[i])
            return cli_error(err, "Invalid pool type '%s'", *w);
        flags |= 1u << (6 + i);
    }
    if (!arg_given(c, "inactive") && !arg_given(c, "all"))
        flags |= 2;
    else if (!arg_given(c, "all"))
        flags |= 1;
    bool details = arg_given(c, "details"), plain = !c->json && (arg_given(c, "name") || arg_given(c, "uuid"));
    g_autoptr(GPtrArray) list = atoll_connection_list_pools_sync(c->connection, flags, NULL, err);
    if (!list) {
        cli_headline(c, "Failed to list pools");
        return false;
    }
    g_autoptr(GArray) rows = g_array_new(FALSE, FALSE, sizeof(Row));
    for (guint i = 0; i < list->len; i++) {
        Row r = { list->pdata[i], 0 };
        object_int(r.object, "STORAGE_POOL_IS_ACTIVE", &r.active, NULL);
        g_array_append_val(rows, r);
    }
    g_array_sort(rows, by_activity);
    Table *t = plain ? NULL : details ? table_new("Name", "State", "Autostart", "Persistent", "Capacity", "Allocation", "Available", NULL) : table_new("Name", "State", "Autostart", NULL);
    for (guint i = 0; i < rows->len; i++) {
        const Row *r = &g_array_index(rows, Row, i);
        int autostart = 0, persistent = 0;
        if (plain) {
            puts(arg_given(c, "uuid") ? key_of(r->object) : name_of(r->object));
            continue;
        }
        bool known = object_int(r->object, "STORAGE_POOL_GET_AUTOSTART", &autostart, NULL);
        object_int(r->object, "STORAGE_POOL_IS_PERSISTENT", &persistent, NULL);
        const char *start = !known ? "no autostart" : autostart ? "yes" : "no";
        if (details)
            detailed_row(t, r->object, start, persistent ? "yes" : "no", r->active);
        else
            table_row(t, name_of(r->object), r->active ? "active" : "inactive", start, NULL);
    }
    if (t)
        table_print(c, t);
    return true;
}

static bool run_pool_info(Cli *c, GError **err)
{
    enum { W = 15 };
    int state, value;
    guint64 capacity, allocation, available;
    bool raw = arg_given(c, "bytes");
    g_autoptr(AtollPool) p = cli_pool(c, "pool", err);
    g_autoptr(GVariant) v = p ? atoll_pool_get_info_sync(p, NULL, err) : NULL;
    if (!v)
        return false;
    g_variant_get(v, "(uttt)", &state, &capacity, &allocation, &available);
    out_pair(c, W, "Name", "%s", name_of(p));
    out_pair(c, W, "UUID", "%s", key_of(p));
    out_pair(c, W, "State", "%s", state_text(state));
    if (object_int(p, "STORAGE_POOL_IS_PERSISTENT", &value, NULL))
        out_pair(c, W, "Persistent", "%s", value ? "yes" : "no");
    if (object_int(p, "STORAGE_POOL_GET_AUTOSTART", &value, NULL))
        out_pair(c, W, "Autostart", "%s", value ? "yes" : "no");
    if (state == 2 || state == 3) {
        const struct {
            const char *label;
            guint64 bytes;
        } rows[] = { { "Capacity", capacity }, { "Allocation", allocation }, { "Available", available } };
        for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
            if (raw)
                out_pair(c, W, rows[i].label, "%" G_GUINT64_FORMAT, rows[i].bytes);
            else
                out_size(c, W, rows[i].label, rows[i].bytes, false);
    }
    return true;
}

static bool run_pool_capabilities(Cli *c, GError **err)
{
    g_autoptr(GVariant) v = cli_call(c, "CONNECT_GET_STORAGE_POOL_CAPABILITIES", g_variant_new("(u)", 0), err);
    const char *xml;
    if (v)
        g_variant_get(v, "(&s)", &xml);
    return v && out_document(c, xml, err);
}

#define CALL(verb, sentence, complaint, withflags) { "STORAGE_POOL_" verb, "Pool %s " sentence, "Failed to " complaint " pool %s", withflags }
#define BUILD_FLAGS                                                                       \
    { "build", ARG_FLAG, 0, "build the pool as normal", 1 },                              \
        { "overwrite", ARG_FLAG, 0, "overwrite any existing data", 2 }, { "no-overwrite", ARG_FLAG, 0, "do not overwrite any existing data", 4 }
#define AS_ARGS                                                                                                                                     \
    { "name", ARG_TEXT, ARG_REQUIRED, "name of the pool" }, { "type", ARG_TEXT, ARG_REQUIRED, "type of the pool" },                                 \
        { "print-xml", ARG_FLAG, 0, "print XML document, but don't define/create" }, { "source-host", ARG_TEXT, 0, "source-host for underlying storage" }, \
        { "source-path", ARG_TEXT, 0, "source path for underlying storage" }, { "source-dev", ARG_TEXT, 0, "source device for underlying storage" },  \
        { "source-name", ARG_TEXT, 0, "source name for underlying storage" }, { "target", ARG_FILE, 0, "target for underlying storage" },             \
        { "source-format", ARG_TEXT, ARG_NAMED, "format for underlying storage" }

const Command pool_commands[] = {
    { "pool-autostart", "autostart a pool", ARGS(POOL_ARG, { "disable", ARG_FLAG, 0, "disable autostarting" }), run_autostart },
    { "pool-build", "build a pool",
      ARGS(POOL_ARG, { "overwrite", ARG_FLAG, 0, "overwrite any existing data", 8 }, { "no-overwrite", ARG_FLAG, 0, "do not overwrite any existing data", 4 }), NULL,
      CALL("BUILD", "built", "build", true) },
    { "pool-capabilities", "storage pool capabilities", NULL, run_pool_capabilities },
    { "pool-create", "create a pool from an XML file", ARGS(FILE_ARG, BUILD_FLAGS), run_pool_from_file },
    { "pool-create-as", "create a pool from a set of args", ARGS(AS_ARGS, BUILD_FLAGS), run_pool_as },
    { "pool-define", "define an inactive persistent storage pool or modify an existing persistent one from an XML file", ARGS(FILE_ARG, VALIDATE_FLAG(1)), run_pool_from_file },
    { "pool-define-as", "define a pool from a set of args", ARGS(AS_ARGS), run_pool_as },
    { "pool-delete", "delete a pool", ARGS(POOL_ARG), NULL, CALL("DELETE", "deleted", "delete", true) },
    { "pool-destroy", "destroy (stop) a pool", ARGS(POOL_ARG), NULL, CALL("DESTROY", "destroyed", "destroy", false) },
    { "pool-dumpxml", "pool information in XML", ARGS(POOL_ARG, { "inactive", ARG_FLAG, 0, "show inactive defined XML", 1 }, XPATH_ARGS), run_dumpxml },
    { "pool-edit", "edit XML configuration for a storage pool", ARGS(POOL_ARG), run_edit },
    { "pool-info", "storage pool information", ARGS(POOL_ARG, { "bytes", ARG_FLAG, 0, "Return pool info in bytes" }), run_pool_info },
    { "pool-list", "list pools",
      ARGS({ "inactive", ARG_FLAG, 0, "list inactive pools" }, { "all", ARG_FLAG, 0, "list inactive & active pools" }, { "transient", ARG_FLAG, 0, "list transient pools", 8 },
           { "persistent", ARG_FLAG, 0, "list persistent pools", 4 }, { "autostart", ARG_FLAG, 0, "list pools with autostart enabled", 16 },
           { "no-autostart", ARG_FLAG, 0, "list pools with autostart disabled", 32 }, { "type", ARG_TEXT, 0, "only list pool of specified type(s) (if supported)" },
           { "details", ARG_FLAG, 0, "display extended details for pools" }, { "uuid", ARG_FLAG, 0, "list UUID of active pools only" }, { "name", ARG_FLAG, 0, "list name of active pools only" }),
      run_pool_list },
    { "pool-name", "convert a pool UUID to pool name", ARGS({ "pool", ARG_POOL, ARG_REQUIRED, "pool uuid" }), run_name },
    { "pool-refresh", "refresh a pool", ARGS(POOL_ARG), NULL, CALL("REFRESH", "refreshed", "refresh", true) },
    { "pool-start", "start a (previously defined) inactive pool", ARGS(POOL_ARG, BUILD_FLAGS), NULL, CALL("CREATE", "started", "start", true) },
    { "pool-undefine", "undefine an inactive pool", ARGS(POOL_ARG), NULL, CALL("UNDEFINE", "has been undefined", "undefine", false) },
    { "pool-uuid", "convert a pool name to pool UUID", ARGS({ "pool", ARG_POOL, ARG_REQUIRED, "pool name" }), run_uuid },
    { NULL },
};
