/*
 * commands_fd.c - descriptors that come over the monitor's socket: by a name, for the next command that says it (getfd), or in a
 * numbered set, for paths as /dev/fdset/N (add-fd).
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/monitor/inside.h"

static int take_passed(MonitorCall *call, GError **err)
{
    int fd = monitor_take_descriptor(call->monitor);
    if (fd < 0)
        error_set(err, ERR_INVALID, "No file descriptor supplied via SCM_RIGHTS");
    return fd;
}

/* ---- names */

static bool getfd(MonitorCall *call, GError **err)
{
    const char *name = arg_text(call, "fdname");
    int fd = take_passed(call, err);
    if (fd < 0)
        return false;
    if (!*name || g_ascii_isdigit(*name)) {
        close(fd);
        return error_set(err, ERR_INVALID, "Parameter 'fdname' expects a name not starting with a digit");
    }
    g_hash_table_replace(call->monitor->fds, g_strdup(name), GINT_TO_POINTER(fd)); /* what had that name is closed */
    return true;
}

static bool closefd(MonitorCall *call, GError **err)
{
    const char *name = arg_text(call, "fdname");
    return g_hash_table_remove(call->monitor->fds, name) || error_set(err, ERR_NOT_FOUND, "File descriptor named '%s' not found", name);
}

int monitor_take_named(Monitor *m, const char *name)
{
    void *key, *fd;
    if (!g_hash_table_steal_extended(m->fds, name, &key, &fd))
        return -1;
    g_free(key);
    return GPOINTER_TO_INT(fd);
}

/* All of them are there before the first is taken. */
static bool all_known(Monitor *m, char **names, GError **err)
{
    for (unsigned i = 0; names[i]; i++)
        if (!g_ascii_isdigit(*names[i]) && !g_hash_table_contains(m->fds, names[i]))
            return error_set(err, ERR_NOT_FOUND, "File descriptor named '%s' has not been found", names[i]);
    return true;
}

char *monitor_descriptor_numbers(Monitor *m, const char *names, GError **err)
{
    g_auto(GStrv) words = g_strsplit(names, ":", -1);
    if (!all_known(m, words, err))
        return NULL;
    for (unsigned i = 0; words[i]; i++) {
        int fd = g_ascii_isdigit(*words[i]) ? -1 : monitor_take_named(m, words[i]);
        if (fd < 0)
            continue;
        g_free(words[i]);
        words[i] = g_strdup_printf("%d", fd);
    }
    return g_strjoinv(":", words);
}

/* ---- sets: of -add-fd, too */

static GArray *sets_of(MonitorCall *call) { return call->vm->config->fds; }

char *vm_set_path(Vm *vm, const char *path, int access, GError **err)
{
    static const char prefix[] = "/dev/fdset/";
    if (!g_str_has_prefix(path, prefix))
        return g_strdup(path);
    int64_t set = g_ascii_strtoll(path + strlen(prefix), NULL, 10);
    for (unsigned i = 0; i < vm->config->fds->len; i++) {
        const FdConfig *f = &g_array_index(vm->config->fds, FdConfig, i);
        int has = fcntl(f->fd, F_GETFL) & O_ACCMODE;
        if (f->set == set && (access == O_RDONLY || has == access || has == O_RDWR))
            return g_strdup_printf("/proc/self/fd/%d", f->fd);
    }
    error_set(err, ERR_NOT_FOUND, "cannot open '%s': no descriptor of that set may be %s; add-fd gives it one", path, access == O_RDONLY ? "read" : "written");
    return NULL;
}

static bool set_exists(const GArray *fds, int64_t set)
{
    for (unsigned i = 0; i < fds->len; i++)
        if (g_array_index(fds, FdConfig, i).set == set)
            return true;
    return false;
}

static bool add_fd(MonitorCall *call, GError **err)
{
    GArray *fds = sets_of(call);
    int64_t set = arg_int(call, "fdset-id", -1);
    bool chosen = json_object_has_member(call->args, "fdset-id");
    int fd = take_passed(call, err);
    if (fd < 0)
        return false;
    if (chosen && (set < 0 || set > INT32_MAX)) {
        close(fd);
        return error_set(err, ERR_INVALID, "Parameter 'fdset-id' expects a value from 0 to %d", INT32_MAX);
    }
    for (set = chosen ? set : 0; !chosen && set_exists(fds, set);)
        set++;
    FdConfig f = { set, fd, g_strdup(arg_text(call, "opaque")) };
    g_array_append_val(fds, f);
    JsonObject *o = json_object_new();
    json_object_set_int_member(o, "fdset-id", set);
    json_object_set_int_member(o, "fd", fd);
    return return_object(call, o);
}

static bool remove_fd(MonitorCall *call, GError **err)
{
    GArray *fds = sets_of(call);
    int64_t set = arg_int(call, "fdset-id", -1), fd = arg_int(call, "fd", -1);
    unsigned before = fds->len;
    for (unsigned i = fds->len; i-- > 0;) {
        FdConfig *f = &g_array_index(fds, FdConfig, i);
        if (f->set != set || (fd >= 0 && f->fd != fd))
            continue;
        close(f->fd);
        g_array_remove_index(fds, i);
    }
    if (fds->len != before)
        return true;
    return fd < 0 ? error_set(err, ERR_NOT_FOUND, "File descriptor named 'fdset-id:%" G_GINT64_FORMAT "' not found", set)
                  : error_set(err, ERR_NOT_FOUND, "File descriptor named 'fdset-id:%" G_GINT64_FORMAT ", fd:%" G_GINT64_FORMAT "' not found", set, fd);
}

static JsonObject *describe(const FdConfig *f)
{
    JsonObject *o = json_object_new();
    json_object_set_int_member(o, "fd", f->fd);
    if (f->opaque)
        json_object_set_string_member(o, "opaque", f->opaque);
    return o;
}

static JsonObject *describe_set(const GArray *fds, unsigned first)
{
    unsigned set = g_array_index(fds, FdConfig, first).set;
    JsonObject *o = json_object_new();
    JsonArray *list = json_array_new();
    for (unsigned i = first; i < fds->len; i++)
        if (g_array_index(fds, FdConfig, i).set == set)
            json_array_add_object_element(list, describe(&g_array_index(fds, FdConfig, i)));
    json_object_set_int_member(o, "fdset-id", set);
    json_object_set_array_member(o, "fds", list);
    return o;
}

static bool is_first(const GArray *fds, unsigned i)
{
    for (unsigned j = 0; j < i; j++)
        if (g_array_index(fds, FdConfig, j).set == g_array_index(fds, FdConfig, i).set)
            return false;
    return true;
}

static bool query_fdsets(MonitorCall *call, GError **err)
{
    JsonArray *a = json_array_new();
    for (unsigned i = 0; i < sets_of(call)->len; i++)
        if (is_first(sets_of(call), i))
            json_array_add_object_element(a, describe_set(sets_of(call), i));
    return return_array(call, a);
}

const MonitorCommand fd_commands[] = {
    { "getfd", NULL, "fdname: str", .doc = "name the descriptor that comes over the socket with this, for a command to say", .run = getfd },
    { "closefd", NULL, "fdname: str", .doc = "close a descriptor that getfd has named", .run = closefd },
    { "add-fd", NULL, "?fdset-id: int, ?opaque: str", "AddfdInfo", .doc = "put the descriptor that comes with this into a set: /dev/fdset/ID", .run = add_fd,
      .early = true },
    { "remove-fd", NULL, "fdset-id: int, ?fd: int", .doc = "take one descriptor of a set, or all, away", .run = remove_fd, .early = true },
    { "query-fdsets", NULL, .ret = "[FdsetInfo]", .doc = "sets of descriptors", .run = query_fdsets, .early = true },
    { NULL },
};
