/* display.c - surfaces, their damage, and the copies that listeners hold. */
#include "console/display.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

struct Screens {
    GPtrArray *displays;
};

struct Display {
    Screens *screens;
    char *name;
    const DisplaySource *source;
    void *opaque;
    GMutex lock; /* of what follows */
    Surface *surface;
    Cursor *cursor;
    GPtrArray *listeners;
};

struct DisplayListener {
    Display *display; /* NULL once that is gone */
    Surface *copy;
    uint8_t *damaged; /* a byte a tile of the display's surface */
    int columns, rows;
    bool resized, cursor_changed, fresh;
    DisplayChange change;
};

/* ---- surfaces and cursors */

Surface *surface_create(int width, int height)
{
    size_t stride = (size_t)width * 4, bytes = stride * height;
    int fd = memfd_create("atoll-surface", MFD_CLOEXEC);
    void *pixels = fd >= 0 && ftruncate(fd, bytes) == 0 ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (pixels == MAP_FAILED) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    Surface *s = g_new(Surface, 1);
    *s = (Surface){ .width = width, .height = height, .stride = stride, .fd = fd, .pixels = pixels };
    return s;
}

void surface_destroy(Surface *s)
{
    if (!s)
        return;
    munmap(s->pixels, (size_t)s->stride * s->height);
    close(s->fd);
    g_free(s);
}

static Surface *surface_must(int width, int height)
{
    Surface *s = surface_create(width, height);
    if (!s)
        g_error("no memory for a screen of %d x %d", width, height); /* as g_malloc() does */
    return s;
}

Cursor *cursor_create(int width, int height, int hot_x, int hot_y)
{
    Cursor *c = g_malloc0(sizeof(*c) + (size_t)width * height * 4);
    c->refs = 1;
    c->width = width;
    c->height = height;
    c->hot_x = CLAMP(hot_x, 0, width - 1);
    c->hot_y = CLAMP(hot_y, 0, height - 1);
    return c;
}

void cursor_unref(Cursor *c)
{
    if (c && --c->refs == 0)
        g_free(c);
}

/* ---- screens */

Screens *screens_create(void)
{
    Screens *s = g_new0(Screens, 1);
    s->displays = g_ptr_array_new();
    return s;
}

void screens_destroy(Screens *s)
{
    if (!s)
        return;
    g_ptr_array_unref(s->displays);
    g_free(s);
}

Display *screens_nth(Screens *s, unsigned n) { return s && n < s->displays->len ? s->displays->pdata[n] : NULL; }

Display *screens_find(Screens *s, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; screens_nth(s, i); i++) {
        Display *d = screens_nth(s, i);
        if (g_str_equal(d->name, name))
            return d;
        g_ptr_array_add(names, d->name);
    }
    g_ptr_array_add(names, NULL);
    g_autofree char *hint = did_you_mean(name, (const char *const *)names->pdata);
    error_set(err, ERR_NOT_FOUND, "no display adapter '%s'%s", name, hint);
    return NULL;
}

/* ---- damage */

static void mark(DisplayListener *l, int x0, int y0, int x1, int y1)
{
    for (int row = y0 / TILE_HEIGHT; row <= (y1 - 1) / TILE_HEIGHT; row++)
        memset(l->damaged + row * l->columns + x0 / TILE_WIDTH, 1, (x1 - 1) / TILE_WIDTH - x0 / TILE_WIDTH + 1);
}

static void mark_all(DisplayListener *l, const Surface *s)
{
    l->columns = (s->width + TILE_WIDTH - 1) / TILE_WIDTH;
    l->rows = (s->height + TILE_HEIGHT - 1) / TILE_HEIGHT;
    g_free(l->damaged);
    l->damaged = g_malloc(l->columns * l->rows);
    memset(l->damaged, 1, l->columns * l->rows);
    l->resized = true;
}

void display_damage(Display *d, int x, int y, int width, int height)
{
    int x0 = MAX(x, 0), y0 = MAX(y, 0);
    int x1 = MIN((int64_t)x + width, d->surface->width), y1 = MIN((int64_t)y + height, d->surface->height);
    for (unsigned i = 0; x0 < x1 && y0 < y1 && i < d->listeners->len; i++)
        mark(d->listeners->pdata[i], x0, y0, x1, y1);
}

/* ---- the source */

Display *display_create(Screens *s, const char *name, const DisplaySource *source, void *opaque)
{
    Display *d = g_new0(Display, 1);
    d->screens = s;
    d->name = g_strdup(name);
    d->source = source;
    d->opaque = opaque;
    d->surface = surface_must(640, 480);
    d->listeners = g_ptr_array_new();
    g_mutex_init(&d->lock);
    if (s)
        g_ptr_array_add(s->displays, d);
    return d;
}

void display_destroy(Display *d)
{
    if (!d)
        return;
    if (d->screens)
        g_ptr_array_remove(d->screens->displays, d);
    for (unsigned i = 0; i < d->listeners->len; i++)
        ((DisplayListener *)d->listeners->pdata[i])->display = NULL;
    g_ptr_array_unref(d->listeners);
    surface_destroy(d->surface);
    cursor_unref(d->cursor);
    g_mutex_clear(&d->lock);
    g_free(d->name);
    g_free(d);
}

Surface *display_draw(Display *d, int width, int height)
{
    g_mutex_lock(&d->lock);
    width = CLAMP(width, 1, DISPLAY_MAX_SIDE);
    height = CLAMP(height, 1, DISPLAY_MAX_SIDE);
    if (d->surface->width == width && d->surface->height == height)
        return d->surface;
    surface_destroy(d->surface);
    d->surface = surface_must(width, height);
    for (unsigned i = 0; i < d->listeners->len; i++)
        mark_all(d->listeners->pdata[i], d->surface);
    return d->surface;
}

void display_done(Display *d) { g_mutex_unlock(&d->lock); }

void display_set_cursor(Display *d, Cursor *c)
{
    g_mutex_lock(&d->lock);
    cursor_unref(d->cursor);
    d->cursor = c;
    for (unsigned i = 0; i < d->listeners->len; i++)
        ((DisplayListener *)d->listeners->pdata[i])->cursor_changed = true;
    g_mutex_unlock(&d->lock);
}

/* ---- lookers */

const char *display_name(const Display *d) { return d->name; }

static void update(Display *d, bool all)
{
    if (d->source->update)
        d->source->update(d->opaque, all);
}

void display_update(Display *d) { update(d, false); }

void display_resize_hint(Display *d, int width, int height)
{
    if (d->source->resize_hint && width > 0 && height > 0)
        d->source->resize_hint(d->opaque, width, height);
}

Surface *display_snapshot(Display *d)
{
    update(d, !d->listeners->len); /* nobody has looked: nothing has been drawn */
    g_mutex_lock(&d->lock);
    Surface *s = surface_create(d->surface->width, d->surface->height);
    if (s)
        memcpy(s->pixels, d->surface->pixels, (size_t)s->stride * s->height);
    g_mutex_unlock(&d->lock);
    return s;
}

DisplayListener *display_listen(Display *d)
{
    DisplayListener *l = g_new0(DisplayListener, 1);
    l->display = d;
    l->fresh = true;
    l->copy = surface_must(1, 1);
    l->change.tiles = g_array_new(FALSE, FALSE, sizeof(Rect));
    g_mutex_lock(&d->lock);
    mark_all(l, d->surface);
    l->cursor_changed = d->cursor;
    g_ptr_array_add(d->listeners, l);
    g_mutex_unlock(&d->lock);
    return l;
}

void display_unlisten(DisplayListener *l)
{
    if (!l)
        return;
    if (l->display) {
        g_mutex_lock(&l->display->lock);
        g_ptr_array_remove(l->display->listeners, l);
        g_mutex_unlock(&l->display->lock);
    }
    g_array_unref(l->change.tiles);
    surface_destroy(l->copy);
    g_free(l->damaged);
    g_free(l);
}

static bool copy_tile(const Surface *to, const Surface *from, const Rect *r)
{
    bool differs = false;
    for (int y = r->y; y < r->y + r->height; y++) {
        uint32_t *old = surface_line(to, y) + r->x;
        const uint32_t *now = surface_line(from, y) + r->x;
        if (memcmp(old, now, r->width * 4)) {
            memcpy(old, now, r->width * 4);
            differs = true;
        }
    }
    return differs;
}

static void fetch_tile(DisplayListener *l, const Surface *from, int column, int row)
{
    Rect r = { column * TILE_WIDTH, row * TILE_HEIGHT, TILE_WIDTH, TILE_HEIGHT };
    r.width = MIN(r.width, from->width - r.x);
    r.height = MIN(r.height, from->height - r.y);
    if (copy_tile(l->copy, from, &r) || l->change.resized)
        g_array_append_val(l->change.tiles, r);
}

static void fetch_locked(DisplayListener *l, const Surface *from)
{
    l->change.resized = l->resized && (l->copy->width != from->width || l->copy->height != from->height);
    l->change.cursor = l->cursor_changed;
    l->resized = l->cursor_changed = false;
    if (l->change.resized) {
        surface_destroy(l->copy);
        l->copy = surface_must(from->width, from->height);
    }
    for (int row = 0; row < l->rows; row++)
        for (int column = 0; column < l->columns; column++)
            if (l->damaged[row * l->columns + column])
                fetch_tile(l, from, column, row);
    memset(l->damaged, 0, l->columns * l->rows);
}

const DisplayChange *display_fetch(DisplayListener *l)
{
    Display *d = l->display;
    g_array_set_size(l->change.tiles, 0);
    l->change.resized = l->change.cursor = false;
    if (!d)
        return &l->change;
    update(d, l->fresh);
    l->fresh = false;
    g_mutex_lock(&d->lock);
    fetch_locked(l, d->surface);
    g_mutex_unlock(&d->lock);
    return &l->change;
}

const Surface *display_copy(const DisplayListener *l) { return l->copy; }

Cursor *display_cursor(DisplayListener *l)
{
    Cursor *c = NULL;
    if (l->display) {
        g_mutex_lock(&l->display->lock);
        if ((c = l->display->cursor))
            c->refs++;
        g_mutex_unlock(&l->display->lock);
    }
    return c;
}
