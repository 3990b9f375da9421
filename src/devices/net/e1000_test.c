/* e1000_test.c - both cards against a socket pair: EEPROM, frames both ways, checksums, segments, filters, mad rings. */
#include "devices/net/e1000.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/net.h"
#include "devices/testing.h"

enum { RAM = 8 << 20, DEVFN = 3 << 3, TX_RING = 0x10000, RX_RING = 0x20000, RING_SIZE = 16, DATA = 0x100000, RX_DATA = 0x200000 };
#define BAR 0xfd000000u

typedef struct Rig {
    Machine *machine;
    PciBus *bus;
    HostNet *host;
    int peer;
    unsigned tail; /* of the transmit ring */
    bool intx;
    unsigned messages;
    uint32_t message; /* the last */
} Rig;

static void intx(void *opaque, uint8_t devfn, unsigned pin, bool level) { ((Rig *)opaque)->intx = level; }

static void msi(void *opaque, uint64_t address, uint32_t data)
{
    ((Rig *)opaque)->messages++;
    ((Rig *)opaque)->message = data;
}

static const PciBusOps bus_ops = { .set_intx = intx, .msi = msi };

static uint32_t get(Rig *r, unsigned reg) { return test_read(r->machine->memory, BAR + reg, 4); }
static void set(Rig *r, unsigned reg, uint32_t value) { test_write(r->machine->memory, BAR + reg, 4, value); }
static void put(Rig *r, uint64_t at, const void *from, size_t n) { g_assert_true(dma_write(r->machine, at, from, n)); }
static void take(Rig *r, uint64_t at, void *to, size_t n) { g_assert_true(dma_read(r->machine, at, to, n)); }

#define WAIT_FOR(condition) for (unsigned tries = 0; !(condition); tries++) { g_assert_cmpuint(tries, <, 5000); g_usleep(1000); }

static void begin(Rig *r, const DeviceType *type)
{
    int pair[2];
    MachineConfig config = { .ram_size = RAM, .manual_clock = true, .max_cpus = 1 };
    *r = (Rig){ .machine = machine_create(&config, NULL) };
    RegionDecl ram = { .name = "ram", .kind = REGION_RAM, .size = RAM, .ram = r->machine->ram };
    g_assert_nonnull(region_add(r->machine->memory, &ram, NULL));
    r->bus = pci_bus_create(r->machine, "pci.0", &bus_ops, r);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), ==, 0);
    g_autofree char *spec = g_strdup_printf("dgram,id=n0,local.type=fd,local.str=%d", pair[0]);
    r->peer = pair[1];
    r->host = hostnet_open(spec, NULL);
    machine_add_backend(r->machine, BACKEND_NETDEV, "n0", r->host);
    const char *props[] = { "netdev", "n0", "mac", "52:54:00:01:02:03", NULL };
    Device *d = device_new(r->machine, type, NULL, props, NULL);
    g_assert_true(pci_plug((PciDevice *)d, r->bus, DEVFN, NULL) && device_realize(d, NULL));
    device_reset(d, RESET_COLD);
    pci_config_write(r->bus, DEVFN, PCI_BAR0, 4, BAR);
    pci_config_write(r->bus, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    set(r, R_TDBAL, TX_RING);
    set(r, R_TDLEN, RING_SIZE * 16);
    set(r, R_RDBAL, RX_RING);
    set(r, R_RDLEN, RING_SIZE * 16);
    set(r, R_TCTL, TCTL_EN | TCTL_PSP);
    for (unsigned i = 0; i < RING_SIZE; i++) {
        uint64_t desc[2] = { RX_DATA + i * 2048, 0 };
        put(r, RX_RING + i * 16, desc, 16);
    }
    set(r, R_RCTL, RCTL_EN | RCTL_BAM);
    set(r, R_RDT, RING_SIZE - 1);
    set(r, R_IMS, INT_TXDW | INT_RXT0);
}

static void end(Rig *r)
{
    machine_destroy(r->machine);
    hostnet_close(r->host);
    pci_bus_destroy(r->bus);
    close(r->peer);
}

/* A descriptor at the tail; the caller kicks. */
static unsigned add(Rig *r, uint64_t low, uint64_t high)
{
    uint64_t desc[2] = { low, high };
    unsigned at = r->tail;
    put(r, TX_RING + at * 16, desc, 16);
    r->tail = (at + 1) % RING_SIZE;
    return at;
}

static bool done(Rig *r, unsigned at)
{
    uint8_t desc[16];
    take(r, TX_RING + at * 16, desc, 16);
    return desc[12] & 1;
}

static uint16_t be16_at(const uint8_t *p) { return p[0] << 8 | p[1]; }
static uint32_t be32_at(const uint8_t *p) { return (uint32_t)be16_at(p) << 16 | be16_at(p + 2); }

static uint16_t sum(const uint8_t *p, size_t n, uint32_t start)
{
    for (size_t i = 0; i < n; i++)
        start += i % 2 ? p[i] : p[i] << 8;
    while (start >> 16)
        start = (start & 0xffff) + (start >> 16);
    return start;
}

static void test_eeprom(gconstpointer type)
{
    Rig r;
    uint16_t total = 0, word = 0;
    begin(&r, type);
    for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++) {
        set(&r, R_EERD, i << 8 | 1);
        g_assert_true(get(&r, R_EERD) & 0x10);
        total += get(&r, R_EERD) >> 16;
    }
    g_assert_cmphex(total, ==, 0xbaba);
    unsigned command = 6 << 6 | 1; /* read word 1, by the serial lines */
    set(&r, R_EECD, 0x42);
    g_assert_true(get(&r, R_EECD) & 0x80);
    for (int bit = 8; bit >= 0; bit--) {
        set(&r, R_EECD, 0x42 | (command >> bit & 1) << 2);
        set(&r, R_EECD, 0x43 | (command >> bit & 1) << 2);
    }
    for (unsigned i = 0; i < 16; i++) {
        set(&r, R_EECD, 0x42);
        set(&r, R_EECD, 0x43);
        word = word << 1 | (get(&r, R_EECD) >> 3 & 1);
    }
    g_assert_cmphex(word, ==, 0x0100); /* bytes 00 01 of the address */
    set(&r, R_MDIC, 2 << 26 | 1 << 21 | 2 << 16);
    g_assert_cmphex(get(&r, R_MDIC) & 0xffff, ==, 0x0141);
    end(&r);
}

static void test_send(gconstpointer type)
{
    Rig r;
    uint8_t frame[2048];
    begin(&r, type);
    memset(frame, 0x5a, 100);
    put(&r, DATA, frame, 100);
    add(&r, DATA, 40);                                            /* in two pieces */
    unsigned last = add(&r, DATA + 40, 60 | 0x0bull << 24);       /* EOP, IFCS, RS */
    set(&r, R_TDT, r.tail);
    g_assert_cmpint(recv(r.peer, frame, sizeof(frame), 0), ==, 100);
    WAIT_FOR(done(&r, last));
    WAIT_FOR(get(&r, R_TDH) == r.tail);
    g_assert_true(r.intx);
    g_assert_true(get(&r, R_ICR) & INT_TXDW);
    g_assert_false(r.intx);
    g_assert_cmpuint(get(&r, R_GPTC), ==, 1);
    g_assert_cmpuint(get(&r, R_GPTC), ==, 0);
    end(&r);
}

/* 54 bytes of headers: Ethernet, IPv4, TCP with the pseudo-header's sum as Linux leaves it. */
static size_t tcp_frame(uint8_t *p, size_t payload, bool with_length)
{
    size_t tcp = 20 + payload;
    memset(p, 0, 54);
    p[12] = 8;
    uint8_t ip[20] = { 0x45, 0, (20 + tcp) >> 8, 20 + tcp, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 };
    memcpy(p + 14, ip, 20);
    p[34 + 12] = 0x50;
    p[34 + 7] = 100; /* sequence */
    uint16_t pseudo = sum(ip + 12, 8, 6 + (with_length ? tcp : 0));
    p[34 + 16] = pseudo >> 8, p[34 + 17] = pseudo;
    for (size_t i = 0; i < payload; i++)
        p[54 + i] = i * 7;
    return 54 + payload;
}

static void check_tcp(const uint8_t *p, size_t n)
{
    g_assert_cmphex(sum(p + 14, 20, 0), ==, 0xffff);
    g_assert_cmpuint(be16_at(p + 16), ==, n - 14);
    g_assert_cmphex(sum(p + 34, n - 34, sum(p + 26, 8, 6 + n - 34)), ==, 0xffff);
}

enum { CONTEXT = 0x20 << 24 }; /* DEXT */
static uint64_t context_low(void) { return 14ull | 24ull << 8 | 33ull << 16 | 34ull << 32 | 50ull << 40; }

static void test_checksum(gconstpointer type)
{
    Rig r;
    uint8_t frame[2048];
    begin(&r, type);
    size_t n = tcp_frame(frame, 333, true);
    put(&r, DATA, frame, n);
    add(&r, context_low(), (uint64_t)CONTEXT | 3ull << 24);
    add(&r, DATA, n | 1ull << 20 | 0x2bull << 24 | 3ull << 40); /* data, EOP, IFCS, RS; IXSM and TXSM */
    set(&r, R_TDT, r.tail);
    g_assert_cmpint(recv(r.peer, frame, sizeof(frame), 0), ==, n);
    check_tcp(frame, n);
    end(&r);
}

static void test_segments(gconstpointer type)
{
    Rig r;
    uint8_t frame[8192], part[2048];
    size_t payload = 4000, got = 0;
    begin(&r, type);
    size_t n = tcp_frame(frame, payload, false);
    put(&r, DATA, frame, n);
    add(&r, context_low(), (uint64_t)CONTEXT | 7ull << 24 | payload | 54ull << 40 | 1460ull << 48); /* TCP, IPv4, TSE */
    add(&r, DATA, 54 | 1ull << 20 | 0x26ull << 24 | 3ull << 40);
    unsigned last = add(&r, DATA + 54, payload | 1ull << 20 | 0x2full << 24);
    set(&r, R_TDT, r.tail);
    while (got < payload) {
        ssize_t bytes = recv(r.peer, part, sizeof(part), 0);
        g_assert_cmpint(bytes, >, 54);
        check_tcp(part, bytes);
        g_assert_cmpuint(be32_at(part + 38), ==, 100 + got);
        g_assert_cmpmem(part + 54, bytes - 54, frame + 54 + got, bytes - 54);
        got += bytes - 54;
    }
    g_assert_cmpuint(got, ==, payload);
    WAIT_FOR(done(&r, last));
    end(&r);
}

static void send_to(Rig *r, const uint8_t mac[6], uint16_t type, unsigned bytes)
{
    uint8_t frame[2048] = { 0 };
    memcpy(frame, mac, 6);
    frame[12] = type >> 8, frame[13] = type;
    frame[15] = 5; /* VLAN, where it is one */
    g_assert_cmpint(send(r->peer, frame, bytes, 0), ==, bytes);
}

static void test_receive(gconstpointer type)
{
    static const uint8_t own[6] = { 0x52, 0x54, 0, 1, 2, 3 }, other[6] = { 0x52, 0x54, 0, 9, 9, 9 }, all[6] = { 255, 255, 255, 255, 255, 255 };
    Rig r;
    struct { uint64_t at; uint16_t length, sum; uint8_t status, errors; uint16_t special; } d;
    begin(&r, type);
    send_to(&r, other, 0x800, 60);  /* not for us */
    send_to(&r, own, 0x800, 42);    /* padded to the least frame, with room for the check sequence */
    WAIT_FOR(get(&r, R_RDH) == 1);
    take(&r, RX_RING, &d, 16);
    g_assert_cmpuint(d.length, ==, 64);
    g_assert_cmphex(d.status & 3, ==, 3);
    g_assert_true(r.intx && get(&r, R_ICR) & INT_RXT0);
    set(&r, R_CTRL, get(&r, R_CTRL) | CTRL_VME);
    send_to(&r, all, 0x8100, 100);
    WAIT_FOR(get(&r, R_RDH) == 2);
    take(&r, RX_RING + 16, &d, 16);
    g_assert_cmpuint(d.length, ==, 100); /* less the tag, and the check sequence */
    g_assert_cmphex(d.status & 8, ==, 8);
    g_assert_cmpuint(d.special, ==, 5);
    set(&r, R_RCTL, RCTL_EN | RCTL_BAM | RCTL_VFE);
    send_to(&r, all, 0x8100, 100); /* VLAN 5 is not wanted now */
    send_to(&r, all, 0x800, 1514);
    WAIT_FOR(get(&r, R_RDH) == 3);
    set(&r, R_VFTA, 1 << 5);
    send_to(&r, all, 0x8100, 100);
    WAIT_FOR(get(&r, R_RDH) == 4);
    end(&r);
}

/* Without room frames wait, and come in order when there is some. */
static void test_full(gconstpointer type)
{
    static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
    Rig r;
    begin(&r, type);
    for (unsigned i = 0; i < RING_SIZE + 4; i++)
        send_to(&r, all, 0x800, 60 + i);
    WAIT_FOR(get(&r, R_RDH) == RING_SIZE - 1);
    g_usleep(20000);
    g_assert_cmpuint(get(&r, R_RDH), ==, RING_SIZE - 1);
    set(&r, R_RDT, 8);
    WAIT_FOR(get(&r, R_RDH) == 4);
    uint16_t length;
    take(&r, RX_RING + 3 * 16 + 8, &length, 2);
    g_assert_cmpuint(length, ==, 60 + RING_SIZE + 3 + 4);
    end(&r);
}

/* Rings that make no sense end every walk. */
static void test_mad(gconstpointer type)
{
    Rig r;
    begin(&r, type);
    set(&r, R_TDT, 0xffff);
    set(&r, R_TDH, 0x8000);
    set(&r, R_TDH, 0);
    for (unsigned i = 0; i < RING_SIZE; i++)
        add(&r, DATA, 0xffff);
    set(&r, R_TDT, RING_SIZE - 1); /* no end of a frame anywhere */
    WAIT_FOR(get(&r, R_TDH) == RING_SIZE - 1);
    set(&r, R_TDBAL, 0xfffffff0);
    set(&r, R_TDH, 0);
    set(&r, R_RDBAL, 0xfffffff0);
    set(&r, R_RCTL, RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_BAM);
    static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
    send_to(&r, all, 0x800, 60);
    WAIT_FOR(get(&r, R_RDH) == 1);
    set(&r, R_CTRL, CTRL_RST);
    g_assert_cmpuint(get(&r, R_TDH), ==, 0);
    end(&r);
}

static void test_link(gconstpointer type)
{
    Rig r;
    begin(&r, type);
    g_assert_true(get(&r, R_STATUS) & STATUS_LU);
    hostnet_set_link(r.host, false);
    WAIT_FOR(!(get(&r, R_STATUS) & STATUS_LU));
    g_assert_true(get(&r, R_ICR) & INT_LSC);
    set(&r, R_MDIC, 2 << 26 | 1 << 21 | 1 << 16);
    g_assert_cmphex(get(&r, R_MDIC) & 4, ==, 0);
    hostnet_set_link(r.host, true);
    WAIT_FOR(get(&r, R_STATUS) & STATUS_LU);
    end(&r);
}

/* What the 82574L has besides. */
static void test_nvm(gconstpointer type)
{
    Rig r;
    uint16_t total = 0;
    begin(&r, type);
    for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++) {
        set(&r, R_EERD, i << 2 | 1);
        g_assert_true(get(&r, R_EERD) & 2);
        total += get(&r, R_EERD) >> 16;
    }
    g_assert_cmphex(total, ==, 0xbaba);
    set(&r, R_MDIC, 2 << 26 | 1 << 21 | 3 << 16);
    g_assert_cmphex(get(&r, R_MDIC) & 0xffff, ==, 0x0cb1);
    end(&r);
}

static void test_extended(gconstpointer type)
{
    static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
    Rig r;
    uint32_t desc[4];
    begin(&r, type);
    set(&r, R_RFCTL, RFCTL_EXTEN);
    send_to(&r, all, 0x800, 100);
    WAIT_FOR(get(&r, R_RDH) == 1);
    take(&r, RX_RING, desc, sizeof(desc));
    g_assert_cmphex(desc[0] | desc[1], ==, 0);
    g_assert_cmphex(desc[2], ==, 7); /* done, end of packet, sums were not looked at */
    g_assert_cmpuint(desc[3], ==, 104);
    end(&r);
}

/* One line for all: reading ICR lets it go, and IAM masks what comes after. */
static void test_auto_mask(gconstpointer type)
{
    Rig r;
    begin(&r, type);
    set(&r, 0xe0, UINT32_MAX);
    set(&r, R_CTRL_EXT, 1 << 27);
    set(&r, R_ICS, INT_RXT0);
    g_assert_true(r.intx);
    g_assert_cmphex(get(&r, R_ICR), ==, 1u << 31 | 1 << 20 | INT_RXT0);
    g_assert_false(r.intx);
    g_assert_cmphex(get(&r, R_IMS), ==, 0);
    set(&r, R_ICS, INT_RXT0);
    g_assert_false(r.intx);
    set(&r, R_IMS, INT_RXT0);
    g_assert_true(r.intx);
    end(&r);
}

/* A message for each cause that IVAR gives a vector; EIAC lets the cause go with it. */
static void test_vectors(gconstpointer type)
{
    enum { MSIX = 0x10000, RXQ0 = 1 << 20, OTHER = 1 << 24 };
    Rig r;
    begin(&r, type);
    unsigned cap = pci_find(r.bus, DEVFN)->cap_msix;
    pci_config_write(r.bus, DEVFN, PCI_BAR0 + 12, 4, BAR + 0x100000);
    for (unsigned i = 0; i < 3; i++) {
        test_write(r.machine->memory, BAR + 0x100000 + 16 * i, 4, 0xfee00000);
        test_write(r.machine->memory, BAR + 0x100000 + 16 * i + 8, 4, 0x40 + i);
        test_write(r.machine->memory, BAR + 0x100000 + 16 * i + 12, 4, 0);
    }
    pci_config_write(r.bus, DEVFN, cap + 2, 2, 0x8000);
    set(&r, 0xe4, 8 | 9 << 8 | 10 << 16);
    set(&r, 0xdc, RXQ0);
    set(&r, R_IMC, UINT32_MAX);
    set(&r, R_IMS, RXQ0 | OTHER | INT_LSC);
    set(&r, R_ICS, RXQ0);
    g_assert_cmpuint(r.messages, ==, 1);
    g_assert_cmphex(r.message, ==, 0x40);
    g_assert_cmphex(get(&r, R_IMS), ==, OTHER | INT_LSC);
    set(&r, R_ICS, RXQ0); /* masked until the driver has looked */
    g_assert_cmpuint(r.messages, ==, 1);
    set(&r, R_IMS, RXQ0);
    g_assert_cmpuint(r.messages, ==, 2);
    set(&r, R_ICS, INT_LSC);
    g_assert_cmpuint(r.messages, ==, 3);
    g_assert_cmphex(r.message, ==, 0x42);
    set(&r, R_ICS, INT_LSC); /* told already */
    g_assert_cmpuint(r.messages, ==, 3);
    g_assert_true(get(&r, R_ICR) & INT_LSC);
    set(&r, R_ICS, INT_LSC);
    g_assert_cmpuint(r.messages, ==, 4);
    g_assert_false(r.intx);
    end(&r);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(gconstpointer type);
    } both[] = {
        { "send", test_send }, { "checksum", test_checksum }, { "segments", test_segments }, { "receive", test_receive },
        { "full", test_full }, { "mad-rings", test_mad }, { "link", test_link },
    };
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(both); i++) {
        g_autofree char *older = g_strdup_printf("/e1000/%s", both[i].path), *newer = g_strdup_printf("/e1000e/%s", both[i].path);
        g_test_add_data_func(older, &e1000_type, both[i].test);
        g_test_add_data_func(newer, &e1000e_type, both[i].test);
    }
    g_test_add_data_func("/e1000/eeprom", &e1000_type, test_eeprom);
    g_test_add_data_func("/e1000e/nvm", &e1000e_type, test_nvm);
    g_test_add_data_func("/e1000e/extended", &e1000e_type, test_extended);
    g_test_add_data_func("/e1000e/auto-mask", &e1000e_type, test_auto_mask);
    g_test_add_data_func("/e1000e/vectors", &e1000e_type, test_vectors);
    return g_test_run();
}
