#pragma once
#include "devices/storage/ide_core.h"
#include "machine/bus.h"
#include "machine/machine.h"
/* ahci_core.h - inside AHCI: ahci.c runs commands, ahci_pci.c is the PCI function with its registers. */
enum { AHCI_PORTS = 6, AHCI_SLOTS = 32, NO_SLOT = 0xff };
enum { PORT_ST = 1, PORT_SUD = 2, PORT_POD = 4, PORT_CLO = 8, PORT_FRE = 0x10, PORT_FR = 1 << 14, PORT_CR = 1 << 15, PORT_ATAPI = 1 << 24 };
enum { PIS_DHRS = 1, PIS_PSS = 2, PIS_SDBS = 8, PIS_PCS = 0x40, PIS_PRCS = 1 << 22, PIS_OFS = 1 << 24, PIS_HBFS = 1 << 29, PIS_TFES = 1 << 30 };
enum { FIS_PIO = 0x20, FIS_D2H = 0x40, FIS_SDB = 0x58, TABLE_PACKET = 0x40, TABLE_PRDT = 0x80 };
enum { SSTS_READY = 0x123, SERR_EXCHANGED = 1 << 26, CMD_READ_QUEUED = 0x60, CMD_WRITE_QUEUED = 0x61 };

typedef struct Ahci Ahci;
typedef struct AhciPort AhciPort;

typedef struct AhciQueued {
    DiskReq dr;
    DmaMap map;
    AhciPort *port;
    unsigned slot, epoch;
    bool busy;
} AhciQueued;

struct AhciPort {
    Ahci *ahci;
    IdeBus bus;
    AhciQueued *queued; /* AHCI_SLOTS */
    unsigned epoch;     /* grows with each reset: what was begun before says nothing after */
    bool advancing, running;
    /* Registers: AHCI 3.3. */
    uint32_t clb[2], fb[2], is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
    /* The command under way. */
    uint8_t slot;
    bool halted; /* after an error, until the host stops the port */
    uint32_t moved;
    IdeChannel channel;
};

struct Ahci {
    PciDevice pci;
    uint32_t ghc, is;
    bool line; /* something asks for an interrupt */
    AhciPort port[AHCI_PORTS];
};

extern const IdeBusOps ahci_bus_ops;
void ahci_update_irq(Ahci *a);
void ahci_port_run(AhciPort *p); /* takes the commands that wait */
void ahci_port_stop(AhciPort *p);
void ahci_port_reset(AhciPort *p);
void ahci_port_comreset(AhciPort *p);
void ahci_port_signature(AhciPort *p);
void ahci_port_quiesce(AhciPort *p, bool cancel);
