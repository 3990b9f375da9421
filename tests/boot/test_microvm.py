#!/usr/bin/env python3
"""Debian's kernel on a microvm: no firmware, no PCI, virtio by memory-mapped registers."""
import os
import unittest

import guest
import guests
import tap
from test_linux import unpacked_vmlinux


def micro(mode, *args, machine="microvm", append=""):
    return ["-M", machine, "-nographic", "-m", "128", "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"),
            "-append", f"console=ttyS0 atoll.mode={mode} {append}", *args]


def disk_in(folder):
    path = os.path.join(folder, "disk.img")
    with open(path, "wb") as out:
        out.write(b"first sector".ljust(512, b"\0"))
        out.truncate(48 << 20)
    return path


class Microvm(unittest.TestCase):
    def test_devices_and_power_off(self):
        with guest.temporary_folder() as folder:
            args = micro("facts", "-smp", "2", "-drive", f"if=virtio,format=raw,file={disk_in(folder)}", "-device", "virtio-rng-device", "-nic",
                         "user,model=virtio", "-device", "virtio-serial-device", "-device", "virtio-balloon-device")
            with guest.Guest(*args) as vm:
                vm.expect(r"ATOLL-GUEST cpus: 2\b", 400)
                vm.expect(r"ATOLL-GUEST disk: vda 49152 KiB")
                for n, driver in enumerate(["blk", "rng", "console", "balloon", "net"]):
                    vm.expect(rf"ATOLL-GUEST virtio: virtio_{driver} on LNRO0005:0{n}")
                vm.expect("ATOLL-GUEST powers off")
                self.assertEqual(vm.wait(60), 0)
            self.assertNotIn("ATOLL-GUEST pci", vm.text)

    def test_disk_random_numbers_console_and_network(self):
        with guest.temporary_folder() as folder:
            disk = disk_in(folder)
            console = os.path.join(folder, "console")
            args = micro("shell", "-drive", f"if=virtio,format=raw,file={disk}", "-device", "virtio-rng-device", "-nic", "user,model=virtio",
                         "-chardev", f"file,id=c,path={console}", "-device", "virtio-serial-device", "-device", "virtconsole,chardev=c", append="quiet")
            with guest.Guest(*args, terminal=True) as vm:
                vm.expect("A shell in the guest", 400)
                vm.expect("# ", 60)
                vm.send("dd if=/dev/vda bs=12 count=1 2>/dev/null; echo written | dd of=/dev/vda bs=512 seek=9 conv=fsync 2>/dev/null; echo\r")
                vm.expect("first sector\r", 60)
                vm.send("cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c\r")
                vm.expect(r"virtio_rng\.0\s+64", 60)
                vm.send("echo by hvc0 > /dev/hvc0\r")
                vm.send("ifconfig eth0 10.0.2.15 up && ping -c 1 10.0.2.2\r")
                vm.expect("1 packets received", 60)
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            with open(disk, "rb") as file:
                file.seek(9 * 512)
                self.assertEqual(file.read(8), b"written\n")
            with open(console, "rb") as file:
                self.assertIn(b"by hvc0", file.read())

    def test_reboots(self):
        with guest.Guest(*micro("reboot", append="quiet")) as vm:
            vm.expect("ATOLL-GUEST reboots", 400)
            vm.expect("ATOLL-GUEST reboots", 400)
            vm.signal(guest.TERM)
            self.assertEqual(vm.wait(), 0)

    def test_pvh_entry(self):
        with guest.temporary_folder() as folder:
            args = micro("facts", "-device", "virtio-rng-device", append="quiet")
            args[args.index("-kernel") + 1] = unpacked_vmlinux("cloud", folder)
            with guest.Guest(*args) as vm:
                vm.expect("ATOLL-GUEST virtio: virtio_rng on LNRO0005:00", 400)
                vm.expect("ATOLL-GUEST powers off", 60)
                self.assertEqual(vm.wait(60), 0)

    def test_without_acpi_words_on_the_command_line(self):
        machine = "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=on,auto-kernel-cmdline=on"
        with guest.Guest(*micro("shell", "-device", "virtio-rng-device", machine=machine, append="quiet reboot=t"), terminal=True) as vm:
            vm.expect("A shell in the guest", 400)
            vm.expect("# ", 60)
            vm.send("cat /proc/cmdline\r")
            vm.expect(r"reboot=t virtio_mmio\.device=512@0xfeb00000:5\r", 60)
            vm.send("reboot -f\r")
            vm.expect("A shell in the guest", 400)


class Mistakes(unittest.TestCase):
    def refused(self, *args):
        status, text = guest.run("-M", *args)
        self.assertEqual(status, 1, text)
        return text

    def test_what_it_has_not(self):
        kernel = ["-kernel", guests.kernel("cloud")]
        self.assertIn("give it a -kernel", self.refused("microvm"))
        self.assertIn("no firmware", self.refused("microvm", "-bios", "bios-256k.bin"))
        self.assertIn("no PCI bus", self.refused("microvm", "-device", "e1000", *kernel))
        self.assertIn("pcie=on", self.refused("microvm,pcie=on", *kernel))
        self.assertIn("auto, on, off", self.refused("microvm,pit=maybe", *kernel))
        self.assertIn("pit", self.refused("pc,pit=off", *kernel))
        self.assertIn("virtio-bus", self.refused("pc", "-device", "virtio-rng-device", *kernel))


if __name__ == "__main__":
    tap.main()
