/* main.c - the manager's daemon. */
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/roff.h"
#include "manage/daemon/daemon.h"

typedef struct Command {
    char *config_dir, *state_dir, *runtime_dir, *log_dir, *emulator, *socket, *user;
    char *tls, *pki, **tls_allow;
    gboolean session, version, coverage, manual;
    int timeout;
} Command;

/* Of the host for root, of the user otherwise. */
static char *folder(const char *told, bool session, const char *host, const char *users)
{
    return told ? g_strdup(told) : session ? g_build_filename(users, "atoll", NULL) : g_build_filename(host, "atoll", NULL);
}

static gboolean on_signal(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

typedef struct Idle {
    Daemon *daemon;
    GMainLoop *loop;
    int limit, seconds;
} Idle;

static gboolean on_second(gpointer data)
{
    Idle *i = data;
    i->seconds = daemon_is_idle(i->daemon) ? i->seconds + 1 : 0;
    if (i->seconds >= i->limit)
        g_main_loop_quit(i->loop);
    return G_SOURCE_CONTINUE;
}

static int serve(const Command *c, GError **err)
{
    bool session = c->session || geteuid();
    g_autofree char *config = folder(c->config_dir, session, "/etc", g_get_user_config_dir()), *state = folder(c->state_dir, session, "/var/lib", g_get_user_data_dir());
    g_autofree char *runtime = folder(c->runtime_dir, session, "/run", g_get_user_runtime_dir()), *log = folder(c->log_dir, session, "/var/log", g_get_user_cache_dir());
    g_autofree char *socket = c->socket ? g_strdup(c->socket) : g_build_filename(runtime, "atoll-sock", NULL), *readonly = g_strconcat(socket, "-ro", NULL);
    const DaemonOptions o = { .config_dir = config, .state_dir = state, .runtime_dir = runtime, .log_dir = log, .emulator = c->emulator, .machine_user = c->user, .session = session };
    Daemon *d = daemon_new(&o, err);
    if (!d)
        return 1;
    bool ok = daemon_listen(d, socket, session ? 0600 : 0660, false, err) && (session || daemon_listen(d, readonly, 0666, true, err));
    ok = ok && (!c->tls || daemon_listen_tls(d, c->tls, c->pki ? c->pki : "/etc/pki", (const char *const *)c->tls_allow, err));
    if (ok) {
        g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
        Idle idle = { d, loop, c->timeout, 0 };
        g_unix_signal_add(SIGTERM, on_signal, loop);
        g_unix_signal_add(SIGINT, on_signal, loop);
        if (c->timeout > 0)
            g_timeout_add_seconds(1, on_second, &idle);
        daemon_autostart(d);
        g_main_loop_run(loop);
    }
    daemon_free(d);
    return !ok;
}

static void clear(Command *c)
{
    char *const texts[] = { c->config_dir, c->state_dir, c->runtime_dir, c->log_dir, c->emulator, c->socket, c->user, c->tls, c->pki };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_strfreev(c->tls_allow);
}

static const char purpose[] = "Keeps the machines, networks and storage of a host; libvirt's clients connect to it:\n"
                              "  virsh -c 'qemu:///system?socket=/run/atoll/atoll-sock' list --all";

/* atolld(8), of the options' own table. */
static void print_manual(const GOptionEntry *entries)
{
    g_autoptr(GString) s = g_string_new(".TH ATOLLD 8 \"\" \"Atoll " ATOLL_VERSION "\"\n.SH NAME\natolld \\- the daemon that keeps a host's machines\n"
                                        ".SH SYNOPSIS\n\\fBatolld\\fR [\\fIOPTION\\fR...]\n.SH DESCRIPTION\n.nf\n");
    roff_append(s, purpose);
    g_string_append(s, "\n.fi\nMachines live on when it ends, and the next one takes them up.\n.SH OPTIONS\n");
    for (const GOptionEntry *e = entries; e->long_name; e++) {
        g_string_append(s, ".TP\n\\fB\\-\\-");
        roff_append(s, e->long_name);
        g_string_append_printf(s, "\\fR%s%s%s\n", e->arg_description ? " \\fI" : "", e->arg_description ? e->arg_description : "", e->arg_description ? "\\fR" : "");
        roff_append(s, e->description);
        g_string_append_c(s, '\n');
    }
    fputs(s->str, stdout);
}

int main(int argc, char **argv)
{
    Command c = { 0 };
    const GOptionEntry entries[] = {
        { "session", 0, 0, G_OPTION_ARG_NONE, &c.session, "serve this user (what a plain user always gets), not the host", NULL },
        { "config-dir", 0, 0, G_OPTION_ARG_FILENAME, &c.config_dir, "definitions (/etc/atoll)", "DIR" },
        { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &c.state_dir, "images and firmware variables (/var/lib/atoll)", "DIR" },
        { "runtime-dir", 0, 0, G_OPTION_ARG_FILENAME, &c.runtime_dir, "sockets (/run/atoll)", "DIR" },
        { "log-dir", 0, 0, G_OPTION_ARG_FILENAME, &c.log_dir, "logs of machines (/var/log/atoll)", "DIR" },
        { "emulator", 0, 0, G_OPTION_ARG_FILENAME, &c.emulator, "program that runs machines (atoll-vm)", "PATH" },
        { "machine-user", 0, 0, G_OPTION_ARG_STRING, &c.user, "whom machines run as, once root has opened their files, which stay whose they are", "NAME" },
        { "socket", 0, 0, G_OPTION_ARG_FILENAME, &c.socket, "where clients connect; read-only ones at the same name with -ro (RUNTIME/atoll-sock)", "PATH" },
        { "tls", 0, 0, G_OPTION_ARG_STRING, &c.tls, "serve clients of other hosts that have a certificate, too (port 16514; '' is all addresses)", "[ADDRESS:]PORT" },
        { "tls-allow", 0, 0, G_OPTION_ARG_STRING_ARRAY, &c.tls_allow, "of these only those whose name (CN=...,O=...) fits; may be repeated", "PATTERN" },
        { "pki-dir", 0, 0, G_OPTION_ARG_FILENAME, &c.pki, "certificates: CA/cacert.pem, libvirt/servercert.pem, libvirt/private/serverkey.pem (/etc/pki)", "DIR" },
        { "timeout", 't', 0, G_OPTION_ARG_INT, &c.timeout, "end after so many seconds without clients and machines", "S" },
        { "coverage", 0, 0, G_OPTION_ARG_NONE, &c.coverage, "print which procedures of libvirt's protocol are answered", NULL },
        { "manual", 0, 0, G_OPTION_ARG_NONE, &c.manual, "print the manual page (roff)", NULL },
        { "version", 'V', 0, G_OPTION_ARG_NONE, &c.version, "print the version", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;
    g_option_context_set_summary(context, purpose);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        fprintf(stderr, "atolld: %s; see atolld --help\n", err->message);
        return 1;
    }
    if (c.version) {
        puts("atolld " ATOLL_VERSION);
        return 0;
    }
    if (c.manual) {
        print_manual(entries);
        return 0;
    }
    if (c.coverage) {
        g_autofree char *table = daemon_coverage();
        fputs(table, stdout);
        return 0;
    }
    int status = serve(&c, &err);
    if (err)
        fprintf(stderr, "atolld: %s\n", err->message);
    clear(&c);
    return status;
}
