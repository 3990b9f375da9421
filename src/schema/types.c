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
    ENUM("IoOperationType", "read write"),
    ENUM("BlockErrorAction", "ignore report stop"),
    ENUM("JobType", "commit stream mirror backup create amend"),
    ENUM("JobStatus", "undefined created running paused ready standby waiting pending aborting concluded null"),
    ENUM("NetworkAddressFamily", "ipv4 ipv6 unix vsock unknown"),
    OBJECT("VncBasicInfo", "host: str, service: str, family: NetworkAddressFamily, websocket: bool"),
    OBJECT("VncServerInfo", "host: str, service: str, family: NetworkAddressFamily, websocket: bool, ?auth: str"),
    OBJECT("VncClientInfo", "host: str, service: str, family: NetworkAddressFamily, websocket: bool, ?x509_dname: str, ?sasl_username: str"),
    { .name = NULL },
};
