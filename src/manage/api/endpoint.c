/*
 * endpoint.c - from a URI to a socket: the host's daemon, the user's (started where none runs), one behind ssh.
 *
 *     atoll:///system   atoll:///session   test:///default   qemu:///... (the same)   SCHEME+unix:///...?socket=PATH   atoll+ssh://[USER@]HOST[:PORT]/system
 *     atoll+tls://HOST[:PORT]/system[?pkipath=FOLDER]
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manage/api/api_inside.h"

enum { START_MS = 10000, LOOK_MS = 10 };

/* How long a daemon that was started for a call stays without clients and machines. */
#define IDLE_SECONDS "30"

typedef struct Endpoint {
    char *scheme, *transport, *user, *host, *path; /* transport NULL: a local socket */
    int port;                                      /* -1: none given */
    GHashTable *query;
} Endpoint;

static void endpoint_clear(Endpoint *e)
{
    g_free(e->scheme);
    g_free(e->transport);
    g_free(e->user);
    g_free(e->host);
    g_free(e->path);
    g_clear_pointer(&e->query, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Endpoint, endpoint_clear)

static bool refuse(GError **error, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool refuse(GError **error, int code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    g_autofree char *text = g_strdup_vprintf(format, ap);
    va_end(ap);
    g_set_error_literal(error, ATOLL_MANAGER_ERROR, code, text);
    return false;
}

static bool parse(const char *text, Endpoint *e, GError **error)
{
    g_autofree char *scheme = NULL, *query = NULL;
    if (!g_uri_split(text, G_URI_FLAGS_NONE, &scheme, &e->user, &e->host, &e->port, &e->path, &query, NULL, error)) {
        g_prefix_error(error, "'%s' is no URI such as atoll:///system: ", text);
        return false;
    }
    if (!scheme)
        return refuse(error, ATOLL_MANAGER_ERROR_INVALID_ARG, "'%s' is no URI such as atoll:///system", text);
    char *plus = strchr(scheme, '+');
    e->scheme = plus ? g_strndup(scheme, plus - scheme) : g_strdup(scheme);
    e->transport = plus ? g_strdup(plus + 1) : NULL;
    e->query = query ? g_uri_parse_params(query, -1, "&;", G_URI_PARAMS_NONE, error) : g_hash_table_new(g_str_hash, g_str_equal);
    if (!e->query)
        return false;
    static const char *const transports[] = { "unix", "ssh", "tls", NULL };
    if (e->transport && !g_strv_contains(transports, e->transport))
        return refuse(error, ATOLL_MANAGER_ERROR_INVALID_ARG, "'%s': there is no transport '%s'; unix, ssh and tls are there", text, e->transport);
    if (e->host && *e->host && !e->transport)
        return refuse(error, ATOLL_MANAGER_ERROR_INVALID_ARG, "'%s' names a host and no way to it: write %s+ssh://%s%s", text, e->scheme, e->host, e->path);
    return true;
}

static GSocket *connect_unix(const char *path, GError **error)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocket) s = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);
    if (!s || !g_socket_connect(s, address, NULL, error)) {
        g_prefix_error(error, "cannot connect to the daemon at '%s': ", path);
        return NULL;
    }
    return g_steal_pointer(&s);
}

/* ---- the user's own daemon */

/* Beside this program, as in a build's folder, or in PATH. */
static char *daemon_program(void)
{
    const char *told = g_getenv("ATOLL_DAEMON");
    if (told)
        return g_strdup(told);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *folder = self ? g_path_get_dirname(self) : g_strdup("/");
    char *beside = g_build_filename(folder, "atolld", NULL);
    if (g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
        return beside;
    g_free(beside);
    return g_find_program_in_path("atolld");
}

static void in_child(gpointer data) { setsid(); }

static bool spawn_daemon(GError **error)
{
    g_autofree char *program = daemon_program();
    if (!program)
        return refuse(error, ATOLL_MANAGER_ERROR_NO_CONNECT, "no daemon of yours runs, and there is no program 'atolld' to start one: install it or set ATOLL_DAEMON");
    g_autofree char *folder = g_build_filename(g_get_user_cache_dir(), "atoll", NULL), *log = g_build_filename(folder, "atolld.log", NULL);
    g_mkdir_with_parents(folder, 0700);
    g_autoptr(GSubprocessLauncher) l = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    g_subprocess_launcher_set_child_setup(l, in_child, NULL, NULL);
    g_subprocess_launcher_set_stdout_file_path(l, log);
    g_subprocess_launcher_set_stderr_file_path(l, log);
    g_subprocess_launcher_set_cwd(l, "/");
    g_autoptr(GSubprocess) p = g_subprocess_launcher_spawn(l, error, program, "--session", "--timeout", IDLE_SECONDS, NULL);
    return p != NULL;
}

/* Two clients that start at once start one daemon: the lock is held until it listens. */
static GSocket *start_session(const char *path, GCancellable *cancellable, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path), *lock_path = g_build_filename(folder, "start.lock", NULL);
    g_mkdir_with_parents(folder, 0700);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock >= 0 && flock(lock, LOCK_EX))
        g_debug("no lock on '%s'", lock_path);
    GSocket *s = connect_unix(path, NULL);
    if (!s && spawn_daemon(error)) {
        for (int waited = 0; !s && waited < START_MS && !g_cancellable_is_cancelled(cancellable); waited += LOOK_MS) {
            g_usleep(LOOK_MS * 1000);
            s = connect_unix(path, NULL);
        }
        if (!s)
            refuse(error, ATOLL_MANAGER_ERROR_NO_CONNECT, "the daemon that was started does not listen at '%s'; what it said is in %s/atoll/atolld.log", path, g_get_user_cache_dir());
    }
    if (lock >= 0)
        close(lock);
    return s;
}

/* ---- behind ssh: `atoll proxy` there carries bytes between its standard input and output and the daemon */

static GSocket *connect_ssh(const Endpoint *e, GError **error)
{
    int pair[2];
    g_autofree char *port = e->port > 0 ? g_strdup_printf("-p%d", e->port) : NULL, *quoted = NULL;
    const char *socket = g_hash_table_lookup(e->query, "socket"), *command = g_hash_table_lookup(e->query, "command"), *words[12];
    unsigned n = 0;
    if (e->host && *e->host == '-') {
        refuse(error, ATOLL_MANAGER_ERROR_INVALID_ARG, "'%s' is no name of a host", e->host);
        return NULL;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        refuse(error, ATOLL_MANAGER_ERROR_SYSTEM, "cannot make a socket for ssh: %s", g_strerror(errno));
        return NULL;
    }
    words[n++] = "ssh";
    words[n++] = "-T";
    if (port)
        words[n++] = port;
    if (e->user) {
        words[n++] = "-l";
        words[n++] = e->user;
    }
    words[n++] = "--";
    words[n++] = e->host;
    words[n++] = command ? command : "atoll";
    words[n++] = "proxy";
    words[n++] = quoted = g_shell_quote(socket ? socket : strstr(e->path, "session") ? "session" : "system");
    words[n] = NULL;
    g_autoptr(GSubprocessLauncher) l = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    g_subprocess_launcher_take_stdin_fd(l, fcntl(pair[1], F_DUPFD_CLOEXEC, 3));
    g_subprocess_launcher_take_stdout_fd(l, pair[1]);
    g_autoptr(GSubprocess) p = g_subprocess_launcher_spawnv(l, words, error);
    if (!p) {
        close(pair[0]);
        return NULL;
    }
    return g_socket_new_from_fd(pair[0], error);
}

static char *default_uri(void)
{
    const char *told = g_getenv("ATOLL_URI");
    return g_strdup(told && *told ? told : geteuid() ? "atoll:///session" : "atoll:///system");
}

GSocket *endpoint_connect(const char *uri, AtollOpenFlags flags, char **ret_name, GCancellable *cancellable, GError **error)
{
    g_auto(Endpoint) e = { .port = -1 };
    g_autofree char *text = uri && *uri ? g_strdup(uri) : default_uri();
    if (!parse(text, &e, error))
        return NULL;
    *ret_name = g_strdup_printf("%s://%s", e.scheme, *e.path ? e.path : "/");
    if (!g_strcmp0(e.transport, "ssh"))
        return connect_ssh(&e, error);
    if (!g_strcmp0(e.transport, "tls"))
        return endpoint_connect_tls(e.host && *e.host ? e.host : "localhost", e.port, g_hash_table_lookup(e.query, "pkipath"),
                                    g_strcmp0(g_hash_table_lookup(e.query, "no_verify"), "1") != 0, cancellable, error);
    const char *socket = g_hash_table_lookup(e.query, "socket");
    if (socket)
        return connect_unix(socket, error);
    g_autofree char *own = g_build_filename(g_get_user_runtime_dir(), "atoll", "atoll-sock", NULL);
    const char *system = flags & ATOLL_OPEN_READONLY && geteuid() ? "/run/atoll/atoll-sock-ro" : "/run/atoll/atoll-sock";
    bool test = !strcmp(e.scheme, "test");
    if (!strcmp(e.path, "/system"))
        return connect_unix(system, error);
    GSocket *s = connect_unix(own, flags & ATOLL_OPEN_NO_START ? error : NULL);
    if (!s && test && !geteuid())
        s = connect_unix(system, NULL);
    return s || flags & ATOLL_OPEN_NO_START ? s : start_session(own, cancellable, error);
}
