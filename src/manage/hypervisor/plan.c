/* plan.c - the machine but its devices as a command line. */
#include "manage/hypervisor/plan.h"

#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/plan_inside.h"

const PlanFlavour plan_atoll = { .translator = "dbt" };
const PlanFlavour plan_qemu = { .emulator = "/usr/bin/qemu-system-x86_64", .translator = "tcg", .smm = true };

static char *runtime_path(const HvHost *h, const Domain *d, const char *suffix) { return g_strdup_printf("%s/domains/%s%s", h->runtime_dir, d->uuid, suffix); }
char *plan_monitor_path(const HvHost *h, const Domain *d) { return runtime_path(h, d, ".monitor"); }
char *plan_pid_path(const HvHost *h, const Domain *d) { return runtime_path(h, d, ".pid"); }

char *plan_secret_path(const HvHost *h, const Domain *d, const Encryption *e) { return g_strdup_printf("%s/domains/%s.secret-%s", h->runtime_dir, d->uuid, e->uuid); }

char *plan_channel_path(const HvHost *h, const Domain *d, const char *channel)
{
    g_autofree char *safe = g_strcanon(g_strdup(channel), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", '_'), *suffix = g_strconcat(".", safe, NULL);
    return runtime_path(h, d, suffix);
}

/* Commas in option values are doubled. */
static char *value(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    return g_strjoinv(",,", parts);
}

static void add_cpu(const PlanFlavour *f, const Domain *d, LaunchPlan *p)
{
    const Cpu *c = d->cpu;
    bool kvm = d->type == DOMAIN_KVM;
    const char *mode = c ? record_word(c, "mode") : NULL;
    if (!c || (!c->model && !mode))
        return;
    GString *s = g_string_new(c->model ? c->model : !strcmp(mode, "maximum") || !kvm ? "max" : "host");
    bool all = g_strcmp0(record_word(c, "check"), "full") == 0; /* to the last feature, unless one may be missing */
    for (guint i = 0; c->features && i < c->features->len; i++) {
        const Feature *feature = c->features->pdata[i];
        const char *policy = record_word(feature, "policy");
        bool off = policy && (!strcmp(policy, "disable") || !strcmp(policy, "forbid"));
        all = all && g_strcmp0(policy, "optional");
        g_string_append_printf(s, ",%s=%s", feature->name, off ? "off" : "on");
    }
    if (all)
        g_string_append(s, ",enforce=on");
    launch_plan_add(p, "-cpu", s->str, NULL);
    g_string_free(s, TRUE);
}

static void add_smp(const Domain *d, LaunchPlan *p)
{
    uint64_t now = d->current_vcpus != RECORD_NONE ? d->current_vcpus : d->vcpus;
    g_autoptr(GString) s = g_string_new(NULL);
    g_string_append_printf(s, "%" G_GUINT64_FORMAT, now);
    if (now != d->vcpus)
        g_string_append_printf(s, ",maxcpus=%" G_GUINT64_FORMAT, d->vcpus);
    if (d->cpu && d->cpu->sockets != RECORD_NONE)
        g_string_append_printf(s, ",sockets=%" G_GUINT64_FORMAT ",cores=%" G_GUINT64_FORMAT ",threads=%" G_GUINT64_FORMAT, d->cpu->sockets, d->cpu->cores, d->cpu->threads);
    launch_plan_add(p, "-smp", s->str, NULL);
}

static bool add_machine(const PlanFlavour *f, const HvHost *h, const Domain *d, LaunchPlan *p, GError **err)
{
    if (d->type == DOMAIN_KVM && !h->kvm)
        return error_set(err, ERR_UNSUPPORTED, "domain '%s' wants KVM, and /dev/kvm cannot be opened here: set <domain type='qemu'> to run it by translation", d->name);
    g_autofree char *memory = g_strdup_printf("%" G_GUINT64_FORMAT "k", d->memory / 1024);
    g_autofree char *machine = g_strconcat(d->machine ? d->machine : "pc", f->smm && d->smm == 1 ? ",smm=on" : NULL, NULL);
    launch_plan_add(p, "-machine", machine, "-accel", d->type == DOMAIN_KVM ? "kvm" : f->translator, "-m", memory, "-uuid", d->uuid, NULL);
    add_cpu(f, d, p);
    add_smp(d, p);
    return true;
}

static void add_kernel(const Domain *d, LaunchPlan *p)
{
    if (d->kernel)
        launch_plan_add(p, "-kernel", d->kernel, NULL);
    if (d->kernel && d->initrd)
        launch_plan_add(p, "-initrd", d->initrd, NULL);
    if (d->kernel && d->cmdline)
        launch_plan_add(p, "-append", d->cmdline, NULL);
}

static void add_pflash(LaunchPlan *p, const char *path, bool readonly)
{
    g_autofree char *file = value(path), *drive = g_strdup_printf("if=pflash,format=raw,readonly=%s,file=%s", readonly ? "on" : "off", file);
    launch_plan_add(p, "-drive", drive, NULL);
}

static void add_firmware(const Domain *d, LaunchPlan *p)
{
    if (d->loader && d->loader_type && !strcmp(d->loader_type, "pflash"))
        add_pflash(p, d->loader, g_strcmp0(d->loader_readonly, "no"));
    else if (d->loader)
        launch_plan_add(p, "-bios", d->loader, NULL);
    if (d->loader && d->nvram)
        add_pflash(p, d->nvram, false);
    if (d->loader && !g_strcmp0(d->loader_secure, "yes")) /* only system management mode writes it */
        launch_plan_add(p, "-global", "driver=cfi.pflash01,property=secure,value=on", NULL);
}

static void add_monitor(const HvHost *h, const Domain *d, LaunchPlan *p)
{
    g_autofree char *path = plan_monitor_path(h, d), *file = value(path), *pid = plan_pid_path(h, d);
    g_autofree char *chardev = g_strdup_printf("socket,id=charmonitor,path=%s,server=on,wait=off", file);
    launch_plan_add(p, "-chardev", chardev, "-mon", "chardev=charmonitor,id=monitor,mode=control", "-pidfile", pid, "-daemonize", NULL);
}

bool plan_machine(const PlanFlavour *f, const HvHost *h, const Domain *d, LaunchPlan *p, GError **err)
{
    const char *emulator = d->devices->emulator ? d->devices->emulator : f->emulator ? f->emulator : h->emulator;
    g_autofree char *name = value(d->name);
    launch_plan_add(p, emulator, "-name", name, "-S", NULL);
    if (!add_machine(f, h, d, p, err))
        return false;
    launch_plan_add(p, "-no-user-config", "-nodefaults", "-rtc", d->clock == 2 ? "base=localtime" : "base=utc", NULL);
    if (d->on_reboot == ACTION_DESTROY)
        launch_plan_add(p, "-no-reboot", NULL);
    if (h->machine_user)
        launch_plan_add(p, "-runas", h->machine_user, NULL);
    if (p->state >= 0)
        launch_plan_add(p, "-incoming", "defer", NULL);
    add_monitor(h, d, p);
    add_firmware(d, p);
    add_kernel(d, p);
    plan_boot(d, p);
    return plan_devices(h, d, p, err);
}
