#pragma once
#include "devices/virtio/virtio_balloon.h"
#include "vmm/monitor/command.h"
/* balloon.h - what the tree of objects shows of a balloon besides its options. */
extern const char *const balloon_properties[];            /* name, type, ..., NULL */
JsonNode *balloon_value(Device *d, const char *property); /* NULL: no such property, or no balloon */
