#pragma once
#include <stdint.h>
/* cpu_models.h - the rows from which cpu_model.c makes a CpuModel. */
typedef struct CpuModelRow {
    const char *name, *doc;
    const char *vendor, *brand;
    uint8_t family, model, stepping;
    uint32_t level, xlevel;
    uint8_t phys_bits;
    const char *parent;   /* another row whose features it has too, or NULL */
    const char *features; /* names of features.txt, separated by blanks */
} CpuModelRow;
extern const CpuModelRow cpu_model_rows[]; /* ends with a NULL name; "host" and "max" have no features of their own */

/* What the interpreter and the translator do by themselves, and what they do where the host's CPU does it. */
extern const char cpu_features_own[], cpu_features_by_host[];
