#pragma once
#include <slirp/libslirp.h>

#include "hostnet/backend.h"
/* user.h - between user.c and user_options.c. */
typedef struct UserOptions {
    SlirpConfig slirp;
    GPtrArray *hostfwd, *guestfwd; /* as written */
    GPtrArray *search;             /* NULL-terminated */
    GPtrArray *texts;              /* that slirp points to */
} UserOptions;

void user_options_init(UserOptions *o);
void user_options_clear(UserOptions *o);
bool user_options_take(UserOptions *o, KeyVals *kv, GError **err);
bool user_add_hostfwd(Slirp *s, const char *spec, GError **err);
bool user_add_guestfwd(Slirp *s, const char *spec, GError **err);
