/* table.c - registration is this explicit array. */
#include "devices/devices.h"

const DeviceType *const device_types[] = {
    NULL,
};
