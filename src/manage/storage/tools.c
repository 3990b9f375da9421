/* tools.c - the host's tools as processes. */
#include "manage/storage/tools.h"

#include <signal.h>
#include <string.h>

#include "base/error.h"

/* Of several lines the last says why. */
static const char *last_line(char *text)
{
    char *end = text ? strrchr(g_strchomp(text), '\n') : NULL;
    return end ? end + 1 : text;
}

/* Asked, so that it takes its temporary files away; and it does not make its target behind our back. */
static void end_process(GSubprocess *process)
{
    g_subprocess_send_signal(process, SIGTERM);
    g_subprocess_wait(process, NULL, NULL);
}

bool tool_run(const char *const *argv, const char *input, char **ret_out, GCancellable *cancel, GError **err)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE |
                                                                        (input ? G_SUBPROCESS_FLAGS_STDIN_PIPE : 0));
    g_autofree char *out = NULL, *said = NULL;
    g_subprocess_launcher_setenv(launcher, "LC_ALL", "C.UTF-8", TRUE);
    g_autoptr(GSubprocess) process = g_subprocess_launcher_spawnv(launcher, argv, err);
    if (!process) {
        g_prefix_error(err, "'%s' is needed and cannot be started: ", argv[0]);
        return false;
    }
    bool ok = g_subprocess_communicate_utf8(process, input, cancel, &out, &said, err);
    if (!ok)
        end_process(process);
    else if (!(ok = g_subprocess_get_successful(process)))
        error_set(err, ERR_IO, "%s%s%s", g_str_has_suffix(argv[0], "atoll-img") ? "" : argv[0], g_str_has_suffix(argv[0], "atoll-img") ? "" : ": ",
                  said && *said && *last_line(said) ? last_line(said) : "failed without a word");
    if (ok && ret_out)
        *ret_out = g_steal_pointer(&out);
    return ok;
}

bool tool_step(const Pool *p, StoreStep step, const Volume *v, uint64_t bytes, GPtrArray *ret_outs, GCancellable *cancel, GError **err)
{
    g_autoptr(GPtrArray) plan = store_plan(p, step, v, bytes, err);
    bool ok = plan;
    for (guint i = 0; ok && i < plan->len; i++) {
        const StoreCommand *c = plan->pdata[i];
        char *out = NULL;
        ok = tool_run((const char *const *)c->argv, c->input, &out, cancel, err);
        if (ok && ret_outs)
            g_ptr_array_add(ret_outs, out);
        else
            g_free(out);
    }
    return ok;
}
