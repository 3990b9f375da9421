/* chardev_test.c - lines carry bytes both ways, in the order and amount that each end takes them. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "console/backend.h"

/* A front end that takes `room` bytes and keeps them. */
typedef struct Reader {
    size_t room;
    GString *got;
    unsigned opened, closed, breaks;
} Reader;

static size_t reader_room(void *opaque) { return ((Reader *)opaque)->room; }

static void reader_receive(void *opaque, const uint8_t *data, size_t n)
{
    Reader *r = opaque;
    g_assert_cmpuint(n, <=, r->room);
    r->room -= n;
    g_string_append_len(r->got, (const char *)data, n);
}

static void reader_event(void *opaque, ChardevEvent event)
{
    Reader *r = opaque;
    r->opened += event == CHARDEV_OPENED;
    r->closed += event == CHARDEV_CLOSED;
    r->breaks += event == CHARDEV_BREAK;
}

static const ChardevFrontend reader = { reader_room, reader_receive, reader_event };

static void run_until(bool (*done)(void *opaque), void *opaque)
{
    for (int i = 0; i < 20000 && !done(opaque); i++) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(1000);
    }
    g_assert_true(done(opaque));
}

static bool has_five(void *opaque) { return ((Reader *)opaque)->got->len >= 5; }
static bool was_opened(void *opaque) { return ((Reader *)opaque)->opened > 0; }
static bool was_closed(void *opaque) { return ((Reader *)opaque)->closed > 0; }

static Chardev *open_ok(const char *id, const char *spec)
{
    g_autoptr(GError) err = NULL;
    Chardev *c = chardev_open(id, spec, &err);
    g_assert_no_error(err);
    g_assert_nonnull(c);
    return c;
}

static void write_text(Chardev *c, const char *text) { chardev_write(c, (const uint8_t *)text, strlen(text)); }

static bool has_six(void *opaque) { return ((Reader *)opaque)->got->len >= 6; }

/* One byte, and a descriptor beside it. */
static void send_descriptor(int to, int fd)
{
    union {
        struct cmsghdr aligned;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { (char *)"x", 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    g_assert_cmpint(sendmsg(to, &m, 0), ==, 1);
}

/* Writing to it says whether somebody still has the pipe's reading end. */
static bool is_read_end_open(int write_end)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    bool open = write(write_end, "y", 1) == 1;
    signal(SIGPIPE, before);
    return open;
}

static void test_descriptors(void)
{
    static const ChardevFrontend taker = { reader_room, reader_receive, reader_event, .descriptors = true };
    Reader r = { .room = 100, .got = g_string_new(NULL) };
    int pair[2], ends[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_cmpint(pipe(ends), ==, 0);
    g_autofree char *spec = g_strdup_printf("socket,fd=%d", pair[0]);
    Chardev *c = open_ok("a", spec);
    chardev_attach(c, &taker, &r);
    g_assert_cmpint(chardev_take_descriptor(c), ==, -1);
    send_descriptor(pair[1], ends[0]);
    g_assert_cmpint(write(pair[1], "more", 4), ==, 4); /* a command in pieces */
    run_until(has_five, &r);
    int got = chardev_take_descriptor(c);
    g_assert_cmpint(got, >=, 0);
    g_assert_cmpint(fcntl(got, F_GETFD) & FD_CLOEXEC, !=, 0);
    g_assert_cmpint(chardev_take_descriptor(c), ==, -1);
    close(got);
    g_assert_true(is_read_end_open(ends[1]));
    send_descriptor(pair[1], ends[0]); /* which nobody takes: closed with the connection */
    close(ends[0]);
    run_until(has_six, &r);
    g_assert_true(is_read_end_open(ends[1]));
    close(pair[1]);
    run_until(was_closed, &r);
    g_assert_false(is_read_end_open(ends[1]));
    close(ends[1]);
    chardev_attach(c, NULL, NULL);
    chardev_close(c);
    g_string_free(r.got, TRUE);
}

static void test_unwanted_descriptors(void)
{
    Reader r = { .room = 100, .got = g_string_new(NULL) };
    int pair[2], ends[2];
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_cmpint(pipe(ends), ==, 0);
    g_autofree char *spec = g_strdup_printf("socket,fd=%d", pair[0]);
    Chardev *c = open_ok("a", spec);
    chardev_attach(c, &reader, &r);
    send_descriptor(pair[1], ends[0]);
    close(ends[0]);
    g_assert_cmpint(write(pair[1], "more", 4), ==, 4);
    run_until(has_five, &r);
    g_assert_cmpint(chardev_take_descriptor(c), ==, -1);
    g_assert_false(is_read_end_open(ends[1]));
    close(ends[1]);
    close(pair[1]);
    chardev_attach(c, NULL, NULL);
    chardev_close(c);
    g_string_free(r.got, TRUE);
}

static void test_memory(void)
{
    Reader r = { .room = 3, .got = g_string_new(NULL) };
    Chardev *c = open_ok("a", "memory");
    chardev_attach(c, &reader, &r);
    chardev_memory_feed(c, (const uint8_t *)"hello", 5);
    g_assert_cmpstr(r.got->str, ==, "hel");
    r.room = 10;
    chardev_resume(c);
    run_until(has_five, &r);
    g_assert_cmpstr(r.got->str, ==, "hello");
    write_text(c, "back");
    g_autofree char *out = chardev_memory_take(c, NULL);
    g_assert_cmpstr(out, ==, "back");
    chardev_attach(c, NULL, NULL);
    chardev_close(c);
    g_string_free(r.got, TRUE);
}

static void count(void *opaque) { ++*(int *)opaque; }

static void feed(Chardev *c, const char *text) { chardev_memory_feed(c, (const uint8_t *)text, strlen(text)); }

static void test_mux_keys(void)
{
    Reader first = { .room = 3, .got = g_string_new(NULL) }, second = { .room = 100, .got = g_string_new(NULL) };
    int quits = 0;
    Chardev *inner = open_ok("m", "memory"), *mux = chardev_mux_over(inner), *other = chardev_share(mux, "m-1");
    g_assert_true(chardev_is_mux(mux) && !chardev_is_mux(inner));
    chardev_attach(mux, &reader, &first);
    chardev_attach(other, &reader, &second);
    chardev_on_quit(mux, count, &quits);

    feed(inner, "ab\x01");
    feed(inner, "\x01x\x01" "b"); /* Ctrl-a Ctrl-a is one Ctrl-a; the x after it is a plain one */
    g_assert_cmpstr(first.got->str, ==, "ab\x01");
    g_assert_cmpuint(first.breaks, ==, 1);
    g_assert_cmpint(quits, ==, 0);
    feed(inner, "\x01" "csecond\x01x");
    g_assert_cmpstr(second.got->str, ==, "second");
    g_assert_cmpint(quits, ==, 1);
    first.room = 100; /* the key that it had no room for */
    chardev_resume(mux);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpstr(first.got->str, ==, "ab\x01x");
    feed(inner, "\x01" "c!\x01h");
    g_assert_cmpstr(first.got->str, ==, "ab\x01x!");
    g_autofree char *help = chardev_memory_take(inner, NULL);
    g_assert_nonnull(strstr(help, "Ctrl-a x"));
    write_text(mux, "1");
    write_text(other, "2");
    g_autofree char *out = chardev_memory_take(inner, NULL);
    g_assert_cmpstr(out, ==, "12");
    chardev_close(other);
    chardev_close(mux);
    g_string_free(first.got, TRUE);
    g_string_free(second.got, TRUE);
}

static void test_file(void)
{
    g_autofree char *dir = g_dir_make_tmp("chardev-XXXXXX", NULL), *path = g_build_filename(dir, "a,b", NULL);
    g_autofree char *spec = g_strdup_printf("file:%s", path), *text = NULL;
    Chardev *c = open_ok("f", spec);
    write_text(c, "one\n");
    write_text(c, "two\n");
    chardev_close(c);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "one\ntwo\n");
    g_unlink(path);
    g_rmdir(dir);
}

static void test_pty(void)
{
    Reader r = { .room = 100, .got = g_string_new(NULL) };
    Chardev *c = open_ok("p", "pty");
    chardev_attach(c, &reader, &r);
    const char *name = chardev_description(c) + strlen("pty:");
    int fd = open(name, O_RDWR | O_NOCTTY);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, "hi\r\x03!", 5), ==, 5); /* raw: no echo, no signal, no translation */
    run_until(has_five, &r);
    g_assert_cmpstr(r.got->str, ==, "hi\r\x03!");
    write_text(c, "boot\n");
    char buf[16] = "";
    g_assert_cmpint(read(fd, buf, sizeof(buf)), ==, 5);
    g_assert_cmpstr(buf, ==, "boot\n");
    close(fd);
    chardev_close(c);
    g_string_free(r.got, TRUE);
}

static int connect_to(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    g_strlcpy(un.sun_path, path, sizeof(un.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    return fd;
}

static void one_visit(Chardev *c, Reader *r, const char *path)
{
    char buf[16] = "";
    r->opened = r->closed = 0;
    r->room = 100;
    g_string_truncate(r->got, 0);
    int fd = connect_to(path);
    run_until(was_opened, r);
    g_assert_cmpint(write(fd, "hello", 5), ==, 5);
    run_until(has_five, r);
    g_assert_cmpstr(r->got->str, ==, "hello");
    write_text(c, "you");
    g_assert_cmpint(read(fd, buf, sizeof(buf)), ==, 3);
    close(fd);
    run_until(was_closed, r);
    write_text(c, "to nobody");
}

static void test_ring(void)
{
    g_autoptr(GError) err = NULL;
    g_assert_null(chardev_open("r", "ringbuf,size=1000", &err));
    g_assert_nonnull(strstr(err->message, "power of two"));
    Chardev *c = open_ok("r", "ringbuf,size=8");
    write_text(c, "0123456789");
    g_autofree char *first = chardev_memory_read(c, 3, NULL), *rest = chardev_memory_take(c, NULL);
    g_assert_cmpstr(first, ==, "234");
    g_assert_cmpstr(rest, ==, "56789");
    chardev_close(c);
}

static char *contents(const char *path)
{
    char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static void test_log(void)
{
    g_autofree char *dir = g_dir_make_tmp("chardev-XXXXXX", NULL), *path = g_build_filename(dir, "log", NULL);
    g_autofree char *spec = g_strdup_printf("null,logfile=%s", path), *append = g_strdup_printf("null,logappend=on,mux=on,logfile=%s", path);
    for (int i = 0; i < 2; i++) { /* the second time starts over */
        Chardev *c = open_ok("a", spec);
        write_text(c, "one\n");
        chardev_close(c);
    }
    Chardev *c = open_ok("a", append);
    write_text(c, "two\n");
    chardev_close(c);
    g_autofree char *text = contents(path);
    g_assert_cmpstr(text, ==, "one\ntwo\n");
    g_unlink(path);
    g_rmdir(dir);
}

static void test_change(void)
{
    g_autofree char *dir = g_dir_make_tmp("chardev-XXXXXX", NULL), *path = g_build_filename(dir, "s", NULL);
    g_autofree char *server = g_strdup_printf("unix:%s,server=on,wait=off", path);
    Reader r = { .room = 100, .got = g_string_new(NULL) };
    g_autoptr(GError) err = NULL;
    Chardev *c = open_ok("a", "memory");
    chardev_attach(c, &reader, &r);
    g_assert_cmpuint(r.opened, ==, 1);
    g_assert_true(chardev_change(c, server, &err));
    g_assert_cmpuint(r.closed, ==, 1);
    one_visit(c, &r, path);
    g_assert_false(chardev_change(c, "file:/nonexistent/x", &err));
    g_assert_nonnull(err);
    one_visit(c, &r, path); /* it is what it was */
    g_assert_true(chardev_change(c, "memory", NULL));
    g_assert_cmpint(g_access(path, F_OK), ==, -1);
    g_string_truncate(r.got, 0);
    chardev_memory_feed(c, (const uint8_t *)"hello", 5);
    g_assert_cmpstr(r.got->str, ==, "hello");
    chardev_close(c);
    g_rmdir(dir);
    g_string_free(r.got, TRUE);
}

/* Keys, a break, options and a doubled 255 come as their data alone; what goes out has 255 twice. */
static void test_telnet(void)
{
    static const uint8_t in[] = { 'h', 'e', 255, 253, 1, 'l', 255, 250, 24, 0, 'x', 255, 240, 255, 255, 255, 243, 'o' };
    g_autofree char *dir = g_dir_make_tmp("chardev-XXXXXX", NULL), *path = g_build_filename(dir, "s", NULL);
    g_autofree char *spec = g_strdup_printf("socket,path=%s,server=on,wait=off,telnet=on", path);
    Reader r = { .room = 100, .got = g_string_new(NULL) };
    Chardev *c = open_ok("t", spec);
    chardev_attach(c, &reader, &r);
    int fd = connect_to(path);
    run_until(was_opened, &r);
    uint8_t hello[16];
    g_assert_cmpint(read(fd, hello, sizeof(hello)), ==, 12);
    g_assert_cmpint(hello[0], ==, 255);
    g_assert_cmpint(write(fd, in, sizeof(in)), ==, sizeof(in));
    run_until(has_five, &r);
    g_assert_cmpstr(r.got->str, ==, "hel\xffo");
    g_assert_cmpuint(r.breaks, ==, 1);
    write_text(c, "a\xff" "b");
    g_assert_cmpint(read(fd, hello, sizeof(hello)), ==, 4);
    g_assert_cmpmem(hello, 4, "a\xff\xff" "b", 4);
    close(fd);
    chardev_close(c);
    g_rmdir(dir);
    g_string_free(r.got, TRUE);
}

static unsigned free_port(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&in, len), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&in, &len), ==, 0);
    close(fd);
    return ntohs(in.sin_port);
}

static void test_udp(void)
{
    unsigned a = free_port(), b = free_port();
    g_autofree char *spec_a = g_strdup_printf("udp:127.0.0.1:%u@127.0.0.1:%u", b, a), *spec_b = g_strdup_printf("udp,host=127.0.0.1,port=%u,localaddr=127.0.0.1,localport=%u", a, b);
    Reader r = { .room = 3, .got = g_string_new(NULL) };
    Chardev *one = open_ok("one", spec_a), *other = open_ok("other", spec_b);
    chardev_attach(other, &reader, &r);
    write_text(one, "hello");
    for (int i = 0; i < 1000 && r.got->len < 3; i++) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(1000);
    }
    g_assert_cmpstr(r.got->str, ==, "hel");
    r.room = 10;
    chardev_resume(other);
    run_until(has_five, &r);
    g_assert_cmpstr(r.got->str, ==, "hello");
    chardev_close(one);
    write_text(other, "to nobody");
    chardev_close(other);
    g_string_free(r.got, TRUE);
}

static void test_escape_key(void)
{
    Reader r = { .room = 100, .got = g_string_new(NULL) };
    Chardev *inner = open_ok("m", "memory"), *mux = chardev_mux_over(inner);
    chardev_set_escape(mux, 0x14);
    chardev_attach(mux, &reader, &r);
    feed(inner, "\x01x\x14" "b\x14\x14");
    g_assert_cmpstr(r.got->str, ==, "\x01x\x14");
    g_assert_cmpuint(r.breaks, ==, 1);
    feed(inner, "\x14h");
    g_autofree char *help = chardev_memory_take(inner, NULL);
    g_assert_nonnull(strstr(help, "Ctrl-t x"));
    chardev_close(mux);
    g_string_free(r.got, TRUE);
}

static void test_unix_server(void)
{
    g_autofree char *dir = g_dir_make_tmp("chardev-XXXXXX", NULL), *path = g_build_filename(dir, "s", NULL);
    g_autofree char *spec = g_strdup_printf("unix:%s,server=on,wait=off", path);
    Reader r = { .got = g_string_new(NULL) };
    Chardev *c = open_ok("s", spec);
    chardev_attach(c, &reader, &r);
    write_text(c, "to nobody yet");
    one_visit(c, &r, path);
    one_visit(c, &r, path); /* it listens again */
    chardev_close(c);
    g_assert_cmpint(g_access(path, F_OK), ==, -1);
    g_rmdir(dir);
    g_string_free(r.got, TRUE);
}

/* What does not fit in the queue is dropped from its oldest end, and nobody waits. */
static void test_slow_peer(void)
{
    g_autofree char *dir = g_dir_make_tmp("chardev-XXXXXX", NULL), *path = g_build_filename(dir, "s", NULL);
    g_autofree char *spec = g_strdup_printf("socket,path=%s,server,nowait", path);
    Reader r = { .got = g_string_new(NULL) };
    Chardev *c = open_ok("s", spec);
    chardev_attach(c, &reader, &r);
    int fd = connect_to(path);
    run_until(was_opened, &r);
    g_autofree char *block = g_strnfill(65536, 'x');
    for (int i = 0; i < 64; i++)
        chardev_write(c, (const uint8_t *)block, 65536);
    write_text(c, "END");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    uint64_t total = 0;
    char tail[4] = "";
    for (int quiet = 0; quiet < 100;) {
        char buf[65536];
        g_main_context_iteration(NULL, FALSE);
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n <= 0) {
            quiet++;
            g_usleep(500);
            continue;
        }
        quiet = 0;
        total += n;
        if (n >= 3)
            memcpy(tail, buf + n - 3, 3);
    }
    g_assert_cmpstr(tail, ==, "END");
    g_assert_cmpuint(total, <, 64 * 65536);
    g_assert_cmpuint(total, >=, 1 << 20);
    close(fd);
    chardev_close(c);
    g_rmdir(dir);
    g_string_free(r.got, TRUE);
}

static void test_errors(void)
{
    static const struct {
        const char *spec, *pattern;
    } rows[] = {
        { "stdoi", "*did you mean 'stdio'?" },
        { "file:", "*a file needs a name*" },
        { "file:/nonexistent/x", "cannot write to '/nonexistent/x'*No such file*" },
        { "unix:/nonexistent/x", "cannot connect to unix:/nonexistent/x*" },
        { "socket,path=/a,port=1", "*one of path=*" },
        { "null,sped=1", "*no property 'sped'*" },
        { "socket,path=/x,servre=on", "*did you mean 'server'?" },
        { "com:1", "cannot read the chardev 'com:1'*" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_assert_null(chardev_open("x", rows[i].spec, &err));
        g_assert_nonnull(err);
        if (!g_pattern_match_simple(rows[i].pattern, err->message))
            g_error("'%s' gave: %s", rows[i].spec, err->message);
    }
    g_autoptr(GError) err = NULL;
    g_assert_null(chardev_open("x", "none", &err));
    g_assert_no_error(err);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/memory", test_memory);
    g_test_add_func("/chardev/descriptors", test_descriptors);
    g_test_add_func("/chardev/descriptors-unwanted", test_unwanted_descriptors);
    g_test_add_func("/chardev/mux-keys", test_mux_keys);
    g_test_add_func("/chardev/file", test_file);
    g_test_add_func("/chardev/ring", test_ring);
    g_test_add_func("/chardev/log", test_log);
    g_test_add_func("/chardev/change", test_change);
    g_test_add_func("/chardev/telnet", test_telnet);
    g_test_add_func("/chardev/udp", test_udp);
    g_test_add_func("/chardev/escape-key", test_escape_key);
    g_test_add_func("/chardev/pty", test_pty);
    g_test_add_func("/chardev/unix-server", test_unix_server);
    g_test_add_func("/chardev/slow-peer", test_slow_peer);
    g_test_add_func("/chardev/errors", test_errors);
    return g_test_run();
}
