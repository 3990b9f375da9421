#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/* mptable.h - MultiProcessor Specification 1.4 tables, for kernels that do not use ACPI. */
typedef struct MpPciPin {
    uint8_t slot, pin, gsi; /* pin 0-3 */
} MpPciPin;

typedef struct MpBoard {
    unsigned cpus;
    const uint32_t *apic_ids; /* those above 254 are left out: the format has no room */
    uint32_t cpu_signature, cpu_features;
    uint8_t ioapic_id;
    const MpPciPin *pins;
    unsigned n_pins;
} MpBoard;

enum { MP_FLOATING_SIZE = 16 };

/* The configuration table, complete with checksum. */
GByteArray *mp_table_build(const MpBoard *board);
/* The floating pointer to a table at table_at. */
void mp_floating_build(uint8_t ret[MP_FLOATING_SIZE], uint32_t table_at);
