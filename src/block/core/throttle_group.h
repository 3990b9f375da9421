#pragma once
#include "base/keyval.h"
#include "block/limits.h"
/*
 * throttle_group.h - limits of requests and bytes a second, for one image or for several together.
 *
 * The requests of a direction pass one after the other: who must wait lets nobody of the group past.
 */
typedef struct ThrottleGroup ThrottleGroup;

ThrottleGroup *throttle_group_new(void); /* no limits */
ThrottleGroup *throttle_group_ref(ThrottleGroup *g);
void throttle_group_unref(ThrottleGroup *g); /* NULL is fine */
/* Takes "iops-total", "bps-read-max" and their kin out of kv.  None of them there: what the group has stays. */
bool throttle_group_take_limits(ThrottleGroup *g, KeyVals *kv, GError **err);

void throttle_group_wait(ThrottleGroup *g, const BlkReq *r); /* sleeps until r may pass */
/* For who cannot sleep.  True: r may pass, and nobody else of its direction does until leave(); *copy is r, which may be gone by
 * then, and passed says whether it went. */
bool throttle_group_enter(ThrottleGroup *g, const BlkReq *r, BlkReq *copy);
void throttle_group_leave(ThrottleGroup *g, const BlkReq *copy, bool passed);
BlkLimits throttle_group_limits(ThrottleGroup *g);
