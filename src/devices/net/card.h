#pragma once
#include "hostnet/hostnet.h"
#include "machine/machine.h"
/*
 * card.h - what network cards share: their properties netdev= and mac=, the claim of a host end, and addresses.
 *
 * A card without netdev= is one whose cable is not plugged in.
 */
enum { MAC_BYTES = 6 };

typedef struct NetCard {
    char *netdev, *mac_text;
    uint32_t bootindex;
    /* Host. */
    uint8_t mac[MAC_BYTES]; /* as mac= says */
    HostNet *host;          /* NULL: none */
} NetCard;

#define NET_CARD_FIELDS(T, m)                                                                                          \
    { FN(T, m.netdev, "netdev"), .role = FIELD_PROP, .doc = "id of the -netdev that it is connected to" },             \
    { FN(T, m.mac_text, "mac"), .role = FIELD_PROP, .doc = "address, as 52:54:00:12:34:56; default: the next of those" }, \
    { FN(T, m.bootindex, "bootindex"), .role = FIELD_PROP, .reset = UINT32_MAX, .doc = "place in the order of booting, lowest first" }, \
    { .name = "host_mac", .off = offsetof(T, m.mac), .bytes = MAC_BYTES, .n = MAC_BYTES, .type = FT_U8, .role = FIELD_HOST }, \
    { .name = "host", .off = offsetof(T, m.host), .bytes = sizeof(HostNet *), .n = 1, .type = FT_OPAQUE, .role = FIELD_HOST }

/* Reads mac= and claims the host end. */
bool net_card_realize(NetCard *c, Device *d, GError **err);
/* From then on the callbacks come; last thing of realize. */
void net_card_attach(NetCard *c, const HostNetCard *card, Device *d);
void net_card_unrealize(NetCard *c, Device *d); /* returns when no callback is running */
bool net_card_boot_place(Device *d, BootPlace *ret); /* DeviceType.boot_place of a PCI card */
bool net_card_link(const NetCard *c);
/* Guest memory may be written now: the machine is not paused. */
bool net_card_may_receive(const Device *d);

bool mac_parse(const char *text, uint8_t ret[MAC_BYTES]);
static inline bool mac_multicast(const uint8_t *mac) { return mac[0] & 1; }
static inline bool mac_broadcast(const uint8_t *mac) { return (mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff; }
