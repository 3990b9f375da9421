/* link.c - a connection's bytes, plain or through TLS. */
#include "block/nbd/link.h"

#include <errno.h>
#include <gnutls/gnutls.h>

#include "base/error.h"
#include "block/driver.h"

struct TlsCreds {
    gnutls_certificate_credentials_t x509;
    gnutls_psk_server_credentials_t psk;
    bool verify_peer;
};

struct Link {
    GSocket *socket;
    GCancellable *stop;
    gnutls_session_t tls; /* NULL: plain */
};

/* ---- credentials */

static bool tls_ok(int status, const char *what, const char *path, GError **err)
{
    return status >= 0 || error_set(err, ERR_INVALID, "cannot load %s '%s': %s", what, path, gnutls_strerror(status));
}

static bool load_x509(TlsCreds *c, const char *dir, GError **err)
{
    g_autofree char *ca = g_build_filename(dir, "ca-cert.pem", NULL), *cert = g_build_filename(dir, "server-cert.pem", NULL),
                    *key = g_build_filename(dir, "server-key.pem", NULL);
    gnutls_certificate_allocate_credentials(&c->x509);
    return tls_ok(gnutls_certificate_set_x509_trust_file(c->x509, ca, GNUTLS_X509_FMT_PEM), "the CA's certificate", ca, err) &&
           tls_ok(gnutls_certificate_set_x509_key_file(c->x509, cert, key, GNUTLS_X509_FMT_PEM), "the server's certificate and key", cert, err);
}

static bool load_psk(TlsCreds *c, const char *dir, GError **err)
{
    g_autofree char *keys = g_build_filename(dir, "keys.psk", NULL);
    gnutls_psk_allocate_server_credentials(&c->psk);
    return tls_ok(gnutls_psk_set_server_credentials_file(c->psk, keys), "the keys", keys, err);
}

TlsCreds *tls_creds_load(const BlkEnv *env, const char *id, GError **err)
{
    const char *dir = NULL, *verify = NULL;
    g_autoptr(GError) no_psk = NULL;
    bool psk = env_property(env, "tls-creds-psk", id, "dir", &dir, &no_psk);
    if (!psk && (!env_property(env, "tls-creds-x509", id, "dir", &dir, err) || !env_property(env, "tls-creds-x509", id, "verify-peer", &verify, err)))
        return NULL;
    if (!dir) {
        error_set(err, ERR_INVALID, "TLS credentials '%s' need dir=, the folder with their files", id);
        return NULL;
    }
    TlsCreds *c = g_new0(TlsCreds, 1);
    c->verify_peer = !verify || !g_str_equal(verify, "off");
    if (psk ? load_psk(c, dir, err) : load_x509(c, dir, err))
        return c;
    tls_creds_free(c);
    return NULL;
}

void tls_creds_free(TlsCreds *c)
{
    if (!c)
        return;
    if (c->x509)
        gnutls_certificate_free_credentials(c->x509);
    if (c->psk)
        gnutls_psk_free_server_credentials(c->psk);
    g_free(c);
}

/* ---- bytes */

Link *link_new(GSocket *socket, GCancellable *stop)
{
    Link *l = g_new0(Link, 1);
    l->socket = socket;
    l->stop = stop;
    return l;
}

void link_free(Link *l)
{
    if (l->tls) {
        gnutls_bye(l->tls, GNUTLS_SHUT_WR);
        gnutls_deinit(l->tls);
    }
    g_socket_close(l->socket, NULL);
    g_object_unref(l->socket);
    g_free(l);
}

bool link_is_tls(const Link *l) { return l->tls; }

static ssize_t pull(gnutls_transport_ptr_t link, void *to, size_t bytes)
{
    Link *l = link;
    ssize_t got = g_socket_receive(l->socket, to, bytes, l->stop, NULL);
    if (got < 0)
        gnutls_transport_set_errno(l->tls, ECONNRESET);
    return got;
}

static ssize_t push(gnutls_transport_ptr_t link, const void *from, size_t bytes)
{
    Link *l = link;
    ssize_t sent = g_socket_send(l->socket, from, bytes, l->stop, NULL);
    if (sent < 0)
        gnutls_transport_set_errno(l->tls, ECONNRESET);
    return sent;
}

static ssize_t receive(Link *l, void *to, size_t bytes)
{
    ssize_t got;
    if (!l->tls)
        return g_socket_receive(l->socket, to, bytes, l->stop, NULL);
    do
        got = gnutls_record_recv(l->tls, to, bytes);
    while (got == GNUTLS_E_INTERRUPTED || got == GNUTLS_E_AGAIN);
    return got;
}

static ssize_t transmit(Link *l, const void *from, size_t bytes)
{
    ssize_t sent;
    if (!l->tls)
        return g_socket_send(l->socket, from, bytes, l->stop, NULL);
    do
        sent = gnutls_record_send(l->tls, from, bytes);
    while (sent == GNUTLS_E_INTERRUPTED || sent == GNUTLS_E_AGAIN);
    return sent;
}

bool link_read(Link *l, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = receive(l, (uint8_t *)to + done, bytes - done);
        if (got <= 0)
            return false;
        done += got;
    }
    return true;
}

bool link_write(Link *l, const void *from, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t sent = transmit(l, (const uint8_t *)from + done, bytes - done);
        if (sent <= 0)
            return false;
        done += sent;
    }
    return true;
}

bool link_skip(Link *l, uint64_t bytes)
{
    uint8_t hole[4096];
    bool ok = true;
    for (; bytes && ok; bytes -= MIN(bytes, sizeof(hole)))
        ok = link_read(l, hole, MIN(bytes, sizeof(hole)));
    return ok;
}

/* ---- TLS */

static bool shake(Link *l, GError **err)
{
    int status;
    do
        status = gnutls_handshake(l->tls);
    while (status < 0 && !gnutls_error_is_fatal(status));
    return status >= 0 || error_set(err, ERR_DENIED, "TLS handshake failed: %s", gnutls_strerror(status));
}

bool link_start_tls(Link *l, const TlsCreds *creds, GError **err)
{
    static const char psk_priority[] = "NORMAL:+ECDHE-PSK:+DHE-PSK:+PSK";
    gnutls_session_t tls;
    gnutls_init(&tls, GNUTLS_SERVER);
    if (creds->psk)
        gnutls_priority_set_direct(tls, psk_priority, NULL);
    else
        gnutls_set_default_priority(tls);
    gnutls_credentials_set(tls, creds->psk ? GNUTLS_CRD_PSK : GNUTLS_CRD_CERTIFICATE, creds->psk ? (void *)creds->psk : (void *)creds->x509);
    if (creds->x509 && creds->verify_peer) {
        gnutls_certificate_server_set_request(tls, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(tls, NULL, 0);
    }
    gnutls_transport_set_ptr(tls, l);
    gnutls_transport_set_pull_function(tls, pull);
    gnutls_transport_set_push_function(tls, push);
    l->tls = tls;
    return shake(l, err);
}
