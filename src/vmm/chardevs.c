/* chardevs.c - see chardevs.h. */
#include "vmm/chardevs.h"

#include <string.h>


static Chardev *keep(Vm *vm, Chardev *c)
{
    g_ptr_array_add(vm->chardevs, c);
    machine_add_backend(vm->machine, BACKEND_CHARDEV, chardev_id(c), c);
    if (chardev_is_mux(c))
        chardev_set_escape(c, vm->config->escape_key);
    if (g_str_has_prefix(chardev_description(c), "pty:"))
        g_printerr("char device redirected to %s (label %s)\n", chardev_description(c) + strlen("pty:"), chardev_id(c));
    return c;
}

Chardev *vm_find_chardev(Vm *vm, const char *id)
{
    for (unsigned i = 0; i < vm->chardevs->len; i++)
        if (g_strcmp0(chardev_id(vm->chardevs->pdata[i]), id) == 0)
            return vm->chardevs->pdata[i];
    return NULL;
}

Chardev *vm_add_chardev(Vm *vm, const char *id, const char *spec, GError **err)
{
    if (vm_find_chardev(vm, id)) {
        error_set(err, ERR_BUSY, "Chardev with id '%s' already exists", id);
        return NULL;
    }
    Chardev *c = chardev_open(id, spec, err);
    return c ? keep(vm, c) : NULL;
}

bool vm_open_chardevs(Vm *vm, GError **err)
{
    for (unsigned i = 0; i < vm->config->chardevs->len; i++) {
        const ChardevConfig *d = &g_array_index(vm->config->chardevs, ChardevConfig, i);
        if (!vm_add_chardev(vm, d->id, d->spec, err))
            return false;
    }
    return true;
}

bool vm_line_chardev(Vm *vm, const char *spec, const char *label, Chardev **ret, GError **err)
{
    g_autoptr(GError) why = NULL;
    if (g_str_has_prefix(spec, "chardev:")) {
        *ret = vm_find_chardev(vm, spec + strlen("chardev:"));
        return *ret || error_set(err, ERR_NOT_FOUND, "%s: no chardev '%s'; define it with -chardev BACKEND,id=%s", label, spec + 8, spec + 8);
    }
    *ret = chardev_open(label, spec, &why);
    if (*ret)
        keep(vm, *ret);
    if (why)
        g_propagate_error(err, g_steal_pointer(&why));
    return *ret || g_str_equal(spec, "none");
}

/* ---- going */

typedef struct Use {
    Chardev *chardev;
    const Device *holder;
} Use;

static void note_holder(const char *id, void *backend, Device *holder, void *opaque)
{
    Use *use = opaque;
    if (backend == use->chardev)
        use->holder = holder;
}

static char *user_of(Vm *vm, Chardev *c)
{
    Use use = { .chardev = c };
    machine_each_backend(vm->machine, BACKEND_CHARDEV, note_holder, &use);
    if (use.holder)
        return g_strdup_printf("device '%s' uses it", use.holder->path);
    if (chardev_is_shared(c))
        return g_strdup("it is a mux, and a monitor shares it");
    return chardev_in_use(c) ? g_strdup("a monitor, gdb or qtest talks over it") : NULL;
}

bool vm_remove_chardev(Vm *vm, const char *id, GError **err)
{
    Chardev *c = vm_find_chardev(vm, id);
    g_autofree char *user = c ? user_of(vm, c) : NULL;
    if (!c)
        return error_set(err, ERR_NOT_FOUND, "Chardev '%s' not found", id);
    if (user)
        return error_set(err, ERR_BUSY, "Chardev '%s' is busy: %s", id, user);
    if (!machine_remove_backend(vm->machine, BACKEND_CHARDEV, id, err))
        return false;
    g_ptr_array_remove(vm->chardevs, c);
    chardev_close(c);
    return true;
}

bool vm_change_chardev(Vm *vm, const char *id, const char *spec, GError **err)
{
    Chardev *c = vm_find_chardev(vm, id);
    return c ? chardev_change(c, spec, err) : error_set(err, ERR_NOT_FOUND, "Chardev '%s' does not exist", id);
}
