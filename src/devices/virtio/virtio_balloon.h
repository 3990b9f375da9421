#pragma once
#include "devices/virtio/virtio_pci.h"
/* virtio_balloon.h - memory that the guest gives back, and what it tells of its memory. */
VIRTIO_PCI_DECLARE(virtio_balloon_pci_type);
extern const DeviceType virtio_balloon_device_type;

enum { BALLOON_STATS = 10, BALLOON_STAT_UNKNOWN = -1 };
extern const char *const balloon_stat_names[BALLOON_STATS]; /* as in guest-stats */

typedef struct BalloonStats {
    int64_t last_update; /* seconds since 1970; 0: never */
    int64_t value[BALLOON_STATS];
} BalloonStats;

/* Main thread. */
bool balloon_is(const Device *d);
void balloon_set_target(Device *d, uint64_t bytes); /* that the guest shall keep */
uint64_t balloon_actual(Device *d);                 /* bytes that it has now */
void balloon_stats(Device *d, BalloonStats *ret);
uint32_t balloon_interval(Device *d);
void balloon_set_interval(Device *d, uint32_t seconds); /* 0: statistics are not asked for */
