/* display_test.c - surfaces, damage and pictures, by a source that draws what it is told. */
#include "console/display.h"

#include <string.h>

#include "base/error.h"
#include "console/screenshot.h"

typedef struct Painter {
    Display *display;
    int width, height, x, y; /* the size, and one pixel to set at the next update */
    uint32_t colour;
    unsigned updates, all;
} Painter;

static void paint(void *opaque, bool all)
{
    Painter *p = opaque;
    p->updates++;
    p->all += all;
    Surface *s = display_draw(p->display, p->width, p->height);
    surface_line(s, p->y)[p->x] = p->colour;
    display_damage(p->display, p->x, p->y, 1, 1);
    display_done(p->display);
}

static const DisplaySource source = { .update = paint };

static const Rect *only_tile(const DisplayChange *c)
{
    g_assert_cmpuint(c->tiles->len, ==, 1);
    return &g_array_index(c->tiles, Rect, 0);
}

static void test_fetch(void)
{
    Screens *s = screens_create();
    Painter p = { .width = 100, .height = 50, .x = 99, .y = 49, .colour = 0x123456 };
    p.display = display_create(s, "card", &source, &p);
    DisplayListener *l = display_listen(p.display);
    const DisplayChange *c = display_fetch(l);
    g_assert_cmpuint(p.all, ==, 1);
    g_assert_true(c->resized);
    g_assert_cmpuint(c->tiles->len, ==, 8);
    g_assert_cmphex(surface_line(display_copy(l), 49)[99], ==, 0x123456);
    c = display_fetch(l); /* drawn again, but the same */
    g_assert_false(c->resized);
    g_assert_cmpuint(c->tiles->len, ==, 0);
    p.x = p.y = 0;
    const Rect *r = only_tile(display_fetch(l));
    g_assert_cmpint(r->x, ==, 0);
    g_assert_cmpint(r->width, ==, 64);
    p.x = 70, p.y = 48;
    r = only_tile(display_fetch(l));
    g_assert_cmpint(r->x, ==, 64);
    g_assert_cmpint(r->y, ==, 48);
    g_assert_cmpint(r->width, ==, 36);
    g_assert_cmpint(r->height, ==, 2);
    display_destroy(p.display);
    g_assert_cmpuint(display_fetch(l)->tiles->len, ==, 0); /* the adapter has gone */
    display_unlisten(l);
    screens_destroy(s);
}

static void test_listeners_apart(void)
{
    Painter p = { .width = 64, .height = 16, .colour = 1 };
    p.display = display_create(NULL, "card", &source, &p);
    DisplayListener *a = display_listen(p.display), *b = display_listen(p.display);
    display_fetch(a);
    p.colour = 2;
    only_tile(display_fetch(a));
    g_assert_cmpuint(display_fetch(a)->tiles->len, ==, 0);
    only_tile(display_fetch(b));
    g_assert_cmphex(display_copy(b)->pixels[0], ==, 2);
    display_unlisten(a);
    display_unlisten(b);
    display_destroy(p.display);
}

static void test_cursor(void)
{
    Painter p = { .width = 64, .height = 16 };
    p.display = display_create(NULL, "card", &source, &p);
    DisplayListener *l = display_listen(p.display);
    g_assert_false(display_fetch(l)->cursor);
    display_set_cursor(p.display, cursor_create(8, 8, 100, -1));
    g_assert_true(display_fetch(l)->cursor);
    g_assert_false(display_fetch(l)->cursor);
    Cursor *c = display_cursor(l);
    g_assert_cmpint(c->hot_x, ==, 7);
    g_assert_cmpint(c->hot_y, ==, 0);
    display_set_cursor(p.display, NULL);
    g_assert_null(display_cursor(l));
    g_assert_cmpint(c->width, ==, 8); /* our reference */
    cursor_unref(c);
    display_unlisten(l);
    display_destroy(p.display);
}

static void test_pictures(void)
{
    Screens *s = screens_create();
    Painter p = { .width = 3, .height = 2, .x = 1, .y = 1, .colour = 0xff8001 };
    p.display = display_create(s, "card", &source, &p);
    g_autoptr(GByteArray) ppm = display_picture(p.display, SCREENSHOT_PPM, NULL);
    static const uint8_t want[] = "P6\n3 2\n255\n\0\0\0\0\0\0\0\0\0\0\0\0\xff\x80\x01\0\0\0";
    g_assert_cmpmem(ppm->data, ppm->len, want, sizeof(want) - 1);
    g_autoptr(GByteArray) png = display_picture(p.display, SCREENSHOT_PNG, NULL);
    g_assert_cmpmem(png->data, 8, "\x89PNG\r\n\x1a\n", 8);
    g_autoptr(GError) err = NULL, unknown = NULL;
    g_assert_false(display_screenshot(p.display, "/nonexistent/a.png", SCREENSHOT_PNG, &err));
    g_assert_nonnull(strstr(err->message, "/nonexistent/a.png"));
    g_assert_true(screens_find(s, "card", NULL) == p.display);
    g_assert_null(screens_find(s, "cart", &unknown));
    g_assert_nonnull(strstr(unknown->message, "card"));
    display_destroy(p.display);
    screens_destroy(s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/display/fetch", test_fetch);
    g_test_add_func("/display/listeners-apart", test_listeners_apart);
    g_test_add_func("/display/cursor", test_cursor);
    g_test_add_func("/display/pictures", test_pictures);
    return g_test_run();
}
