#pragma once
#include <stdint.h>
/*
 * nbd_wire.h - the numbers of the NBD protocol: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md.
 * All fields are big endian.
 */
#define NBD_GREETING       0x4e42444d41474943ull
#define NBD_OPTION_MAGIC   0x49484156454f5054ull
#define NBD_REPLY_MAGIC    0x0003e889045565a9ull
#define NBD_REQUEST_MAGIC  0x25609513u
#define NBD_SIMPLE_MAGIC   0x67446698u
#define NBD_CHUNK_MAGIC    0x668e33efu

enum { NBD_FIXED_NEWSTYLE = 1, NBD_NO_ZEROES = 2 }; /* handshake flags, of both sides */
enum NbdOption { NBD_OPT_EXPORT_NAME = 1, NBD_OPT_ABORT, NBD_OPT_LIST, NBD_OPT_STARTTLS = 5, NBD_OPT_INFO, NBD_OPT_GO, NBD_OPT_STRUCTURED_REPLY,
                 NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT };
enum NbdReply { NBD_REP_ACK = 1, NBD_REP_SERVER, NBD_REP_INFO, NBD_REP_META_CONTEXT };
enum NbdRefusal { NBD_ERR_UNSUP = 1, NBD_ERR_POLICY, NBD_ERR_INVALID, NBD_ERR_PLATFORM, NBD_ERR_TLS_REQD, NBD_ERR_UNKNOWN, NBD_ERR_SHUTDOWN,
                  NBD_ERR_BLOCK_SIZE_REQD, NBD_ERR_TOO_BIG }; /* with the top bit set */
enum NbdInfo { NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE };
enum { NBD_HAS_FLAGS = 1, NBD_READ_ONLY = 2, NBD_SEND_FLUSH = 4, NBD_SEND_FUA = 8, NBD_SEND_TRIM = 1 << 5, NBD_SEND_WRITE_ZEROES = 1 << 6, NBD_SEND_DF = 1 << 7,
       NBD_CAN_MULTI_CONN = 1 << 8, NBD_SEND_CACHE = 1 << 10, NBD_SEND_FAST_ZERO = 1 << 11 }; /* of an export */
enum NbdCommand { NBD_READ, NBD_WRITE, NBD_DISCONNECT, NBD_FLUSH, NBD_TRIM, NBD_CACHE, NBD_WRITE_ZEROES, NBD_BLOCK_STATUS };
enum { NBD_FUA = 1, NBD_NO_HOLE = 2, NBD_DF = 4, NBD_REQ_ONE = 8, NBD_FAST_ZERO = 16 }; /* of a command */
enum { NBD_CHUNK_DONE = 1 };
enum NbdChunk { NBD_CHUNK_NONE, NBD_CHUNK_DATA, NBD_CHUNK_HOLE, NBD_CHUNK_STATUS = 5, NBD_CHUNK_ERROR = 0x8001 };
enum { NBD_STATE_HOLE = 1, NBD_STATE_ZERO = 2, NBD_STATE_DIRTY = 1 };
enum { NBD_EPERM = 1, NBD_EIO = 5, NBD_ENOMEM = 12, NBD_EINVAL = 22, NBD_ENOSPC = 28, NBD_EOVERFLOW = 75, NBD_ENOTSUP = 95, NBD_ESHUTDOWN = 108 };
enum { NBD_MAX_STRING = 4096, NBD_MAX_REQUEST = 32 << 20 };

typedef struct __attribute__((packed)) NbdRequest {
    uint32_t magic;
    uint16_t flags, command;
    uint64_t cookie, off;
    uint32_t len;
} NbdRequest;
typedef struct __attribute__((packed)) NbdSimpleReply {
    uint32_t magic, error;
    uint64_t cookie;
} NbdSimpleReply;
typedef struct __attribute__((packed)) NbdChunkHead {
    uint32_t magic;
    uint16_t flags, type;
    uint64_t cookie;
    uint32_t len;
} NbdChunkHead;
typedef struct __attribute__((packed)) NbdOptionHead {
    uint64_t magic;
    uint32_t option, len;
} NbdOptionHead;
typedef struct __attribute__((packed)) NbdOptionReply {
    uint64_t magic;
    uint32_t option, type, len;
} NbdOptionReply;
