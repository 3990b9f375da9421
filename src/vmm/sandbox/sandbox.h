#pragma once
#include <glib.h>
#include <stdbool.h>
/*
 * sandbox.h - what the process may still do once its machine is made (docs/security.md).  On unless -sandbox off.
 *
 *     inherited descriptors that no option names    closed at the start                       sandbox_close_inherited()
 *     -run-with chroot=, user=; capabilities        given up                                  sandbox_enter()
 *     paths                                         landlock: what the options name           paths.c
 *     system calls                                  seccomp, from one table with reasons      calls.c
 *
 * Threads that there are by then are asked one by one: landlock and capabilities are a thread's own.
 */
struct VmConfig;
struct Vm;

/* QEMU's words of -sandbox, and two conditions of ours. */
typedef enum SandboxGroup {
    SANDBOX_ALWAYS,
    SANDBOX_NETWORK,   /* something may want to reach a host by IP */
    SANDBOX_SPAWN,     /* spawn=allow; a tap's script is to be run at the end */
    SANDBOX_ELEVATE,   /* elevateprivileges=allow */
    SANDBOX_RESOURCE,  /* resourcecontrol=allow */
    SANDBOX_OBSOLETE,  /* obsolete=allow */
    SANDBOX_GROUPS,
} SandboxGroup;

typedef struct SandboxConfig {
    bool off, said; /* -sandbox off; -sandbox on */
    bool allow[SANDBOX_GROUPS];
    GPtrArray *paths; /* char: directories and files of paths=; NULL: nothing was said */
    char *chroot, *user; /* -run-with; user: a name, or UID:GID */
} SandboxConfig;
void sandbox_config_clear(SandboxConfig *s);

/* The descriptors above 2 that this process has been given, before it opens any. */
GArray *sandbox_inherited(void);
/* Closes those that no word of argv names by "fd". */
void sandbox_close_inherited(const GArray *fds, int argc, char **argv);
bool sandbox_arg_names_fd(const char *arg, int fd);

/* Everything is open: gives up the rest.  Main thread; vCPUs stopped. */
bool sandbox_enter(const struct VmConfig *c, struct Vm *vm, GError **err);

/* What a user is to do about a refusal, for an error's end; NULL: paths are not confined. */
const char *sandbox_hint(const struct VmConfig *c);
bool sandbox_confines_paths(const struct VmConfig *c);

/* ---- inside */

/* calls.c: the filter, on every thread. */
bool sandbox_filter_calls(const bool allow[SANDBOX_GROUPS], GError **err);
/* paths.c: a landlock ruleset, or -1 where this kernel has none (then *err is not set) or on failure. */
int sandbox_ruleset(const struct VmConfig *c, const struct Vm *vm, GError **err);
bool sandbox_restrict_thread(int ruleset);
