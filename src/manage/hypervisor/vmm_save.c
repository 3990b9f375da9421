/* vmm_save.c - a machine's state to a descriptor and from one, by QMP's migrate. */
#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/vmm_inside.h"

enum { POLL_US = 20000 };
static const char name[] = "saved"; /* of the descriptor */

/* One answer of query-migrate: true while it goes on; else *ok says how it ended. */
static bool goes_on(HvDomain *d, bool *ok, GError **err)
{
    g_autoptr(JsonNode) answer = NULL;
    *ok = false;
    if (!qmp_execute(d->qmp, "query-migrate", NULL, &answer, err))
        return false;
    JsonObject *o = JSON_NODE_HOLDS_OBJECT(answer) ? json_node_get_object(answer) : NULL;
    const char *status = o ? qmp_text(o, "status", "") : "";
    *ok = !strcmp(status, "completed");
    if (*ok)
        return false;
    if (strcmp(status, "failed") && strcmp(status, "cancelled"))
        return true;
    error_set(err, ERR_IO, "%s", qmp_text(o, "error-desc", "the machine says that it failed, and not why"));
    return false;
}

static bool wait_for_end(HvDomain *d, GCancellable *cancel, GError **err)
{
    bool ok, asked = false;
    while (goes_on(d, &ok, err)) {
        if (!asked && g_cancellable_is_cancelled(cancel))
            asked = qmp_execute(d->qmp, "migrate_cancel", NULL, NULL, NULL);
        g_usleep(POLL_US);
    }
    return ok;
}

static bool hand_over(HvDomain *d, int fd, GError **err)
{
    g_autofree char *text = g_strdup_printf("{\"fdname\": \"%s\"}", name);
    return qmp_execute_fd(d->qmp, fd, "getfd", json_from_string(text, NULL), NULL, err);
}

bool vmm_save(HvDomain *d, int fd, GCancellable *cancel, GError **err)
{
    qmp_executef(d->qmp, NULL, NULL, "migrate-set-parameters", "{\"max-bandwidth\": %" G_GINT64_FORMAT "}", (gint64)1 << 50); /* QEMU's own bound is for networks */
    return hand_over(d, fd, err) && qmp_executef(d->qmp, NULL, err, "migrate", "{\"uri\": \"fd:%s\"}", name) && wait_for_end(d, cancel, err);
}

/* QEMU 7.2 ends where the state is no good, and says why to nobody; atoll-vm stays until it has been asked. */
bool vmm_load(HvDomain *d, int fd, GError **err)
{
    if (!hand_over(d, fd, err))
        return false;
    bool ok = qmp_executef(d->qmp, NULL, NULL, "migrate-incoming", "{\"uri\": \"fd:%s\", \"exit-on-error\": false}", name) ||
              qmp_executef(d->qmp, NULL, err, "migrate-incoming", "{\"uri\": \"fd:%s\"}", name);
    ok = ok && wait_for_end(d, NULL, err);
    if (!ok)
        g_prefix_error(err, "the saved state of domain '%s' cannot be taken: ", d->name);
    return ok;
}
