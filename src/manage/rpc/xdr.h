#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * xdr.h - arguments and results of the management protocol: XDR (RFC 4506) on the wire, a GVariant in the program.
 *
 * What a message holds is a text of letters, from which both come:
 *
 *     s string   o string or nothing (ms)   U UUID, a string here   B bytes (ay)   m 32 characters, a string here
 *     i int   u unsigned   h hyper (x)   H unsigned hyper (t)   d double
 *     D domain (ssi): name, UUID, id   N network, nwfilter (ss): name, UUID   P pool (ss)   V volume (sss): pool, name, key
 *     T snapshot, checkpoint (sD)   S secret (sis): UUID, usage, id   I interface (ss)
 *     * typed parameters a(sv)   [x] array of x   (xy) structure   ?x x or nothing
 */
enum { XDR_STRING_MAX = 4 << 20 /* bytes */, XDR_COUNT_MAX = 65536 /* elements of an array */ };

/* The GVariant type string of a tuple of these letters; caller frees. */
char *xdr_type(const char *letters);

/* A tuple; floating.  NULL and an error: too short, too long, a count beyond the bytes that are there, no UTF-8. */
GVariant *xdr_decode(const char *letters, const uint8_t *data, size_t bytes, GError **err);

/* Appends.  The tuple's type must be xdr_type(letters); it is sunk. */
void xdr_encode(GByteArray *out, const char *letters, GVariant *tuple);
