#pragma once
#include <stdint.h>
/*
 * procedures.h - what can be called, and what the daemon says of its own accord (RPC_EVENT).  The numbers and types are those of
 * libvirt 9.0's remote_protocol.x and qemu_protocol.x; the letters are xdr.h's.  Which of them are answered, and by what, is
 * the daemon's table.
 */
enum { RPC_PROGRAM_REMOTE = 0x20008086, RPC_PROGRAM_QEMU = 0x20008087, RPC_PROGRAM_KEEPALIVE = 0x6b656570, RPC_VERSION = 1 };

typedef enum RpcRight {
    RPC_READ,  /* a read-only connection may */
    RPC_WRITE,
    RPC_EVENT, /* never called: sent */
} RpcRight;
typedef enum RpcStreamKind { RPC_NO_STREAM, RPC_DOWN /* to the client */, RPC_UP, RPC_BOTH } RpcStreamKind;

typedef struct Procedure {
    int number;
    const char *name, *args, *ret;
    RpcRight right;
    RpcStreamKind stream;
} Procedure;

extern const Procedure remote_procedures[], qemu_procedures[]; /* end with a row without a name */
const Procedure *procedure_find(uint32_t program, int number); /* NULL: there is none */
const Procedure *procedure_named(const char *name);
