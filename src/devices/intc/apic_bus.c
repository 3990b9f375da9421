/* apic_bus.c - which local APICs a message is for.  Intel SDM volume 3, "Determining IPI Destination". */
#include "devices/intc/apic_bus.h"

#include "devices/intc/lapic.h"

static bool is_broadcast(const ApicMessage *msg) { return msg->dest == (msg->wide ? UINT32_MAX : APIC_BROADCAST); }

static bool matches_physical(const Lapic *a, const ApicMessage *msg)
{
    return msg->dest == (lapic_x2apic(a) ? lapic_id(a) : lapic_id(a) & 0xff);
}

static bool matches_logical(const Lapic *a, const ApicMessage *msg)
{
    if (lapic_x2apic(a)) {
        uint32_t ldr = lapic_x2apic_ldr(a);
        return ldr >> 16 == msg->dest >> 16 && (ldr & msg->dest & 0xffff);
    }
    uint8_t ldr = LAPIC_LOAD(a->ldr) >> 24, dest = msg->dest;
    if (LAPIC_LOAD(a->dfr) >> 28 == 0xf) /* flat */
        return ldr & dest;
    return (dest >> 4 == 0xf || dest >> 4 == ldr >> 4) && (ldr & dest & 0xf); /* clusters of four */
}

static bool matches(const Lapic *a, const ApicMessage *msg)
{
    return is_broadcast(msg) || (msg->logical ? matches_logical(a, msg) : matches_physical(a, msg));
}

/* The first of those that run at the lowest priority. */
static Lapic *arbitrate(ApicBus *b, const ApicMessage *msg)
{
    Lapic *best = NULL;
    for (unsigned i = 0; i < b->apics->len; i++) {
        Lapic *a = b->apics->pdata[i];
        if (lapic_enabled(a) && matches(a, msg) && (!best || LAPIC_LOAD(a->ppr) < LAPIC_LOAD(best->ppr)))
            best = a;
    }
    return best;
}

bool apic_bus_send(ApicBus *b, const ApicMessage *msg)
{
    if (msg->mode == DELIVER_LOWEST) {
        Lapic *a = arbitrate(b, msg);
        return a && lapic_receive(a, msg);
    }
    bool taken = false;
    for (unsigned i = 0; i < b->apics->len; i++) {
        Lapic *a = b->apics->pdata[i];
        if (matches(a, msg))
            taken |= lapic_receive(a, msg);
    }
    return taken;
}

void apic_bus_send_all(ApicBus *b, const ApicMessage *msg, const Lapic *except)
{
    for (unsigned i = 0; i < b->apics->len; i++)
        if (b->apics->pdata[i] != except)
            lapic_receive(b->apics->pdata[i], msg);
}
