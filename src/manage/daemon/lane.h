#pragma once
#include <gio/gio.h>
#include <stdbool.h>
/*
 * lane.h - jobs of one object, one at a time and in their order; lanes go on beside each other.
 *
 * A job's begin() and done() run on the main thread, run() on a worker.  State belongs to the main thread: begin() looks
 * at it and copies what run() needs, done() publishes what came of it.  So whoever only reads never waits.
 */
typedef struct Lane Lane;
typedef struct Lanes Lanes; /* all of a daemon */
typedef struct Job Job;

typedef struct JobType {
    const char *name;                      /* what a waiting client is told */
    bool (*begin)(Job *j, GError **err);   /* may be NULL; false: done() follows with the error */
    bool (*run)(Job *j, GError **err);     /* may be NULL: nothing to do beside the main thread */
    void (*done)(Job *j, GError *err);     /* err NULL: it went well; frees what `data` holds */
} JobType;

struct Job {
    const JobType *type;
    void *data;
    Lane *lane;
    GCancellable *cancel;
    gint64 queued_us, started_us; /* monotonic; started 0: it waits */
    GError *error;
};

Lanes *lanes_new(void);
void lanes_free(Lanes *all); /* after lanes_end() and lane_free() of each */
/* Cancels the jobs at work and refuses those that wait; returns when no worker is left.  What done() does is done. */
void lanes_end(Lanes *all);

Lane *lane_new(Lanes *all); /* NULL: nobody will ask for its end */
void lane_free(Lane *l); /* when the job at work has ended; those that wait end with an error */
Job *lane_push(Lane *l, const JobType *type, void *data); /* valid until its done() */
/* The job at work, or NULL. */
const Job *lane_current(const Lane *l);
unsigned lane_waiting(const Lane *l);
