#pragma once
#include "manage/daemon/daemon_inside.h"
/*
 * secret.h - secrets: a definition and a value.  Both are files of mode 0600, CONFIG/secrets/UUID.xml and UUID.value, unless the
 * secret is ephemeral; a private one's value is told to no client.
 */
enum { SECRET_VALUE_MAX = 65536 /* bytes */ };

typedef struct ManagedSecret {
    Realm *realm;
    Secret *def;
    void *value; /* NULL: it has none yet */
    gsize bytes;
} ManagedSecret;

void secrets_load(Daemon *d);
void secret_free(void *secret);
ManagedSecret *secret_by_uuid(const Realm *r, const char *uuid);
ManagedSecret *secret_by_usage(const Realm *r, SecretUsage usage, const char *id);
GVariant *secret_handle(const ManagedSecret *s); /* (sis); floating */
bool secret_define(Realm *r, const char *xml, ManagedSecret **ret, GError **err);
bool secret_set_value(ManagedSecret *s, const void *value, gsize bytes, GError **err);
bool secret_undefine(ManagedSecret *s, GError **err);

/* ---- secret_use.c: who needs one */
/* The secret of an image, with a value; `what` begins the error where there is none. */
ManagedSecret *secret_of_image(const Realm *r, const Encryption *e, const char *format, const char *what, GError **err);
/*
 * Puts the secrets of a machine's disks (of one of them, where `disk` is given) where its driver finds them (plan_secret_path()), and
 * writes their UUIDs into the definition.  They are there only until the machine has them: secrets_take_back().
 */
bool secrets_hand_out(const Realm *r, Domain *live, Disk *disk, GError **err);
void secrets_take_back(const HvHost *h, const Domain *live, const Disk *disk);
