/* peer_test.c - socket, stream and dgram against a peer that comes, sends, goes and misbehaves; carrier and cable. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/iov.h"
#include "hostnet/hostnet.h"
#include "hostnet/peer.h"

enum { FRAME = 60 };

typedef struct Card {
    _Atomic int received, last_first, link_changes;
    _Atomic bool up, full;
    HostNet *host;
    _Atomic int to_send;
} Card;

static bool card_receive(void *opaque, unsigned queue, const NetHeader *h, const struct iovec *iov, unsigned n)
{
    Card *c = opaque;
    uint8_t byte = 0;
    if (c->full)
        return false;
    iov_read(iov, n, 0, &byte, 1);
    c->last_first = byte;
    c->received++;
    return true;
}

static void card_transmit(void *opaque, unsigned queue)
{
    Card *c = opaque;
    uint8_t frame[1500];
    for (; c->to_send; c->to_send--) {
        memset(frame, c->to_send, sizeof(frame));
        if (!hostnet_send(c->host, 0, &(NetHeader){ 0 }, &(struct iovec){ frame, sizeof(frame) }, 1))
            return;
    }
}

static void card_link(void *opaque, bool up)
{
    Card *c = opaque;
    c->up = up;
    c->link_changes++;
}

static const HostNetCard card_ops = { card_transmit, card_receive, card_link };

static HostNet *open_with(Card *c, const char *spec)
{
    g_autoptr(GError) err = NULL;
    *c = (Card){ .host = hostnet_open(spec, &err) };
    g_assert_no_error(err);
    hostnet_attach(c->host, &card_ops, c);
    return c->host;
}

static void close_with(Card *c)
{
    hostnet_attach(c->host, NULL, NULL);
    hostnet_close(c->host);
}

#define WAIT_FOR(condition) for (unsigned tries = 0; !(condition); tries++) { g_assert_cmpuint(tries, <, 5000); g_usleep(1000); }

static void put_frame(int fd, unsigned bytes, uint8_t fill)
{
    uint8_t out[4 + 2000] = { 0, 0, bytes >> 8, bytes };
    memset(out + 4, fill, bytes);
    g_assert_cmpint(write(fd, out, 4 + bytes), ==, 4 + bytes);
}

static void test_dgram(void)
{
    int pair[2];
    Card c;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), ==, 0);
    g_autofree char *spec = g_strdup_printf("dgram,id=n,local.type=fd,local.str=%d", pair[0]);
    open_with(&c, spec);
    uint8_t frame[1500] = { 7 };
    g_assert_cmpint(send(pair[1], frame, FRAME, 0), ==, FRAME);
    WAIT_FOR(c.received == 1);
    g_assert_cmpint(c.last_first, ==, 7);
    c.to_send = 1;
    hostnet_kick(c.host, 0);
    g_assert_cmpint(recv(pair[1], frame, sizeof(frame), 0), ==, 1500);
    g_assert_cmpint(frame[0], ==, 1);
    send(pair[1], frame, 3, 0); /* no frame */
    send(pair[1], frame, FRAME, 0);
    WAIT_FOR(c.received == 2);
    close_with(&c);
    close(pair[1]);
}

/* A peer that reads nothing: the card is told to wait, and everything comes in the end. */
static void test_flood(void)
{
    int pair[2];
    Card c;
    uint8_t in[65536];
    size_t got = 0;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    g_autofree char *spec = g_strdup_printf("socket,id=n,fd=%d", pair[0]);
    open_with(&c, spec);
    c.to_send = 2000;
    hostnet_kick(c.host, 0);
    g_usleep(50000);
    g_assert_cmpint(c.to_send, >, 0);
    while (got < 2000 * 1504u) {
        ssize_t n = read(pair[1], in, sizeof(in));
        g_assert_cmpint(n, >, 0);
        got += n;
    }
    WAIT_FOR(c.to_send == 0);
    g_assert_cmpuint(got, ==, 2000 * 1504u);
    close(pair[1]);
    WAIT_FOR(!hostnet_link(c.host));
    close_with(&c);
}

/* A server's cable is plugged in while somebody is there; garbage is hung up on; the next one is taken. */
static void test_server(void)
{
    Card c;
    PeerAddress at = { .len = 0 };
    g_autofree char *path = g_strdup_printf("%s/atoll-peer-%d", g_get_tmp_dir(), getpid());
    g_autofree char *spec = g_strdup_printf("stream,id=n,server=on,addr.type=unix,addr.path=%s", path);
    open_with(&c, spec);
    g_assert_false(hostnet_link(c.host));
    g_assert_true(peer_unix_address(path, &at, NULL));
    for (unsigned round = 1; round <= 3; round++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        g_assert_cmpint(connect(fd, (struct sockaddr *)&at.addr, at.len), ==, 0);
        WAIT_FOR(c.up);
        put_frame(fd, 100, round);
        put_frame(fd, 2, 0); /* too short to be one */
        put_frame(fd, 1500, 100 + round);
        WAIT_FOR(c.received == 2 * (int)round);
        g_assert_cmpint(c.last_first, ==, 100 + round);
        if (round == 2)
            g_assert_cmpint(write(fd, "GET / HTTP/1.0\r\n", 16), ==, 16);
        else
            close(fd);
        WAIT_FOR(!c.up);
        if (round == 2)
            close(fd);
    }
    close_with(&c);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_reconnect(void)
{
    Card server, client;
    g_autofree char *path = g_strdup_printf("%s/atoll-peer2-%d", g_get_tmp_dir(), getpid());
    g_autofree char *listen_spec = g_strdup_printf("stream,id=s,server=on,addr.type=unix,addr.path=%s", path);
    g_autofree char *call_spec = g_strdup_printf("stream,id=c,reconnect-ms=20,addr.type=unix,addr.path=%s", path);
    open_with(&client, call_spec);
    g_assert_false(hostnet_link(client.host));
    for (unsigned round = 0; round < 2; round++) {
        open_with(&server, listen_spec);
        WAIT_FOR(client.up && server.up);
        client.to_send = 5;
        hostnet_kick(client.host, 0);
        WAIT_FOR(server.received == 5);
        close_with(&server);
        WAIT_FOR(!client.up);
    }
    close_with(&client);
}

/* set_link is the user's, the carrier the peer's: neither undoes the other. */
static void test_carrier(void)
{
    int pair[2];
    Card c;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    g_autofree char *spec = g_strdup_printf("stream,id=n,addr.type=fd,addr.str=%d", pair[0]);
    open_with(&c, spec);
    hostnet_set_link(c.host, false);
    WAIT_FOR(c.link_changes == 1 && !c.up);
    close(pair[1]);
    WAIT_FOR(c.link_changes == 2);
    hostnet_set_link(c.host, true);
    WAIT_FOR(c.link_changes == 3);
    g_assert_false(c.up);
    g_assert_false(hostnet_link(c.host));
    close_with(&c);
}

static void test_refused(void)
{
    static const struct { const char *spec, *word; } bad[] = {
        { "socket,id=n", "one of fd=" }, { "socket,id=n,listen=:1,connect=:2", "one of fd=" }, { "socket,id=n,mcast=10.0.0.1:5", "no multicast" },
        { "socket,id=n,listen=nowhere", "no HOST:PORT" }, { "stream,id=n", "addr.type" }, { "stream,id=n,addr.type=ipx", "inet, unix and fd" },
        { "dgram,id=n", "local and a remote" }, { "stream,id=n,addr.type=fd,addr.str=999", "descriptor 999" },
        { "stream,id=n,addr.type=unix,addr.path=/nonexistent/x", "cannot connect" }, { "stream,id=n,addr.type=unix,addr.path=/x,nonsense=1", "nonsense" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(hostnet_open(bad[i].spec, &err));
        g_assert_nonnull(strstr(err->message, bad[i].word));
    }
}

/* Vm calls hostnet_stand_in() only where this is true: a backend that cannot be stood in for has no functions for it. */
static void test_no_lenders(void)
{
    Card c;
    HostNet *h = open_with(&c, "socket,id=n,udp=127.0.0.1:9,localaddr=127.0.0.1:0");
    g_assert_false(hostnet_set_lenders(h, NULL, NULL));
    close_with(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hostnet/peer/dgram", test_dgram);
    g_test_add_func("/hostnet/peer/flood", test_flood);
    g_test_add_func("/hostnet/peer/server", test_server);
    g_test_add_func("/hostnet/peer/reconnect", test_reconnect);
    g_test_add_func("/hostnet/peer/carrier", test_carrier);
    g_test_add_func("/hostnet/peer/refused", test_refused);
    g_test_add_func("/hostnet/peer/no-lenders", test_no_lenders);
    return g_test_run();
}
