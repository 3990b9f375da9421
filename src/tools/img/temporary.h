#pragma once
#include "tools/img/args.h"
/*
 * temporary.h - a file that appears under its name only when it is whole.
 *
 * Where a rename cannot do that (devices, addresses of the network), path is the target itself.
 */
typedef struct Temporary {
    char *path, *target;
    bool renames;    /* path is another file than target */
    GThread *keeper; /* removes it when a signal ends us */
    struct Keeper *keep;
} Temporary;
/* Refuses a target that somebody has open; removes what killed runs left behind. */
bool temporary_start(Temporary *t, const char *target, GError **err);
/* In a message the user's own name stands, not the temporary one. */
void temporary_explain(const Temporary *t, GError **err);
bool temporary_commit(Temporary *t, GError **err);
void temporary_clear(Temporary *t); /* removes what was not committed */
