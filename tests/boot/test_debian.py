#!/usr/bin/env python3
"""A Debian disk boots by SeaBIOS, GRUB and systemd to a login on IDE, works hard there, and powers off."""
import os
import subprocess
import unittest

import guest
import guest_disk
import tap

SECONDS = int(os.environ.get("ATOLL_STRESS_SECONDS", "60"))
STRESSORS = {"cpu": "", "vm": "--vm-bytes 64M", "fork": "", "switch": "", "signal": "", "cache": "", "atomic": ""}

TROUBLE = "BUG:|Oops|rcu.*stall|soft lockup|Call Trace|EXT4-fs error|ata[0-9].*failed command|clocksource.*unstable"


@unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
class Debian(unittest.TestCase):
    def command(self, vm, text, seconds):
        """Runs it in the guest's shell; returns what it prints.  It must end well."""
        vm.send(f"{text}; echo status=$?.\r")
        vm.expect(r"\$\?\.\r", 60)  # its echo
        start = vm.seen
        status = vm.expect(r"status=(\d+)\.", seconds).group(1)
        output = vm.text[start:vm.seen]
        self.assertEqual(status, "0", output)
        return output

    def stress(self, vm, cpus, seconds):
        for name, options in STRESSORS.items():
            output = self.command(vm, f"stress-ng --verify --{name} {cpus} {options} -t {seconds}", seconds * 3 + 60)
            self.assertIn("successful run completed", output)
            self.assertNotRegex(output, r"fail:|failed")
            print(f"# {name}: {seconds} s verified on {cpus} CPUs", flush=True)

    def work(self, arch, cpus, seconds, *args, image=None, form="raw"):
        disk = image or guest_disk.disk(arch)
        with guest.Guest("-accel", "dbt", "-nographic", "-m", "512", "-smp", str(cpus), "-snapshot", "-drive",
                         f"file={disk},format={form},if=ide", *args, terminal=True) as vm:
            vm.expect("GRUB", 60)
            vm.expect(r"Linux version", 120)
            vm.expect(r"atoll login: root \(automatic login\)", 300)
            vm.expect(r"root@atoll:~# ", 120)
            self.command(vm, "stty cols 200; bind 'set enable-bracketed-paste off'; dmesg -n 1", 60)
            self.assertIn(f"cpus={cpus}.", self.command(vm, "echo cpus=$(nproc).", 60))
            self.assertIn("/dev/sda1", self.command(vm, "findmnt -no SOURCE /", 60))
            self.assertEqual(self.command(vm, "systemctl --failed --plain --no-legend --no-pager", 60).count(".service"), 0)
            self.stress(vm, cpus, seconds)
            self.assertIn("trouble=0.", self.command(vm, f"echo trouble=$(dmesg | grep -cE '{TROUBLE}').", 60), self.command(vm, "dmesg | tail", 60))
            vm.send("poweroff\r")
            self.assertEqual(vm.wait(120), 0)

    def test_one_cpu(self):
        self.work("amd64", 1, SECONDS)

    def test_two_cpus(self):
        self.work("amd64", 2, SECONDS)

    def test_q35_with_sata(self):
        self.work("amd64", 2, 2, "-machine", "q35")

    def test_qcow2(self):
        with guest.temporary_folder() as folder:
            image = os.path.join(folder, "disk.qcow2")
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", guest_disk.disk("amd64"), image], check=True)
            self.work("amd64", 1, min(SECONDS, 5), image=image, form="qcow2")

    def test_32_bit(self):
        self.work("i386", 1, min(SECONDS, 10))

    def test_32_bit_two_cpus(self):
        self.work("i386", 2, min(SECONDS, 10))


if __name__ == "__main__":
    tap.main()
