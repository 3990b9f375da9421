/*
 * cpu_models.c - which CPU models the emulator knows.  It is asked itself, once for each accelerator: a machine without a board
 * answers query-cpu-definitions on its standard output and ends.
 */
#include "manage/daemon/cpu_models.h"

#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/qmp.h"

static const char questions[] = "{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"query-cpu-definitions\", \"id\": 1}\n{\"execute\": \"quit\"}\n";

typedef struct Asking {
    Daemon *daemon;
    bool kvm;
    CpuModelsReady *ready;
    void *opaque;
} Asking;

static void model_free(CpuModelName *m)
{
    g_free(m->name);
    g_free(m);
}

void cpu_models_free(GPtrArray *models)
{
    if (models)
        g_ptr_array_unref(models);
}

static GHashTable *names_in(JsonNode *answer)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < qmp_count(answer); i++)
        g_hash_table_add(names, g_strdup(qmp_text(qmp_element(answer, i), "name", "")));
    return names;
}

/* What definitions name: not "NAME-v2" beside NAME, and neither the host's own model nor an empty one. */
static bool is_for_definitions(const char *name, GHashTable *names)
{
    const char *version = g_strrstr(name, "-v");
    g_autofree char *base = version ? g_strndup(name, version - name) : NULL;
    bool other = g_str_equal(name, "max") || g_str_equal(name, "host") || g_str_equal(name, "base");
    return *name && !other && (!base || !g_hash_table_contains(names, base));
}

static guint count_missing(JsonObject *model)
{
    return json_object_has_member(model, "unavailable-features") ? qmp_count(json_object_get_member(model, "unavailable-features")) : 0;
}

static GPtrArray *read_models(JsonNode *answer)
{
    g_autoptr(GHashTable) names = names_in(answer);
    GPtrArray *models = g_ptr_array_new_with_free_func((GDestroyNotify)model_free);
    for (guint i = 0; i < qmp_count(answer); i++) {
        JsonObject *o = qmp_element(answer, i);
        const char *name = qmp_text(o, "name", "");
        if (!is_for_definitions(name, names))
            continue;
        CpuModelName *m = g_new0(CpuModelName, 1);
        m->name = g_strdup(name);
        m->usable = count_missing(o) == 0;
        g_ptr_array_add(models, m);
    }
    return models;
}

/* The line with our id, of all that it said. */
static GPtrArray *find_answer(const char *said, GError **err)
{
    g_auto(GStrv) lines = g_strsplit(said ? said : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_autoptr(JsonParser) parser = json_parser_new();
        JsonNode *root = json_parser_load_from_data(parser, *line, -1, NULL) ? json_parser_get_root(parser) : NULL;
        JsonObject *o = root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
        if (o && qmp_number(o, "id", 0) == 1 && json_object_has_member(o, "return"))
            return read_models(json_object_get_member(o, "return"));
    }
    error_set(err, ERR_INVALID, "the emulator does not say which CPU models it has");
    return NULL;
}

static void tell(Asking *a, GPtrArray *models, const GError *err)
{
    a->ready(models, err, a->opaque);
    g_free(a);
}

static void answered(GObject *source, GAsyncResult *result, gpointer opaque)
{
    Asking *a = opaque;
    GPtrArray **known = &a->daemon->cpu_models[a->kvm];
    g_autoptr(GError) err = NULL;
    g_autofree char *said = NULL;
    bool ok = g_subprocess_communicate_utf8_finish(G_SUBPROCESS(source), result, &said, NULL, &err);
    if (ok && !*known)
        *known = find_answer(said, &err);
    a->daemon->transfers--;
    tell(a, *known, err);
}

void cpu_models_ask(Daemon *d, bool kvm, CpuModelsReady *ready, void *opaque)
{
    Asking *a = g_new0(Asking, 1);
    *a = (Asking){ d, kvm, ready, opaque };
    if (d->cpu_models[kvm]) {
        tell(a, d->cpu_models[kvm], NULL);
        return;
    }
    g_autoptr(GError) err = NULL;
    const char *const argv[] = { d->host.emulator, "-machine", "none", "-accel", kvm ? "kvm" : "dbt", "-display", "none", "-nodefaults", "-qmp", "stdio", NULL };
    g_autoptr(GSubprocess) process = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, &err);
    if (!process) {
        g_prefix_error(&err, "cannot ask '%s' for its CPU models: ", d->host.emulator);
        tell(a, NULL, err);
        return;
    }
    d->transfers++; /* the daemon does not end before */
    g_subprocess_communicate_utf8_async(process, questions, NULL, answered, a);
}
