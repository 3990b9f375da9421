/* network.c - the rows of networks. */
#include <gio/gio.h>
#include <string.h>

#include "base/error.h"
#include "schema/network.h"

#define END { .name = NULL }

const char *const forward_modes[] = { "nat", "route", "open", "bridge", "private", "vepa", "passthrough", "hostdev", "user", NULL };

static bool check_address(const char *text, GError **err)
{
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(text);
    return address || error_set(err, ERR_INVALID, "'%s' is not an IP address", text);
}

/* A Linux interface's name: at most 15 bytes, no slash, no blank. */
static bool check_interface(const char *text, GError **err)
{
    if (*text && strlen(text) < 16 && !strpbrk(text, "/ \t\n:") && strcmp(text, ".") && strcmp(text, ".."))
        return true;
    return error_set(err, ERR_INVALID, "'%s' is no name of an interface: 1 to 15 letters, digits, dots and dashes", text);
}

/* What dnsmasq reads from a file of ours, a line each. */
static bool check_dns_name(const char *text, GError **err)
{
    for (const char *c = text; *c; c++)
        if (!g_ascii_isalnum(*c) && !strchr(".-_", *c))
            return error_set(err, ERR_INVALID, "'%s' is no name in DNS: letters, digits, dots, dashes", text);
    return *text || error_set(err, ERR_INVALID, "a name in DNS is empty");
}

static const RecordField range_fields[] = {
    { RF(DhcpRange, start, RK_TEXT, "@start"), .check = check_address, .required = true, .doc = "first address" },
    { RF(DhcpRange, end, RK_TEXT, "@end"), .check = check_address, .required = true, .doc = "last address" },
    { RF(DhcpRange, lease_expiry, RK_UINT, "lease/@expiry"), .doc = "time a lease lasts; 0: for ever" },
    { RF(DhcpRange, lease_unit, RK_TEXT, "lease/@unit"), .doc = "seconds, minutes, hours" },
    END
};
const RecordType dhcp_range_type = { .element = "range", .size = sizeof(DhcpRange), .fields = range_fields };

static const RecordField host_fields[] = {
    { RF(DhcpHost, mac, RK_MAC, "@mac"), .doc = "of this card" },
    { RF(DhcpHost, id, RK_TEXT, "@id"), .doc = "DUID" },
    { RF(DhcpHost, name, RK_TEXT, "@name"), .check = check_dns_name, .doc = "name" },
    { RF(DhcpHost, ip, RK_TEXT, "@ip"), .check = check_address, .doc = "address that it always gets" },
    END
};
static bool check_host(void *record, GError **err)
{
    DhcpHost *h = record;
    return h->mac || h->id || h->name || error_set(err, ERR_INVALID, "<host> in <dhcp> needs mac, id or name: whose is it");
}
const RecordType dhcp_host_type = { .element = "host", .size = sizeof(DhcpHost), .fields = host_fields, .check = check_host };

static const RecordField ip_fields[] = {
    { RF(NetworkIp, family, RK_TEXT, "@family"), .doc = "ipv4, ipv6" },
    { RF(NetworkIp, address, RK_TEXT, "@address"), .check = check_address, .required = true, .doc = "the bridge's address" },
    { RF(NetworkIp, netmask, RK_TEXT, "@netmask"), .check = check_address, .doc = "mask" },
    { RF(NetworkIp, prefix, RK_UINT, "@prefix"), .max = 128, .doc = "mask as a number of bits" },
    { RF(NetworkIp, tftp, RK_TEXT, "tftp/@root"), .doc = "folder for TFTP" },
    { RF(NetworkIp, ranges, RK_LIST, "dhcp/range"), .record = &dhcp_range_type, .doc = "addresses that DHCP gives" },
    { RF(NetworkIp, hosts, RK_LIST, "dhcp/host"), .record = &dhcp_host_type, .doc = "hosts with an address of their own" },
    { RF(NetworkIp, boot_file, RK_TEXT, "dhcp/bootp/@file"), .doc = "file to boot from" },
    { RF(NetworkIp, boot_server, RK_TEXT, "dhcp/bootp/@server"), .doc = "its server" },
    END
};
static const RecordType ip_type = { .element = "ip", .size = sizeof(NetworkIp), .fields = ip_fields };

static const RecordField dns_host_fields[] = {
    { RF(DnsHost, ip, RK_TEXT, "@ip"), .check = check_address, .required = true, .doc = "address" },
    { RF(DnsHost, names, RK_TEXTS, "hostname"), .doc = "its names" },
    END
};
const RecordType dns_host_type = { .element = "host", .size = sizeof(DnsHost), .fields = dns_host_fields };

static const RecordField forwarder_fields[] = {
    { RF(DnsForwarder, domain, RK_TEXT, "@domain"), .check = check_dns_name, .doc = "only for this domain" },
    { RF(DnsForwarder, address, RK_TEXT, "@addr"), .check = check_address, .doc = "server that is asked" },
    END
};
static const RecordType forwarder_type = { .element = "forwarder", .size = sizeof(DnsForwarder), .fields = forwarder_fields };

static const RecordField route_fields[] = {
    { RF(Route, family, RK_TEXT, "@family"), .doc = "ipv4, ipv6" },
    { RF(Route, address, RK_TEXT, "@address"), .check = check_address, .required = true, .doc = "network" },
    { RF(Route, netmask, RK_TEXT, "@netmask"), .check = check_address, .doc = "mask" },
    { RF(Route, prefix, RK_UINT, "@prefix"), .max = 128, .doc = "mask as a number of bits" },
    { RF(Route, gateway, RK_TEXT, "@gateway"), .check = check_address, .required = true, .doc = "by way of" },
    { RF(Route, metric, RK_UINT, "@metric"), .min = 1, .doc = "weight" },
    END
};
static const RecordType route_type = { .element = "route", .size = sizeof(Route), .fields = route_fields };

static const RecordField port_forward_fields[] = {
    { RF(PortForward, protocol, RK_TEXT, "@protocol"), .def = "tcp", .doc = "tcp, udp" },
    { RF(PortForward, address, RK_TEXT, "@address"), .check = check_address, .doc = "of the host; any where not given" },
    { RF(PortForward, port, RK_UINT, "@port"), .min = 1, .max = 65535, .required = true, .doc = "port of the host" },
    { RF(PortForward, to, RK_TEXT, "@to"), .check = check_address, .required = true, .doc = "address of the machine" },
    { RF(PortForward, to_port, RK_UINT, "@toPort"), .min = 1, .max = 65535, .doc = "its port; the same where not given" },
    END
};
const RecordType port_forward_type = { .element = "portForward", .size = sizeof(PortForward), .fields = port_forward_fields };

static const RecordField network_fields[] = {
    { RF(Network, ipv6, RK_WORD, "@ipv6"), .words = record_yes_no, .doc = "IPv6 between the guests" },
    { RF(Network, connections, RK_UINT, "@connections"), .live = true, .doc = "cards that are joined to it" },
    { RF(Network, name, RK_TEXT, "name"), .required = true, .check = check_dns_name, .doc = "name" },
    { RF(Network, uuid, RK_UUID, "uuid"), .doc = "UUID; made up where none is given" },
    { RF(Network, title, RK_TEXT, "title"), .doc = "short description" },
    { RF(Network, description, RK_TEXT, "description"), .doc = "description" },
    { RF(Network, metadata, RK_XML, "metadata"), .doc = "what other programs keep here" },
    { RF(Network, forwards, RK_FLAG, "forward"), .doc = "packets leave the network" },
    { RF(Network, forward_dev, RK_TEXT, "forward/@dev"), .check = check_interface, .doc = "only by this interface" },
    { RF(Network, forward, RK_WORD, "forward/@mode"), .words = forward_modes, .doc = "how packets leave it" },
    { RF(Network, nat_start, RK_TEXT, "forward/nat/address/@start"), .check = check_address, .doc = "first address that NAT uses" },
    { RF(Network, nat_end, RK_TEXT, "forward/nat/address/@end"), .check = check_address, .doc = "last address that NAT uses" },
    { RF(Network, nat_port_start, RK_UINT, "forward/nat/port/@start"), .max = 65535, .doc = "first port that NAT uses" },
    { RF(Network, nat_port_end, RK_UINT, "forward/nat/port/@end"), .max = 65535, .doc = "last port that NAT uses" },
    { RF(Network, port_forwards, RK_LIST, "forward/portForward"), .record = &port_forward_type, .doc = "ports of the host that lead to machines" },
    { RF(Network, bridge, RK_TEXT, "bridge/@name"), .check = check_interface, .doc = "the host's bridge" },
    { RF(Network, zone, RK_TEXT, "bridge/@zone"), .doc = "zone of firewalld" },
    { RF(Network, stp, RK_WORD, "bridge/@stp"), .words = record_on_off, .doc = "spanning tree" },
    { RF(Network, delay, RK_TEXT, "bridge/@delay"), .doc = "seconds before it forwards" },
    { RF(Network, mtu, RK_UINT, "mtu/@size"), .min = 68, .max = 65535, .doc = "largest packet, bytes" },
    { RF(Network, mac, RK_MAC, "mac/@address"), .doc = "the bridge's MAC address" },
    { RF(Network, domain, RK_TEXT, "domain/@name"), .check = check_dns_name, .doc = "domain in DNS" },
    { RF(Network, domain_local, RK_TEXT, "domain/@localOnly"), .doc = "yes: names of the domain are asked of nobody else" },
    { RF(Network, dns_enable, RK_WORD, "dns/@enable"), .words = record_yes_no, .doc = "is there a name server" },
    { RF(Network, forwarders, RK_LIST, "dns/forwarder"), .record = &forwarder_type, .doc = "servers that it asks" },
    { RF(Network, dns_hosts, RK_LIST, "dns/host"), .record = &dns_host_type, .doc = "names of its own" },
    { RF(Network, ips, RK_LIST, "ip"), .record = &ip_type, .doc = "addresses" },
    { RF(Network, routes, RK_LIST, "route"), .record = &route_type, .doc = "routes" },
    END
};

static bool check_network(void *record, GError **err)
{
    Network *n = record;
    if (!n->uuid)
        n->uuid = g_uuid_string_random();
    if (n->forwards && !n->forward)
        n->forward = FORWARD_NAT;
    bool of_the_host = n->forward >= FORWARD_BRIDGE && n->forward <= FORWARD_HOSTDEV;
    if (of_the_host && n->ips && n->ips->len)
        return error_set(err, ERR_INVALID, "<network> '%s': forward mode '%s' joins what the host has: leave <ip> out", n->name, forward_modes[n->forward - 1]);
    if (n->forward == FORWARD_NAT && !(n->ips && n->ips->len))
        return error_set(err, ERR_INVALID, "<network> '%s': NAT needs an <ip address= netmask=>", n->name);
    return true;
}
const RecordType network_type = { .element = "network", .size = sizeof(Network), .fields = network_fields, .check = check_network, .doc = "a network" };
