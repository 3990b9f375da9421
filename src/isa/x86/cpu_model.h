#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
/*
 * cpu_model.h - what CPUID tells the guest.  Features are rows of features.txt (name, leaf, subleaf, register, bit),
 * models are rows of cpu_models.c; -cpu NAME,+feature,-feature,property=value picks one and changes it.
 */
#include "isa/x86/cpu_features.h" /* generated: typedef enum CpuFeature { FEAT_ALWAYS, FEAT_FPU, ... FEAT_COUNT } */

enum { CPU_REG_MSR = 4 };
typedef struct CpuFeatureInfo {
    const char *name, *alias; /* as -cpu spells it */
    uint32_t leaf, subleaf;   /* of an MSR: its number, 0 */
    uint8_t reg;              /* 0-3: eax ebx ecx edx; CPU_REG_MSR */
    uint8_t bit;
    const char *doc;
} CpuFeatureInfo;
extern const CpuFeatureInfo cpu_feature_table[FEAT_COUNT];

enum { CPU_FEATURE_WORDS = (FEAT_COUNT + 63) / 64 };
typedef struct CpuModel {
    char name[32];
    char vendor[13], brand[49];
    uint8_t family, model, stepping; /* extended fields folded in */
    uint32_t level, xlevel;          /* highest basic and extended leaf */
    uint8_t phys_bits, virt_bits;
    bool native;                     /* of what an accelerator supports: the host's own processor runs the guest */
    bool no_l3, no_leaf_b;           /* l3-cache=off, cpuid-0xb=off */
    bool hidden;                     /* kvm=off, tcg-cpuid=off: no leaf names the hypervisor */
    uint64_t tsc_khz;                /* 0: the host's */
    uint64_t features[CPU_FEATURE_WORDS];
    uint64_t lacks[CPU_FEATURE_WORDS]; /* asked for, and left out */
} CpuModel;

typedef struct CpuidRegs { uint32_t eax, ebx, ecx, edx; } CpuidRegs;
/* What surrounds one vCPU and so shows in CPUID: topology and live bits of CR4 and XCR0. */
typedef struct CpuidContext {
    uint32_t apic_id, sockets, cores, threads; /* cores a socket, threads a core */
    uint64_t cr4, xcr0, apic_base, xss;
} CpuidContext;

static inline bool cpu_has(const CpuModel *m, CpuFeature f) { return m->features[f / 64] >> (f % 64) & 1; }
void cpu_model_set(CpuModel *m, CpuFeature f, bool on);
/* By name or alias, with - _ and . alike, as QEMU takes them; FEAT_ALWAYS: there is none. */
CpuFeature cpu_feature_find(const char *name);

/* Reads "-cpu" text.  Errors name the nearest model or feature.  `supported` (a model that has every feature that the
 * accelerator can give) bounds the result: what is beyond it is an error with "enforce", and otherwise left out with a
 * warning in *ret_warning (caller frees; NULL if there is nothing to say; may be NULL). */
bool cpu_model_parse(const char *text, const CpuModel *supported, CpuModel *ret, char **ret_warning, GError **err);
/* The same of words (the model, then "+feature", "property=value" ...), and of named models all that they stand for,
 * whatever is supported here. */
bool cpu_model_read(const char *const *words, const CpuModel *supported, CpuModel *ret, GError **err);
/* All that this host's CPU has (CPUID executed here). */
void cpu_model_host(CpuModel *ret);
/* All that the interpreter and the translator implement, given this host (they run SSE, AVX and x87 on it). */
void cpu_model_max(CpuModel *ret);
/* The leaf as the guest sees it. */
CpuidRegs cpu_model_cpuid(const CpuModel *m, const CpuidContext *c, uint32_t leaf, uint32_t subleaf);
/* The features in an MSR: IA32_ARCH_CAPABILITIES. */
uint64_t cpu_model_msr(const CpuModel *m, uint32_t msr);
/* One line a model, then the features: -cpu help.  Caller frees. */
char *cpu_model_help(void);
