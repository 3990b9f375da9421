#pragma once
#include <gnutls/gnutls.h>
#include <zlib.h>

#include "console/vnc/vnc.h"
/*
 * inside.h - between the files of the VNC server.
 *
 *     listen.c     addresses and ports             message.c   what viewers say
 *     vnc.c        the server: rounds of updates    update.c    framebuffer updates
 *     client.c     bytes in and out, plain or TLS   tight.c, zrle.c, pixel.c   encodings
 *     auth.c       handshake and security
 *
 * A client is driven by expectations: client_expect(c, n, fn) calls fn once n bytes are there.
 */
typedef struct VncClient VncClient;
typedef bool VncExpect(VncClient *c, const uint8_t *data, size_t n); /* false: drop the client; c->why says why */

enum { /* RFC 6143, 7.7 and 7.8, and the registry of encodings */
    ENC_RAW = 0, ENC_ZLIB = 6, ENC_TIGHT = 7, ENC_ZRLE = 16, ENC_DESKTOP_SIZE = -223, ENC_RICH_CURSOR = -239,
    ENC_POINTER_CHANGE = -257, ENC_EXTENDED_KEY = -258, ENC_LED_STATE = -261, ENC_DESKTOP_NAME = -307, ENC_EXTENDED_SIZE = -308,
    ENC_ALPHA_CURSOR = -314, ENC_EXTENDED_CLIPBOARD = (int32_t)0xc0a1e5ce,
    ENC_COMPRESS_0 = -256,
};
enum { /* what a viewer understands besides rectangles of pixels */
    CAN_RESIZE = 1, CAN_EXTENDED_SIZE = 2, CAN_RICH_CURSOR = 4, CAN_ALPHA_CURSOR = 8, CAN_POINTER_CHANGE = 16, CAN_EXTENDED_KEY = 32,
    CAN_LEDS = 64, CAN_CLIPBOARD = 128,
};
enum { VNC_CLIENTS_MOST = 64, CUT_TEXT_MOST = 1 << 20, OUT_MOST = 64 << 20, HANDSHAKE_SECONDS = 30, STALLED_SECONDS = 30 };

typedef struct PixelFormat {
    uint8_t bits, depth, big_endian, true_colour;
    uint16_t max[3]; /* red, green, blue */
    uint8_t shift[3];
    unsigned bytes;      /* a pixel */
    bool plain;          /* as surfaces have them */
    int cpixel_skip;     /* ZRLE sends 3 bytes: -1 no, else which byte is left out (0 or 3) */
} PixelFormat;

struct VncClient {
    VncServer *server;
    int fd;
    gnutls_session_t tls; /* NULL: plain */
    bool handshaking;     /* TLS */
    bool initialized, shared, doomed;
    char *host, *service, *family, *dname;
    const char *why;      /* for the log */
    GSource *in_source, *out_source;
    GByteArray *in, *out;
    size_t out_done;      /* of out, sent already */
    VncExpect *expect;
    size_t need, in_left; /* in_left: bytes behind those that expect() is given */
    int64_t last_progress; /* us, monotonic */
    unsigned minor;       /* of protocol 3.x */
    uint8_t challenge[16];
    PixelFormat format;
    uint32_t can;
    int encoding, compress;
    /* The picture. */
    int width, height;    /* as the viewer knows it */
    bool wants, wants_all; /* an update is asked for; whatever has changed or not */
    bool size_pending, cursor_pending, pointer_pending, key_pending, leds_pending;
    int size_reason, size_status; /* ExtendedDesktopSize: 0 server, 1 this client, 2 another */
    uint8_t *dirty;       /* a byte a tile */
    int columns, rows;
    bool absolute;        /* how it reports its pointer */
    unsigned leds, buttons;
    int last_x, last_y;
    bool last_known;
    GHashTable *down;     /* keys that it holds */
    z_stream zlib, zrle, tight[4];
    bool zlib_on, zrle_on, tight_on[4];
};

struct VncServer {
    char *id, *host, *service, *family, *name, *path;
    unsigned share;
    InputHub *input;
    Display *screen;
    DisplayListener *listener;
    GArray *listen_fds, *listen_sources; /* int, GSource * */
    GPtrArray *clients;
    GSource *timer;
    unsigned interval_ms;
    bool need_password, tls_anonymous, verify_peer;
    char *password;
    int64_t expires;
    gnutls_certificate_credentials_t x509; /* one of these, for TLS */
    gnutls_anon_server_credentials_t anonymous;
    VncListener events;
};

/* listen.c */
bool vnc_listen(VncServer *s, const VncConfig *config, GError **err);
void vnc_unlisten(VncServer *s);
/* vnc.c */
void vnc_accept(VncServer *s, int fd, const char *host, const char *service, const char *family);
bool vnc_fetch(VncServer *s); /* brings the picture up to date and marks what has changed for everybody; has anything? */
void vnc_wake(VncServer *s, bool busy); /* somebody wants an update; busy: and has just done something */
void vnc_event(VncServer *s, VncEventKind kind, const VncClient *c);
void vnc_mark(VncClient *c, int x, int y, int width, int height);
void vnc_resize_client(VncClient *c, int reason);
/* client.c */
VncClient *client_new(VncServer *s, int fd);
void client_free(VncClient *c);
void client_doom(VncClient *c, const char *why); /* it goes at the next occasion */
void client_expect(VncClient *c, size_t n, VncExpect *fn);
void client_put(VncClient *c, const void *data, size_t n);
void client_put8(VncClient *c, unsigned v);
void client_put16(VncClient *c, unsigned v);
void client_put32(VncClient *c, uint32_t v);
void client_put_text(VncClient *c, const char *text); /* length, bytes */
void client_flush(VncClient *c);
bool client_start_tls(VncClient *c); /* the handshake goes on by itself; then c->expect is called with 0 bytes */
static inline size_t client_pending(const VncClient *c) { return c->out->len - c->out_done; }
static inline unsigned be16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static inline uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }
/* auth.c */
void auth_start(VncClient *c);
const char *auth_name(const VncServer *s);
bool auth_load(VncServer *s, const VncConfig *config, GError **err);
void auth_unload(VncServer *s);
/* message.c */
bool message_client_init(VncClient *c, const uint8_t *data, size_t n);
void message_release(VncClient *c); /* keys and buttons that it holds */
/* update.c */
void update_send(VncClient *c); /* if it has something to say and the client can take it */
/* pixel.c */
extern const PixelFormat pixel_native;
bool pixel_format_read(PixelFormat *f, const uint8_t data[16]);
void pixel_format_put(VncClient *c, const PixelFormat *f);
void pixel_put(const PixelFormat *f, GByteArray *to, const uint32_t *from, size_t n);
void pixel_put_compact(const PixelFormat *f, GByteArray *to, const uint32_t *from, size_t n); /* ZRLE's CPIXEL */
void pixel_put_tight(const PixelFormat *f, GByteArray *to, const uint32_t *from, size_t n);   /* TPIXEL */
unsigned pixel_palette(const uint32_t *from, size_t n, uint32_t *palette, unsigned most); /* colours; most + 1: more than that */
void deflate_to(z_stream *z, bool *on, int level, const GByteArray *from, GByteArray *to);
void deflate_end(z_stream *z, bool *on);
/* tight.c, zrle.c */
void tight_rect(VncClient *c, const Surface *s, const Rect *r);
void zrle_rect(VncClient *c, const Surface *s, const Rect *r);
