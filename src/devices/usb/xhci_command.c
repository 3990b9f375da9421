/* xhci_command.c - the command ring: slots, device contexts and endpoints.  xHCI 4.6, 6.2. */
#include <string.h>

#include "devices/usb/xhci.h"

enum { CONTEXT_BYTES = 32, CONTEXT_WORDS = 5, INPUT_SLOT = 1, BLOCK_SET_ADDRESS = 1 << 9, DECONFIGURE = 1 << 9 };

const Field xhci_endpoint_fields[] = {
    { F(XhciEndpoint, state) }, { F(XhciEndpoint, kind) }, { F(XhciEndpoint, waits) }, { FS(XhciEndpoint, ring, xhci_ring_fields) }, DEVICE_FIELDS_END,
};
const Field xhci_slot_fields[] = {
    { F(XhciSlot, enabled) },
    { F(XhciSlot, state) },
    { F(XhciSlot, port), .doc = "root port of its device" },
    { F(XhciSlot, interrupter), .doc = "where its events go" },
    { F(XhciSlot, context), .doc = "address of the device context" },
    { FSA(XhciSlot, endpoint, xhci_endpoint_fields) },
    DEVICE_FIELDS_END,
};

/* ---- contexts in guest memory */

static uint64_t context_at(const XhciSlot *s, unsigned index) { return s->context + index * CONTEXT_BYTES; }

/* Writes what the controller owns of a slot's context: state and address in word 3. */
static void write_slot_state(Xhci *x, unsigned slot)
{
    static const uint8_t in_context[] = { [SLOT_ENABLED] = 0, [SLOT_DEFAULT] = 1, [SLOT_ADDRESSED] = 2, [SLOT_CONFIGURED] = 3 };
    const XhciSlot *s = &x->slot[slot];
    uint32_t word = (uint32_t)in_context[s->state] << 27 | (s->state >= SLOT_ADDRESSED ? slot : 0);
    if (s->context)
        xhci_write(x, context_at(s, 0) + 12, &word, 1);
}

static void write_endpoint(Xhci *x, unsigned slot, unsigned dci)
{
    const XhciEndpoint *e = &x->slot[slot].endpoint[dci];
    uint64_t at = context_at(&x->slot[slot], dci);
    uint32_t first;
    if (!x->slot[slot].context || !xhci_read(x, at, &first, 4))
        return;
    first = (first & ~7u) | e->state;
    const uint32_t dequeue[2] = { (uint32_t)e->ring.dequeue | e->ring.cycle, e->ring.dequeue >> 32 };
    xhci_write(x, at, &first, 1);
    xhci_write(x, at + 8, dequeue, 2);
}

void xhci_endpoint_set_state(Xhci *x, unsigned slot, unsigned dci, EndpointState state)
{
    XhciEndpoint *e = &x->slot[slot].endpoint[dci];
    e->state = state;
    if (state != EP_RUNNING)
        e->waits = false;
    write_endpoint(x, slot, dci);
}

static void disable_endpoints(Xhci *x, unsigned slot, unsigned first)
{
    for (unsigned dci = first; dci <= XHCI_ENDPOINTS; dci++)
        if (x->slot[slot].endpoint[dci].state != EP_DISABLED)
            xhci_endpoint_set_state(x, slot, dci, EP_DISABLED);
}

/* An endpoint begins as its input context says: 6.2.3. */
static void enable_endpoint(Xhci *x, unsigned slot, unsigned dci, const uint32_t w[CONTEXT_WORDS])
{
    XhciEndpoint *e = &x->slot[slot].endpoint[dci];
    *e = (XhciEndpoint){ .state = EP_RUNNING, .kind = w[1] >> 3 & 7,
                         .ring = { (w[2] & ~0xfu) | (uint64_t)w[3] << 32, w[2] & 1 } };
    uint32_t copy[CONTEXT_WORDS];
    memcpy(copy, w, sizeof(copy));
    copy[0] = (copy[0] & ~7u) | EP_RUNNING;
    xhci_write(x, context_at(&x->slot[slot], dci), copy, CONTEXT_WORDS);
}

static void disable_slot(Xhci *x, unsigned slot)
{
    disable_endpoints(x, slot, 1);
    x->slot[slot] = (XhciSlot){ 0 };
}

void xhci_slots_reset(Xhci *x) { memset(x->slot, 0, sizeof(x->slot)); }

/* Transfers that wait for it fail; the slot stays until the driver gives it back. */
void xhci_slots_unplug(Xhci *x, unsigned number)
{
    for (unsigned s = 1; s <= x->slots; s++)
        for (unsigned dci = 1; x->slot[s].port == number && dci <= XHCI_ENDPOINTS; dci++)
            x->slot[s].endpoint[dci].waits = false;
}

/* ---- commands: each returns a completion code */

static bool context_address(Xhci *x, unsigned slot, uint64_t *ret)
{
    uint32_t w[2];
    uint64_t table = ((uint64_t)x->dcbaap[1] << 32 | x->dcbaap[0]) & ~(uint64_t)0x3f;
    if (!xhci_read(x, table + slot * 8, w, sizeof(w)))
        return false;
    *ret = ((uint64_t)w[1] << 32 | w[0]) & ~(uint64_t)0x3f;
    return true;
}

static unsigned enable_slot(Xhci *x, unsigned *slot)
{
    unsigned most = MIN(x->slots, x->config & 0xff);
    for (*slot = 1; *slot <= most && x->slot[*slot].enabled; (*slot)++)
        ;
    if (*slot > most) {
        *slot = 0;
        return CC_NO_SLOTS;
    }
    x->slot[*slot] = (XhciSlot){ .enabled = true };
    return CC_SUCCESS;
}

static bool port_in_use(const Xhci *x, unsigned slot, unsigned number)
{
    for (unsigned s = 1; s <= x->slots; s++)
        if (s != slot && x->slot[s].enabled && x->slot[s].port == number)
            return true;
    return false;
}

static void set_address(UsbDevice *u, unsigned address)
{
    unsigned actual;
    usb_control(u, &(UsbSetup){ .request = USB_SET_ADDRESS, .value = address }, NULL, &actual);
}

/* Input control context: which contexts to drop, and which to take: 6.2.5.1. */
static bool read_input(Xhci *x, uint64_t at, uint32_t *drop, uint32_t *add)
{
    uint32_t w[2];
    if (!xhci_read(x, at, w, sizeof(w)))
        return false;
    *drop = w[0];
    *add = w[1];
    return true;
}

static unsigned address_device(Xhci *x, unsigned slot, const Trb *t)
{
    XhciSlot *s = &x->slot[slot];
    uint64_t input = t->parameter & ~(uint64_t)0xf;
    uint32_t drop, add, w[CONTEXT_WORDS], ep0[CONTEXT_WORDS];
    if (!read_input(x, input, &drop, &add) || (drop & ~3u) || (add & 3) != 3)
        return CC_TRB_ERROR;
    if (!xhci_read(x, input + CONTEXT_BYTES, w, sizeof(w)) || !xhci_read(x, input + 2 * CONTEXT_BYTES, ep0, sizeof(ep0)) ||
        !context_address(x, slot, &s->context))
        return CC_TRB_ERROR;
    unsigned number = w[1] >> 16 & 0xff;
    UsbDevice *u = xhci_port_device(x, number);
    if (!u || w[0] & 0xfffff) /* a route through hubs: there are none */
        return CC_TRANSACTION_ERROR;
    if (port_in_use(x, slot, number))
        return CC_PARAMETER;
    bool blocked = t->control & BLOCK_SET_ADDRESS;
    s->port = number;
    s->interrupter = w[2] >> 22;
    s->state = blocked ? SLOT_DEFAULT : SLOT_ADDRESSED;
    if (!blocked)
        set_address(u, slot);
    xhci_write(x, context_at(s, 0), w, 3);
    write_slot_state(x, slot);
    enable_endpoint(x, slot, 1, ep0);
    return CC_SUCCESS;
}

static unsigned deconfigure(Xhci *x, unsigned slot)
{
    disable_endpoints(x, slot, 2);
    x->slot[slot].state = SLOT_ADDRESSED;
    write_slot_state(x, slot);
    return CC_SUCCESS;
}

static bool configure_one(Xhci *x, unsigned slot, unsigned dci, uint64_t input, bool drop, bool add)
{
    uint32_t w[CONTEXT_WORDS];
    if (drop)
        xhci_endpoint_set_state(x, slot, dci, EP_DISABLED);
    if (!add)
        return true;
    if (!xhci_read(x, input + (dci + INPUT_SLOT) * CONTEXT_BYTES, w, sizeof(w)) || !(w[1] >> 3 & 7))
        return false;
    enable_endpoint(x, slot, dci, w);
    return true;
}

static unsigned configure_endpoint(Xhci *x, unsigned slot, const Trb *t)
{
    XhciSlot *s = &x->slot[slot];
    uint64_t input = t->parameter & ~(uint64_t)0xf;
    uint32_t drop, add, w[1];
    if (s->state < SLOT_ADDRESSED)
        return CC_CONTEXT_STATE;
    if (t->control & DECONFIGURE)
        return deconfigure(x, slot);
    if (!read_input(x, input, &drop, &add) || drop & 3 || (add & 3) != 1 || !xhci_read(x, input + CONTEXT_BYTES, w, sizeof(w)))
        return CC_TRB_ERROR;
    for (unsigned dci = 2; dci <= XHCI_ENDPOINTS; dci++)
        if (!configure_one(x, slot, dci, input, drop >> dci & 1, add >> dci & 1))
            return CC_TRB_ERROR;
    s->state = SLOT_CONFIGURED;
    xhci_write(x, context_at(s, 0), w, 1); /* how many contexts there are now */
    write_slot_state(x, slot);
    return CC_SUCCESS;
}

/* 4.6.7: of the slot the exit latency and the interrupter, of the control endpoint its packet size. */
static unsigned evaluate_context(Xhci *x, unsigned slot, const Trb *t)
{
    XhciSlot *s = &x->slot[slot];
    uint64_t input = t->parameter & ~(uint64_t)0xf;
    uint32_t drop, add, w[3], old[3], in[2], out[2];
    if (s->state < SLOT_DEFAULT)
        return CC_CONTEXT_STATE;
    if (!read_input(x, input, &drop, &add) || drop || add & ~3u)
        return CC_TRB_ERROR;
    if (add & 1 && xhci_read(x, input + CONTEXT_BYTES, w, sizeof(w)) && xhci_read(x, context_at(s, 0), old, sizeof(old))) {
        old[1] = (old[1] & ~0xffffu) | (w[1] & 0xffff);
        old[2] = (old[2] & ~0xffc00000u) | (w[2] & 0xffc00000u);
        s->interrupter = w[2] >> 22;
        xhci_write(x, context_at(s, 0), old, 3);
    }
    if (add & 2 && xhci_read(x, input + 2 * CONTEXT_BYTES, in, sizeof(in)) && xhci_read(x, context_at(s, 1), out, sizeof(out))) {
        out[1] = (out[1] & 0xffffu) | (in[1] & 0xffff0000u);
        xhci_write(x, context_at(s, 1), out, 2);
    }
    return CC_SUCCESS;
}

static unsigned reset_endpoint(Xhci *x, unsigned slot, unsigned dci)
{
    if (x->slot[slot].endpoint[dci].state != EP_HALTED)
        return CC_CONTEXT_STATE;
    xhci_endpoint_set_state(x, slot, dci, EP_STOPPED);
    return CC_SUCCESS;
}

static unsigned stop_endpoint(Xhci *x, unsigned slot, unsigned dci)
{
    if (x->slot[slot].endpoint[dci].state != EP_RUNNING)
        return CC_CONTEXT_STATE;
    xhci_endpoint_stopped(x, slot, dci);
    xhci_endpoint_set_state(x, slot, dci, EP_STOPPED);
    return CC_SUCCESS;
}

static unsigned set_dequeue(Xhci *x, unsigned slot, unsigned dci, const Trb *t)
{
    XhciEndpoint *e = &x->slot[slot].endpoint[dci];
    if (e->state != EP_STOPPED && e->state != EP_ERROR)
        return CC_CONTEXT_STATE;
    e->ring = (XhciRing){ t->parameter & ~(uint64_t)0xf, t->parameter & 1 };
    xhci_endpoint_set_state(x, slot, dci, EP_STOPPED);
    return CC_SUCCESS;
}

static unsigned reset_device(Xhci *x, unsigned slot)
{
    if (x->slot[slot].state < SLOT_ADDRESSED)
        return CC_CONTEXT_STATE;
    disable_endpoints(x, slot, 2);
    x->slot[slot].state = SLOT_DEFAULT;
    write_slot_state(x, slot);
    return CC_SUCCESS;
}

/* ---- the ring */

static bool known_command(const Xhci *x, unsigned type)
{
    return (type >= CMD_ENABLE_SLOT && type <= CMD_RESET_DEVICE) || type == CMD_NOOP || (type == CMD_NEC_FIRMWARE && x->pci.dev.type == &nec_usb_xhci_type);
}

static unsigned slot_command(Xhci *x, unsigned slot, unsigned type, const Trb *t)
{
    unsigned dci = t->control >> 16 & 0x1f;
    if (!slot || slot > x->slots || !x->slot[slot].enabled)
        return CC_SLOT_NOT_ENABLED;
    if (type >= CMD_RESET_ENDPOINT && type <= CMD_SET_DEQUEUE && (!dci || x->slot[slot].state < SLOT_DEFAULT))
        return dci ? CC_CONTEXT_STATE : CC_TRB_ERROR;
    switch (type) {
    case CMD_DISABLE_SLOT:
        disable_slot(x, slot);
        return CC_SUCCESS;
    case CMD_ADDRESS_DEVICE:
        return address_device(x, slot, t);
    case CMD_CONFIGURE_ENDPOINT:
        return configure_endpoint(x, slot, t);
    case CMD_EVALUATE_CONTEXT:
        return evaluate_context(x, slot, t);
    case CMD_RESET_ENDPOINT:
        return reset_endpoint(x, slot, dci);
    case CMD_STOP_ENDPOINT:
        return stop_endpoint(x, slot, dci);
    case CMD_SET_DEQUEUE:
        return set_dequeue(x, slot, dci, t);
    default:
        return reset_device(x, slot);
    }
}

static void run_command(Xhci *x, const Trb *t)
{
    unsigned type = trb_type(t), slot = t->control >> 24, code = CC_SUCCESS, event = EVENT_COMMAND, more = 0;
    if (!known_command(x, type)) {
        guest_error(&x->pci.dev, "command %u is not known", type);
        code = CC_TRB_ERROR;
    } else if (type == CMD_NEC_FIRMWARE) { /* not in the specification: NEC's own, its answer is a version */
        event = EVENT_NEC;
        more = 0x3025;
    } else if (type == CMD_ENABLE_SLOT) {
        code = enable_slot(x, &slot);
    } else if (type != CMD_NOOP) {
        code = slot_command(x, slot, type, t);
    }
    xhci_event(x, 0, t->at, (uint32_t)code << 24 | more, event << 10 | slot << 24);
}

void xhci_commands_run(Xhci *x)
{
    Trb t;
    for (unsigned n = 0; xhci_running(x); n++) {
        if (n == COMMANDS_AT_ONCE) {
            xhci_later(x);
            return;
        }
        if (xhci_ring_next(x, &x->commands, &t) != RING_TRB)
            return;
        run_command(x, &t);
    }
}
