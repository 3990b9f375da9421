#pragma once
#include "manage/daemon/daemon_inside.h"
/*
 * task.h - a call that wants something of a domain, as a job in its lane.
 *
 * begin() and done() run on the main thread and may look at the domain; run() is on a worker and has `data`, which begin()
 * filled, and the machine.  The call is answered with `reply`, or with the error of whichever failed.  All three are optional.
 */
typedef struct Task Task;

typedef struct TaskType {
    const char *name;                    /* what who waits is told */
    bool running;                        /* the domain must run: `driver` and `hv` are set */
    bool query;                          /* only asks: waits for no job that changes something */
    bool agent;                          /* asks the guest's agent, and not the machine: in a lane of its own */
    bool (*begin)(Task *t, GError **err);
    bool (*run)(Task *t, GError **err);
    bool (*done)(Task *t, GError **err); /* after a run() that went well */
    void (*failed)(Task *t);             /* after one that did not */
    void (*free)(void *data);            /* NULL: g_free() */
} TaskType;

struct Task {
    const TaskType *type;
    ManagedDomain *domain;
    RpcCall *call;          /* may be NULL */
    const HvDriver *driver;
    HvDomain *hv;
    void *data;
    GVariant *reply;        /* floating, or NULL */
    JobType job;
    Job *of;                /* the job at work */
};

void task_push(ManagedDomain *d, RpcCall *call, const TaskType *type, void *data);
GCancellable *task_cancel(const Task *t); /* of its job */
/* The driver has no such verb. */
bool task_unsupported(const Task *t, const char *what, GError **err);
/* Answers by the error, or with nothing. */
void reply_error(RpcCall *call, const GError *err);
/* A document was refused. */
void reply_bad_xml(RpcCall *call, const GError *err);
