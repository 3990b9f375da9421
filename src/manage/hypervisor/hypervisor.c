/* hypervisor.c - the list of drivers, and plans. */
#include "manage/hypervisor/hypervisor.h"

#include <stdarg.h>

const HvDriver *const hv_drivers[] = { &atoll_driver, &qemu_driver, &test_driver, NULL };

const HvDriver *hv_driver_for(const Domain *d)
{
    const char *emulator = d->devices->emulator;
    g_autofree char *name = emulator ? g_path_get_basename(emulator) : NULL;
    if (d->type == DOMAIN_TEST)
        return &test_driver;
    return name && g_str_has_prefix(name, "qemu-system-") ? &qemu_driver : &atoll_driver;
}

static void launch_file_free(gpointer data)
{
    LaunchFile *f = data;
    g_free(f->path);
    g_free(f->fdset);
    g_free(f);
}

LaunchPlan *launch_plan_new(void)
{
    LaunchPlan *p = g_new0(LaunchPlan, 1);
    p->argv = g_ptr_array_new_with_free_func(g_free);
    p->state = -1;
    p->files = g_ptr_array_new_with_free_func(launch_file_free);
    return p;
}

void launch_plan_free(LaunchPlan *p)
{
    if (!p)
        return;
    g_ptr_array_unref(p->argv);
    g_ptr_array_unref(p->files);
    g_free(p);
}

void launch_plan_add(LaunchPlan *p, ...)
{
    va_list ap;
    va_start(ap, p);
    for (const char *word; (word = va_arg(ap, const char *));)
        g_ptr_array_add(p->argv, g_strdup(word));
    va_end(ap);
}
