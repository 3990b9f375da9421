#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/*
 * field.h - a struct's members described once, in a table.
 *
 * From the same table come a device's properties and their help, its reset values, its saved state and its page in
 * the manual; CpuState uses it for saved state and register dumps.
 *
 *     static const Field uart_fields[] = {
 *         { F(Uart, clock_hz), .role = FIELD_PROP, .reset = 1843200, .min = 1, .max = 100000000, .doc = "input clock in Hz" },
 *         { F(Uart, ier), .doc = "interrupt enable" },
 *         { FA(Uart, fifo), .doc = "receive FIFO" },
 *         { .name = NULL },
 *     };
 */
typedef enum FieldType { FT_BOOL, FT_U8, FT_U16, FT_U32, FT_U64, FT_I8, FT_I16, FT_I32, FT_I64, FT_STR, FT_STRUCT, FT_OPAQUE } FieldType;

typedef enum FieldRole {
    FIELD_STATE,   /* guest-visible state: reset, saved and loaded */
    FIELD_PROP,    /* set by the user before realize; neither reset nor saved */
    FIELD_DERIVED, /* computed by realize and post_load from the others; not saved */
    FIELD_HOST,    /* a handle of the host's (timer, chardev, lock): owned by realize and unrealize */
} FieldRole;

typedef struct Field Field;
struct Field {
    const char *name;
    uint32_t off, bytes, n; /* n elements of bytes / n each */
    FieldType type;
    FieldRole role;
    uint64_t reset;      /* STATE: value at reset; PROP: default */
    const char *def;     /* PROP of type FT_STR: default */
    uint64_t min, max;   /* PROP: range, checked when set; both 0: the type's own range */
    uint16_t since;      /* version of the saved state that added it; older streams leave the reset value */
    bool keep;           /* survives a warm reset */
    bool required;       /* PROP: must be given */
    const char *doc;     /* manual page, help, trace text */
    const Field *sub;    /* FT_STRUCT: the element's own table */
};

#define FIELD_TYPE(x) _Generic((x), bool: FT_BOOL, uint8_t: FT_U8, uint16_t: FT_U16, uint32_t: FT_U32, \
    uint64_t: FT_U64, int8_t: FT_I8, int16_t: FT_I16, int32_t: FT_I32, int64_t: FT_I64, char *: FT_STR)
/* A scalar or string member, an array of scalars, a struct member, an array of structs, and a member of any type that
 * is only accounted for (FIELD_DERIVED or FIELD_HOST). */
#define F(T, m) .name = #m, .off = offsetof(T, m), .bytes = sizeof(((T *)0)->m), .n = 1, .type = FIELD_TYPE(((T *)0)->m)
/* A property whose name is no C identifier ("max-bytes") or whose member lies in a struct inside. */
#define FN(T, m, as) .name = (as), .off = offsetof(T, m), .bytes = sizeof(((T *)0)->m), .n = 1, .type = FIELD_TYPE(((T *)0)->m)
#define FA(T, m) .name = #m, .off = offsetof(T, m), .bytes = sizeof(((T *)0)->m), \
    .n = sizeof(((T *)0)->m) / sizeof(((T *)0)->m[0]), .type = FIELD_TYPE(((T *)0)->m[0])
#define FS(T, m, table) .name = #m, .off = offsetof(T, m), .bytes = sizeof(((T *)0)->m), .n = 1, .type = FT_STRUCT, .sub = (table)
#define FSA(T, m, table) .name = #m, .off = offsetof(T, m), .bytes = sizeof(((T *)0)->m), \
    .n = sizeof(((T *)0)->m) / sizeof(((T *)0)->m[0]), .type = FT_STRUCT, .sub = (table)
#define FO(T, m) .name = #m, .off = offsetof(T, m), .bytes = sizeof(((T *)0)->m), .n = 1, .type = FT_OPAQUE

const Field *field_find(const Field *table, const char *name, FieldRole role);

/* Element i of a scalar field, widened to 64 bits (sign-extended where signed). */
uint64_t field_get(const Field *f, const void *object, unsigned i);
void field_set(const Field *f, void *object, unsigned i, uint64_t value);

/* Gives every field of that role its reset or default value.  A warm reset leaves fields marked `keep`. */
void fields_reset(const Field *table, void *object, FieldRole role, bool warm);

/* Sets a property from text: bool as on/off/true/false/yes/no, integers in decimal, 0x hexadecimal, or with a suffix
 * k, M, G, T (powers of 1024).  Checks the range.  `owner` names the object in messages. */
bool field_parse(const Field *f, void *object, const char *text, const char *owner, GError **err);

/* Frees the strings that field_parse and fields_reset have allocated. */
void fields_clear(const Field *table, void *object);

/* "name=<int> - doc (default N, A to B)" as -device TYPE,help prints it.  Caller frees. */
char *field_help(const Field *f);
