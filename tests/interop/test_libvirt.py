#!/usr/bin/env python3
"""Stock libvirtd takes atoll-vm as <emulator>: probe, define, start, suspend, resume, destroy.  A session daemon of an unprivileged
user with its own folders, driven by stock virsh."""
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import guest
import tap

NOBODY = 65534
DOMAIN = """<domain type='{kind}'><name>t1</name><memory unit='MiB'>128</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>{cpu}
<devices><emulator>{emulator}</emulator>{disk}
<serial type='file'><source path='{folder}/serial'/><target port='0'/></serial>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='none'/><controller type='usb' model='none'/></devices></domain>"""


@unittest.skipUnless(shutil.which("libvirtd") and shutil.which("virsh"), "libvirtd or virsh is not installed")
@unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
class Libvirt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="atoll-libvirt-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ("home", "run"):
            os.mkdir(os.path.join(cls.folder, name), 0o700)
        cls.emulator = os.path.join(cls.folder, "atoll-vm")
        shutil.copy(guest.ATOLL_VM, cls.emulator)
        for name in ("", "home", "run"):
            os.chown(os.path.join(cls.folder, name), NOBODY, NOBODY)
        os.chmod(cls.folder, 0o755)
        cls.environment = {"HOME": f"{cls.folder}/home", "XDG_RUNTIME_DIR": f"{cls.folder}/run", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        cls.daemon = subprocess.Popen(["libvirtd"], user=NOBODY, group=NOBODY, extra_groups=[], env=cls.environment, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.stop)
        end = time.monotonic() + 20 * guest.PATIENCE
        while not os.path.exists(f"{cls.folder}/run/libvirt/libvirt-sock"):
            if time.monotonic() > end:
                raise AssertionError("libvirtd does not listen")
            time.sleep(0.05)

    @classmethod
    def stop(cls):
        cls.daemon.terminate()
        cls.daemon.wait()

    def virsh(self, *args, status=0):
        done = subprocess.run(["virsh", "-q", "-c", "qemu:///session", *args], user=NOBODY, group=NOBODY, extra_groups=[], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * guest.PATIENCE, check=False)
        self.assertEqual(done.returncode, status, f"virsh {args}: {done.stdout}{self.log()}")
        return done.stdout.strip()

    def log(self):
        try:
            with open(f"{self.folder}/home/.cache/libvirt/qemu/log/t1.log", encoding="utf-8") as log:
                return "\n" + log.read()[-2000:]
        except OSError:
            return ""

    def define(self, disk="", cpu=""):
        path = os.path.join(self.folder, "t1.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(DOMAIN.format(kind="qemu", emulator=self.emulator, folder=self.folder, disk=disk, cpu=cpu))
        self.virsh("define", path)
        self.addCleanup(self.virsh, "undefine", "t1")

    def test_capabilities(self):
        text = self.virsh("domcapabilities", "--emulatorbin", self.emulator, "--arch", "x86_64", "--machine", "pc", "--virttype", "qemu")
        self.assertIn("<mode name='maximum' supported='yes'>", text)

    def test_life(self):
        self.define()
        self.virsh("start", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "running")
        self.virsh("suspend", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "paused")
        self.virsh("resume", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "running")
        self.assertIn("SeaBIOS", self.serial())
        self.assertIn("running", self.virsh("qemu-monitor-command", "t1", "--hmp", "info status"))
        self.virsh("reset", "t1")
        self.virsh("destroy", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "shut off")

    def test_disk(self):
        path = os.path.join(self.folder, "disk.img")
        with open(path, "wb") as out:
            out.truncate(1 << 20)
        os.chown(path, NOBODY, NOBODY)
        self.define(f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk>")
        self.virsh("start", "t1")
        self.assertIn("disk.img", self.virsh("domblklist", "t1"))
        self.virsh("destroy", "t1")

    def serial(self):
        end = time.monotonic() + 20 * guest.PATIENCE
        text = ""
        while "SeaBIOS" not in text and time.monotonic() < end:
            with open(f"{self.folder}/serial", encoding="utf-8", errors="replace") as out:
                text = out.read()
            time.sleep(0.1)
        return text


if __name__ == "__main__":
    tap.main()
