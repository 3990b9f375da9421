#pragma once
#include "schema/qapi.h"
#include "vmm/monitor/command.h"
#include "vmm/monitor/json_stream.h"
/* inside.h - what the files of the monitor share. */
struct Monitors {
    Vm *vm;
    QapiSchema *schema;
    GPtrArray *list; /* Monitor */
};

struct Monitor {
    Monitors *all;
    struct Chardev *chardev;
    MonitorMode mode;
    JsonStream stream; /* QMP */
    bool negotiated;
    GString *line;     /* typed so far */
    bool escape;       /* an escape sequence of the terminal is under way */
};

void monitor_print(Monitor *m, const char *text);
void monitor_send(Monitor *m, JsonNode *node); /* takes it over */

/* qmp.c */
void qmp_open(Monitor *m);
void qmp_request(void *monitor, const char *text, const char *problem);
/* Checks the arguments and runs the command; the result is the caller's. */
bool qmp_run(Monitor *m, const MonitorCommand *c, JsonObject *args, JsonNode **ret, GError **err);

/* line.c */
void line_open(Monitor *m);
void line_receive(Monitor *m, const char *data, size_t n);
