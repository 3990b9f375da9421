#pragma once
#include "manage/daemon/task.h"
#include "schema/cpuset.h"
/* pins.h - threads of a running machine, and on which of the host's processors they may run (sched_setaffinity(2)). */
typedef enum PinKind { PIN_VCPU, PIN_EMULATOR /* the threads that are none of the others */, PIN_IOTHREAD } PinKind;

/* What a definition says of a thread; NULL: nothing, all of the host's processors. */
const char *pin_of(const Domain *d, PinKind kind, uint64_t id);
void pin_set(Domain *d, PinKind kind, uint64_t id, const char *cpuset); /* NULL: says nothing any more */

typedef struct MachineThread {
    PinKind kind;
    uint64_t id;
    int thread;
} MachineThread;
/* All but the emulator's others, and first the process itself (PIN_EMULATOR); the caller frees.  On a worker. */
GArray *machine_threads(const HvDriver *v, HvDomain *hv, const char *name, GError **err);
bool pin_threads(const GArray *threads, PinKind kind, uint64_t id, const char *cpuset, GError **err);
/* All that a definition says, before the machine's processors run.  On a worker. */
bool pins_apply(const HvDriver *v, HvDomain *hv, const Domain *d, GError **err);
