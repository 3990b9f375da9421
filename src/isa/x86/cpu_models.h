#pragma once
#include "isa/x86/cpu_model.h"
/* cpu_models.h - the rows from which cpu_model.c makes a CpuModel. */
typedef struct CpuModelRow {
    const char *name;          /* NULL: a version that has no name of its own */
    const char *of;            /* a later version of that row */
    unsigned version;          /* "NAME-v1" and so on; 0: there is one version, and no such name */
    const char *doc;           /* left out: the brand */
    const char *vendor, *brand;
    uint8_t family, model, stepping; /* together; left out: the parent's, as what follows */
    uint32_t level, xlevel;
    const char *parent;        /* whose features it has too; left out: the version before */
    const char *add, *cut;     /* names of features.txt, separated by blanks */
} CpuModelRow;
extern const CpuModelRow cpu_model_rows[]; /* ends with a row without name and version */

static inline bool cpu_model_row_is_last(const CpuModelRow *r) { return !r->name && !r->version; }
/* By name, or by NAME-vN; NULL: there is none. */
const CpuModelRow *cpu_model_row_find(const char *name);
/* "NAME-vN" of a row that has a version.  Caller frees. */
char *cpu_model_row_versioned(const CpuModelRow *r);
/* A model with all that its row says. */
void cpu_model_from_row(CpuModel *m, const CpuModelRow *r);
/* "host" and "max" stand for what there is, not for something to move to another host with. */
bool cpu_model_row_is_fixed(const CpuModelRow *r);

/* What the interpreter and the translator do by themselves, and what they do where the host's CPU does it. */
extern const char cpu_features_own[], cpu_features_by_host[];
