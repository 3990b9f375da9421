/* help_test.c - who helps is called, in order, and no longer once it is removed; what vCPUs look for while halted. */
#include "machine/help.h"

#include "machine/machine.h"

typedef struct Thread {
    unsigned helped, watched, looked;
    bool on, has_come;
} Thread;

static void help(void *opaque) { ((Thread *)opaque)->helped++; }

static void watch(void *opaque, bool on)
{
    Thread *t = opaque;
    t->watched++;
    t->on = on;
}

static bool look(void *opaque)
{
    Thread *t = opaque;
    t->looked++;
    return t->has_come;
}

static void test_list(void)
{
    Machine *m = machine_create(&(MachineConfig){ .manual_clock = true }, NULL);
    Thread a = { 0 }, b = { .has_come = true };
    help_run(m);
    g_assert_false(help_look(m));
    machine_add_helper(m, &(VcpuHelper){ .help = help, .opaque = &a });
    machine_add_helper(m, &(VcpuHelper){ .help = help, .watch = watch, .look = look, .opaque = &b });
    help_run(m);
    help_watch(m, true);
    g_assert_true(b.on);
    g_assert_true(help_look(m));
    help_watch(m, false);
    g_assert_false(b.on);
    machine_remove_helper(m, &b);
    help_run(m);
    help_watch(m, true);
    g_assert_false(help_look(m));
    g_assert_cmpuint(a.helped, ==, 2);
    g_assert_cmpuint(b.helped, ==, 1);
    g_assert_cmpuint(b.watched, ==, 2);
    g_assert_cmpuint(b.looked, ==, 1);
    machine_destroy(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/machine/help/list", test_list);
    return g_test_run();
}
