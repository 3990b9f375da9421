/* config_micro.c - what a board without PCI and firmware takes, and what it makes of options for others. */
#include "accel/accel.h"
#include "base/keyval.h"
#include "vmm/config.h"

static const struct { const char *name; size_t off; } switches[] = {
    { "pic", offsetof(MicroConfig, pic) }, { "pit", offsetof(MicroConfig, pit) }, { "rtc", offsetof(MicroConfig, rtc) },
    { "isa-serial", offsetof(MicroConfig, isa_serial) }, { "auto-kernel-cmdline", offsetof(MicroConfig, auto_kernel_cmdline) },
};

/* Those of QEMU's that are not built here, by the only value that they may have. */
static const char *const absent[] = { "pcie", "ioapic2", "x-option-roms" };

static bool take_switch(KeyVals *kv, const char *name, BoardSwitch *ret, GError **err)
{
    static const char *const words[] = { "auto", "on", "off", NULL }; /* in the order of BoardSwitch */
    unsigned value = *ret;
    if (!keyvals_take_choice(kv, name, words, &value, err))
        return false;
    *ret = value;
    return true;
}

bool config_is_bare(const VmConfig *c) { return c->board && c->board->bare; }

bool config_machine_micro(VmConfig *c, KeyVals *kv, GError **err)
{
    if (!config_is_bare(c))
        return true;
    for (unsigned i = 0; i < G_N_ELEMENTS(switches); i++)
        if (!take_switch(kv, switches[i].name, (BoardSwitch *)((char *)&c->micro + switches[i].off), err))
            return false;
    for (unsigned i = 0; i < G_N_ELEMENTS(absent); i++) {
        BoardSwitch value = SWITCH_AUTO;
        if (!take_switch(kv, absent[i], &value, err))
            return false;
        if (value == SWITCH_ON && i < 2)
            return error_set(err, ERR_UNSUPPORTED, "-machine %s=on: this board has no PCI bus and one IOAPIC", absent[i]);
    }
    return true;
}

bool config_check_bare(const VmConfig *c, GError **err)
{
    const char *name = c->board ? c->board->name : NULL;
    if (!config_is_bare(c))
        return true;
    if (c->firmware || c->pflash[0])
        return error_set(err, ERR_INVALID, "machine '%s' has no firmware: leave out %s, and start a -kernel", name, c->firmware ? "-bios" : "the flash");
    if (c->kernel || ((const AccelOps *)c->accels->pdata[0])->manual_clock) /* nobody would execute it */
        return true;
    return error_set(err, ERR_INVALID, "machine '%s' has no firmware that would look for a disk to start from: give it a -kernel", name);
}
