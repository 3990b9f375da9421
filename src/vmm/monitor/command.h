#pragma once
#include <json-glib/json-glib.h>

#include "base/error.h"
#include "vmm/monitor/monitor.h"
/*
 * command.h - one command of the monitor: a row of a table in commands_*.c.  QMP's parser and schema, the lines that people
 * type, help and the manual come from it.
 *
 *     { "stop", "stop", .doc = "stand still", .run = stop },
 *     { "query-status", "info status", .ret = "StatusInfo", .doc = "is it running?", .run = query_status, .text = info_status },
 */
typedef struct MonitorCall {
    Vm *vm;
    Monitor *monitor;  /* who asks */
    JsonObject *args;  /* checked; never NULL */
    JsonNode *ret;     /* set by run where the row has a `ret`; else {} */
    GString *out;      /* what text prints */
} MonitorCall;

typedef bool MonitorHandler(MonitorCall *call, GError **err);

typedef struct MonitorCommand {
    const char *name;      /* of QMP; NULL: only typed */
    const char *line;      /* as typed: "info status", "system_reset", "quit|q"; NULL: only QMP */
    const char *args, *ret; /* types: schema/qapi.h */
    const char *line_args; /* if it is typed with other arguments: strings and numbers; the last, of type "rest", takes the rest of the line */
    const char *doc;
    const char *features;
    MonitorHandler *run, *text; /* text left out: run, and what it returns is printed */
    bool early;            /* also before there is a board (-machine none) */
} MonitorCommand;

/* Rows end with one that has neither name.  NULL-terminated: table.c. */
extern const MonitorCommand *const monitor_tables[];
const MonitorCommand *monitor_command_find(const char *qmp_name);

/* Arguments.  NULL, `def` where one is not given. */
const char *arg_text(const MonitorCall *call, const char *name);
int64_t arg_int(const MonitorCall *call, const char *name, int64_t def);
bool arg_bool(const MonitorCall *call, const char *name, bool def);
JsonObject *arg_object(const MonitorCall *call, const char *name);

/* Results. */
JsonNode *json_node_of(JsonObject *o); /* takes it over */
bool return_object(MonitorCall *call, JsonObject *o); /* takes it over; true */
bool return_array(MonitorCall *call, JsonArray *a);
bool return_text(MonitorCall *call, const char *text);
