/* vnc.c - the server: who is there, and the rounds in which everybody gets the latest picture. */
#include "console/vnc/vnc.h"

#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "console/vnc/inside.h"

enum { BUSY_MS = 25, IDLE_MS = 400 }; /* between rounds: after a change, and when nothing has changed for long */

/* ---- events */

void vnc_event(VncServer *s, VncEventKind kind, const VncClient *c)
{
    VncClientInfo info = { c->host, c->service, c->family, c->dname };
    if (s->events.event)
        s->events.event(s->events.opaque, kind, &info);
}

/* ---- the viewers' marks */

void vnc_mark(VncClient *c, int x, int y, int width, int height)
{
    int x0 = MAX(x, 0) / TILE_WIDTH, y0 = MAX(y, 0) / TILE_HEIGHT;
    int x1 = MIN((x + width + TILE_WIDTH - 1) / TILE_WIDTH, c->columns), y1 = MIN((y + height + TILE_HEIGHT - 1) / TILE_HEIGHT, c->rows);
    for (int row = y0; row < y1 && x0 < x1; row++)
        memset(c->dirty + row * c->columns + x0, 1, x1 - x0);
}

/* The screen has another size: all is new. */
void vnc_resize_client(VncClient *c, int reason)
{
    const Surface *s = display_copy(c->server->listener);
    c->columns = (s->width + TILE_WIDTH - 1) / TILE_WIDTH;
    c->rows = (s->height + TILE_HEIGHT - 1) / TILE_HEIGHT;
    g_free(c->dirty);
    c->dirty = g_malloc(c->columns * c->rows);
    memset(c->dirty, 1, c->columns * c->rows);
    c->size_pending = true;
    c->size_reason = reason;
    c->size_status = 0;
}

/* ---- rounds */

static bool stalled(const VncClient *c)
{
    int64_t limit = (c->initialized ? STALLED_SECONDS : HANDSHAKE_SECONDS) * G_USEC_PER_SEC;
    bool waits = !c->initialized || client_pending(c);
    return waits && g_get_monotonic_time() - c->last_progress > limit;
}

static void reap(VncServer *s)
{
    for (unsigned i = s->clients->len; i-- > 0;) {
        VncClient *c = s->clients->pdata[i];
        if (!c->doomed && stalled(c))
            client_doom(c, c->initialized ? "it takes nothing" : "it does not finish its handshake");
        if (!c->doomed)
            continue;
        g_ptr_array_remove_index(s->clients, i);
        message_release(c);
        vnc_event(s, VNC_EVENT_DISCONNECTED, c);
        client_free(c);
    }
}

static void hand_on(VncServer *s, const DisplayChange *change)
{
    for (unsigned i = 0; i < s->clients->len; i++) {
        VncClient *c = s->clients->pdata[i];
        if (!c->initialized)
            continue;
        if (change->resized)
            vnc_resize_client(c, 0);
        for (unsigned n = 0; n < change->tiles->len; n++) {
            const Rect *r = &g_array_index(change->tiles, Rect, n);
            vnc_mark(c, r->x, r->y, r->width, r->height);
        }
        c->cursor_pending |= change->cursor;
        c->pointer_pending |= c->absolute != input_is_absolute(s->input);
        c->leds_pending |= c->leds != input_leds(s->input);
    }
}

bool vnc_fetch(VncServer *s)
{
    const DisplayChange *change = display_fetch(s->listener);
    hand_on(s, change);
    return change->resized || change->tiles->len;
}

static bool anybody_waits(const VncServer *s)
{
    for (unsigned i = 0; i < s->clients->len; i++)
        if (((VncClient *)s->clients->pdata[i])->wants)
            return true;
    return false;
}

static gboolean on_timer(void *opaque);

static void arm(VncServer *s, unsigned ms)
{
    if (s->timer) {
        g_source_destroy(s->timer);
        g_source_unref(s->timer);
    }
    s->timer = g_timeout_source_new(ms);
    g_source_set_callback(s->timer, on_timer, s, NULL);
    g_source_attach(s->timer, NULL);
}

/* Nobody waits for a picture: the timer only looks after those who are stuck, and with nobody there it stops. */
static gboolean on_timer(void *opaque)
{
    VncServer *s = opaque;
    g_clear_pointer(&s->timer, g_source_unref);
    reap(s);
    if (!s->clients->len)
        return G_SOURCE_REMOVE;
    if (!anybody_waits(s)) {
        s->interval_ms = IDLE_MS;
        arm(s, 1000);
        return G_SOURCE_REMOVE;
    }
    bool busy = vnc_fetch(s);
    for (unsigned i = 0; i < s->clients->len; i++)
        update_send(s->clients->pdata[i]);
    s->interval_ms = busy ? BUSY_MS : MIN(s->interval_ms * 3 / 2, IDLE_MS);
    arm(s, s->interval_ms);
    return G_SOURCE_REMOVE;
}

static bool any_doomed(const VncServer *s)
{
    for (unsigned i = 0; i < s->clients->len; i++)
        if (((VncClient *)s->clients->pdata[i])->doomed)
            return true;
    return false;
}

void vnc_wake(VncServer *s, bool busy)
{
    if (any_doomed(s)) {
        arm(s, 0);
    } else if (busy || (anybody_waits(s) && s->interval_ms >= IDLE_MS)) {
        if (s->interval_ms > BUSY_MS || !s->timer)
            arm(s, BUSY_MS);
        s->interval_ms = BUSY_MS;
    } else if (!s->timer) {
        arm(s, BUSY_MS);
    }
}

void vnc_accept(VncServer *s, int fd, const char *host, const char *service, const char *family)
{
    if (s->clients->len >= VNC_CLIENTS_MOST) {
        close(fd);
        return;
    }
    VncClient *c = client_new(s, fd);
    c->host = g_strdup(host);
    c->service = g_strdup(service);
    c->family = g_strdup(family);
    g_ptr_array_add(s->clients, c);
    vnc_event(s, VNC_EVENT_CONNECTED, c);
    auth_start(c);
    vnc_wake(s, false);
}

/* ---- the server's life */

VncServer *vnc_open(const VncConfig *config, GError **err)
{
    VncServer *s = g_new0(VncServer, 1);
    s->id = g_strdup(config->id ? config->id : "default");
    s->name = g_strdup(config->name ? config->name : "Atoll");
    s->share = config->share;
    s->need_password = config->password;
    s->screen = config->screen;
    s->input = config->input;
    s->interval_ms = BUSY_MS;
    s->clients = g_ptr_array_new();
    s->listen_fds = g_array_new(FALSE, FALSE, sizeof(int));
    s->listen_sources = g_array_new(FALSE, FALSE, sizeof(GSource *));
    s->listener = display_listen(config->screen);
    if (auth_load(s, config, err) && vnc_listen(s, config, err))
        return s;
    vnc_close(s);
    return NULL;
}

void vnc_close(VncServer *s)
{
    if (!s)
        return;
    vnc_unlisten(s);
    vnc_disconnect_all(s);
    reap(s);
    if (s->timer) {
        g_source_destroy(s->timer);
        g_source_unref(s->timer);
    }
    display_unlisten(s->listener);
    auth_unload(s);
    vnc_set_password(s, NULL);
    g_ptr_array_unref(s->clients);
    g_array_unref(s->listen_fds);
    g_array_unref(s->listen_sources);
    char *texts[] = { s->id, s->host, s->service, s->family, s->name, s->path };
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(s);
}

void vnc_set_listener(VncServer *s, const VncListener *l) { s->events = l ? *l : (VncListener){ 0 }; }

void vnc_set_password(VncServer *s, const char *password)
{
    if (s->password)
        explicit_bzero(s->password, strlen(s->password));
    g_free(s->password);
    s->password = g_strdup(password);
}

void vnc_expire_password(VncServer *s, int64_t when) { s->expires = when; }

void vnc_disconnect_all(VncServer *s)
{
    for (unsigned i = 0; i < s->clients->len; i++)
        client_doom(s->clients->pdata[i], "somebody told the server to");
}

void vnc_info(const VncServer *s, VncInfo *ret)
{
    *ret = (VncInfo){ s->id, s->host, s->service, s->family, auth_name(s), 0 };
    for (unsigned i = 0; i < s->clients->len; i++)
        ret->clients += !((VncClient *)s->clients->pdata[i])->doomed;
}

bool vnc_client_info(const VncServer *s, unsigned n, VncClientInfo *ret)
{
    for (unsigned i = 0; i < s->clients->len; i++) {
        const VncClient *c = s->clients->pdata[i];
        if (c->doomed || n--)
            continue;
        *ret = (VncClientInfo){ c->host, c->service, c->family, c->dname };
        return true;
    }
    return false;
}
