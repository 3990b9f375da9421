/*
 * golden_test.c - plans as they stand beside their definitions in golden/: KIND/NAME.xml becomes KIND/NAME.plan.  A plan is pure, so
 * this needs no host.  ATOLL_GOLDEN=write writes them anew: then the difference is what is to be reviewed.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/hypervisor.h"
#include "manage/network/network.h"
#include "manage/storage/plan.h"

static const char *const firmware_dirs[] = { MANAGE_GOLDEN "/firmware", NULL };
static const HvHost host = { .firmware_dirs = firmware_dirs, .emulator = "/usr/bin/atoll-vm", .runtime_dir = "/run/atoll", .state_dir = "/var/lib/atoll", .log_dir = "/var/log/atoll", .kvm = true,
                             .cpus = 4, .memory = UINT64_C(8) << 30 };

/* An option and its value share a line. */
static void append_argv(GString *s, const GPtrArray *argv)
{
    for (guint i = 0; i < argv->len; i++) {
        const char *word = argv->pdata[i];
        g_string_append_printf(s, "%s%s", !i ? "" : *word == '-' ? "\n  " : " ", word);
    }
    g_string_append_c(s, '\n');
}

static void append_error(GString *s, const GError *err)
{
    if (err)
        g_string_append_printf(s, "error: %s\n", err->message);
}

static void plan_domain_with(GString *s, const HvDriver *driver, const Domain *def)
{
    g_autoptr(GError) err = NULL;
    LaunchPlan *plan = launch_plan_new();
    Domain *d = record_copy(def);
    g_string_append_printf(s, "# %s\n", driver->name);
    if (driver->prepare)
        driver->prepare(&host, d, &err);
    if (!err && driver->plan(&host, d, plan, &err))
        append_argv(s, plan->argv);
    for (guint i = 0; !err && i < plan->files->len; i++) {
        const LaunchFile *f = plan->files->pdata[i];
        g_string_append_printf(s, "  file %s %s %s\n", f->fdset ? f->fdset : "-", f->write ? "write" : "read", f->path);
    }
    append_error(s, err);
    record_free(d);
    launch_plan_free(plan);
}

static void plan_domain(GString *s, const char *xml)
{
    g_autoptr(GError) err = NULL;
    Domain *d = record_read_xml(&domain_type, xml, RECORD_SECRET, NULL, &err);
    append_error(s, err);
    for (unsigned i = 0; d && i < 2; i++)
        plan_domain_with(s, i ? &qemu_driver : &atoll_driver, d);
    record_free(d);
}

static void plan_network(GString *s, const char *xml)
{
    g_autoptr(GError) err = NULL;
    Network *n = record_read_xml(&network_type, xml, 0, NULL, &err);
    NetPlan *p = n ? net_plan(n, "/run/atoll/networks", &err) : NULL;
    append_error(s, err);
    if (p) {
        g_string_append_printf(s, "bridge %s%s%s mtu %u stp %s mac %s\n", p->bridge, p->owned ? "" : " of the host", p->forward ? " forwarding" : "", p->mtu, p->stp ? "on" : "off",
                               p->mac ? p->mac : "-");
        for (guint i = 0; i < p->addresses->len; i++)
            g_string_append_printf(s, "address %s\n", (char *)p->addresses->pdata[i]);
        for (guint i = 0; i < p->routes->len; i++)
            g_string_append_printf(s, "route %s\n", (char *)p->routes->pdata[i]);
        g_string_append_printf(s, "# nftables\n%s# dnsmasq\n%s", p->rules ? p->rules : "", p->dnsmasq ? p->dnsmasq : "");
    }
    net_plan_free(p);
    record_free(n);
}

/* The volume of its steps: one GiB, which is to become two. */
static void plan_pool(GString *s, const char *xml)
{
    g_autoptr(GError) err = NULL;
    Pool *p = record_read_xml(&pool_type, xml, 0, NULL, &err);
    append_error(s, err);
    for (unsigned step = STORE_BUILD; p && !err && step <= STORE_RESIZE; step++) {
        g_autofree char *target = store_target(p), *path = g_strdup_printf("%s/%s", target, p->type == POOL_DISK ? "nvme0n1p2" : "v");
        const Volume v = { .name = "v", .path = path, .capacity = 1 << 30 };
        g_autoptr(GPtrArray) plan = store_plan(p, step, &v, step == STORE_RESIZE ? UINT64_C(2) << 30 : 1 << 30, &err);
        for (guint i = 0; plan && i < plan->len; i++) {
            const StoreCommand *c = plan->pdata[i];
            g_autofree char *words = g_strjoinv(" ", c->argv);
            g_string_append_printf(s, "%s: %s%s%s", store_step_names[step], words, c->input ? " < " : "\n", c->input ? c->input : "");
        }
        append_error(s, err);
    }
    record_free(p);
}

static const struct {
    const char *kind;
    void (*plan)(GString *s, const char *xml);
} kinds[] = { { "domain", plan_domain }, { "network", plan_network }, { "pool", plan_pool } };

static void check_one(const char *folder, const char *file, void (*plan)(GString *s, const char *xml))
{
    g_autofree char *path = g_build_filename(folder, file, NULL), *stem = g_strndup(path, strlen(path) - strlen(".xml")), *golden = g_strconcat(stem, ".plan", NULL);
    g_autofree char *xml = NULL, *wanted = NULL;
    g_autoptr(GString) s = g_string_new(NULL);
    g_assert_true(g_file_get_contents(path, &xml, NULL, NULL));
    plan(s, xml);
    if (!g_strcmp0(g_getenv("ATOLL_GOLDEN"), "write"))
        g_assert_true(g_file_set_contents(golden, s->str, -1, NULL));
    g_file_get_contents(golden, &wanted, NULL, NULL);
    if (g_strcmp0(s->str, wanted))
        g_error("%s is not what is planned (ATOLL_GOLDEN=write writes it anew); now it is:\n%s", golden, s->str);
}

static void test_kind(gconstpointer data)
{
    unsigned n = GPOINTER_TO_UINT(data), found = 0;
    g_autofree char *folder = g_build_filename(MANAGE_GOLDEN, kinds[n].kind, NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_assert_nonnull(dir);
    for (const char *file; (file = g_dir_read_name(dir));)
        if (g_str_has_suffix(file, ".xml")) {
            check_one(folder, file, kinds[n].plan);
            found++;
        }
    g_assert_cmpuint(found, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *name = g_strdup_printf("/manage/golden/%s", kinds[i].kind);
        g_test_add_data_func(name, GUINT_TO_POINTER(i), test_kind);
    }
    return g_test_run();
}
