/* lane.c - jobs in lanes. */
#include "manage/daemon/lane.h"

#include "base/error.h"

struct Lanes {
    GHashTable *at_work; /* jobs between their begin() and their done() */
    GMainContext *context;
    bool ending;
};

struct Lane {
    Lanes *all;
    GQueue waiting;
    Job *current;
    GMainContext *context;
    bool freed;
};

Lanes *lanes_new(void)
{
    Lanes *all = g_new0(Lanes, 1);
    all->at_work = g_hash_table_new(NULL, NULL);
    all->context = g_main_context_ref_thread_default();
    return all;
}

void lanes_free(Lanes *all)
{
    g_hash_table_unref(all->at_work);
    g_main_context_unref(all->context);
    g_free(all);
}

void lanes_end(Lanes *all)
{
    g_autoptr(GList) jobs = g_hash_table_get_keys(all->at_work);
    all->ending = true;
    for (GList *j = jobs; j; j = j->next)
        g_cancellable_cancel(((Job *)j->data)->cancel);
    while (g_hash_table_size(all->at_work))
        g_main_context_iteration(all->context, TRUE);
}

Lane *lane_new(Lanes *all)
{
    Lane *l = g_new0(Lane, 1);
    l->all = all;
    g_queue_init(&l->waiting);
    l->context = g_main_context_ref_thread_default();
    return l;
}

static void end_job(Job *j)
{
    j->type->done(j, j->error);
    g_clear_error(&j->error);
    g_object_unref(j->cancel);
    g_free(j);
}

static void free_lane(Lane *l)
{
    for (Job *j; (j = g_queue_pop_head(&l->waiting));) {
        error_set(&j->error, ERR_NOT_FOUND, "%s did not begin: its object is gone", j->type->name);
        end_job(j);
    }
    g_main_context_unref(l->context);
    g_free(l);
}

static void next(Lane *l);

static gboolean job_done(gpointer data)
{
    Job *j = data;
    Lane *l = j->lane;
    if (l->all)
        g_hash_table_remove(l->all->at_work, j);
    end_job(j); /* which may free the lane, and push */
    l->current = NULL;
    if (l->freed)
        free_lane(l);
    else
        next(l);
    return G_SOURCE_REMOVE;
}

/* Never at once, so that a job's maker has its pointer before done() comes. */
static void finish_on_main(Job *j)
{
    GSource *source = g_idle_source_new();
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, job_done, j, NULL);
    g_source_attach(source, j->lane->context);
    g_source_unref(source);
}

static void worker(GTask *task, gpointer source, gpointer data, GCancellable *cancel)
{
    Job *j = data;
    j->type->run(j, &j->error);
    finish_on_main(j);
}

static void next(Lane *l)
{
    Job *j = l->current ? NULL : g_queue_pop_head(&l->waiting);
    if (!j)
        return;
    l->current = j;
    if (l->all)
        g_hash_table_add(l->all->at_work, j);
    j->started_us = g_get_monotonic_time();
    if (l->all && l->all->ending)
        error_set(&j->error, ERR_BUSY, "%s did not begin: the daemon ends", j->type->name);
    else if (g_cancellable_is_cancelled(j->cancel))
        error_set(&j->error, ERR_BUSY, "%s was cancelled before it began", j->type->name);
    else if (!j->type->begin || j->type->begin(j, &j->error))
        if (j->type->run) {
            g_autoptr(GTask) task = g_task_new(NULL, NULL, NULL, NULL);
            g_task_set_task_data(task, j, NULL);
            g_task_run_in_thread(task, worker);
            return;
        }
    finish_on_main(j);
}

Job *lane_push(Lane *l, const JobType *type, void *data)
{
    Job *j = g_new0(Job, 1);
    *j = (Job){ .type = type, .data = data, .lane = l, .cancel = g_cancellable_new(), .queued_us = g_get_monotonic_time() };
    g_queue_push_tail(&l->waiting, j);
    next(l);
    return j;
}

const Job *lane_current(const Lane *l) { return l->current; }
unsigned lane_waiting(const Lane *l) { return l->waiting.length; }

void lane_free(Lane *l)
{
    if (!l)
        return;
    l->freed = true;
    if (!l->current)
        free_lane(l);
}
