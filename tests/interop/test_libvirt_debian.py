#!/usr/bin/env python3
"""A Debian disk under stock libvirtd, from virt-install to destroy, by the verbs that people use (long)."""
import os
import shutil
import subprocess
import unittest

import guest
import libvirt_host
import tap
from libvirt_host import wait_for

TOOLS = ("libvirtd", "virsh", "virt-install", "setpriv", "qemu-img")


@unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
@unittest.skipUnless(all(map(shutil.which, TOOLS)), "needs " + ", ".join(TOOLS))
@unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
class Debian(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import guest_disk
        cls.host = libvirt_host.Session()
        cls.addClassCleanup(cls.host.close)
        cls.virsh = staticmethod(cls.host.virsh)
        base = cls.host.path("debian.img")
        subprocess.run(["cp", "--sparse=always", guest_disk.disk("amd64"), base], check=True)
        cls.base = cls.host.give(base)

    def state(self):
        return self.virsh("domstate", "t1")

    def install(self, *args):
        """A machine whose disk is a new overlay, and its console with a shell."""
        disk = self.host.image("disk.qcow2", "qcow2", "", "-b", self.base, "-F", "raw")
        self.addCleanup(self.host.remove)
        self.host.virt_install("--import", "--memory", "512", "--vcpus", "2", "--disk", f"path={disk},format=qcow2,bus=virtio", *args)
        return self.open_console()

    def open_console(self):
        console = self.host.console()
        self.addCleanup(console.__exit__)
        console.login()
        return console

    # ---- the verbs, each on a machine that runs

    def stand_still(self, console):
        self.virsh("suspend", "t1")
        self.assertEqual(self.state(), "paused")
        console.send("echo typed meanwhile\n")
        self.virsh("resume", "t1")
        self.assertEqual(self.state(), "running")
        console.expect("typed meanwhile", 60)

    def plug_disk(self, console):
        path = self.host.image("more.img", "raw", "64M")
        self.virsh("attach-disk", "t1", path, "vdb", "--driver", "qemu", "--subdriver", "raw", "--live")
        console.wait_shell("cat /sys/block/vdb/size", r"\b131072\b")
        console.shell("printf 'written by the guest' | dd of=/dev/vdb conv=fsync,notrunc")
        self.assertIn("more.img", self.virsh("domblklist", "t1"))
        self.virsh("detach-disk", "t1", "vdb", "--live")
        wait_for(lambda: "more.img" not in self.virsh("domblklist", "t1"), "libvirt sees the disk gone")
        console.shell("! test -e /sys/block/vdb")
        with open(path, "rb") as disk:
            self.assertEqual(disk.read(20), b"written by the guest")

    def plug_network(self, console):
        mac = "52:54:00:00:00:77"
        path = self.host.path("interface.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"<interface type='user'><mac address='{mac}'/><model type='virtio'/></interface>")
        self.virsh("attach-device", "t1", path, "--live")
        console.wait_shell("cat /sys/class/net/*/address", mac)
        console.wait_shell(f"ip -4 -o address show dev $(basename $(dirname $(grep -l {mac} /sys/class/net/*/address)))", r"10\.0\.2\.15")
        self.assertIn(mac, self.virsh("domiflist", "t1"))
        self.virsh("detach-interface", "t1", "user", "--mac", mac, "--live")
        wait_for(lambda: mac not in self.virsh("domiflist", "t1"), "libvirt sees the card gone")
        console.shell(f"! grep {mac} /sys/class/net/*/address")

    def look(self):
        path = self.host.path("screen.ppm")
        self.virsh("screenshot", "t1", path)
        with open(path, "rb") as picture:
            self.assertIn(picture.read(2), (b"P6", b"\x89P"))
        self.assertTrue(self.virsh("vncdisplay", "t1").startswith("127.0.0.1:"))

    def reboot(self, console):
        before = console.shell("cat /proc/sys/kernel/random/boot_id")
        self.virsh("reboot", "t1")
        console.login()
        self.assertNotEqual(console.shell("cat /proc/sys/kernel/random/boot_id"), before)

    def shut_down(self):
        self.virsh("shutdown", "t1")
        wait_for(lambda: self.state() == "shut off", "the guest shuts down", 120)

    def whole_life(self, *args):
        console = self.install(*args)
        self.assertEqual(self.state(), "running")
        self.stand_still(console)
        self.plug_disk(console)
        self.plug_network(console)
        self.look()
        self.reboot(console)
        self.shut_down()
        self.virsh("start", "t1")
        self.open_console()
        self.virsh("destroy", "t1")
        self.assertEqual(self.state(), "shut off")

    def test_pc(self):
        self.whole_life("--machine", "pc", "--network", "user,model=e1000")

    def test_q35(self):
        self.whole_life("--machine", "q35", "--network", "user,model=virtio")


if __name__ == "__main__":
    tap.main()
