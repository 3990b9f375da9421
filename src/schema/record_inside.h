#pragma once
#include <libxml/tree.h>

#include "schema/record.h"
/* record_inside.h - what the files of record share. */

/* An element, or an attribute (node NULL), that no row names; `parent` is the path from the record's element, "" for itself. */
typedef struct RecordUnknown {
    char *parent, *attribute, *value, *prefix, *href; /* the last two: an attribute's namespace, or NULL */
    xmlNode *node;
} RecordUnknown;
void record_unknown_add(Record *r, RecordUnknown *u);
RecordUnknown *record_unknown_copy(const RecordUnknown *u);

static inline void *record_member(const void *record, const RecordField *f) { return (char *)record + f->off; }
static inline char **record_text(const void *record, const RecordField *f) { return record_member(record, f); }
static inline uint64_t *record_uint(const void *record, const RecordField *f) { return record_member(record, f); }
static inline unsigned *record_word_of(const void *record, const RecordField *f) { return record_member(record, f); }
static inline GPtrArray **record_array(const void *record, const RecordField *f) { return record_member(record, f); }
static inline void **record_inner(const void *record, const RecordField *f) { return record_member(record, f); }

/* Does the row count, by its `when`? */
bool record_applies(const void *record, const RecordField *f);
bool record_is_absent(const void *record, const RecordField *f);
/* Sets a scalar from text; `unit` may be NULL.  The error says what is allowed, not where. */
bool record_parse(void *record, const RecordField *f, const char *text, const char *unit, GError **err);
/* The text of a scalar as it is written; NULL: absent.  Caller frees. */
char *record_print(const void *record, const RecordField *f);
void record_list_add(void *record, const RecordField *f, void *element);
void record_texts_add(void *record, const RecordField *f, const char *text);
/* Its fields' defaults, requirements and checks, not those of records inside. */
bool record_settle_one(void *record, GError **err);
/* Writes a tree as libvirt does: two blanks a level, single quotes. */
void record_print_tree(GString *s, xmlNode *node, unsigned level);
