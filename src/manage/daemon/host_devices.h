#pragma once
#include <glib.h>

#include "schema/node_device.h"
/* host_devices.h - what /sys says of the host's devices, read anew each time.  Each list is the caller's, sorted as the kernel has them. */
GPtrArray *host_devices(void);    /* NodeDevice; the host itself ("computer") first */
GPtrArray *host_interfaces(void); /* HostInterface */
char *host_sysinfo(const char *folder, GError **err); /* <sysinfo>, of /sys/class/dmi/id */
