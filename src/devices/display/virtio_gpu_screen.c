/* virtio_gpu_screen.c - scanouts: which part of which picture a screen shows, and the cursor on it.  Virtio 1.2, 5.7.6. */
#include <string.h>

#include "devices/display/vga.h"
#include "devices/display/virtio_gpu.h"

enum { DARK_WIDTH = 640, DARK_HEIGHT = 480, SIDE_MIN = 16, SIDE_HINT_MIN = 200, CURSOR_SIDE = 64 };

const Field virtio_gpu_scanout_fields[] = {
    { F(GpuScanout, resource) }, { F(GpuScanout, x) }, { F(GpuScanout, y) }, { F(GpuScanout, width) }, { F(GpuScanout, height) },
    { F(GpuScanout, want_width), .keep = true }, { F(GpuScanout, want_height), .keep = true },
    { F(GpuScanout, cursor) }, { F(GpuScanout, hot_x) }, { F(GpuScanout, hot_y) },
    DEVICE_FIELDS_END,
};

bool gpu_rect_inside(const GpuRect *r, uint32_t width, uint32_t height)
{
    return r->x <= width && r->width <= width - r->x && r->y <= height && r->height <= height - r->y;
}

/* ---- pictures */

/* rect is within the resource; what of it the scanout shows is drawn. */
static void draw(VirtioGpu *g, unsigned n, const GpuRect *rect)
{
    const GpuScanout *s = &g->scanout[n];
    GpuResource *r = gpu_resource(g, s->resource);
    if (!r || !g->display[n])
        return;
    gpu_resource_refresh(g, r);
    uint32_t x0 = MAX(rect->x, s->x), y0 = MAX(rect->y, s->y);
    uint32_t x1 = MIN(rect->x + rect->width, s->x + s->width), y1 = MIN(rect->y + rect->height, s->y + s->height);
    Surface *to = display_draw(g->display[n], s->width, s->height);
    x1 = MIN(x1, s->x + to->width);
    y1 = MIN(y1, s->y + to->height);
    for (uint32_t y = y0; x0 < x1 && y < y1; y++)
        gpu_convert(r, x0, y, surface_line(to, y - s->y) + (x0 - s->x), x1 - x0, false);
    if (x0 < x1 && y0 < y1)
        display_damage(g->display[n], x0 - s->x, y0 - s->y, x1 - x0, y1 - y0);
    display_done(g->display[n]);
}

static void draw_whole(VirtioGpu *g, unsigned n)
{
    const GpuScanout *s = &g->scanout[n];
    draw(g, n, &(GpuRect){ s->x, s->y, s->width, s->height });
}

/* The first screen of a virtio-vga is the VGA's while no driver shows anything on it. */
static bool is_vga(const VirtioGpu *g, unsigned n) { return g->vga && n == 0; }

static void go_dark(VirtioGpu *g, unsigned n)
{
    g->scanout[n].resource = 0;
    if (is_vga(g, n)) {
        g->vga->foreign = false;
        g->vga->drawn->valid = false; /* all of it is to be drawn */
    } else if (g->display[n]) {
        Surface *to = display_draw(g->display[n], DARK_WIDTH, DARK_HEIGHT);
        memset(to->pixels, 0, (size_t)to->stride * to->height);
        display_damage(g->display[n], 0, 0, to->width, to->height);
        display_done(g->display[n]);
    }
}

GpuError gpu_set_scanout(VirtioGpu *g, uint32_t n, uint32_t resource, const GpuRect *rect)
{
    GpuResource *r = gpu_resource(g, resource);
    if (n >= g->max_outputs)
        return GPU_NO_SCANOUT;
    if (!resource) {
        go_dark(g, n);
        return GPU_OK;
    }
    if (!r)
        return GPU_NO_RESOURCE;
    if (!gpu_rect_inside(rect, r->width, r->height) || rect->width < SIDE_MIN || rect->height < SIDE_MIN || rect->width > DISPLAY_MAX_SIDE ||
        rect->height > DISPLAY_MAX_SIDE)
        return GPU_BAD_PARAMETER;
    GpuScanout *s = &g->scanout[n];
    s->resource = resource;
    s->x = rect->x;
    s->y = rect->y;
    s->width = rect->width;
    s->height = rect->height;
    if (is_vga(g, n))
        g->vga->foreign = true;
    draw_whole(g, n);
    return GPU_OK;
}

GpuError gpu_flush(VirtioGpu *g, uint32_t resource, const GpuRect *rect)
{
    GpuResource *r = gpu_resource(g, resource);
    if (!r)
        return GPU_NO_RESOURCE;
    if (!gpu_rect_inside(rect, r->width, r->height))
        return GPU_BAD_PARAMETER;
    for (unsigned n = 0; n < g->max_outputs; n++)
        if (g->scanout[n].resource == resource)
            draw(g, n, rect);
    return GPU_OK;
}

void gpu_resource_gone(VirtioGpu *g, uint32_t resource)
{
    for (unsigned n = 0; n < g->max_outputs; n++) {
        if (g->scanout[n].resource == resource)
            go_dark(g, n);
        if (g->scanout[n].cursor == resource)
            g->scanout[n].cursor = 0; /* the picture that viewers have of it stays */
    }
}

/* ---- cursors */

void gpu_set_cursor(VirtioGpu *g, uint32_t n, uint32_t resource, uint32_t hot_x, uint32_t hot_y)
{
    GpuResource *r = gpu_resource(g, resource);
    if (n >= g->max_outputs || !g->display[n])
        return;
    GpuScanout *s = &g->scanout[n];
    s->cursor = r ? resource : 0;
    s->hot_x = hot_x;
    s->hot_y = hot_y;
    if (!r) { /* hidden */
        display_set_cursor(g->display[n], cursor_create(1, 1, 0, 0));
        return;
    }
    gpu_resource_refresh(g, r);
    Cursor *c = cursor_create(MIN(r->width, CURSOR_SIDE), MIN(r->height, CURSOR_SIDE), MIN(hot_x, CURSOR_SIDE), MIN(hot_y, CURSOR_SIDE));
    for (int y = 0; y < c->height; y++)
        gpu_convert(r, 0, y, c->argb + y * c->width, c->width, true);
    display_set_cursor(g->display[n], c);
}

/* ---- lookers; the main thread, no lock held */

/* What the driver shows is drawn when it says so; only what came by loading is drawn here. */
static void update(void *opaque, bool all)
{
    GpuLook *l = opaque;
    VirtioGpu *g = l->gpu;
    g_mutex_lock(&g->base.pci.dev.lock);
    bool vga = is_vga(g, l->n) && !g->vga->foreign;
    if (l->late && !vga)
        draw_whole(g, l->n);
    l->late = false;
    g_mutex_unlock(&g->base.pci.dev.lock);
    if (vga)
        vga_update(g->vga, all);
}

/* A viewer's window is the monitor: the driver may change its mode. */
static void resize_hint(void *opaque, int width, int height)
{
    GpuLook *l = opaque;
    GpuScanout *s = &l->gpu->scanout[l->n];
    if (width < SIDE_HINT_MIN || height < SIDE_HINT_MIN || width > DISPLAY_MAX_SIDE || height > DISPLAY_MAX_SIDE)
        return;
    g_mutex_lock(&l->gpu->base.pci.dev.lock);
    if (s->want_width != (uint32_t)width || s->want_height != (uint32_t)height) {
        s->want_width = width;
        s->want_height = height;
        gpu_event(l->gpu);
    }
    g_mutex_unlock(&l->gpu->base.pci.dev.lock);
}

static const DisplaySource source = { .update = update, .resize_hint = resize_hint };

void gpu_screens_create(VirtioGpu *g)
{
    const char *path = g->base.pci.dev.path;
    for (unsigned n = 0; n < g->max_outputs; n++) {
        g_autofree char *name = n ? g_strdup_printf("%s.%u", path, n) : g_strdup(path);
        g->look[n] = (GpuLook){ .gpu = g, .n = n };
        g->display[n] = display_create(g->base.pci.dev.machine->screens, name, &source, &g->look[n]);
    }
}

void gpu_screens_destroy(VirtioGpu *g)
{
    for (unsigned n = 0; n < GPU_SCANOUTS; n++)
        g_clear_pointer(&g->display[n], display_destroy);
}

void gpu_screens_reset(VirtioGpu *g)
{
    for (unsigned n = 0; n < g->max_outputs; n++) {
        GpuScanout *s = &g->scanout[n];
        *s = (GpuScanout){ .want_width = s->want_width ? s->want_width : g->xres, .want_height = s->want_height ? s->want_height : g->yres };
        go_dark(g, n);
        display_set_cursor(g->display[n], NULL);
    }
}

/* What was saved must fit into what there is. */
void gpu_screens_check(VirtioGpu *g)
{
    for (unsigned n = 0; n < g->max_outputs; n++) {
        GpuScanout *s = &g->scanout[n];
        const GpuResource *r = gpu_resource(g, s->resource);
        GpuRect rect = { s->x, s->y, s->width, s->height };
        if (!r || !gpu_rect_inside(&rect, r->width, r->height) || s->width > DISPLAY_MAX_SIDE || s->height > DISPLAY_MAX_SIDE)
            go_dark(g, n);
        s->want_width = CLAMP(s->want_width, SIDE_HINT_MIN, DISPLAY_MAX_SIDE);
        s->want_height = CLAMP(s->want_height, SIDE_HINT_MIN, DISPLAY_MAX_SIDE);
        g->look[n].late = true;
    }
}
