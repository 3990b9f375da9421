/* fuzz_e1000.c - e1000 or e1000e under any sequence of register accesses, with any rings in RAM and frames from outside. */
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/net.h"
#include "fuzz.h"
#include "hostnet/hostnet.h"

#define BAR 0xfd000000u
enum { DEVFN = 3 << 3 };
static const uint16_t regs[] = { 0x0, 0x8, 0x10, 0x14, 0x20, 0xc0, 0xc8, 0xd0, 0xd8, 0x100, 0x400, 0x2800, 0x2804, 0x2808, 0x2810, 0x2818, 0x3800, 0x3804, 0x3808, 0x3810, 0x3818,
                                 0x5000, 0x5200, 0x5400, 0x5404, 0x5600, 0x4074, 0x18, 0xdc, 0xe0, 0xe4, 0x5008, 0xb600, 0xb608 };

/* Rings that may work, so that what is behind them is reached. */
static void set_rings(FuzzRig *r, FuzzInput *in)
{
    fuzz_write(r->machine->memory, BAR + 0x2800, 4, fuzz_take(in, 2) << 4);
    fuzz_write(r->machine->memory, BAR + 0x2808, 4, 128 * (1 + fuzz_take(in, 1) % 4));
    fuzz_write(r->machine->memory, BAR + 0x3800, 4, fuzz_take(in, 2) << 4);
    fuzz_write(r->machine->memory, BAR + 0x3808, 4, 128 * (1 + fuzz_take(in, 1) % 4));
    fuzz_write(r->machine->memory, BAR + 0x100, 4, 0x802a | fuzz_take(in, 4));
    fuzz_write(r->machine->memory, BAR + 0x400, 4, 2);
    fuzz_write(r->machine->memory, BAR + 0x2818, 4, fuzz_take(in, 1) % 32);
}

static void step(FuzzRig *r, Device *card, int peer, FuzzInput *in)
{
    uint8_t op = fuzz_take(in, 1), frame[2048];
    unsigned reg = regs[fuzz_take(in, 1) % G_N_ELEMENTS(regs)];
    size_t n = 14 + fuzz_take(in, 2) % 1600;
    switch (op % 12) {
    case 0 ... 3:
        fuzz_write(r->machine->memory, BAR + reg, 4, fuzz_take(in, op & 0x10 ? 4 : 1));
        break;
    case 4:
        fuzz_read(r->machine->memory, BAR + (op & 0x80 ? reg : fuzz_take(in, 2) & ~3u), 4);
        break;
    case 5:
        fuzz_write(r->machine->memory, BAR + (fuzz_take(in, 2) & ~3u), 4, fuzz_take(in, 4));
        break;
    case 6 ... 7:
        fuzz_fill_ram(r, in, fuzz_take(in, 3) % FUZZ_RAM_BYTES);
        break;
    case 8:
        memset(frame, 0xff, sizeof(frame));
        send(peer, frame, n, MSG_DONTWAIT);
        break;
    case 9:
        set_rings(r, in);
        break;
    case 10:
        fuzz_write(r->machine->memory, BAR + 0x3818, 4, fuzz_take(in, 1) % 32);
        g_usleep(20);
        break;
    default:
        if (op > 0xe0)
            fuzz_save_load(r);
        else if (op > 0xc0)
            device_reset(card, RESET_WARM);
    }
    while (recv(peer, frame, sizeof(frame), MSG_DONTWAIT) >= 0)
        continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    FuzzRig r = fuzz_rig_create();
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) < 0)
        g_error("no socket pair");
    g_autofree char *spec = g_strdup_printf("dgram,id=n0,local.type=fd,local.str=%d", pair[0]);
    HostNet *host = hostnet_open(spec, NULL);
    machine_add_backend(r.machine, BACKEND_NETDEV, "n0", host);
    const char *props[] = { "netdev", "n0", NULL };
    Device *card = device_new(r.machine, fuzz_take(&in, 1) & 1 ? &e1000e_type : &e1000_type, NULL, props, NULL);
    g_assert_true(pci_plug((PciDevice *)card, r.bus, DEVFN, NULL) && device_realize(card, NULL));
    device_reset(card, RESET_COLD);
    pci_config_write(r.bus, DEVFN, PCI_BAR0, 4, BAR);
    pci_config_write(r.bus, DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    for (unsigned i = 0; i < 400 && in.left; i++)
        step(&r, card, pair[1], &in);
    fuzz_rig_destroy(&r);
    hostnet_close(host);
    close(pair[1]);
    return 0;
}
