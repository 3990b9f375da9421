/*
 * temporary.c - writes beside the target, then renames.
 *
 * The name is .NAME.atoll-XXXXXX in the target's own directory, where renaming is atomic.  SIGINT, SIGTERM and SIGHUP
 * remove the file; SIGKILL cannot, so the next run for the same target removes what nobody has locked.
 */
#include "tools/img/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "block/block.h"

typedef struct Keeper {
    char *path;
    sigset_t signals, before;
} Keeper;

/* Waits for a signal that ends us, or for the end: SIGURG, which nobody else sends here. */
static void *keep(void *arg)
{
    Keeper *k = arg;
    int got = 0;
    while (sigwait(&k->signals, &got) || got == 0)
        ;
    if (got == SIGURG)
        return NULL;
    unlink(k->path);
    signal(got, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &k->signals, NULL);
    raise(got);
    _exit(128 + got);
}

static void keeper_start(Temporary *t)
{
    Keeper *k = t->keep = g_new0(Keeper, 1);
    k->path = t->path;
    sigemptyset(&k->signals);
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGURG };
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++)
        sigaddset(&k->signals, signals[i]);
    pthread_sigmask(SIG_BLOCK, &k->signals, &k->before); /* threads that start later inherit it */
    t->keeper = g_thread_new("keeper", keep, k);
}

static void keeper_stop(Temporary *t)
{
    if (!t->keep)
        return;
    kill(getpid(), SIGURG);
    g_thread_join(t->keeper);
    pthread_sigmask(SIG_SETMASK, &t->keep->before, NULL);
    g_clear_pointer(&t->keep, g_free);
}

/* Whoever has it open would go on with the old file. */
static bool nobody_has(const char *path, GError **err)
{
    BlkNode *n = blk_open(&(BlkOpenOptions){ .filename = path, .format = "raw" }, err);
    blk_close(n);
    return n;
}

static void remove_stale(const char *directory, const char *prefix)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        if (!g_str_has_prefix(name, prefix) || strlen(name) != strlen(prefix) + 6)
            continue;
        g_autofree char *path = g_build_filename(directory, name, NULL);
        struct stat st;
        bool empty = lstat(path, &st) == 0 && S_ISREG(st.st_mode) && !st.st_size;
        if (empty || nobody_has(path, NULL))
            unlink(path);
    }
}

/* As the target is, where there is one; else as open() would make it. */
static void take_rights(int fd, const char *target)
{
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    if (stat(target, &st)) {
        fchmod(fd, 0666 & ~mask);
        return;
    }
    if (!fchown(fd, st.st_uid, st.st_gid))
        fchmod(fd, st.st_mode & 07777);
}

static bool make(Temporary *t, GError **err)
{
    g_autofree char *directory = g_path_get_dirname(t->target), *base = g_path_get_basename(t->target);
    g_autofree char *prefix = g_strdup_printf(".%s.atoll-", base);
    if (strlen(prefix) + 6 > 255) {
        prefix[48] = 0; /* names have 255 bytes */
        memcpy(prefix + 41, ".atoll-", 7);
    }
    remove_stale(directory, prefix);
    t->path = g_str_equal(directory, ".") ? g_strconcat(prefix, "XXXXXX", NULL) : g_strconcat(directory, "/", prefix, "XXXXXX", NULL);
    t->renames = true;
    int fd = g_mkstemp_full(t->path, O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set_errno(err, errno, "cannot make a file in '%s', beside '%s'", directory, base);
    take_rights(fd, t->target);
    close(fd);
    keeper_start(t);
    return true;
}

static bool is_address(const char *name)
{
    size_t scheme = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789+-");
    return name[scheme] == ':' && scheme > 1 && !g_str_has_prefix(name, "file:");
}

bool temporary_start(Temporary *t, const char *target, GError **err)
{
    *t = (Temporary){ 0 };
    struct stat st;
    if (g_str_has_prefix(target, "file:"))
        target += 5;
    char *real = is_address(target) ? NULL : realpath(target, NULL);
    bool there = real && stat(real, &st) == 0;
    t->target = real && lstat(target, &st) == 0 && S_ISLNK(st.st_mode) ? real : g_strdup(target); /* a link stays one */
    if (real != t->target)
        free(real);
    if (is_address(target) || (there && stat(t->target, &st) == 0 && !S_ISREG(st.st_mode))) {
        t->path = g_strdup(t->target);
        return true;
    }
    if (there && st.st_size && !nobody_has(t->target, err))
        return false;
    return make(t, err);
}

void temporary_explain(const Temporary *t, GError **err)
{
    if (!t->renames || !err || !*err || !strstr((*err)->message, t->path))
        return;
    g_auto(GStrv) parts = g_strsplit((*err)->message, t->path, -1);
    char *text = g_strjoinv(t->target, parts);
    g_free((*err)->message);
    (*err)->message = text;
}

bool temporary_commit(Temporary *t, GError **err)
{
    if (t->renames && rename(t->path, t->target))
        return error_set_errno(err, errno, "cannot give '%s' its name '%s'", t->path, t->target);
    t->renames = false;
    return true;
}

void temporary_clear(Temporary *t)
{
    if (t->renames)
        unlink(t->path);
    keeper_stop(t);
    g_clear_pointer(&t->path, g_free);
    g_clear_pointer(&t->target, g_free);
}
