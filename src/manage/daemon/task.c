/* task.c - calls as jobs in a domain's lane. */
#include "manage/daemon/task.h"

static bool task_begin(Job *j, GError **err)
{
    Task *t = j->data;
    t->of = j;
    t->driver = t->domain->driver;
    t->hv = t->domain->hv;
    if (t->type->running && (!t->hv || !domain_active(t->domain)))
        return rpc_error_set(err, RPC_ERR_OPERATION_INVALID, "domain '%s' is not running", t->domain->name);
    return !t->type->begin || t->type->begin(t, err);
}

static bool task_run(Job *j, GError **err)
{
    Task *t = j->data;
    return t->type->run(t, err);
}

static void task_done(Job *j, GError *failed)
{
    Task *t = j->data;
    g_autoptr(GError) err = NULL;
    if (failed && t->type->failed)
        t->type->failed(t);
    if (!failed && t->type->done)
        t->type->done(t, &err);
    if (t->call && (failed || err))
        rpc_fail_error(t->call, failed ? failed : err);
    else if (t->call)
        rpc_reply(t->call, g_steal_pointer(&t->reply));
    (t->type->free ? t->type->free : g_free)(t->data);
    domain_unref(t->domain);
    g_free(t);
}

void task_push(ManagedDomain *d, RpcCall *call, const TaskType *type, void *data)
{
    Task *t = g_new0(Task, 1);
    *t = (Task){ .type = type, .domain = domain_ref(d), .call = call, .data = data };
    t->job = (JobType){ type->name, task_begin, type->run ? task_run : NULL, task_done };
    lane_push(type->agent ? d->agent : type->query ? d->queries : d->lane, &t->job, t);
}

GCancellable *task_cancel(const Task *t) { return t->of->cancel; }

bool task_unsupported(const Task *t, const char *what, GError **err)
{
    return rpc_error_set(err, RPC_ERR_NO_SUPPORT, "machines of the driver '%s' cannot %s", t->driver->name, what);
}

void reply_error(RpcCall *call, const GError *err)
{
    if (err)
        rpc_fail_error(call, err);
    else
        rpc_reply(call, NULL);
}

void reply_bad_xml(RpcCall *call, const GError *err) { rpc_fail(call, err->domain == RPC_ERROR ? (RpcError)err->code : RPC_ERR_XML_ERROR, "%s", err->message); }
