/* config_machine.c - options about the board, the processors, memory, and how the machine starts. */
#include <string.h>
#include <time.h>

#include "accel/accel.h"
#include "base/keyval.h"
#include "vmm/config.h"

/* ---- board and accelerators */

static char *board_list(void)
{
    g_autofree char *versions = g_strjoinv(" ", (char **)board_versions);
    GString *s = g_string_new("Machines:\n");
    for (unsigned i = 0; board_types[i]; i++)
        g_string_append_printf(s, "%-10s %s%s%s%s, up to %u CPUs\n", board_types[i]->name, board_types[i]->summary,
                               board_types[i]->alias ? " (also " : "", board_types[i]->alias ? board_types[i]->alias : "",
                               board_types[i]->alias ? ")" : "", board_types[i]->max_cpus);
    g_string_append_printf(s, "QEMU's versions of these names, pc-i440fx-N and pc-q35-N, mean the same boards; N: %s\n", versions);
    return g_string_free(s, FALSE);
}

static char *accel_list(void)
{
    GString *s = g_string_new("Accelerators:\n");
    for (unsigned i = 0; accel_table[i]; i++) {
        g_autoptr(GError) err = NULL;
        bool usable = accel_table[i]->probe(&err);
        g_string_append_printf(s, "%-8s %s%s%s%s\n", accel_table[i]->name, accel_table[i]->summary, usable ? "" : " (not here: ",
                               usable ? "" : err->message, usable ? "" : ")");
    }
    return g_string_free(s, FALSE);
}

static const AccelOps *accel_named(const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    if (g_str_equal(name, "tcg")) /* what QEMU calls its translator: libvirt says it for type=qemu */
        return &accel_dbt;
    if (accel_find(name))
        return accel_find(name);
    for (unsigned i = 0; accel_table[i]; i++)
        g_ptr_array_add(names, (char *)accel_table[i]->name);
    g_ptr_array_add(names, NULL);
    g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
    error_set(err, ERR_INVALID, "no accelerator '%s'; there are: %s", name, all);
    return NULL;
}

bool config_accel(VmConfig *c, const char *arg, GError **err)
{
    if (g_str_equal(arg, "help")) {
        c->answer = accel_list();
        return true;
    }
    const char *options = strchr(arg, ',');
    g_autofree char *before = options ? g_strndup(arg, options - arg) : g_strdup(arg);
    if (options) {
        g_free(c->accel_options);
        c->accel_options = g_strdup(options + 1);
    }
    g_auto(GStrv) names = g_strsplit(before, ":", -1);
    for (char **name = names; *name; name++) {
        const AccelOps *ops = accel_named(*name, err);
        if (!ops)
            return false;
        g_ptr_array_add(c->accels, (void *)ops);
    }
    return true;
}

bool config_enable_kvm(VmConfig *c, const char *arg, GError **err) { return config_accel(c, "kvm", err); }

bool config_machine(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "type", "-machine", err);
    if (!kv)
        return false;
    const char *type = keyvals_take(kv, "type"), *accel = keyvals_take(kv, "accel");
    static const char *const chips[FLASH_CHIPS] = { "pflash0", "pflash1" };
    for (unsigned i = 0; i < FLASH_CHIPS; i++) {
        const char *drive = keyvals_take(kv, chips[i]);
        if (drive) {
            g_free(c->pflash[i]);
            c->pflash[i] = g_strdup(drive);
        }
    }
    bool acpi = !c->no_acpi, hpet = !c->no_hpet;
    if (type && g_str_equal(type, "help")) {
        c->answer = board_list();
        return true;
    }
    c->no_board = type ? g_str_equal(type, "none") : c->no_board;
    if (type && !c->no_board && !(c->board = board_find(type, err)))
        return false;
    if (!keyvals_take_bool(kv, "acpi", &acpi, err) || !keyvals_take_bool(kv, "hpet", &hpet, err) ||
        !keyvals_take_bool(kv, "usb", &c->usb, err) || !config_machine_fixed(kv, err) || !config_machine_micro(c, kv, err))
        return false;
    const char *memory = keyvals_take(kv, "memory-backend");
    if (!keyvals_end(kv, err))
        return false;
    if (memory) {
        g_free(c->memory_backend);
        c->memory_backend = g_strdup(memory);
    }
    c->no_acpi = !acpi;
    c->no_hpet = !hpet;
    return !accel || config_accel(c, accel, err);
}

/* ---- processors and memory */

bool config_cpu(VmConfig *c, const char *arg, GError **err)
{
    if (g_str_equal(arg, "help")) {
        c->answer = cpu_model_help();
        return true;
    }
    g_free(c->cpu);
    c->cpu = g_strdup(arg);
    return true;
}

bool config_ram(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "size", "-m", err);
    if (!kv)
        return false;
    const char *size = keyvals_take(kv, "size");
    if (!keyvals_end(kv, err))
        return false;
    if (!size || !parse_size(size, 1 << 20, &c->ram_bytes))
        return error_set(err, ERR_INVALID, "-m: '%s' is no amount of memory; write MiB or a number with k, M, G or T, as in -m 2G", arg);
    if (c->ram_bytes < 1 << 20)
        return error_set(err, ERR_INVALID, "-m: %s is less than 1 MiB, the least that a PC starts with", size);
    return true;
}

typedef struct Smp {
    uint64_t cpus, sockets, cores, threads, max_cpus;
} Smp;

/* What was not given follows from the rest; sockets before cores before threads, as QEMU's older machines have it. */
static void smp_complete(Smp *s)
{
    uint64_t threads = MAX(s->threads, 1), sockets = MAX(s->sockets, 1), cores = MAX(s->cores, 1);
    if (!s->max_cpus)
        s->max_cpus = s->cpus ? s->cpus : sockets * cores * threads;
    if (!s->cpus)
        s->cpus = s->max_cpus;
    if (!s->sockets)
        s->sockets = MAX(s->max_cpus / (cores * threads), 1);
    if (!s->cores)
        s->cores = MAX(s->max_cpus / (s->sockets * threads), 1);
    if (!s->threads)
        s->threads = MAX(s->max_cpus / (s->sockets * s->cores), 1);
}

/* libvirt names them wherever a topology is asked for.  A die or a cluster of its own would show nowhere: leaf 0xb has no level for it. */
static bool take_single(KeyVals *kv, const char *name, GError **err)
{
    uint64_t number = 1;
    if (!keyvals_take_number(kv, name, 1, 4096, &number, err))
        return false;
    return number == 1 || error_set(err, ERR_UNSUPPORTED, "-smp: %s=%" G_GUINT64_FORMAT ": a socket has one here; multiply cores= instead", name, number);
}

bool config_smp(VmConfig *c, const char *arg, GError **err)
{
    enum { MOST = 4096 };
    Smp s = { 0 };
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "cpus", "-smp", err);
    if (!kv || !keyvals_take_number(kv, "cpus", 1, MOST, &s.cpus, err) || !keyvals_take_number(kv, "sockets", 1, MOST, &s.sockets, err) ||
        !keyvals_take_number(kv, "cores", 1, MOST, &s.cores, err) || !keyvals_take_number(kv, "threads", 1, MOST, &s.threads, err) ||
        !keyvals_take_number(kv, "maxcpus", 1, MOST, &s.max_cpus, err) || !take_single(kv, "dies", err) || !take_single(kv, "clusters", err) ||
        !keyvals_end(kv, err))
        return false;
    smp_complete(&s);
    if (s.sockets * s.cores * s.threads != s.max_cpus)
        return error_set(err, ERR_INVALID,
                         "-smp: %" G_GUINT64_FORMAT " sockets of %" G_GUINT64_FORMAT " cores of %" G_GUINT64_FORMAT
                         " threads are %" G_GUINT64_FORMAT " CPUs, not %" G_GUINT64_FORMAT "; make the product match cpus=",
                         s.sockets, s.cores, s.threads, s.sockets * s.cores * s.threads, s.max_cpus);
    if (s.cpus != s.max_cpus)
        return error_set(err, ERR_UNSUPPORTED, "-smp: maxcpus=%" G_GUINT64_FORMAT " with cpus=%" G_GUINT64_FORMAT
                         " asks for CPUs to be plugged in later, which is not built yet; give the same number", s.max_cpus, s.cpus);
    c->cpus = s.cpus;
    c->sockets = s.sockets;
    c->cores = s.cores;
    c->threads = s.threads;
    return true;
}

/* ---- identity and time */

bool config_name(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "guest", "-name", err);
    bool debug_threads = true; /* threads always carry their names */
    if (!kv)
        return false;
    g_free(c->name);
    c->name = g_strdup(keyvals_take(kv, "guest"));
    return keyvals_take_bool(kv, "debug-threads", &debug_threads, err) && keyvals_end(kv, err);
}

bool config_uuid(VmConfig *c, const char *arg, GError **err)
{
    if (!g_uuid_string_is_valid(arg))
        return error_set(err, ERR_INVALID, "-uuid: '%s' is no UUID; one looks like 01234567-89ab-cdef-0123-456789abcdef", arg);
    unsigned n = 0;
    for (const char *p = arg; *p; p++)
        if (*p != '-') {
            c->uuid[n++] = g_ascii_xdigit_value(p[0]) << 4 | g_ascii_xdigit_value(p[1]);
            p++;
        }
    c->has_uuid = true;
    return true;
}

static bool parse_date(const char *text, int64_t *ret)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autofree char *full = strchr(text, 'T') ? g_strdup(text) : g_strdup_printf("%sT00:00:00", text);
    g_autoptr(GDateTime) date = g_date_time_new_from_iso8601(full, utc);
    if (date)
        *ret = g_date_time_to_unix(date);
    return date != NULL;
}

bool config_rtc(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-rtc", err);
    if (!kv)
        return false;
    static const char *const driftfix[] = { "none", "slew", NULL }, *const clocks[] = { "host", "rt", "vm", NULL };
    unsigned drift = 1, clock = 0; /* a tick that comes late comes all the same: slew */
    const char *base = keyvals_take(kv, "base");
    if (!keyvals_take_choice(kv, "driftfix", driftfix, &drift, err) || !keyvals_take_choice(kv, "clock", clocks, &clock, err))
        return false;
    if (clock)
        return error_set(err, ERR_UNSUPPORTED, "-rtc: clock=host is what there is, not %s", clocks[clock]);
    if (!keyvals_end(kv, err))
        return false;
    if (!base || g_str_equal(base, "utc"))
        c->rtc_base = RTC_UTC;
    else if (g_str_equal(base, "localtime"))
        c->rtc_base = RTC_LOCALTIME;
    else if (parse_date(base, &c->rtc_time))
        c->rtc_base = RTC_AT;
    else
        return error_set(err, ERR_INVALID, "-rtc: base is utc, localtime, or a date as 2024-02-29T12:00:00, not '%s'", base);
    return true;
}

/* ---- starting up */

static void replace(char **at, const char *text)
{
    if (!text)
        return;
    g_free(*at);
    *at = g_strdup(text);
}

bool config_boot(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "order", "-boot", err);
    uint64_t splash_ms = c->boot_menu_timeout_ms, reboot_ms = UINT64_MAX;
    if (!kv)
        return false;
    const char *order = keyvals_take(kv, "order"), *once = keyvals_take(kv, "once"), *reboot = keyvals_take(kv, "reboot-timeout"),
               *splash = keyvals_take(kv, "splash");
    if (!keyvals_take_bool(kv, "menu", &c->boot_menu, err) || !keyvals_take_bool(kv, "strict", &c->boot_strict, err) ||
        !keyvals_take_number(kv, "splash-time", 0, 65535, &splash_ms, err) || !keyvals_end(kv, err))
        return false;
    if (reboot && !g_str_equal(reboot, "-1") && (!parse_size(reboot, 1, &reboot_ms) || reboot_ms > 65535))
        return error_set(err, ERR_INVALID, "-boot: reboot-timeout is -1 or a number of milliseconds up to 65535, not '%s'", reboot);
    if ((order && !boot_order_check(order, err)) || (once && !boot_order_check(once, err))) {
        g_prefix_error(err, "-boot: ");
        return false;
    }
    replace(&c->boot_order, order);
    replace(&c->boot_once, once);
    replace(&c->boot_splash, splash);
    c->boot_menu_timeout_ms = splash_ms;
    if (reboot)
        c->reboot_timeout_ms = reboot_ms == UINT64_MAX ? -1 : (int)reboot_ms;
    return true;
}

bool config_firmware_dir(VmConfig *c, const char *arg, GError **err)
{
    g_ptr_array_add(c->firmware_dirs, g_strdup(arg));
    return true;
}

bool config_fw_cfg(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "name", "-fw_cfg", err);
    if (!kv)
        return false;
    const char *name = keyvals_take(kv, "name"), *path = keyvals_take(kv, "file"), *text = keyvals_take(kv, "string");
    if (!keyvals_end(kv, err))
        return false;
    if (!name || !path == !text)
        return error_set(err, ERR_INVALID, "-fw_cfg: give name= and either file= or string=, not '%s'", arg);
    FileConfig f = { g_strdup(name), g_strdup(path), g_strdup(text) };
    g_array_append_val(c->files, f);
    return true;
}

/* ---- diagnosis */

bool config_log(VmConfig *c, const char *arg, GError **err)
{
    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        GString *s = g_string_new("Log categories (-d NAME,NAME,... or all):\n");
        for (unsigned i = 0; log_categories[i].name; i++)
            g_string_append_printf(s, "%-14s %s\n", log_categories[i].name, log_categories[i].doc);
        c->answer = g_string_free(s, FALSE);
        return true;
    }
    char *joined = c->log_categories ? g_strdup_printf("%s,%s", c->log_categories, arg) : g_strdup(arg);
    g_free(c->log_categories);
    c->log_categories = joined;
    return true;
}
