/* handlers_host.c - the host: processors, memory, capabilities. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "manage/daemon/cpu_models.h"
#include "manage/daemon/host_devices.h"

/* A value of "NAME:   NUMBER" in a file of /proc; 0: it is not there. */
static uint64_t proc_number(const char *path, const char *name)
{
    g_autofree char *text = NULL;
    const char *at = g_file_get_contents(path, &text, NULL, NULL) ? strstr(text, name) : NULL;
    return at ? g_ascii_strtoull(at + strcspn(at, "0123456789\n"), NULL, 10) : 0;
}

static void get_info(Client *c, RpcCall *call, GVariant *args)
{
    const HvHost *h = &c->daemon->host;
    rpc_reply(call, g_variant_new("(stiiiiii)", "x86_64", (guint64)h->memory / 1024, h->cpus, (int)proc_number("/proc/cpuinfo", "cpu MHz"), 1, 1, h->cpus, 1));
}

static void get_max_vcpus(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(i)", 255)); }

static void get_free_memory(Client *c, RpcCall *call, GVariant *args) { rpc_reply(call, g_variant_new("(t)", (guint64)proc_number("/proc/meminfo", "MemFree:") * 1024)); }

static void get_cells_free_memory(Client *c, RpcCall *call, GVariant *args)
{
    const guint64 bytes = proc_number("/proc/meminfo", "MemFree:") * 1024;
    rpc_reply(call, g_variant_new("(@at)", g_variant_new_fixed_array(G_VARIANT_TYPE_UINT64, &bytes, 1, sizeof bytes)));
}

/* Clients first ask how many there are (nparams 0). */
static GVariant *named_numbers(const char *const *names, const uint64_t *values, gsize n, int asked)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("a(st)"));
    for (gsize i = 0; asked && i < n; i++)
        g_variant_builder_add(&b, "(st)", names[i], (guint64)values[i]);
    return g_variant_new("(a(st)i)", &b, (int)n);
}

static void get_memory_stats(Client *c, RpcCall *call, GVariant *args)
{
    static const char *const names[] = { "total", "free", "buffers", "cached" }, *const fields[] = { "MemTotal:", "MemFree:", "Buffers:", "Cached:" };
    uint64_t values[G_N_ELEMENTS(names)];
    int asked;
    g_variant_get(args, "(iiu)", &asked, NULL, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        values[i] = proc_number("/proc/meminfo", fields[i]);
    rpc_reply(call, named_numbers(names, values, G_N_ELEMENTS(names), asked));
}

static void get_cpu_stats(Client *c, RpcCall *call, GVariant *args)
{
    static const char *const names[] = { "kernel", "user", "idle", "iowait" };
    unsigned long long user = 0, nice = 0, system = 0, idle = 0, iowait = 0;
    g_autofree char *text = NULL, *line = NULL;
    int cpu, asked;
    g_variant_get(args, "(iiu)", &cpu, &asked, NULL);
    line = cpu < 0 ? g_strdup("cpu ") : g_strdup_printf("cpu%d ", cpu);
    const char *at = g_file_get_contents("/proc/stat", &text, NULL, NULL) ? strstr(text, line) : NULL;
    if (!at || sscanf(at + strlen(line), "%llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait) != 5) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "the host has no processor %d", cpu);
        return;
    }
    enum { TICK_NS = 10000000 };
    const uint64_t values[] = { system * TICK_NS, (user + nice) * TICK_NS, idle * TICK_NS, iowait * TICK_NS };
    rpc_reply(call, named_numbers(names, values, G_N_ELEMENTS(names), asked));
}

static void get_cpu_map(Client *c, RpcCall *call, GVariant *args)
{
    unsigned cpus = c->daemon->host.cpus;
    int want_map, want_online;
    g_autofree guint8 *map = g_malloc0(cpus / 8 + 1);
    g_variant_get(args, "(iiu)", &want_map, &want_online, NULL);
    for (unsigned i = 0; i < cpus; i++)
        map[i / 8] |= 1 << i % 8;
    rpc_reply(call, g_variant_new("(@ayui)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, map, want_map ? (cpus + 7) / 8 : 0, 1), want_online ? cpus : 0, (int)cpus));
}

static void get_capabilities(Client *c, RpcCall *call, GVariant *args)
{
    g_autofree char *xml = capabilities_xml(c->daemon, c->realm);
    rpc_reply(call, g_variant_new("(s)", xml));
}

/* The emulator is asked for its models meanwhile: the call, and what it wants. */
typedef struct ModelsWanted {
    Realm *realm;
    RpcCall *call;
} ModelsWanted;

static void ask_models(Client *c, RpcCall *call, bool kvm, CpuModelsReady *ready)
{
    ModelsWanted *w = g_new0(ModelsWanted, 1);
    *w = (ModelsWanted){ c->realm, call };
    if (c->realm->in_memory)
        ready(NULL, NULL, w);
    else
        cpu_models_ask(c->daemon, kvm, ready, w);
}

/* Without models the rest is still true. */
static void answer_domain_capabilities(GPtrArray *models, const GError *unused, void *opaque)
{
    g_autofree ModelsWanted *w = opaque;
    const char *emulator, *machine, *type;
    g_autoptr(GError) err = NULL;
    g_variant_get(rpc_call_args(w->call), "(m&sm&sm&sm&su)", &emulator, NULL, &machine, &type, NULL);
    g_autofree char *xml = domain_capabilities_xml(w->realm->daemon, w->realm, emulator, machine, type, models, &err);
    if (xml)
        rpc_reply(w->call, g_variant_new("(s)", xml));
    else
        rpc_fail_error(w->call, err);
}

static void get_domain_capabilities(Client *c, RpcCall *call, GVariant *args)
{
    const char *arch, *type;
    bool can_kvm = c->daemon->host.kvm;
    g_variant_get(args, "(m&sm&sm&sm&su)", NULL, &arch, NULL, &type, NULL);
    if (arch && strcmp(arch, "x86_64"))
        rpc_fail(call, RPC_ERR_INVALID_ARG, "no emulator for the architecture '%s': x86_64 is what there is", arch);
    else
        ask_models(c, call, can_kvm && (!type || !strcmp(type, "kvm")), answer_domain_capabilities);
}

static void answer_cpu_models(GPtrArray *models, const GError *err, void *opaque)
{
    g_autofree ModelsWanted *w = opaque;
    int wanted;
    g_variant_get(rpc_call_args(w->call), "(&siu)", NULL, &wanted, NULL);
    if (err) {
        rpc_fail_error(w->call, err);
        return;
    }
    GVariantBuilder b;
    g_variant_builder_init(&b, G_VARIANT_TYPE("as"));
    for (guint i = 0; wanted && models && i < models->len; i++)
        g_variant_builder_add(&b, "s", ((CpuModelName *)models->pdata[i])->name);
    rpc_reply(w->call, g_variant_new("(asi)", &b, models ? (int)models->len : 0));
}

static void get_cpu_model_names(Client *c, RpcCall *call, GVariant *args)
{
    const char *arch;
    g_variant_get(args, "(&siu)", &arch, NULL, NULL);
    if (strcmp(arch, "x86_64") && strcmp(arch, "i686"))
        rpc_fail(call, RPC_ERR_INVALID_ARG, "no CPU models for the architecture '%s': x86_64 and i686 are what there is", arch);
    else
        ask_models(c, call, false, answer_cpu_models);
}

static void get_security_model(Client *c, RpcCall *call, GVariant *args)
{
    rpc_reply(call, g_variant_new("(@ai@ai)", g_variant_new_array(G_VARIANT_TYPE_INT32, NULL, 0), g_variant_new_array(G_VARIANT_TYPE_INT32, NULL, 0)));
}

static void get_sysinfo(Client *c, RpcCall *call, GVariant *args)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = host_sysinfo("/sys/class/dmi/id", &err);
    if (xml)
        rpc_reply(call, g_variant_new("(s)", xml));
    else
        rpc_fail_error(call, err);
}

/* Of one node, which is all there is: those of the usual size, or huge ones. */
static void get_free_pages(Client *c, RpcCall *call, GVariant *args)
{
    enum { USUAL_KIB = 4, CELLS = 1 };
    int first;
    guint cells;
    GVariantBuilder b;
    g_autoptr(GVariant) sizes = NULL;
    g_variant_get(args, "(@auiuu)", &sizes, &first, &cells, NULL);
    if (first > 0 || cells > CELLS || first < -1) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "the host has node 0 only");
        return;
    }
    g_variant_builder_init(&b, G_VARIANT_TYPE("at"));
    for (gsize i = 0; i < g_variant_n_children(sizes); i++) {
        guint kib;
        g_variant_get_child(sizes, i, "u", &kib);
        g_autofree char *path = g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%ukB/free_hugepages", kib), *text = NULL;
        bool huge = kib != USUAL_KIB && g_file_get_contents(path, &text, NULL, NULL);
        if (kib != USUAL_KIB && !huge) {
            g_variant_builder_clear(&b);
            rpc_fail(call, RPC_ERR_INVALID_ARG, "the host has no pages of %u KiB", kib);
            return;
        }
        g_variant_builder_add(&b, "t", (guint64)(huge ? g_ascii_strtoull(text, NULL, 10) : proc_number("/proc/meminfo", "MemFree:") / USUAL_KIB));
    }
    rpc_reply(call, g_variant_new("(at)", &b));
}

const Handler host_handlers[] = {
    { "NODE_GET_INFO", get_info },
    { "CONNECT_GET_MAX_VCPUS", get_max_vcpus },
    { "NODE_GET_FREE_MEMORY", get_free_memory },
    { "NODE_GET_CELLS_FREE_MEMORY", get_cells_free_memory },
    { "NODE_GET_MEMORY_STATS", get_memory_stats },
    { "NODE_GET_CPU_STATS", get_cpu_stats },
    { "NODE_GET_CPU_MAP", get_cpu_map },
    { "CONNECT_GET_CAPABILITIES", get_capabilities },
    { "CONNECT_GET_DOMAIN_CAPABILITIES", get_domain_capabilities },
    { "CONNECT_GET_CPU_MODEL_NAMES", get_cpu_model_names },
    { "NODE_GET_SECURITY_MODEL", get_security_model },
    { "CONNECT_GET_SYSINFO", get_sysinfo },
    { "NODE_GET_FREE_PAGES", get_free_pages },
    { NULL },
};
