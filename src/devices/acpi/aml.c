/* aml.c - encodes ACPI machine language.  Section numbers are those of the ACPI Specification 6.4. */
#include "devices/acpi/aml.h"

#include <string.h>

enum { /* 20.3 */
    OP_ZERO = 0x00, OP_ONE = 0x01, OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c, OP_STRING = 0x0d,
    OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12, OP_VAR_PACKAGE = 0x13, OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e, OP_MULTI_NAME = 0x2f, OP_EXT = 0x5b, OP_LOCAL0 = 0x60, OP_ARG0 = 0x68, OP_STORE = 0x70, OP_SHIFT_LEFT = 0x79, OP_AND = 0x7b,
    OP_OR = 0x7d, OP_NOTIFY = 0x86, OP_DWORD_FIELD = 0x8a, OP_NOT = 0x92, OP_EQUAL = 0x93, OP_IF = 0xa0, OP_RETURN = 0xa4,
    EXT_REGION = 0x80, EXT_FIELD = 0x81, EXT_DEVICE = 0x82,
};

/* ---- bytes */

static void byte(Aml *a, uint8_t b) { g_byte_array_append(a, &b, 1); }

static void number(Aml *a, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        byte(a, value >> (i * 8));
}

static Aml *start(int op)
{
    Aml *a = g_byte_array_new();
    if (op >= 0)
        byte(a, op);
    return a;
}

static Aml *start_extended(uint8_t op)
{
    Aml *a = start(OP_EXT);
    byte(a, op);
    return a;
}

void aml_free(Aml *a)
{
    if (a)
        g_byte_array_unref(a);
}

void aml_append(Aml *to, Aml *part)
{
    g_byte_array_append(to, part->data, part->len);
    aml_free(part);
}

static void append_list(Aml *to, Aml *first, va_list rest)
{
    for (Aml *a = first; a; a = va_arg(rest, Aml *))
        aml_append(to, a);
}

/* PkgLength (20.2.4) counts itself. */
static void package_length(Aml *a, size_t body)
{
    if (body + 1 < 0x40) {
        byte(a, body + 1);
        return;
    }
    unsigned extra = body + 2 < 1 << 12 ? 1 : body + 3 < 1 << 20 ? 2 : 3;
    size_t total = body + 1 + extra;
    byte(a, extra << 6 | (total & 0xf));
    for (unsigned i = 0; i < extra; i++)
        byte(a, total >> (4 + 8 * i));
}

/* Op, length, body. */
static Aml *enclose(Aml *head, Aml *body)
{
    package_length(head, body->len);
    aml_append(head, body);
    return head;
}

/* ---- names (20.2.2) */

static void name_segment(Aml *a, const char *s, size_t n)
{
    g_assert(n >= 1 && n <= 4);
    for (size_t i = 0; i < 4; i++)
        byte(a, i < n ? s[i] : '_');
}

static void name_path(Aml *a, const char *path)
{
    for (; *path == '\\' || *path == '^'; path++)
        byte(a, *path);
    g_auto(GStrv) segments = g_strsplit(path, ".", -1);
    unsigned n = *path ? g_strv_length(segments) : 0;
    if (n == 0)
        byte(a, 0);
    else if (n == 2)
        byte(a, OP_DUAL_NAME);
    else if (n > 2) {
        byte(a, OP_MULTI_NAME);
        byte(a, n);
    }
    for (unsigned i = 0; i < n; i++)
        name_segment(a, segments[i], strlen(segments[i]));
}

Aml *aml_ref(const char *path)
{
    Aml *a = start(-1);
    name_path(a, path);
    return a;
}

Aml *aml_nothing(void) { return start(-1); }

/* ---- data (20.2.3) */

Aml *aml_int(uint64_t v)
{
    if (v <= 1)
        return start(v ? OP_ONE : OP_ZERO);
    unsigned size = v <= 0xff ? 1 : v <= 0xffff ? 2 : v <= 0xffffffff ? 4 : 8;
    Aml *a = start(size == 1 ? OP_BYTE : size == 2 ? OP_WORD : size == 4 ? OP_DWORD : OP_QWORD);
    number(a, v, size);
    return a;
}

Aml *aml_string(const char *text)
{
    Aml *a = start(OP_STRING);
    g_byte_array_append(a, (const uint8_t *)text, strlen(text) + 1);
    return a;
}

/* Three letters of five bits and four hexadecimal digits, as a big-endian doubleword (19.3.4, EISAID). */
Aml *aml_eisa_id(const char *id)
{
    g_assert(strlen(id) == 7);
    uint32_t v = (uint32_t)(id[0] - 0x40) << 26 | (uint32_t)(id[1] - 0x40) << 21 | (uint32_t)(id[2] - 0x40) << 16;
    for (unsigned i = 0; i < 4; i++)
        v |= (uint32_t)g_ascii_xdigit_value(id[3 + i]) << (12 - 4 * i);
    Aml *a = start(OP_DWORD);
    number(a, GUINT32_SWAP_LE_BE(v), 4);
    return a;
}

Aml *aml_buffer(const void *data, size_t n)
{
    Aml *body = aml_int(n);
    g_byte_array_append(body, data, n);
    return enclose(start(OP_BUFFER), body);
}

Aml *aml_package_of(Aml *const *elements, unsigned n)
{
    g_assert(n < 256);
    Aml *body = start(n);
    for (unsigned i = 0; i < n; i++)
        aml_append(body, elements[i]);
    return enclose(start(OP_PACKAGE), body);
}

Aml *aml_package(Aml *first, ...)
{
    va_list rest;
    g_autoptr(GPtrArray) elements = g_ptr_array_new();
    va_start(rest, first);
    for (Aml *a = first; a; a = va_arg(rest, Aml *))
        g_ptr_array_add(elements, a);
    va_end(rest);
    return aml_package_of((Aml *const *)elements->pdata, elements->len);
}

/* ---- named objects (20.2.5) */

Aml *aml_name(const char *path, Aml *value)
{
    Aml *a = start(OP_NAME);
    name_path(a, path);
    aml_append(a, value);
    return a;
}

Aml *aml_scope(const char *path, Aml *first, ...)
{
    va_list rest;
    Aml *body = aml_ref(path);
    va_start(rest, first);
    append_list(body, first, rest);
    va_end(rest);
    return enclose(start(OP_SCOPE), body);
}

Aml *aml_device(const char *path, Aml *first, ...)
{
    va_list rest;
    Aml *body = aml_ref(path);
    va_start(rest, first);
    append_list(body, first, rest);
    va_end(rest);
    return enclose(start_extended(EXT_DEVICE), body);
}

Aml *aml_method(const char *path, unsigned args, bool serialized, Aml *first, ...)
{
    va_list rest;
    Aml *body = aml_ref(path);
    byte(body, args | serialized << 3);
    va_start(rest, first);
    append_list(body, first, rest);
    va_end(rest);
    return enclose(start(OP_METHOD), body);
}

Aml *aml_region(const char *path, AmlSpace space, uint64_t offset, uint64_t length)
{
    Aml *a = start_extended(EXT_REGION);
    name_path(a, path);
    byte(a, space);
    aml_append(a, aml_int(offset));
    aml_append(a, aml_int(length));
    return a;
}

static Aml *field_of(const char *region, uint8_t flags, const AmlField *fields, unsigned n)
{
    Aml *body = aml_ref(region);
    byte(body, flags);
    for (unsigned i = 0; i < n; i++) {
        g_assert(fields[i].bits < 0x40);
        name_segment(body, fields[i].name, strlen(fields[i].name));
        package_length(body, fields[i].bits - 1); /* a field's length does not count itself */
    }
    return enclose(start_extended(EXT_FIELD), body);
}

/* FieldFlags: access in bits 3-0, lock in 4, update rule in 6-5. */
Aml *aml_byte_field(const char *region, const AmlField *fields, unsigned n)
{
    enum { BYTE_ACCESS = 1, NO_LOCK_PRESERVE = 0 };
    return field_of(region, BYTE_ACCESS | NO_LOCK_PRESERVE, fields, n);
}

Aml *aml_dword_field(const char *region, const AmlField *fields, unsigned n)
{
    enum { DWORD_ACCESS = 3, NO_LOCK_ZEROS = 2 << 5 };
    return field_of(region, DWORD_ACCESS | NO_LOCK_ZEROS, fields, n);
}

Aml *aml_dword_of(Aml *buffer, unsigned offset, const char *name)
{
    Aml *a = start(OP_DWORD_FIELD);
    aml_append(a, buffer);
    aml_append(a, aml_int(offset));
    name_path(a, name);
    return a;
}

/* ---- expressions and statements (20.2.5.3, 20.2.5.4) */

Aml *aml_arg(unsigned n) { return start(OP_ARG0 + n); }
Aml *aml_local(unsigned n) { return start(OP_LOCAL0 + n); }

Aml *aml_store(Aml *value, Aml *to)
{
    Aml *a = start(OP_STORE);
    aml_append(a, value);
    aml_append(a, to);
    return a;
}

static Aml *binary(uint8_t op, Aml *x, Aml *y, Aml *to)
{
    Aml *a = start(op);
    aml_append(a, x);
    aml_append(a, y);
    aml_append(a, to ? to : start(OP_ZERO)); /* null name: no target */
    return a;
}

Aml *aml_and(Aml *a, Aml *b, Aml *to) { return binary(OP_AND, a, b, to); }
Aml *aml_or(Aml *a, Aml *b, Aml *to) { return binary(OP_OR, a, b, to); }
Aml *aml_shift_left(Aml *value, Aml *bits, Aml *to) { return binary(OP_SHIFT_LEFT, value, bits, to); }

Aml *aml_equal(Aml *x, Aml *y)
{
    Aml *a = start(OP_EQUAL);
    aml_append(a, x);
    aml_append(a, y);
    return a;
}

Aml *aml_not(Aml *condition)
{
    Aml *a = start(OP_NOT);
    aml_append(a, condition);
    return a;
}

Aml *aml_notify(Aml *device, Aml *value)
{
    Aml *a = start(OP_NOTIFY);
    aml_append(a, device);
    aml_append(a, value);
    return a;
}

Aml *aml_call(const char *method, Aml *first, ...)
{
    va_list rest;
    Aml *a = aml_ref(method);
    va_start(rest, first);
    append_list(a, first, rest);
    va_end(rest);
    return a;
}

Aml *aml_if(Aml *condition, Aml *first, ...)
{
    va_list rest;
    Aml *body = start(-1);
    aml_append(body, condition);
    va_start(rest, first);
    append_list(body, first, rest);
    va_end(rest);
    return enclose(start(OP_IF), body);
}

Aml *aml_return(Aml *value)
{
    Aml *a = start(OP_RETURN);
    aml_append(a, value);
    return a;
}

/* ---- resources (6.4) */

Aml *aml_resources(Aml *first, ...)
{
    va_list rest;
    Aml *list = start(-1);
    va_start(rest, first);
    append_list(list, first, rest);
    va_end(rest);
    byte(list, 0x79); /* end tag; checksum 0 counts as correct */
    byte(list, 0);
    Aml *buffer = aml_buffer(list->data, list->len);
    aml_free(list);
    return buffer;
}

Aml *aml_io(uint16_t base, uint8_t length)
{
    Aml *a = start(0x47);
    byte(a, 1); /* 16-bit decoding */
    number(a, base, 2);
    number(a, base, 2);
    byte(a, 1); /* alignment */
    byte(a, length);
    return a;
}

Aml *aml_irq(unsigned irq)
{
    Aml *a = start(0x22); /* without flags: edge, high */
    number(a, 1u << irq, 2);
    return a;
}

Aml *aml_dma(unsigned channel)
{
    Aml *a = start(0x2a); /* compatible timing, no bus master */
    number(a, 1u << channel, 1);
    number(a, 0, 1);
    return a;
}

Aml *aml_interrupts(const uint32_t *gsis, unsigned n)
{
    enum { CONSUMER = 1, SHARED = 8 }; /* level triggered and active high are zeros */
    Aml *a = start(0x89);
    number(a, 2 + 4 * n, 2);
    byte(a, CONSUMER | SHARED);
    byte(a, n);
    for (unsigned i = 0; i < n; i++)
        number(a, gsis[i], 4);
    return a;
}

Aml *aml_memory(uint32_t base, uint32_t length, bool writable)
{
    Aml *a = start(0x86);
    number(a, 9, 2);
    byte(a, writable);
    number(a, base, 4);
    number(a, length, 4);
    return a;
}

/* Address space descriptors (6.4.3.5): fixed at both ends, positive decoding, produced for what is behind a bridge. */
static Aml *range(uint8_t tag, unsigned size, uint8_t kind, uint8_t type_flags, uint64_t first, uint64_t last)
{
    Aml *a = start(tag);
    number(a, 3 + 5 * size, 2);
    byte(a, kind);
    byte(a, 0x0c);
    byte(a, type_flags);
    number(a, 0, size); /* granularity */
    number(a, first, size);
    number(a, last, size);
    number(a, 0, size); /* translation */
    number(a, last - first + 1, size);
    return a;
}

enum { RANGE_WORD = 0x88, RANGE_DWORD = 0x87, RANGE_QWORD = 0x8a, KIND_MEMORY = 0, KIND_IO = 1, KIND_BUS = 2 };

Aml *aml_bus_range(uint16_t first, uint16_t last) { return range(RANGE_WORD, 2, KIND_BUS, 0, first, last); }

Aml *aml_io_range(uint16_t first, uint16_t last)
{
    enum { ENTIRE_RANGE = 3 };
    return range(RANGE_WORD, 2, KIND_IO, ENTIRE_RANGE, first, last);
}

Aml *aml_memory_range(uint64_t first, uint64_t last, bool cacheable)
{
    uint8_t flags = 1 | (cacheable ? 2 : 0); /* read-write */
    return last > UINT32_MAX ? range(RANGE_QWORD, 8, KIND_MEMORY, flags, first, last)
                             : range(RANGE_DWORD, 4, KIND_MEMORY, flags, first, last);
}
