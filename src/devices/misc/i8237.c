/*
 * i8237.c - see i8237.h.  Intel, 8237A High Performance Programmable DMA Controller; the page registers are IBM's.
 *
 * Nothing moves by itself: the device that asks (DREQ) takes its data at once, in any of the transfer modes.
 */
#include "devices/misc/i8237.h"

#include <string.h>

#include "machine/machine.h"

enum { CHANNELS = 4, PAGES = 15 };
enum { /* registers */ R_COMMAND = 8, R_REQUEST, R_MASK_ONE, R_MODE, R_CLEAR_FLIP, R_MASTER_CLEAR, R_CLEAR_MASK, R_MASK_ALL };
enum { MODE_TO_MEMORY = 4, MODE_FROM_MEMORY = 8, MODE_KIND = 0xc, MODE_AUTO = 0x10, MODE_DOWN = 0x20, COMMAND_OFF = 4, MASKED_ALL = 15 };

typedef struct Channel {
    uint16_t base_address, base_count, address, count;
    uint8_t mode;
} Channel;

typedef struct Controller {
    Channel channel[CHANNELS];
    uint8_t command, mask, ended; /* ended: channels that reached their terminal count */
    bool high;                    /* the flip-flop: which byte of a 16-bit register is next */
} Controller;

typedef struct I8237 {
    Device dev;
    Controller c[2];
    uint8_t page[PAGES]; /* 81h on */
} I8237;

static const Field channel_fields[] = {
    { F(Channel, base_address), .doc = "address to reload" },
    { F(Channel, base_count), .doc = "count to reload" },
    { F(Channel, address), .doc = "current address" },
    { F(Channel, count), .doc = "transfers to go, less one" },
    { F(Channel, mode), .doc = "mode" },
    { .name = NULL },
};
static const Field controller_fields[] = {
    { FSA(Controller, channel, channel_fields), .doc = "channels" },
    { F(Controller, command), .doc = "command" },
    { F(Controller, mask), .reset = MASKED_ALL, .doc = "masked channels" },
    { F(Controller, ended), .doc = "terminal counts" },
    { F(Controller, high), .doc = "the high byte is next" },
    { .name = NULL },
};
static const Field fields[] = {
    { FSA(I8237, c, controller_fields), .doc = "controllers" },
    { FA(I8237, page), .doc = "page registers" },
    DEVICE_FIELDS_END,
};

/* ---- registers */

static void set_byte(uint16_t *reg, bool high, uint8_t value) { *reg = high ? (*reg & 0xff) | value << 8 : (*reg & 0xff00) | value; }

static void write_pair(Controller *c, unsigned reg, uint8_t value)
{
    Channel *ch = &c->channel[reg / 2];
    set_byte(reg & 1 ? &ch->base_count : &ch->base_address, c->high, value);
    set_byte(reg & 1 ? &ch->count : &ch->address, c->high, value);
    c->high = !c->high;
}

static uint8_t read_pair(Controller *c, unsigned reg)
{
    const Channel *ch = &c->channel[reg / 2];
    uint16_t value = reg & 1 ? ch->count : ch->address;
    uint8_t byte = c->high ? value >> 8 : value;
    c->high = !c->high;
    return byte;
}

static void master_clear(Controller *c)
{
    c->command = c->ended = 0;
    c->high = false;
    c->mask = MASKED_ALL;
}

static void controller_write(Controller *c, unsigned reg, uint8_t value)
{
    switch (reg) {
    case R_COMMAND:
        c->command = value;
        break;
    case R_MASK_ONE:
        c->mask = value & 4 ? c->mask | 1u << (value & 3) : c->mask & ~(1u << (value & 3));
        break;
    case R_MODE:
        c->channel[value & 3].mode = value;
        break;
    case R_CLEAR_FLIP:
        c->high = false;
        break;
    case R_MASTER_CLEAR:
        master_clear(c);
        break;
    case R_CLEAR_MASK:
        c->mask = 0;
        break;
    case R_MASK_ALL:
        c->mask = value & MASKED_ALL;
        break;
    default:
        if (reg < R_COMMAND)
            write_pair(c, reg, value); /* R_REQUEST: software requests move memory to memory, which no PC does */
    }
}

static uint8_t controller_read(Controller *c, unsigned reg)
{
    uint8_t ended = c->ended;
    if (reg < R_COMMAND)
        return read_pair(c, reg);
    if (reg != R_COMMAND)
        return reg == R_MASK_ALL ? c->mask | 0xf0 : 0;
    c->ended = 0;
    return ended;
}

static uint64_t first_read(Device *d, uint64_t off, unsigned size) { return controller_read(&((I8237 *)d)->c[0], off); }
static void first_write(Device *d, uint64_t off, unsigned size, uint64_t value) { controller_write(&((I8237 *)d)->c[0], off, value); }
static uint64_t second_read(Device *d, uint64_t off, unsigned size) { return controller_read(&((I8237 *)d)->c[1], off / 2); }
static void second_write(Device *d, uint64_t off, unsigned size, uint64_t value) { controller_write(&((I8237 *)d)->c[1], off / 2, value); }
static uint64_t page_read(Device *d, uint64_t off, unsigned size) { return ((I8237 *)d)->page[off]; }
static void page_write(Device *d, uint64_t off, unsigned size, uint64_t value) { ((I8237 *)d)->page[off] = value; }

/* ---- transfers */

static uint64_t address_of(const I8237 *p, unsigned channel)
{
    static const uint8_t page_at[] = { 0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a };
    uint8_t page = p->page[page_at[channel] - 0x81];
    uint16_t address = p->c[channel / CHANNELS].channel[channel % CHANNELS].address;
    return channel < CHANNELS ? (uint64_t)page << 16 | address : (uint64_t)(page & 0xfe) << 16 | (uint64_t)address << 1;
}

static void move_unit(I8237 *p, unsigned channel, uint8_t *buf, unsigned unit, unsigned kind)
{
    uint64_t at = address_of(p, channel);
    if (kind == MODE_TO_MEMORY)
        dma_write(p->dev.machine, at, buf, unit);
    else if (kind == MODE_FROM_MEMORY && !dma_read(p->dev.machine, at, buf, unit))
        memset(buf, 0xff, unit);
}

static bool end_of_count(Controller *c, unsigned channel)
{
    Channel *ch = &c->channel[channel];
    c->ended |= 1u << channel;
    if (ch->mode & MODE_AUTO) {
        ch->address = ch->base_address;
        ch->count = ch->base_count;
    } else {
        c->mask |= 1u << channel;
    }
    return true;
}

size_t i8237_transfer(Device *d, unsigned channel, void *buf, size_t n, bool to_memory, bool *ret_end)
{
    I8237 *p = (I8237 *)d;
    unsigned unit = channel < CHANNELS ? 1 : 2, local = channel % CHANNELS;
    size_t done = 0;
    *ret_end = false;
    g_mutex_lock(&d->lock);
    Controller *c = &p->c[channel / CHANNELS];
    Channel *ch = &c->channel[local];
    unsigned kind = ch->mode & MODE_KIND;
    bool open = !(c->mask >> local & 1) && !(c->command & COMMAND_OFF) && (!kind || (kind == MODE_TO_MEMORY) == to_memory);
    for (; open && !*ret_end && done + unit <= n; done += unit) {
        move_unit(p, channel, (uint8_t *)buf + done, unit, kind);
        ch->address += ch->mode & MODE_DOWN ? -1 : 1;
        *ret_end = !ch->count-- && end_of_count(c, local);
    }
    g_mutex_unlock(&d->lock);
    return done;
}

static const WindowOps first_ops = { first_read, first_write, 1, 1 }, second_ops = { second_read, second_write, 1, 1 },
                       page_ops = { page_read, page_write, 1, 1 };
static const WindowDecl windows[] = {
    { "first", SPACE_PIO, 16, &first_ops },
    { "second", SPACE_PIO, 32, &second_ops },
    { "page", SPACE_PIO, PAGES, &page_ops },
    { .name = NULL },
};

const DeviceType i8237_type = {
    .name = "i8237", .summary = "DMA controllers", .spec = "Intel 8237A (231466)", .internal = true,
    .size = sizeof(I8237), .version = 1, .fields = fields, .windows = windows,
};
