#pragma once
#include "machine/pci.h"
/*
 * ide.h - what a board and -device need of IDE.
 *
 *     Device *ide = piix3_ide_create(m, bus, pci_devfn(1, 1), irq14, irq15, err);
 *     Device *disk = device_new(m, &ide_hd_type, NULL, (const char *[]){ "drive", "hda", NULL }, err);
 *     ide_attach(ide, disk, err) && device_realize(disk, err)
 *
 * Windows of piix3-ide: 0 and 1 command and control block of the primary channel, 2 and 3 of the secondary; BAR 4 is
 * the bus master.
 */
extern const DeviceType piix3_ide_type, ide_hd_type, ide_cd_type, ich9_ahci_type, ahci_type;

/* Creates the function, connects its two interrupt lines and maps the channels at 1f0/3f6 and 170/376. */
Device *piix3_ide_create(Machine *m, PciBus *bus, uint8_t devfn, IrqLine primary, IrqLine secondary, GError **err);

/* Gives a drive (ide-hd or ide-cd, not yet realized) its place: properties bus (ide.0, ide.1) and unit (0, 1), or the first
 * that is free.  An error names the holder of a taken place. */
bool ide_attach(Device *controller, Device *drive, GError **err);
