/*
 * nbd.c - gives an image to others over the network block device protocol, as qemu-nbd does.
 *
 * It ends when the last client that got the export has left, unless it is persistent, or by SIGTERM, SIGINT or SIGHUP.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "block/nbd_server.h"
#include "block/protocol/libnbd.h"
#include "tools/img/commands.h"
#include "tools/img/util.h"

enum { DEFAULT_PORT = 10809, FIRST_PASSED_FD = 3 };

typedef struct Serving {
    const ImgArgs *args;
    GMainLoop *loop;
} Serving;

static void clients_changed(void *serving, unsigned clients, bool served)
{
    Serving *s = serving;
    if (s->args->verbose)
        fprintf(stderr, "%s: %u clients\n", s->args->program, clients);
    if (served && !clients && !s->args->persistent)
        g_main_loop_quit(s->loop);
}

static int on_signal(void *serving)
{
    g_main_loop_quit(((Serving *)serving)->loop);
    return G_SOURCE_CONTINUE;
}

/* ---- words */

static BlkNode *open_image(const ImgArgs *a, GError **err)
{
    g_autoptr(GString) more = g_string_new(NULL);
    const struct { const char *key, *value; } rows[] = { { "discard", a->discard }, { "detect-zeroes", a->detect_zeroes }, { "aio", a->aio } };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].value)
            g_string_append_printf(more, "%s%s=%s", more->len ? "," : "", rows[i].key, rows[i].value);
    bool writes = !a->read_only && !a->snapshot;
    return img_open(a, &(ImgOpen){ .name = a->words[0], .format = a->format, .cache = a->no_cache ? "none" : a->cache, .image_opts = a->image_opts, .write = writes,
                                   .snapshot = a->snapshot, .more = more->len ? more->str : NULL }, err);
}

static bool server_options(const ImgArgs *a, NbdServerOptions *o, GError **err)
{
    uint64_t port = DEFAULT_PORT, shared = 1;
    if ((a->port && !img_parse_number(a->port, "port", 0, 65535, &port, err)) ||
        (a->shared && !img_parse_number(a->shared, "number of clients", 0, 1 << 20, &shared, err)))
        return false;
    if (a->socket_path && (a->port || a->bind))
        return error_set(err, ERR_INVALID, "--socket and --port or --bind exclude each other");
    const char *listen_pid = g_getenv("LISTEN_PID");
    bool activated = listen_pid && g_ascii_strtoull(listen_pid, NULL, 10) == (guint64)getpid(); /* sd_listen_fds(3) */
    *o = (NbdServerOptions){ .socket_path = a->socket_path, .host = a->bind, .port = port, .fd = activated ? FIRST_PASSED_FD : 0, .max_clients = shared,
                             .tls_creds = a->tls_creds, .env = a->env, .clients_changed = clients_changed };
    return true;
}

static bool write_pid_file(const ImgArgs *a, GError **err)
{
    if (!a->pid_file)
        return true;
    g_autofree char *text = g_strdup_printf("%d\n", (int)getpid());
    return g_file_set_contents(a->pid_file, text, -1, err);
}

/* ---- serving */

static NbdServer *start(const ImgArgs *a, BlkNode *n, Serving *s, GError **err)
{
    NbdServerOptions o;
    uint64_t off = 0;
    if (!server_options(a, &o, err) || (a->offset && !img_parse_size(a->offset, "offset", INT64_MAX, &off, err)))
        return NULL;
    o.owner = s;
    if (a->bitmap_names)
        g_ptr_array_add(a->bitmap_names, NULL);
    NbdExport e = { .name = a->export_name ? a->export_name : "", .description = a->description, .node = n, .read_only = a->read_only, .allocation_depth = a->allocation_depth,
                    .off = off, .bitmaps = a->bitmap_names ? (const char *const *)a->bitmap_names->pdata : NULL };
    return nbd_server_start(&o, &e, 1, err);
}

/* ready: where a parent waits to hear that clients may come; -1: none. */
static int serve(const ImgArgs *a, int ready, GError **err)
{
    static const int ends[] = { SIGTERM, SIGINT, SIGHUP };
    Serving s = { a, g_main_loop_new(NULL, FALSE) };
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) /* before anybody can see the socket and send one */
        g_unix_signal_add(ends[i], on_signal, &s);
    g_autoptr(BlkNode) n = open_image(a, err);
    NbdServer *server = n ? start(a, n, &s, err) : NULL;
    bool ok = server && write_pid_file(a, err);
    if (ok && ready >= 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        ok = write(ready, "", 1) == 1; /* told before the terminal is let go */
        close(ready);
        for (int fd = 0; fd < 3 && null >= 0; fd++)
            dup2(null, fd);
        setsid();
    } else if (ok && !a->quiet && a->verbose && !a->socket_path) {
        fprintf(stderr, "%s: listening on port %u\n", a->program, nbd_server_port(server));
    }
    if (ok)
        g_main_loop_run(s.loop);
    nbd_server_close(server);
    g_main_loop_unref(s.loop);
    if (a->pid_file && ok)
        unlink(a->pid_file);
    return img_end(&n, ok ? 0 : 1, err);
}

/* The child serves; the parent leaves when clients may come, or with the child's status when it has failed. */
static int serve_forked(const ImgArgs *a, GError **err)
{
    int pipe_fd[2], status = 0;
    char byte;
    if (pipe2(pipe_fd, O_CLOEXEC))
        return error_set_errno(err, errno, "cannot fork"), 1;
    pid_t child = fork(); /* before any thread is made */
    if (child < 0)
        return error_set_errno(err, errno, "cannot fork"), 1;
    if (!child) {
        close(pipe_fd[0]);
        return serve(a, pipe_fd[1], err);
    }
    close(pipe_fd[1]);
    bool ready = read(pipe_fd[0], &byte, 1) == 1;
    close(pipe_fd[0]);
    if (!ready)
        waitpid(child, &status, 0); /* it has said why */
    return ready ? 0 : WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- listing */

typedef struct Listing {
    GString *text;
    unsigned count;
} Listing;

static int add_export(void *listing, const char *name, const char *description)
{
    Listing *l = listing;
    l->count++;
    g_string_append_printf(l->text, " export: '%s'\n", name);
    if (*description)
        g_string_append_printf(l->text, "  description: %s\n", description);
    return 0;
}

static int ask_list(const LibNbd *nbd, struct nbd_handle *h, const ImgArgs *a, Listing *l)
{
    if (nbd->set_opt_mode(h, true) || (a->socket_path ? nbd->connect_unix(h, a->socket_path)
                                                      : nbd->connect_tcp(h, a->bind ? a->bind : "localhost", a->port ? a->port : "10809")))
        return -1;
    int status = nbd->opt_list(h, (nbd_list_callback){ .callback = add_export, .user_data = l });
    return status < 0 ? status : nbd->opt_abort(h);
}

static int list(const ImgArgs *a, GError **err)
{
    g_autoptr(GString) text = g_string_new(NULL);
    Listing l = { text, 0 };
    LibNbd nbd;
    if (!libnbd_load(&nbd, err))
        return 1;
    struct nbd_handle *h = nbd.create();
    int status = h ? ask_list(&nbd, h, a, &l) : -1;
    if (status)
        error_set(err, ERR_IO, "cannot list the exports: %s", nbd.get_error());
    else
        printf("exports available: %u\n%s", l.count, text->str);
    nbd.close(h);
    return status ? 1 : 0;
}

int img_nbd(ImgArgs *a, GError **err)
{
    if (a->connect_device || a->disconnect)
        return error_set(err, ERR_UNSUPPORTED, "connecting an image to a device of this host's kernel is left to nbd-client: serve it here, then run nbd-client"), 1;
    if (a->list)
        return a->nwords ? (error_set(err, ERR_INVALID, "List mode is incompatible with a file name"), 1) : list(a, err);
    if (a->nwords != 1)
        return error_set(err, ERR_INVALID, "Expecting one image file name"), 1;
    if (!img_cache_check(a->cache, "cache", err))
        return 1;
    return a->fork ? serve_forked(a, err) : serve(a, -1, err);
}
