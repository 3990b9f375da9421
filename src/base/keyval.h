#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * keyval.h - "word,key=value,flag,key=a,,b": the one reader of option text.
 *
 * ",," stands for a comma within a value.  A word without '=' at the front is the value of the implied key; further on
 * "flag" is flag=on and "noflag" is flag=off, as QEMU has it.  A reader takes what it knows and then calls
 * keyvals_end(), which refuses what nobody took and names the nearest key that somebody asked for.
 *
 * Text that begins with a brace is a JSON object instead: {"a": {"b": true}} is a.b=on, null is the empty value.
 */
typedef struct KeyVals KeyVals;

/* implied: key of a first word without '=', or NULL where none may stand.  owner: names the option in messages. */
KeyVals *keyvals_parse(const char *text, const char *implied, const char *owner, GError **err);
void keyvals_free(KeyVals *kv);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeyVals, keyvals_free)

/* The last value given for key, or NULL; marks every use of the key as taken.  Owned by kv. */
const char *keyvals_take(KeyVals *kv, const char *key);
/* Leave *ret alone where the key is missing; false for text that is not of the type. */
bool keyvals_take_bool(KeyVals *kv, const char *key, bool *ret, GError **err);
bool keyvals_take_number(KeyVals *kv, const char *key, uint64_t min, uint64_t max, uint64_t *ret, GError **err);
/* The index in `words` (NULL-terminated). */
bool keyvals_take_choice(KeyVals *kv, const char *key, const char *const *words, unsigned *ret, GError **err);
/* What nobody took, as "key", "value", ..., NULL; takes it.  Strings are owned by kv, the array by the caller. */
const char **keyvals_rest(KeyVals *kv);
/* What nobody took, as text that keyvals_parse() takes; takes it.  NULL: nothing.  Caller frees. */
char *keyvals_rest_text(KeyVals *kv);
/* What stands under "prefix.", as text that keyvals_parse() takes, or NULL: nothing; takes it.  Caller frees. */
char *keyvals_take_tree(KeyVals *kv, const char *prefix);
/* False if something is left, naming it and the nearest key that was asked for. */
bool keyvals_end(KeyVals *kv, GError **err);

/* Text as a number of bytes: decimal or 0x, a fraction before a suffix ("1.5G"), suffix b k M G T P or none for
 * `unit` (a power of two).  False: not a number, or does not fit 64 bits. */
bool parse_size(const char *text, uint64_t unit, uint64_t *ret);
/* on, off, yes, no, true, false, y, n. */
bool parse_on_off(const char *text, bool *ret);
