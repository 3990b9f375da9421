/*
 * nbd.c - the client of the network block device protocol, by libnbd.
 *
 * A handle serves one request at a time; where the server allows it there are several.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"
#include "block/driver.h"
#include "block/protocol/libnbd.h"

enum { HANDLES = 4, MOST_REQUEST = 32 << 20 };

typedef struct Nbd {
    LibNbd lib;
    struct nbd_handle *handle[HANDLES];
    unsigned n_handles;
    GAsyncQueue *idle; /* of handles */
    bool status;       /* the server tells about holes */
} Nbd;

/* ---- where the server is */

typedef struct Server {
    const char *uri, *path, *host, *port, *export, *tls_creds, *tls_hostname;
    char *made; /* parts of the old spelling, which the others point into */
} Server;

/* "nbd:unix:PATH[:exportname=X]" or "nbd:HOST:PORT[:exportname=X]". */
static bool take_old_spelling(Server *s, const char *filename, GError **err)
{
    static const char export_key[] = ":exportname=";
    char *text = s->made = g_strdup(filename + strlen("nbd:")), *export = strstr(text, export_key);
    if (export) {
        *export = 0;
        s->export = export + strlen(export_key);
    }
    if (g_str_has_prefix(text, "unix:")) {
        s->path = text + strlen("unix:");
        return true;
    }
    char *port = strrchr(text, ':');
    if (!port || port == text)
        return error_set(err, ERR_INVALID, "'%s' is no NBD server: write nbd://HOST:PORT/EXPORT, nbd:HOST:PORT or nbd:unix:PATH", filename);
    *port = 0;
    s->host = text;
    s->port = port + 1;
    return true;
}

static bool take_server(Server *s, const char *filename, KeyVals *options, GError **err)
{
    s->path = keyvals_take(options, "server.path");
    s->host = keyvals_take(options, "server.host");
    s->port = keyvals_take(options, "server.port");
    s->path = s->path ? s->path : keyvals_take(options, "path");
    s->host = s->host ? s->host : keyvals_take(options, "host");
    s->port = s->port ? s->port : keyvals_take(options, "port");
    s->export = keyvals_take(options, "export");
    s->tls_creds = keyvals_take(options, "tls-creds");
    s->tls_hostname = keyvals_take(options, "tls-hostname");
    keyvals_take(options, "server.type");
    keyvals_take(options, "reconnect-delay");
    if (s->path || s->host)
        return true;
    bool uri = strstr(filename, "://");
    if (!uri && g_str_has_prefix(filename, "nbd:"))
        return take_old_spelling(s, filename, err);
    s->uri = filename;
    return uri || error_set(err, ERR_INVALID, "the NBD server is not named: give server.type=unix,server.path=..., server.type=inet,server.host=...,server.port=..., "
                            "or filename=nbd://HOST:PORT/EXPORT");
}

/* ---- connections */

static bool nbd_failed(const LibNbd *l, const char *filename, GError **err)
{
    return error_set(err, ERR_IO, "cannot connect to NBD server '%s': %s", filename, l->get_error());
}

static bool set_tls(const LibNbd *l, struct nbd_handle *h, BlkNode *n, const Server *s, GError **err)
{
    const char *dir = NULL, *verify = NULL, *user = NULL;
    if (!s->tls_creds)
        return true;
    bool psk = env_property(n->env, "tls-creds-psk", s->tls_creds, "dir", &dir, NULL);
    if (!psk && (!env_property(n->env, "tls-creds-x509", s->tls_creds, "dir", &dir, err) ||
                 !env_property(n->env, "tls-creds-x509", s->tls_creds, "verify-peer", &verify, err)))
        return false;
    if (!dir)
        return error_set(err, ERR_INVALID, "TLS credentials '%s' need dir=, the folder with their files", s->tls_creds);
    if (psk) {
        g_autofree char *keys = g_build_filename(dir, "keys.psk", NULL);
        env_property(n->env, "tls-creds-psk", s->tls_creds, "username", &user, NULL);
        return (!l->set_tls(h, LIBNBD_TLS_REQUIRE) && !l->set_tls_psk_file(h, keys) && !l->set_tls_username(h, user ? user : "qemu")) ||
               nbd_failed(l, n->filename, err);
    }
    bool checks = !verify || !g_str_equal(verify, "off");
    return (!l->set_tls(h, LIBNBD_TLS_REQUIRE) && !l->set_tls_certificates(h, dir) && !l->set_tls_verify_peer(h, checks)) || nbd_failed(l, n->filename, err);
}

static int reach(const LibNbd *l, struct nbd_handle *h, const Server *s)
{
    if (s->uri)
        return l->connect_uri(h, s->uri);
    if (s->export && l->set_export_name(h, s->export))
        return -1;
    return s->path ? l->connect_unix(h, s->path) : l->connect_tcp(h, s->host, s->port ? s->port : "10809");
}

static struct nbd_handle *connect_one(BlkNode *n, const Server *s, GError **err)
{
    const LibNbd *l = &((Nbd *)n->state)->lib;
    struct nbd_handle *h = l->create();
    if (!h) {
        nbd_failed(l, n->filename, err);
        return NULL;
    }
    l->set_uri_allow_local_file(h, true); /* TLS files that the user's URI names */
    l->add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION);
    if (set_tls(l, h, n, s, err) && (!reach(l, h, s) || nbd_failed(l, n->filename, err)))
        return h;
    l->close(h);
    return NULL;
}

static bool connect_all(BlkNode *n, const Server *s, GError **err)
{
    Nbd *b = n->state;
    const LibNbd *l = &b->lib;
    b->idle = g_async_queue_new();
    unsigned want = 1;
    for (unsigned i = 0; i < want; i++) {
        struct nbd_handle *h = connect_one(n, s, i ? NULL : err);
        if (!h)
            return i; /* further ones are welcome, but not needed */
        b->handle[b->n_handles++] = h;
        g_async_queue_push(b->idle, h);
        want = l->can_multi_conn(h) > 0 ? HANDLES : 1;
    }
    return true;
}

static bool nbd_node_open(BlkNode *n, KeyVals *options, GError **err)
{
    Nbd *b = n->state;
    const LibNbd *l = &b->lib;
    Server s = { 0 };
    bool ok = libnbd_load(&b->lib, err) && take_server(&s, n->filename, options, err) && connect_all(n, &s, err);
    g_free(s.made);
    if (!ok)
        return false;
    struct nbd_handle *h = b->handle[0];
    int64_t size = l->get_size(h);
    if (size < 0)
        return nbd_failed(l, n->filename, err);
    if (l->is_read_only(h) > 0 && !n->read_only) {
        if (!n->mode.auto_read_only)
            return error_set(err, ERR_DENIED, "NBD server '%s' gives this export read-only: open it read-only", n->filename);
        n->read_only = true;
    }
    n->size = size;
    b->status = l->can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0;
    return true;
}

static void nbd_node_close(BlkNode *n)
{
    Nbd *b = n->state;
    for (unsigned i = 0; i < b->n_handles; i++) {
        b->lib.shutdown(b->handle[i], 0);
        b->lib.close(b->handle[i]);
    }
    if (b->idle)
        g_async_queue_unref(b->idle);
}

/* ---- requests */

static int result(const LibNbd *l, int status) { return !status ? 0 : l->get_errno() ? -l->get_errno() : -EIO; }

static int transfer(const LibNbd *l, struct nbd_handle *h, const BlkReq *r, uint64_t done, uint64_t len)
{
    bool write = r->op == BLK_WRITE, plain = r->niov == 1;
    g_autofree uint8_t *bounce = plain ? NULL : g_malloc(len);
    uint8_t *data = plain ? (uint8_t *)r->iov[0].iov_base + done : bounce;
    if (!plain && write)
        iov_read(r->iov, r->niov, done, bounce, len);
    int status = result(l, write ? l->pwrite(h, data, len, r->off + done, 0) : l->pread(h, data, len, r->off + done, 0));
    if (!plain && !write && !status)
        iov_write(r->iov, r->niov, done, bounce, len);
    return status;
}

static int zero(const LibNbd *l, struct nbd_handle *h, const BlkReq *r, uint64_t done, uint64_t len)
{
    if (l->can_zero(h) <= 0)
        return -ENOTSUP;
    bool fast = r->flags & BLK_NO_FALLBACK;
    if (fast && l->can_fast_zero(h) <= 0)
        return -ENOTSUP;
    return result(l, l->zero(h, len, r->off + done, (r->flags & BLK_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE) | (fast ? LIBNBD_CMD_FLAG_FAST_ZERO : 0)));
}

static int one(const LibNbd *l, struct nbd_handle *h, const BlkReq *r, uint64_t done, uint64_t len)
{
    switch (r->op) {
    case BLK_READ: case BLK_WRITE:
        return transfer(l, h, r, done, len);
    case BLK_ZERO:
        return zero(l, h, r, done, len);
    case BLK_DISCARD:
        return l->can_trim(h) > 0 ? result(l, l->trim(h, len, r->off + done, 0)) : 0;
    case BLK_FLUSH:
        return l->can_flush(h) > 0 ? result(l, l->flush(h, 0)) : 0;
    }
    return -ENOTSUP;
}

static int nbd_node_perform(BlkNode *n, BlkReq *r)
{
    Nbd *b = n->state;
    struct nbd_handle *h = g_async_queue_pop(b->idle);
    int status = 0;
    if (r->op == BLK_FLUSH)
        status = one(&b->lib, h, r, 0, 0);
    for (uint64_t done = 0, len; r->op != BLK_FLUSH && done < r->len && !status; done += len) {
        len = MIN(r->len - done, MOST_REQUEST);
        status = one(&b->lib, h, r, done, len);
    }
    g_async_queue_push(b->idle, h);
    return status;
}

typedef struct FirstExtent {
    uint32_t len, flags;
} FirstExtent;

static int take_extents(void *first, const char *context, uint64_t off, uint32_t *pairs, size_t n, int *error)
{
    FirstExtent *f = first;
    (void)off, (void)error;
    if (g_str_equal(context, LIBNBD_CONTEXT_BASE_ALLOCATION) && n >= 2 && !f->len)
        *f = (FirstExtent){ pairs[0], pairs[1] };
    return 0;
}

static int nbd_node_map(BlkNode *n, uint64_t off, uint64_t len, BlkExtent *ret)
{
    Nbd *b = n->state;
    const LibNbd *l = &b->lib;
    FirstExtent first = { 0 };
    ret->has_host = true;
    ret->host = off;
    ret->host_node = n;
    if (!b->status)
        return 0;
    struct nbd_handle *h = g_async_queue_pop(b->idle);
    int status = result(l, l->block_status(h, MIN(len, MOST_REQUEST), off, (nbd_extent_callback){ .callback = take_extents, .user_data = &first }, LIBNBD_CMD_FLAG_REQ_ONE));
    g_async_queue_push(b->idle, h);
    if (status || !first.len)
        return status;
    ret->len = MIN(len, first.len);
    ret->zero = first.flags & LIBNBD_STATE_ZERO;
    ret->allocated = !(first.flags & LIBNBD_STATE_HOLE);
    return 0;
}

static const char *const schemes[] = { "nbd", "nbds", "nbd+unix", "nbds+unix", "nbd+vsock", NULL };
static const BlkOption nbd_options[] = {
    { "server.type", BLK_STRING, .doc = "unix or inet", .open = true },
    { "server.path", BLK_STRING, .doc = "of a unix socket", .open = true },
    { "server.host", BLK_STRING, .doc = "name or address", .open = true },
    { "server.port", BLK_STRING, "10809", "TCP port", .open = true },
    { "export", BLK_STRING, "", "name of the export", .open = true },
    { "tls-creds", BLK_STRING, .doc = "id of a tls-creds-x509 or tls-creds-psk object", .open = true },
    { "tls-hostname", BLK_STRING, .doc = "that the server's certificate must have", .open = true },
    { 0 },
};

const BlkDriver nbd_driver = {
    .name = "nbd",
    .summary = "an export of a network block device server",
    .kind = BLK_PROTOCOL,
    .state_bytes = sizeof(Nbd),
    .schemes = schemes,
    .options = nbd_options,
    .open = nbd_node_open,
    .close = nbd_node_close,
    .perform = nbd_node_perform,
    .map = nbd_node_map,
};
