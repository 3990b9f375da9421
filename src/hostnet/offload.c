/*
 * offload.c - checksums and segmentation in software, for a host end that takes plain frames only.
 *
 * RFC 791, 793, 8200, 1071 (checksums).  Every offset is checked against the frame before it is used: headers come from guests.
 */
#include <string.h>

#include "hostnet/backend.h"

enum { ETH_IPV4 = 0x0800, ETH_IPV6 = 0x86dd, ETH_VLAN = 0x8100, IP_TCP = 6, IP_UDP = 17 };
enum { TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80 };

static uint16_t get16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static void put16(uint8_t *p, uint16_t v) { p[0] = v >> 8, p[1] = v; }
static void put32(uint8_t *p, uint32_t v) { put16(p, v >> 16), put16(p + 2, v); }

/* ---- checksums */

static uint16_t fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Sums words in host order (RFC 1071, 2(B): byte order independence), four bytes a step. */
static uint16_t sum_words(const uint8_t *data, size_t n)
{
    uint64_t sum = 0;
    for (; n >= 4; data += 4, n -= 4) {
        uint32_t word;
        memcpy(&word, data, 4);
        sum += word;
    }
    uint8_t rest[4] = { 0 };
    memcpy(rest, data, n);
    uint32_t word;
    memcpy(&word, rest, 4);
    return GUINT16_FROM_BE(fold(sum + word));
}

uint16_t net_checksum(const uint8_t *data, size_t n, uint32_t start) { return ~fold((uint64_t)sum_words(data, n) + start); }

bool net_finish_checksum(const NetHeader *h, uint8_t *frame, size_t n)
{
    if (!(h->flags & NET_NEEDS_CSUM))
        return true;
    size_t at = (size_t)h->csum_start + h->csum_offset;
    if (at + 2 > n || h->csum_start > n)
        return false;
    uint16_t sum = net_checksum(frame + h->csum_start, n - h->csum_start, 0);
    put16(frame + at, sum ? sum : 0xffff); /* 0 would mean none to UDP; TCP does not mind */
    return true;
}

unsigned net_needs(const NetHeader *h)
{
    unsigned needs = h->flags & NET_NEEDS_CSUM ? HOSTNET_CSUM : 0;
    switch (h->gso_type & ~NET_GSO_ECN) {
    case NET_GSO_NONE:
        return needs;
    case NET_GSO_TCPV4:
        needs |= HOSTNET_TSO4;
        break;
    case NET_GSO_TCPV6:
        needs |= HOSTNET_TSO6;
        break;
    default:
        needs |= HOSTNET_UFO;
    }
    return needs | (h->gso_type & NET_GSO_ECN ? HOSTNET_ECN : 0);
}

/* ---- headers */

/* Offset of the network header and what it is; 0: the frame is too short. */
static size_t network_header(const uint8_t *frame, size_t n, uint16_t *ret_type)
{
    size_t at = NET_ETH_BYTES;
    if (n < at)
        return 0;
    *ret_type = get16(frame + 12);
    for (; *ret_type == ETH_VLAN && n >= at + 4; at += 4)
        *ret_type = get16(frame + at + 2);
    return at;
}

static bool parse_ipv4(const uint8_t *frame, size_t n, uint8_t protocol, NetTcp *t)
{
    if (n < t->ip + 20)
        return false;
    const uint8_t *ip = frame + t->ip;
    size_t header = (ip[0] & 15) * 4;
    t->tcp = t->ip + header;
    t->end = t->ip + get16(ip + 2);
    return ip[0] >> 4 == 4 && header >= 20 && ip[9] == protocol && !(get16(ip + 6) & 0x3fff) && t->tcp <= t->end && t->end <= n;
}

/* Extension headers are not looked through: TCP behind one is not segmented. */
static bool parse_ipv6(const uint8_t *frame, size_t n, NetTcp *t)
{
    if (n < t->ip + 40)
        return false;
    const uint8_t *ip = frame + t->ip;
    t->tcp = t->ip + 40;
    t->end = t->tcp + get16(ip + 4);
    return ip[0] >> 4 == 6 && ip[6] == IP_TCP && t->end <= n;
}

bool net_parse_tcp(const uint8_t *frame, size_t n, NetTcp *ret)
{
    uint16_t type = 0;
    *ret = (NetTcp){ .ip = network_header(frame, n, &type) };
    ret->ipv6 = type == ETH_IPV6;
    if (!ret->ip || (type != ETH_IPV4 && type != ETH_IPV6))
        return false;
    if (!(ret->ipv6 ? parse_ipv6(frame, n, ret) : parse_ipv4(frame, n, IP_TCP, ret)) || ret->end < ret->tcp + 20)
        return false;
    ret->payload = ret->tcp + (frame[ret->tcp + 12] >> 4) * 4;
    return ret->payload >= ret->tcp + 20 && ret->payload <= ret->end;
}

uint32_t net_tcp_pseudo(const uint8_t *frame, const NetTcp *t, size_t len)
{
    const uint8_t *ip = frame + t->ip;
    return (t->ipv6 ? sum_words(ip + 8, 32) : sum_words(ip + 12, 8)) + IP_TCP + (uint32_t)len;
}

static void finish_ipv4(uint8_t *ip)
{
    put16(ip + 10, 0);
    put16(ip + 10, net_checksum(ip, (ip[0] & 15) * 4, 0));
}

/* ---- TCP segments */

static void finish_segment(uint8_t *frame, const NetTcp *t, size_t payload, uint16_t nth)
{
    uint8_t *ip = frame + t->ip, *tcp = frame + t->tcp;
    size_t len = t->payload - t->tcp + payload;
    if (t->ipv6) {
        put16(ip + 4, len);
    } else {
        put16(ip + 2, t->tcp - t->ip + len);
        put16(ip + 4, get16(ip + 4) + nth);
        finish_ipv4(ip);
    }
    put16(tcp + 16, 0);
    put16(tcp + 16, net_checksum(tcp, len, net_tcp_pseudo(frame, t, len)));
}

static bool segment_tcp(const NetHeader *h, const uint8_t *frame, size_t n, NetEmit *emit, void *arg)
{
    NetTcp t;
    if (!h->gso_size || !net_parse_tcp(frame, n, &t) || t.ipv6 != ((h->gso_type & ~NET_GSO_ECN) == NET_GSO_TCPV6))
        return false;
    g_autofree uint8_t *out = g_malloc(t.payload + h->gso_size);
    uint32_t sequence = get32(frame + t.tcp + 4);
    uint8_t flags = frame[t.tcp + 13];
    size_t left = t.end - t.payload, off = 0;
    for (uint16_t nth = 0; nth == 0 || left; nth++) {
        size_t payload = MIN(left, h->gso_size);
        memcpy(out, frame, t.payload);
        memcpy(out + t.payload, frame + t.payload + off, payload);
        put32(out + t.tcp + 4, sequence + off);
        left -= payload;
        out[t.tcp + 13] = flags & ~((left ? TCP_FIN | TCP_PSH : 0) | (nth ? TCP_CWR : 0)); /* RFC 3168: CWR once */
        finish_segment(out, &t, payload, nth);
        emit(arg, out, t.payload + payload);
        off += payload;
    }
    return true;
}

/* ---- fragments: RFC 791, 3.2 */

bool net_fragment_ipv4(const uint8_t *frame, size_t n, unsigned mtu, NetEmit *emit, void *arg)
{
    uint16_t type = 0;
    size_t at = network_header(frame, n, &type);
    if (!at || type != ETH_IPV4 || n < at + 20)
        return false;
    size_t header = (frame[at] & 15) * 4, total = get16(frame + at + 2), step = mtu > header ? (mtu - header) & ~7u : 0;
    uint16_t where = get16(frame + at + 6);
    if (header < 20 || total < header || at + total > n || !step || where & 0x4000)
        return false;
    g_autofree uint8_t *out = g_malloc(at + header + step);
    for (size_t off = 0; off < total - header; off += step) {
        size_t len = MIN(step, total - header - off);
        bool more = off + len < total - header || where & 0x2000;
        memcpy(out, frame, at + header);
        memcpy(out + at + header, frame + at + header + off, len);
        put16(out + at + 2, header + len);
        put16(out + at + 6, ((where & 0x1fff) + off / 8) | (more ? 0x2000 : 0));
        finish_ipv4(out + at);
        emit(arg, out, at + header + len);
    }
    return true;
}

/* A datagram of UFO: gso_size counts what a fragment carries. */
static bool fragment_udp(const NetHeader *h, const uint8_t *frame, size_t n, NetEmit *emit, void *arg)
{
    uint16_t type = 0;
    size_t at = network_header(frame, n, &type);
    if (!at || n < at + 20 || h->gso_size < 8)
        return false;
    g_autofree uint8_t *whole = g_memdup2(frame, n);
    return net_finish_checksum(h, whole, n) && net_fragment_ipv4(whole, n, (frame[at] & 15) * 4 + h->gso_size, emit, arg);
}

bool net_segment(const NetHeader *h, const uint8_t *frame, size_t n, NetEmit *emit, void *arg)
{
    unsigned needs = net_needs(h);
    if (needs & (HOSTNET_TSO4 | HOSTNET_TSO6))
        return segment_tcp(h, frame, n, emit, arg);
    return needs & HOSTNET_UFO && fragment_udp(h, frame, n, emit, arg);
}
