/* help.c - see help.h.  The list is replaced as a whole; who changes it waits for each vCPU to have left it. */
#include "machine/help.h"

#include <stdatomic.h>

#include "machine/machine.h"
#include "machine/vcpu.h"

struct VcpuHelpers {
    unsigned n;
    VcpuHelper helper[];
};

static const VcpuHelpers *helpers(Machine *m) { return atomic_load_explicit(&m->helpers, memory_order_acquire); }

static void do_nothing(Vcpu *v, void *unused) {}

static void replace(Machine *m, VcpuHelpers *all)
{
    VcpuHelpers *old = atomic_exchange(&m->helpers, all);
    for (unsigned i = 0; old && i < m->vcpus->len; i++)
        vcpu_run_on(m->vcpus->pdata[i], do_nothing, NULL);
    g_free(old);
}

/* All but those of `without`, and room for one more. */
static VcpuHelpers *copy(Machine *m, const void *without)
{
    const VcpuHelpers *old = helpers(m);
    VcpuHelpers *all = g_malloc0(sizeof(*all) + ((old ? old->n : 0) + 1) * sizeof(all->helper[0]));
    for (unsigned i = 0; old && i < old->n; i++)
        if (old->helper[i].opaque != without)
            all->helper[all->n++] = old->helper[i];
    return all;
}

void machine_add_helper(Machine *m, const VcpuHelper *h)
{
    VcpuHelpers *all = copy(m, NULL);
    all->helper[all->n++] = *h;
    replace(m, all);
}

void machine_remove_helper(Machine *m, const void *opaque) { replace(m, copy(m, opaque)); }

void help_free(VcpuHelpers *all) { g_free(all); }

void help_run(Machine *m)
{
    const VcpuHelpers *all = helpers(m);
    for (unsigned i = 0; all && i < all->n; i++)
        all->helper[i].help(all->helper[i].opaque);
}

void help_watch(Machine *m, bool on)
{
    const VcpuHelpers *all = helpers(m);
    for (unsigned i = 0; all && i < all->n; i++)
        if (all->helper[i].watch)
            all->helper[i].watch(all->helper[i].opaque, on);
}

bool help_look(Machine *m)
{
    const VcpuHelpers *all = helpers(m);
    bool any = false;
    for (unsigned i = 0; all && i < all->n; i++)
        any |= all->helper[i].look && all->helper[i].look(all->helper[i].opaque);
    return any;
}
