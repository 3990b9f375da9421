/* config_monitor.c - options about monitors. */
#include <string.h>

#include "base/keyval.h"
#include "vmm/config.h"
#include "vmm/monitor/monitor.h"

static void add(VmConfig *c, const char *chardev, MonitorMode mode)
{
    MonitorConfig m = { g_strdup(chardev), mode };
    g_array_append_val(c->monitors, m);
}

bool config_monitor(VmConfig *c, const char *arg, GError **err)
{
    c->no_text_monitor = g_str_equal(arg, "none");
    if (!c->no_text_monitor)
        add(c, arg, MONITOR_TEXT);
    return true;
}

bool config_qmp(VmConfig *c, const char *arg, GError **err)
{
    add(c, arg, MONITOR_QMP);
    return true;
}

bool config_qmp_pretty(VmConfig *c, const char *arg, GError **err)
{
    add(c, arg, MONITOR_QMP_PRETTY);
    return true;
}

bool config_mon(VmConfig *c, const char *arg, GError **err)
{
    static const char *const modes[] = { "readline", "control", NULL };
    g_autoptr(KeyVals) kv = keyvals_parse(arg, "chardev", "-mon", err);
    unsigned mode = 0;
    bool pretty = false;
    const char *chardev = kv ? keyvals_take(kv, "chardev") : NULL;
    if (!kv || !keyvals_take_choice(kv, "mode", modes, &mode, err) || !keyvals_take_bool(kv, "pretty", &pretty, err))
        return false;
    keyvals_take(kv, "id");
    if (!keyvals_end(kv, err))
        return false;
    if (!chardev)
        return error_set(err, ERR_INVALID, "-mon '%s' needs chardev=ID, which -chardev defines", arg);
    g_autofree char *spec = g_strdup_printf("chardev:%s", chardev);
    add(c, spec, mode == 0 ? MONITOR_TEXT : pretty ? MONITOR_QMP_PRETTY : MONITOR_QMP);
    return true;
}

/* gdb's own spelling "tcp::1234" waits for nobody. */
bool config_gdb(VmConfig *c, const char *arg, GError **err)
{
    g_free(c->gdb);
    bool socket = g_str_has_prefix(arg, "tcp:") || g_str_has_prefix(arg, "unix:");
    c->gdb = socket && !strstr(arg, "server") ? g_strdup_printf("%s,server=on,wait=off", arg) : g_strdup(arg);
    return true;
}

bool config_gdb_here(VmConfig *c, const char *arg, GError **err) { return config_gdb(c, "tcp:127.0.0.1:1234", err); }

bool config_escape_key(VmConfig *c, const char *arg, GError **err)
{
    char *end;
    gint64 key = g_ascii_strtoll(arg, &end, 0);
    if (!*arg || *end || key < 1 || key > UINT8_MAX)
        return error_set(err, ERR_INVALID, "-echr '%s' is no key: give its number, as in 0x14 for Ctrl-t", arg);
    c->escape_key = key;
    return true;
}
