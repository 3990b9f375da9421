#pragma once
#include "manage/hypervisor/hypervisor.h"
/*
 * claim.h - who lives, so that a daemon knows of a machine that an earlier one was just starting, and none is started twice.
 *
 * A machine's process inherits a lock on RUNTIME/domains/UUID.lock that was taken before it was started.  atoll-vm's sandbox
 * closes what its arguments do not name, but by then the arguments themselves can be seen in /proc.
 */
int machine_claim(const HvHost *h, const Domain *d, GError **err); /* a descriptor for the process to inherit; -1: it runs already */
bool machine_lives(const HvHost *h, const Domain *d);
void machine_unclaim(const HvHost *h, const char *uuid); /* it has ended */
