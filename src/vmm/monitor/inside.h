#pragma once
#include "schema/qapi.h"
#include "vmm/monitor/command.h"
#include "vmm/monitor/json_stream.h"
/* inside.h - what the files of the monitor share. */
struct Monitors {
    Vm *vm;
    QapiSchema *schema;
    GPtrArray *list; /* Monitor */
    GPtrArray *held; /* const Key: pressed by send-key, */
    unsigned hold;   /* until this source lets go; 0: none */
    int64_t pointer[2]; /* where input-send-event has put it last */
};

struct Monitor {
    Monitors *all;
    struct Chardev *chardev;
    MonitorMode mode;
    JsonStream stream; /* QMP */
    bool negotiated;
    GString *line;     /* typed so far */
    bool escape;       /* an escape sequence of the terminal is under way */
    GHashTable *fds;   /* name to descriptor, of getfd */
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

/* commands_input.c */
void monitors_let_go(Monitors *all); /* of all keys that send-key holds */
