#pragma once
#include <gio/gio.h>

#include "manage/storage/plan.h"
/* tools.h - running the host's tools; on workers. */

/* What it prints is the caller's (ret_out may be NULL); what it says at last is the error. */
bool tool_run(const char *const *argv, const char *input, char **ret_out, GCancellable *cancel, GError **err);
/* A step of a pool; `ret_outs` (may be NULL) takes what each command printed. */
bool tool_step(const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GPtrArray *ret_outs, GCancellable *cancel, GError **err);
