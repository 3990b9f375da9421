/* device.c - what every USB device answers: USB 2.0, chapter 9. */
#include <string.h>

#include "devices/usb/usb.h"

enum { STRING_MAKER = 1, STRING_NAME, STRING_SERIAL, FEATURE_HALT = 0, FEATURE_WAKEUP = 1, SELF_POWERED = 1 };
enum { CONFIG_VALUE = 5, CONFIG_ATTRIBUTES = 7, ATTRIBUTE_WAKEUP = 0x20, ENDPOINT_ATTRIBUTES = 3, ENDPOINT_PACKET = 4, ENDPOINT_INTERVAL = 6,
       BULK = 2, INTERRUPT = 3, HIGH_SPEED_BULK_PACKET = 512 };

UsbSetup usb_setup_parse(const uint8_t raw[USB_SETUP_BYTES])
{
    return (UsbSetup){ raw[0], raw[1], raw[2] | raw[3] << 8, raw[4] | raw[5] << 8, raw[6] | raw[7] << 8 };
}

void usb_reset(UsbDevice *u)
{
    u->address = u->configuration = 0;
    u->wakes = false;
    u->halted = 0;
    if (u->model->reset)
        u->model->reset(u);
}

/* ---- descriptors: 9.6 */

static UsbStatus answer(const void *from, unsigned bytes, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    *actual = MIN(bytes, s->length);
    memcpy(data, from, *actual);
    return USB_OK;
}

static UsbStatus device_descriptor(const UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    const UsbModel *m = u->model;
    bool super = u->speed == USB_SUPER;
    const uint8_t d[] = { 18, USB_DT_DEVICE, 0, super ? 3 : 2, 0, 0, 0, super ? 9 : 64, m->vendor & 0xff, m->vendor >> 8, m->product & 0xff,
                          m->product >> 8, m->release & 0xff, m->release >> 8, STRING_MAKER, STRING_NAME, STRING_SERIAL, 1 };
    return answer(d, sizeof(d), s, data, actual);
}

/* How it would be at the other speed of a device that has both. */
static UsbStatus qualifier(const UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    static const uint8_t d[] = { 10, USB_DT_QUALIFIER, 0, 2, 0, 0, 0, 64, 1, 0 };
    return u->model->speeds & 1 << USB_HIGH ? answer(d, sizeof(d), s, data, actual) : USB_STALL;
}

/* At high speed an interval n means 2^(n-1) microframes: 9.6.6. */
static uint8_t high_speed_interval(uint8_t ms)
{
    unsigned n = 4; /* 1 ms */
    while (1u << (n - 3) <= ms)
        n++;
    return n;
}

static void at_high_speed(uint8_t *endpoint)
{
    unsigned kind = endpoint[ENDPOINT_ATTRIBUTES] & 3;
    if (kind == INTERRUPT)
        endpoint[ENDPOINT_INTERVAL] = high_speed_interval(endpoint[ENDPOINT_INTERVAL]);
    else if (kind == BULK) /* 5.8.3 */
        endpoint[ENDPOINT_PACKET + 1] = HIGH_SPEED_BULK_PACKET >> 8, endpoint[ENDPOINT_PACKET] = 0;
}

static UsbStatus configuration(const UsbDevice *u, const UsbSetup *s, bool high, uint8_t *data, unsigned *actual)
{
    uint8_t d[256];
    unsigned bytes = u->model->configuration_bytes;
    g_assert(bytes <= sizeof(d));
    memcpy(d, u->model->configuration, bytes);
    d[1] = s->value >> 8;
    for (unsigned at = 0; high && at + ENDPOINT_INTERVAL < bytes; at += d[at])
        if (d[at + 1] == USB_DT_ENDPOINT)
            at_high_speed(d + at);
    return answer(d, bytes, s, data, actual);
}

static UsbStatus string(const UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    static const uint8_t languages[] = { 4, USB_DT_STRING, 0x09, 0x04 }; /* English (United States) */
    const char *const strings[] = { NULL, u->model->maker, u->model->name, u->serial ? u->serial : "42" };
    unsigned n = s->value & 0xff;
    if (!n)
        return answer(languages, sizeof(languages), s, data, actual);
    if (n >= G_N_ELEMENTS(strings))
        return USB_STALL;
    uint8_t d[254] = { 2, USB_DT_STRING };
    for (const char *c = strings[n]; *c && d[0] < 252; c++, d[0] += 2)
        d[d[0]] = *c & 0x7f;
    return answer(d, d[0], s, data, actual);
}

static UsbStatus get_descriptor(UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    bool high = u->speed >= USB_HIGH;
    switch (s->value >> 8) {
    case USB_DT_DEVICE:
        return device_descriptor(u, s, data, actual);
    case USB_DT_CONFIGURATION:
        return s->value & 0xff ? USB_STALL : configuration(u, s, high, data, actual);
    case USB_DT_STRING:
        return string(u, s, data, actual);
    case USB_DT_QUALIFIER:
        return qualifier(u, s, data, actual);
    case USB_DT_OTHER_SPEED:
        return u->model->speeds & 1 << USB_HIGH ? configuration(u, s, !high, data, actual) : USB_STALL;
    }
    return USB_STALL;
}

/* ---- requests: 9.4 */

static uint32_t endpoint_bit(unsigned endpoint) { return 1u << ((endpoint & 0xf) + (endpoint & USB_IN ? 16 : 0)); }

static UsbStatus get_status(const UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    unsigned recipient = s->type & USB_RECIPIENT;
    uint8_t status[2] = { 0 };
    if (recipient == 0)
        status[0] = (u->model->configuration[CONFIG_ATTRIBUTES] & 0x40 ? SELF_POWERED : 0) | u->wakes << 1;
    else if (recipient == USB_ENDPOINT)
        status[0] = (u->halted & endpoint_bit(s->index)) != 0;
    return answer(status, 2, s, data, actual);
}

static UsbStatus set_feature(UsbDevice *u, const UsbSetup *s, bool on)
{
    unsigned recipient = s->type & USB_RECIPIENT;
    if (recipient == 0 && s->value == FEATURE_WAKEUP && u->model->configuration[CONFIG_ATTRIBUTES] & ATTRIBUTE_WAKEUP) {
        u->wakes = on;
        return USB_OK;
    }
    if (recipient != USB_ENDPOINT || s->value != FEATURE_HALT)
        return USB_STALL;
    u->halted = (u->halted & ~endpoint_bit(s->index)) | (on ? endpoint_bit(s->index) : 0);
    return USB_OK;
}

static UsbStatus set_configuration(UsbDevice *u, unsigned value)
{
    if (value && value != u->model->configuration[CONFIG_VALUE])
        return USB_STALL;
    u->configuration = value;
    u->halted = 0;
    return USB_OK;
}

static UsbStatus standard(UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    static const uint8_t setting = 0;
    switch (s->request) {
    case USB_GET_STATUS:
        return get_status(u, s, data, actual);
    case USB_CLEAR_FEATURE:
    case USB_SET_FEATURE:
        return set_feature(u, s, s->request == USB_SET_FEATURE);
    case USB_SET_ADDRESS:
        u->address = s->value & 0x7f;
        return USB_OK;
    case USB_GET_DESCRIPTOR:
        return (s->type & USB_RECIPIENT) == 0 ? get_descriptor(u, s, data, actual) : USB_STALL;
    case USB_GET_CONFIGURATION:
        return answer(&u->configuration, 1, s, data, actual);
    case USB_SET_CONFIGURATION:
        return set_configuration(u, s->value);
    case USB_GET_INTERFACE:
        return answer(&setting, 1, s, data, actual);
    case USB_SET_INTERFACE:
        return s->value ? USB_STALL : USB_OK;
    }
    return USB_STALL;
}

/* The device's own requests first: a class may have descriptors that one asks for as standard ones (HID's reports). */
UsbStatus usb_control(UsbDevice *u, const UsbSetup *s, uint8_t *data, unsigned *actual)
{
    *actual = 0;
    UsbStatus status = u->model->control ? u->model->control(u, s, data, actual) : USB_STALL;
    if (status == USB_STALL && !(s->type & USB_TYPE_MASK))
        status = standard(u, s, data, actual);
    if (status == USB_STALL)
        unimplemented(&u->dev, "request %02xh of type %02xh, value %04xh, index %04xh is stalled", s->request, s->type, s->value, s->index);
    return status;
}

UsbStatus usb_transfer(UsbDevice *u, UsbTransfer *t)
{
    t->actual = 0;
    if (!u->configuration || u->halted & endpoint_bit(t->endpoint))
        return USB_STALL;
    UsbStatus status = u->model->transfer(u, t);
    if (status == USB_STALL)
        u->halted |= endpoint_bit(t->endpoint);
    return status;
}
