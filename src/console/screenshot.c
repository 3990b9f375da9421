/* screenshot.c - PNG by libpng, and PPM (netpbm's ppm(5), binary). */
#include "console/screenshot.h"

#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static void line_as_rgb(const Surface *s, int y, uint8_t *to)
{
    const uint32_t *from = surface_line(s, y);
    for (int x = 0; x < s->width; x++, to += 3) {
        to[0] = from[x] >> 16;
        to[1] = from[x] >> 8;
        to[2] = from[x];
    }
}

static GByteArray *as_ppm(const Surface *s)
{
    g_autofree char *head = g_strdup_printf("P6\n%d %d\n255\n", s->width, s->height);
    GByteArray *a = g_byte_array_new();
    g_byte_array_append(a, (uint8_t *)head, strlen(head));
    for (int y = 0; y < s->height; y++) {
        g_byte_array_set_size(a, a->len + s->width * 3);
        line_as_rgb(s, y, a->data + a->len - s->width * 3);
    }
    return a;
}

/* libpng's simplified interface: errors come back as values, not by longjmp. */
static GByteArray *as_png(const Surface *s, GError **err)
{
    png_image image = { .version = PNG_IMAGE_VERSION, .width = s->width, .height = s->height, .format = PNG_FORMAT_RGB,
                        .flags = PNG_IMAGE_FLAG_FAST };
    g_autofree uint8_t *rgb = g_malloc((size_t)s->width * s->height * 3);
    for (int y = 0; y < s->height; y++)
        line_as_rgb(s, y, rgb + (size_t)y * s->width * 3);
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    GByteArray *a = g_byte_array_sized_new(bytes);
    g_byte_array_set_size(a, bytes);
    if (png_image_write_to_memory(&image, a->data, &bytes, 0, rgb, 0, NULL)) {
        g_byte_array_set_size(a, bytes);
        return a;
    }
    error_set(err, ERR_INTERNAL, "cannot make a PNG of the screen: %s", image.message);
    g_byte_array_unref(a);
    return NULL;
}

GByteArray *display_picture(Display *d, ScreenshotFormat format, GError **err)
{
    Surface *s = display_snapshot(d);
    if (!s) {
        error_set(err, ERR_NO_SPACE, "no memory for a picture of display '%s'", display_name(d));
        return NULL;
    }
    GByteArray *a = format == SCREENSHOT_PNG ? as_png(s, err) : as_ppm(s);
    surface_destroy(s);
    return a;
}

static bool write_all(int fd, const uint8_t *data, size_t n)
{
    while (n) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno != EINTR)
            return false;
        data += MAX(done, 0);
        n -= MAX(done, 0);
    }
    return true;
}

bool display_screenshot(Display *d, const char *path, ScreenshotFormat format, GError **err)
{
    g_autoptr(GByteArray) a = display_picture(d, format, err);
    if (!a)
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0 && write_all(fd, a->data, a->len);
    int saved = errno;
    if (fd >= 0 && close(fd) < 0 && ok) {
        ok = false;
        saved = errno;
    }
    return ok || error_set_errno(err, saved, "cannot write the picture of display '%s' to '%s'", display_name(d), path);
}
