#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * cpu_model.h - what CPUID tells the guest.  Features are rows of features.txt (name, leaf, subleaf, register, bit),
 * models are rows of cpu_models.c; -cpu NAME,+feature,-feature,property=value picks one and changes it.
 */
#include "isa/x86/cpu_features.h" /* generated: typedef enum CpuFeature { FEAT_ALWAYS, FEAT_FPU, ... FEAT_COUNT } */

typedef struct CpuFeatureInfo {
    const char *name, *alias; /* as -cpu spells it */
    uint32_t leaf, subleaf;
    uint8_t reg;              /* 0-3: eax ebx ecx edx */
    uint8_t bit;
    const char *doc;
} CpuFeatureInfo;
extern const CpuFeatureInfo cpu_feature_table[FEAT_COUNT];

typedef struct CpuModel {
    char name[32];
    char vendor[13], brand[49];
    uint8_t family, model, stepping; /* extended fields folded in */
    uint32_t level, xlevel;          /* highest basic and extended leaf */
    uint8_t phys_bits, virt_bits;
    uint64_t tsc_khz;                /* 0: the host's */
    uint64_t features[(FEAT_COUNT + 63) / 64];
} CpuModel;

typedef struct CpuidRegs { uint32_t eax, ebx, ecx, edx; } CpuidRegs;
/* What surrounds one vCPU and so shows in CPUID: topology and live bits of CR4 and XCR0. */
typedef struct CpuidContext {
    uint32_t apic_id, sockets, cores, threads; /* cores a socket, threads a core */
    uint64_t cr4, xcr0, apic_base, xss;
} CpuidContext;

static inline bool cpu_has(const CpuModel *m, CpuFeature f) { return m->features[f / 64] >> (f % 64) & 1; }

/* Reads "-cpu" text.  Errors name the nearest model or feature.  `supported` (a model that has every feature that the
 * accelerator can give) bounds the result: what is asked for beyond it by name is an error with "enforce" and a warning
 * in *ret_warning (caller frees, may be NULL) otherwise. */
bool cpu_model_parse(const char *text, const CpuModel *supported, CpuModel *ret, char **ret_warning, GError **err);
/* All that this host's CPU has (CPUID executed here). */
void cpu_model_host(CpuModel *ret);
/* All that the interpreter and the translator implement, given this host (they run SSE, AVX and x87 on it). */
void cpu_model_max(CpuModel *ret);
/* The leaf as the guest sees it. */
CpuidRegs cpu_model_cpuid(const CpuModel *m, const CpuidContext *c, uint32_t leaf, uint32_t subleaf);
/* One line a model, then the features: -cpu help.  Caller frees. */
char *cpu_model_help(void);
