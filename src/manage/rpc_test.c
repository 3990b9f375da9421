/* rpc_test.c - XDR by letters, and a server against clients that mean well and others. */
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/be.h"
#include "base/error.h"
#include "manage/rpc/rpc.h"
#include "manage/rpc/xdr.h"

/* Random values of any type. */
static GVariant *random_value(const GVariantType *type);

static GVariant *random_string(void)
{
    char text[40];
    int n = g_random_int_range(0, 39);
    for (int i = 0; i < n; i++)
        text[i] = g_random_int_range('a', 'z' + 1);
    text[n] = 0;
    return g_variant_new_string(text);
}

static GVariant *random_container(const GVariantType *type)
{
    GVariantBuilder b;
    g_variant_builder_init(&b, type);
    if (g_variant_type_is_array(type)) {
        for (int i = g_random_int_range(0, 5); i; i--)
            g_variant_builder_add_value(&b, random_value(g_variant_type_element(type)));
    } else {
        for (const GVariantType *t = g_variant_type_first(type); t; t = g_variant_type_next(t))
            g_variant_builder_add_value(&b, random_value(t));
    }
    return g_variant_builder_end(&b);
}

static GVariant *random_value(const GVariantType *type)
{
    static const char *const any[] = { "i", "u", "x", "t", "d", "b", "s" };
    switch (*g_variant_type_peek_string(type)) {
    case 's':
        return random_string();
    case 'i':
        return g_variant_new_int32(g_random_int());
    case 'u':
        return g_variant_new_uint32(g_random_int());
    case 'x':
        return g_variant_new_int64((gint64)g_random_int() << 32 | g_random_int());
    case 't':
        return g_variant_new_uint64((guint64)g_random_int() << 32 | g_random_int());
    case 'd':
        return g_variant_new_double(g_random_double());
    case 'b':
        return g_variant_new_boolean(g_random_boolean());
    case 'y':
        return g_variant_new_byte(g_random_int());
    case 'v':
        return g_variant_new_variant(random_value(G_VARIANT_TYPE(any[g_random_int_range(0, 7)])));
    case 'm':
        return g_variant_new_maybe(g_variant_type_element(type), g_random_boolean() ? random_value(g_variant_type_element(type)) : NULL);
    default:
        return random_container(type);
    }
}

/* Letters whose strings are of a form of their own (U, m) are left out: their text does not come back as it went. */
static void round_trip(const char *letters)
{
    if (strpbrk(letters, "UmDNPVTSI"))
        return;
    g_autofree char *type = xdr_type(letters);
    g_autoptr(GVariant) value = g_variant_ref_sink(random_value(G_VARIANT_TYPE(type)));
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    xdr_encode(bytes, letters, value);
    g_assert_cmpuint(bytes->len % 4, ==, 0);
    g_autoptr(GVariant) back = xdr_decode(letters, bytes->data, bytes->len, &err);
    g_assert_no_error(err);
    g_variant_ref_sink(back);
    g_assert_true(g_variant_equal(value, back));
    for (guint cut = 0; cut < bytes->len; cut += 4) {
        g_autoptr(GVariant) less = xdr_decode(letters, bytes->data, cut, NULL);
        g_assert_null(less);
    }
}

static void test_every_procedure(void)
{
    for (const Procedure *p = remote_procedures; p->name; p++) {
        g_autofree char *args = xdr_type(p->args), *ret = xdr_type(p->ret);
        g_assert_true(g_variant_type_string_is_valid(args) && g_variant_type_string_is_valid(ret));
        g_assert_true(procedure_find(RPC_PROGRAM_REMOTE, p->number) == p && procedure_named(p->name) == p);
        round_trip(p->args);
        round_trip(p->ret);
    }
}

/* What libvirt's own client put on the wire, from reference/libvirt: CONNECT_OPEN "qemu:///system", flags 0. */
static void test_bytes(void)
{
    static const uint8_t open[] = { 0, 0, 0, 1, 0, 0, 0, 14, 'q', 'e', 'm', 'u', ':', '/', '/', '/', 's', 'y', 's', 't', 'e', 'm', 0, 0, 0, 0, 0, 1 };
    g_autoptr(GVariant) v = g_variant_ref_sink(xdr_decode("ou", open, sizeof open, NULL));
    const char *name;
    guint flags;
    g_variant_get(v, "(m&su)", &name, &flags);
    g_assert_cmpstr(name, ==, "qemu:///system");
    g_assert_cmpuint(flags, ==, 1);
    g_autoptr(GByteArray) out = g_byte_array_new();
    xdr_encode(out, "D", g_variant_new("((ssi))", "vm", "5ed9631a-e07a-47ed-9140-631a3979af6b", -1));
    static const uint8_t domain[] = { 0, 0, 0, 2, 'v', 'm', 0, 0, 0x5e, 0xd9, 0x63, 0x1a, 0xe0, 0x7a, 0x47, 0xed, 0x91, 0x40, 0x63, 0x1a, 0x39, 0x79, 0xaf, 0x6b, 255, 255, 255, 255 };
    g_assert_cmpmem(out->data, out->len, domain, sizeof domain);
}

static void test_wrong_bytes(void)
{
    static const struct {
        const char *letters;
        uint8_t bytes[12];
        unsigned n;
    } wrong[] = {
        { "s", { 0xff, 0xff, 0xff, 0xff }, 4 },       { "s", { 0xff, 0xff, 0xff, 0xfe, 1, 2, 3, 4 }, 8 }, { "s", { 0, 0, 0, 2, 0xff, 0xfe, 0, 0 }, 8 },
        { "s", { 0, 0, 0, 2, 'a', 0, 0, 0 }, 8 },     { "[s]", { 0x40, 0, 0, 0, 0, 0, 0, 0 }, 8 },        { "o", { 0, 0, 0, 2, 0, 0, 0, 0 }, 8 },
        { "*", { 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9 }, 12 }, { "i", { 0, 0, 0, 1, 0 }, 5 },              { "B", { 0, 0, 0, 5, 1, 2, 3, 4 }, 8 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(xdr_decode(wrong[i].letters, wrong[i].bytes, wrong[i].n, &err));
        g_assert_nonnull(err);
    }
}

typedef struct Rig {
    RpcServer *server;
    char *folder, *path;
    GPtrArray *held; /* calls of DOMAIN_CREATE wait here */
    unsigned closed, chunks;
    RpcStream *stream;
} Rig;

static void stream_received(RpcStream *s, const void *data, size_t bytes, void *opaque)
{
    ((Rig *)opaque)->chunks++;
    rpc_stream_send(s, data, bytes);
}

static void stream_closed(RpcStream *s, void *opaque) { ((Rig *)opaque)->stream = NULL; }
static const RpcStreamOps echo = { .received = stream_received, .closed = stream_closed };

static void on_call(RpcCall *call, void *opaque)
{
    Rig *r = opaque;
    switch (rpc_call_procedure(call)->number) {
    case 59: /* CONNECT_GET_HOSTNAME */
        rpc_reply(call, g_variant_new("(s)", "here"));
        break;
    case 9: /* DOMAIN_CREATE */
        g_ptr_array_add(r->held, call);
        break;
    case 201: /* DOMAIN_OPEN_CONSOLE */
        r->stream = rpc_stream_open(call, &echo, r);
        rpc_reply(call, NULL);
        break;
    default:
        rpc_fail(call, RPC_ERR_NO_SUPPORT, "not here");
    }
}

static void on_closed(RpcConnection *c, void *opaque) { ((Rig *)opaque)->closed++; }

static Rig *rig_new(bool readonly)
{
    Rig *r = g_new0(Rig, 1);
    static const RpcHandlers handlers = { .call = on_call, .closed = on_closed };
    r->folder = g_dir_make_tmp("atoll-rpc-XXXXXX", NULL);
    r->path = g_build_filename(r->folder, "sock", NULL);
    r->held = g_ptr_array_new();
    r->server = rpc_server_new(&handlers, r);
    g_autoptr(GError) err = NULL;
    rpc_server_listen(r->server, r->path, 0600, readonly, &err);
    g_assert_no_error(err);
    return r;
}

static void rig_free(Rig *r)
{
    rpc_server_free(r->server);
    g_assert_cmpint(g_rmdir(r->folder), ==, 0); /* the socket's name has gone */
    g_free(r->folder);
    g_free(r->path);
    g_ptr_array_unref(r->held);
    g_free(r);
}

static void settle(void)
{
    for (int i = 0; i < 50; i++)
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(200);
}

static GSocket *client(Rig *r)
{
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(r->path);
    GSocket *s = g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL);
    g_assert_true(g_socket_connect(s, address, NULL, NULL));
    settle();
    g_socket_set_blocking(s, FALSE);
    return s;
}

static void send_frame(GSocket *s, uint32_t program, int procedure, unsigned type, unsigned serial, unsigned status, const char *letters, GVariant *args)
{
    g_autoptr(GByteArray) body = g_byte_array_new(), frame = g_byte_array_new();
    if (args)
        xdr_encode(body, letters, args);
    const uint32_t words[] = { 28 + body->len, program, 1, procedure, type, serial, status };
    for (unsigned i = 0; i < 7; i++)
        be_put(frame, words[i], 4);
    g_byte_array_append(frame, body->data, body->len);
    g_assert_cmpint(g_socket_send(s, (char *)frame->data, frame->len, NULL, NULL), ==, frame->len);
}

/* serial and status of the next message; its body's length is ret_bytes. */
static bool next_frame(GSocket *s, uint8_t body[1024], unsigned *ret_serial, unsigned *ret_status, unsigned *ret_bytes)
{
    uint8_t head[28];
    settle();
    if (g_socket_receive(s, (char *)head, sizeof head, NULL, NULL) != sizeof head)
        return false;
    *ret_serial = be_get(head + 20, 4);
    *ret_status = be_get(head + 24, 4);
    *ret_bytes = be_get(head, 4) - 28;
    g_assert_cmpuint(*ret_bytes, <=, 1024);
    if (*ret_bytes)
        g_assert_cmpint(g_socket_receive(s, (char *)body, *ret_bytes, NULL, NULL), ==, *ret_bytes);
    return true;
}

static void test_calls(void)
{
    Rig *r = rig_new(false);
    g_autoptr(GSocket) s = client(r);
    uint8_t body[1024];
    unsigned serial, status, bytes;
    /* The second answer comes before the first. */
    send_frame(s, RPC_PROGRAM_REMOTE, 9, 0, 7, 0, "D", g_variant_new("((ssi))", "a", "", 1));
    send_frame(s, RPC_PROGRAM_REMOTE, 59, 0, 8, 0, "", NULL);
    g_assert_true(next_frame(s, body, &serial, &status, &bytes));
    g_assert_true(serial == 8 && status == 0 && !memcmp(body, "\0\0\0\4here", 8));
    rpc_reply(r->held->pdata[0], NULL);
    g_assert_true(next_frame(s, body, &serial, &status, &bytes));
    g_assert_true(serial == 7 && status == 0 && bytes == 0);
    /* Unknown procedure, arguments that are none, what the daemon does not do: errors, and the connection goes on. */
    send_frame(s, RPC_PROGRAM_REMOTE, 9999, 0, 9, 0, "", NULL);
    send_frame(s, RPC_PROGRAM_REMOTE, 9, 0, 10, 0, "u", g_variant_new("(u)", 1000));
    send_frame(s, RPC_PROGRAM_REMOTE, 1, 0, 11, 0, "ou", g_variant_new("(msu)", NULL, 0));
    for (unsigned i = 9; i <= 11; i++)
        g_assert_true(next_frame(s, body, &serial, &status, &bytes) && serial == i && status == 1);
    send_frame(s, RPC_PROGRAM_KEEPALIVE, 1, 2, 0, 0, "", NULL);
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && serial == 0 && status == 0);
    g_assert_cmpuint(rpc_server_connections(r->server), ==, 1);
    rig_free(r);
}

static void test_readonly(void)
{
    Rig *r = rig_new(true);
    g_autoptr(GSocket) s = client(r);
    uint8_t body[1024];
    unsigned serial, status, bytes;
    send_frame(s, RPC_PROGRAM_REMOTE, 9, 0, 1, 0, "D", g_variant_new("((ssi))", "a", "", 1));
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && status == 1);
    g_assert_cmpuint(be_get(body, 4), ==, RPC_ERR_OPERATION_DENIED);
    send_frame(s, RPC_PROGRAM_REMOTE, 59, 0, 2, 0, "", NULL);
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && status == 0);
    rig_free(r);
}

static void test_stream(void)
{
    Rig *r = rig_new(false);
    g_autoptr(GSocket) s = client(r);
    uint8_t body[1024];
    unsigned serial, status, bytes;
    send_frame(s, RPC_PROGRAM_REMOTE, 201, 0, 5, 0, "Dou", g_variant_new("((ssi)msu)", "a", "", 1, NULL, 0));
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && status == 0);
    send_frame(s, RPC_PROGRAM_REMOTE, 201, 3, 5, 2, "i", g_variant_new("(i)", 77));
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && serial == 5 && status == 2 && bytes == 4 && body[3] == 77);
    send_frame(s, RPC_PROGRAM_REMOTE, 201, 3, 5, 0, "", NULL);
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && serial == 5 && status == 0 && bytes == 0);
    g_assert_null(r->stream);
    send_frame(s, RPC_PROGRAM_REMOTE, 201, 3, 5, 2, "", NULL); /* late: nothing happens */
    settle();
    g_assert_cmpuint(rpc_server_connections(r->server), ==, 1);
    send_frame(s, RPC_PROGRAM_REMOTE, 201, 0, 6, 0, "Dou", g_variant_new("((ssi)msu)", "a", "", 1, NULL, 0));
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && status == 0);
    send_frame(s, RPC_PROGRAM_REMOTE, 201, 3, 6, 1, "", NULL); /* aborted: the client waits for an answer */
    g_assert_true(next_frame(s, body, &serial, &status, &bytes) && serial == 6 && status == 0 && bytes == 0);
    g_assert_null(r->stream);
    rig_free(r);
}

/* Half a message, absurd lengths, types that are not for servers, and leaving in the middle of a call. */
static void test_rude(void)
{
    static const uint8_t rude[][8] = { { 0, 0, 0, 5 }, { 0xff, 0xff, 0xff, 0xff }, { 0, 0, 0, 0 } };
    Rig *r = rig_new(false);
    for (unsigned i = 0; i < G_N_ELEMENTS(rude); i++) {
        g_autoptr(GSocket) s = client(r);
        g_socket_send(s, (char *)rude[i], 8, NULL, NULL);
        settle();
        g_assert_cmpuint(r->closed, ==, i + 1);
    }
    g_autoptr(GSocket) half = client(r), reply = client(r), gone = client(r);
    g_socket_send(half, "\0\0\0\x1c\x20", 5, NULL, NULL);
    send_frame(reply, RPC_PROGRAM_REMOTE, 9, 1, 1, 0, "", NULL);
    send_frame(gone, RPC_PROGRAM_REMOTE, 9, 0, 1, 0, "D", g_variant_new("((ssi))", "a", "", 1));
    settle();
    g_assert_cmpuint(r->closed, ==, 4); /* the one with the reply */
    g_socket_close(gone, NULL);
    settle();
    g_assert_cmpuint(r->closed, ==, 5);
    rpc_reply(r->held->pdata[0], NULL); /* to nobody */
    g_assert_cmpuint(rpc_server_connections(r->server), ==, 1);
    rig_free(r);
}

/* As many calls as a client may have at work; the rest come when those end. */
static void test_many_calls(void)
{
    Rig *r = rig_new(false);
    g_autoptr(GSocket) s = client(r);
    for (unsigned i = 0; i < 3 * RPC_CALLS_MAX; i++)
        send_frame(s, RPC_PROGRAM_REMOTE, 9, 0, i, 0, "D", g_variant_new("((ssi))", "a", "", 1));
    settle();
    g_assert_cmpuint(r->held->len, ==, RPC_CALLS_MAX);
    for (unsigned i = 0; i < 3 * RPC_CALLS_MAX; i++) {
        settle();
        g_assert_cmpuint(r->held->len, >, i);
        rpc_reply(r->held->pdata[i], NULL);
    }
    settle();
    g_assert_cmpuint(r->held->len, ==, 3 * RPC_CALLS_MAX);
    rig_free(r);
}

static void test_second_daemon(void)
{
    Rig *r = rig_new(false);
    static const RpcHandlers handlers = { .call = on_call };
    RpcServer *other = rpc_server_new(&handlers, r);
    g_autoptr(GError) err = NULL;
    g_assert_false(rpc_server_listen(other, r->path, 0600, false, &err));
    g_assert_nonnull(strstr(err->message, "another daemon listens on"));
    rpc_server_free(other);
    g_assert_true(g_file_test(r->path, G_FILE_TEST_EXISTS));
    rig_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/xdr/every-procedure", test_every_procedure);
    g_test_add_func("/xdr/bytes", test_bytes);
    g_test_add_func("/xdr/wrong-bytes", test_wrong_bytes);
    g_test_add_func("/rpc/calls", test_calls);
    g_test_add_func("/rpc/readonly", test_readonly);
    g_test_add_func("/rpc/stream", test_stream);
    g_test_add_func("/rpc/rude", test_rude);
    g_test_add_func("/rpc/many-calls", test_many_calls);
    g_test_add_func("/rpc/second-daemon", test_second_daemon);
    return g_test_run();
}
