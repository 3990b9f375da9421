/* card.c - what network cards share. */
#include "devices/net/card.h"

#include <stdio.h>
#include <string.h>

bool mac_parse(const char *text, uint8_t ret[MAC_BYTES])
{
    unsigned b[MAC_BYTES];
    int end = 0;
    char sep;
    if (sscanf(text, "%2x%c%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%*1[:-]%2x%n", &b[0], &sep, &b[1], &b[2], &b[3], &b[4], &b[5], &end) != 7 || text[end] ||
        (sep != ':' && sep != '-'))
        return false;
    for (unsigned i = 0; i < MAC_BYTES; i++)
        ret[i] = b[i];
    return true;
}

/* Addresses as QEMU gives them: 52:54:00:12:34:56 and on, by the order of the cards. */
static void default_mac(const Device *d, uint8_t mac[MAC_BYTES])
{
    unsigned nth = 0;
    for (unsigned i = 0; i < d->machine->devices->len; i++) {
        const Device *other = d->machine->devices->pdata[i];
        if (other == d)
            break;
        nth += other->type->fields && field_find(other->type->fields, "netdev", FIELD_PROP) != NULL;
    }
    memcpy(mac, (const uint8_t[]){ 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 + nth }, MAC_BYTES);
}

bool net_card_realize(NetCard *c, Device *d, GError **err)
{
    default_mac(d, c->mac);
    if (c->mac_text && (!mac_parse(c->mac_text, c->mac) || mac_multicast(c->mac)))
        return error_set(err, ERR_INVALID, "%s: mac=%s is no address of one card; write it as 52:54:00:12:34:56 (the first byte is even)", d->path, c->mac_text);
    if (!c->netdev)
        return true;
    c->host = machine_claim_backend(d->machine, BACKEND_NETDEV, c->netdev, d, err);
    return c->host;
}

void net_card_attach(NetCard *c, const HostNetCard *card, Device *d)
{
    if (c->host)
        hostnet_attach(c->host, card, d);
}

void net_card_unrealize(NetCard *c, Device *d)
{
    if (!c->host)
        return;
    hostnet_attach(c->host, NULL, NULL);
    machine_release_backend(d->machine, BACKEND_NETDEV, c->netdev);
    c->host = NULL;
}

bool net_card_boot_place(Device *d, BootPlace *ret)
{
    g_autofree char *function = pci_boot_path((PciDevice *)d);
    *ret = (BootPlace){ 'n', g_strconcat(function, "/ethernet-phy@0", NULL) };
    return true;
}

bool net_card_link(const NetCard *c) { return c->host && hostnet_link(c->host); }

bool net_card_may_receive(const Device *d)
{
    RunState s = __atomic_load_n(&d->machine->state, __ATOMIC_RELAXED);
    return s == MACHINE_RUNNING || s == MACHINE_CREATED;
}
