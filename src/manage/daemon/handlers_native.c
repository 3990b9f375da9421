/* handlers_native.c - a definition as the command line that would run it; the bytes of a disk's image. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manage/daemon/change.h"
#include "manage/hypervisor/image.h"

/* ---- domxml-to-native qemu-argv */
typedef struct Native {
    RpcCall *call;
    const HvHost *host;
    Domain *def;
    char *text;
} Native;

static char *words(const LaunchPlan *p)
{
    GString *s = g_string_new(NULL);
    for (guint i = 0; i < p->argv->len; i++) {
        g_autofree char *quoted = g_shell_quote(p->argv->pdata[i]);
        bool plain = strspn(p->argv->pdata[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+-") == strlen(p->argv->pdata[i]);
        g_string_append_printf(s, "%s%s", !i ? "" : *(char *)p->argv->pdata[i] == '-' ? " \\\n" : " ", plain ? (char *)p->argv->pdata[i] : quoted);
    }
    g_string_append_c(s, '\n');
    return g_string_free(s, FALSE);
}

static bool native_run(Job *j, GError **err)
{
    Native *n = j->data;
    const HvDriver *v = hv_driver_for(n->def);
    LaunchPlan *plan = launch_plan_new();
    bool ok = v->plan ? (!v->prepare || v->prepare(n->host, n->def, err)) && v->plan(n->host, n->def, plan, err)
                      : rpc_error_set(err, RPC_ERR_NO_SUPPORT, "machines of the driver '%s' have no command line", v->name);
    if (ok)
        n->text = words(plan);
    launch_plan_free(plan);
    return ok;
}

static void native_done(Job *j, GError *err)
{
    Native *n = j->data;
    if (err)
        rpc_fail_error(n->call, err);
    else
        rpc_reply(n->call, g_variant_new("(s)", n->text));
    record_free(n->def);
    g_free(n->text);
    g_free(n);
}

static void to_native(Client *c, RpcCall *call, GVariant *args)
{
    static const JobType type = { "to-native", NULL, native_run, native_done };
    const char *format, *xml;
    g_autoptr(GError) err = NULL;
    g_variant_get(args, "(&s&su)", &format, &xml, NULL);
    if (strcmp(format, "qemu-argv")) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "unsupported config type '%s': 'qemu-argv' is what there is", format);
        return;
    }
    Domain *def = domain_read(c->realm, xml, &err);
    if (!def) {
        rpc_fail(call, RPC_ERR_XML_ERROR, "%s", err->message);
        return;
    }
    Native *n = g_new0(Native, 1);
    *n = (Native){ .call = call, .host = &c->daemon->host, .def = def };
    lane_push(c->daemon->lane, &type, n);
}

/* ---- bytes of a disk's image as they lie in its file */
enum { PEEK_MOST = 4 << 20 };

typedef struct Peek {
    char *name, *path;
    guint64 offset;
    guint bytes;
    guint8 *data;
    gsize read;
} Peek;

static void peek_free(void *data)
{
    Peek *k = data;
    g_free(k->name);
    g_free(k->path);
    g_free(k->data);
    g_free(k);
}

static bool peek_begin(Task *t, GError **err)
{
    Peek *k = t->data;
    const Disk *disk = disk_find(domain_now(t->domain), k->name);
    if (!disk || !image_path(disk))
        return rpc_error_set(err, RPC_ERR_INVALID_ARG, "domain '%s' has no disk '%s' with an image of this host", t->domain->name, k->name);
    k->path = g_strdup(image_path(disk));
    return !t->domain->realm->in_memory || rpc_error_set(err, RPC_ERR_NO_SUPPORT, "disks of test:///default hold no bytes");
}

static bool peek_run(Task *t, GError **err)
{
    Peek *k = t->data;
    int fd = open(k->path, O_RDONLY | O_CLOEXEC);
    k->data = g_malloc(k->bytes + 1);
    ssize_t n = fd < 0 ? -1 : pread(fd, k->data, k->bytes, k->offset);
    int status = n < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    k->read = MAX(n, 0);
    if (status)
        return error_set_errno(err, status, "cannot read '%s'", k->path);
    return k->read == k->bytes || rpc_error_set(err, RPC_ERR_INVALID_ARG, "'%s' has no %u bytes at %" G_GUINT64_FORMAT, k->path, k->bytes, k->offset);
}

static bool peek_done(Task *t, GError **err)
{
    const Peek *k = t->data;
    t->reply = g_variant_new("(@ay)", g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, k->data, k->read, 1));
    return true;
}

static void block_peek(Client *c, RpcCall *call, GVariant *args)
{
    static const TaskType type = { .name = "block-peek", .query = true, .begin = peek_begin, .run = peek_run, .done = peek_done, .free = peek_free };
    ManagedDomain *d = domain_of_call(c, call, args);
    if (!d)
        return;
    Peek *k = g_new0(Peek, 1);
    g_variant_get(args, "(@(ssi)stuu)", NULL, &k->name, &k->offset, &k->bytes, NULL);
    if (k->bytes > PEEK_MOST || k->offset > G_MAXINT64) {
        rpc_fail(call, RPC_ERR_INVALID_ARG, "%u bytes at %" G_GUINT64_FORMAT " are not what can be read at once: %d at most", k->bytes, k->offset, PEEK_MOST);
        peek_free(k);
        return;
    }
    task_push(d, call, &type, k);
}

const Handler native_handlers[] = { { "CONNECT_DOMAIN_XML_TO_NATIVE", to_native }, { "DOMAIN_BLOCK_PEEK", block_peek }, { NULL } };
