/* cgroup_test.c - control groups in folders that look like the kernel's, version 2 and 1, and where none can be made. */
#include <glib/gstdio.h>
#include <sys/stat.h>

#include "base/error.h"
#include "manage/daemon/cgroup.h"

static char *temporary(void)
{
    char *folder = g_dir_make_tmp("cgroup-XXXXXX", NULL);
    g_assert_nonnull(folder);
    return folder;
}

static void file(const char *root, const char *path, const char *text)
{
    g_autofree char *full = g_build_filename(root, path, NULL), *folder = g_path_get_dirname(full);
    g_assert_cmpint(g_mkdir_with_parents(folder, 0755), ==, 0);
    g_assert_true(g_file_set_contents(full, text, -1, NULL));
}

static void holds(const char *root, const char *path, const char *text)
{
    g_autofree char *full = g_build_filename(root, path, NULL), *there = NULL;
    g_assert_true(g_file_get_contents(full, &there, NULL, NULL));
    g_assert_cmpstr(there, ==, text);
}

static void clear(char *root)
{
    const char *const words[] = { "rm", "-rf", root, NULL };
    g_assert_true(g_spawn_sync(NULL, (char **)words, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    g_free(root);
}

static const CgroupFile quota = { CGROUP_CPU, "cpu.cfs_quota_us", "cpu.max" };

static void test_v2(void)
{
    g_autoptr(GError) err = NULL;
    char *root = temporary();
    file(root, "cgroup.controllers", "cpuset cpu io memory pids\n");
    file(root, "cgroup.subtree_control", "");
    file(root, "atoll/cgroup.subtree_control", "");
    file(root, "atoll/u.7/cgroup.procs", "");
    file(root, "atoll/u.7/cpu.max", "");
    g_assert_true(cgroup_is_v2(root, CGROUP_IO));
    g_assert_true(cgroup_enter(root, "u.7", CGROUP_CPU, 7, &err));
    g_assert_no_error(err);
    g_assert_true(cgroup_write(root, "u.7", &quota, "max 100000", &err));
    holds(root, "cgroup.subtree_control", "+cpu");
    holds(root, "atoll/cgroup.subtree_control", "+cpu");
    holds(root, "atoll/u.7/cgroup.procs", "7");
    holds(root, "atoll/u.7/cpu.max", "max 100000");
    clear(root);
}

static void test_v1(void)
{
    g_autoptr(GError) err = NULL;
    char *root = temporary();
    file(root, "cpu/atoll/u.7/cgroup.procs", "");
    file(root, "cpu/atoll/u.7/cpu.cfs_quota_us", "");
    g_assert_false(cgroup_is_v2(root, CGROUP_CPU));
    g_assert_true(cgroup_enter(root, "u.7", CGROUP_CPU, 7, &err));
    g_assert_true(cgroup_write(root, "u.7", &quota, "-1", &err));
    g_assert_no_error(err);
    holds(root, "cpu/atoll/u.7/cpu.cfs_quota_us", "-1");
    clear(root);
}

/* No such hierarchy; a controller without that file. */
static void test_cannot(void)
{
    g_autoptr(GError) err = NULL;
    char *root = temporary();
    g_assert_false(cgroup_enter(root, "u.7", CGROUP_MEMORY, 7, &err));
    g_assert_nonnull(strstr(err->message, "control groups"));
    g_assert_nonnull(strstr(err->message, "/memory/atoll"));
    g_clear_error(&err);
    file(root, "cpu/atoll/u.7/cgroup.procs", "");
    g_assert_false(cgroup_write(root, "u.7", &quota, "1", &err));
    g_assert_nonnull(strstr(err->message, "cpu.cfs_quota_us"));
    clear(root);
}

/* Only those of a prefix go. */
static void test_remove(void)
{
    char *root = temporary();
    g_autofree char *own = g_build_filename(root, "cpu/atoll/u.7", NULL), *other = g_build_filename(root, "cpu/atoll/v.8", NULL);
    g_assert_cmpint(g_mkdir_with_parents(own, 0755), ==, 0);
    g_assert_cmpint(g_mkdir_with_parents(other, 0755), ==, 0);
    g_assert_true(cgroup_remove(root, "u."));
    g_assert_false(g_file_test(own, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(other, G_FILE_TEST_EXISTS));
    clear(root);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cgroup/v2", test_v2);
    g_test_add_func("/cgroup/v1", test_v1);
    g_test_add_func("/cgroup/cannot", test_cannot);
    g_test_add_func("/cgroup/remove", test_remove);
    return g_test_run();
}
