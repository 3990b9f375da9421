#pragma once
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
/*
 * qmp.h - a client of a machine's monitor (QMP, QEMU's docs/interop/qmp-spec).  What the machine sends is read on the main
 * thread; commands are given on workers, which wait.  A machine that answers nonsense, or nothing, costs its caller an error
 * and no other machine anything.
 */
typedef struct Qmp Qmp;
enum { QMP_TIMEOUT_S = 30, QMP_LINE_MAX = 64 << 20 /* bytes */ };

typedef struct QmpListener {
    void (*event)(const char *name, JsonObject *data, void *opaque); /* data: never NULL; on the main thread */
    void (*closed)(void *opaque);                                    /* once; on the main thread */
} QmpListener;

/* Connects to a unix socket, takes the greeting and negotiates.  On a worker. */
Qmp *qmp_connect(const char *path, const QmpListener *l, void *opaque, GError **err);
/* On any thread, while no command waits; after it the listener hears no more. */
void qmp_free(Qmp *q);
/* A member of what a machine said, or `otherwise` where it is not there or of another kind: machines can say anything. */
const char *qmp_text(JsonObject *o, const char *name, const char *otherwise);
int64_t qmp_number(JsonObject *o, const char *name, int64_t otherwise);
bool qmp_flag(JsonObject *o, const char *name, bool otherwise);
JsonObject *qmp_member(JsonObject *o, const char *name); /* an object, or NULL; `o` may be NULL */
guint qmp_count(JsonNode *answer);                       /* of an array; of anything else 0 */
JsonObject *qmp_element(JsonNode *answer, guint i);      /* NULL: no object */
/* q NULL: an error. `args` (may be NULL) is taken.  ret NULL: not wanted; else the caller frees it.  On a worker. */
bool qmp_execute(Qmp *q, const char *command, JsonNode *args, JsonNode **ret, GError **err);
/* The same with a descriptor, which stays the caller's. */
bool qmp_execute_fd(Qmp *q, int fd, const char *command, JsonNode *args, JsonNode **ret, GError **err);
/* The same with arguments as JSON in printf's way; values must need no escaping. */
bool qmp_executef(Qmp *q, JsonNode **ret, GError **err, const char *command, const char *format, ...) G_GNUC_PRINTF(5, 6);
