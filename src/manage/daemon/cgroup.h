#pragma once
#include <glib.h>
#include <stdbool.h>
/*
 * cgroup.h - a control group of a machine's own (the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst), in the hierarchy
 * "atoll" of each controller: made when a limit is first set, removed when the machine has ended.  All may block.
 */
typedef enum CgroupController { CGROUP_CPU, CGROUP_MEMORY, CGROUP_IO, CGROUP_CONTROLLERS } CgroupController;

/* A file of a group: its name with version 1 and 2. */
typedef struct CgroupFile {
    CgroupController controller;
    const char *v1, *v2;
} CgroupFile;

bool cgroup_is_v2(const char *root, CgroupController c);
/* Puts a process and its threads into the group of that name, which is made. */
bool cgroup_enter(const char *root, const char *name, CgroupController c, int pid, GError **err);
bool cgroup_write(const char *root, const char *name, const CgroupFile *file, const char *value, GError **err);
/* Those whose names begin so and in which nobody is; false: somebody is in one. */
bool cgroup_remove(const char *root, const char *prefix);
#define CGROUP_ROOT "/sys/fs/cgroup"
