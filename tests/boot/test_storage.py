#!/usr/bin/env python3
"""Linux's own drivers move data to and from IDE disks and CD-ROMs, and take random numbers from virtio-rng."""
import hashlib
import os
import unittest

import guest
import guests
import tap

NEEDS_LONG = unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
DISK_BYTES = 6 << 20
CD_BYTES = 3 << 20

# Blocks of random data at odd places, written through to the disk.
WRITE = ("for i in 1 7 30 99 500 1000 1535; do dd if=/dev/urandom of=/dev/sda bs=4096 count=1 seek=$i conv=notrunc,fsync 2>/dev/null; done; "
         "sync; echo 3 > /proc/sys/vm/drop_caches")


def md5(path):
    with open(path, "rb") as file:
        return hashlib.md5(file.read()).hexdigest()


class Linux(unittest.TestCase):
    def check(self, append, *args):
        with guest.temporary_folder() as folder:
            disk, disc = os.path.join(folder, "disk.img"), os.path.join(folder, "cd.iso")
            for path, size in (disk, DISK_BYTES), (disc, CD_BYTES):
                with open(path, "wb") as out:
                    out.write(os.urandom(size))
            before = md5(disk)
            with guest.Guest("-nographic", "-m", "256", "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"),
                             "-append", f"console=ttyS0 quiet atoll.mode=shell {append}", "-hda", disk, "-cdrom", disc, *args,
                             terminal=True) as vm:
                vm.expect("A shell in the guest", 400)
                self.shell(vm, "md5sum < /dev/sda", before)
                self.shell(vm, "md5sum < /dev/sr0", md5(disc))
                self.shell(vm, "cat /sys/class/misc/hw_random/rng_current", "virtio_rng.0")
                self.shell(vm, "dd if=/dev/hwrng bs=64 count=8 2>/dev/null | wc -c", r"\b512\b")
                self.shell(vm, WRITE, "# ")
                after = self.shell(vm, "md5sum < /dev/sda", r"[0-9a-f]{32}")
                self.shell(vm, "dmesg | grep -cE 'ata[0-9].*(exception|failed|error)'", r"\b0\b(?=\r)")
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            self.assertNotEqual(after, before)
            self.assertEqual(after, md5(disk))

    def shell(self, vm, command, answer):
        vm.expect("# ", 60)
        vm.send(command + "\r")
        vm.expect(r"\n", 60)
        found = vm.expect(rf"({answer})", 120).group(1)
        if answer == "# ":
            vm.seen -= 2
        return found

    def test_dma(self):
        self.check("", "-device", "virtio-rng-pci")

    @NEEDS_LONG
    def test_pio(self):
        self.check("libata.dma=0", "-device", "virtio-rng-pci,disable-modern=on", "-smp", "2")

    @NEEDS_LONG
    def test_modern_only(self):
        self.check("pci=nomsi", "-device", "virtio-rng-pci,disable-legacy=on")


if __name__ == "__main__":
    tap.main()
