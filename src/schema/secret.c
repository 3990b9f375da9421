/* secret.c - the rows of secrets and of <encryption>. */
#include "schema/secret.h"

#include "base/error.h"

#define END { .name = NULL }

const char *const secret_usages[] = { "volume", "ceph", "iscsi", "tls", "vtpm", NULL };

static const RecordField secret_fields[] = {
    { RF(Secret, ephemeral, RK_WORD, "@ephemeral"), .words = record_yes_no, .def = "no", .doc = "kept in memory only" },
    { RF(Secret, private, RK_WORD, "@private"), .words = record_yes_no, .def = "no", .doc = "the value is told to no client" },
    { RF(Secret, uuid, RK_UUID, "uuid"), .doc = "UUID; made up where none is given" },
    { RF(Secret, description, RK_TEXT, "description"), .doc = "description" },
    { RF(Secret, usage, RK_WORD, "usage/@type"), .words = secret_usages, .doc = "what it is for" },
    { RF(Secret, volume, RK_TEXT, "usage/volume"), .when = "usage=volume", .required = true, .doc = "path of the image" },
    { RF(Secret, name, RK_TEXT, "usage/name"), .when = "usage=ceph,tls,vtpm", .required = true, .doc = "name of the use" },
    { RF(Secret, target, RK_TEXT, "usage/target"), .when = "usage=iscsi", .required = true, .doc = "iSCSI target" },
    END
};

static bool check_secret(void *record, GError **err)
{
    Secret *s = record;
    if (!s->uuid)
        s->uuid = g_uuid_string_random();
    return true;
}
const RecordType secret_type = { .element = "secret", .size = sizeof(Secret), .fields = secret_fields, .check = check_secret, .doc = "a secret" };

const char *secret_usage_id(const Secret *s)
{
    const char *id = s->usage == USAGE_VOLUME ? s->volume : s->usage == USAGE_ISCSI ? s->target : s->name;
    return id ? id : "";
}

static const RecordField encryption_fields[] = {
    { RF(Encryption, format, RK_TEXT, "@format"), .required = true, .doc = "luks" },
    { RF(Encryption, engine, RK_TEXT, "@engine"), .doc = "qemu: the machine's own process does it" },
    { RF(Encryption, secret_type, RK_TEXT, "secret/@type"), .doc = "passphrase" },
    { RF(Encryption, uuid, RK_UUID, "secret/@uuid"), .doc = "UUID of the secret" },
    { RF(Encryption, usage, RK_TEXT, "secret/@usage"), .doc = "or the path of the volume that a secret is for" },
    END
};
const RecordType encryption_record = { .element = "encryption", .size = sizeof(Encryption), .fields = encryption_fields, .doc = "how an image is encrypted" };
