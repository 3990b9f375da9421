/* ramfb.c - a frame buffer in the guest's RAM, drawn whenever somebody looks. */
#include "devices/display/ramfb.h"

#include <string.h>

#include "console/display.h"
#include "devices/acpi/fw_cfg.h"
#include "machine/machine.h"

static const uint32_t XRGB8888 = 0x34325258; /* "XR24" of drm_fourcc.h: little-endian 0x00RRGGBB */

/* As it stands in the file; all big-endian. */
typedef struct __attribute__((packed)) RamfbFile {
    uint64_t address;
    uint32_t fourcc, flags, width, height, stride;
} RamfbFile;

typedef struct Ramfb {
    Device dev;
    uint64_t address; /* 0 with width 0: nothing is shown */
    uint32_t width, height, stride;
    Display *display;
} Ramfb;

static bool is_shown(uint64_t width, uint64_t height, uint64_t stride)
{
    return width && height && width <= DISPLAY_MAX_SIDE && height <= DISPLAY_MAX_SIDE && stride >= width * 4 && stride <= DISPLAY_MAX_SIDE * 8;
}

/* ---- drawing; the main thread */

/* One line; true: it differs from what the screen shows. */
static bool draw_line(const Ramfb *r, Surface *s, unsigned y, uint32_t *buffer)
{
    uint64_t at = r->address + (uint64_t)y * r->stride;
    size_t n = r->width * 4;
    if (at < r->address || !dma_read(r->dev.machine, at, buffer, n))
        memset(buffer, 0, n); /* not RAM: black */
    for (unsigned x = 0; x < r->width; x++)
        buffer[x] = GUINT32_FROM_LE(buffer[x]) & 0xffffff;
    bool differs = memcmp(surface_line(s, y), buffer, n);
    memcpy(surface_line(s, y), buffer, n);
    return differs;
}

static void draw(Ramfb *r, bool all)
{
    g_autofree uint32_t *buffer = g_new(uint32_t, r->width);
    Surface *s = display_draw(r->display, r->width, r->height);
    for (unsigned y = 0; s && y < r->height; y++)
        if (draw_line(r, s, y, buffer) || all)
            display_damage(r->display, 0, y, r->width, 1);
    display_done(r->display);
}

static void update(void *opaque, bool all)
{
    Ramfb *r = opaque;
    g_mutex_lock(&r->dev.lock);
    if (r->width)
        draw(r, all);
    g_mutex_unlock(&r->dev.lock);
}

static const DisplaySource source = { .update = update };

/* ---- what firmware says; fw_cfg's lock is held */

static void set_screen(Ramfb *r, const RamfbFile *f)
{
    uint32_t width = GUINT32_FROM_BE(f->width), height = GUINT32_FROM_BE(f->height), stride = GUINT32_FROM_BE(f->stride);
    stride = stride ? stride : MIN(width, DISPLAY_MAX_SIDE) * 4;
    r->width = r->height = r->stride = 0;
    if (GUINT32_FROM_BE(f->fourcc) != XRGB8888 || !is_shown(width, height, stride)) {
        guest_error(&r->dev, "a screen of %u x %u with %u bytes a line in format %xh is not possible", width, height, stride, GUINT32_FROM_BE(f->fourcc));
        return;
    }
    r->address = GUINT64_FROM_BE(f->address);
    r->width = width;
    r->height = height;
    r->stride = stride;
}

static void written(void *opaque, const uint8_t *data)
{
    Ramfb *r = opaque;
    RamfbFile f;
    memcpy(&f, data, sizeof(f));
    g_mutex_lock(&r->dev.lock);
    set_screen(r, &f);
    g_mutex_unlock(&r->dev.lock);
}

bool ramfb_connect(Device *d, Device *fw_cfg, GError **err)
{
    return fw_cfg_add_writable(fw_cfg, "etc/ramfb", sizeof(RamfbFile), written, d, err);
}

/* ---- life */

static bool realize(Device *d, GError **err)
{
    ((Ramfb *)d)->display = display_create(d->machine->screens, d->path, &source, d);
    return true;
}

static void unrealize(Device *d) { g_clear_pointer(&((Ramfb *)d)->display, display_destroy); }

static bool post_load(Device *d, GError **err)
{
    const Ramfb *r = (const Ramfb *)d;
    return (!r->width && !r->height) || is_shown(r->width, r->height, r->stride) ||
           error_set(err, ERR_INVALID, "%s: saved state has a screen of %u x %u", d->path, r->width, r->height);
}

static const Field fields[] = {
    { F(Ramfb, address), .doc = "where the frame buffer stands" },
    { F(Ramfb, width), .doc = "pixels a line" },
    { F(Ramfb, height), .doc = "lines" },
    { F(Ramfb, stride), .doc = "bytes from a line to the next" },
    { FO(Ramfb, display), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType ramfb_type = {
    .name = "ramfb", .summary = "a screen in RAM, for firmware", .spec = "QEMU's etc/ramfb", .size = sizeof(Ramfb), .version = 1, .fields = fields,
    .realize = realize, .unrealize = unrealize, .post_load = post_load,
};
