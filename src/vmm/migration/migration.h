#pragma once
#include "vmm/migration/channel.h"
#include "vmm/migration/contents.h"
/*
 * migration.h - a machine leaves this process, or comes into it: what `migrate` and -incoming start and query-migrate shows.
 *
 * The machine stands still while it goes: this is for saving it to a file and going on elsewhere, not yet for moving it while it
 * runs.  One way at a time; a thread moves the bytes, all else is on the main one.
 */
struct Monitor;

typedef enum MigrationStatus { MIGRATION_NONE, MIGRATION_SETUP, MIGRATION_ACTIVE, MIGRATION_COMPLETED, MIGRATION_FAILED, MIGRATION_CANCELLING, MIGRATION_CANCELLED } MigrationStatus;

typedef struct MigrationParameter { /* what migrate-set-parameters takes */
    const char *name;
    int64_t def, least, most;
    const char *doc;
} MigrationParameter;
enum { MIGRATION_MAX_BANDWIDTH, MIGRATION_DOWNTIME_LIMIT, MIGRATION_PARAMETERS };
extern const MigrationParameter migration_parameters[MIGRATION_PARAMETERS];

typedef struct Migration {
    Vm *vm;
    /* Settings. */
    bool events; /* tell of every change of status */
    int64_t parameter[MIGRATION_PARAMETERS];
    /* The one that is under way, or was last. */
    MigrationStatus status;
    bool incoming, stay; /* stay: this program does not end where a state that comes is no good */
    char *error; /* why it failed */
    int64_t began_us, ended_us;
    Channel channel;
    Stream stream;
    MemoryCount memory;
    GByteArray *state;
    VmStatus before; /* to which the machine goes back */
    _Atomic bool cancelled;
    GThread *thread;
    GError *failure; /* of the thread */
} Migration;

Migration *migration_of(Vm *vm); /* made when it is first asked for */
void migration_free(Migration *m); /* cancels; NULL is fine */
const char *migration_status_name(const Migration *m);
bool migration_under_way(const Vm *vm);
/* An error while the machine is on its way: what is not to change meanwhile asks. */
bool migration_allows(const Vm *vm, const char *what, GError **err);

bool migration_start(Vm *vm, struct Monitor *monitor, const char *uri, GError **err);
void migration_cancel(Vm *vm);

/* -incoming.  prepare: what the sandbox would not let us open later; begin: reads, and the machine goes on when it is complete. */
bool incoming_prepare(Vm *vm, GError **err);
void incoming_begin(Vm *vm);
/* After -incoming defer; stay: also when it is no good. */
bool incoming_open(Vm *vm, struct Monitor *monitor, const char *uri, bool stay, GError **err);
