#pragma once
#include <sys/uio.h>

#include "devices/storage/disk.h"
/*
 * scsi.h - what a disk or CD-ROM drive makes of a command descriptor block, however it came: ATAPI, AHCI, virtio-scsi.
 * SPC-3, SBC-3, MMC-6 (T10).
 *
 *     ScsiTask t = { .cdb = cdb, .buf = buf };
 *     switch (scsi_run(unit, &t)) {
 *     case SCSI_REPLY: ... t.bytes of t.buf go to the host ...
 *     case SCSI_READ: ... t.len bytes from t.off on; scsi_ended(unit, &t, status) at the end ...
 *
 * It does no I/O itself; sense data stand in the unit.
 */
enum { SCSI_CDB_BYTES = 16, SCSI_BUF = 4096, SCSI_SENSE_BYTES = 18, SCSI_CD_BLOCK = 2048 };
enum { SENSE_NONE, SENSE_NOT_READY = 2, SENSE_MEDIUM_ERROR = 3, SENSE_HARDWARE = 4, SENSE_ILLEGAL = 5, SENSE_ATTENTION = 6, SENSE_PROTECT = 7, SENSE_ABORTED = 0xb };
enum { /* additional sense code and qualifier */
    ASC_WRITE_ERROR = 0x0c00, ASC_READ_ERROR = 0x1100, ASC_INVALID_OPCODE = 0x2000, ASC_OUT_OF_RANGE = 0x2100, ASC_INVALID_FIELD = 0x2400,
    ASC_NO_LUN = 0x2500, ASC_INVALID_PARAMETER = 0x2600, ASC_WRITE_PROTECTED = 0x2700, ASC_MEDIUM_CHANGED = 0x2800, ASC_CAPACITY_CHANGED = 0x2a09, ASC_SAVING_UNSUPPORTED = 0x3900,
    ASC_NO_MEDIUM = 0x3a00, ASC_REMOVAL_PREVENTED = 0x5302, ASC_EJECT_REQUEST = 0x5a01,
};

typedef enum ScsiStep { SCSI_GOOD, SCSI_FAILED, SCSI_REPLY, SCSI_READ, SCSI_VERIFY, SCSI_WRITE, SCSI_FLUSH, SCSI_ZERO, SCSI_DISCARD } ScsiStep;

typedef struct ScsiUnit {
    /* What it is: set by its owner. */
    bool cd, atapi, removable;
    const char *model, *firmware, *serial;
    Disk *disk;
    /* State that the guest sees. */
    uint8_t sense_key, asc, ascq;
    bool tray_open, locked, media_event, eject_request, write_cache;
    uint16_t attention; /* additional sense code to report once; 0: none */
} ScsiUnit;

typedef struct ScsiTask {
    const uint8_t *cdb; /* SCSI_CDB_BYTES */
    uint8_t *buf;       /* SCSI_BUF */
    const struct iovec *out; /* parameters from the host, where there are any */
    unsigned n_out;
    unsigned bytes;     /* SCSI_REPLY */
    uint64_t off, len;  /* of the image, bytes */
    unsigned flags;     /* BLK_ */
} ScsiTask;

extern const Field scsi_unit_fields[];

ScsiStep scsi_run(ScsiUnit *u, ScsiTask *t);
void scsi_sense(ScsiUnit *u, uint8_t key, uint16_t asc);
void scsi_put_sense(const ScsiUnit *u, uint8_t to[SCSI_SENSE_BYTES]);
void scsi_io_error(ScsiUnit *u, ScsiStep step, int status); /* sense of an I/O request that failed */
static inline uint32_t scsi_block_bytes(const ScsiUnit *u) { return u->cd ? SCSI_CD_BLOCK : u->disk->logical_block; }
static inline uint64_t scsi_blocks(const ScsiUnit *u) { return u->disk->bytes / scsi_block_bytes(u); }
static inline bool scsi_has_medium(const ScsiUnit *u) { return u->disk->blk && !u->tray_open; }

/* For scsi_disk.c and scsi_cd.c. */
typedef struct ScsiCommand {
    uint8_t code;
    bool needs_medium;
    ScsiStep (*run)(ScsiUnit *u, ScsiTask *t, unsigned arg);
    unsigned arg;
} ScsiCommand;
extern const ScsiCommand scsi_disk_commands[], scsi_cd_commands[]; /* end with a NULL run */
ScsiStep scsi_fail(ScsiUnit *u, uint8_t key, uint16_t asc);
static inline ScsiStep scsi_illegal(ScsiUnit *u, uint16_t asc) { return scsi_fail(u, SENSE_ILLEGAL, asc); }
ScsiStep scsi_reply(ScsiTask *t, unsigned bytes, unsigned allocated);
/* MODE SENSE and SELECT: pages are code, length, contents; ends with NULL. */
extern const uint8_t *const scsi_disk_pages[], *const scsi_cd_pages[];

static inline uint16_t be16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static inline uint32_t be32(const uint8_t *p) { return (uint32_t)be16(p) << 16 | be16(p + 2); }
static inline uint64_t be64(const uint8_t *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }
static inline void put_be16(uint8_t *p, uint16_t v) { p[0] = v >> 8, p[1] = v; }
static inline void put_be32(uint8_t *p, uint32_t v) { put_be16(p, v >> 16), put_be16(p + 2, v); }
static inline void put_be64(uint8_t *p, uint64_t v) { put_be32(p, v >> 32), put_be32(p + 4, v); }
