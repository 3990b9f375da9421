/* plan_controllers.c - controllers of buses as options. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "manage/hypervisor/address.h"
#include "manage/hypervisor/plan_inside.h"

/* A row is a model's device; model NULL: whatever the definition says, that is what there is. */
static const struct {
    unsigned type;
    const char *model, *driver;
} drivers[] = {
    { CONTROLLER_PCI, "pcie-root-port", "pcie-root-port" },
    { CONTROLLER_PCI, "pci-bridge", "pci-bridge" },
    { CONTROLLER_PCI, "pcie-to-pci-bridge", "pcie-pci-bridge" },
    { CONTROLLER_PCI, "dmi-to-pci-bridge", "i82801b11-bridge" },
    { CONTROLLER_SCSI, "virtio-scsi", "virtio-scsi-pci" },
    { CONTROLLER_SATA, NULL, "ich9-ahci" },
    { CONTROLLER_USB, NULL, "qemu-xhci" },
    { CONTROLLER_VIRTIO_SERIAL, NULL, "virtio-serial-pci" },
};

static const char *driver_of(const Controller *c)
{
    const char *model = c->model ? c->model : c->type == CONTROLLER_SCSI ? "virtio-scsi" : NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (drivers[i].type == c->type && (!drivers[i].model || !g_strcmp0(drivers[i].model, model)))
            return drivers[i].driver;
    return NULL;
}

void plan_controller_alias(const Domain *d, Controller *c)
{
    const char *type = record_word(c, "type");
    if (c->alias)
        return;
    if (c->type == CONTROLLER_PCI)
        c->alias = !c->index && address_is_q35(d) ? g_strdup("pcie.0") : g_strdup_printf("pci.%" G_GUINT64_FORMAT, c->index);
    else if ((c->type == CONTROLLER_USB || c->type == CONTROLLER_IDE) && !c->index)
        c->alias = g_strdup(type);
    else
        c->alias = g_strdup_printf("%s%" G_GUINT64_FORMAT, type, c->index);
}

/* What the board has is no option, nor what is no controller at all. */
static bool is_built_in(const Domain *d, const Controller *c)
{
    if (c->type == CONTROLLER_USB)
        return !g_strcmp0(c->model, "none") || address_is_companion(d, c);
    return controller_is_root(c) || c->type == CONTROLLER_IDE || c->type == CONTROLLER_FDC || (c->type == CONTROLLER_SATA && !c->index && address_is_q35(d));
}

char *plan_controller_device(const Controller *c, GError **err)
{
    const char *driver = driver_of(c);
    if (!driver) {
        error_set(err, ERR_UNSUPPORTED, "controller '%s': model '%s' is not built; see `atoll-vm -device help`, of scsi virtio-scsi is", record_word(c, "type"), c->model ? c->model : "default");
        return NULL;
    }
    Json *o = json_with("driver", driver);
    json_text(o, "id", c->alias);
    if (!strcmp(driver, "pcie-root-port")) {
        json_number(o, "port", c->chassis_port);
        json_number(o, "chassis", c->chassis);
    } else if (!strcmp(driver, "pci-bridge")) {
        json_number(o, "chassis_nr", c->chassis != RECORD_NONE ? c->chassis : c->index);
    }
    json_address(o, c->address);
    return json_end(o);
}

/* Buses of PCI first, by their numbers: a device needs its bus. */
static int in_order(gconstpointer a, gconstpointer b)
{
    const Controller *x = *(Controller *const *)a, *y = *(Controller *const *)b;
    return x->type != y->type ? (int)x->type - (int)y->type : x->index < y->index ? -1 : x->index > y->index;
}

bool plan_controllers(const Domain *d, LaunchPlan *p, GError **err)
{
    const GPtrArray *all = d->devices->controllers;
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    for (guint i = 0; all && i < all->len; i++)
        g_ptr_array_add(list, all->pdata[i]);
    g_ptr_array_sort(list, in_order);
    for (guint i = 0; i < list->len; i++) {
        g_autofree char *device = is_built_in(d, list->pdata[i]) ? NULL : plan_controller_device(list->pdata[i], err);
        if (device)
            launch_plan_add(p, "-device", device, NULL);
        else if (!is_built_in(d, list->pdata[i]))
            return false;
    }
    return true;
}
