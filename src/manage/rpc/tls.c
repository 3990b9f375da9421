/*
 * tls.c - TLS by GnuTLS: who has a certificate of our authority comes in, and nobody else.
 *
 * Files lie where libvirt has them (docs/tlscerts): PKI/CA/cacert.pem and, where there is one, cacrl.pem; PKI/libvirt/servercert.pem
 * and PKI/libvirt/private/serverkey.pem.  When the handshake is over the server says that it likes the client by one byte of value 1.
 */
#include "manage/rpc/tls.h"

#include <errno.h>
#include <fnmatch.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "base/error.h"

struct RpcTls {
    gatomicrefcount refs;
    gnutls_certificate_credentials_t credentials;
    char **allowed; /* patterns of names; NULL: everybody of our authority */
};

struct TlsSession {
    RpcTls *tls;
    gnutls_session_t session;
    bool shaken;
};

static bool went_well(int code, GError **err, const char *what)
{
    return code >= 0 || error_set(err, code == GNUTLS_E_FILE_ERROR ? ERR_NOT_FOUND : ERR_INVALID, "%s: %s", what, gnutls_strerror(code));
}

static bool load(RpcTls *t, const char *pki, GError **err)
{
    g_autofree char *ca = g_build_filename(pki, "CA", "cacert.pem", NULL), *crl = g_build_filename(pki, "CA", "cacrl.pem", NULL);
    g_autofree char *cert = g_build_filename(pki, "libvirt", "servercert.pem", NULL), *key = g_build_filename(pki, "libvirt", "private", "serverkey.pem", NULL);
    const char *const needed[] = { ca, cert, key };
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++)
        if (!g_file_test(needed[i], G_FILE_TEST_EXISTS))
            return error_set(err, ERR_NOT_FOUND, "TLS needs '%s', and there is none: `certtool` makes it, --pki-dir says where it is", needed[i]);
    if (!went_well(gnutls_certificate_set_x509_trust_file(t->credentials, ca, GNUTLS_X509_FMT_PEM), err, ca))
        return false;
    if (g_file_test(crl, G_FILE_TEST_EXISTS) && !went_well(gnutls_certificate_set_x509_crl_file(t->credentials, crl, GNUTLS_X509_FMT_PEM), err, crl))
        return false;
    return went_well(gnutls_certificate_set_x509_key_file(t->credentials, cert, key, GNUTLS_X509_FMT_PEM), err, cert);
}

RpcTls *rpc_tls_new(const char *pki, const char *const *allowed, GError **err)
{
    RpcTls *t = g_new0(RpcTls, 1);
    g_atomic_ref_count_init(&t->refs);
    t->allowed = g_strdupv((char **)allowed);
    gnutls_certificate_allocate_credentials(&t->credentials);
    if (load(t, pki, err))
        return t;
    rpc_tls_unref(t);
    return NULL;
}

void rpc_tls_unref(RpcTls *t)
{
    if (!t || !g_atomic_ref_count_dec(&t->refs))
        return;
    gnutls_certificate_free_credentials(t->credentials);
    g_strfreev(t->allowed);
    g_free(t);
}

RpcTls *rpc_tls_ref(RpcTls *t)
{
    g_atomic_ref_count_inc(&t->refs);
    return t;
}

TlsSession *tls_session_new(RpcTls *tls, GSocket *socket)
{
    TlsSession *s = g_new0(TlsSession, 1);
    s->tls = rpc_tls_ref(tls);
    gnutls_init(&s->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
    gnutls_set_default_priority(s->session);
    gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
    gnutls_certificate_server_set_request(s->session, GNUTLS_CERT_REQUIRE);
    gnutls_transport_set_int(s->session, g_socket_get_fd(socket));
    return s;
}

void tls_session_free(TlsSession *s)
{
    if (!s)
        return;
    if (s->shaken)
        gnutls_bye(s->session, GNUTLS_SHUT_WR); /* may not go out: nobody waits for it */
    gnutls_deinit(s->session);
    rpc_tls_unref(s->tls);
    g_free(s);
}

/* ---- who it is */
static char *name_of(gnutls_session_t session, GError **err)
{
    unsigned count = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &count);
    gnutls_x509_crt_t cert;
    gnutls_datum_t dn = { 0 };
    char *name = NULL;
    if (!list || !count || gnutls_x509_crt_init(&cert) < 0) {
        error_set(err, ERR_DENIED, "has no certificate");
        return NULL;
    }
    if (gnutls_x509_crt_import(cert, &list[0], GNUTLS_X509_FMT_DER) >= 0 && gnutls_x509_crt_get_dn3(cert, &dn, 0) >= 0)
        name = g_strndup((const char *)dn.data, dn.size);
    else
        error_set(err, ERR_DENIED, "has a certificate without a name");
    gnutls_free(dn.data);
    gnutls_x509_crt_deinit(cert);
    return name;
}

static bool is_allowed(const RpcTls *t, const char *name, GError **err)
{
    for (char **pattern = t->allowed; pattern && *pattern; pattern++)
        if (!fnmatch(*pattern, name, 0))
            return true;
    return !t->allowed || error_set(err, ERR_DENIED, "has the certificate of '%s', which no --tls-allow names", name);
}

static bool check_client(TlsSession *s, char **ret_name, GError **err)
{
    unsigned status = 0;
    gnutls_datum_t why = { 0 };
    if (!went_well(gnutls_certificate_verify_peers2(s->session, &status), err, "has no certificate that can be checked"))
        return false;
    if (status) {
        gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why, 0);
        error_set(err, ERR_DENIED, "has a certificate that is refused: %s", why.data ? (char *)why.data : "not trusted");
        gnutls_free(why.data);
        return false;
    }
    g_autofree char *name = name_of(s->session, err);
    if (!name || !is_allowed(s->tls, name, err))
        return false;
    *ret_name = g_steal_pointer(&name);
    return true;
}

TlsState tls_handshake(TlsSession *s, char **ret_name, GError **err)
{
    int code;
    do
        code = gnutls_handshake(s->session);
    while (code < 0 && code != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(code));
    if (code == GNUTLS_E_AGAIN)
        return gnutls_record_get_direction(s->session) ? TLS_WANTS_WRITE : TLS_WANTS_READ;
    if (!went_well(code, err, "TLS handshake"))
        return TLS_FAILED;
    s->shaken = true;
    return check_client(s, ret_name, err) ? TLS_DONE : TLS_FAILED;
}

/* ---- bytes */
static gssize result(gssize n, GError **err)
{
    if (n >= 0)
        return n;
    if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
        g_set_error_literal(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK, "later");
    else
        g_set_error(err, G_IO_ERROR, G_IO_ERROR_FAILED, "TLS: %s", gnutls_strerror(n));
    return -1;
}

/* A record is never larger than what callers have room for, so nothing stays behind that poll() would not tell of. */
gssize tls_receive(TlsSession *s, void *data, gsize bytes, GError **err) { return result(gnutls_record_recv(s->session, data, bytes), err); }
gssize tls_send(TlsSession *s, const void *data, gsize bytes, GError **err) { return result(gnutls_record_send(s->session, data, bytes), err); }
