#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * aml.h - ACPI machine language, written as nested calls.  ACPI Specification 6.4, chapter 20; resources: section 6.4.
 *
 *     Aml *dsdt = aml_scope("\\_SB", aml_device("COM1", aml_name("_HID", aml_eisa_id("PNP0501")),
 *                                               aml_name("_CRS", aml_resources(aml_io(0x3f8, 8), aml_irq(4), NULL)), NULL), NULL);
 *
 * Each function returns new bytes and frees those of its arguments, so a tree is freed with its root.  Variadic lists
 * of Aml * end with NULL.  Names are paths as in ASL: "_SB.PCI0", "\\_S5"; segments shorter than four are padded.
 */
typedef GByteArray Aml;

void aml_free(Aml *a); /* NULL is fine */
void aml_append(Aml *to, Aml *part); /* frees part */
Aml *aml_nothing(void);              /* for a list whose element is left out: NULL would end it */

/* ---- data */
Aml *aml_int(uint64_t value);
Aml *aml_string(const char *text);
Aml *aml_eisa_id(const char *id); /* "PNP0501" */
Aml *aml_buffer(const void *data, size_t n);
Aml *aml_package(Aml *first, ...) G_GNUC_NULL_TERMINATED;
Aml *aml_package_of(Aml *const *elements, unsigned n); /* at most 255 */

/* ---- named objects */
Aml *aml_name(const char *path, Aml *value);
Aml *aml_scope(const char *path, Aml *first, ...) G_GNUC_NULL_TERMINATED;
Aml *aml_device(const char *path, Aml *first, ...) G_GNUC_NULL_TERMINATED;
Aml *aml_method(const char *path, unsigned args, bool serialized, Aml *first, ...) G_GNUC_NULL_TERMINATED;
typedef enum AmlSpace { AML_MEMORY, AML_IO, AML_PCI_CONFIG } AmlSpace;
Aml *aml_region(const char *path, AmlSpace space, uint64_t offset, uint64_t length);
typedef struct AmlField { const char name[5]; unsigned bits; } AmlField;
Aml *aml_dword_field(const char *region, const AmlField *fields, unsigned n); /* aligned 32-bit accesses, other bits written as zeros */
Aml *aml_byte_field(const char *region, const AmlField *fields, unsigned n); /* byte accesses, other bits preserved */
Aml *aml_dword_of(Aml *buffer, unsigned offset, const char *name);           /* CreateDWordField */

/* ---- expressions and statements */
Aml *aml_ref(const char *path);
Aml *aml_arg(unsigned n);
Aml *aml_local(unsigned n);
Aml *aml_store(Aml *value, Aml *to);
Aml *aml_and(Aml *a, Aml *b, Aml *to); /* to NULL: value only */
Aml *aml_or(Aml *a, Aml *b, Aml *to);
Aml *aml_shift_left(Aml *value, Aml *bits, Aml *to);
Aml *aml_equal(Aml *a, Aml *b); /* as a condition */
Aml *aml_not(Aml *condition);
Aml *aml_notify(Aml *device, Aml *value);
Aml *aml_call(const char *method, Aml *first, ...) G_GNUC_NULL_TERMINATED; /* without arguments: aml_ref() */
Aml *aml_if(Aml *condition, Aml *first, ...) G_GNUC_NULL_TERMINATED;
Aml *aml_return(Aml *value);

/* ---- resources */
Aml *aml_resources(Aml *first, ...) G_GNUC_NULL_TERMINATED; /* buffer with its end tag */
Aml *aml_io(uint16_t base, uint8_t length);                 /* fixed ports, 16-bit decoding */
Aml *aml_irq(unsigned irq);                                 /* edge, active high, exclusive */
Aml *aml_dma(unsigned channel);                              /* ISA, 8 bits a transfer */
Aml *aml_interrupts(const uint32_t *gsis, unsigned n);      /* level, active high, shared */
Aml *aml_memory(uint32_t base, uint32_t length, bool writable);
Aml *aml_bus_range(uint16_t first, uint16_t last);
Aml *aml_io_range(uint16_t first, uint16_t last);
Aml *aml_memory_range(uint64_t first, uint64_t last, bool cacheable); /* 32 or 64 bits as needed */
