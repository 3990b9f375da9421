#pragma once
#include "schema/record.h"
/* secret.h - secrets (https://libvirt.org/formatsecret.html), and how an image names those that open it. */
extern const char *const secret_usages[];
typedef enum SecretUsage { USAGE_NONE, USAGE_VOLUME, USAGE_CEPH, USAGE_ISCSI, USAGE_TLS, USAGE_VTPM } SecretUsage; /* virSecretUsageType too */

typedef struct Secret {
    Record record;
    unsigned ephemeral, private; /* record_yes_no: it is in no file; it is never told again */
    unsigned usage;              /* SecretUsage */
    char *uuid, *description;
    char *volume, *name, *target; /* what it is for, by its usage */
} Secret;
const char *secret_usage_id(const Secret *s); /* "": it is for nothing in particular */

/* <encryption> of a disk, of an image below it, or of a volume. */
typedef struct Encryption {
    Record record;
    char *format, *engine;
    char *secret_type, *uuid, *usage; /* a secret by one of the two */
} Encryption;

extern const RecordType secret_type, encryption_record;
