/*
 * net.c - how fast the network of a machine is, against a server that is this program, too.
 *
 *     net serve                                 prints its port, and serves until its standard input ends
 *     net SECONDS WORKLOAD|all ADDRESS PORT     for each prints "NET workload operations nanoseconds"
 *
 * An operation of a stream is 64 KiB that have arrived, of a request with its response the two of them, one byte each over TCP and 64
 * over UDP.  A connection's first byte says what the server does on it.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 << 10, CONNECTIONS_MAX = 16, DATAGRAM = 64, TAKE = 'T', GIVE = 'G', ECHO = 'E', LOST_MS = 200 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void no_delay(int fd) { setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)); }

/* ---- the server */

static void take(int fd)
{
    static __thread char data[CHUNK];
    uint64_t total = 0;
    for (ssize_t n; (n = read(fd, data, sizeof(data))) > 0;)
        total += n;
    if (write(fd, &total, sizeof(total)) < 0)
        perror("net: write");
}

static void *serve_connection(void *arg)
{
    static __thread char data[CHUNK];
    int fd = (intptr_t)arg;
    char what = 0, byte;
    no_delay(fd);
    if (read(fd, &what, 1) == 1 && what == TAKE)
        take(fd);
    while (what == GIVE && write(fd, data, sizeof(data)) > 0)
        continue;
    while (what == ECHO && read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
        continue;
    close(fd);
    return NULL;
}

static void *serve_datagrams(void *arg)
{
    struct sockaddr_in from;
    char data[2048];
    for (;;) {
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom((intptr_t)arg, data, sizeof(data), 0, (struct sockaddr *)&from, &size);
        if (n >= 0)
            sendto((intptr_t)arg, data, n, 0, (struct sockaddr *)&from, size);
    }
    return NULL;
}

static void *serve_connections(void *arg)
{
    for (int fd; (fd = accept((intptr_t)arg, NULL, NULL)) >= 0;) {
        pthread_t t;
        if (pthread_create(&t, NULL, serve_connection, (void *)(intptr_t)fd))
            fail("net: pthread_create");
        pthread_detach(t);
    }
    return NULL;
}

/* Both on one port. */
static int serve(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
    pthread_t t;
    char byte;
    if (bind(tcp, (struct sockaddr *)&at, size) || listen(tcp, 64) || getsockname(tcp, (struct sockaddr *)&at, &size) ||
        bind(udp, (struct sockaddr *)&at, size))
        fail("net: bind");
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    if (pthread_create(&t, NULL, serve_connections, (void *)(intptr_t)tcp) || pthread_create(&t, NULL, serve_datagrams, (void *)(intptr_t)udp))
        fail("net: pthread_create");
    while (read(0, &byte, 1) > 0)
        continue;
    return 0;
}

/* ---- the client */

static struct sockaddr_in server;

static int open_socket(int type, char what)
{
    int fd = socket(AF_INET, type, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server)))
        fail("net: connect");
    no_delay(fd);
    if (what && write(fd, &what, 1) != 1)
        fail("net: write");
    return fd;
}

/* What has arrived, in chunks; its end counts. */
static uint64_t stream_out(uint64_t until, unsigned unused)
{
    static char data[CHUNK];
    int fd = open_socket(SOCK_STREAM, TAKE);
    uint64_t total = 0;
    while (now_ns() < until && write(fd, data, sizeof(data)) > 0)
        continue;
    shutdown(fd, SHUT_WR);
    if (read(fd, &total, sizeof(total)) != sizeof(total))
        fail("net: read");
    close(fd);
    return total / CHUNK;
}

static uint64_t stream_in(uint64_t until, unsigned unused)
{
    static char data[CHUNK];
    int fd = open_socket(SOCK_STREAM, GIVE);
    uint64_t total = 0;
    for (ssize_t n; now_ns() < until && (n = read(fd, data, sizeof(data))) > 0;)
        total += n;
    close(fd);
    return total / CHUNK;
}

static uint64_t requests(uint64_t until, unsigned connections)
{
    struct pollfd at[CONNECTIONS_MAX];
    char byte = 1;
    uint64_t n = 0;
    for (unsigned i = 0; i < connections; i++) {
        at[i] = (struct pollfd){ .fd = open_socket(SOCK_STREAM, ECHO), .events = POLLIN };
        if (write(at[i].fd, &byte, 1) != 1)
            fail("net: write");
    }
    while (now_ns() < until && poll(at, connections, 1000) > 0)
        for (unsigned i = 0; i < connections; i++)
            if (at[i].revents & POLLIN) {
                if (read(at[i].fd, &byte, 1) != 1 || write(at[i].fd, &byte, 1) != 1)
                    fail("net: echo");
                n++;
            }
    for (unsigned i = 0; i < connections; i++)
        close(at[i].fd);
    return n;
}

static uint64_t datagrams(uint64_t until, unsigned unused)
{
    char data[DATAGRAM] = { 0 };
    struct pollfd at = { .fd = open_socket(SOCK_DGRAM, 0), .events = POLLIN };
    uint64_t n = 0;
    while (now_ns() < until)
        if (write(at.fd, data, sizeof(data)) == sizeof(data) && poll(&at, 1, LOST_MS) > 0 && read(at.fd, data, sizeof(data)) == sizeof(data))
            n++;
    close(at.fd);
    return n;
}

/* A connection each, with its first byte answered. */
static uint64_t connections(uint64_t until, unsigned unused)
{
    uint64_t n = 0;
    for (char byte = 1; now_ns() < until; n++) {
        int fd = open_socket(SOCK_STREAM, ECHO);
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            fail("net: connection");
        close(fd);
    }
    return n;
}

static const struct Workload {
    const char *name;
    uint64_t (*run)(uint64_t until, unsigned arg);
    unsigned arg;
} workloads[] = {
    { "tcp-out", stream_out, 0 }, { "tcp-in", stream_in, 0 }, { "tcp-request-1", requests, 1 }, { "tcp-request-16", requests, 16 },
    { "udp-request-1", datagrams, 0 }, { "tcp-connect", connections, 0 },
};

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 2 && !strcmp(argv[1], "serve"))
        return serve();
    if (argc != 5) {
        fprintf(stderr, "usage: net serve | net SECONDS WORKLOAD|all ADDRESS PORT\n");
        return 1;
    }
    server = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(atoi(argv[4])) };
    inet_aton(argv[3], &server.sin_addr);
    for (unsigned i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        if (strcmp(argv[2], "all") && strcmp(argv[2], workloads[i].name))
            continue;
        uint64_t start = now_ns(), n = workloads[i].run(start + atof(argv[1]) * 1e9, workloads[i].arg);
        printf("NET %s %" PRIu64 " %" PRIu64 "\n", workloads[i].name, n, now_ns() - start);
        fflush(stdout);
    }
    return 0;
}
