#pragma once
#include "block/block.h"
#include "block/io_thread.h"
#include "machine/device.h"
/*
 * disk.h - what all devices that hold an image share: properties, requests, and what happens when one fails.
 *
 *     typedef struct VirtioBlk { VirtioPci base; Disk disk; ... } VirtioBlk;
 *     static const Field fields[] = { ..., DISK_FIELDS(VirtioBlk, disk, true), ... };
 *
 * With rerror= or werror= "stop" a failed request asks for the machine to be stopped, is kept, and is tried again when
 * the machine goes on; its owner hears of it then.  Requests go to an I/O thread, the machine's unless another is chosen, so that
 * no vCPU waits for the host.  All of it runs with `lock` held.
 */
typedef enum DiskPolicy { DISK_REPORT, DISK_IGNORE, DISK_STOP, DISK_ENOSPC } DiskPolicy;

/* The value of DEVICE_SAYS_IO_ERROR: errno, whether it was a write, and what is done. */
enum { DISK_ERROR_ERRNO = 0xffff, DISK_ERROR_WRITE = 1 << 16, DISK_ERROR_STOPS = 1 << 17, DISK_ERROR_IGNORED = 1 << 18 };

typedef struct Disk {
    /* Properties. */
    char *drive, *serial, *rerror, *werror, *write_cache;
    uint32_t logical_block, physical_block, min_io, opt_io;
    uint32_t bootindex;
    bool share_rw;
    /* Host. */
    Device *dev;
    GMutex *lock; /* under which requests stand: dev's, or its controller's */
    BlkNode *blk; /* NULL: no image */
    uint64_t bytes;
    bool read_only, cache;
    DiskPolicy on_read, on_write;
    GQueue held; /* DiskReq that wait for the machine to go on */
    unsigned in_flight; /* held ones too */
    GCond idle;
    GThread *_Atomic submitter; /* is in blk_submit() with the lock held */
    IoThread *thread;           /* submits the requests; NULL: who makes them */
    char *thread_id;            /* of an iothread object, to give back */
    IoWork work;
    GQueue posted;              /* DiskReq that the thread has yet to submit */
} Disk;

typedef struct DiskReq DiskReq;
struct DiskReq {
    BlkReq req;
    Disk *disk;
    void (*done)(DiskReq *r, int status); /* 0 or -errno; exactly once */
};

#define DISK_FIELDS(T, m, needs_drive)                                                                                          \
    { FN(T, m.drive, "drive"), .role = FIELD_PROP, .required = needs_drive, .doc = "id of the drive (-drive id=, -blockdev node-name=)" }, \
    { FN(T, m.serial, "serial"), .role = FIELD_PROP, .doc = "serial number, up to 20 characters" },                             \
    { FN(T, m.rerror, "rerror"), .role = FIELD_PROP, .def = "auto", .doc = "when a read fails: report, ignore, stop, enospc, auto (report)" }, \
    { FN(T, m.werror, "werror"), .role = FIELD_PROP, .def = "auto", .doc = "when a write fails: report, ignore, stop, enospc, auto (enospc)" }, \
    { FN(T, m.write_cache, "write-cache"), .role = FIELD_PROP, .def = "auto", .doc = "what is written may wait for a flush: on, off, auto (on)" }, \
    { FN(T, m.logical_block, "logical_block_size"), .role = FIELD_PROP, .reset = 512, .min = 512, .max = 32768, .doc = "bytes of a block that the guest addresses" }, \
    { FN(T, m.physical_block, "physical_block_size"), .role = FIELD_PROP, .reset = 512, .min = 512, .max = 32768, .doc = "bytes that are best written at once" }, \
    { FN(T, m.min_io, "min_io_size"), .role = FIELD_PROP, .max = 32768, .doc = "bytes of the smallest good request; 0: not said" }, \
    { FN(T, m.opt_io, "opt_io_size"), .role = FIELD_PROP, .max = 1u << 30, .doc = "bytes of the best request; 0: not said" },   \
    { FN(T, m.bootindex, "bootindex"), .role = FIELD_PROP, .reset = UINT32_MAX, .doc = "place in the order of booting, lowest first" }, \
    { FN(T, m.share_rw, "share-rw"), .role = FIELD_PROP, .doc = "the guest shares the image with others that write" },          \
    { FO(T, m.dev), .role = FIELD_HOST },                                                                                       \
    { FO(T, m.lock), .role = FIELD_HOST },                                                                                      \
    { FO(T, m.blk), .role = FIELD_HOST },                                                                                       \
    { FN(T, m.bytes, "bytes"), .role = FIELD_HOST },                                                                            \
    { FN(T, m.read_only, "read_only"), .role = FIELD_HOST },                                                                    \
    { FN(T, m.cache, "cache"), .role = FIELD_HOST },                                                                            \
    { FO(T, m.on_read), .role = FIELD_HOST },                                                                                   \
    { FO(T, m.on_write), .role = FIELD_HOST },                                                                                  \
    { FO(T, m.held), .role = FIELD_HOST },                                                                                      \
    { FN(T, m.in_flight, "in_flight"), .role = FIELD_HOST },                                                                    \
    { FO(T, m.idle), .role = FIELD_HOST },                                                                                      \
    { FO(T, m.submitter), .role = FIELD_HOST },                                                                                 \
    { FO(T, m.thread), .role = FIELD_HOST },                                                                                    \
    { FO(T, m.thread_id), .role = FIELD_HOST },                                                                                 \
    { FO(T, m.work), .role = FIELD_HOST },                                                                                      \
    { FO(T, m.posted), .role = FIELD_HOST }

bool disk_realize(Disk *d, Device *dev, GError **err); /* checks properties and takes the image, if there is one */
bool disk_choose_thread(Disk *d, const char *iothread, GError **err); /* after that, before requests */
void disk_unrealize(Disk *d);                          /* without the lock; waits */
/* Later than this: done().  It may be called before this returns. */
void disk_submit(Disk *d, DiskReq *r);
/* Fails what is held back, and returns when nothing is under way.  Gives up the lock while it waits. */
void disk_quiesce(Disk *d);
char *disk_remove(Disk *d); /* without the lock; waits.  Returns the id of the drive, which is free now; NULL: there was none */
bool disk_insert(Disk *d, const char *drive, GError **err); /* the disk is empty */
bool disk_fail_held(Disk *d); /* with -ECANCELED; false: nothing was held back */
void disk_resumed(Disk *d); /* the machine goes on: tries again what was held */
