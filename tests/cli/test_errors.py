#!/usr/bin/env python3
"""Bad input: each case names the object, the cause and the way out, ends with status 1, and leaves nothing behind."""
import os
import subprocess
import unittest

import guest
import tap


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = guest.temporary_folder()
        self.addCleanup(self.folder.cleanup)

    def path(self, name, data=None, size=None):
        path = os.path.join(self.folder.name, name)
        if data is not None:
            with open(path, "wb") as out:
                out.write(data)
                if size is not None:
                    out.truncate(size)
        return path

    def refused(self, args, *patterns):
        before = sorted(os.listdir(self.folder.name))
        status, text = guest.run("-display", "none", *args)
        self.assertEqual(status, 1, f"{args} gave status {status}: {text}")
        for pattern in patterns:
            self.assertRegex(text, pattern)
        self.assertEqual(sorted(os.listdir(self.folder.name)), before, "something was left behind")
        self.assertNotIn("CRITICAL", text)


class Options(Case):
    def test_unknown_option(self):
        self.refused(["-kernal", "x"], r"no option '-kernal', did you mean '-kernel'\?")

    def test_missing_argument(self):
        self.refused(["-m"], r"option '-m' needs an argument")

    def test_memory_amounts(self):
        for text in ("lots", "0", "-5", "1GG", "", "size="):
            with self.subTest(text=text):
                self.refused(["-m", text], r"-m:")
        self.refused(["-m", "sise=1G"], r"-m: no property 'sise', did you mean 'size'\?")

    def test_more_memory_than_the_host(self):
        self.refused(["-m", "900T"], r"-m: .* MiB, but this host has \d+ MiB in all .*give it less")

    def test_smp(self):
        self.refused(["-smp", "3,sockets=2,cores=2"], r"-smp: 2 sockets of 2 cores .* are \d+ CPUs, not 3")
        self.refused(["-smp", "4,dies=2,cores=2"], r"-smp: dies=2: a socket has one here; multiply cores= instead")
        self.refused(["-smp", "0"], r"-smp: cpus is a number from 1")
        self.refused(["-smp", "two"], r"-smp: cpus is a number .* not 'two'")
        self.refused(["-smp", "4000"], r"takes up to \d+ CPUs, not 4000")
        self.refused(["-smp", "cpus=2,maxcpus=4"], r"not built yet")
        self.refused(["-smp", "2,socket=2"], r"did you mean 'sockets'\?")

    def test_uuid(self):
        self.refused(["-uuid", "1234"], r"-uuid: '1234' is no UUID; one looks like")

    def test_rtc(self):
        self.refused(["-rtc", "base=yesterday"], r"-rtc: base is utc, localtime, or a date")

    def test_boot(self):
        self.refused(["-boot", "order=xyz"], r"-boot: 'xyz' is no order")
        self.refused(["-boot", "cc"], r"-boot: 'cc' is no order")

    def test_machine_cpu_accel(self):
        self.refused(["-M", "pcc"], r"machine.* 'pcc'.*did you mean 'pc'")
        self.refused(["-cpu", "qemu46"], r"'qemu46'.*qemu64")
        self.refused(["-cpu", "qemu64,+avx3"], r"avx3")
        self.refused(["-accel", "turbo"], r"no accelerator 'turbo'; there are: .*interp")
        self.refused(["-machine", "pc,acel=kvm"], r"did you mean 'accel'\?")

    def test_log_category(self):
        self.refused(["-d", "guest_error"], r"did you mean 'guest_errors'")
        self.refused(["-d", "int", "-D", "/nonexistent/log"], r"cannot open log file '/nonexistent/log'")

    def test_networks(self):
        self.refused(["-netdev", "usr,id=a"], r"no network backend 'usr', did you mean 'user'")
        self.refused(["-netdev", "user"], r"needs id=")
        self.refused(["-netdev", "user,id=a,hostfd=tcp::1-:2"], r"'hostfd', did you mean 'hostfwd'")
        self.refused(["-net", "nic", "-net", "nic", "-net", "user"], r"more cards than host ends")


class Devices(Case):
    def test_unknown_device(self):
        self.refused(["-device", "isa-debug-exti"], r"did you mean 'isa-debug-exit'")

    def test_unknown_property(self):
        self.refused(["-device", "isa-debug-exit,iobsae=5"], r"'iobsae'.*iobase")

    def test_property_out_of_range(self):
        self.refused(["-device", "isa-debug-exit,iobase=0x10000"], r"iobase.*0x10000")

    def test_unknown_bus(self):
        self.refused(["-device", "virtio-rng-pci,bus=pci.1"], r"no bus 'pci.1'; PCI buses of this machine: pci.0")

    def test_missing_drive(self):
        self.refused(["-device", "ide-hd,drive=none"], r"'none'")

    def test_two_devices_of_one_name(self):
        self.refused(["-device", "virtio-rng-pci,id=a", "-device", "virtio-rng-pci,id=a"], r"two devices have the id 'a'")

    def test_serials(self):
        self.refused(["-serial", "stdoi"], r"did you mean 'stdio'")
        self.refused(["-serial", "chardev:a"], r"no chardev 'a'; define it with -chardev")
        self.refused(["-serial", "file:/nonexistent/f"], r"cannot write to '/nonexistent/f'")
        self.refused(["-serial", "null"] * 5, r"4 serial ports and all are taken")
        self.refused(["-chardev", "null"], r"needs id=")
        self.refused(["-chardev", "socket,id=a,path=/tmp/nobody/s"], r"cannot connect to unix:/tmp/nobody/s")


class Kernels(Case):
    def bzimage(self, size=1 << 20):
        import guests
        with open(guests.kernel("cloud"), "rb") as file:
            return file.read(size)

    def test_missing(self):
        self.refused(["-kernel", self.path("none")], r"cannot open kernel '.*/none': No such file")

    def test_empty(self):
        self.refused(["-kernel", self.path("k", b"")], r"kernel '.*/k' is empty")

    def test_directory(self):
        self.refused(["-kernel", self.folder.name], r"kernel '.*' is a directory; give a file")

    def test_wrong_type(self):
        self.refused(["-kernel", self.path("k", b"#!/bin/sh\necho\n")], r"kernel '.*/k' cannot be started: it is neither a Linux bzImage")
        self.refused(["-kernel", self.path("g", b"\x1f\x8b\x08" + bytes(2000))], r"compressed by gzip: unpack it first")
        self.refused(["-kernel", self.path("i", b"070701" + bytes(2000))], r"that goes with -initrd")
        self.refused(["-kernel", self.path("d", bytes(510) + b"\x55\xaa" + bytes(2000))], r"a disk image goes with -drive")
        self.refused(["-kernel", "/bin/true"], r"neither a PVH note nor a multiboot header")

    def test_truncated(self):
        self.refused(["-kernel", self.path("k", self.bzimage(1 << 20))], r"kernel '.*/k' is cut short: it has 1048576 of \d+ bytes; fetch it again")
        self.refused(["-kernel", self.path("h", self.bzimage(0x240))], r"cut short")
        with open("/bin/true", "rb") as file:
            self.refused(["-kernel", self.path("e", file.read(100))], r"cut short")

    def test_too_little_memory(self):
        import guests
        self.refused(["-m", "16", "-kernel", guests.kernel("cloud")], r"needs \d+ MiB to unpack itself, more than the machine's 16 MiB; give it more with -m")

    def test_initrd(self):
        import guests
        kernel = guests.kernel("cloud")
        self.refused(["-kernel", kernel, "-initrd", self.path("none")], r"cannot open initrd '.*/none': No such file")
        self.refused(["-kernel", kernel, "-initrd", self.path("empty", b"")], r"initrd '.*/empty' is empty")
        self.refused(["-kernel", kernel, "-initrd", self.path("big", b"x", 300 << 20)], r"initrd '.*/big' of \d+ KiB does not fit.*-m")
        self.refused(["-initrd", self.path("i", b"x")], r"-initrd needs -kernel")
        self.refused(["-append", "x"], r"-append needs -kernel")

    def test_command_line_too_long(self):
        import guests
        self.refused(["-kernel", guests.kernel("cloud"), "-append", "x" * 5000], r"-append: 5000 bytes are more than the 2047")


class Firmware(Case):
    def test_missing(self):
        self.refused(["-bios", self.path("none")], r"none'.*No such file")
        self.refused(["-bios", "nothere.bin"], r"no firmware 'nothere.bin' in .*seabios")

    def test_wrong(self):
        self.refused(["-bios", self.path("empty", b"")], r"empty")
        self.refused(["-bios", self.path("odd", b"x" * 1000)], r"odd'")
        self.refused(["-bios", self.folder.name], r"director")


class Images(Case):
    def test_missing(self):
        self.refused(["-hda", self.path("none")], r"none'.*No such file")

    def test_directory(self):
        self.refused(["-hda", self.folder.name], r"director")

    def test_format(self):
        self.refused(["-drive", f"file={self.path('d', bytes(4096))},format=vmdkk"], r"format 'vmdkk' is not known; known are raw, qcow2")

    def test_properties(self):
        self.refused(["-drive", "fiel=x"], r"-drive: no property 'fiel', did you mean 'file'\?")
        self.refused(["-drive", "if=ide"], r"a disk needs file=")
        self.refused(["-drive", "file=x,if=scis"], r"if is one of ide, virtio, none, pflash, floppy, not 'scis'")

    def test_one_place_for_two(self):
        disk = self.path("d", bytes(4096))
        self.refused(["-hda", disk, "-drive", f"file={disk},index=0"], r"both want IDE position 0")

    def test_in_use(self):
        disk = self.path("d", bytes(1 << 20))
        with guest.Guest("-S", "-display", "none", "-serial", "stdio", "-hda", disk, "-pidfile", self.path("pid")) as vm:
            for _ in range(100):
                if os.path.exists(self.path("pid")):
                    break
                vm._read(0.1)
            vm._read(0.5)
            self.refused(["-hda", disk], rf"d'.*{vm.process.pid}")


@unittest.skipUnless(os.path.exists("/dev/kvm") and os.geteuid() == 0, "needs /dev/kvm and root, to take the right to it away")
class Kvm(Case):
    def refused_as_nobody(self, *args):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", guest.ATOLL_VM, "-display", "none", *args],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)

    def test_no_right(self):
        if os.stat("/dev/kvm").st_mode & 0o006:
            self.skipTest("everybody may use /dev/kvm here")
        result = self.refused_as_nobody("-accel", "kvm")
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertRegex(result.stdout, r"/dev/kvm.*group")


if __name__ == "__main__":
    tap.main()
