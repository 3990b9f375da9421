#pragma once
#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/*
 * record.h - documents (a domain, a volume, a network) described once: a struct, and a table with a row for each member.
 *
 * From the rows come reading and writing of XML and JSON, defaults, checks, copies, comparison and the manual.  The words
 * are libvirt's (https://libvirt.org/format.html).  What no row names is kept where it stood and written back, with a
 * warning at reading: a document loses nothing by passing through.
 *
 * A struct begins with Record.  An absent member is NULL, 0 for a word, RECORD_NONE for a number.
 */
#define RECORD_NONE UINT64_MAX

typedef enum RecordKind {
    RK_TEXT,   /* char * */
    RK_UUID,   /* char *, in the canonical form */
    RK_MAC,    /* char *, six octets in lower case */
    RK_UINT,   /* uint64_t */
    RK_SIZE,   /* uint64_t, bytes; a unit attribute stands beside it */
    RK_WORD,   /* unsigned: 1 + index into words */
    RK_FLAG,   /* bool: the element is there */
    RK_TEXTS,  /* GPtrArray of char *: every such element or attribute; NULL: none */
    RK_RECORD, /* a struct of its own, or NULL */
    RK_LIST,   /* GPtrArray of structs; NULL: none */
    RK_XML,    /* char *: an element as it stands, for others to read */
} RecordKind;

typedef struct RecordType RecordType;
typedef struct RecordField RecordField;

typedef struct Record {
    const RecordType *type;
    GPtrArray *unknown; /* what no row names */
    uint32_t line;      /* of its element in the text that it was read from; 0: made by a program */
} Record;

struct RecordField {
    const char *name;        /* in JSON and messages */
    const char *path;        /* from the record's element: "os/type/@arch"; "." is the element's own text */
    RecordKind kind;
    uint32_t off;
    const char *const *words;  /* RK_WORD; ends with NULL */
    const RecordType *record;  /* RK_RECORD, RK_LIST */
    uint64_t min, max;         /* RK_UINT, RK_SIZE; max 0: no bound */
    uint8_t hex;               /* RK_UINT: written as 0x with this many digits; 0: decimal */
    const char *def;           /* what an absent member is, as text */
    const char *unit;          /* RK_SIZE: the unit where none is given, and the one written; NULL: "KiB" */
    const char *when;          /* "type=file,block": the row counts only where that word, of an earlier row, is one of these */
    bool required;
    bool live;                 /* of a running machine only: RECORD_LIVE writes it, reading without it drops it */
    bool secret;               /* RECORD_SECRET writes it */
    bool (*check)(const char *text, GError **err); /* RK_TEXT */
    const char *doc;
};

struct RecordType {
    const char *element;
    uint32_t size;
    const RecordField *fields; /* ends with a row without a name */
    bool (*check)(void *record, GError **err); /* what no single row can say; may fill in what follows from the rest */
    const char *doc;
};

#define RF(T, m, k, p) .name = #m, .path = (p), .kind = (k), .off = offsetof(T, m)

typedef enum RecordFlags { RECORD_LIVE = 1 << 0, RECORD_SECRET = 1 << 1 } RecordFlags;

enum { RECORD_TEXT_MAX = 4 << 20 }; /* bytes of a document */

void *record_new(const RecordType *t);
void record_free(void *record); /* NULL is fine */
void *record_copy(const void *record);
bool record_equal(const void *a, const void *b);

/* Reads an XML document whose root is the type's element.  Warnings (char *, one an unknown element or attribute) are added
 * to ret_warnings unless that is NULL.  NULL and an error that names line, element, value and what is allowed. */
void *record_read_xml(const RecordType *t, const char *text, RecordFlags flags, GPtrArray *ret_warnings, GError **err);
char *record_write_xml(const void *record, RecordFlags flags); /* caller frees */

JsonNode *record_write_json(const void *record, RecordFlags flags); /* caller frees */
void *record_read_json(const RecordType *t, JsonNode *node, RecordFlags flags, GError **err);

/* Defaults and checks again, after a program has changed members. */
bool record_settle(void *record, GError **err);

const RecordField *record_field(const RecordType *t, const char *name);
/* The word of an RK_WORD member, or NULL. */
const char *record_word(const void *record, const char *name);
/* 1 + index of `word`, or 0. */
unsigned record_word_value(const char *const *words, const char *word);
/* "24 MiB" of bytes and unit to bytes.  unit NULL: bytes. */
bool record_size(uint64_t value, const char *unit, uint64_t *ret_bytes, GError **err);

/* The table as a section of the manual, in Markdown: path, type, default, meaning.  Caller frees. */
char *record_manual(const RecordType *t);

extern const char *const record_yes_no[]; /* 1: yes, 2: no */
extern const char *const record_on_off[]; /* 1: on, 2: off */
