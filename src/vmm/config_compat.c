/*
 * config_compat.c - options that tools always give.  Each is either what this program does anyway, or is refused: nothing that
 * is asked for is left undone in silence.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/keyval.h"
#include "devices/devices.h"
#include "vmm/config.h"

/* A property that may only have the value that describes us. */
typedef struct Fixed {
    const char *key;
    bool value;
    const char *why; /* the other is not to be had */
} Fixed;

static bool take_fixed(KeyVals *kv, const char *option, const Fixed *fixed, GError **err)
{
    for (; fixed->key; fixed++) {
        bool value = fixed->value;
        if (!keyvals_take_bool(kv, fixed->key, &value, err))
            return false;
        if (value != fixed->value)
            return error_set(err, ERR_UNSUPPORTED, "%s: %s=%s: %s", option, fixed->key, value ? "on" : "off", fixed->why);
    }
    return true;
}

static bool only_fixed(const char *option, const char *arg, const char *implied, const Fixed *fixed, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, implied, option, err);
    return kv && take_fixed(kv, option, fixed, err) && keyvals_end(kv, err);
}

bool config_machine_fixed(KeyVals *kv, GError **err)
{
    static const Fixed fixed[] = {
        { "vmport", false, "VMware's port is not built" },
        { "nvdimm", false, "non-volatile memory is not built" },
        { "smm", false, "system management mode is not the board's business yet" },
        { "kernel-irqchip", false, "interrupt controllers are this program's own" },
        { NULL },
    };
    bool ignored = false; /* a core dump holds guest RAM or not: it is shared memory, which never is in one; pages may be merged or not */
    return take_fixed(kv, "-machine", fixed, err) && keyvals_take_bool(kv, "dump-guest-core", &ignored, err) &&
           keyvals_take_bool(kv, "mem-merge", &ignored, err) && keyvals_take_bool(kv, "graphics", &ignored, err);
}

bool config_overcommit(VmConfig *c, const char *arg, GError **err)
{
    static const Fixed fixed[] = { { "mem-lock", false, "locking guest memory is not built yet" }, { "cpu-pm", false, "the guest may not keep host CPUs" }, { NULL } };
    return only_fixed("-overcommit", arg, NULL, fixed, err);
}

bool config_msg(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-msg", err);
    bool guest_name = false;
    return kv && keyvals_take_bool(kv, "timestamp", &c->message_times, err) && keyvals_take_bool(kv, "guest-name", &guest_name, err) && keyvals_end(kv, err);
}

bool config_audiodev(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "driver", "-audiodev", err);
    const char *driver = kv ? keyvals_take(kv, "driver") : NULL;
    if (!kv)
        return false;
    keyvals_take(kv, "id");
    if (g_strcmp0(driver, "none"))
        return error_set(err, ERR_UNSUPPORTED, "-audiodev: sound is not built yet; driver none is what there is, not '%s'", driver ? driver : "");
    return keyvals_end(kv, err);
}

bool config_parallel(VmConfig *c, const char *arg, GError **err)
{
    return g_str_equal(arg, "none") || g_str_equal(arg, "null") ||
           error_set(err, ERR_UNSUPPORTED, "-parallel %s: parallel ports are not built; -parallel none is what there is", arg);
}

/* ---- -global: what a property of every device of a type is, unless -device says otherwise */

/* Types that are no devices of ours, and what they would have to be. */
typedef struct GlobalRow {
    const char *driver, *property, *values; /* words with blanks */
} GlobalRow;
static const GlobalRow known_globals[] = {
    { "PIIX4_PM", "disable_s3", "1 on" }, /* sleep states but S5 are not built */
    { "PIIX4_PM", "disable_s4", "1 on" },
    { "ICH9-LPC", "disable_s3", "1 on" },
    { "ICH9-LPC", "disable_s4", "1 on" },
    { "virtio-mmio", "force-legacy", "false off" },
    { "cfi.pflash01", "secure", "off false" }, /* there is no SMM to keep it for */
    { "kvm-pit", "lost_tick_policy", "delay" }, /* the PIT's ticks come late, but all of them come */
    { NULL },
};

static bool known_global(const char *driver, const char *property, const char *value, bool *ret, GError **err)
{
    for (const GlobalRow *row = known_globals; row->driver; row++) {
        if (!g_str_equal(row->driver, driver) || !g_str_equal(row->property, property))
            continue;
        g_auto(GStrv) words = g_strsplit(row->values, " ", -1);
        *ret = true;
        return g_strv_contains((const char *const *)words, value) ||
               error_set(err, ERR_UNSUPPORTED, "-global %s.%s=%s: only %s is built", driver, property, value, words[0]);
    }
    return true;
}

void config_each_known_global(const char *driver, void (*fn)(const char *property, void *arg), void *arg)
{
    for (const GlobalRow *row = known_globals; row->driver; row++)
        if (g_str_equal(row->driver, driver))
            fn(row->property, arg);
}

/* DRIVER.PROPERTY=VALUE, or driver=,property=,value= for names with dots. */
static bool read_global(const char *arg, GlobalConfig *ret, GError **err)
{
    const char *equal = strchr(arg, '='), *dot = equal ? g_strrstr_len(arg, equal - arg, ".") : NULL;
    if (dot && !g_str_has_prefix(arg, "driver=")) {
        *ret = (GlobalConfig){ g_strndup(arg, dot - arg), g_strndup(dot + 1, equal - dot - 1), g_strdup(equal + 1) };
        return true;
    }
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-global", NULL);
    const char *driver = kv ? keyvals_take(kv, "driver") : NULL, *property = kv ? keyvals_take(kv, "property") : NULL, *value = kv ? keyvals_take(kv, "value") : NULL;
    if (!driver || !property || !value || !keyvals_end(kv, NULL))
        return error_set(err, ERR_INVALID, "-global: '%s' is not of the form DRIVER.PROPERTY=VALUE, nor driver=DRIVER,property=PROPERTY,value=VALUE", arg);
    *ret = (GlobalConfig){ g_strdup(driver), g_strdup(property), g_strdup(value) };
    return true;
}

bool config_global(VmConfig *c, const char *arg, GError **err)
{
    bool known = false;
    GlobalConfig g;
    if (!read_global(arg, &g, err))
        return false;
    g_array_append_val(c->globals, g);
    if (!known_global(g.driver, g.property, g.value, &known, err))
        return false;
    if (known)
        return true;
    const DeviceType *type = device_type_find(device_types, g.driver, err);
    return type && (field_find(type->fields, g.property, FIELD_PROP) ||
                    error_set(err, ERR_INVALID, "-global: device '%s' has no property '%s'; -device %s,help lists them", g.driver, g.property, g.driver));
}

/* ---- -add-fd */

bool config_add_fd(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-add-fd", err);
    uint64_t set = UINT64_MAX, fd = UINT64_MAX;
    if (!kv || !keyvals_take_number(kv, "set", 0, INT32_MAX, &set, err) || !keyvals_take_number(kv, "fd", 3, INT32_MAX, &fd, err))
        return false;
    const char *opaque = keyvals_take(kv, "opaque");
    if (!keyvals_end(kv, err))
        return false;
    if (set == UINT64_MAX || fd == UINT64_MAX)
        return error_set(err, ERR_INVALID, "-add-fd '%s' needs set= and fd=", arg);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set_errno(err, errno, "-add-fd: this program was not given descriptor %d", (int)fd);
    FdConfig f = { set, fd, g_strdup(opaque) };
    g_array_append_val(c->fds, f);
    return true;
}

static void put_fd(GString *s, const char *key, const FdConfig *f)
{
    g_autofree char *name = g_strdup_printf("%s=/dev/fdset/%u", key, f->set), *path = g_strdup_printf("%s=/proc/self/fd/%d", key, f->fd);
    const char *at = strstr(s->str, name);
    if (at && !g_ascii_isdigit(at[strlen(name)]))
        g_string_replace(s, name, path, 1);
}

char *config_with_fds(const VmConfig *c, const char *text)
{
    GString *s = g_string_new(text);
    for (unsigned i = 0; i < c->fds->len; i++) {
        put_fd(s, "path", &g_array_index(c->fds, FdConfig, i));
        put_fd(s, "logfile", &g_array_index(c->fds, FdConfig, i));
    }
    return g_string_free(s, FALSE);
}
