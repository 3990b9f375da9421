/* types.c - the types of arguments, results and events, but for those that follow from other tables (the images' options). */
#include "schema/qapi.h"

#define OBJECT(type, text) { .name = type, .meta = QAPI_OBJECT, .members = text }
#define OPEN(type, text) { .name = type, .meta = QAPI_OBJECT, .members = text, .open = true }
#define UNION(type, text, by, cases) { .name = type, .meta = QAPI_OBJECT, .members = text, .tag = by, .variants = cases }
#define ENUM(type, text) { .name = type, .meta = QAPI_ENUM, .members = text }
#define ALTERNATE(type, text) { .name = type, .meta = QAPI_ALTERNATE, .members = text }

const QapiType qapi_types[] = {
    /* the monitor itself */
    ENUM("QMPCapability", "oob"),
    OBJECT("VersionTriple", "major: int, minor: int, micro: int"),
    OBJECT("VersionInfo", "qemu: VersionTriple, package: str"),
    OBJECT("CommandInfo", "name: str"),
    OBJECT("NameInfo", "?name: str"),
    OBJECT("UuidInfo", "UUID: str"),
    OBJECT("CurrentMachineParams", "wakeup-suspend-support: bool"),
    OBJECT("KvmInfo", "enabled: bool, present: bool"),
    ENUM("SysEmuTarget", "x86_64"),
    OBJECT("TargetInfo", "arch: SysEmuTarget"),
    /* introspection of the schema itself */
    ENUM("SchemaMetaType", "builtin enum array object alternate command event"),
    OPEN("SchemaInfo", "name: str, meta-type: SchemaMetaType"),

    /* the machine's life */
    ENUM("RunState", "debug inmigrate internal-error io-error paused postmigrate prelaunch finish-migrate restore-vm running save-vm shutdown suspended "
                     "watchdog guest-panicked colo"),
    OBJECT("StatusInfo", "running: bool, singlestep: bool, status: RunState"),
    ENUM("ShutdownCause", "none host-error host-qmp-quit host-qmp-system-reset host-signal host-ui guest-shutdown guest-reset guest-panic "
                          "subsystem-reset snapshot-load"),
    ENUM("GuestPanicAction", "pause poweroff run"),
    ENUM("WatchdogAction", "reset shutdown poweroff pause debug none inject-nmi"),
    ENUM("RebootAction", "reset shutdown"),
    ENUM("ShutdownAction", "poweroff pause"),
    ENUM("PanicAction", "pause shutdown exit-failure none"),
    ENUM("IoOperationType", "read write"),
    ENUM("BlockErrorAction", "ignore report stop"),
    ENUM("JobType", "commit stream mirror backup create amend"),
    ENUM("JobStatus", "undefined created running paused ready standby waiting pending aborting concluded null"),
    ENUM("NetworkAddressFamily", "ipv4 ipv6 unix vsock unknown"),
    OBJECT("VncBasicInfo", "host: str, service: str, family: NetworkAddressFamily, websocket: bool"),
    OBJECT("VncServerInfo", "host: str, service: str, family: NetworkAddressFamily, websocket: bool, ?auth: str"),
    OBJECT("VncClientInfo", "host: str, service: str, family: NetworkAddressFamily, websocket: bool, ?x509_dname: str, ?sasl_username: str"),

    /* objects, devices, processors */
    OBJECT("ObjectPropertyInfo", "name: str, type: str, ?description: str, ?default-value: any"),
    OBJECT("ObjectTypeInfo", "name: str, ?abstract: bool, ?parent: str"),
    OPEN("DeviceAdd", "driver: str, ?bus: str, ?id: str"),
    OBJECT("CpuInstanceProperties", "?node-id: int, ?socket-id: int, ?die-id: int, ?cluster-id: int, ?core-id: int, ?thread-id: int"),
    OBJECT("CpuInfoFast", "cpu-index: int, qom-path: str, thread-id: int, ?props: CpuInstanceProperties, target: SysEmuTarget"),
    OBJECT("HotpluggableCPU", "type: str, vcpus-count: int, props: CpuInstanceProperties, ?qom-path: str"),
    OBJECT("CpuDefinitionInfo", "name: str, ?migration-safe: bool, static: bool, ?unavailable-features: [str], typename: str, ?alias-of: str, deprecated: bool"),
    ENUM("CpuModelExpansionType", "static full"),
    OBJECT("CpuModelInfo", "name: str, ?props: any"),
    OBJECT("CpuModelExpansionInfo", "model: CpuModelInfo"),

    ENUM("ObjectType", "secret tls-creds-x509 tls-creds-psk tls-creds-anon memory-backend-ram memory-backend-memfd memory-backend-file rng-random rng-builtin iothread throttle-group"),
    UNION("ObjectOptions", "qom-type: ObjectType, id: str", "qom-type",
          "secret: SecretProperties, tls-creds-x509: TlsCredsX509Properties, tls-creds-psk: TlsCredsPskProperties, tls-creds-anon: TlsCredsProperties, "
          "memory-backend-ram: MemoryBackendProperties, memory-backend-memfd: MemoryBackendMemfdProperties, memory-backend-file: MemoryBackendFileProperties, rng-random: RngRandomProperties, "
          "rng-builtin: RngProperties, iothread: IothreadProperties, throttle-group: ThrottleGroupProperties"),
    ENUM("QCryptoSecretFormat", "raw base64"),
    OBJECT("SecretProperties", "?data: str, ?file: str, ?format: QCryptoSecretFormat"),
    ENUM("QCryptoTLSCredsEndpoint", "client server"),
    OBJECT("TlsCredsProperties", "?verify-peer: bool, ?dir: str, ?endpoint: QCryptoTLSCredsEndpoint, ?priority: str"),
    OBJECT("TlsCredsX509Properties", "?verify-peer: bool, ?dir: str, ?endpoint: QCryptoTLSCredsEndpoint, ?priority: str, ?sanity-check: bool, ?passwordid: str"),
    OBJECT("TlsCredsPskProperties", "?verify-peer: bool, ?dir: str, ?endpoint: QCryptoTLSCredsEndpoint, ?priority: str, ?username: str"),
    OBJECT("MemoryBackendProperties", "size: int, ?dump: bool, ?merge: bool, ?prealloc: bool, ?share: bool"),
    OBJECT("MemoryBackendMemfdProperties", "size: int, ?dump: bool, ?merge: bool, ?prealloc: bool, ?share: bool, ?seal: bool"),
    OBJECT("MemoryBackendFileProperties", "size: int, mem-path: str, ?discard-data: bool, ?dump: bool, ?merge: bool, ?prealloc: bool, ?share: bool"),
    OBJECT("RngProperties", "?opened: bool"),
    OBJECT("RngRandomProperties", "?filename: str, ?opened: bool"),
    OBJECT("ThrottleLimits", "?iops-total: int, ?iops-total-max: int, ?iops-total-max-length: int, ?iops-read: int, ?iops-read-max: int, ?iops-read-max-length: int, "
                             "?iops-write: int, ?iops-write-max: int, ?iops-write-max-length: int, ?bps-total: int, ?bps-total-max: int, ?bps-total-max-length: int, "
                             "?bps-read: int, ?bps-read-max: int, ?bps-read-max-length: int, ?bps-write: int, ?bps-write-max: int, ?bps-write-max-length: int, ?iops-size: int"),
    OBJECT("ThrottleGroupProperties", "?limits: ThrottleLimits"),
    OBJECT("IothreadProperties", "?poll-max-ns: int, ?poll-grow: int, ?poll-shrink: int, ?aio-max-batch: int"),
    OBJECT("IOThreadInfo", "id: str, thread-id: int, poll-max-ns: int, poll-grow: int, poll-shrink: int, aio-max-batch: int"),

    /* what this program can do */
    OBJECT("MachineInfo", "name: str, ?alias: str, ?is-default: bool, cpu-max: int, hotpluggable-cpus: bool, numa-mem-supported: bool, deprecated: bool, "
                          "?default-cpu-type: str, ?default-ram-id: str, acpi: bool"),
    ENUM("CommandLineParameterType", "string boolean number size"),
    OBJECT("CommandLineParameterInfo", "name: str, type: CommandLineParameterType, ?help: str, ?default: str"),
    OBJECT("CommandLineOptionInfo", "option: str, parameters: [CommandLineParameterInfo]"),
    ENUM("TpmModel", "tpm-tis tpm-crb"),
    ENUM("TpmType", "passthrough emulator"),
    OBJECT("MigrationCapabilityStatus", "capability: MigrationCapability, state: bool"),
    ENUM("MigrationCapability", "xbzrle rdma-pin-all auto-converge zero-blocks compress events postcopy-ram x-colo release-ram return-path "
                                "pause-before-switchover multifd dirty-bitmaps postcopy-blocktime late-block-activate x-ignore-shared validate-uuid "
                                "background-snapshot zero-copy-send"),
    ENUM("MigrationStatus", "none setup active completed failed cancelling cancelled"),
    OBJECT("MigrationStats", "transferred: int, remaining: int, total: int, duplicate: int, skipped: int, normal: int, normal-bytes: int, dirty-pages-rate: int, mbps: number, "
                             "dirty-sync-count: int, postcopy-requests: int, page-size: int, multifd-bytes: int, pages-per-second: int"),
    OBJECT("MigrationInfo", "?status: MigrationStatus, ?ram: MigrationStats, ?total-time: int, ?expected-downtime: int, ?downtime: int, ?setup-time: int, ?error-desc: str"),
    OBJECT("MigrationParameters", "?max-bandwidth: int, ?downtime-limit: int"),

    /* images */
    OBJECT("ImageInfo", "filename: str, format: str, ?dirty-flag: bool, ?actual-size: int, virtual-size: int, ?cluster-size: int, ?encrypted: bool, "
                        "?compressed: bool, ?backing-filename: str, ?full-backing-filename: str, ?backing-filename-format: str, ?backing-image: ImageInfo"),
    ENUM("BlockdevDetectZeroesOptions", "off on unmap"),
    ENUM("BlockDeviceIoStatus", "ok failed nospace"),
    OBJECT("BlockdevCacheInfo", "writeback: bool, direct: bool, no-flush: bool"),
    OBJECT("BlockDeviceInfo", "file: str, ?node-name: str, ro: bool, drv: str, ?backing_file: str, backing_file_depth: int, encrypted: bool, "
                              "detect_zeroes: BlockdevDetectZeroesOptions, bps: int, bps_rd: int, bps_wr: int, iops: int, iops_rd: int, iops_wr: int, "
                              "image: ImageInfo, cache: BlockdevCacheInfo, write_threshold: int, ?dirty-bitmaps: [BlockDirtyInfo]"),
    OBJECT("BlockInfo", "device: str, ?qdev: str, type: str, removable: bool, locked: bool, ?inserted: BlockDeviceInfo, ?tray_open: bool, "
                        "?io-status: BlockDeviceIoStatus"),

    OBJECT("BlockDeviceStats", "rd_bytes: int, wr_bytes: int, unmap_bytes: int, rd_operations: int, wr_operations: int, flush_operations: int, "
                               "unmap_operations: int, rd_total_time_ns: int, wr_total_time_ns: int, flush_total_time_ns: int, unmap_total_time_ns: int, "
                               "?wr_highest_offset: int, rd_merged: int, wr_merged: int, flush_merged: int, unmap_merged: int, ?idle_time_ns: int, "
                               "failed_rd_operations: int, failed_wr_operations: int, failed_flush_operations: int, failed_unmap_operations: int, "
                               "invalid_rd_operations: int, invalid_wr_operations: int, invalid_flush_operations: int, invalid_unmap_operations: int, "
                               "account_invalid: bool, account_failed: bool, timed_stats: [any]"),
    OBJECT("BlockStats", "?device: str, ?qdev: str, ?node-name: str, stats: BlockDeviceStats"),
    OPEN("BlockdevCreateOptions", "driver: str"),
    ENUM("MirrorSyncMode", "top full none incremental bitmap"),
    ENUM("BitmapSyncMode", "on-success never always"),
    OBJECT("BlockdevBackup", "?job-id: str, device: str, target: str, sync: MirrorSyncMode, ?bitmap: str, ?bitmap-mode: BitmapSyncMode, ?speed: int, ?auto-finalize: bool, "
                             "?auto-dismiss: bool"),
    OBJECT("DriveMirror", "?job-id: str, device: str, target: str, ?format: str, ?node-name: str, sync: MirrorSyncMode, ?mode: NewImageMode, ?speed: int, ?auto-finalize: bool, "
                          "?auto-dismiss: bool"),
    OBJECT("DriveBackup", "?job-id: str, device: str, target: str, ?format: str, sync: MirrorSyncMode, ?mode: NewImageMode, ?bitmap: str, ?bitmap-mode: BitmapSyncMode, ?speed: int, "
                          "?auto-finalize: bool, ?auto-dismiss: bool"),
    OBJECT("BlockDirtyBitmap", "node: str, name: str"),
    OBJECT("BlockDirtyBitmapAdd", "node: str, name: str, ?granularity: int, ?persistent: bool, ?disabled: bool"),
    ALTERNATE("BlockDirtyBitmapOrStr", "str BlockDirtyBitmap"),
    OBJECT("BlockDirtyBitmapMerge", "node: str, target: str, bitmaps: [BlockDirtyBitmapOrStr]"),
    OBJECT("BlockDirtyInfo", "?name: str, count: int, granularity: int, recording: bool, busy: bool, persistent: bool, ?inconsistent: bool"),
    OBJECT("BlockDirtyBitmapWrapper", "data: BlockDirtyBitmap"),
    OBJECT("BlockDirtyBitmapAddWrapper", "data: BlockDirtyBitmapAdd"),
    OBJECT("BlockDirtyBitmapMergeWrapper", "data: BlockDirtyBitmapMerge"),
    OBJECT("BlockdevBackupWrapper", "data: BlockdevBackup"),
    OBJECT("BlockdevSnapshot", "node: str, overlay: str"),
    OBJECT("BlockdevSnapshotWrapper", "data: BlockdevSnapshot"),
    ENUM("NewImageMode", "existing absolute-paths"),
    OBJECT("BlockdevSnapshotSync", "?device: str, ?node-name: str, snapshot-file: str, ?snapshot-node-name: str, ?format: str, ?mode: NewImageMode"),
    OBJECT("BlockdevSnapshotInternal", "device: str, name: str"),
    OBJECT("BlockdevSnapshotSyncWrapper", "data: BlockdevSnapshotSync"),
    OBJECT("BlockdevSnapshotInternalWrapper", "data: BlockdevSnapshotInternal"),
    OBJECT("SnapshotInfo", "id: str, name: str, vm-state-size: int, date-sec: int, date-nsec: int, vm-clock-sec: int, vm-clock-nsec: int, ?icount: int"),
    ENUM("TransactionActionKind", "blockdev-snapshot blockdev-snapshot-sync blockdev-snapshot-internal-sync blockdev-backup block-dirty-bitmap-add block-dirty-bitmap-remove block-dirty-bitmap-clear block-dirty-bitmap-enable "
                                  "block-dirty-bitmap-disable block-dirty-bitmap-merge"),
    UNION("TransactionAction", "type: TransactionActionKind", "type",
          "blockdev-snapshot: BlockdevSnapshotWrapper, blockdev-snapshot-sync: BlockdevSnapshotSyncWrapper, "
          "blockdev-snapshot-internal-sync: BlockdevSnapshotInternalWrapper, blockdev-backup: BlockdevBackupWrapper, block-dirty-bitmap-add: BlockDirtyBitmapAddWrapper, "
          "block-dirty-bitmap-remove: BlockDirtyBitmapWrapper, block-dirty-bitmap-clear: BlockDirtyBitmapWrapper, block-dirty-bitmap-enable: BlockDirtyBitmapWrapper, "
          "block-dirty-bitmap-disable: BlockDirtyBitmapWrapper, block-dirty-bitmap-merge: BlockDirtyBitmapMergeWrapper"),
    OBJECT("JobInfo", "id: str, type: JobType, status: JobStatus, current-progress: int, total-progress: int, ?error: str"),
    OBJECT("BlockJobInfo", "type: JobType, device: str, len: int, offset: int, busy: bool, paused: bool, speed: int, io-status: BlockDeviceIoStatus, ready: bool, "
                           "status: JobStatus, auto-finalize: bool, auto-dismiss: bool, ?error: str"),
    ENUM("BlockdevChangeReadOnlyMode", "retain read-only read-write"),
    OPEN("BlockdevOptions", "driver: str, ?node-name: str"), /* the image layer checks those of each driver */

    /* images that others have */
    ENUM("SocketAddressType", "inet unix fd"),
    OBJECT("InetSocketAddress", "host: str, port: str"),
    OBJECT("UnixSocketAddress", "path: str"),
    OBJECT("String", "str: str"),
    OBJECT("InetSocketAddressWrapper", "data: InetSocketAddress"),
    OBJECT("UnixSocketAddressWrapper", "data: UnixSocketAddress"),
    OBJECT("StringWrapper", "data: String"),
    UNION("SocketAddressLegacy", "type: SocketAddressType", "type", "inet: InetSocketAddressWrapper, unix: UnixSocketAddressWrapper, fd: StringWrapper"),
    ENUM("BlockExportRemoveMode", "safe hard"),
    ENUM("BlockExportType", "nbd"),
    OBJECT("BlockExportOptionsNbd", "?name: str, ?description: str, ?bitmaps: [BlockDirtyBitmapOrStr], ?allocation-depth: bool"),
    UNION("BlockExportOptions", "type: BlockExportType, id: str, node-name: str, ?writable: bool, ?writethrough: bool, ?iothread: str, ?fixed-iothread: bool", "type", "nbd: BlockExportOptionsNbd"),
    OBJECT("BlockExportInfo", "id: str, type: BlockExportType, node-name: str, shutting-down: bool"),

    /* screens */
    OBJECT("VncInfo", "enabled: bool, ?host: str, ?family: NetworkAddressFamily, ?service: str, ?auth: str, ?clients: [VncClientInfo]"),
    ENUM("DisplayProtocol", "vnc spice"),
    ENUM("SetPasswordAction", "keep"),

    ENUM("ImageFormat", "ppm png"),

    /* keys and pointers */
    ENUM("KeyValueKind", "number qcode"),
    OBJECT("KeyValueNumber", "data: int"),
    OBJECT("KeyValueCode", "data: str"),
    UNION("KeyValue", "type: KeyValueKind", "type", "number: KeyValueNumber, qcode: KeyValueCode"),
    ENUM("InputEventKind", "key btn rel abs"),
    ENUM("InputButton", "left middle right wheel-up wheel-down side extra wheel-left wheel-right"),
    ENUM("InputAxis", "x y"),
    OBJECT("InputKeyEvent", "key: KeyValue, down: bool"),
    OBJECT("InputBtnEvent", "button: InputButton, down: bool"),
    OBJECT("InputMoveEvent", "axis: InputAxis, value: int"),
    OBJECT("InputKeyEventWrapper", "data: InputKeyEvent"),
    OBJECT("InputBtnEventWrapper", "data: InputBtnEvent"),
    OBJECT("InputMoveEventWrapper", "data: InputMoveEvent"),
    UNION("InputEvent", "type: InputEventKind", "type",
          "key: InputKeyEventWrapper, btn: InputBtnEventWrapper, rel: InputMoveEventWrapper, abs: InputMoveEventWrapper"),
    OBJECT("MouseInfo", "name: str, index: int, current: bool, absolute: bool"),

    /* networks: hostnet.h checks the options of each kind */
    OPEN("Netdev", "type: str, id: str"),

    ENUM("RxState", "normal none all"),
    OBJECT("RxFilterInfo", "name: str, promiscuous: bool, multicast: RxState, unicast: RxState, vlan: RxState, broadcast-allowed: bool, multicast-overflow: bool, "
                           "unicast-overflow: bool, main-mac: str, vlan-table: [int], unicast-table: [str], multicast-table: [str]"),

    /* descriptors that come over the monitor's socket */
    OBJECT("AddfdInfo", "fdset-id: int, fd: int"),
    OBJECT("FdsetFdInfo", "fd: int, ?opaque: str"),
    OBJECT("FdsetInfo", "fdset-id: int, fds: [FdsetFdInfo]"),

    /* memory, PCI, lines */
    OBJECT("MemoryInfo", "base-memory: int, ?plugged-memory: int"),
    OBJECT("BalloonInfo", "actual: int"),
    OBJECT("ChardevInfo", "label: str, filename: str, frontend-open: bool"),
    ENUM("DataFormat", "utf8 base64"),
    ENUM("ChardevBackendKind", "file pty null socket stdio udp ringbuf memory"),
    OBJECT("ChardevCommon", "?logfile: str, ?logappend: bool"),
    OBJECT("ChardevFile", "?logfile: str, ?logappend: bool, ?in: str, out: str, ?append: bool"),
    OBJECT("ChardevStdio", "?logfile: str, ?logappend: bool, ?signal: bool"),
    OBJECT("ChardevSocket", "?logfile: str, ?logappend: bool, addr: SocketAddressLegacy, ?server: bool, ?wait: bool, ?telnet: bool"),
    OBJECT("ChardevUdp", "?logfile: str, ?logappend: bool, remote: SocketAddressLegacy, ?local: SocketAddressLegacy"),
    OBJECT("ChardevRingbuf", "?logfile: str, ?logappend: bool, ?size: int"),
    OBJECT("ChardevCommonWrapper", "data: ChardevCommon"),
    OBJECT("ChardevFileWrapper", "data: ChardevFile"),
    OBJECT("ChardevStdioWrapper", "data: ChardevStdio"),
    OBJECT("ChardevSocketWrapper", "data: ChardevSocket"),
    OBJECT("ChardevUdpWrapper", "data: ChardevUdp"),
    OBJECT("ChardevRingbufWrapper", "data: ChardevRingbuf"),
    UNION("ChardevBackend", "type: ChardevBackendKind", "type",
          "file: ChardevFileWrapper, pty: ChardevCommonWrapper, null: ChardevCommonWrapper, socket: ChardevSocketWrapper, stdio: ChardevStdioWrapper, udp: ChardevUdpWrapper, "
          "ringbuf: ChardevRingbufWrapper, memory: ChardevRingbufWrapper"),
    OBJECT("ChardevReturn", "?pty: str"),
    OBJECT("ChardevBackendInfo", "name: str"),
    OBJECT("PciMemoryRegion", "bar: int, type: str, address: int, size: int, ?prefetch: bool, ?mem_type_64: bool"),
    OBJECT("PciDeviceClass", "?desc: str, class: int"),
    OBJECT("PciDeviceId", "device: int, vendor: int, ?subsystem: int, ?subsystem-vendor: int"),
    OBJECT("PciDeviceInfo", "bus: int, slot: int, function: int, class_info: PciDeviceClass, id: PciDeviceId, ?irq: int, irq_pin: int, qdev_id: str, "
                            "regions: [PciMemoryRegion]"),
    OBJECT("PciInfo", "bus: int, devices: [PciDeviceInfo]"),
    OBJECT("Memdev", "?id: str, size: int"),
    OBJECT("MemoryDeviceInfo", "type: str"),
    { .name = NULL },
};
