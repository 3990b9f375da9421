/*
 * virtio_scsi.c - SCSI host adapter.  Virtio 1.2, section 5.6.
 *
 * Queue 0 manages tasks, queue 1 tells of events, the others take commands, which scsi.h understands; data go between
 * ring and image without a copy.
 */
#include "devices/virtio/virtio_scsi.h"

#include <string.h>

#include "base/iov.h"
#include "devices/storage/scsi_bus.h"
#include "devices/virtio/virtio_mmio.h"
#include "machine/machine.h"

enum { Q_CONTROL, Q_EVENT, Q_REQUESTS, MAX_QUEUES = VIRTIO_QUEUES - Q_REQUESTS };
enum { F_HOTPLUG = 1, F_CHANGE = 2 }; /* 5.6.3 */
enum { /* 5.6.4 */
    C_NUM_QUEUES = 0, C_SEG_MAX = 4, C_MAX_SECTORS = 8, C_PER_LUN = 12, C_EVENT_BYTES = 16, C_SENSE_BYTES = 20, C_CDB_BYTES = 24,
    C_MAX_CHANNEL = 28, C_MAX_TARGET = 30, C_MAX_LUN = 32, CONFIG_BYTES = 36,
};
enum { CDB_BYTES = 32, SENSE_BYTES = 96, REQUEST_BYTES = 19 + CDB_BYTES, RESPONSE_BYTES = 12 + SENSE_BYTES, EVENT_BYTES = 16 };
enum { RESP_OVERRUN = 1, RESP_BAD_TARGET = 3 }; /* 5.6.6.1 */
enum { GOOD = 0, CHECK_CONDITION = 2, REPORT_LUNS = 0xa0, INQUIRY = 0x12 };
enum { E_TRANSPORT_RESET = 1, E_PARAMETERS = 3, REASON_RESCAN = 1, REASON_REMOVED = 2 };
enum { LISTED = 4096 };
#define EVENTS_MISSED (1u << 31)

typedef struct __attribute__((packed)) Response {
    uint32_t sense_len, residual;
    uint16_t qualifier;
    uint8_t status, response, sense[SENSE_BYTES];
} Response;

typedef struct Request {
    DiskReq dr;
    VirtqChain chain;
    unsigned queue;
    ScsiPlug *plug;
    ScsiStep step;
    struct iovec *iov;   /* the data of the chain */
    unsigned n_iov;
    uint64_t room;       /* bytes of it */
} Request;

typedef struct VirtioScsi {
    VirtioPci base;
    char *iothread;
    uint32_t num_queues, queue_size;
    bool hotplug;
    bool missed; /* an event found no buffer */
    ScsiBus bus;
    uint8_t buf[LISTED];
} VirtioScsi;

static const Field fields[] = {
    VIRTIO_PCI_FIELDS(VirtioScsi, base),
    { F(VirtioScsi, iothread), .role = FIELD_PROP, .doc = "id of the iothread object that serves it" },
    { FN(VirtioScsi, num_queues, "num_queues"), .role = FIELD_PROP, .max = MAX_QUEUES, .doc = "request queues; 0: as many as CPUs" },
    { FN(VirtioScsi, queue_size, "virtqueue_size"), .role = FIELD_PROP, .reset = 256, .min = 8, .max = 1024, .doc = "entries of a queue, a power of two" },
    { F(VirtioScsi, hotplug), .role = FIELD_PROP, .reset = 1, .doc = "the guest hears of units that come and go" },
    { F(VirtioScsi, missed), .doc = "an event found no buffer" },
    { FO(VirtioScsi, bus), .role = FIELD_HOST },
    { FO(VirtioScsi, buf), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static VirtioScsi *scsi_of(Virtio *v) { return (VirtioScsi *)v->dev; }

/* ---- answers */

static void respond(VirtioScsi *s, Request *r, const Response *response, uint64_t moved)
{
    VirtqChain *c = &r->chain;
    iov_write(c->in.iov, c->in.n, 0, response, sizeof(*response));
    virtq_push(&s->base.virtio, r->queue, c, moved ? c->in.len : sizeof(*response));
    virtq_signal(&s->base.virtio, r->queue);
    g_free(r->iov);
    g_free(r);
}

static void fail(VirtioScsi *s, Request *r, uint8_t code) { respond(s, r, &(Response){ .response = code }, 0); }

/* The command has ended; the unit has the sense. */
static void end(VirtioScsi *s, Request *r, bool ok, uint64_t moved)
{
    Response response = { .status = ok ? GOOD : CHECK_CONDITION, .residual = r->room - MIN(moved, r->room) };
    if (!ok) {
        scsi_put_sense(&r->plug->unit, response.sense);
        response.sense_len = SCSI_SENSE_BYTES;
    }
    respond(s, r, &response, moved);
}

static void reply(VirtioScsi *s, Request *r, unsigned bytes)
{
    uint64_t moved = iov_write(r->iov, r->n_iov, 0, s->buf, bytes);
    end(s, r, true, moved);
}

static void done(DiskReq *dr, int status)
{
    Request *r = (Request *)dr;
    VirtioScsi *s = (VirtioScsi *)r->plug->on->bus.owner;
    if (status)
        scsi_io_error(&r->plug->unit, r->step, status);
    end(s, r, !status, dr->req.iov ? dr->req.len : 0);
}

/* ---- commands */

static const BlkOp ops[] = { [SCSI_READ] = BLK_READ, [SCSI_WRITE] = BLK_WRITE, [SCSI_FLUSH] = BLK_FLUSH, [SCSI_ZERO] = BLK_ZERO, [SCSI_DISCARD] = BLK_DISCARD };

static void submit(VirtioScsi *s, Request *r, const ScsiTask *t)
{
    bool data = r->step == SCSI_READ || r->step == SCSI_WRITE;
    r->dr = (DiskReq){ .req = { .op = ops[r->step], .flags = t->flags, .off = t->off, .len = t->len }, .done = done };
    if (data && r->room < t->len) {
        fail(s, r, RESP_OVERRUN);
        return;
    }
    if (data) { /* what is longer than the command's data is left alone */
        size_t bytes;
        struct iovec *iov = g_new(struct iovec, r->n_iov);
        r->dr.req.niov = iov_slice(r->iov, r->n_iov, 0, t->len, iov, r->n_iov, &bytes);
        g_free(r->iov);
        r->dr.req.iov = r->iov = iov;
    }
    disk_submit(&r->plug->disk, &r->dr);
}

static void run(VirtioScsi *s, Request *r, const uint8_t *cdb)
{
    ScsiTask t = { .cdb = cdb, .buf = s->buf, .out = r->iov, .n_out = r->n_iov };
    r->step = scsi_run(&r->plug->unit, &t);
    switch (r->step) {
    case SCSI_GOOD:
    case SCSI_FAILED:
    case SCSI_VERIFY: /* nothing to compare with */
        end(s, r, r->step != SCSI_FAILED, 0);
        break;
    case SCSI_REPLY:
        reply(s, r, t.bytes);
        break;
    default:
        submit(s, r, &t);
    }
}

/* A target that has other units says what they are. */
static void without_unit(VirtioScsi *s, Request *r, const uint8_t *cdb, unsigned listed)
{
    if (cdb[0] == REPORT_LUNS && listed) {
        reply(s, r, MIN(listed, be32(cdb + 6)));
    } else if (cdb[0] == INQUIRY && listed) {
        memset(s->buf, 0, 36);
        s->buf[0] = 0x7f; /* no unit here */
        s->buf[4] = 31;
        reply(s, r, MIN(36, be16(cdb + 3)));
    } else {
        fail(s, r, RESP_BAD_TARGET);
    }
}

/* The data of a chain: what follows the header of its direction. */
static void take_data(Request *r)
{
    const DmaMap *m = r->chain.in.len > RESPONSE_BYTES ? &r->chain.in : &r->chain.out;
    uint64_t head = m->to_memory ? RESPONSE_BYTES : REQUEST_BYTES;
    size_t bytes;
    r->room = m->len - head;
    r->iov = g_new(struct iovec, m->n);
    r->n_iov = iov_slice(m->iov, m->n, head, r->room, r->iov, m->n, &bytes);
}

static void command(VirtioScsi *s, unsigned n, VirtqChain *c)
{
    uint8_t request[REQUEST_BYTES];
    iov_read(c->out.iov, c->out.n, 0, request, sizeof(request));
    const uint8_t *lun = request, *cdb = request + 19;
    Request *r = g_new0(Request, 1);
    r->chain = *c;
    r->queue = n;
    take_data(r);
    unsigned unit = (lun[2] & 0x3f) << 8 | lun[3], listed = scsi_bus_report(&s->bus, lun[1], s->buf, LISTED);
    r->plug = lun[0] == 1 ? scsi_bus_find(&s->bus, lun[1], unit) : NULL;
    if (r->plug && cdb[0] != REPORT_LUNS)
        run(s, r, cdb);
    else
        without_unit(s, r, cdb, listed);
}

/* ---- task management and events */

/* What is under way comes to its end, which is all that an abort promises. */
static void control(VirtioScsi *s, VirtqChain *c)
{
    uint8_t request[24] = { 0 }, answer[5] = { 0 };
    bool task = iov_read(c->out.iov, c->out.n, 0, request, sizeof(request)) == sizeof(request) && !request[0];
    if (task) {
        ScsiPlug *p = scsi_bus_find(&s->bus, request[9], (request[10] & 0x3f) << 8 | request[11]);
        if (p)
            disk_quiesce(&p->disk);
        else
            answer[0] = RESP_BAD_TARGET;
    }
    uint32_t written = iov_write(c->in.iov, c->in.n, 0, answer, task ? 1 : sizeof(answer));
    virtq_push(&s->base.virtio, Q_CONTROL, c, written);
}

static void send_event(VirtioScsi *s, uint32_t event, const ScsiPlug *p, uint32_t reason)
{
    VirtqChain c;
    uint8_t e[EVENT_BYTES] = { event, 0, 0, s->missed ? 0x80 : 0, 1, p ? p->scsi_id : 0, 0x40, p ? p->lun : 0, 0, 0, 0, 0, reason };
    if (!virtq_pop(&s->base.virtio, Q_EVENT, &c)) {
        s->missed = true;
        return;
    }
    s->missed = false;
    uint32_t written = iov_write(c.in.iov, c.in.n, 0, e, sizeof(e));
    virtq_push(&s->base.virtio, Q_EVENT, &c, written);
    virtq_signal(&s->base.virtio, Q_EVENT);
}

static void changed(Device *d, ScsiPlug *p, bool there)
{
    VirtioScsi *s = (VirtioScsi *)d;
    if (virtio_has(&s->base.virtio, F_HOTPLUG))
        send_event(s, E_TRANSPORT_RESET, p, there ? REASON_RESCAN : REASON_REMOVED);
}

/* ---- queues */

static bool is_whole(const VirtqChain *c, unsigned n)
{
    return n == Q_CONTROL ? c->out.len >= 4 && c->in.len : c->out.len >= REQUEST_BYTES && c->in.len >= RESPONSE_BYTES;
}

static void notified(Virtio *v, unsigned n)
{
    VirtioScsi *s = scsi_of(v);
    VirtqChain c;
    if (n == Q_EVENT) {
        if (s->missed)
            send_event(s, 0, NULL, 0);
        return;
    }
    while (virtq_pop(v, n, &c)) {
        if (!is_whole(&c, n)) {
            virtio_fail(v, "a request is shorter than its headers");
            virtq_drop(&c);
            return;
        }
        if (n == Q_CONTROL)
            control(s, &c);
        else
            command(s, n, &c);
    }
    virtq_signal(v, n);
}

static void quiesce(Virtio *v) { scsi_bus_quiesce(&scsi_of(v)->bus); }

/* ---- configuration and life */

static void put(VirtioScsi *s, unsigned off, unsigned bytes, uint64_t value) { memcpy(s->base.virtio.config + off, &value, bytes); }

static void fill_config(VirtioScsi *s)
{
    put(s, C_NUM_QUEUES, 4, s->base.virtio.n_queues - Q_REQUESTS);
    put(s, C_SEG_MAX, 4, s->base.virtio.queue_size - 2);
    put(s, C_MAX_SECTORS, 4, 0xffff);
    put(s, C_PER_LUN, 4, 128);
    put(s, C_EVENT_BYTES, 4, EVENT_BYTES);
    put(s, C_SENSE_BYTES, 4, SENSE_BYTES);
    put(s, C_CDB_BYTES, 4, CDB_BYTES);
    put(s, C_MAX_CHANNEL, 2, 0);
    put(s, C_MAX_TARGET, 2, SCSI_TARGETS - 1);
    put(s, C_MAX_LUN, 4, SCSI_LUNS - 1);
}

/* Sizes of sense and command are as they are. */
static void config_written(Virtio *v, unsigned off, unsigned size) { fill_config(scsi_of(v)); }

static const VirtioType scsi_type = {
    .id = 8, .n_queues = Q_REQUESTS + 1, .queue_size = 256, .config_bytes = CONFIG_BYTES, .own_queues = Q_REQUESTS,
    .notified = notified, .quiesce = quiesce, .config_written = config_written,
};

static bool realize(Device *d, GError **err)
{
    VirtioScsi *s = (VirtioScsi *)d;
    Virtio *v = &s->base.virtio;
    if (s->queue_size & (s->queue_size - 1))
        return error_set(err, ERR_INVALID, "%s: virtqueue_size is a power of two, not %u", d->path, s->queue_size);
    virtio_pci_prepare(&s->base, &scsi_type);
    v->n_queues = Q_REQUESTS + (s->num_queues ? s->num_queues : CLAMP(d->machine->config.cpus, 1, MAX_QUEUES));
    v->queue_size = s->queue_size;
    v->offered |= (uint64_t)s->hotplug << F_HOTPLUG | 1ull << F_CHANGE;
    if (!virtio_pci_realize(&s->base, &scsi_type, err))
        return false;
    scsi_bus_init(&s->bus, d, changed);
    s->bus.iothread = s->iothread;
    IoThread *t = s->iothread ? machine_share_backend(d->machine, BACKEND_IOTHREAD, s->iothread, d, err) : d->machine->io_thread;
    virtio_set_thread(v, t);
    return t || !s->iothread;
}

static void unrealize(Device *d)
{
    VirtioScsi *s = (VirtioScsi *)d;
    if (s->iothread && s->base.virtio.thread)
        machine_unshare_backend(d->machine, BACKEND_IOTHREAD, s->iothread);
    virtio_clear_thread(&s->base.virtio);
    scsi_bus_finish(&s->bus);
}

static void reset(Device *d, ResetKind k)
{
    virtio_pci_reset(d, k);
    fill_config((VirtioScsi *)d);
}

static bool post_load(Device *d, GError **err)
{
    fill_config((VirtioScsi *)d);
    return virtio_pci_post_load(d, err);
}

static const PciInfo pci_info = VIRTIO_PCI_INFO(0x1004, 0x010000, VIRTIO_QUEUES + 1);

#define SCSI_TYPE                                                                                                      \
    .summary = "virtio SCSI host adapter", .spec = "Virtio 1.2, 5.6", .size = sizeof(VirtioScsi), .version = 1, .fields = fields, \
    .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = virtio_pci_pre_save, .post_load = post_load

VIRTIO_PCI_TYPES(virtio_scsi_pci_type, "virtio-scsi-pci", SCSI_TYPE, .windows = virtio_pci_windows, .pci = &pci_info);
VIRTIO_MMIO_TYPE(virtio_scsi_device_type, "virtio-scsi-device", SCSI_TYPE);
