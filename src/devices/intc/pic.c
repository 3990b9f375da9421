/*
 * pic.c - the pair of 8259A interrupt controllers of a PC, with the edge/level control registers of EISA and PIIX3.
 *
 * Lines 0-7 are the master's, 8-15 the slave's, whose output is the master's line 2.  Output 0 is INTR; the processor
 * answers it by pic_acknowledge().  Names are those of the 8259A data sheet (Intel 231468).
 */
#include "devices/intc/intc.h"

typedef struct Chip {
    uint8_t lines;          /* levels at the inputs */
    uint8_t irr, isr, imr;
    uint8_t elcr;           /* bit: level-triggered */
    uint8_t base;           /* ICW2: vector of line 0 */
    uint8_t first;          /* the line of highest priority; rotation moves it */
    uint8_t init;           /* next initialisation word: 2, 3, 4; 0 when done */
    bool needs_icw4, single, level_mode; /* ICW1: IC4, SNGL, LTIM */
    bool auto_eoi, fully_nested;         /* ICW4: AEOI, SFNM */
    bool rotate_auto_eoi, special_mask, read_isr, poll;
} Chip;

typedef struct Pic {
    Device dev;
    Chip chip[2];
} Pic;

enum { CASCADE = 2 };

/* ---- priorities */

static uint8_t level_lines(const Chip *c) { return c->level_mode ? 0xff : c->elcr; }

/* The bit of `mask` of highest priority as a rank, 0 the best; 8: none. */
static unsigned best_rank(const Chip *c, uint8_t mask)
{
    for (unsigned rank = 0; rank < 8; rank++)
        if (mask >> ((c->first + rank) & 7) & 1)
            return rank;
    return 8;
}

static int line_of_rank(const Chip *c, unsigned rank) { return (c->first + rank) & 7; }

/* The line that asks for service and may have it, or -1. */
static int pending_line(const Chip *c, bool master)
{
    unsigned rank = best_rank(c, c->irr & ~c->imr);
    uint8_t in_service = c->isr;
    if (c->special_mask)
        in_service &= ~c->imr;
    if (c->fully_nested && master) /* the slave's further requests pass the one of its own in service */
        in_service &= ~(1 << CASCADE);
    return rank < best_rank(c, in_service) ? line_of_rank(c, rank) : -1;
}

static void chip_set_line(Chip *c, unsigned n, bool level)
{
    uint8_t bit = 1 << n, before = c->lines;
    c->lines = level ? before | bit : before & ~bit;
    if (level_lines(c) & bit)
        c->irr = level ? c->irr | bit : c->irr & ~bit;
    else if (level && !(before & bit))
        c->irr |= bit;
}

/* Passes the slave's output to the master and the master's to the processor. */
static void update(Pic *p)
{
    bool slave = pending_line(&p->chip[1], false) >= 0;
    Chip *master = &p->chip[0];
    master->irr = slave ? master->irr | 1 << CASCADE : master->irr & ~(1 << CASCADE);
    irq_set(&p->dev.irq[0], pending_line(master, true) >= 0);
}

static void pic_set_irq(Device *d, unsigned n, bool level)
{
    Pic *p = (Pic *)d;
    if (n >= 16 || n == CASCADE)
        return;
    chip_set_line(&p->chip[n / 8], n % 8, level);
    update(p);
}

/* ---- acknowledge and end of interrupt */

static void lowest_priority(Chip *c, unsigned line) { c->first = (line + 1) & 7; }

/* One chip's part of INTA.  Returns the line, 7 for a spurious one. */
static unsigned chip_acknowledge(Chip *c, bool master, bool *ret_spurious)
{
    int line = pending_line(c, master);
    *ret_spurious = line < 0;
    if (line < 0)
        return 7;
    if (!(level_lines(c) >> line & 1))
        c->irr &= ~(1 << line);
    if (!c->auto_eoi)
        c->isr |= 1 << line;
    else if (c->rotate_auto_eoi)
        lowest_priority(c, line);
    return line;
}

int pic_acknowledge(Device *d)
{
    Pic *p = (Pic *)d;
    bool spurious;
    g_mutex_lock(&d->lock);
    unsigned line = chip_acknowledge(&p->chip[0], true, &spurious);
    int vector = p->chip[0].base | line;
    if (line == CASCADE && !spurious)
        vector = p->chip[1].base | chip_acknowledge(&p->chip[1], false, &spurious);
    update(p);
    g_mutex_unlock(&d->lock);
    return vector;
}

static void end_of_interrupt(Chip *c, int line, bool rotate)
{
    if (line < 0)
        return;
    c->isr &= ~(1 << line);
    if (rotate)
        lowest_priority(c, line);
}

/* The line that a non-specific EOI ends; masked ones do not count in special mask mode. */
static int highest_in_service(const Chip *c)
{
    unsigned rank = best_rank(c, c->special_mask ? c->isr & ~c->imr : c->isr);
    return rank < 8 ? line_of_rank(c, rank) : -1;
}

/* ---- registers */

static void write_icw1(Chip *c, uint8_t v)
{
    uint8_t level_requests = c->lines & c->elcr;
    *c = (Chip){ .lines = c->lines, .elcr = c->elcr, .base = c->base, .irr = level_requests, .init = 2,
                 .needs_icw4 = v & 1, .single = v & 2, .level_mode = v & 8 };
}

static void write_ocw2(Chip *c, uint8_t v)
{
    int line = v & 7;
    switch (v >> 5) {
    case 0: /* rotate in automatic EOI mode: clear, set */
    case 4:
        c->rotate_auto_eoi = v & 0x80;
        break;
    case 1: /* non-specific EOI, without and with rotation */
    case 5:
        end_of_interrupt(c, highest_in_service(c), v & 0x80);
        break;
    case 3: /* specific EOI, without and with rotation */
    case 7:
        end_of_interrupt(c, line, v & 0x80);
        break;
    case 6: /* set priority */
        lowest_priority(c, line);
        break;
    case 2: /* no operation */
        break;
    }
}

static void write_ocw3(Chip *c, uint8_t v)
{
    if (v & 0x40)
        c->special_mask = v & 0x20;
    if (v & 2)
        c->read_isr = v & 1;
    c->poll = v & 4;
}

static void write_data(Chip *c, uint8_t v)
{
    switch (c->init) {
    case 0:
        c->imr = v; /* OCW1 */
        break;
    case 2:
        c->base = v & 0xf8;
        c->init = !c->single ? 3 : c->needs_icw4 ? 4 : 0;
        break;
    case 3: /* which line the slave is on: wired, not configurable */
        c->init = c->needs_icw4 ? 4 : 0;
        break;
    case 4:
        c->auto_eoi = v & 2;
        c->fully_nested = v & 0x10;
        c->init = 0;
        break;
    }
}

static void chip_write(Pic *p, unsigned n, uint64_t off, uint8_t v)
{
    Chip *c = &p->chip[n];
    if (off)
        write_data(c, v);
    else if (v & 0x10)
        write_icw1(c, v);
    else if (v & 8)
        write_ocw3(c, v);
    else
        write_ocw2(c, v);
    update(p);
}

/* The read after a poll command is an INTA: bit 7 and the line, or zero. */
static uint8_t poll(Pic *p, unsigned n)
{
    bool spurious;
    unsigned line = chip_acknowledge(&p->chip[n], n == 0, &spurious);
    p->chip[n].poll = false;
    update(p);
    return spurious ? 0 : 0x80 | line;
}

static uint8_t chip_read(Pic *p, unsigned n, uint64_t off)
{
    const Chip *c = &p->chip[n];
    if (c->poll)
        return poll(p, n);
    return off ? c->imr : c->read_isr ? c->isr : c->irr;
}

static uint64_t master_read(Device *d, uint64_t off, unsigned size) { return chip_read((Pic *)d, 0, off); }
static uint64_t slave_read(Device *d, uint64_t off, unsigned size) { return chip_read((Pic *)d, 1, off); }
static void master_write(Device *d, uint64_t off, unsigned size, uint64_t v) { chip_write((Pic *)d, 0, off, v); }
static void slave_write(Device *d, uint64_t off, unsigned size, uint64_t v) { chip_write((Pic *)d, 1, off, v); }

static uint64_t elcr_read(Device *d, uint64_t off, unsigned size) { return ((Pic *)d)->chip[off].elcr; }

static void elcr_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    static const uint8_t writable[2] = { 0xf8, 0xde }; /* timer, keyboard, cascade, RTC and FPU are edges */
    Pic *p = (Pic *)d;
    Chip *c = &p->chip[off];
    c->elcr = v & writable[off];
    c->irr = (c->irr & ~c->elcr) | (c->lines & c->elcr);
    update(p);
}

/* ---- the device */

static void pic_reset(Device *d, ResetKind kind) { update((Pic *)d); }

static const Field chip_fields[] = {
    { F(Chip, lines), .keep = true, .doc = "levels at the inputs" },
    { F(Chip, irr), .doc = "interrupt requests" },
    { F(Chip, isr), .doc = "in service" },
    { F(Chip, imr), .doc = "mask" },
    { F(Chip, elcr), .doc = "level-triggered lines" },
    { F(Chip, base), .doc = "vector of line 0" },
    { F(Chip, first), .max = 7, .doc = "line of highest priority" },
    { F(Chip, init), .doc = "next initialisation word, 0 when done" },
    { F(Chip, needs_icw4) },
    { F(Chip, single) },
    { F(Chip, level_mode) },
    { F(Chip, auto_eoi) },
    { F(Chip, fully_nested) },
    { F(Chip, rotate_auto_eoi) },
    { F(Chip, special_mask) },
    { F(Chip, read_isr) },
    { F(Chip, poll) },
    DEVICE_FIELDS_END,
};
static const Field pic_fields[] = { { FSA(Pic, chip, chip_fields), .doc = "master, slave" }, DEVICE_FIELDS_END };

static const WindowOps master_ops = { master_read, master_write, 1, 1 };
static const WindowOps slave_ops = { slave_read, slave_write, 1, 1 };
static const WindowOps elcr_ops = { elcr_read, elcr_write, 1, 1 };
static const WindowDecl pic_windows[] = {
    { "master", SPACE_PIO, 2, &master_ops },
    { "slave", SPACE_PIO, 2, &slave_ops },
    { "elcr", SPACE_PIO, 2, &elcr_ops },
    { .name = NULL },
};

const DeviceType i8259_type = {
    .name = "i8259",
    .summary = "pair of 8259A interrupt controllers",
    .spec = "Intel 8259A data sheet 231468; 82371SB (PIIX3) for ELCR",
    .size = sizeof(Pic),
    .version = 1,
    .internal = true,
    .fields = pic_fields,
    .windows = pic_windows,
    .n_irqs = 1,
    .reset = pic_reset,
    .set_irq = pic_set_irq,
};
