#pragma once
#include "accel/interp/interp.h"
/*
 * code_cache.h - decoded instructions in blocks, a cache a vCPU; and which bytes of RAM they were decoded from, a map
 * an accelerator (all vCPUs).
 *
 * A block holds the instructions from one address up to a branch, an instruction that may change mode or mapping, or
 * the end of the page; its key is the host address of its first byte and the code size.  Translation tables do not
 * concern it: the run loop finds the host address through the TLB each time.
 *
 * Stores find code by PAGE_HAS_CODE, then by the map's bit of 64 bytes.  Who decodes sets both, makes every thread of
 * the process pass a barrier if the page flag is new (membarrier), and only then reads the bytes; who writes stores
 * first and looks afterwards.  So one of the two sees the other.
 */
typedef struct InterpAccel InterpAccel;

typedef struct CodeInsn {
    ExecFn *fn;
    Insn insn;
} CodeInsn;

typedef struct CodeBlock CodeBlock;
struct CodeBlock {
    uint64_t key;                /* code_key(); CODE_DROPPED once its bytes have changed */
    CodeBlock *next, *page_next; /* of the same bucket */
    CodeBlock *after[2];         /* blocks that came next lately: looked at first, by key */
    uint16_t n, bytes;
    uint8_t oldest;              /* of after[] */
    CodeInsn insn[];
};

enum { CODE_DROPPED = 3 }; /* no code size, so no key */

/* A vCPU's cache, as far as the run loop needs to see it. */
enum { ODD_SLOTS = 256 };
typedef struct CodeCache {
    CodeBlock *last; /* that was run; NULL: none, or gone */
    CodeInsn odd[ODD_SLOTS];
} CodeCache;

static inline uint64_t code_key(const uint8_t *host, CodeSize size) { return (uint64_t)(uintptr_t)host << 2 | size; }

/* ---- a vCPU's cache */
CodeCache *code_cache_create(InterpVcpu *v);
void code_cache_destroy(CodeCache *c);
/* The block that starts at `host` = e->host + offset in page, decoded if need be.  NULL: its first instruction goes on
 * in the next page. */
const CodeBlock *code_block_find(CodeCache *c, const TlbEntry *e, const uint8_t *host, CodeSize size);
static inline const CodeBlock *code_block(CodeCache *c, const TlbEntry *e, const uint8_t *host, CodeSize size)
{
    CodeBlock *last = c->last;
    uint64_t key = code_key(host, size);
    for (unsigned n = 0; last && n < G_N_ELEMENTS(last->after); n++)
        if (last->after[n] && last->after[n]->key == key)
            return c->last = last->after[n];
    return code_block_find(c, e, host, size);
}
/* A place to keep one instruction that belongs to no block; the caller compares its bytes. */
static inline CodeInsn *code_odd_slot(CodeCache *c, uint64_t linear) { return &c->odd[(linear ^ linear >> 12) % ODD_SLOTS]; }
/* Drops what other threads have asked to drop.  Between instructions. */
void code_drain(CodeCache *c);

/* ---- the map */
typedef struct CodeMap CodeMap;
CodeMap *code_map_create(GError **err);
void code_map_destroy(CodeMap *m);
/* Announces that code at [offset, offset + n), within one page, is about to be read.  False: it cannot be tracked. */
bool code_claim(InterpVcpu *v, RamBlock *ram, uint64_t offset, uint64_t n);
/* Writes from a thread that is no vCPU (self NULL), or from vCPU self. */
void code_written(InterpAccel *a, InterpVcpu *self, RamBlock *ram, uint64_t ram_offset, uint64_t size);
