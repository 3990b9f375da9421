#pragma once
#include "manage/hypervisor/hypervisor.h"
/* tuning.h - what a definition says of its machine's share of the host (<cputune>, <memtune>, <blkiotune>), made so by control groups. */

/* Groups of settings, as bits; each is one controller's. */
enum { TUNING_CPU = 1, TUNING_MEMORY = 2, TUNING_IO = 4, TUNING_ALL = 7 };
unsigned tuning_wanted(const Domain *d); /* of which something is set */
/* On a worker, of a machine that runs. */
bool tuning_apply(const HvHost *h, const Domain *d, unsigned groups, GError **err);
/* Of one that has ended, or is about to. */
void tuning_forget(const Domain *d);
