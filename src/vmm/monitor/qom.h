#pragma once
#include "vmm/monitor/command.h"
/*
 * qom.h - our devices, processors and objects at the paths at which QEMU's clients look for them:
 * /machine/peripheral/ID, /machine/peripheral-anon/device[N], /machine/unattached/device[N] (processors first, then parts
 * of the board), /objects/ID.
 */
typedef struct QomNode {
    const char *folder; /* one of the fixed ones, or NULL and: */
    Device *device;
    Vcpu *vcpu;
} QomNode;
bool qom_find(Vm *vm, const char *path, QomNode *ret, GError **err);
char *qom_device_path(const Device *d); /* caller frees */
char *qom_drive_path(const Device *d);  /* of what has an image, as query-block tells it; caller frees */
char *qom_vcpu_path(const Vcpu *v);

/* Properties, as ObjectPropertyInfo: name, type and default. */
JsonArray *qom_type_properties(const DeviceType *t);

/* Of a processor.  NULL: there is no such property. */
JsonNode *cpu_property(const CpuModel *m, const char *name);
void cpu_each_property(void (*each)(const char *name, const char *type, void *opaque), void *opaque);
