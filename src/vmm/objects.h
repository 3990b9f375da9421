#pragma once
#include "vmm/config.h"
/*
 * objects.h - what -object and object-add make: memory, sources of random numbers, secrets and credentials.
 *
 * A type is a row; its properties are a type of the monitor's schema (schema/types.c: ObjectOptions), which is what
 * -object checks its words against too.
 */
typedef struct ObjectType {
    const char *name, *doc;
    bool in_env; /* the image layer keeps it: block.h, blk_env_add_object() */
    bool thread; /* an iothread, which the machine has */
    /* Of the others; optional.  false: *err is set. */
    bool (*check)(const ObjectConfig *o, GError **err);
} ObjectType;
extern const ObjectType object_types[]; /* ends with a row without a name */

bool object_add(VmConfig *c, const char *text, GError **err); /* -object, or JSON as object-add has it */
bool object_remove(VmConfig *c, const char *id, GError **err);
const ObjectConfig *object_find(const VmConfig *c, const char *id); /* NULL: none */
void object_clear(void *object_config);
const char *object_members(const char *type); /* as schema/qapi.h writes them; "" : none */
char *object_help(void); /* caller frees */
