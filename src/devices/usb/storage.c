/*
 * storage.c - usb-storage: a SCSI disk behind a USB plug.  USB Mass Storage Class, Bulk-Only Transport 1.0 ("BOT").
 *
 * A command comes as a wrapper on the bulk OUT endpoint; its data follow on one of the two, its status on the bulk IN endpoint.  The
 * controller hands over transfers of any size, and one that has to wait for the image is answered USB_NAK and comes again: what was
 * read waits in `data`, what is to be written is gathered there.
 */
#include <string.h>

#include "devices/storage/scsi.h"
#include "devices/usb/usb.h"

enum { BOT_RESET = 0xff, BOT_MAX_LUN = 0xfe, CBW_BYTES = 31, CSW_BYTES = 13, CBW_IN = 0x80, ENDPOINT_IN = USB_IN | 1, ENDPOINT_OUT = 2 };
enum { GATHER = 64 << 10, PARAMETERS_MAX = SCSI_BUF, PACKET_FULL = 64 };
static const uint32_t CBW_SIGNATURE = 0x43425355, CSW_SIGNATURE = 0x53425355;

typedef enum BotPhase { BOT_COMMAND, BOT_PARAMETERS, BOT_IN, BOT_OUT, BOT_BUSY, BOT_STATUS, BOT_BROKEN, BOT_PHASES } BotPhase;
typedef enum BotStatus { BOT_PASSED, BOT_FAILED, BOT_PHASE_ERROR } BotStatus; /* BOT 5.2 */

typedef struct UsbStorage {
    UsbDevice usb;
    Disk disk;
    ScsiUnit unit;
    bool removable;
    uint8_t phase, status, step;
    uint8_t cdb[SCSI_CDB_BYTES];
    bool in; /* the host expects data */
    uint32_t tag, expected, moved, used; /* bytes that the host wants to move, that have been, and that meant something */
    uint64_t off, left;                  /* of the image: what has not been handed out, or gathered */
    uint32_t flags;
    uint32_t n_kept;
    uint8_t kept[GATHER]; /* data, while the state is saved */
    /* Host. */
    GByteArray *data;
    uint32_t pos;       /* of data: handed out up to there */
    unsigned epoch;     /* grows with each reset: requests of before say nothing */
    bool under_way, submitting;
} UsbStorage;

typedef struct Request {
    DiskReq dr;
    UsbStorage *storage;
    unsigned epoch;
    GByteArray *data; /* NULL: none */
    struct iovec iov;
} Request;

/* ---- phases */

static void clear_data(UsbStorage *s)
{
    g_byte_array_set_size(s->data, 0);
    s->pos = 0;
}

static void forget_command(UsbStorage *s)
{
    clear_data(s);
    s->phase = BOT_COMMAND;
    s->epoch++;
    s->under_way = false;
    s->left = 0;
}

/* What the host still expects to move is moved, though it may mean nothing: BOT 6.7. */
static void finish_command(UsbStorage *s, BotStatus status)
{
    s->status = MAX(s->status, status);
    s->left = 0;
    s->phase = s->moved == s->expected ? BOT_STATUS : s->in ? BOT_IN : BOT_OUT;
}

/* ---- the image */

static const BlkOp ops[] = { [SCSI_READ] = BLK_READ, [SCSI_WRITE] = BLK_WRITE, [SCSI_FLUSH] = BLK_FLUSH, [SCSI_ZERO] = BLK_ZERO, [SCSI_DISCARD] = BLK_DISCARD };

static void take_result(UsbStorage *s, Request *r, int status)
{
    bool read = r->dr.req.op == BLK_READ;
    s->under_way = false;
    if (status)
        scsi_io_error(&s->unit, s->step, status);
    if (read && !status) {
        g_byte_array_unref(s->data);
        s->data = g_steal_pointer(&r->data);
        return;
    }
    if (status || s->phase == BOT_BUSY)
        finish_command(s, status ? BOT_FAILED : BOT_PASSED);
}

static void request_done(DiskReq *dr, int status)
{
    Request *r = (Request *)dr;
    UsbStorage *s = r->storage;
    bool current = r->epoch == s->epoch, at_once = s->submitting;
    if (current)
        take_result(s, r, status);
    if (r->data)
        g_byte_array_unref(r->data);
    g_free(r);
    if (!current || at_once)
        return;
    usb_wakeup(&s->usb, ENDPOINT_OUT);
    usb_wakeup(&s->usb, ENDPOINT_IN);
}

/* data: of a read the room for it, of a write what to write; ours now. */
static void submit(UsbStorage *s, BlkOp op, uint64_t off, uint64_t len, GByteArray *data)
{
    Request *r = g_new0(Request, 1);
    *r = (Request){ .storage = s, .epoch = s->epoch, .data = data };
    r->dr = (DiskReq){ .req = { .op = op, .flags = s->flags, .off = off, .len = len }, .done = request_done };
    if (data) {
        r->iov = (struct iovec){ data->data, data->len };
        r->dr.req.iov = &r->iov;
        r->dr.req.niov = 1;
    }
    s->under_way = s->submitting = true;
    disk_submit(&s->disk, &r->dr);
    s->submitting = false;
}

/* At least `want` bytes from where the host has got to. */
static void read_ahead(UsbStorage *s, unsigned want)
{
    uint64_t len = MIN(MAX(want, GATHER), s->left);
    GByteArray *room = g_byte_array_sized_new(len);
    clear_data(s);
    submit(s, BLK_READ, s->off, len, g_byte_array_set_size(room, len));
}

static void write_gathered(UsbStorage *s)
{
    GByteArray *data = g_steal_pointer(&s->data);
    s->data = g_byte_array_new();
    if (!s->left)
        s->phase = s->moved == s->expected ? BOT_BUSY : BOT_OUT;
    submit(s, BLK_WRITE, s->off - data->len, data->len, data);
}

/* ---- commands */

static void reply(UsbStorage *s, const ScsiTask *t)
{
    g_byte_array_append(s->data, t->buf, t->bytes);
    s->left = t->bytes;
    s->phase = BOT_IN;
    if (!s->in || !s->expected)
        finish_command(s, BOT_PHASE_ERROR);
}

static void move(UsbStorage *s, const ScsiTask *t)
{
    bool in = s->step == SCSI_READ;
    s->off = t->off;
    s->left = MIN(t->len, s->expected);
    s->phase = in ? BOT_IN : BOT_OUT;
    if (t->len > s->expected)
        s->status = BOT_PHASE_ERROR; /* the host wants less: cases 2, 3, 7 and 13 of BOT 6.7 */
    if (!s->left || in != s->in)
        finish_command(s, BOT_PHASE_ERROR);
}

static void run(UsbStorage *s, const struct iovec *out, unsigned n_out)
{
    uint8_t buf[SCSI_BUF];
    ScsiTask t = { .cdb = s->cdb, .buf = buf, .out = out, .n_out = n_out };
    s->step = scsi_run(&s->unit, &t);
    s->flags = t.flags;
    clear_data(s);
    switch (s->step) {
    case SCSI_GOOD:
    case SCSI_FAILED:
    case SCSI_VERIFY: /* nothing to compare with */
        finish_command(s, s->step == SCSI_FAILED ? BOT_FAILED : BOT_PASSED);
        break;
    case SCSI_REPLY:
        reply(s, &t);
        break;
    case SCSI_READ:
    case SCSI_WRITE:
        move(s, &t);
        break;
    default:
        s->phase = BOT_BUSY;
        submit(s, ops[s->step], t.off, t.len, NULL);
    }
}

/* Commands whose data are parameters, which they are run with: MODE SELECT, WRITE SAME, UNMAP. */
static bool takes_parameters(uint8_t code) { return code == 0x15 || code == 0x55 || code == 0x41 || code == 0x93 || code == 0x42; }

static UsbStatus begin_command(UsbStorage *s, const UsbTransfer *t)
{
    const uint8_t *w = t->data;
    uint32_t head[3] = { 0 };
    memcpy(head, w, MIN(t->length, sizeof(head)));
    if (t->length != CBW_BYTES || GUINT32_FROM_LE(head[0]) != CBW_SIGNATURE || w[13] || !w[14] || w[14] > SCSI_CDB_BYTES) {
        guest_error(&s->usb.dev, "a command wrapper of %u bytes that is none", t->length);
        s->phase = BOT_BROKEN; /* until a reset: BOT 6.6.1 */
        return USB_STALL;
    }
    s->tag = head[1];
    s->expected = GUINT32_FROM_LE(head[2]);
    s->in = w[12] & CBW_IN;
    s->moved = s->used = 0;
    s->status = BOT_PASSED;
    memset(s->cdb, 0, sizeof(s->cdb));
    memcpy(s->cdb, w + 15, w[14]);
    if (s->expected && s->expected <= PARAMETERS_MAX && !s->in && takes_parameters(s->cdb[0]))
        s->phase = BOT_PARAMETERS;
    else
        run(s, NULL, 0);
    return USB_OK;
}

/* ---- transfers */

static void take_parameters(UsbStorage *s, UsbTransfer *t)
{
    g_byte_array_append(s->data, t->data, t->actual);
    s->moved += t->actual;
    s->used = s->moved;
    if (s->moved < s->expected)
        return;
    g_autoptr(GByteArray) parameters = g_steal_pointer(&s->data);
    const struct iovec iov = { parameters->data, parameters->len };
    s->data = g_byte_array_new();
    run(s, &iov, 1);
}

static void gather(UsbStorage *s, UsbTransfer *t)
{
    unsigned n = MIN(t->actual, s->left);
    g_byte_array_append(s->data, t->data, n);
    s->moved += t->actual;
    s->used += n;
    s->off += n;
    s->left -= n;
    if (s->data->len && (!s->left || s->data->len >= GATHER))
        write_gathered(s);
    else if (s->moved == s->expected)
        s->phase = BOT_STATUS;
}

static UsbStatus transfer_out(UsbStorage *s, UsbTransfer *t)
{
    if (s->under_way || s->phase == BOT_BUSY)
        return USB_NAK;
    t->actual = s->phase == BOT_COMMAND ? t->length : MIN(t->length, s->expected - s->moved);
    switch (s->phase) {
    case BOT_COMMAND:
        return begin_command(s, t);
    case BOT_PARAMETERS:
        take_parameters(s, t);
        return USB_OK;
    case BOT_OUT:
        gather(s, t);
        return USB_OK;
    }
    t->actual = 0;
    return USB_STALL;
}

static UsbStatus hand_out(UsbStorage *s, UsbTransfer *t)
{
    unsigned n = MIN(MIN(t->length, s->expected - s->moved), s->left);
    if (n > s->data->len - s->pos && s->step == SCSI_READ) {
        read_ahead(s, n);
        if (s->under_way)
            return USB_NAK;
        n = MIN(n, s->left); /* nothing where that failed */
    }
    if (n)
        memcpy(t->data, s->data->data + s->pos, n);
    s->pos += n;
    s->off += n;
    s->left -= n;
    s->moved += n;
    s->used += n;
    t->actual = n;
    if (n < t->length || s->moved == s->expected)
        s->phase = BOT_STATUS;
    return USB_OK;
}

static UsbStatus tell_status(UsbStorage *s, UsbTransfer *t)
{
    if (t->length < CSW_BYTES)
        return USB_BABBLE;
    const uint32_t words[] = { GUINT32_TO_LE(CSW_SIGNATURE), s->tag, GUINT32_TO_LE(s->expected - s->used) };
    memcpy(t->data, words, sizeof(words));
    t->data[12] = s->status;
    t->actual = CSW_BYTES;
    clear_data(s);
    s->phase = BOT_COMMAND;
    return USB_OK;
}

static UsbStatus transfer_in(UsbStorage *s, UsbTransfer *t)
{
    if (s->under_way)
        return USB_NAK;
    switch (s->phase) {
    case BOT_IN:
        return hand_out(s, t);
    case BOT_STATUS:
        return tell_status(s, t);
    case BOT_BROKEN:
        return USB_STALL;
    }
    return USB_NAK;
}

/* Each of the two may have waited for what the other has brought about. */
static UsbStatus transfer(UsbDevice *u, UsbTransfer *t)
{
    UsbStorage *s = (UsbStorage *)u;
    bool out = t->endpoint == ENDPOINT_OUT;
    if (!out && t->endpoint != ENDPOINT_IN)
        return USB_STALL;
    UsbStatus status = out ? transfer_out(s, t) : transfer_in(s, t);
    if (status == USB_OK)
        usb_wakeup(u, out ? ENDPOINT_IN : ENDPOINT_OUT);
    return status;
}

static UsbStatus control(UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    if (s->type == (USB_CLASS | USB_INTERFACE) && s->request == BOT_RESET && !s->length) {
        forget_command((UsbStorage *)u);
        return USB_OK;
    }
    if (s->type != (USB_IN | USB_CLASS | USB_INTERFACE) || s->request != BOT_MAX_LUN || !s->length)
        return USB_STALL;
    data[0] = 0;
    *actual = 1;
    return USB_OK;
}

static void bus_reset(UsbDevice *u) { forget_command((UsbStorage *)u); }
static void quiesce(UsbDevice *u) { disk_quiesce(&((UsbStorage *)u)->disk); }

static void let_go(UsbDevice *u)
{
    UsbStorage *s = (UsbStorage *)u;
    g_mutex_lock(s->disk.lock);
    forget_command(s);
    disk_quiesce(&s->disk);
    g_mutex_unlock(s->disk.lock);
    if (s->disk.thread)
        io_thread_settle(s->disk.thread);
    if (s->disk.blk)
        blk_drain(s->disk.blk);
    s->disk.lock = &u->dev.lock;
}

/* ---- life */

static const uint8_t configuration[] = {
    9, USB_DT_CONFIGURATION, 9 + 9 + 7 + 7, 0, 1, 1, 0, 0xc0, 0, /* self-powered */
    9, USB_DT_INTERFACE, 0, 0, 2, 8, 6, 0x50, 0,                 /* mass storage, SCSI, bulk only */
    7, USB_DT_ENDPOINT, ENDPOINT_IN, 2, PACKET_FULL, 0, 0,
    7, USB_DT_ENDPOINT, ENDPOINT_OUT, 2, PACKET_FULL, 0, 0,
};

/* QEMU's identity, which guests' tables know. */
static const UsbModel model = {
    .vendor = 0x46f4, .product = 0x0001, .maker = "QEMU", .name = "QEMU USB HARDDRIVE", .speeds = 1 << USB_FULL | 1 << USB_HIGH,
    .configuration = configuration, .configuration_bytes = sizeof(configuration), .control = control, .transfer = transfer, .reset = bus_reset,
    .quiesce = quiesce, .let_go = let_go,
};

static bool realize(Device *d, GError **err)
{
    UsbStorage *s = (UsbStorage *)d;
    s->data = g_byte_array_new();
    if (!disk_realize(&s->disk, d, err))
        return false;
    if (s->disk.bytes < s->disk.logical_block)
        return error_set(err, ERR_INVALID, "%s: image of drive '%s' is smaller than a block", d->path, s->disk.drive);
    s->unit = (ScsiUnit){ .disk = &s->disk, .model = "USB HARDDRIVE", .firmware = ATOLL_VERSION, .serial = s->disk.serial ? s->disk.serial : "0001",
                          .removable = s->removable, .write_cache = s->disk.cache };
    s->usb.serial = s->disk.serial;
    if (d->bus)
        s->disk.lock = &d->bus->owner->lock;
    return usb_device_realize(&s->usb, &model, err);
}

static void unrealize(Device *d)
{
    UsbStorage *s = (UsbStorage *)d;
    usb_device_unrealize(&s->usb);
    disk_unrealize(&s->disk);
    if (s->data)
        g_byte_array_unref(s->data);
}

static void reset(Device *d, ResetKind k)
{
    UsbStorage *s = (UsbStorage *)d;
    bool plugged = s->usb.bus; /* else the lock is ours, and held */
    if (plugged)
        g_mutex_lock(s->usb.lock);
    forget_command(s);
    s->unit.write_cache = s->disk.cache;
    if (plugged)
        g_mutex_unlock(s->usb.lock);
}

/* The controller has brought everything to rest.  What was read ahead can be read again. */
static void pre_save(Device *d)
{
    UsbStorage *s = (UsbStorage *)d;
    bool read = s->phase == BOT_IN && s->step == SCSI_READ;
    s->n_kept = read ? 0 : MIN(s->data->len - s->pos, GATHER);
    if (s->n_kept)
        memcpy(s->kept, s->data->data + s->pos, s->n_kept);
}

static bool post_load(Device *d, GError **err)
{
    UsbStorage *s = (UsbStorage *)d;
    bool read = s->phase == BOT_IN && s->step == SCSI_READ, write = s->phase == BOT_OUT && s->step == SCSI_WRITE;
    uint64_t bytes = s->disk.bytes, before = write ? s->n_kept : 0;
    if (s->phase >= BOT_PHASES || s->phase == BOT_BUSY || s->moved > s->expected || s->used > s->moved || s->n_kept > GATHER || s->left > s->expected - s->moved ||
        ((read || write) && (s->off > bytes || s->left > bytes - s->off || s->off < before)) || (s->phase == BOT_IN && !read && s->left > s->n_kept) ||
        (s->phase == BOT_PARAMETERS && (s->expected > PARAMETERS_MAX || s->n_kept != s->moved)))
        return error_set(err, ERR_INVALID, "%s: saved state is damaged or of another disk", d->path);
    clear_data(s);
    g_byte_array_append(s->data, s->kept, s->n_kept);
    return true;
}

static void resumed(Device *d)
{
    UsbStorage *s = (UsbStorage *)d;
    g_mutex_lock(s->disk.lock);
    disk_resumed(&s->disk);
    g_mutex_unlock(s->disk.lock);
}

static void resized(Device *d, uint64_t bytes)
{
    UsbStorage *s = (UsbStorage *)d;
    g_mutex_lock(s->disk.lock);
    s->disk.bytes = bytes;
    s->unit.attention = ASC_CAPACITY_CHANGED;
    g_mutex_unlock(s->disk.lock);
}

static bool boot_place(Device *d, BootPlace *ret)
{
    const UsbStorage *s = (UsbStorage *)d;
    if (!s->usb.bus)
        return false;
    g_autofree char *controller = pci_boot_path((PciDevice *)s->usb.bus->bus.owner);
    *ret = (BootPlace){ 'c', g_strdup_printf("%s/storage@%x/channel@0/disk@0,0", controller, s->usb.port + 1) };
    return true;
}

static const Field fields[] = {
    USB_DEVICE_STATE_FIELDS(UsbStorage, usb),
    { FO(UsbStorage, usb.serial), .role = FIELD_HOST },
    DISK_FIELDS(UsbStorage, disk, true),
    { FS(UsbStorage, unit, scsi_unit_fields), .doc = "the logical unit" },
    { F(UsbStorage, removable), .role = FIELD_PROP, .doc = "says that its medium can be taken out" },
    { F(UsbStorage, phase), .doc = "what comes next" },
    { F(UsbStorage, status), .doc = "of the command" },
    { F(UsbStorage, step), .doc = "what the command does" },
    { FA(UsbStorage, cdb), .doc = "the command" },
    { F(UsbStorage, in), .doc = "data go to the host" },
    { F(UsbStorage, tag), .doc = "the host's name for the command" },
    { F(UsbStorage, expected), .doc = "bytes that the host wants to move" },
    { F(UsbStorage, moved), .doc = "bytes that have been moved" },
    { F(UsbStorage, used), .doc = "of these, what meant something" },
    { F(UsbStorage, off), .doc = "place in the image" },
    { F(UsbStorage, left), .doc = "bytes to go" },
    { F(UsbStorage, flags), .doc = "of requests" },
    { F(UsbStorage, n_kept), .doc = "bytes in kept" },
    { FA(UsbStorage, kept), .doc = "data between host and image" },
    { FO(UsbStorage, data), .role = FIELD_HOST },
    { F(UsbStorage, pos), .role = FIELD_HOST },
    { F(UsbStorage, epoch), .role = FIELD_HOST },
    { F(UsbStorage, under_way), .role = FIELD_HOST },
    { F(UsbStorage, submitting), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

const DeviceType usb_storage_type = {
    .name = "usb-storage", .summary = "USB disk", .spec = "USB Mass Storage Class, Bulk-Only Transport 1.0", .bus = "usb-bus", .size = sizeof(UsbStorage), .version = 1,
    .fields = fields, .realize = realize, .unrealize = unrealize, .reset = reset, .pre_save = pre_save, .post_load = post_load, .resumed = resumed,
    .resized = resized, .boot_place = boot_place,
};
