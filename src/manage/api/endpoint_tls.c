/*
 * endpoint_tls.c - a daemon on another host over TLS: the program gets one end of a pair of sockets, and two threads carry what goes
 * through the other.
 *
 * Certificates lie where libvirt has them: in the folder that ?pkipath= names (cacert.pem, clientcert.pem, clientkey.pem), in ~/.pki/libvirt,
 * or in /etc/pki/CA and /etc/pki/libvirt.  ?no_verify=1 takes any server.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manage/api/api_inside.h"

enum { TLS_PORT = 16514, HANDSHAKE_MS = 20000, CHUNK = 16384 };

typedef struct Link {
    gatomicrefcount refs;
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
    GSocket *far;
    int near;
} Link;

static void link_unref(Link *l)
{
    if (!g_atomic_ref_count_dec(&l->refs))
        return;
    if (l->session)
        gnutls_deinit(l->session);
    gnutls_certificate_free_credentials(l->credentials);
    g_clear_object(&l->far);
    if (l->near >= 0)
        close(l->near);
    g_free(l);
}

static bool refuse(GError **error, const char *what, const char *why)
{
    g_set_error(error, ATOLL_MANAGER_ERROR, ATOLL_MANAGER_ERROR_NO_CONNECT, "%s: %s", what, why);
    return false;
}

/* ---- certificates */
typedef struct Files {
    char *ca, *cert, *key;
} Files;

static void files_clear(Files *f)
{
    g_clear_pointer(&f->ca, g_free);
    g_clear_pointer(&f->cert, g_free);
    g_clear_pointer(&f->key, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Files, files_clear)

static void in_folder(const char *folder, Files *f)
{
    *f = (Files){ g_build_filename(folder, "cacert.pem", NULL), g_build_filename(folder, "clientcert.pem", NULL), g_build_filename(folder, "clientkey.pem", NULL) };
}

static void find_files(const char *told, Files *f)
{
    g_autofree char *own = g_build_filename(g_get_home_dir(), ".pki", "libvirt", NULL);
    if (told)
        in_folder(told, f);
    else if (!geteuid() || (in_folder(own, f), !g_file_test(f->cert, G_FILE_TEST_EXISTS))) {
        files_clear(f);
        *f = (Files){ g_strdup("/etc/pki/CA/cacert.pem"), g_strdup("/etc/pki/libvirt/clientcert.pem"), g_strdup("/etc/pki/libvirt/private/clientkey.pem") };
    }
}

static bool load(Link *l, const char *pki, GError **error)
{
    g_auto(Files) f = { 0 };
    find_files(pki, &f);
    int code = gnutls_certificate_set_x509_trust_file(l->credentials, f.ca, GNUTLS_X509_FMT_PEM);
    if (code < 0)
        return refuse(error, f.ca, gnutls_strerror(code));
    code = gnutls_certificate_set_x509_key_file(l->credentials, f.cert, f.key, GNUTLS_X509_FMT_PEM);
    return code >= 0 || refuse(error, f.cert, gnutls_strerror(code));
}

/* ---- the connection */
static bool shake(Link *l, const char *host, bool verify, GError **error)
{
    gnutls_init(&l->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
    gnutls_set_default_priority(l->session);
    gnutls_credentials_set(l->session, GNUTLS_CRD_CERTIFICATE, l->credentials);
    if (!g_hostname_is_ip_address(host))
        gnutls_server_name_set(l->session, GNUTLS_NAME_DNS, host, strlen(host));
    if (verify)
        gnutls_session_set_verify_cert(l->session, host, 0);
    gnutls_transport_set_int(l->session, g_socket_get_fd(l->far));
    gnutls_handshake_set_timeout(l->session, HANDSHAKE_MS);
    int code;
    do
        code = gnutls_handshake(l->session);
    while (code < 0 && !gnutls_error_is_fatal(code));
    if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) {
        gnutls_datum_t why = { 0 };
        gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(l->session), GNUTLS_CRT_X509, &why, 0);
        refuse(error, "the server's certificate is refused", why.data ? (char *)why.data : "not trusted");
        gnutls_free(why.data);
        return false;
    }
    return code >= 0 || refuse(error, "TLS handshake", gnutls_strerror(code));
}

/* A byte of value 1 says that the server takes our certificate. */
static bool welcome(Link *l, GError **error)
{
    char byte = 0;
    ssize_t n;
    do
        n = gnutls_record_recv(l->session, &byte, 1);
    while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED);
    return (n == 1 && byte == 1) || refuse(error, "the server does not let this certificate in", n < 0 ? gnutls_strerror(n) : "it closed the connection");
}

static gpointer carry_in(gpointer data)
{
    Link *l = data;
    char bytes[CHUNK];
    ssize_t n;
    while ((n = gnutls_record_recv(l->session, bytes, sizeof bytes)) > 0 || n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
        for (ssize_t done = 0, m; done < n; done += m)
            if ((m = send(l->near, bytes + done, n - done, MSG_NOSIGNAL)) <= 0)
                goto end;
end:
    shutdown(l->near, SHUT_RDWR);
    g_socket_shutdown(l->far, TRUE, TRUE, NULL);
    link_unref(l);
    return NULL;
}

static gpointer carry_out(gpointer data)
{
    Link *l = data;
    char bytes[CHUNK];
    ssize_t n;
    while ((n = recv(l->near, bytes, sizeof bytes, 0)) > 0)
        for (ssize_t done = 0, m; done < n; done += MAX(m, 0))
            if ((m = gnutls_record_send(l->session, bytes + done, n - done)) < 0 && gnutls_error_is_fatal(m))
                goto end;
    gnutls_bye(l->session, GNUTLS_SHUT_WR);
end:
    g_socket_shutdown(l->far, TRUE, TRUE, NULL);
    link_unref(l);
    return NULL;
}

static GSocket *dial(const char *host, int port, GCancellable *cancellable, GError **error)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) c = g_socket_client_connect_to_host(client, host, port > 0 ? port : TLS_PORT, cancellable, error);
    if (!c) {
        g_prefix_error(error, "cannot connect to '%s', port %d: ", host, port > 0 ? port : TLS_PORT);
        return NULL;
    }
    GSocket *s = g_object_ref(g_socket_connection_get_socket(c));
    g_object_set_data_full(G_OBJECT(s), "connection", g_object_ref(c), g_object_unref); /* whose end would close it */
    g_socket_set_blocking(s, TRUE);
    return s;
}

static GSocket *hand_over(Link *l, GError **error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        refuse(error, "cannot make a socket", g_strerror(errno));
        return NULL;
    }
    l->near = pair[1];
    g_atomic_ref_count_inc(&l->refs);
    g_atomic_ref_count_inc(&l->refs);
    g_thread_unref(g_thread_new("atoll-tls-in", carry_in, l));
    g_thread_unref(g_thread_new("atoll-tls-out", carry_out, l));
    return g_socket_new_from_fd(pair[0], error);
}

GSocket *endpoint_connect_tls(const char *host, int port, const char *pki, bool verify, GCancellable *cancellable, GError **error)
{
    Link *l = g_new0(Link, 1);
    g_atomic_ref_count_init(&l->refs);
    l->near = -1;
    gnutls_certificate_allocate_credentials(&l->credentials);
    bool ok = load(l, pki, error) && (l->far = dial(host, port, cancellable, error)) && shake(l, host, verify, error) && welcome(l, error);
    GSocket *s = ok ? hand_over(l, error) : NULL;
    link_unref(l);
    return s;
}
