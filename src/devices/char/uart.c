/*
 * uart.c - a 16550A on the ISA bus.
 *
 * Transmission takes no time: what the guest writes goes to the chardev at once.  Reception waits in the chardev until
 * the FIFO has room, so nothing is lost when the guest is slow.  Names as in the PC16550D data sheet.
 */
#include "devices/char/char.h"

#include "console/chardev.h"
#include "machine/machine.h"

enum { REG_DATA, REG_IER, REG_IIR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR, REG_FCR = REG_IIR };
enum { IER_RDA = 1, IER_THRE = 2, IER_LINE = 4, IER_MODEM = 8 };
enum { IIR_NONE = 1, IIR_MODEM = 0, IIR_THRE = 2, IIR_RDA = 4, IIR_LINE = 6, IIR_TIMEOUT = 0xc, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10 };
enum { LSR_DR = 1, LSR_OE = 2, LSR_BI = 0x10, LSR_THRE = 0x20, LSR_TEMT = 0x40, LSR_ERRORS = 0x1e };
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80, MSR_CONNECTED = MSR_CTS | MSR_DSR | MSR_DCD };
enum { FIFO_SIZE = 16, CLOCK_HZ = 1843200 };

typedef struct Uart {
    Device dev;
    char *chardev;
    uint32_t iobase;
    uint8_t irq;
    uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
    uint16_t divisor;
    uint8_t fifo[FIFO_SIZE], fifo_first, fifo_len;
    bool thre_pending, timeout_pending;
    Timer timeout;
    Chardev *chr; /* NULL: not connected */
} Uart;

static bool fifo_enabled(const Uart *u) { return u->fcr & FCR_ENABLE; }
static unsigned capacity(const Uart *u) { return fifo_enabled(u) ? FIFO_SIZE : 1; }

static unsigned trigger_level(const Uart *u)
{
    static const uint8_t levels[4] = { 1, 4, 8, 14 };
    return fifo_enabled(u) ? levels[u->fcr >> 6] : 1;
}

/* ---- interrupts */

/* The pending interrupt of highest priority, as IIR says it. */
static uint8_t interrupt_id(const Uart *u)
{
    if ((u->ier & IER_LINE) && (u->lsr & LSR_ERRORS))
        return IIR_LINE;
    if ((u->ier & IER_RDA) && u->fifo_len >= trigger_level(u))
        return IIR_RDA;
    if ((u->ier & IER_RDA) && u->timeout_pending)
        return IIR_TIMEOUT;
    if ((u->ier & IER_THRE) && u->thre_pending)
        return IIR_THRE;
    if ((u->ier & IER_MODEM) && (u->msr & 0x0f))
        return IIR_MODEM;
    return IIR_NONE;
}

/* On a PC, OUT2 gates the interrupt; loopback disconnects the pin. */
static void update_irq(Uart *u)
{
    bool gate = (u->mcr & MCR_OUT2) && !(u->mcr & MCR_LOOP);
    irq_set(&u->dev.irq[0], gate && interrupt_id(u) != IIR_NONE);
}

/* ---- receiving */

static int64_t char_ns(const Uart *u)
{
    unsigned bits = 1 + 5 + (u->lcr & 3) + (u->lcr >> 3 & 1) + 1 + (u->lcr >> 2 & 1);
    return ticks_to_ns((uint64_t)bits * 16 * (u->divisor ? u->divisor : 65536), CLOCK_HZ);
}

/* The data sheet's time-out: bytes below the trigger level and none moved for four characters. */
static void restart_timeout(Uart *u)
{
    u->timeout_pending = false;
    if (fifo_enabled(u) && u->fifo_len)
        timer_arm(&u->timeout, clock_now(u->dev.machine->clock) + 4 * char_ns(u));
    else
        timer_disarm(&u->timeout);
}

static void timed_out(void *opaque)
{
    Uart *u = opaque;
    u->timeout_pending = u->fifo_len > 0;
    update_irq(u);
}

static void receive_byte(Uart *u, uint8_t byte)
{
    if (u->fifo_len == capacity(u)) {
        u->lsr |= LSR_OE;
        if (fifo_enabled(u))
            return;
        u->fifo_len = 0; /* without a FIFO the new one overwrites the old */
    }
    u->fifo[(u->fifo_first + u->fifo_len++) % FIFO_SIZE] = byte;
    u->lsr |= LSR_DR;
    restart_timeout(u);
}

static void clear_fifo(Uart *u)
{
    u->fifo_len = u->fifo_first = 0;
    u->lsr &= ~(LSR_DR | LSR_BI);
    restart_timeout(u);
}

static void resume(Uart *u)
{
    if (u->chr)
        chardev_resume(u->chr);
}

static uint8_t read_data(Uart *u)
{
    if (!u->fifo_len)
        return 0;
    uint8_t byte = u->fifo[u->fifo_first];
    u->fifo_first = (u->fifo_first + 1) % FIFO_SIZE;
    u->fifo_len--;
    if (!u->fifo_len)
        u->lsr &= ~(LSR_DR | LSR_BI);
    restart_timeout(u);
    update_irq(u);
    resume(u);
    return byte;
}

static size_t frontend_can_receive(void *opaque)
{
    Uart *u = opaque;
    g_mutex_lock(&u->dev.lock);
    size_t room = u->mcr & MCR_LOOP ? 0 : capacity(u) - MIN(u->fifo_len, capacity(u));
    g_mutex_unlock(&u->dev.lock);
    return room;
}

static void frontend_receive(void *opaque, const uint8_t *data, size_t n)
{
    Uart *u = opaque;
    g_mutex_lock(&u->dev.lock);
    for (size_t i = 0; i < n; i++)
        receive_byte(u, data[i]);
    update_irq(u);
    g_mutex_unlock(&u->dev.lock);
}

static void frontend_event(void *opaque, ChardevEvent event)
{
    Uart *u = opaque;
    if (event != CHARDEV_BREAK)
        return;
    g_mutex_lock(&u->dev.lock);
    receive_byte(u, 0);
    u->lsr |= LSR_BI;
    update_irq(u);
    g_mutex_unlock(&u->dev.lock);
}

static const ChardevFrontend uart_frontend = { frontend_can_receive, frontend_receive, frontend_event };

/* ---- transmitting */

static void write_data(Uart *u, uint8_t byte)
{
    u->thre_pending = false;
    update_irq(u); /* the line must fall, for edge-triggered controllers */
    if (u->mcr & MCR_LOOP)
        receive_byte(u, byte);
    else if (u->chr)
        chardev_write(u->chr, &byte, 1);
    u->thre_pending = true;
    update_irq(u);
}

/* ---- modem lines */

static uint8_t modem_inputs(const Uart *u)
{
    if (!(u->mcr & MCR_LOOP))
        return MSR_CONNECTED;
    return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) | (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
           (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

/* Delta bits: any change of CTS, DSR and DCD, but of RI only its end. */
static void update_modem(Uart *u)
{
    uint8_t old = u->msr & 0xf0, now = modem_inputs(u);
    uint8_t delta = ((old ^ now) & MSR_CONNECTED) | (old & ~now & MSR_RI);
    u->msr = now | (u->msr & 0x0f) | delta >> 4;
}

/* ---- registers */

static uint8_t read_iir(Uart *u)
{
    uint8_t id = interrupt_id(u);
    if (id == IIR_THRE) {
        u->thre_pending = false;
        update_irq(u);
    }
    return id | (fifo_enabled(u) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(Uart *u)
{
    uint8_t v = u->lsr;
    u->lsr &= ~LSR_ERRORS;
    update_irq(u);
    return v;
}

static uint8_t read_msr(Uart *u)
{
    uint8_t v = u->msr;
    u->msr &= 0xf0;
    update_irq(u);
    return v;
}

static uint64_t uart_read(Device *d, uint64_t off, unsigned size)
{
    Uart *u = (Uart *)d;
    bool dlab = u->lcr & LCR_DLAB;
    switch (off) {
    case REG_DATA:
        return dlab ? (uint8_t)u->divisor : read_data(u);
    case REG_IER:
        return dlab ? u->divisor >> 8 : u->ier;
    case REG_IIR:
        return read_iir(u);
    case REG_LCR:
        return u->lcr;
    case REG_MCR:
        return u->mcr;
    case REG_LSR:
        return read_lsr(u);
    case REG_MSR:
        return read_msr(u);
    default:
        return u->scr;
    }
}

static void write_ier(Uart *u, uint8_t v)
{
    bool enabled_thre = (v & ~u->ier & IER_THRE);
    u->ier = v & 0x0f;
    if (enabled_thre) /* the transmitter is empty: enabling says so at once */
        u->thre_pending = true;
    update_irq(u);
}

static void write_fcr(Uart *u, uint8_t v)
{
    bool switched = (v ^ u->fcr) & FCR_ENABLE;
    u->fcr = v & FCR_ENABLE ? v & 0xc9 : 0;
    if (switched || (v & FCR_CLEAR_RX)) {
        clear_fifo(u);
        resume(u);
    }
    if (switched || (v & FCR_CLEAR_TX))
        u->thre_pending = true;
    update_irq(u);
}

static void write_mcr(Uart *u, uint8_t v)
{
    bool left_loop = u->mcr & ~v & MCR_LOOP;
    u->mcr = v & 0x1f;
    update_modem(u);
    update_irq(u);
    if (left_loop)
        resume(u);
}

static void write_divisor(Uart *u, unsigned shift, uint8_t v)
{
    u->divisor = (u->divisor & 0xff00 >> shift) | v << shift;
}

static void uart_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    Uart *u = (Uart *)d;
    bool dlab = u->lcr & LCR_DLAB;
    switch (off) {
    case REG_DATA:
        dlab ? write_divisor(u, 0, v) : write_data(u, v);
        break;
    case REG_IER:
        dlab ? write_divisor(u, 8, v) : write_ier(u, v);
        break;
    case REG_FCR:
        write_fcr(u, v);
        break;
    case REG_LCR:
        u->lcr = v;
        break;
    case REG_MCR:
        write_mcr(u, v);
        break;
    case REG_SCR:
        u->scr = v;
        break;
    }
}

/* ---- the device */

static bool uart_realize(Device *d, GError **err)
{
    Uart *u = (Uart *)d;
    device_timer_init(d, &u->timeout, timed_out);
    if (!u->chardev)
        return true;
    u->chr = machine_claim_backend(d->machine, BACKEND_CHARDEV, u->chardev, d, err);
    if (!u->chr)
        return false;
    chardev_attach(u->chr, &uart_frontend, u);
    return true;
}

static void uart_unrealize(Device *d)
{
    Uart *u = (Uart *)d;
    if (u->chr) {
        chardev_attach(u->chr, NULL, NULL);
        machine_release_backend(d->machine, BACKEND_CHARDEV, u->chardev);
    }
    timer_finish(&u->timeout);
}

static void uart_reset(Device *d, ResetKind kind)
{
    Uart *u = (Uart *)d;
    restart_timeout(u);
    update_irq(u);
    resume(u);
}

static bool uart_post_load(Device *d, GError **err)
{
    Uart *u = (Uart *)d;
    bool timeout_pending = u->timeout_pending;
    if (u->fifo_len > FIFO_SIZE || u->fifo_first >= FIFO_SIZE)
        return error_set(err, ERR_INVALID, "%s: saved state has %u bytes in a FIFO of 16", d->path, u->fifo_len);
    restart_timeout(u);
    u->timeout_pending = timeout_pending;
    resume(u);
    return true;
}

static const Field uart_fields[] = {
    { F(Uart, chardev), .role = FIELD_PROP, .doc = "id of the chardev that is the line's other end" },
    { F(Uart, iobase), .role = FIELD_PROP, .reset = 0x3f8, .max = 0xfff8, .doc = "first port" },
    { F(Uart, irq), .role = FIELD_PROP, .reset = 4, .max = 15, .doc = "ISA interrupt" },
    { F(Uart, ier), .doc = "interrupt enable" },
    { F(Uart, fcr), .doc = "FIFO control" },
    { F(Uart, lcr), .doc = "line control" },
    { F(Uart, mcr), .doc = "modem control" },
    { F(Uart, lsr), .reset = LSR_THRE | LSR_TEMT, .doc = "line status" },
    { F(Uart, msr), .reset = MSR_CONNECTED, .doc = "modem status" },
    { F(Uart, scr), .keep = true, .doc = "scratch" },
    { F(Uart, divisor), .reset = 12, .doc = "baud divisor" },
    { FA(Uart, fifo), .doc = "receive FIFO" },
    { F(Uart, fifo_first) },
    { F(Uart, fifo_len) },
    { F(Uart, thre_pending), .doc = "transmitter-empty interrupt" },
    { F(Uart, timeout_pending), .doc = "character time-out interrupt" },
    { FO(Uart, timeout), .role = FIELD_HOST },
    { FO(Uart, chr), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const WindowOps uart_ops = { uart_read, uart_write, 1, 1 };
static const WindowDecl uart_windows[] = { { "regs", SPACE_PIO, 8, &uart_ops }, { .name = NULL } };

const DeviceType isa_serial_type = {
    .name = "isa-serial",
    .summary = "16550A serial port",
    .spec = "National Semiconductor PC16550D data sheet",
    .size = sizeof(Uart),
    .version = 1,
    .fields = uart_fields,
    .windows = uart_windows,
    .n_irqs = 1,
    .realize = uart_realize,
    .unrealize = uart_unrealize,
    .reset = uart_reset,
    .post_load = uart_post_load,
};
