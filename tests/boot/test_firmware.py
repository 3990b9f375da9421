#!/usr/bin/env python3
"""SeaBIOS starts what stands on disks and CD-ROMs."""
import os
import subprocess
import unittest

import guest
import tap

RESCUE = "/usr/lib/grub-rescue"


class BootSector(unittest.TestCase):
    def hello(self, *args):
        with guest.temporary_folder() as folder:
            disk = guest.boot_sector(guest.HELLO, folder)
            with guest.Guest("-nographic", "-hda", disk, *guest.DEBUG_EXIT, *args) as vm:
                vm.expect("hello from the boot sector", 60)
                self.assertEqual(vm.wait(), 7)

    def test_interp(self):
        self.hello("-accel", "interp")

    def test_two_cpus(self):
        self.hello("-accel", "interp", "-smp", "2")

    @unittest.skipUnless(guest.have_kvm(), "no /dev/kvm, or no right to it")
    def test_kvm(self):
        self.hello("-accel", "kvm")

    def test_cdrom(self):
        with guest.temporary_folder() as folder:
            disk = guest.boot_sector(guest.HELLO, folder, 512)
            os.mkdir(os.path.join(folder, "cd"))
            os.rename(disk, os.path.join(folder, "cd/boot.img"))
            iso = os.path.join(folder, "cd.iso")
            subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", iso, "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "1",
                            os.path.join(folder, "cd")], check=True, stderr=subprocess.DEVNULL)
            with guest.Guest("-nographic", "-cdrom", iso, "-boot", "d", *guest.DEBUG_EXIT) as vm:
                vm.expect("hello from the boot sector", 60)
                self.assertEqual(vm.wait(), 7)

    def test_no_disk(self):
        with guest.Guest("-nographic") as vm:
            vm.expect("SeaBIOS", 30)
            vm.expect("No bootable device", 60)


class Grub(unittest.TestCase):
    def menu(self, *args):
        with guest.Guest("-nographic", *args) as vm:
            vm.expect("GNU GRUB", 180)
            vm.expect("for a command-line", 60)
            vm.send("c")
            vm.expect("grub>", 60)
            vm.send("echo from grub\r")
            vm.expect(r"from grub[\s\S]*from grub", 30)  # as typed, then as answered
            vm.send("halt\r")
            self.assertEqual(vm.wait(60), 0)

    def test_cdrom(self):
        self.menu("-cdrom", f"{RESCUE}/grub-rescue-cdrom.iso", "-boot", "d")

    def test_disk(self):
        self.menu("-snapshot", "-hda", f"{RESCUE}/grub-rescue-usb.img")


if __name__ == "__main__":
    tap.main()
