#pragma once
#include "schema/record.h"
/* network.h - networks (https://libvirt.org/formatnetwork.html). */
extern const char *const forward_modes[];
typedef enum ForwardMode { FORWARD_NAT = 1, FORWARD_ROUTE, FORWARD_OPEN, FORWARD_BRIDGE, FORWARD_PRIVATE, FORWARD_VEPA, FORWARD_PASSTHROUGH, FORWARD_HOSTDEV, FORWARD_USER } ForwardMode;

typedef struct DhcpRange {
    Record record;
    char *start, *end;
    uint64_t lease_expiry;
    char *lease_unit;
} DhcpRange;

typedef struct DhcpHost {
    Record record;
    char *mac, *id, *name, *ip;
} DhcpHost;

typedef struct NetworkIp {
    Record record;
    char *family, *address, *netmask, *tftp, *boot_file, *boot_server;
    uint64_t prefix;
    GPtrArray *ranges, *hosts; /* DhcpRange, DhcpHost */
} NetworkIp;

typedef struct DnsHost {
    Record record;
    char *ip;
    GPtrArray *names; /* texts */
} DnsHost;

typedef struct DnsForwarder {
    Record record;
    char *address, *domain;
} DnsForwarder;

typedef struct Route {
    Record record;
    char *family, *address, *netmask, *gateway;
    uint64_t prefix, metric;
} Route;

/* A port of the host that leads to a machine: ours, in a namespace of its own (atoll:forward is kept by libvirt's tools). */
typedef struct PortForward {
    Record record;
    char *protocol, *address, *to;
    uint64_t port, to_port;
} PortForward;

typedef struct Network {
    Record record;
    unsigned forward, stp, ipv6, dns_enable;
    bool forwards; /* <forward/> is there: NAT where it says no mode */
    char *name, *uuid, *title, *description, *metadata, *forward_dev, *nat_start, *nat_end, *bridge, *zone, *delay, *mac, *domain, *domain_local;
    uint64_t nat_port_start, nat_port_end, mtu, connections;
    GPtrArray *forwarders, *dns_hosts, *ips, *routes, *port_forwards;
} Network;

extern const RecordType network_type, port_forward_type, dhcp_host_type, dhcp_range_type, dns_host_type;
