#pragma once
#include "block/format/blockmap.h"
/* vhdx.h - the structures of [MS-VHDX], as in the file: little endian. */
enum { VHDX_HEADER_BYTES = 4096, VHDX_REGION_BYTES = 65536, VHDX_METADATA_TABLE_BYTES = 65536, VHDX_CRC_OFF = 4 };

typedef struct __attribute__((packed)) VhdxGuid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
} VhdxGuid;

typedef struct __attribute__((packed)) VhdxHeader { /* 2.2.2 */
    char signature[4];
    uint32_t crc;
    uint64_t sequence;
    VhdxGuid file_write_guid, data_write_guid, log_guid;
    uint16_t log_version, version;
    uint32_t log_bytes;
    uint64_t log_off;
} VhdxHeader;

typedef struct __attribute__((packed)) VhdxRegion { /* 2.2.3 */
    VhdxGuid guid;
    uint64_t off;
    uint32_t bytes, required;
} VhdxRegion;
typedef struct __attribute__((packed)) VhdxRegionTable {
    char signature[4];
    uint32_t crc, count, reserved;
    VhdxRegion region[];
} VhdxRegionTable;

typedef struct __attribute__((packed)) VhdxItem { /* 2.6.1 */
    VhdxGuid guid;
    uint32_t off, bytes, flags, reserved;
} VhdxItem;
typedef struct __attribute__((packed)) VhdxItemTable {
    char signature[8];
    uint16_t reserved, count;
    uint32_t reserved2[5];
    VhdxItem item[];
} VhdxItemTable;

typedef struct VhdxMetadata { /* 2.6.2, what we need */
    uint32_t block_bytes, flags;
    uint64_t size;
    uint32_t sector_bytes, physical_bytes;
    uint8_t page83[16];
} VhdxMetadata;

typedef struct Vhdx {
    BlockMap map; /* first */
    VhdxHeader h;
    unsigned current; /* of the two headers */
    uint64_t bat_off, bat_bytes, metadata_off, metadata_bytes, chunk_ratio;
    uint64_t *bat;    /* as in the file */
} Vhdx;

uint32_t vhdx_crc(const void *data, size_t bytes); /* the field at VHDX_CRC_OFF counts as 0 */
bool vhdx_guid_is_zero(const VhdxGuid *g);
/* Writes v->h over the older of the two headers, with the next number, and flushes. */
int vhdx_write_header(BlkNode *file, Vhdx *v);

/* ---- vhdx_log.c */
/* Does what the log says and empties it, or sets *wrong.  0 or -errno. */
int vhdx_replay_log(BlkNode *n, const char **wrong);
