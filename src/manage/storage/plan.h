#pragma once
#include "schema/storage.h"
/* plan.h (storage) - which of the host's tools a pool needs for what, as data: mount, lvm2, sfdisk.  Pure. */
typedef struct StoreCommand {
    char **argv;
    char *input; /* what it reads, or NULL */
} StoreCommand;

typedef enum StoreStep { STORE_BUILD, STORE_START, STORE_STOP, STORE_DELETE, STORE_LIST, STORE_CREATE, STORE_REMOVE, STORE_RESIZE } StoreStep;
extern const char *const store_step_names[];

/* StoreCommands, one after the other; empty where no tool is needed.  `v` and `bytes` are those of a volume's steps. */
GPtrArray *store_plan(const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GError **err);
/* Where its volumes are. */
char *store_target(const Pool *p);
