/* fuzz_vnc.c - whole sessions of up to three VNC viewers: handshakes, passwords, messages, some that never read; the screen changes meanwhile. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "console/vnc/vnc.h"
#include "fuzz.h"

enum { VIEWERS = 3 };

typedef struct Session {
    char *dir, *path;
    Display *display;
    InputHub *input;
    VncServer *server;
    int fd[VIEWERS];
} Session;

static void no_update(void *opaque, bool all) {}
static const DisplaySource still = { .update = no_update };
static void ignore_key(void *opaque, const Key *k, bool down) {}
static void ignore_pointer(void *opaque, const PointerEvent *e) {}
static const InputDeviceOps toy = { .kinds = INPUT_KEYBOARD | INPUT_ABSOLUTE, .key = ignore_key, .pointer = ignore_pointer };

static void paint(Display *d, unsigned width, unsigned height, uint32_t colour)
{
    Surface *s = display_draw(d, width, height);
    for (int y = 0; y < s->height; y++)
        for (int x = 0; x < s->width; x++)
            surface_line(s, y)[x] = (x / 16 + y / 16) % 3 ? colour : colour * (x + 1) ^ y;
    display_damage(d, 0, 0, s->width, s->height);
    display_done(d);
}

static void work(void)
{
    for (unsigned i = 0; i < 8 && g_main_context_iteration(NULL, FALSE); i++)
        ;
}

static void hang_up(Session *s, unsigned n)
{
    if (s->fd[n] >= 0)
        close(s->fd[n]);
    s->fd[n] = -1;
}

static void say(Session *s, unsigned n, const void *bytes, size_t count)
{
    if (s->fd[n] >= 0 && send(s->fd[n], bytes, count, MSG_NOSIGNAL) < 0)
        hang_up(s, n);
}

static void drain(Session *s, unsigned n)
{
    uint8_t room[16384];
    for (unsigned i = 0; s->fd[n] >= 0 && i < 16 && read(s->fd[n], room, sizeof(room)) > 0; i++)
        ;
}

static void dial(Session *s, unsigned n)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    hang_up(s, n);
    g_strlcpy(a.sun_path, s->path, sizeof(a.sun_path));
    s->fd[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connect(s->fd[n], (struct sockaddr *)&a, sizeof(a)) < 0)
        hang_up(s, n);
    work();
}

/* A viewer that does everything right until it is in. */
static void enter(Session *s, unsigned n)
{
    static const char *const steps[] = { "RFB 003.008\n", "\1", "\1" };
    dial(s, n);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        say(s, n, steps[i], strlen(steps[i]));
        work();
        drain(s, n);
    }
}

/* A message that is right but for what the input says. */
static void message(Session *s, unsigned n, FuzzInput *in)
{
    static const uint8_t sizes[] = { 20, 8, 10, 8, 6, 8, 12, 24, 4, 12 };
    static const uint8_t types[] = { 0, 2, 3, 4, 5, 6, 255, 251, 150, 3 };
    static const int32_t encodings[] = { 0, 6, 7, 16, -223, -308, -239, -314, -257, -258, -261, -32, -247, 0x574d5664 };
    uint8_t m[64] = { 0 }, pick = fuzz_take(in, 1) % G_N_ELEMENTS(types);
    m[0] = types[pick];
    for (unsigned i = 1; i < sizes[pick]; i++)
        m[i] = m[0] == 3 && i != 1 ? (i > 5 ? 1 : 0) : fuzz_take(in, 1);
    if (m[0] == 2) {
        m[2] = 0;
        m[3] = 1;
        int32_t e = GINT32_TO_BE(encodings[m[4] % G_N_ELEMENTS(encodings)]);
        memcpy(m + 4, &e, 4);
    } else if (m[0] == 6 || m[0] == 251) {
        m[4] = m[5] = m[6] = 0; /* a length below 256, whose bytes come as they come */
    }
    say(s, n, m, sizes[pick]);
}

static void step(Session *s, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1);
    unsigned n = op >> 4 & 3, count;
    n = MIN(n, VIEWERS - 1);
    switch (op & 15) {
    case 0:
        dial(s, n);
        break;
    case 1 ... 2:
        enter(s, n);
        break;
    case 3 ... 7:
        message(s, n, in);
        break;
    case 8 ... 9:
        count = fuzz_take(in, 1);
        count = MIN(count, in->left);
        say(s, n, in->data, count);
        in->data += count;
        in->left -= count;
        break;
    case 10 ... 11:
        drain(s, n);
        break;
    case 12:
        paint(s->display, 1 + fuzz_take(in, 1), 1 + fuzz_take(in, 1), fuzz_take(in, 3));
        break;
    case 13:
        display_set_cursor(s->display, op & 0x80 ? NULL : cursor_create(1 + fuzz_take(in, 1) % 64, 1 + fuzz_take(in, 1) % 64, 0, 0));
        break;
    case 14:
        hang_up(s, n);
        break;
    default:
        vnc_set_password(s->server, op & 0x80 ? "secret" : NULL);
    }
    work();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    Session s = { .dir = g_dir_make_tmp("vnc-fuzz-XXXXXX", NULL), .fd = { -1, -1, -1 } };
    s.path = g_build_filename(s.dir, "s", NULL);
    s.display = display_create(NULL, "card", &still, NULL);
    paint(s.display, 200, 100, 0x123456);
    s.input = input_hub_create();
    InputDevice *device = input_add(s.input, "toy", &toy, NULL);
    uint8_t how = fuzz_take(&in, 1);
    VncConfig config = { .path = s.path, .password = (how & 7) == 7, .name = "Test", .screen = s.display, .input = s.input, .share = how >> 4 & 1 };
    s.server = vnc_open(&config, NULL);
    g_assert_nonnull(s.server);
    for (unsigned i = 0; i < 300 && in.left; i++)
        step(&s, &in);
    for (unsigned n = 0; n < VIEWERS; n++)
        hang_up(&s, n);
    work();
    vnc_close(s.server);
    display_destroy(s.display);
    input_remove(device);
    input_hub_destroy(s.input);
    g_rmdir(s.dir);
    g_free(s.path);
    g_free(s.dir);
    return 0;
}
