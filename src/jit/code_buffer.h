#pragma once
#include <glib.h>
#include <stddef.h>
#include <stdint.h>
/*
 * code_buffer.h - memory for generated host code that is never writable and executable through the same mapping.
 *
 * One memfd is mapped twice: the generator writes through the one mapping (RW), the CPU executes through the other (RX).
 * Space is handed out upwards and given back all at once; what is full is reset and filled again.  A buffer belongs to one
 * thread (or one lock).  x86 detects stores to code by physical address, so code written through the alias needs no
 * flush on the processor that wrote it.
 *
 *     uint8_t *w = code_buffer_reserve(cb, 256);      NULL: full, so code_buffer_reset() and forget all that was in it
 *     size_t n = emit(w);
 *     Stub *fn = (Stub *)code_buffer_commit(cb, n);
 */
typedef struct CodeBuffer CodeBuffer;

/* `size` in bytes, rounded up to whole pages. */
CodeBuffer *code_buffer_create(size_t size, GError **err);
void code_buffer_destroy(CodeBuffer *cb); /* NULL is fine */

/* Room for at least n bytes, 16-byte aligned, to write to; NULL if there is none.  Replaces an earlier reservation. */
uint8_t *code_buffer_reserve(CodeBuffer *cb, size_t n);
/* Keeps the first n bytes of the reservation and returns the address at which they execute. */
const void *code_buffer_commit(CodeBuffer *cb, size_t n);
/* Forgets everything: addresses returned so far must not be called any more. */
void code_buffer_reset(CodeBuffer *cb);
/* Gives the memory of what is not in use back to the host; it reads as zeros until it is written again. */
void code_buffer_release(CodeBuffer *cb);

size_t code_buffer_used(const CodeBuffer *cb);
/* Where a committed address can be written: to patch a jump. */
uint8_t *code_buffer_writable(const CodeBuffer *cb, const void *code);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CodeBuffer, code_buffer_destroy)
