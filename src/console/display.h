#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * display.h - the screens of a machine: what a display adapter draws, and who looks at it.
 *
 * An adapter (the source) makes a Display and draws into its surface, between display_draw() and display_done(), on any
 * thread: when the guest tells it to, or in `update`, which is how lookers ask it to catch up.  A looker (a VNC server) has
 * a DisplayListener: a copy of its own that display_fetch() brings up to date, at the looker's own rate.  Nobody looks: nothing
 * is drawn.
 *
 * All functions but the drawing ones belong to the main context's thread.  A display's lock is taken after its device's, and is
 * held while pixels are drawn or copied, never around a callback.
 */
enum { DISPLAY_MAX_SIDE = 8192, TILE_WIDTH = 64, TILE_HEIGHT = 16 };

typedef struct Rect {
    int x, y, width, height;
} Rect;

/* Pixels as 0x00RRGGBB in the host's byte order (pixman's x8r8g8b8), in a shared mapping of a memfd. */
typedef struct Surface {
    int width, height;
    uint32_t stride; /* bytes a line */
    int fd;
    uint32_t *pixels;
} Surface;

Surface *surface_create(int width, int height);
void surface_destroy(Surface *s); /* NULL is fine */
static inline uint32_t *surface_line(const Surface *s, int y) { return (uint32_t *)((uint8_t *)s->pixels + (size_t)y * s->stride); }

/* A pointer's picture: premultiplied a8r8g8b8.  Shared by reference. */
typedef struct Cursor {
    _Atomic int refs;
    int width, height, hot_x, hot_y;
    uint32_t argb[];
} Cursor;
Cursor *cursor_create(int width, int height, int hot_x, int hot_y); /* transparent */
void cursor_unref(Cursor *c);

typedef struct Screens Screens; /* all displays of a machine, in order of creation */
typedef struct Display Display;
typedef struct DisplayListener DisplayListener;

typedef struct DisplaySource {
    void (*update)(void *opaque, bool all); /* optional: draw what has changed since, or everything; no lock held */
    void (*resize_hint)(void *opaque, int width, int height); /* optional: a viewer's window has that size */
} DisplaySource;

Screens *screens_create(void);
void screens_destroy(Screens *s); /* after its displays; NULL is fine */
Display *screens_nth(Screens *s, unsigned n); /* NULL: there are fewer */
Display *screens_find(Screens *s, const char *name, GError **err); /* by the adapter's path */

/* ---- the source */

Display *display_create(Screens *s, const char *name, const DisplaySource *source, void *opaque); /* s NULL: nobody can look */
void display_destroy(Display *d); /* NULL is fine; its listeners see an empty screen from then on */
/* Locks the surface, which has that size then; a new one is black and all of it is damage. */
Surface *display_draw(Display *d, int width, int height);
void display_damage(Display *d, int x, int y, int width, int height); /* was drawn; between the two; clipped */
void display_done(Display *d);
void display_set_cursor(Display *d, Cursor *c); /* takes the reference; NULL: the viewer's own pointer shows */

/* ---- lookers */

const char *display_name(const Display *d);
void display_update(Display *d); /* lets the source draw */
void display_resize_hint(Display *d, int width, int height);
/* A copy of the whole, up to date.  NULL: memory is short. */
Surface *display_snapshot(Display *d);

DisplayListener *display_listen(Display *d);
void display_unlisten(DisplayListener *l);
typedef struct DisplayChange {
    bool resized, cursor; /* the cursor is another */
    GArray *tiles;        /* Rect: those whose pixels differ; the listener's, until the next fetch */
} DisplayChange;
/* Updates, and brings the listener's copy up to date. */
const DisplayChange *display_fetch(DisplayListener *l);
const Surface *display_copy(const DisplayListener *l); /* never NULL; a new one after a change of size */
Cursor *display_cursor(DisplayListener *l);            /* a reference, or NULL */
