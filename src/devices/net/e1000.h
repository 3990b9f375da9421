#pragma once
#include "devices/net/card.h"
#include "machine/pci.h"
/*
 * e1000.h - what the files of Intel's 82540EM and 82574L share.  Intel 317453, "PCI/PCI-X Family of Gigabit Ethernet Controllers
 * Software Developer's Manual" (SDM below), for both; names of registers and bits are the manual's.  What the 82574L has besides, or has
 * in another way, is its E1000Model: e1000e.c.
 *
 * Registers are words of one array; e1000_regs.c has the table of those that exist.  Rings are worked on by the host end's
 * thread: a CPU only moves their tails.
 */
enum { /* SDM 13.2: offsets */
    R_CTRL = 0x0000, R_STATUS = 0x0008, R_EECD = 0x0010, R_EERD = 0x0014, R_CTRL_EXT = 0x0018, R_FLA = 0x001c, R_MDIC = 0x0020, R_FCAL = 0x0028,
    R_FCAH = 0x002c, R_FCT = 0x0030, R_VET = 0x0038, R_ICR = 0x00c0, R_ITR = 0x00c4, R_ICS = 0x00c8, R_IMS = 0x00d0, R_IMC = 0x00d8, R_RCTL = 0x0100,
    R_FCTTV = 0x0170, R_TXCW = 0x0178, R_RXCW = 0x0180, R_TCTL = 0x0400, R_TIPG = 0x0410, R_AIT = 0x0458, R_LEDCTL = 0x0e00, R_PBA = 0x1000,
    R_FCRTL = 0x2160, R_FCRTH = 0x2168, R_RDFH = 0x2410, R_RDBAL = 0x2800, R_RDBAH = 0x2804, R_RDLEN = 0x2808, R_RDH = 0x2810, R_RDT = 0x2818,
    R_RDTR = 0x2820, R_RXDCTL = 0x2828, R_RADV = 0x282c, R_RSRPD = 0x2c00, R_TXDMAC = 0x3000, R_TDFH = 0x3410, R_TDBAL = 0x3800, R_TDBAH = 0x3804,
    R_TDLEN = 0x3808, R_TDH = 0x3810, R_TDT = 0x3818, R_TIDV = 0x3820, R_TXDCTL = 0x3828, R_TADV = 0x382c, R_TSPMT = 0x3830, R_CRCERRS = 0x4000,
    R_PRC64 = 0x405c, R_GPRC = 0x4074, R_BPRC = 0x4078, R_MPRC = 0x407c, R_GPTC = 0x4080, R_GORCL = 0x4088, R_GOTCL = 0x4090, R_ROC = 0x40ac,
    R_TORL = 0x40c0, R_TOTL = 0x40c8, R_TPR = 0x40d0, R_TPT = 0x40d4, R_PTC64 = 0x40d8, R_MPTC = 0x40f0, R_BPTC = 0x40f4, R_TSCTC = 0x40f8,
    R_STATS_END = 0x4100, R_RXCSUM = 0x5000, R_MTA = 0x5200, R_RA = 0x5400, R_VFTA = 0x5600, R_WUC = 0x5800, R_WUFC = 0x5808, R_WUS = 0x5810,
    R_MANC = 0x5820, R_RFCTL = 0x5008, R_IPAV = 0x5838, R_WUPL = 0x5900, E1000_REG_BYTES = 0x6000,
};
enum { /* CTRL, STATUS */
    CTRL_SLU = 1 << 6, CTRL_RST = 1 << 26, CTRL_VME = 1 << 30, CTRL_PHY_RST = 1u << 31,
    STATUS_FD = 1, STATUS_LU = 2, STATUS_1000 = 1 << 7, STATUS_ASDV_1000 = 1 << 9,
};
enum { /* ICR, ICS, IMS, IMC */
    INT_TXDW = 1, INT_TXQE = 2, INT_LSC = 4, INT_RXDMT0 = 0x10, INT_RXO = 0x40, INT_RXT0 = 0x80, INT_MDAC = 0x200, INT_TXD_LOW = 0x8000, INT_ALL = 0x1ffff,
};
enum { RCTL_EN = 2, RCTL_UPE = 8, RCTL_MPE = 0x10, RCTL_LPE = 0x20, RCTL_BAM = 0x8000, RCTL_VFE = 0x40000, RCTL_BSEX = 1 << 25, RCTL_SECRC = 1 << 26 };
enum { RFCTL_EXTEN = 1 << 15 };
enum { TCTL_EN = 2, TCTL_PSP = 8 };
enum { EECD_FWE_OFF = 0x10, EECD_PRES = 0x100, EECD_AUTO_RD = 0x200 };
enum { E1000_EEPROM_WORDS = 64, E1000_PHY_REGS = 32, E1000_DESC_BYTES = 16 };

/* What a context descriptor says: SDM 3.3.6. */
typedef struct E1000Context {
    uint8_t ipcss, ipcso, tucss, tucso, hdrlen, tucmd;
    uint16_t ipcse, tucse, mss;
} E1000Context;

typedef struct E1000 E1000;

/* A run of n registers; a NULL read gives what is stored, a NULL write stores the writable bits. */
typedef struct E1000Reg {
    uint32_t off, n, writable, reset;
    uint32_t (*read)(E1000 *e, unsigned off);
    void (*write)(E1000 *e, unsigned off, uint32_t value);
} E1000Reg;

typedef struct E1000Model {
    const E1000Reg *regs; /* by offset; they go before those of both cards */
    unsigned n_regs;
    uint32_t interrupts;             /* causes that there are */
    uint32_t eecd;                   /* what EECD shows always */
    uint32_t eerd_shift, eerd_done;  /* of the word's number; that the word is there */
    uint16_t phy_id2;
    bool phy_pages;                  /* the PHY's register 22 chooses a page of those from 16 on */
    bool extended;                   /* RFCTL.EXTEN chooses another kind of receive descriptor */
    uint32_t (*causes)(uint32_t causes); /* optional: those that come with them */
    void (*update_irq)(E1000 *e);
} E1000Model;

struct E1000 {
    PciDevice pci;
    NetCard card;
    /* State. */
    uint32_t reg[E1000_REG_BYTES / 4];
    uint32_t io_addr; /* IOADDR: which register IODATA is */
    uint16_t phy[E1000_PHY_REGS];
    uint32_t ee_shift, ee_count; /* bits that came since chip select, from the start bit on */
    E1000Context context[2];     /* of checksums, of segmentation */
    /* Derived. */
    uint16_t eeprom[E1000_EEPROM_WORDS];
    /* Host. */
    const E1000Model *model;
    uint32_t tx_epoch; /* changes when the driver takes the ring away from under a frame that is being sent */
    uint8_t *tx_frame, *rx_frame; /* host end's thread only */
};

/* The members of a card that begins with an E1000. */
#define E1000_FIELDS \
    NET_CARD_FIELDS(E1000, card), \
    { FA(E1000, reg), .doc = "registers" }, \
    { F(E1000, io_addr), .doc = "IOADDR" }, \
    { FA(E1000, phy), .doc = "registers of the PHY" }, \
    { F(E1000, ee_shift), .doc = "EEPROM: bits of the command" }, \
    { F(E1000, ee_count), .doc = "EEPROM: how many" }, \
    { FSA(E1000, context, e1000_context_fields), .doc = "of checksums and of segmentation" }, \
    { FA(E1000, eeprom), .role = FIELD_DERIVED }, \
    { FO(E1000, model), .role = FIELD_HOST }, \
    { F(E1000, tx_epoch), .role = FIELD_HOST }, \
    { FO(E1000, tx_frame), .role = FIELD_HOST }, \
    { FO(E1000, rx_frame), .role = FIELD_HOST }

static inline uint32_t *e1000_reg(E1000 *e, unsigned off) { return &e->reg[off / 4]; }
static inline uint64_t e1000_ring(E1000 *e, unsigned base) { return *e1000_reg(e, base) | (uint64_t)*e1000_reg(e, base + 4) << 32; }

/* e1000.c: the life of both cards. */
bool e1000_realize(E1000 *e, const E1000Model *model, GError **err);
void e1000_unrealize(Device *d);
void e1000_reset(Device *d, ResetKind k);
bool e1000_post_load(Device *d, GError **err);
void e1000_resumed(Device *d);
/* e1000_regs.c */
extern const WindowOps e1000_memory_ops, e1000_io_ops;
void e1000_reset_regs(E1000 *e);
void e1000_interrupt(E1000 *e, uint32_t causes);
void e1000_update_irq(E1000 *e);
void e1000_set_link(E1000 *e, bool up);
void e1000_count(E1000 *e, unsigned reg, uint32_t n);
void e1000_count64(E1000 *e, unsigned low, uint32_t n);
void e1000_count_size(E1000 *e, unsigned reg64, size_t bytes);
/* e1000_phy.c: the serial EEPROM and the PHY. */
void e1000_fill_eeprom(E1000 *e);
void e1000_write_eecd(E1000 *e, uint32_t value);
uint32_t e1000_read_eecd(const E1000 *e);
void e1000_write_eerd(E1000 *e, uint32_t value);
void e1000_write_mdic(E1000 *e, uint32_t value);
void e1000_reset_phy(E1000 *e);
void e1000_phy_link(E1000 *e, bool up);
/* e1000_tx.c, e1000_rx.c */
extern const Field e1000_context_fields[];
void e1000_transmit(void *opaque, unsigned queue);
bool e1000_receive(void *opaque, unsigned queue, const NetHeader *h, const struct iovec *iov, unsigned pieces);
