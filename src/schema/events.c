/* events.c - every event; names and members are QEMU's. */
#include <stddef.h>

#include "schema/events.h"

const QapiEvent qapi_events[] = {
    { "SHUTDOWN", "guest: bool, reason: ShutdownCause", "the machine has shut down, or is about to end" },
    { "POWERDOWN", NULL, "the power button was pressed" },
    { "RESET", "guest: bool, reason: ShutdownCause", "the machine starts over" },
    { "STOP", NULL, "the CPUs stand" },
    { "RESUME", NULL, "the CPUs go on" },
    { "GUEST_PANICKED", "action: GuestPanicAction", "the guest's kernel says that it has panicked" },
    { "WATCHDOG", "action: WatchdogAction", "a watchdog has run out" },
    { "RTC_CHANGE", "offset: int, qom-path: str", "the guest has set its clock: seconds from the host's" },
    { "DEVICE_DELETED", "?device: str, path: str", "the guest has let go of a device and it is gone" },
    { "DEVICE_UNPLUG_GUEST_ERROR", "?device: str, path: str", "the guest would not let go of a device" },
    { "DEVICE_TRAY_MOVED", "device: str, id: str, tray-open: bool", "the tray of a drive has opened or closed" },
    { "BLOCK_IO_ERROR", "device: str, ?node-name: str, operation: IoOperationType, action: BlockErrorAction, ?nospace: bool, reason: str",
      "a drive's image could not be read or written" },
    { "BLOCK_JOB_COMPLETED", "type: JobType, device: str, len: int, offset: int, speed: int, ?error: str", "a block job has ended" },
    { "BLOCK_JOB_CANCELLED", "type: JobType, device: str, len: int, offset: int, speed: int", "a block job was cancelled" },
    { "BLOCK_JOB_ERROR", "device: str, operation: IoOperationType, action: BlockErrorAction", "a block job waits for an error to be put right" },
    { "BLOCK_JOB_READY", "type: JobType, device: str, len: int, offset: int, speed: int", "a block job may be completed" },
    { "BLOCK_JOB_PENDING", "type: JobType, id: str", "a block job waits to be finalized" },
    { "BLOCK_EXPORT_DELETED", "id: str", "a disk is no longer given to others" },
    { "JOB_STATUS_CHANGE", "id: str, status: JobStatus", "a job has got into another state" },
    { "BALLOON_CHANGE", "actual: int", "the guest has now so many bytes of memory" },
    { "NIC_RX_FILTER_CHANGED", "?name: str, path: str", "the guest has changed what its network card lets through" },
    { "MIGRATION", "status: MigrationStatus", "the state of the machine that leaves or comes" },
    { "VNC_CONNECTED", "server: VncServerInfo, client: VncBasicInfo", "a viewer has come" },
    { "VNC_INITIALIZED", "server: VncServerInfo, client: VncClientInfo", "a viewer has authenticated and shows the screen" },
    { "VNC_DISCONNECTED", "server: VncServerInfo, client: VncClientInfo", "a viewer has gone" },
    { "VSERPORT_CHANGE", "id: str, open: bool", "the guest has opened or closed a port of virtio-serial" },
    { NULL },
};
