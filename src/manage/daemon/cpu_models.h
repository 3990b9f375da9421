#pragma once
#include "manage/daemon/daemon_inside.h"
/* cpu_models.h - the CPU models that a definition may name, as the emulator tells them. */
typedef struct CpuModelName {
    char *name;
    bool usable; /* here the accelerator can do all of it */
} CpuModelName;

/* models: CpuModelName, the daemon's; NULL: `err` says why not. */
typedef void CpuModelsReady(GPtrArray *models, const GError *err, void *opaque);
/* Calls back on the main thread, at once where it is known already. */
void cpu_models_ask(Daemon *d, bool kvm, CpuModelsReady *ready, void *opaque);
void cpu_models_free(GPtrArray *models); /* may be NULL */
