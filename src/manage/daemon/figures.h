#pragma once
#include <json-glib/json-glib.h>

#include "manage/daemon/task.h"
/* figures.h - what handlers of statistics share: figures of processors and cards, and a question at a machine's monitor. */

/* A virtual processor's thread; RECORD_NONE, -1: not known. */
typedef struct VcpuFigures {
    unsigned id;
    int thread;                           /* 0: it has none */
    int host_cpu;                         /* where it was last */
    uint64_t time_ns, wait_ns, delay_ns;  /* delay: it was ready to run, wait: it was not */
} VcpuFigures;
/* VcpuFigures, in their order; n: how many the machine has.  On a worker. */
GArray *vcpu_figures(Task *t, unsigned n, GError **err);

/* What the guest says of its memory by its balloon: KiB, and counts; RECORD_NONE: not known.  Numbers are virDomainMemoryStatTags. */
enum { MEMORY_ACTUAL = 6, MEMORY_RSS = 7, MEMORY_FIGURES = 13 };
typedef struct MemoryFigures {
    uint64_t values[MEMORY_FIGURES];
} MemoryFigures;
extern const char *const memory_figure_names[MEMORY_FIGURES]; /* as domstats calls them; NULL: not the balloon's */
bool memory_figures(Task *t, MemoryFigures *ret, GError **err); /* on a worker */

/* What a card has done, as its guest sees it. */
enum { CARD_FIGURES = 8 };
extern const char *const card_figure_names[CARD_FIGURES]; /* rx.bytes and so on, as virDomainInterfaceStats orders them */
bool card_figures(const ManagedDomain *d, const Interface *card, gint64 *ret); /* false: nobody counts; -1: not known */

/* What a command (JSON) of a machine's monitor returns; the caller frees it.  On a worker. */
JsonNode *task_monitor(Task *t, const char *command, GError **err);
JsonNode *machine_monitor(const HvDriver *v, HvDomain *hv, const char *name, const char *command, GError **err); /* of one that has a monitor */
