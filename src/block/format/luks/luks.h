#pragma once
#include "block/driver.h"
/*
 * luks.h - LUKS version 1: a header with eight key slots, and the cipher of sectors.  "LUKS On-Disk Format Specification" 1.2.3.
 *
 * The header stands in a file at an offset: at its start for luks images, within the metadata for qcow2.  Ciphers and
 * hashes are GnuTLS's: AES with XTS or CBC.
 */
enum { LUKS_SECTOR = 512, LUKS_SLOTS = 8 };
typedef struct Luks Luks;

/* What an image is created with; read from options by luks_take_options(). */
typedef struct LuksOptions {
    const char *key_secret;
    unsigned cipher, mode, iv, iv_hash, hash; /* rows of the tables in luks.c */
    uint64_t iter_ms;                         /* how long trying a passphrase shall take */
} LuksOptions;
/* prefix: "" or "encrypt." */
bool luks_take_options(KeyVals *kv, const char *prefix, LuksOptions *ret, GError **err);
uint64_t luks_header_bytes(const LuksOptions *o); /* with its key material */

/* Writes a header with one key slot and returns the open cipher. */
Luks *luks_create(BlkNode *file, uint64_t off, const LuksOptions *o, GError **err);
/* The encryption of before LUKS (qcow, and qcow2's method 1): AES-128-CBC without a header; the passphrase, cut or filled to 16
 * bytes, is the key.  Nothing tells a wrong one. */
Luks *luks_without_header(BlkNode *file, const char *key_secret, GError **err);
/* Finds the slot that the passphrase opens. */
Luks *luks_open(BlkNode *file, uint64_t off, const char *key_secret, GError **err);
Luks *luks_look(BlkNode *file, uint64_t off, GError **err); /* without the key: for luks_payload_off() and luks_facts() alone */
void luks_free(Luks *l); /* NULL is fine */
uint64_t luks_payload_off(const Luks *l); /* bytes behind the header's start */
/* `sector` counts 512 bytes from where the cipher's numbers begin; bytes is a multiple of 512.  Any thread. */
bool luks_crypt(Luks *l, bool encrypt, uint64_t sector, uint8_t *data, size_t bytes);
void luks_facts(const Luks *l, const char *prefix, GArray *facts);
/* state=active|inactive, new-secret, old-secret, keyslot, iter-time: adds or erases a key slot. */
bool luks_amend(Luks *l, BlkNode *file, uint64_t off, KeyVals *kv, const char *prefix, GError **err);
