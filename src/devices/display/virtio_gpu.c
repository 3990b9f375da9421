/* virtio_gpu.c - the device: its queues, commands and configuration.  Virtio 1.2, 5.7. */
#include "devices/display/virtio_gpu.h"

#include <string.h>

#include "base/iov.h"
#include "devices/display/edid.h"
#include "machine/machine.h"

enum { QUEUE_CONTROL, QUEUE_CURSOR, QUEUES, FEATURE_EDID = 1, EVENT_DISPLAY = 1, FLAG_FENCE = 1, EDID_ROOM = 1024 };
enum { CFG_EVENTS = 0, CFG_EVENTS_CLEAR = 4, CFG_SCANOUTS = 8, CFG_BYTES = 16 };
enum { GET_DISPLAY_INFO = 0x100, CREATE_2D, UNREF, SET_SCANOUT, FLUSH, TRANSFER_TO_HOST_2D, ATTACH_BACKING, DETACH_BACKING, GET_EDID = 0x10a,
       UPDATE_CURSOR = 0x300, MOVE_CURSOR, OK_DISPLAY_INFO = 0x1101, OK_EDID = 0x1104 };
/* The longest request is the list of a resource's memory. */
enum { HEADER_BYTES = 24, ATTACH_BYTES = HEADER_BYTES + 8, ENTRY_BYTES = 16, REQUEST_MAX = ATTACH_BYTES + GPU_PIECES_MAX * ENTRY_BYTES, MODE_BYTES = 24 };

/* What came in, and what goes back. */
typedef struct Request {
    const uint8_t *bytes;
    size_t n;
    uint8_t answer[HEADER_BYTES + 8 + EDID_ROOM];
    size_t answer_bytes;
} Request;

static VirtioGpu *of(Virtio *v) { return (VirtioGpu *)v->dev; }

static uint32_t word(const Request *r, unsigned at)
{
    uint32_t v = 0;
    memcpy(&v, r->bytes + at, 4);
    return GUINT32_FROM_LE(v);
}

static uint64_t word64(const Request *r, unsigned at) { return word(r, at) | (uint64_t)word(r, at + 4) << 32; }
static GpuRect rect(const Request *r, unsigned at) { return (GpuRect){ word(r, at), word(r, at + 4), word(r, at + 8), word(r, at + 12) }; }

static void put_word(Request *r, unsigned at, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    memcpy(r->answer + at, &v, 4);
}

/* ---- commands: 5.7.6.8 */

static unsigned display_info(VirtioGpu *g, Request *r)
{
    for (unsigned n = 0; n < g->max_outputs; n++) {
        put_word(r, HEADER_BYTES + n * MODE_BYTES + 8, g->scanout[n].want_width);
        put_word(r, HEADER_BYTES + n * MODE_BYTES + 12, g->scanout[n].want_height);
        put_word(r, HEADER_BYTES + n * MODE_BYTES + 16, 1);
    }
    r->answer_bytes = HEADER_BYTES + GPU_SCANOUTS * MODE_BYTES;
    return OK_DISPLAY_INFO;
}

static unsigned get_edid(VirtioGpu *g, Request *r)
{
    uint32_t n = word(r, HEADER_BYTES);
    if (!virtio_has(&g->base.virtio, FEATURE_EDID))
        return GPU_FAILED;
    if (n >= g->max_outputs)
        return GPU_BAD_PARAMETER;
    put_word(r, HEADER_BYTES, EDID_BYTES);
    edid_fill(r->answer + HEADER_BYTES + 8, MIN(g->scanout[n].want_width, 4095), MIN(g->scanout[n].want_height, 4095));
    r->answer_bytes = HEADER_BYTES + 8 + EDID_ROOM;
    return OK_EDID;
}

static unsigned create_2d(VirtioGpu *g, Request *r) { return gpu_resource_create(g, word(r, 24), word(r, 28), word(r, 32), word(r, 36)); }
static unsigned unref(VirtioGpu *g, Request *r) { return gpu_resource_destroy(g, word(r, 24)); }

static unsigned set_scanout(VirtioGpu *g, Request *r)
{
    GpuRect where = rect(r, 24);
    return gpu_set_scanout(g, word(r, 40), word(r, 44), &where);
}

static unsigned flush(VirtioGpu *g, Request *r)
{
    GpuRect where = rect(r, 24);
    return gpu_flush(g, word(r, 40), &where);
}

static unsigned transfer(VirtioGpu *g, Request *r)
{
    GpuRect where = rect(r, 24);
    return gpu_resource_fetch(g, word(r, 48), &where, word64(r, 40));
}

static unsigned attach(VirtioGpu *g, Request *r)
{
    uint32_t n = word(r, 28);
    if (n > (r->n - ATTACH_BYTES) / ENTRY_BYTES)
        return GPU_FAILED;
    return gpu_resource_attach(g, word(r, 24), r->bytes + ATTACH_BYTES, n);
}

static unsigned detach(VirtioGpu *g, Request *r) { return gpu_resource_detach(g, word(r, 24)); }

/* Viewers move the pointer themselves; its picture is what they need. */
static unsigned cursor(VirtioGpu *g, Request *r)
{
    if (word(r, 0) == UPDATE_CURSOR)
        gpu_set_cursor(g, word(r, 24), word(r, 40), word(r, 44), word(r, 48));
    return GPU_OK;
}

static const struct {
    uint32_t type;
    uint16_t bytes; /* of the request, at least */
    uint8_t queue;
    unsigned (*run)(VirtioGpu *g, Request *r);
} commands[] = {
    { GET_DISPLAY_INFO, 24, QUEUE_CONTROL, display_info }, { CREATE_2D, 40, QUEUE_CONTROL, create_2d }, { UNREF, 32, QUEUE_CONTROL, unref },
    { SET_SCANOUT, 48, QUEUE_CONTROL, set_scanout },       { FLUSH, 48, QUEUE_CONTROL, flush },         { TRANSFER_TO_HOST_2D, 56, QUEUE_CONTROL, transfer },
    { ATTACH_BACKING, ATTACH_BYTES, QUEUE_CONTROL, attach },{ DETACH_BACKING, 32, QUEUE_CONTROL, detach },{ GET_EDID, 32, QUEUE_CONTROL, get_edid },
    { UPDATE_CURSOR, 52, QUEUE_CURSOR, cursor },           { MOVE_CURSOR, 52, QUEUE_CURSOR, cursor },
};

static unsigned run(VirtioGpu *g, unsigned queue, Request *r)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands) && r->n >= HEADER_BYTES; i++)
        if (commands[i].type == word(r, 0) && commands[i].queue == queue && r->n >= commands[i].bytes)
            return commands[i].run(g, r);
    guest_error(&g->base.pci.dev, "command %xh of %zu bytes is not known", r->n >= 4 ? word(r, 0) : 0, r->n);
    return GPU_FAILED;
}

/* 5.7.6.7: a fence comes back with the answer; all is done by then. */
static void answer(Request *r, unsigned type)
{
    put_word(r, 0, type);
    if (r->n < HEADER_BYTES || !(word(r, 4) & FLAG_FENCE))
        return;
    memcpy(r->answer + 4, r->bytes + 4, HEADER_BYTES - 4);
    put_word(r, 4, FLAG_FENCE);
}

static void run_chain(VirtioGpu *g, unsigned queue, VirtqChain *c)
{
    size_t n = MIN(c->out.len, REQUEST_MAX);
    g_autofree uint8_t *bytes = g_malloc0(MAX(n, 1));
    Request r = { .bytes = bytes, .n = iov_read(c->out.iov, c->out.n, 0, bytes, n), .answer_bytes = HEADER_BYTES };
    answer(&r, run(g, queue, &r));
    virtq_push(&g->base.virtio, queue, c, iov_write(c->in.iov, c->in.n, 0, r.answer, r.answer_bytes));
}

static void notified(Virtio *v, unsigned queue)
{
    VirtqChain c;
    while (virtq_pop(v, queue, &c))
        run_chain(of(v), queue, &c);
    virtq_signal(v, queue);
}

/* ---- configuration: 5.7.4 */

static void fill_config(VirtioGpu *g)
{
    const uint32_t words[CFG_BYTES / 4] = { g->events, 0, g->max_outputs, 0 };
    for (unsigned i = 0; i < CFG_BYTES / 4; i++) {
        uint32_t le = GUINT32_TO_LE(words[i]);
        memcpy(g->base.virtio.config + i * 4, &le, 4);
    }
}

static void config_written(Virtio *v, unsigned off, unsigned size)
{
    uint32_t clear;
    memcpy(&clear, v->config + CFG_EVENTS_CLEAR, 4);
    of(v)->events &= ~GUINT32_FROM_LE(clear);
    fill_config(of(v));
}

void gpu_event(VirtioGpu *g)
{
    g->events |= EVENT_DISPLAY;
    fill_config(g);
    virtio_config_changed(&g->base.virtio);
}

/* ---- life */

static void reset_gpu(Virtio *v)
{
    VirtioGpu *g = of(v);
    gpu_screens_reset(g);
    gpu_resources_clear(g);
    g->events = 0;
    fill_config(g);
}

static const VirtioType gpu_type = { .id = 16, .n_queues = QUEUES, .queue_size = 256, .config_bytes = CFG_BYTES, .notified = notified, .reset = reset_gpu,
                                     .config_written = config_written };

bool virtio_gpu_realize(VirtioGpu *g, GError **err)
{
    g_free(g->base.disable_legacy); /* there is no legacy interface of this device */
    g->base.disable_legacy = g_strdup("on");
    g->resources = g_hash_table_new(NULL, NULL);
    virtio_pci_prepare(&g->base, &gpu_type);
    g->base.virtio.offered |= g->edid ? 1u << FEATURE_EDID : 0;
    if (!virtio_pci_realize(&g->base, &gpu_type, err))
        return false;
    gpu_screens_create(g);
    return true;
}

void virtio_gpu_unrealize(Device *d)
{
    VirtioGpu *g = (VirtioGpu *)d;
    gpu_screens_destroy(g);
    if (g->resources)
        gpu_resources_clear(g);
    g_clear_pointer(&g->resources, g_hash_table_unref);
}

void virtio_gpu_reset(Device *d, ResetKind k) { virtio_pci_reset(d, k); }

void virtio_gpu_pre_save(Device *d)
{
    VirtioGpu *g = (VirtioGpu *)d;
    g_free(g->saved);
    g->saved = gpu_resources_save(g);
}

bool virtio_gpu_post_load(Device *d, GError **err)
{
    VirtioGpu *g = (VirtioGpu *)d;
    if (!gpu_resources_load(g, g->saved, err) || !virtio_pci_post_load(d, err))
        return false;
    gpu_screens_check(g);
    fill_config(g);
    return true;
}

static bool realize(Device *d, GError **err) { return virtio_gpu_realize((VirtioGpu *)d, err); }

typedef struct GpuPci {
    VirtioGpu gpu;
} GpuPci;
static const Field fields[] = { VIRTIO_GPU_FIELDS(GpuPci, gpu), DEVICE_FIELDS_END };
static const PciInfo info = VIRTIO_PCI_INFO(0x1050, 0x038000, QUEUES + 1);

const DeviceType virtio_gpu_pci_type = {
    .name = "virtio-gpu-pci", .summary = "virtio display adapter (2D)", .spec = "Virtio 1.2, 5.7", .size = sizeof(GpuPci), .version = 1,
    .fields = fields, .windows = virtio_pci_windows, .pci = &info,
    .realize = realize, .unrealize = virtio_gpu_unrealize, .reset = virtio_gpu_reset, .pre_save = virtio_gpu_pre_save, .post_load = virtio_gpu_post_load,
};
