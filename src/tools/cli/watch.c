/* watch.c - commands: events, pictures of the screen, a machine's monitor. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli/cli.h"
#include "tools/cli/rows.h"

/* virDomainEventID: the names that virsh has for them. */
static const char *const event_names[] = { "lifecycle", "reboot", "rtc-change", "watchdog", "io-error", "graphics", "io-error-reason", "control-error", "block-job", "disk-change",
                                           "tray-change", "pm-wakeup", "pm-suspend", "balloon-change", "pm-suspend-disk", "device-removed", "block-job-2", "tunable", "agent-lifecycle",
                                           "device-added", "migration-iteration", "job-completed", "device-removal-failed", "metadata-change", "block-threshold", "memory-failure",
                                           "memory-device-size-change", NULL };
/* virDomainEventType and what each was caused by */
static const char *const lifecycle[] = { "Defined", "Undefined", "Started", "Suspended", "Resumed", "Stopped", "Shutdown", "PMSuspended", "Crashed" };
static const char *const details[][9] = {
    { "Added", "Updated", "Renamed", "Snapshot" },
    { "Removed", "Renamed" },
    { "Booted", "Migrated", "Restored", "Snapshot", "Event wakeup" },
    { "Paused", "Migrated", "I/O Error", "Watchdog", "Restored", "Snapshot", "API error", "Post-copy", "Post-copy Error" },
    { "Unpaused", "Migrated", "Snapshot", "Post-copy" },
    { "Shutdown", "Destroyed", "Crashed", "Migrated", "Saved", "Failed", "Snapshot" },
    { "Finished", "Finished after guest request", "Finished after host request" },
    { "Memory", "Disk" },
    { "Panicked", "Crashloaded" },
};

typedef struct Watch {
    Cli *cli;
    GMainLoop *loop;
    const char *domain; /* NULL: all */
    bool once;
    unsigned seen;
} Watch;

static void told(Watch *w, const char *name, const char *domain, const char *text)
{
    if (w->domain && strcmp(w->domain, domain))
        return;
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S.%f+0000: ");
    const char *stamp = arg_given(w->cli, "timestamp") ? time : "";
    if (w->cli->json) {
        g_autofree char *escaped = g_strescape(text, NULL);
        printf("{ \"event\": \"%s\", \"domain\": \"%s\", \"detail\": \"%s\" }\n", name, domain, escaped);
    } else {
        printf("%sevent '%s' for domain '%s'%s%s\n", stamp, name, domain, *text ? ": " : "", text);
    }
    fflush(stdout);
    w->seen++;
    if (w->once)
        g_main_loop_quit(w->loop);
}

static void on_lifecycle(AtollConnection *c, AtollDomain *d, int event, int detail, gpointer data)
{
    bool known = event >= 0 && event < (int)G_N_ELEMENTS(lifecycle) && detail >= 0 && detail < (int)G_N_ELEMENTS(details[0]);
    const char *why = known ? details[event][detail] : NULL;
    g_autofree char *text = g_strdup_printf("%s %s", known ? lifecycle[event] : "unknown", why ? why : "unknown");
    told(data, "lifecycle", name_of(d), text);
}

/* Events other than the life cycle: what they carry behind the domain, as it is. */
static void on_event(AtollConnection *c, const char *procedure, GVariant *values, gpointer data)
{
    if (!g_str_has_prefix(procedure, "DOMAIN_EVENT_") || strstr(procedure, "LIFECYCLE"))
        return;
    const char *name = NULL, *rest = procedure + strlen("DOMAIN_EVENT_");
    g_autofree char *lower = g_ascii_strdown(g_str_has_prefix(rest, "CALLBACK_") ? rest + strlen("CALLBACK_") : rest, -1);
    g_strdelimit(lower, "_", '-');
    gsize n = g_variant_n_children(values);
    for (gsize i = 1; i < n; i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(values, i), inner = g_variant_is_of_type(child, G_VARIANT_TYPE_TUPLE) ? g_variant_get_child_value(child, 0) : NULL;
        if (g_variant_is_of_type(child, G_VARIANT_TYPE("(ssi)")))
            g_variant_get_child(child, 0, "&s", &name);
        else if (inner && g_variant_is_of_type(inner, G_VARIANT_TYPE("(ssi)")))
            g_variant_get_child(inner, 0, "&s", &name);
        if (name) {
            g_autofree char *text = g_variant_n_children(child) > 1 && inner && g_variant_is_of_type(inner, G_VARIANT_TYPE_TUPLE) ? g_variant_print(child, FALSE) : g_strdup("");
            told(data, lower, name, text);
            return;
        }
    }
}

static gboolean on_timeout(gpointer data)
{
    Watch *w = data;
    puts("event loop timed out");
    g_main_loop_quit(w->loop);
    return G_SOURCE_REMOVE;
}

static void on_closed(AtollConnection *c, gpointer data) { g_main_loop_quit(data); }

static bool run_event(Cli *c, GError **err)
{
    const char *wanted = arg_text(c, "event");
    gint64 timeout_s = 0;
    if (arg_given(c, "list")) {
        for (unsigned i = 0; event_names[i]; i++)
            puts(event_names[i]);
        return true;
    }
    if (!wanted && !arg_given(c, "all"))
        return cli_error(err, "one of --list, --all, or --event <type> is required");
    if (!arg_int(c, "timeout", &timeout_s, err))
        return false;
    g_autoptr(AtollDomain) d = arg_given(c, "domain") ? cli_domain(c, err) : NULL;
    if (arg_given(c, "domain") && !d)
        return false;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Watch w = { c, loop, d ? name_of(d) : NULL, !arg_given(c, "loop"), 0 };
    bool any = false;
    gulong one = g_signal_connect(c->connection, "domain-lifecycle", G_CALLBACK(on_lifecycle), &w), two = g_signal_connect(c->connection, "event", G_CALLBACK(on_event), &w);
    gulong three = g_signal_connect(c->connection, "closed", G_CALLBACK(on_closed), loop);
    for (int i = 0; event_names[i]; i++) {
        int id;
        if (wanted && strcmp(wanted, event_names[i]))
            continue;
        if (!atoll_connection_watch_domains_sync(c->connection, i, &id, NULL, err))
            return false;
        any = true;
    }
    if (!any)
        return cli_error(err, "unknown event type %s", wanted);
    guint timer = timeout_s > 0 ? g_timeout_add_seconds(timeout_s, on_timeout, &w) : 0;
    g_main_loop_run(loop);
    g_signal_handler_disconnect(c->connection, one);
    g_signal_handler_disconnect(c->connection, two);
    g_signal_handler_disconnect(c->connection, three);
    if (timer && w.once && w.seen)
        g_source_remove(timer);
    if (!c->json)
        printf("events received: %u\n", w.seen);
    return w.seen || !w.once || cli_error(err, "no event came");
}

static bool run_monitor_command(Cli *c, GError **err)
{
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_ptr_array_add(c->rest, NULL);
    g_autofree char *command = g_strjoinv(" ", (char **)c->rest->pdata), *answer = d ? atoll_domain_monitor_command_sync(d, command, arg_given(c, "hmp") ? 1 : 0, NULL, err) : NULL;
    if (answer)
        out_line(c, "answer", "%s", answer);
    return answer;
}

static bool run_agent_command(Cli *c, GError **err)
{
    gint64 timeout_s = arg_given(c, "async") ? -1 : -2;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    g_ptr_array_add(c->rest, NULL);
    g_autofree char *command = g_strjoinv(" ", (char **)c->rest->pdata);
    if (!d || !arg_int(c, "timeout", &timeout_s, err))
        return false;
    g_autoptr(GVariant) v = object_call(d, "DOMAIN_AGENT_COMMAND", g_variant_new("(siu)", command, (int)timeout_s, 0), err);
    const char *answer = NULL;
    if (v)
        g_variant_get(v, "(m&s)", &answer);
    if (answer)
        out_line(c, "answer", "%s", answer);
    return v;
}

static bool run_screenshot(Cli *c, GError **err)
{
    gint64 screen = 0;
    g_autoptr(AtollDomain) d = cli_domain(c, err);
    if (!d || !arg_int(c, "screen", &screen, err))
        return false;
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *stamp = g_date_time_format(now, "%Y-%m-%d-%H:%M:%S"), *path = arg_given(c, "file") ? g_strdup(arg_text(c, "file")) : g_strdup_printf("%s-%s.png", name_of(d), stamp);
    g_autoptr(AtollStream) s = atoll_connection_open_stream_sync(c->connection, "DOMAIN_SCREENSHOT", g_variant_new("(@(ssi)uu)", atoll_object_get_handle(ATOLL_OBJECT(d)), (guint)screen, 0), NULL, err);
    g_autoptr(GByteArray) picture = g_byte_array_new();
    bool more = s;
    while (more) {
        gsize n;
        g_autoptr(GBytes) bytes = atoll_stream_receive_sync(s, NULL, err);
        if (!bytes)
            return false;
        gconstpointer at = g_bytes_get_data(bytes, &n);
        g_byte_array_append(picture, at, n);
        more = n;
    }
    if (!s || !atoll_stream_finish_sync(s, NULL, err) || !g_file_set_contents(path, (char *)picture->data, picture->len, err)) {
        cli_headline(c, "could not take a screenshot of %s", name_of(d));
        return false;
    }
    out_message(c, "Screenshot saved to %s, with type of image/png", path);
    return true;
}

const Command domain_watch_commands[] = {
    { "event", "Domain Events",
      ARGS({ "domain", ARG_DOMAIN, ARG_NAMED, "filter by domain name, id or uuid" }, { "event", ARG_TEXT, 0, "which event type to wait for" },
           { "all", ARG_FLAG, 0, "wait for all events instead of just one type" }, { "loop", ARG_FLAG, 0, "loop until timeout or interrupt, rather than one-shot" },
           { "timeout", ARG_INT, ARG_NAMED, "timeout seconds" }, { "list", ARG_FLAG, 0, "list valid event types" }, { "timestamp", ARG_FLAG, 0, "show timestamp for each printed event" }),
      run_event },
    { "qemu-agent-command", "QEMU Guest Agent Command",
      ARGS(DOMAIN_ARG, { "timeout", ARG_INT, ARG_NAMED, "timeout seconds. must be positive." }, { "async", ARG_FLAG, 0, "execute command without waiting for timeout" },
           { "block", ARG_FLAG, 0, "execute command without timeout" }, { "cmd", ARG_TEXT, ARG_REQUIRED | ARG_REST, "command" }),
      run_agent_command },
    { "qemu-monitor-command", "QEMU Monitor Command",
      ARGS(DOMAIN_ARG, { "hmp", ARG_FLAG, 0, "command is in human monitor protocol" }, { "pretty", ARG_FLAG, 0, "pretty-print any qemu monitor protocol output" },
           { "cmd", ARG_TEXT, ARG_REQUIRED | ARG_REST, "command" }),
      run_monitor_command },
    { "screenshot", "take a screenshot of a current domain console and store it into a file",
      ARGS(DOMAIN_ARG, { "file", ARG_FILE, 0, "where to store the screenshot" }, { "screen", ARG_INT, ARG_NAMED, "ID of a screen to take screenshot of" }), run_screenshot },
    { NULL },
};
