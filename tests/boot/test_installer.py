#!/usr/bin/env python3
"""Debian's installer runs from its CD, by itself, onto an empty disk; what it installed boots, answers ssh, and heeds the power button.

Three machines: virtio disk, IDE disk, and q35 with OVMF.  Minutes each: `make test-long`.  Screens are kept in the build folder's `screens/`.
"""
import os
import re
import shutil
import socket
import subprocess
import time
import unittest

import guest
import installer
import tap
import vnc

OVMF = "/usr/share/OVMF"
BIN = os.path.dirname(guest.ATOLL_VM)
SCREENS = os.path.join(os.path.dirname(os.path.abspath(BIN)), "screens")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def screenshot(display, name):
    """By two viewers that are not ours: one keeps NAME.jpg, one NAME.png."""
    os.makedirs(SCREENS, exist_ok=True)
    for command, kind in (["vncsnapshot", "-quality", "95"], "jpg"), (["gvnccapture"], "png"):
        path = os.path.join(SCREENS, f"{name}.{kind}")
        done = subprocess.run([*command, f"127.0.0.1:{display}", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * guest.PATIENCE, check=False)
        assert done.returncode == 0 and os.path.getsize(path) > 1000, f"{path}: {done.stdout}"


def colours_of(screen):
    return {bytes(line[x:x + 3]) for line in screen for x in range(0, len(line), 4)}


@unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
class Installer(unittest.TestCase):
    card = "virtio-net-pci"

    def setUp(self):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.key = os.path.join(self.folder, "key")
        self.disk = os.path.join(self.folder, "disk.qcow2")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "atoll-test", "-f", self.key], check=True)
        subprocess.run([os.path.join(BIN, "atoll-img"), "create", "-q", "-f", "qcow2", self.disk, "4G"], check=True)

    def cd(self, kernel):
        with open(self.key + ".pub", encoding="utf-8") as file:
            return installer.cd(self.folder, kernel, file.read().strip())

    def machine(self, display, *args):
        return ["-accel", "dbt", "-smp", "2", "-m", "1024", "-vnc", f"127.0.0.1:{display},share=ignore", *args]

    def install(self, name, kernel, disk, *args):
        """The installation, to the restart at its end."""
        n = vnc.free_display()
        with guest.Guest(*self.machine(n, "-cdrom", self.cd(kernel), "-boot", "d", "-nic", f"user,model={self.card}", "-serial", "stdio", "-monitor", "none", "-no-reboot", *args)) as vm, \
                vnc.Vnc(5900 + n) as viewer:
            vm.expect(r"udhcpc: Got IP 10\.0\.2\.15", 300)
            vm.expect(rf"atoll-disk: disk: {disk}\b", 300)
            vm.expect(r"debootstrap: Unpacking ", 900)
            screenshot(n, f"installer-{name}")
            self.assertIn(b"\xaa\x00\x00", colours_of(viewer.screen()))  # BGR: the blue behind its windows
            vm.expect("installation complete", 1500)
            self.assertEqual(vm.wait(120), 0)

    def ssh(self, port, command, seconds=60):
        return subprocess.run(["ssh", "-i", self.key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
                               "-o", "LogLevel=ERROR", "root@127.0.0.1", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=seconds * guest.PATIENCE, check=False)

    def wait_for_ssh(self, vm, port, seconds):
        end = time.monotonic() + seconds * guest.PATIENCE
        while self.ssh(port, "true").returncode != 0:
            self.assertLess(time.monotonic(), end, "no ssh")
            self.assertIsNone(vm.process.poll(), "the machine ended")
            time.sleep(1)

    def log_in(self, viewer, port):
        """At the screen, with keys."""
        end = time.monotonic() + 60 * guest.PATIENCE
        viewer.type("root\n")
        time.sleep(5)
        viewer.type(installer.PASSWORD + "\n")
        while "tty1" not in self.ssh(port, "who").stdout:
            self.assertLess(time.monotonic(), end, "nobody has logged in at the screen")
            time.sleep(1)

    def run_installed(self, name, disk, *args):
        n, port = vnc.free_display(), free_port()
        with guest.Guest(*self.machine(n, "-nic", f"user,model={self.card},hostfwd=tcp:127.0.0.1:{port}-:22", "-serial", "none", "-monitor", "stdio", *args)) as vm, \
                vnc.Vnc(5900 + n) as viewer:
            self.wait_for_ssh(vm, port, 180)
            facts = self.ssh(port, "findmnt -no SOURCE /; ip -4 -o addr show scope global; ls -d /sys/firmware/efi; grep -laP 'd\\x00e\\x00b\\x00i\\x00a\\x00n' /sys/firmware/efi/efivars/Boot0*; cat /proc/cmdline; systemctl is-system-running --wait").stdout
            self.assertRegex(facts, rf"^{disk}")
            self.assertIn("inet 10.0.2.15/24", facts)
            self.assertIn("BOOT_IMAGE=/boot/vmlinuz-", facts)  # which GRUB says
            self.assertRegex(facts, r"running\s*$")
            screenshot(n, f"login-{name}")
            self.log_in(viewer, port)
            screenshot(n, f"logged-in-{name}")
            vm.send("system_powerdown\n")
            self.assertEqual(vm.wait(120), 0)
            return facts

    def check(self, name, kernel, disk, *args):
        self.install(name, kernel, disk, *args)
        report = subprocess.run([os.path.join(BIN, "atoll-img"), "check", self.disk], stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(report.returncode, 0, report.stdout)
        return self.run_installed(name, disk, *args)

    def test_virtio(self):
        self.check("virtio", "linux-image-cloud-amd64", "/dev/vda", "-drive", f"file={self.disk},if=virtio,format=qcow2")

    def test_ide(self):
        self.card = "e1000"
        self.check("ide", "linux-image-amd64", "/dev/sda", "-hda", self.disk)

    @unittest.skipUnless(os.path.exists(OVMF), "no ovmf here")
    def test_q35_with_ovmf(self):
        variables = shutil.copy(OVMF + "/OVMF_VARS_4M.fd", self.folder)
        facts = self.check("ovmf", "linux-image-amd64", "/dev/vda", "-machine", "q35", "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                           "-drive", f"if=pflash,format=raw,file={variables}", "-drive", f"file={self.disk},if=virtio,format=qcow2")
        self.assertTrue(re.search("^/sys/firmware/efi$", facts, re.MULTILINE), facts)
        self.assertIn("efivars/Boot0", facts)  # GRUB's own entry


@unittest.skipUnless(guest.LONG, "takes a minute: make test-long")
class Graphical(unittest.TestCase):
    def first_page(self, viewer, seconds):
        """Its pixels, once they have been the same twice."""
        end, last = time.monotonic() + seconds * guest.PATIENCE, None
        while True:
            screen = viewer.screen()
            if (viewer.width, viewer.height) == (1280, 800) and len(colours_of(screen)) > 100 and screen == last:
                return screen
            self.assertLess(time.monotonic(), end, "no page of the graphical installer")
            last = screen
            time.sleep(3)

    def test_pointer_moves(self):
        folder = installer.image_folder("gtk")
        n = vnc.free_display()
        with guest.Guest("-accel", "dbt", "-m", "1024", "-net", "none", "-vnc", f"127.0.0.1:{n},share=ignore", "-serial", "none", "-monitor", "none", "-append", "--- quiet",
                         "-kernel", os.path.join(folder, "linux"), "-initrd", os.path.join(folder, "initrd.gz")), vnc.Vnc(5900 + n) as viewer:
            before = self.first_page(viewer, 300)
            screenshot(n, "graphical-before")
            for step in range(61):  # a mouse: only the way counts
                viewer.pointer(600 + 4 * step, 400 + 3 * step)
                time.sleep(0.02)
            time.sleep(2)
            after = viewer.screen()
            screenshot(n, "graphical-after")
            rows = [y for y in range(800) if before[y] != after[y]]
            columns = {x for y in rows for x in range(1280) if before[y][4 * x:4 * x + 3] != after[y][4 * x:4 * x + 3]}
            # The arrow is gone from the middle, and stands below it, to the right; the page is as it was.
            self.assertLess(len(rows), 100)
            self.assertTrue(400 <= min(rows) < 420 and 640 <= min(columns) < 660, (rows, columns))
            self.assertTrue(max(rows) > 500 and max(columns) > 750, (rows, columns))


if __name__ == "__main__":
    tap.main()
