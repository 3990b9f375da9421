/* user_test.c - user networking: vCPUs in the place of its thread, and the thread where they do not come. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/iov.h"
#include "hostnet/backend.h"

enum { ARP_BYTES = 42, UDP_BYTES = 14 + 20 + 8 + 4, PORT = 4000 };

typedef struct Card {
    HostNet *host;
    GMutex lock; /* of the frame to send */
    uint8_t frame[64];
    _Atomic unsigned bytes, received, refused;
    _Atomic(GThread *) by; /* who brought the last frame */
    _Atomic bool lends;
} Card;

static void transmit(void *opaque, unsigned queue)
{
    Card *c = opaque;
    g_mutex_lock(&c->lock);
    if (c->bytes && hostnet_send(c->host, 0, &(NetHeader){ 0 }, &(struct iovec){ c->frame, c->bytes }, 1))
        c->bytes = 0;
    g_mutex_unlock(&c->lock);
}

static bool receive(void *opaque, unsigned queue, const NetHeader *h, const struct iovec *iov, unsigned n)
{
    Card *c = opaque;
    c->by = g_thread_self();
    c->received++;
    return true;
}

static const HostNetCard card_ops = { .transmit = transmit, .receive = receive };
static bool lends(void *card) { return ((Card *)card)->lends; }

static void card_open(Card *c)
{
    g_autoptr(GError) err = NULL;
    memset(c, 0, sizeof(*c));
    g_mutex_init(&c->lock);
    c->host = hostnet_open("user,id=n,ipv6=off", &err);
    g_assert_no_error(err);
    g_assert_true(hostnet_set_lenders(c->host, lends, c));
    hostnet_attach(c->host, &card_ops, c);
}

static void card_close(Card *c)
{
    hostnet_attach(c->host, NULL, NULL);
    hostnet_close(c->host);
    g_mutex_clear(&c->lock);
}

#define WAIT_FOR(condition) for (unsigned tries = 0; !(condition); tries++) { g_assert_cmpuint(tries, <, 60000); g_usleep(1000); }

static void put(Card *c, const void *frame, unsigned bytes)
{
    g_mutex_lock(&c->lock);
    memcpy(c->frame, frame, bytes);
    c->bytes = bytes;
    g_mutex_unlock(&c->lock);
    hostnet_kick(c->host, 0);
}

/* Who has 10.0.2.2?  RFC 826. */
static void put_arp(Card *c)
{
    static const uint8_t arp[ARP_BYTES] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
        0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
    };
    put(c, arp, sizeof(arp));
}

/* Four bytes from 10.0.2.15 to the host's loopback, which is 10.0.2.2; no UDP checksum. */
static void put_udp(Card *c, uint16_t port)
{
    uint8_t f[UDP_BYTES] = {
        0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2,
        PORT >> 8, PORT & 0xff, port >> 8, port & 0xff, 0, 12, 0, 0, 'p', 'i', 'n', 'g',
    };
    uint16_t sum = net_checksum(f + 14, 20, 0);
    f[24] = sum >> 8;
    f[25] = sum & 0xff;
    put(c, f, sizeof(f));
}

static int host_socket(uint16_t *ret_port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&at, size), ==, 0);
    getsockname(fd, (struct sockaddr *)&at, &size);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void answer(int fd)
{
    char data[16];
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);
    g_assert_cmpint(n, ==, 4);
    g_assert_cmpint(sendto(fd, data, n, 0, (struct sockaddr *)&from, size), ==, n);
}

/* The thread is asleep and nothing is asked of it, so that the next is this thread's to do. */
static void settle(Card *c)
{
    c->lends = false;
    put_arp(c);
    WAIT_FOR(c->received);
    WAIT_FOR(c->host->asleep && !c->host->kicked);
    c->received = 0;
    c->lends = true;
}

static void test_in_its_place(void)
{
    Card c;
    card_open(&c);
    settle(&c);
    g_assert_true(c.by != g_thread_self());
    put_arp(&c);
    hostnet_stand_in(c.host);
    WAIT_FOR(c.received); /* by the thread, should it have woken for a timer of its own */
    if (c.by == g_thread_self())
        g_assert_true(c.host->muted);
    card_close(&c);
}

static void ask(Card *c, int fd, uint16_t port)
{
    put_udp(c, port);
    hostnet_stand_in(c->host);
    answer(fd);
}

static void test_look(void)
{
    Card c;
    uint16_t port;
    int fd = host_socket(&port);
    unsigned mine = 0;
    card_open(&c);
    settle(&c);
    for (unsigned n = 0; n < 20; n++) {
        c.received = 0;
        ask(&c, fd, port);
        hostnet_watch(c.host, true);
        WAIT_FOR(hostnet_look(c.host) || c.received);
        WAIT_FOR(c.received);
        mine += c.by == g_thread_self();
    }
    g_assert_cmpuint(mine, >, 0);
    hostnet_watch(c.host, false);
    g_assert_false(c.host->muted);
    c.received = 0;
    ask(&c, fd, port); /* nobody looks: the thread does, when its time has come */
    WAIT_FOR(c.received);
    g_assert_true(c.by != g_thread_self());
    card_close(&c);
    close(fd);
}

typedef struct Crowd {
    Card card;
    uint16_t port;
    int fd;
    _Atomic bool over;
} Crowd;

static void *vcpu(void *crowd)
{
    Crowd *w = crowd;
    for (unsigned n = 0; n < 2000; n++) {
        n % 3 ? put_udp(&w->card, w->port) : put_arp(&w->card);
        hostnet_stand_in(w->card.host);
        hostnet_watch(w->card.host, true);
        hostnet_look(w->card.host);
        if (n % 5 == 0)
            hostnet_watch(w->card.host, false);
    }
    return NULL;
}

static void *echo(void *crowd)
{
    Crowd *w = crowd;
    char data[16];
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    while (!w->over && recvfrom(w->fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size) >= 0)
        sendto(w->fd, data, 4, 0, (struct sockaddr *)&from, size);
    return NULL;
}

static void test_crowd(void)
{
    Crowd w = { 0 };
    GThread *thread[3];
    w.fd = host_socket(&w.port);
    card_open(&w.card);
    settle(&w.card);
    GThread *server = g_thread_new("server", echo, &w);
    for (unsigned i = 0; i < G_N_ELEMENTS(thread); i++)
        thread[i] = g_thread_new("vcpu", vcpu, &w);
    for (unsigned i = 0; i < G_N_ELEMENTS(thread); i++)
        g_thread_join(thread[i]);
    WAIT_FOR(!w.card.bytes && !w.card.host->kicked);
    w.card.received = 0;
    w.card.lends = false;
    put_arp(&w.card);
    WAIT_FOR(w.card.received); /* and it lives */
    w.over = true;
    shutdown(w.fd, SHUT_RD);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(w.port) };
    sendto(w.fd, "end", 4, 0, (struct sockaddr *)&to, sizeof(to));
    g_thread_join(server);
    card_close(&w.card);
    close(w.fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hostnet/user/in-its-place", test_in_its_place);
    g_test_add_func("/hostnet/user/look", test_look);
    g_test_add_func("/hostnet/user/crowd", test_crowd);
    return g_test_run();
}
