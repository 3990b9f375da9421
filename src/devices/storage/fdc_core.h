#pragma once
#include "devices/storage/disk.h"
#include "devices/storage/fdc.h"
/*
 * fdc_core.h - the floppy controller, inside: fdc.c the registers and the FIFO, fdc_commands.c the table of commands, fdc_data.c
 * their data, floppy.c the drives.
 *
 * The FIFO is driven by the table: a row says how many parameters follow the first byte, and at most how many bytes of result
 * there are.  Nothing else counts bytes, and no index into a buffer comes from the guest.
 */
enum { FDC_DRIVES = 2, FDC_LINES = 4, FDC_SECTOR = 512, FDC_PARAMS = 8, FDC_RESULTS = 10 };

typedef enum FdcPhase { FDC_IDLE, FDC_COMMAND, FDC_BUSY, FDC_READ, FDC_WRITE, FDC_RESULT } FdcPhase;
typedef enum FdcFlow { FLOW_NONE, FLOW_READ, FLOW_WRITE, FLOW_VERIFY, FLOW_FORMAT, FLOW_SCAN } FdcFlow;

/* Status bytes: 82077AA, tables 5-7 to 5-10. */
enum { ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_POLLED = 0xc0, ST0_SEEK_END = 0x20, ST0_CHECK = 0x10 };
enum { ST1_NO_MARK = 1, ST1_PROTECTED = 2, ST1_NO_DATA = 4, ST1_OVERRUN = 0x10, ST1_DATA_ERROR = 0x20, ST1_END = 0x80 };
enum { ST2_SCAN_NO = 4, ST2_SCAN_EQUAL = 8, ST2_WRONG_CYLINDER = 0x10, ST2_CONTROL_MARK = 0x40 };

typedef struct FloppyFormat {
    uint8_t sectors, cylinders, heads, rate, cmos; /* of a track; data rate as in CCR; kind of drive in CMOS */
} FloppyFormat;

/* What a place knows of the drive in it. */
typedef struct FdcPlace {
    uint8_t track;
    bool changed; /* the disk change line */
    bool seek_done;
    uint8_t seek_st0;
    struct FloppyPlug *plug; /* NULL: no drive */
} FdcPlace;

typedef struct FloppyBus {
    Bus bus;
    struct Fdc *fdc;
} FloppyBus;

typedef struct Fdc {
    Device dev;
    uint32_t iobase, irq, channel;
    /* State. */
    uint8_t dor, tdr, rate, srt_hut, hlt_nd, config, pretrack, perpendicular;
    bool lock, irq_level;
    uint8_t senses; /* that a reset still owes */
    FdcPlace place[FDC_LINES];
    uint8_t phase, row, got;
    uint8_t command[1 + FDC_PARAMS], result[FDC_RESULTS], results, result_at;
    uint8_t cylinder, head, sector, scan; /* of the data under way; scan: ST2 bits so far */
    uint16_t left;                        /* sectors to format or verify */
    uint16_t data_at, data_end;
    uint8_t data[FDC_SECTOR], compare[FDC_SECTOR];
    /* Host. */
    bool aborting, in_flight;
    bool end;  /* DMA has reached its terminal count */
    DiskReq req;
    struct iovec iov;
    Device *dma;
    FloppyBus bus;
} Fdc;

typedef struct FdcCommand {
    uint8_t mask, value; /* of the first byte */
    uint8_t params, results;
    const char *name;
    void (*run)(Fdc *f);
    FdcFlow flow; /* of commands with data */
} FdcCommand;

extern const FdcCommand fdc_commands[]; /* the last one matches everything */
extern const unsigned fdc_n_commands;
uint8_t fdc_find(uint8_t first);
static inline const FdcCommand *fdc_command(const Fdc *f) { return &fdc_commands[f->row]; }

/* fdc.c */
void fdc_set_irq(Fdc *f, bool level);
void fdc_answer(Fdc *f, const uint8_t *bytes, unsigned n);
static inline FdcPlace *fdc_selected(Fdc *f) { return &f->place[f->command[1] & 3]; }
static inline uint8_t fdc_unit(const Fdc *f) { return f->command[1] & 7; } /* head and drive, as in ST0 */

/* fdc_data.c */
void fdc_data_begin(Fdc *f);
void fdc_data_end(Fdc *f, uint8_t st0, uint8_t st1, uint8_t st2); /* with the address in the result */
uint8_t fdc_data_read(Fdc *f);
void fdc_data_write(Fdc *f, uint8_t value);

/* floppy.c */
Disk *floppy_disk(const FdcPlace *p);                  /* NULL: no drive, or nothing in it */
const FloppyFormat *floppy_format(const FdcPlace *p); /* of what is in it; NULL: nothing */
uint8_t floppy_cmos(const FdcPlace *p);
void floppy_let_go(struct FloppyPlug *p); /* the controller goes first */
