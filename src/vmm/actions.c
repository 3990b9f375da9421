/* actions.c - see actions.h. */
#include "vmm/actions.h"

#include "base/error.h"
#include "base/keyval.h"
#include "vmm/config.h"
#include "vmm/monitor/command.h"

/* Their order is that of the enums. */
static const char *const reboot_words[] = { "reset", "shutdown", NULL };
static const char *const shutdown_words[] = { "poweroff", "pause", NULL };
static const char *const panic_words[] = { "shutdown", "pause", "exit-failure", "none", NULL };
static const char *const watchdog_words[] = { "reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi", NULL };

static const struct Row {
    const char *event;
    const char *const *words;
    size_t off; /* in VmActions, of an enum */
} rows[] = {
    { "reboot", reboot_words, offsetof(VmActions, reboot) },
    { "shutdown", shutdown_words, offsetof(VmActions, shutdown) },
    { "panic", panic_words, offsetof(VmActions, panic) },
    { "watchdog", watchdog_words, offsetof(VmActions, watchdog) },
};

const char *watchdog_action_name(WatchdogAction a) { return watchdog_words[a]; }

static bool set_row(VmActions *a, const struct Row *row, const char *action, GError **err)
{
    for (unsigned i = 0; row->words[i]; i++)
        if (g_str_equal(row->words[i], action)) {
            G_STRUCT_MEMBER(unsigned, a, row->off) = i;
            return true;
        }
    g_autofree char *all = g_strjoinv(", ", (char **)row->words);
    return error_set(err, ERR_INVALID, "%s=%s is no action; there are: %s", row->event, action, all);
}

bool action_set(VmActions *a, const char *event, const char *action, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (g_str_equal(rows[i].event, event))
            return set_row(a, &rows[i], action, err);
    return error_set(err, ERR_INVALID, "'%s' is no event that has an action; there are: reboot, shutdown, panic, watchdog", event);
}

/* ---- the command line */

bool config_action(VmConfig *c, const char *arg, GError **err)
{
    g_autoptr(KeyVals) kv = keyvals_parse(arg, NULL, "-action", err);
    if (!kv)
        return false;
    g_autofree const char **given = keyvals_rest(kv);
    for (unsigned i = 0; given[i]; i += 2)
        if (!action_set(&c->actions, given[i], given[i + 1], err))
            return false;
    return true;
}

bool config_watchdog_action(VmConfig *c, const char *arg, GError **err) { return action_set(&c->actions, "watchdog", arg, err); }
bool config_no_reboot(VmConfig *c, const char *arg, GError **err) { return action_set(&c->actions, "reboot", "shutdown", err); }
bool config_no_shutdown(VmConfig *c, const char *arg, GError **err) { return action_set(&c->actions, "shutdown", "pause", err); }

/* ---- the monitor */

static bool set_action(MonitorCall *call, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *action = arg_text(call, rows[i].event);
        if (action && !set_row(&call->vm->actions, &rows[i], action, err))
            return false;
    }
    return true;
}

static bool watchdog_set_action(MonitorCall *call, GError **err) { return action_set(&call->vm->actions, "watchdog", arg_text(call, "action"), err); }

const MonitorCommand action_commands[] = {
    { "set-action", NULL, "?reboot: RebootAction, ?shutdown: ShutdownAction, ?panic: PanicAction, ?watchdog: WatchdogAction",
      .doc = "what follows when the guest resets, shuts down or panics, or a watchdog runs out", .run = set_action, .early = true },
    { "watchdog-set-action", "watchdog_action", "action: WatchdogAction", .doc = "what follows when a watchdog runs out", .run = watchdog_set_action, .early = true },
    { NULL },
};
