/*
 * i6300esb.c - the watchdog of Intel's 6300ESB I/O controller: Intel 300641, chapter 16.  Two stages count down one after the other,
 * and at the end of the second the machine is reset, or what -action watchdog= says.
 *
 * The end of the first stage is seen in a register; it raises no interrupt, which drivers turn off.
 */
#include "devices/misc/misc.h"
#include "machine/machine.h"
#include "machine/pci.h"

enum { INTEL = 0x8086, ID_WATCHDOG = 0x25ab, CLASS_OTHER = 0x088000, CONFIG = 0x60, LOCK = 0x68, REG_BYTES = 16 };
enum { CONFIG_FAST = 1 << 2, CONFIG_NO_OUTPUT = 1 << 5, CONFIG_BITS = 0x27, LOCK_LOCKED = 1, LOCK_ENABLE = 2, LOCK_FREE_RUN = 4, LOCK_BITS = 7 };
enum { PRELOAD1 = 0, PRELOAD2 = 4, STATUS = 8, RELOAD = 12, RELOAD_NOW = 1 << 8, RELOAD_TIMEOUT = 1 << 9, STATUS_STAGE1 = 1 };
enum { PRELOAD_BITS = 0xfffff, KEY_FIRST = 0x80, KEY_SECOND = 0x86, PCI_MHZ = 33, UNLOCKED = 2 };

typedef struct I6300esb {
    PciDevice pci;
    uint32_t preload[2];
    uint8_t key;   /* of the two writes that let the next one through: how many came */
    uint8_t stage; /* 0: off, 1, 2 */
    uint8_t status;
    bool timed_out; /* a reset was its doing */
    int64_t deadline; /* ns, of the stage */
    Timer timer;
} I6300esb;

static uint8_t lock_bits(const I6300esb *w) { return w->pci.config[LOCK]; }

/* A guest cannot keep the host busy with a watchdog that runs freely. */
enum { LEAST_NS = 1000000 };

/* A unit of the preload values is 2^15 or 2^5 clocks of PCI: about a millisecond or a microsecond. */
static int64_t stage_ns(const I6300esb *w, unsigned stage)
{
    int64_t clocks = (int64_t)w->preload[stage - 1] << (w->pci.config[CONFIG] & CONFIG_FAST ? 5 : 15);
    return MAX(clocks * 1000 / PCI_MHZ, LEAST_NS);
}

static void arm(I6300esb *w)
{
    if (w->stage)
        timer_arm(&w->timer, w->deadline);
    else
        timer_disarm(&w->timer);
}

static void start(I6300esb *w, unsigned stage)
{
    w->stage = stage;
    w->deadline = stage ? clock_now(w->pci.dev.machine->clock) + stage_ns(w, stage) : 0;
    arm(w);
}

static void expired(void *opaque)
{
    I6300esb *w = opaque;
    if (w->stage == 1) {
        w->status |= STATUS_STAGE1;
        start(w, 2);
        return;
    }
    start(w, lock_bits(w) & LOCK_FREE_RUN ? 1 : 0);
    if (w->pci.config[CONFIG] & CONFIG_NO_OUTPUT)
        return;
    w->timed_out = true;
    machine_request(w->pci.dev.machine, CAUSE_WATCHDOG);
}

/* ---- registers: a write counts only behind 80h and 86h written to the reload register */

static uint64_t read_reg(Device *d, uint64_t off, unsigned size)
{
    const I6300esb *w = (const I6300esb *)d;
    return off == STATUS ? w->status : off == RELOAD && w->timed_out ? RELOAD_TIMEOUT : 0; /* the preload values cannot be read */
}

static void write_reload(I6300esb *w, uint32_t value)
{
    if (value & RELOAD_TIMEOUT)
        w->timed_out = false;
    if (value & RELOAD_NOW && lock_bits(w) & LOCK_ENABLE)
        start(w, 1);
}

static void write_unlocked(I6300esb *w, unsigned off, uint32_t value)
{
    if (off == PRELOAD1 || off == PRELOAD2)
        w->preload[off / 4] = value & PRELOAD_BITS;
    else if (off == STATUS)
        w->status &= ~value;
    else
        write_reload(w, value);
}

static void write_reg(Device *d, uint64_t off, unsigned size, uint64_t value)
{
    I6300esb *w = (I6300esb *)d;
    if (w->key == UNLOCKED) {
        w->key = 0;
        write_unlocked(w, off & ~3u, value);
    } else {
        w->key = off != RELOAD ? 0 : value == KEY_FIRST ? 1 : value == KEY_SECOND && w->key == 1 ? UNLOCKED : 0;
    }
}

/* The lock register, once locked, stays as it is until a reset. */
static void config_written(PciDevice *p, unsigned off, unsigned size, uint32_t old, uint32_t value)
{
    I6300esb *w = (I6300esb *)p;
    if (off > LOCK || off + size <= LOCK)
        return;
    uint8_t before = old >> 8 * (LOCK - off);
    if (before & LOCK_LOCKED)
        p->config[LOCK] = before;
    if ((before ^ lock_bits(w)) & LOCK_ENABLE)
        start(w, lock_bits(w) & LOCK_ENABLE ? 1 : 0);
}

/* ---- life */

static bool realize(Device *d, GError **err)
{
    I6300esb *w = (I6300esb *)d;
    device_timer_init(d, &w->timer, expired);
    pci_set_writable(&w->pci, CONFIG, 2, CONFIG_BITS);
    pci_set_writable(&w->pci, LOCK, 1, LOCK_BITS);
    w->pci.cap_end = LOCK + 4;
    return true;
}

static void unrealize(Device *d) { timer_finish(&((I6300esb *)d)->timer); }
static void reset(Device *d, ResetKind k) { arm((I6300esb *)d); }

static bool post_load(Device *d, GError **err)
{
    I6300esb *w = (I6300esb *)d;
    if (w->stage > 2)
        return error_set(err, ERR_INVALID, "%s: saved state has stage %u of a watchdog that has two", d->path, w->stage);
    w->preload[0] &= PRELOAD_BITS;
    w->preload[1] &= PRELOAD_BITS;
    arm(w);
    return true;
}

static const Field fields[] = {
    { FA(I6300esb, preload), .reset = PRELOAD_BITS, .doc = "what the stages count down from" },
    { F(I6300esb, key), .doc = "writes that let the next one through: how many came" },
    { F(I6300esb, stage), .doc = "that counts down; 0: off" },
    { F(I6300esb, status), .doc = "the first stage has ended" },
    { F(I6300esb, timed_out), .keep = true, .doc = "a reset was its doing" },
    { F(I6300esb, deadline), .doc = "when the stage ends, in ns of the machine's clock" },
    { FO(I6300esb, timer), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};

static const WindowOps ops = { read_reg, write_reg, .min = 4, .max = 4 };
static const WindowDecl windows[] = { { "registers", SPACE_PCI_BAR, REG_BYTES, &ops, .bar = 0 }, { .name = NULL } };
static const PciInfo pci_info = { .vendor = INTEL, .device = ID_WATCHDOG, .class_code = CLASS_OTHER, .config_written = config_written };

const DeviceType i6300esb_type = {
    .name = "i6300esb", .summary = "watchdog of Intel's 6300ESB that resets the machine, or what -action watchdog= says", .spec = "Intel 300641",
    .size = sizeof(I6300esb), .version = 1, .fields = fields, .windows = windows, .pci = &pci_info,
    .realize = realize, .unrealize = unrealize, .reset = reset, .post_load = post_load,
};
