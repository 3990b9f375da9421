/* vnc_test.c - a viewer over a UNIX socket, in the same process: handshake, pictures in each encoding, and viewers that misbehave. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <nettle/des.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "console/vnc/inside.h"

typedef struct Rig {
    char *dir, *path;
    Display *display;
    InputHub *input;
    InputDevice *toy;
    VncServer *server;
    unsigned keys_down, points;
    PointerEvent last;
    int fd;
} Rig;

static void no_update(void *opaque, bool all) {}
static const DisplaySource still = { .update = no_update };
static void note_key(void *opaque, const Key *k, bool down) { ((Rig *)opaque)->keys_down += down ? k->code : 0; }
static void note_pointer(void *opaque, const PointerEvent *e)
{
    ((Rig *)opaque)->points++;
    ((Rig *)opaque)->last = *e;
}
static const InputDeviceOps toy = { .kinds = INPUT_KEYBOARD | INPUT_ABSOLUTE, .key = note_key, .pointer = note_pointer };

/* Areas of one, two, some and many colours. */
static uint32_t colour(uint32_t x, uint32_t y)
{
    uint32_t v = y < 64 ? 0x102030 : y < 128 ? (x / 8 % 2) * 0xffffff : y < 160 ? x / 8 * 0x040404 : x * 7919 + y * 104729;
    return v & 0xffffff;
}

static void paint(Display *d, int width, int height)
{
    Surface *s = display_draw(d, width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            surface_line(s, y)[x] = colour(x, y);
    display_damage(d, 0, 0, width, height);
    display_done(d);
}

static void rig_init(Rig *r, bool password)
{
    *r = (Rig){ .fd = -1 };
    r->dir = g_dir_make_tmp("vnc-XXXXXX", NULL);
    r->path = g_build_filename(r->dir, "s", NULL);
    r->display = display_create(NULL, "card", &still, NULL);
    paint(r->display, 300, 200);
    r->input = input_hub_create();
    r->toy = input_add(r->input, "toy", &toy, r);
    VncConfig config = { .path = r->path, .password = password, .name = "Test", .screen = r->display, .input = r->input };
    r->server = vnc_open(&config, NULL);
    g_assert_nonnull(r->server);
}

static int dial(Rig *r)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    g_strlcpy(a.sun_path, r->path, sizeof(a.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&a, sizeof(a)), ==, 0);
    g_assert_cmpint(fcntl(fd, F_SETFL, O_NONBLOCK), ==, 0);
    return fd;
}

static void hang_up(Rig *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

static void rig_finish(Rig *r)
{
    hang_up(r);
    vnc_close(r->server);
    g_assert_false(g_file_test(r->path, G_FILE_TEST_EXISTS));
    display_destroy(r->display);
    input_remove(r->toy);
    input_hub_destroy(r->input);
    g_rmdir(r->dir);
    g_free(r->dir);
    g_free(r->path);
}

/* Lets the server work until n bytes are there; fewer: it has hung up. */
static size_t get(Rig *r, void *to, size_t n)
{
    size_t done = 0;
    int64_t end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (done < n && g_get_monotonic_time() < end) {
        g_main_context_iteration(NULL, FALSE);
        ssize_t got = read(r->fd, (uint8_t *)to + done, n - done);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        done += MAX(got, 0);
    }
    return done;
}

static void must_get(Rig *r, void *to, size_t n) { g_assert_cmpuint(get(r, to, n), ==, n); }
static void put(Rig *r, const void *data, size_t n) { g_assert_cmpint(send(r->fd, data, n, MSG_NOSIGNAL), ==, n); }
#define PUT(r, ...) put(r, (uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

static void settle(void)
{
    for (int64_t end = g_get_monotonic_time() + 100000; g_get_monotonic_time() < end;)
        g_main_context_iteration(NULL, FALSE);
}

/* Up to ServerInit. */
static void enter(Rig *r)
{
    uint8_t b[64];
    r->fd = dial(r);
    must_get(r, b, 12);
    g_assert_cmpmem(b, 12, "RFB 003.008\n", 12);
    put(r, b, 12);
    must_get(r, b, 2);
    g_assert_cmphex(b[1], ==, 1);
    PUT(r, 1);
    must_get(r, b, 4);
    g_assert_cmphex(be32(b), ==, 0);
    PUT(r, 1);
    must_get(r, b, 24 + 4);
    g_assert_cmpmem(b + 24, 4, "Test", 4);
}

static void encodings(Rig *r, const int32_t *list, unsigned n)
{
    PUT(r, 2, 0, 0, n);
    for (unsigned i = 0; i < n; i++) {
        uint32_t e = list[i];
        PUT(r, e >> 24, e >> 16, e >> 8, e);
    }
}

static void ask(Rig *r, bool incremental) { PUT(r, 3, incremental, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff); }

/* ---- decoding */

typedef struct Picture {
    uint32_t pixel[200][300];
    z_stream z[5];
    bool on[5];
} Picture;

static void inflate_to(Picture *p, unsigned n, uint8_t *from, size_t len, uint8_t *to, size_t want)
{
    if (!p->on[n])
        g_assert_cmpint(inflateInit(&p->z[n]), ==, Z_OK);
    p->on[n] = true;
    p->z[n].next_in = from;
    p->z[n].avail_in = len;
    p->z[n].next_out = to;
    p->z[n].avail_out = want;
    g_assert_cmpint(inflate(&p->z[n], Z_SYNC_FLUSH), >=, 0);
}

static uint32_t cpixel(const uint8_t *b) { return b[0] | b[1] << 8 | (uint32_t)b[2] << 16; }

static void decode_zrle(Rig *r, Picture *p, const Rect *rect)
{
    uint8_t b[4];
    must_get(r, b, 4);
    g_autofree uint8_t *packed = g_malloc(be32(b)), *data = g_malloc0(rect->width * rect->height * 4 + 65536);
    must_get(r, packed, be32(b));
    inflate_to(p, 4, packed, be32(b), data, rect->width * rect->height * 4 + 65536);
    const uint8_t *at = data;
    for (int y0 = 0; y0 < rect->height; y0 += 64)
        for (int x0 = 0; x0 < rect->width; x0 += 64) {
            int w = MIN(64, rect->width - x0), h = MIN(64, rect->height - y0);
            unsigned kind = *at++, bits = kind <= 2 ? 1 : kind <= 4 ? 2 : 4;
            const uint8_t *palette = at;
            g_assert_cmpuint(kind, <=, 16);
            at += kind * 3;
            for (int y = 0; y < h; y++) {
                for (int x = 0; x < w; x++) {
                    uint32_t v = kind == 1 ? cpixel(palette) : kind ? cpixel(palette + 3 * (at[x * bits / 8] >> (8 - bits - x * bits % 8) & ((1 << bits) - 1))) : cpixel(at + 3 * x);
                    p->pixel[rect->y + y0 + y][rect->x + x0 + x] = v;
                }
                at += kind == 0 ? 3u * w : kind == 1 ? 0 : (w * bits + 7) / 8;
            }
        }
}

static size_t tight_length(Rig *r)
{
    uint8_t b;
    size_t n = 0;
    for (unsigned i = 0; i < 3; i++) {
        must_get(r, &b, 1);
        n |= (size_t)(i < 2 ? b & 0x7f : b) << 7 * i;
        if (i == 2 || !(b & 0x80))
            break;
    }
    return n;
}

static void tight_data(Rig *r, Picture *p, unsigned stream, uint8_t *to, size_t want)
{
    if (want < 12) {
        must_get(r, to, want);
        return;
    }
    size_t n = tight_length(r);
    g_autofree uint8_t *packed = g_malloc(n);
    must_get(r, packed, n);
    inflate_to(p, stream, packed, n, to, want);
}

static void decode_tight(Rig *r, Picture *p, const Rect *rect)
{
    uint8_t control, filter, last, palette[768];
    size_t area = (size_t)rect->width * rect->height;
    g_autofree uint8_t *data = g_malloc(area * 3);
    must_get(r, &control, 1);
    unsigned colours = 0, mono_stride = (rect->width + 7) / 8;
    if (control == 0x80) {
        colours = 1;
        must_get(r, palette, 3);
    } else if (control & 0x40) {
        must_get(r, &filter, 1);
        must_get(r, &last, 1);
        g_assert_cmpuint(filter, ==, 1);
        colours = last + 1;
        must_get(r, palette, colours * 3);
        tight_data(r, p, control >> 4 & 3, data, colours == 2 ? mono_stride * rect->height : area);
    } else {
        tight_data(r, p, control >> 4 & 3, data, area * 3);
    }
    for (int y = 0; y < rect->height; y++)
        for (int x = 0; x < rect->width; x++) {
            size_t i = (size_t)y * rect->width + x;
            unsigned index = colours == 2 ? data[y * mono_stride + x / 8] >> (7 - x % 8) & 1 : colours > 2 ? data[i] : 0;
            const uint8_t *v = colours ? palette + 3 * index : data + 3 * i; /* TPIXEL is red, green, blue whatever the format */
            p->pixel[rect->y + y][rect->x + x] = v[0] << 16 | v[1] << 8 | v[2];
        }
}

static void decode_plain(Rig *r, Picture *p, const Rect *rect, bool zlib)
{
    size_t n = (size_t)rect->width * rect->height * 4;
    g_autofree uint8_t *data = g_malloc(n);
    uint8_t b[4];
    if (zlib) {
        must_get(r, b, 4);
        g_autofree uint8_t *packed = g_malloc(be32(b));
        must_get(r, packed, be32(b));
        inflate_to(p, 3, packed, be32(b), data, n);
    } else {
        must_get(r, data, n);
    }
    for (int y = 0; y < rect->height; y++)
        memcpy(&p->pixel[rect->y + y][rect->x], data + (size_t)y * rect->width * 4, rect->width * 4);
}

static void receive_update(Rig *r, Picture *p, int32_t encoding)
{
    uint8_t b[12];
    must_get(r, b, 4);
    g_assert_cmphex(b[0], ==, 0);
    for (unsigned n = be16(b + 2); n; n--) {
        must_get(r, b, 12);
        Rect rect = { be16(b), be16(b + 2), be16(b + 4), be16(b + 6) };
        g_assert_cmpint((int32_t)be32(b + 8), ==, encoding);
        if (encoding == ENC_ZRLE)
            decode_zrle(r, p, &rect);
        else if (encoding == ENC_TIGHT)
            decode_tight(r, p, &rect);
        else
            decode_plain(r, p, &rect, encoding == ENC_ZLIB);
    }
}

static void compare(Rig *r, const Picture *p)
{
    const Surface *s = display_copy(r->server->listener);
    for (int y = 0; y < 200; y++)
        for (int x = 0; x < 300; x++)
            if (p->pixel[y][x] != surface_line(s, y)[x])
                g_error("pixel %d,%d is %06x, not %06x", x, y, p->pixel[y][x], surface_line(s, y)[x]);
}

static void test_encodings(void)
{
    static const int32_t all[] = { ENC_RAW, ENC_ZLIB, ENC_TIGHT, ENC_ZRLE };
    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        Rig r;
        rig_init(&r, false);
        enter(&r);
        encodings(&r, &all[i], 1);
        ask(&r, false);
        g_autofree Picture *p = g_new0(Picture, 1);
        receive_update(&r, p, all[i]);
        compare(&r, p);
        Surface *s = display_draw(r.display, 300, 200); /* a second picture, by the same streams */
        for (int x = 0; x < 300; x++)
            surface_line(s, 100)[x] = 0x00ff00 + x;
        display_damage(r.display, 0, 100, 300, 1);
        display_done(r.display);
        ask(&r, true);
        receive_update(&r, p, all[i]);
        compare(&r, p);
        for (unsigned n = 0; n < 5; n++)
            if (p->on[n])
                inflateEnd(&p->z[n]);
        rig_finish(&r);
    }
}

static void test_resize(void)
{
    Rig r;
    rig_init(&r, false);
    enter(&r);
    encodings(&r, (int32_t[]){ ENC_EXTENDED_SIZE, ENC_RAW }, 2);
    uint8_t b[12], screens[20];
    ask(&r, true);
    must_get(&r, b, 4);
    must_get(&r, b, 12);
    g_assert_cmpint((int32_t)be32(b + 8), ==, ENC_EXTENDED_SIZE); /* said once, by way of announcement */
    must_get(&r, screens, 20);
    hang_up(&r);
    enter(&r);
    encodings(&r, (int32_t[]){ ENC_DESKTOP_SIZE, ENC_RAW }, 2);
    paint(r.display, 100, 50);
    ask(&r, true);
    must_get(&r, b, 4);
    must_get(&r, b, 12);
    g_assert_cmpint((int32_t)be32(b + 8), ==, ENC_DESKTOP_SIZE);
    g_assert_cmpuint(be16(b + 4), ==, 100);
    rig_finish(&r);
}

static void test_input(void)
{
    Rig r;
    rig_init(&r, false);
    enter(&r);
    PUT(&r, 4, 1, 0, 0, 0, 0, 0, 'A');
    PUT(&r, 255, 0, 0, 1, 0, 0, 0, 'x', 0, 0, 0, 0x9c); /* QEMU's: keypad enter, whatever the keysym says */
    PUT(&r, 5, 1 | 16, 0x01, 0x2b, 0, 0);
    settle();
    g_assert_cmpuint(r.keys_down, ==, 30 + 96);
    g_assert_cmpint(r.last.x, ==, INPUT_AXIS_MAX);
    g_assert_cmpint(r.last.wheel, ==, 1);
    g_assert_cmphex(r.last.buttons, ==, 1);
    hang_up(&r);
    settle(); /* what it held comes up */
    g_assert_cmphex(r.last.buttons, ==, 0);
    VncInfo info;
    vnc_info(r.server, &info);
    g_assert_cmpuint(info.clients, ==, 0);
    rig_finish(&r);
}

/* ---- passwords */

static bool opens(Rig *r, const char *password)
{
    uint8_t b[64], key[8] = { 0 }, response[16];
    hang_up(r);
    r->fd = dial(r);
    must_get(r, b, 12);
    put(r, "RFB 003.008\n", 12);
    must_get(r, b, 2);
    g_assert_cmphex(b[1], ==, 2);
    PUT(r, 2);
    must_get(r, b, 16);
    for (unsigned i = 0; i < 8 && password[i]; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            key[i] |= ((uint8_t)password[i] >> bit & 1) << (7 - bit);
    struct des_ctx des;
    des_set_key(&des, key);
    des_encrypt(&des, 16, response, b);
    put(r, response, 16);
    must_get(r, b, 4);
    return be32(b) == 0;
}

static void test_password(void)
{
    Rig r;
    rig_init(&r, true);
    g_assert_false(opens(&r, "")); /* none is set: nobody gets in */
    vnc_set_password(r.server, "sesame");
    g_assert_true(opens(&r, "sesame"));
    g_assert_false(opens(&r, "sesamf"));
    vnc_expire_password(r.server, 1);
    g_assert_false(opens(&r, "sesame"));
    vnc_expire_password(r.server, 0);
    g_assert_true(opens(&r, "sesame"));
    rig_finish(&r);
}

/* ---- viewers that misbehave */

static void test_garbage(void)
{
    for (unsigned i = 0; i < 300; i++) {
        Rig r;
        rig_init(&r, false);
        if (i % 2)
            enter(&r);
        else
            r.fd = dial(&r);
        uint8_t noise[200];
        for (unsigned n = 0; n < sizeof(noise); n++)
            noise[n] = g_test_rand_int_range(0, i % 3 ? 8 : 256);
        send(r.fd, noise, sizeof(noise), MSG_NOSIGNAL);
        for (unsigned n = 0; n < 20; n++)
            g_main_context_iteration(NULL, FALSE);
        rig_finish(&r);
    }
}

static void test_never_reads(void)
{
    Rig r;
    rig_init(&r, false);
    enter(&r);
    paint(r.display, 2000, 1000);
    for (unsigned i = 0; i < 50; i++) {
        ask(&r, false);
        settle();
    }
    VncClient *c = r.server->clients->pdata[0];
    g_assert_cmpuint(client_pending(c), >, 0);
    g_assert_cmpuint(client_pending(c), <, 9 << 20); /* one picture, not fifty */
    c->last_progress -= 60 * G_USEC_PER_SEC;
    vnc_wake(r.server, true);
    settle();
    g_assert_cmpuint(r.server->clients->len, ==, 0);
    rig_finish(&r);
}

static void test_cut_text(void)
{
    Rig r;
    rig_init(&r, false);
    enter(&r);
    int first = r.fd;
    enter(&r);
    PUT(&r, 6, 0, 0, 0, 0, 0, 0, 2, 'h', 'i');
    close(r.fd);
    r.fd = first;
    uint8_t b[10];
    must_get(&r, b, 10);
    g_assert_cmpmem(b, 10, "\3\0\0\0\0\0\0\2hi", 10);
    PUT(&r, 6, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff); /* more than there is */
    g_assert_cmpuint(get(&r, b, 1), ==, 0);
    rig_finish(&r);
}

static void test_port_in_use(void)
{
    Rig r;
    rig_init(&r, false);
    g_autoptr(GError) err = NULL;
    VncConfig config = { .path = r.path, .screen = r.display, .input = r.input };
    g_assert_null(vnc_open(&config, &err));
    g_assert_nonnull(strstr(err->message, r.path));
    g_assert_true(g_file_test(r.path, G_FILE_TEST_EXISTS)); /* the first one's */
    rig_finish(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vnc/encodings", test_encodings);
    g_test_add_func("/vnc/resize", test_resize);
    g_test_add_func("/vnc/input", test_input);
    g_test_add_func("/vnc/password", test_password);
    g_test_add_func("/vnc/garbage", test_garbage);
    g_test_add_func("/vnc/never-reads", test_never_reads);
    g_test_add_func("/vnc/cut-text", test_cut_text);
    g_test_add_func("/vnc/port-in-use", test_port_in_use);
    return g_test_run();
}
