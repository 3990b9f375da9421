/*
 * auth.c - the beginning of a connection: version, security.  RFC 6143, 7.1 and 7.2; VeNCrypt as rfbproto.rst has it.
 *
 * Without TLS: no authentication, or VNC's (a challenge, encrypted by DES with the password as key).  With TLS only VeNCrypt is
 * offered, with the same two inside.
 */
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <nettle/des.h>
#include <string.h>

#include "base/error.h"
#include "console/vnc/inside.h"

enum { SECURITY_NONE = 1, SECURITY_VNC = 2, SECURITY_VENCRYPT = 19 };
enum { TLS_NONE = 257, TLS_VNC = 258, X509_NONE = 260, X509_VNC = 261 };

static bool tls(const VncServer *s) { return s->x509 || s->anonymous; }
static unsigned vencrypt_type(const VncServer *s) { return s->x509 ? (s->need_password ? X509_VNC : X509_NONE) : s->need_password ? TLS_VNC : TLS_NONE; }
static unsigned inner_type(const VncServer *s) { return s->need_password ? SECURITY_VNC : SECURITY_NONE; }

const char *auth_name(const VncServer *s)
{
    if (s->x509)
        return s->need_password ? "vencrypt+x509+vnc" : "vencrypt+x509+none";
    if (s->anonymous)
        return s->need_password ? "vencrypt+tls+vnc" : "vencrypt+tls+none";
    return s->need_password ? "vnc" : "none";
}

/* ---- results */

static bool accepted(VncClient *c)
{
    if (c->minor >= 8 || inner_type(c->server) != SECURITY_NONE)
        client_put32(c, 0);
    client_expect(c, 1, message_client_init);
    return true;
}

/* Says why, and hangs up once that is sent. */
static bool refused(VncClient *c, const char *why)
{
    client_put32(c, 1);
    if (c->minor >= 8)
        client_put_text(c, why);
    client_flush(c);
    c->why = why;
    return false;
}

/* ---- VNC authentication */

/* The key's bits come in reverse order in each byte, as VNC has always done it (RFC 6143, 7.2.2, erratum). */
static void des_encrypt_challenge(const char *password, const uint8_t challenge[16], uint8_t ret[16])
{
    uint8_t key[8] = { 0 };
    for (unsigned i = 0; i < 8 && password[i]; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            key[i] |= ((uint8_t)password[i] >> bit & 1) << (7 - bit);
    struct des_ctx des;
    des_set_key(&des, key); /* a weak key is a key all the same */
    des_encrypt(&des, 16, ret, challenge);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(&des, sizeof(des));
}

static bool password_opens(const VncServer *s, const uint8_t challenge[16], const uint8_t response[16])
{
    uint8_t want[16];
    bool expired = s->expires && s->expires <= g_get_real_time() / G_USEC_PER_SEC;
    if (!s->password || expired)
        return false;
    des_encrypt_challenge(s->password, challenge, want);
    return gnutls_memcmp(want, response, 16) == 0;
}

static bool got_response(VncClient *c, const uint8_t *data, size_t n)
{
    return password_opens(c->server, c->challenge, data) ? accepted(c) : refused(c, "Authentication failed");
}

static bool begin_inner(VncClient *c)
{
    if (inner_type(c->server) == SECURITY_NONE)
        return accepted(c);
    if (gnutls_rnd(GNUTLS_RND_NONCE, c->challenge, sizeof(c->challenge)) < 0)
        return false;
    client_put(c, c->challenge, sizeof(c->challenge));
    client_expect(c, 16, got_response);
    return true;
}

/* ---- VeNCrypt */

static void note_certificate(VncClient *c)
{
    unsigned n = 0;
    const gnutls_datum_t *list = gnutls_certificate_get_peers(c->tls, &n);
    gnutls_x509_crt_t crt;
    if (!n || gnutls_x509_crt_init(&crt) < 0)
        return;
    size_t size = 0;
    if (gnutls_x509_crt_import(crt, &list[0], GNUTLS_X509_FMT_DER) == 0 && gnutls_x509_crt_get_dn(crt, NULL, &size) == GNUTLS_E_SHORT_MEMORY_BUFFER) {
        c->dname = g_malloc0(size + 1);
        if (gnutls_x509_crt_get_dn(crt, c->dname, &size) < 0)
            g_clear_pointer(&c->dname, g_free);
    }
    gnutls_x509_crt_deinit(crt);
}

static bool tls_is_up(VncClient *c, const uint8_t *data, size_t n)
{
    if (c->server->x509)
        note_certificate(c);
    return begin_inner(c);
}

static bool got_vencrypt_type(VncClient *c, const uint8_t *data, size_t n)
{
    bool ok = be32(data) == vencrypt_type(c->server);
    client_put8(c, ok);
    c->why = "it wants a kind of encryption that was not offered";
    client_expect(c, 0, tls_is_up);
    return ok && client_start_tls(c);
}

static bool got_vencrypt_version(VncClient *c, const uint8_t *data, size_t n)
{
    bool ok = data[0] == 0 && data[1] == 2;
    client_put8(c, ok ? 0 : 0xff);
    c->why = "its VeNCrypt is not of version 0.2";
    if (!ok)
        return false;
    client_put8(c, 1);
    client_put32(c, vencrypt_type(c->server));
    client_expect(c, 4, got_vencrypt_type);
    return true;
}

/* ---- version and security type */

static bool begin_security(VncClient *c, unsigned type)
{
    if (type != SECURITY_VENCRYPT)
        return begin_inner(c);
    client_put16(c, 0x0002); /* 0.2 */
    client_expect(c, 2, got_vencrypt_version);
    return true;
}

static unsigned offered(const VncServer *s) { return tls(s) ? SECURITY_VENCRYPT : inner_type(s); }

static bool got_security(VncClient *c, const uint8_t *data, size_t n)
{
    return data[0] == offered(c->server) ? begin_security(c, data[0]) : refused(c, "that security type was not offered");
}

/* 3.3 cannot choose, and so not VeNCrypt. */
static bool decide_for_it(VncClient *c)
{
    bool possible = !tls(c->server);
    client_put32(c, possible ? inner_type(c->server) : 0);
    if (possible)
        return begin_inner(c);
    client_put_text(c, "this server wants TLS, and RFB 3.3 has none");
    client_flush(c);
    c->why = "it speaks RFB 3.3, which has no TLS";
    return false;
}

static bool got_version(VncClient *c, const uint8_t *data, size_t n)
{
    if (memcmp(data, "RFB 003.", 8) || data[11] != '\n') /* all there ever was; others count as 3.3 */
        return false;
    unsigned minor = g_ascii_strtoull((const char *)data + 8, NULL, 10);
    c->minor = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
    if (c->minor == 3)
        return decide_for_it(c);
    client_put8(c, 1);
    client_put8(c, offered(c->server));
    client_expect(c, 1, got_security);
    return true;
}

void auth_start(VncClient *c)
{
    client_put(c, "RFB 003.008\n", 12);
    client_expect(c, 12, got_version);
    client_flush(c);
}

/* ---- credentials */

static bool loaded(int status, const char *what, const char *path, GError **err)
{
    return status >= 0 || error_set(err, ERR_INVALID, "-vnc: cannot load %s '%s': %s", what, path, gnutls_strerror(status));
}

bool auth_load(VncServer *s, const VncConfig *config, GError **err)
{
    if (config->tls_anonymous)
        return gnutls_anon_allocate_server_credentials(&s->anonymous) >= 0;
    if (!config->tls_dir)
        return true;
    g_autofree char *ca = g_build_filename(config->tls_dir, "ca-cert.pem", NULL), *cert = g_build_filename(config->tls_dir, "server-cert.pem", NULL),
                    *key = g_build_filename(config->tls_dir, "server-key.pem", NULL);
    gnutls_certificate_allocate_credentials(&s->x509);
    s->verify_peer = config->verify_peer;
    return loaded(gnutls_certificate_set_x509_trust_file(s->x509, ca, GNUTLS_X509_FMT_PEM), "the CA's certificate", ca, err) &&
           loaded(gnutls_certificate_set_x509_key_file(s->x509, cert, key, GNUTLS_X509_FMT_PEM), "the server's certificate and key", cert, err);
}

void auth_unload(VncServer *s)
{
    if (s->x509)
        gnutls_certificate_free_credentials(s->x509);
    if (s->anonymous)
        gnutls_anon_free_server_credentials(s->anonymous);
}
