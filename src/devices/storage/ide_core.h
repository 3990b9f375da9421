#pragma once
#include "block/block.h"
#include "devices/dma_map.h"
#include "devices/storage/ide.h"
#include "devices/storage/scsi.h"
#include "machine/bus.h"
/*
 * ide_core.h - inside IDE: a channel with two drives, and the transfers between them, the host and the image.
 *
 * All of it is state of the controller and stands under the controller's lock; an ide-hd or ide-cd is only what is
 * plugged into a place.  A drive has at most one request under way; while it has, phase is IDE_BUSY, and its buffer
 * belongs to the request.  Resets wait for it.
 *
 * ata.c and atapi.c decide what a command does, transfer.c moves data, channel.c is the register file, piix3_ide.c the
 * PCI function with its bus master.
 */
enum { /* status and error register, ATA8-ACS 6 */
    ST_ERR = 0x01, ST_DRQ = 0x08, ST_DSC = 0x10, ST_DF = 0x20, ST_DRDY = 0x40, ST_BSY = 0x80,
    ER_ABRT = 0x04, ER_IDNF = 0x10, ER_UNC = 0x40,
    CTL_NIEN = 0x02, CTL_SRST = 0x04, CTL_HOB = 0x80,
    SEL_LBA = 0x40, SEL_DRIVE = 0x10,
    BM_START = 0x01, BM_TO_MEMORY = 0x08,                     /* bus master command */
    BM_ACTIVE = 0x01, BM_ERROR = 0x02, BM_INT = 0x04, BM_CAPABLE = 0x60, /* and status */
    IR_COMMAND = 1, IR_TO_HOST = 2,                           /* ATAPI interrupt reason */
};
enum { IDE_BUF = 8192, IDE_MAX_MULTIPLE = 16, DISK_BLOCK = 512, CD_BLOCK = SCSI_CD_BLOCK, PACKET_BYTES = 12, QUEUED_ERROR_BYTES = 14, IDE_ANY = 2 };

typedef enum IdePhase { IDE_IDLE, IDE_BUSY, IDE_DATA_IN, IDE_DATA_OUT, IDE_DMA_WAIT, IDE_PHASES } IdePhase;
typedef enum IdeTask {
    TASK_NONE,
    TASK_REPLY,  /* buf holds all of it */
    TASK_READ,   /* blocks from the image */
    TASK_WRITE,
    TASK_VERIFY, /* read, but not handed out */
    TASK_PACKET, /* the host hands over a packet command */
    IDE_TASKS,
} IdeTask;

/* What is plugged in: owned by the ide-hd or ide-cd. */
typedef struct IdeMedium {
    bool cd;
    Disk *disk;
    const char *serial, *model, *firmware;
} IdeMedium;

typedef struct IdeChannel IdeChannel;
typedef struct IdeDrive IdeDrive;
struct IdeDrive {
    /* Set when something is plugged in. */
    IdeChannel *channel;
    const IdeMedium *medium; /* NULL: nothing there */
    Device *plugged;
    /* The request under way. */
    DiskReq req;
    struct iovec iov;
    DmaMap map;
    void (*then)(IdeDrive *d, int status);
    bool in_flight, cancelled;
    /* Register file; [1] is what a second write pushed out (HOB). */
    uint8_t feature[2], count[2], lba_low[2], lba_mid[2], lba_high[2];
    uint8_t select, status, error;
    bool irq;
    /* Settings. */
    uint8_t multiple, heads, sectors, pio_mode, mwdma_mode, udma_mode;
    bool write_cache, look_ahead, smart;
    /* The command under way. */
    uint8_t phase, task;
    bool dma, force_unit; /* by bus master; write through the cache */
    uint16_t drq_bytes; /* a data block of PIO */
    uint32_t left;      /* blocks not yet moved */
    uint64_t lba;
    uint16_t pos, drq_end, buf_end;
    uint8_t buf[IDE_BUF];
    uint8_t queued_error[QUEUED_ERROR_BYTES]; /* SATA: as in log 10h */
    /* ATAPI. */
    uint16_t byte_limit;
    ScsiUnit unit;
};

static inline uint64_t ide_blocks(const IdeDrive *d) { return d->medium->disk->bytes / (d->medium->cd ? CD_BLOCK : DISK_BLOCK); }

typedef enum IdeDmaResult { DMA_OK, DMA_SHORT, DMA_BAD } IdeDmaResult;
typedef struct IdeBusOps {
    bool (*dma_started)(IdeChannel *c);
    IdeDmaResult (*dma_map)(IdeChannel *c, uint64_t len, bool to_memory, DmaMap *map);
    void (*dma_end)(IdeChannel *c, bool error);
    void (*progress)(IdeChannel *c); /* optional: a request has ended and the drive gone on */
    bool sata;                       /* no interrupt line: the controller looks at the drive itself */
} IdeBusOps;

struct IdeChannel {
    Device *dev; /* the controller; its lock is everyone's */
    const IdeBusOps *ops;
    GCond idle; /* a request has ended */
    unsigned index;
    uint8_t control;
    bool line;
    uint8_t bm_command, bm_status;
    bool bm_more; /* the table describes more than the drive has moved */
    uint32_t bm_table;
    IdeDrive drive[2];
};

extern const Field ide_channel_fields[];

/* channel.c */
void ide_channel_init(IdeChannel *c, Device *dev, unsigned index, const IdeBusOps *ops);
void ide_channel_finish(IdeChannel *c);
void ide_channel_reset(IdeChannel *c); /* as by power on */
void ide_channel_quiesce(IdeChannel *c, bool cancel); /* lock held; returns when no request is under way */
bool ide_channel_check(IdeChannel *c, GError **err);  /* loaded state */
IdeDrive *ide_selected(IdeChannel *c);
uint64_t ide_command_read(IdeChannel *c, uint64_t off, unsigned size);
void ide_command_write(IdeChannel *c, uint64_t off, unsigned size, uint64_t value);
uint8_t ide_control_read(IdeChannel *c);
void ide_control_write(IdeChannel *c, uint8_t value);
void ide_plug(IdeChannel *c, unsigned unit, const IdeMedium *m, Device *by);
void ide_unplug(IdeDrive *d); /* without the lock; waits */
void ide_signature(IdeDrive *d);
void ide_update_irq(IdeChannel *c);

/* transfer.c */
void ide_irq(IdeDrive *d);
void ide_done(IdeDrive *d);                 /* the command has ended well; with an interrupt */
void ide_fail(IdeDrive *d, uint8_t error);  /* ended with an error */
void ide_submit(IdeDrive *d, BlkOp op, unsigned flags, uint64_t off, struct iovec *iov, unsigned niov, uint64_t len,
                void (*then)(IdeDrive *d, int status));
void ide_reply(IdeDrive *d, unsigned bytes); /* buf to the host */
void ide_read(IdeDrive *d, IdeTask task);    /* d->left blocks from d->lba; READ or VERIFY */
void ide_write(IdeDrive *d);
void ide_take_packet(IdeDrive *d);
void ide_dma_go(IdeDrive *d);                /* the bus master has started */
uint64_t ide_data_read(IdeDrive *d, unsigned size);
void ide_data_write(IdeDrive *d, unsigned size, uint64_t value);

/* A bus of its own, by name (ahci0.2): a port of AHCI. */
typedef struct IdeBus {
    Bus bus;
    IdeChannel *channel;
    unsigned units;
} IdeBus;
void ide_bus_init(IdeBus *b, Device *controller, IdeChannel *c, unsigned units); /* ide_drive.c */

/* piix3_ide.c: the place that *bus and *unit ask for (IDE_ANY: the first free one), and sets them. */
IdeDrive *ide_place(Device *controller, unsigned *bus, unsigned *unit, GError **err);
/* ide_drive.c: the controller goes before the drive. */
void ide_drive_let_go(Device *plugged);

/* ata.c, ata_log.c, atapi.c */
void ata_command(IdeDrive *d, uint8_t command);
void ata_set_address(IdeDrive *d); /* registers show d->lba and d->left */
void ata_identify(IdeDrive *d);    /* into buf */
void ata_read_log(IdeDrive *d, unsigned arg);
/* Of a queued command, for log 10h; d->status is what it ended with. */
void ata_note_queued_error(IdeDrive *d, unsigned tag, uint8_t error, uint64_t lba, uint32_t blocks);
void atapi_packet(IdeDrive *d);    /* buf holds the packet */
void atapi_block_ready(IdeDrive *d); /* sets byte count and reason of a data block */
void atapi_status(IdeDrive *d);      /* the registers of the end of a packet command */
void atapi_medium_error(IdeDrive *d);
