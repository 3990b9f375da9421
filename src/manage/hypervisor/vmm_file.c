/*
 * vmm_file.c - files for a machine that runs as somebody else: the daemon opens them and hands descriptors over, so that their owner
 * and mode stay as they are.
 *
 * The sets that descriptors are put into go when the uppermost node is there: atoll-vm opens what lies below it only then, and copies.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/hypervisor/vmm_inside.h"

/* A number for a set that nobody else uses. */
static bool put_into_set(HvDomain *d, int fd, int64_t *ret_set, GError **err)
{
    g_autoptr(JsonNode) answer = NULL;
    if (!qmp_execute_fd(d->qmp, fd, "add-fd", NULL, &answer, err))
        return false;
    *ret_set = JSON_NODE_HOLDS_OBJECT(answer) ? qmp_number(json_node_get_object(answer), "fdset-id", -1) : -1;
    return *ret_set >= 0 || error_set(err, ERR_IO, "add-fd: the machine answered nonsense");
}

/* *ret_set -1: the node has no file of this host, or the machine opens it itself. */
static bool hand_over(HvDomain *d, JsonObject *node, int64_t *ret_set, GError **err)
{
    const char *driver = qmp_text(node, "driver", ""), *path = qmp_text(node, "filename", NULL);
    *ret_set = -1;
    if (!d->host->machine_user || !path || (strcmp(driver, "file") && strncmp(driver, "host_", strlen("host_"))))
        return true;
    bool direct = qmp_flag(qmp_member(node, "cache"), "direct", false), readonly = qmp_flag(node, "read-only", false);
    int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | (direct ? O_DIRECT : 0) | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot open '%s' for domain '%s'", path, d->name);
    bool ok = put_into_set(d, fd, ret_set, err);
    close(fd);
    g_autofree char *name = g_strdup_printf("/dev/fdset/%" G_GINT64_FORMAT, *ret_set);
    if (ok)
        json_object_set_string_member(node, "filename", name);
    return ok;
}

static bool add_node(HvDomain *d, const char *json, int64_t *ret_set, GError **err)
{
    JsonNode *args = json_from_string(json, err);
    if (args && hand_over(d, json_node_get_object(args), ret_set, err))
        return qmp_execute(d->qmp, "blockdev-add", args, NULL, err);
    g_clear_pointer(&args, json_node_unref);
    return false;
}

bool vmm_add_nodes(HvDomain *d, const GPtrArray *nodes, GError **err)
{
    g_autofree int64_t *sets = g_new(int64_t, nodes->len + 1);
    bool ok = true;
    guint done = 0;
    for (; ok && done < nodes->len; done++) {
        sets[done] = -1;
        ok = add_node(d, nodes->pdata[done], &sets[done], err);
    }
    for (guint i = 0; i < done; i++)
        if (sets[i] >= 0)
            qmp_executef(d->qmp, NULL, NULL, "remove-fd", "{\"fdset-id\": %" G_GINT64_FORMAT "}", sets[i]);
    return ok;
}
