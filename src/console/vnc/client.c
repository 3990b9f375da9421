/* client.c - a viewer's connection: bytes in until an expectation is met, bytes out as the socket takes them, plain or TLS. */
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "console/vnc/inside.h"

enum { READ_BYTES = 16384 };

static void service(VncClient *c);

/* ---- the socket; returns as read() and write() do, -1 with EAGAIN where it would wait */

static ssize_t tls_result(VncClient *c, ssize_t n)
{
    if (n >= 0)
        return n;
    errno = n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_REHANDSHAKE ? EAGAIN : EIO;
    return -1;
}

static ssize_t receive(VncClient *c, void *buf, size_t n)
{
    return c->tls ? tls_result(c, gnutls_record_recv(c->tls, buf, n)) : recv(c->fd, buf, n, 0);
}

static ssize_t transmit(VncClient *c, const void *buf, size_t n)
{
    return c->tls ? tls_result(c, gnutls_record_send(c->tls, buf, n)) : send(c->fd, buf, n, MSG_NOSIGNAL);
}

/* ---- sources */

static gboolean on_socket(int fd, GIOCondition condition, void *opaque)
{
    service(opaque);
    return G_SOURCE_CONTINUE;
}

static void destroy_source(GSource **source)
{
    if (!*source)
        return;
    g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static GSource *watch(VncClient *c, GIOCondition condition)
{
    GSource *source = g_unix_fd_source_new(c->fd, condition);
    g_source_set_callback(source, G_SOURCE_FUNC(on_socket), c, NULL);
    g_source_attach(source, NULL);
    return source;
}

static void want_out(VncClient *c, bool want)
{
    if (want && !c->out_source)
        c->out_source = watch(c, G_IO_OUT);
    if (!want)
        destroy_source(&c->out_source);
}

/* ---- out */

void client_flush(VncClient *c)
{
    while (!c->doomed && !c->handshaking && client_pending(c)) {
        ssize_t n = transmit(c, c->out->data + c->out_done, client_pending(c));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            client_doom(c, "it has hung up");
            return;
        }
        c->out_done += n;
        c->last_progress = g_get_monotonic_time();
    }
    if (!client_pending(c)) {
        g_byte_array_set_size(c->out, 0);
        c->out_done = 0;
    }
    want_out(c, !c->doomed && (client_pending(c) || (c->handshaking && gnutls_record_get_direction(c->tls))));
}

void client_put(VncClient *c, const void *data, size_t n)
{
    if (!client_pending(c))
        c->last_progress = g_get_monotonic_time();
    if (client_pending(c) + n > OUT_MOST)
        client_doom(c, "it takes nothing");
    else
        g_byte_array_append(c->out, data, n);
}

void client_put8(VncClient *c, unsigned v) { client_put(c, &(uint8_t){ v }, 1); }
void client_put16(VncClient *c, unsigned v) { client_put(c, (uint8_t[]){ v >> 8, v }, 2); }
void client_put32(VncClient *c, uint32_t v) { client_put(c, (uint8_t[]){ v >> 24, v >> 16, v >> 8, v }, 4); }

void client_put_text(VncClient *c, const char *text)
{
    client_put32(c, strlen(text));
    client_put(c, text, strlen(text));
}

/* ---- in */

void client_expect(VncClient *c, size_t n, VncExpect *fn)
{
    c->need = n;
    c->expect = fn;
}

/* Hands on what is complete. */
static void digest(VncClient *c)
{
    size_t done = 0;
    while (!c->doomed && !c->handshaking && c->in->len - done >= c->need) {
        size_t n = c->need;
        const uint8_t *data = c->in->data + done;
        done += n;
        c->in_left = c->in->len - done;
        if (!c->expect(c, data, n))
            client_doom(c, c->why ? c->why : "it does not speak RFB");
    }
    g_byte_array_remove_range(c->in, 0, done);
}

/* One helping at a time, so that a viewer who floods does not keep the others waiting.  TLS may hold more than the socket shows. */
static void fill(VncClient *c)
{
    uint8_t buf[READ_BYTES];
    do {
        ssize_t n = receive(c, buf, sizeof(buf));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            client_doom(c, "it has hung up");
            return;
        }
        g_byte_array_append(c->in, buf, n);
        digest(c);
    } while (!c->doomed && c->tls && gnutls_record_check_pending(c->tls));
}

/* ---- TLS */

static void shake(VncClient *c)
{
    int status = gnutls_handshake(c->tls);
    if (status == GNUTLS_E_AGAIN || status == GNUTLS_E_INTERRUPTED)
        return;
    if (status < 0 && !gnutls_error_is_fatal(status))
        return;
    if (status < 0) {
        client_doom(c, gnutls_strerror(status));
        return;
    }
    c->handshaking = false;
    digest(c);
}

bool client_start_tls(VncClient *c)
{
    static const char anonymous[] = "NORMAL:+ANON-ECDH:+ANON-DH:-VERS-TLS1.3", certificates[] = "NORMAL";
    VncServer *s = c->server;
    client_flush(c);
    if (client_pending(c) || c->in_left) {
        c->why = "it speaks before TLS has begun";
        return false;
    }
    if (gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK) < 0)
        return false;
    gnutls_priority_set_direct(c->tls, s->x509 ? certificates : anonymous, NULL);
    if (s->x509)
        gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, s->x509);
    else
        gnutls_credentials_set(c->tls, GNUTLS_CRD_ANON, s->anonymous);
    if (s->verify_peer) {
        gnutls_certificate_server_set_request(c->tls, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(c->tls, NULL, 0);
    }
    gnutls_transport_set_int(c->tls, c->fd);
    c->handshaking = true;
    return true;
}

/* ---- life */

static void service(VncClient *c)
{
    if (c->handshaking)
        shake(c);
    else
        fill(c);
    client_flush(c);
    vnc_wake(c->server, false);
}

VncClient *client_new(VncServer *s, int fd)
{
    VncClient *c = g_new0(VncClient, 1);
    c->server = s;
    c->fd = fd;
    c->in = g_byte_array_new();
    c->out = g_byte_array_new();
    c->down = g_hash_table_new(NULL, NULL);
    c->format = pixel_native;
    c->compress = 2;
    c->last_progress = g_get_monotonic_time();
    c->in_source = watch(c, G_IO_IN);
    return c;
}

void client_doom(VncClient *c, const char *why)
{
    if (c->doomed)
        return;
    c->doomed = true;
    c->why = why;
    destroy_source(&c->in_source);
    destroy_source(&c->out_source);
    vnc_wake(c->server, false);
}

void client_free(VncClient *c)
{
    destroy_source(&c->in_source);
    destroy_source(&c->out_source);
    if (c->tls && !c->handshaking)
        gnutls_bye(c->tls, GNUTLS_SHUT_WR);
    if (c->tls)
        gnutls_deinit(c->tls);
    close(c->fd);
    deflate_end(&c->zlib, &c->zlib_on);
    deflate_end(&c->zrle, &c->zrle_on);
    for (unsigned i = 0; i < 4; i++)
        deflate_end(&c->tight[i], &c->tight_on[i]);
    g_hash_table_unref(c->down);
    g_byte_array_unref(c->in);
    g_byte_array_unref(c->out);
    g_free(c->host);
    g_free(c->service);
    g_free(c->family);
    g_free(c->dname);
    g_free(c->dirty);
    g_free(c);
}
