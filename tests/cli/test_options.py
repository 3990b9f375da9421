#!/usr/bin/env python3
"""What atoll-vm says about itself, and how it takes options."""
import os
import re
import subprocess
import unittest

import guest
import tap


class Help(unittest.TestCase):
    def answer(self, *args):
        status, text = guest.run(*args)
        self.assertEqual(status, 0, text)
        return text

    def test_version(self):
        self.assertRegex(self.answer("-version"), r"^Atoll machine emulator version \d")
        self.assertEqual(self.answer("--version"), self.answer("-version"))

    def test_help_names_every_option(self):
        text = self.answer("-help")
        for option in ("-machine", "-accel", "-enable-kvm", "-cpu", "-m", "-smp", "-name", "-uuid", "-bios", "-L", "-kernel", "-initrd",
                       "-append", "-hda", "-hdb", "-hdc", "-hdd", "-cdrom", "-drive", "-boot", "-device", "-nographic", "-display",
                       "-vga", "-serial", "-chardev", "-debugcon", "-monitor", "-no-reboot", "-no-shutdown", "-no-acpi", "-no-hpet",
                       "-S", "-snapshot", "-rtc", "-pidfile", "-d", "-D", "-version", "-help", "-nodefaults", "-no-user-config"):
            with self.subTest(option=option):
                self.assertRegex(text, rf"(?m)^  {option}( |$)")

    def test_lists(self):
        for args, word in ((("-machine", "help"), "pc"), (("-accel", "help"), "interp"), (("-cpu", "help"), "qemu64"),
                           (("-device", "help"), "isa-debug-exit"), (("-d", "help"), "guest_errors"), (("-chardev", "help"), "socket"),
                           (("-device", "isa-debug-exit,help"), "iobase")):
            with self.subTest(args=args):
                self.assertIn(word, self.answer(*args))

    def test_manual_is_a_page_that_man_takes(self):
        text = self.answer("-manual")
        self.assertTrue(text.startswith(".TH ATOLL"))
        for section in ("NAME", "SYNOPSIS", "DEVICE TYPES", "EXIT STATUS"):
            self.assertIn(f".SH {section}\n", text)
        self.assertIn("isa\\-debug\\-exit", text)


class Spellings(unittest.TestCase):
    """Command lines that people have for QEMU."""

    def test_taken(self):
        with guest.temporary_folder() as folder:
            disk = os.path.join(folder, "disk")
            with open(disk, "wb") as file:
                file.truncate(1 << 20)
            for args in ("-M pc-i440fx-7.2", "-M pc-q35-6.2,usb=on", "-M pc -accel tcg,thread=multi,tb-size=256", "-parallel none", "-display vnc=unix:%s/vnc" % folder,
                         "-device virtio-serial -device virtio-balloon -device virtio-gpu -device virtio-rng -device virtio-keyboard -device virtio-scsi",
                         f"-blockdev driver=file,filename={disk},node-name=f -device virtio-blk,drive=f -netdev user,id=n -device virtio-net,netdev=n",
                         "-global PIIX4_PM.disable_s3=1 -global driver=cfi.pflash01,property=secure,value=off",
                         f"-drive file={disk},format=raw,iops=100,iops_max=200,bps_rd=1000000", f"-drive file={disk},format=raw,if=virtio,copy-on-read=on,throttling.bps-total=5000"):
                with self.subTest(args), guest.Guest("-S", "-m", "64", "-monitor", "stdio", *args.split(), *([] if "display" in args else ["-display", "none"])) as vm:
                    vm.send("info status\n")
                    vm.expect("paused")
                    vm.send("quit\n")
                    self.assertEqual(vm.wait(), 0)

    def test_refused(self):
        for args, why in (("-M pc-i440fx-7.7", "no machine type"), ("-accel dbt,thread=single", "thread of its own"), ("-parallel /dev/lp0", "not built"),
                          ("-global rubbish", "DRIVER.PROPERTY=VALUE"), ("-global driver=cfi.pflash01,property=secure,value=on", "only off is built"),
                          ("-device virtio", "there is no device"), ("-drive file=/etc/hostname,format=raw,readonly=on,iops=many,if=none,id=a", "many")):
            with self.subTest(args):
                status, text = guest.run("-S", "-display", "none", *args.split())
                self.assertEqual(status, 1, text)
                self.assertIn(why, text)


class Consoles(unittest.TestCase):
    def test_pidfile_and_signal(self):
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "pid")
            with guest.Guest("-S", "-display", "none", "-pidfile", path, "-serial", "stdio") as vm:
                for _ in range(100):
                    if os.path.exists(path) and os.path.getsize(path):
                        break
                    vm._read(0.1)
                with open(path, encoding="ascii") as file:
                    self.assertEqual(int(file.read()), vm.process.pid)
                status, text = guest.run("-S", "-display", "none", "-pidfile", path)
                self.assertEqual(status, 1)
                self.assertIn("belongs to a running machine", text)
                vm.signal(guest.TERM)
                self.assertEqual(vm.wait(), 0)
                self.assertIn("ending on signal 15", vm.text)
            self.assertFalse(os.path.exists(path))

    def test_pty_is_named(self):
        with guest.Guest("-S", "-display", "none", "-serial", "pty") as vm:
            name = vm.expect(r"char device redirected to (/dev/pts/\d+) \(label serial0\)").group(1)
            self.assertTrue(os.path.exists(name))


class Terminal(unittest.TestCase):
    def restored_after(self, end):
        with guest.Guest("-S", "-nographic", terminal=True) as vm:
            end(vm)
            vm.wait()
            for _ in range(40):  # after SIGKILL a helper process restores it
                text = subprocess.run(["stty", "-a"], stdin=vm.slave, stdout=subprocess.PIPE, text=True, check=True).stdout
                if re.search(r"(?<!-)\bicanon", text):
                    break
                vm._read(0.05)
            for flag in ("icanon", "echo", "isig", "icrnl"):
                self.assertRegex(text, rf"(?<!-)\b{flag}\b")
            return vm

    def wait_raw(self, vm):
        for _ in range(200):
            text = subprocess.run(["stty", "-a"], stdin=vm.slave, stdout=subprocess.PIPE, text=True, check=True).stdout
            if "-icanon" in text:
                return
            vm._read(0.05)
        self.fail("the terminal never became raw")

    def wait_running(self, vm):
        """Its main loop goes round: keys are answered, and signals are not the kernel's any more."""
        self.wait_raw(vm)
        vm.send("\x01h")
        vm.expect("Ctrl-a x", 60)

    def test_quit_key(self):
        def end(vm):
            self.wait_running(vm)
            vm.send("\x01x")
        self.assertEqual(self.restored_after(end).process.returncode, 0)

    def test_sigterm(self):
        def end(vm):
            self.wait_running(vm)
            vm.signal(guest.TERM)
        self.assertEqual(self.restored_after(end).process.returncode, 0)

    def test_sigkill(self):
        def end(vm):
            self.wait_raw(vm)
            vm.process.kill()
        self.assertEqual(self.restored_after(end).process.returncode, -9)


if __name__ == "__main__":
    tap.main()
