#!/usr/bin/env python3
"""Debian's own kernels boot to our init, which prints what it sees."""
import gzip
import os
import subprocess
import unittest

import guest
import guests
import tap

NEEDS_LONG = unittest.skipUnless(guest.LONG, "takes minutes: make test-long")


def linux(name, mode, *args, append=""):
    return ["-nographic", "-m", "256", "-kernel", guests.kernel(name), "-initrd", guests.initramfs(name),
            "-append", f"console=ttyS0 atoll.mode={mode} {append}", *args]


class Cloud(unittest.TestCase):
    def test_facts_and_power_off(self):
        self.facts_and_power_off()

    def test_facts_and_power_off_interpreted(self):
        self.facts_and_power_off("-accel", "interp")

    def facts_and_power_off(self, *args):
        with guest.temporary_folder() as folder:
            disk = os.path.join(folder, "disk.img")
            with open(disk, "wb") as out:
                out.truncate(48 << 20)
            with guest.Guest(*linux("cloud", "facts", "-cpu", "max", "-smp", "2", "-hda", disk, "-device", "virtio-rng-pci", *args)) as vm:
                vm.expect(r"ATOLL-GUEST kernel: Linux .*cloud-amd64 .*x86_64", 400)
                vm.expect(r"ATOLL-GUEST cpus: 2\b")
                vm.expect(r"ATOLL-GUEST model: \S")
                vm.expect(r"ATOLL-GUEST memory: 2\d{5} kB")
                vm.expect(r"ATOLL-GUEST disk: sda 49152 KiB")
                vm.expect(r"ATOLL-GUEST pci: 0000:00:00.0 class 0x060000 id 0x8086:0x1237")
                vm.expect(r"ATOLL-GUEST powers off")
                self.assertEqual(vm.wait(60), 0)

    def test_q35(self):
        with guest.Guest(*linux("cloud", "facts", "-cpu", "max", "-smp", "2", "-machine", "q35", "-device", "virtio-rng-pci")) as vm:
            vm.expect(r"MMCONFIG at \[mem 0xb0000000-0xbfffffff\] reserved in ACPI", 400)
            vm.expect(r"ATOLL-GUEST pci: 0000:00:00.0 class 0x060000 id 0x8086:0x29c0")
            vm.expect(r"ATOLL-GUEST pci: 0000:00:1f.0 class 0x060100 id 0x8086:0x2918")
            vm.expect(r"ATOLL-GUEST powers off")
            self.assertEqual(vm.wait(60), 0)

    def test_no_reboot(self):
        with guest.Guest(*linux("cloud", "reboot", "-no-reboot", append="quiet")) as vm:
            vm.expect("ATOLL-GUEST reboots", 400)
            self.assertEqual(vm.wait(60), 0)

    @NEEDS_LONG
    def test_reboot_starts_the_same_kernel_again(self):
        with guest.Guest(*linux("cloud", "reboot", append="quiet")) as vm:
            vm.expect("ATOLL-GUEST reboots", 400)
            vm.expect("ATOLL-GUEST reboots", 400)
            vm.signal(guest.TERM)
            self.assertEqual(vm.wait(), 0)

    def test_make_run_without_a_terminal(self):
        result = subprocess.run(["scripts/run-guest"], cwd=guest.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, errors="replace", timeout=600, check=False)
        self.assertEqual(result.returncode, 0, result.stdout[-3000:])
        self.assertRegex(result.stdout, r"ATOLL-GUEST cpus: 2\b")
        self.assertRegex(result.stdout, r"ATOLL-GUEST disk: sda 65536 KiB")

    def test_shell_on_a_terminal(self):
        with guest.Guest(*linux("cloud", "shell", "-smp", "2", append="quiet"), terminal=True) as vm:
            vm.expect("A shell in the guest", 400)
            vm.expect("# ", 60)
            vm.send("echo $((6 * 7)) answers\r")
            vm.expect("42 answers", 60)
            vm.send("exit\r")
            self.assertEqual(vm.wait(60), 0)


@NEEDS_LONG
class Others(unittest.TestCase):
    def facts(self, name, machine, *args):
        with guest.Guest(*linux(name, "facts", *args)) as vm:
            kernel = vm.expect(r"ATOLL-GUEST kernel: (.*)\r", 900).group(1)
            self.assertRegex(kernel, machine)
            vm.expect(r"ATOLL-GUEST cpus: (\d+)\r", 60)
            vm.expect("ATOLL-GUEST powers off", 60)
            self.assertEqual(vm.wait(60), 0)

    def test_amd64(self):
        self.facts("amd64", "x86_64", "-smp", "2", "-m", "512")

    def test_686(self):
        self.facts("686", "i686", "-cpu", "pentium3")

    def test_686_pae(self):
        self.facts("686-pae", "i686", "-cpu", "qemu32", "-smp", "2")


def unpacked_vmlinux(name, folder):
    """The ELF kernel within a bzImage: boot protocol 2.08, payload_offset and payload_length."""
    with open(guests.kernel(name), "rb") as file:
        image = file.read()
    start = (image[0x1f1] + 1) * 512 + int.from_bytes(image[0x248:0x24c], "little")
    payload = image[start:start + int.from_bytes(image[0x24c:0x250], "little") - 4]  # its unpacked size stands behind it
    path = os.path.join(folder, "vmlinux")
    with open(path + ".lz4", "wb") as out:
        out.write(payload)
    subprocess.run(["lz4", "-q", "-d", path + ".lz4", path], check=True)
    return path


class Entries(unittest.TestCase):
    """The other ways into a kernel."""

    def test_pvh(self):
        with guest.temporary_folder() as folder:
            args = linux("cloud", "facts", "-no-reboot", append="quiet cryptomgr.notests")
            args[args.index("-kernel") + 1] = unpacked_vmlinux("cloud", folder)
            with guest.Guest(*args) as vm:
                vm.expect(r"ATOLL-GUEST kernel: Linux .*cloud-amd64", 400)
                vm.expect("ATOLL-GUEST powers off", 60)
                self.assertEqual(vm.wait(60), 0)

    def xen(self, *args):
        with guest.temporary_folder() as folder:
            xen = os.path.join(folder, "xen")
            with gzip.open(guests.package_file("xen-hypervisor-4.17-amd64", "boot/xen-4.17-amd64.gz")) as file, open(xen, "wb") as out:
                out.write(file.read())
            modules = f"{guests.kernel('amd64')} console=hvc0 atoll.mode=facts,{guests.initramfs('amd64')}"
            with guest.Guest("-nographic", "-m", "1G", "-cpu", "max", "-kernel", xen, "-append", "console=com1 loglvl=all dom0_mem=512M",
                             "-initrd", modules, *args) as vm:
                vm.expect(r"Xen version 4\.17", 120)
                vm.expect(r"ATOLL-GUEST kernel: Linux", 900)
                vm.expect("ATOLL-GUEST powers off", 60)
                self.assertEqual(vm.wait(60), 0)

    @NEEDS_LONG
    def test_xen_with_dom0_by_multiboot(self):
        self.xen("-accel", "interp")

    @NEEDS_LONG
    def test_xen_with_dom0_translated(self):
        self.xen("-accel", "dbt")

    @NEEDS_LONG
    def test_xen_with_dom0_of_two_cpus_translated(self):
        self.xen("-accel", "dbt", "-smp", "2")


class Memtest(unittest.TestCase):
    def starts(self, name):
        path = guests.package_file("memtest86+", f"boot/{name}")
        for accel in "interp", "dbt":
            with self.subTest(accel), guest.Guest("-accel", accel, "-nographic", "-m", "32", "-kernel", path, "-append", "console=ttyS0,115200") as vm:
                vm.expect(r"Memtest86\+|Memtest", 120)
                vm.expect(r"Testing|Test:|Pass", 120)

    def test_64_bit(self):
        self.starts("memtest86+x64.bin")

    def test_32_bit(self):
        self.starts("memtest86+ia32.bin")


if __name__ == "__main__":
    tap.main()
