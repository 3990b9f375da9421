/*
 * work.c - runs workloads and prints how long an iteration takes.
 *
 *     work [NAME...]     runs all of them, or those
 *     work --list        prints their names
 *
 * For each it prints "BENCH name iterations nanoseconds checksum", by CLOCK_MONOTONIC, or "BENCH name - reason".  Each
 * runs in a process of its own, with as many calls as take 0.3 s, so that slow emulators end too.  Programs and files
 * are found from the current folder.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "work.h"

static const uint64_t ENOUGH_NS = 300000000;

static const Workload *const tables[] = { compute_workloads, vector_workloads, memory_workloads, kernel_workloads,
                                          code_workloads,    smp_workloads,    program_workloads };

_Noreturn void give_up(const char *what)
{
    fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
    _exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t time_calls(const Workload *w, uint64_t calls, uint64_t expected)
{
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < calls; i++) {
        uint64_t sum = w->run();
        if (sum != expected) {
            printf("BENCH %s - checksum %016" PRIx64 " after %016" PRIx64 "\n", w->name, sum, expected);
            exit(0);
        }
    }
    return now_ns() - start;
}

/* Calls it more and more often until that takes long enough; the last time counts. */
static void measure(const Workload *w)
{
    uint64_t expected = w->run(), calls = 1, ns;
    while ((ns = time_calls(w, calls, expected)) < ENOUGH_NS) {
        uint64_t factor = ns ? ENOUGH_NS * 5 / 4 / ns : 16;
        calls *= factor < 2 ? 2 : factor > 16 ? 16 : factor;
    }
    uint64_t iterations = calls * (w->units ? w->units : 1), idle = w->idle_ns * iterations;
    printf("BENCH %s %" PRIu64 " %" PRIu64 " %016" PRIx64 "\n", w->name, iterations, ns > idle ? ns - idle : 0,
           expected);
}

static void run_apart(const Workload *w)
{
    if (w->usable && !w->usable()) {
        printf("BENCH %s - not usable here\n", w->name);
        return;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        measure(w);
        exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        printf("BENCH %s - signal %d\n", w->name, WTERMSIG(status));
    else if (WEXITSTATUS(status))
        printf("BENCH %s - status %d\n", w->name, WEXITSTATUS(status));
}

static bool asked_for(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && !strcmp(argv[1], "--nothing")) /* what the exec workload starts */
        return 0;
    bool list = argc == 2 && !strcmp(argv[1], "--list");
    for (size_t t = 0; t < sizeof(tables) / sizeof(*tables); t++)
        for (const Workload *w = tables[t]; w->name; w++)
            if (list)
                puts(w->name);
            else if (asked_for(w->name, argc, argv))
                run_apart(w);
    return 0;
}
