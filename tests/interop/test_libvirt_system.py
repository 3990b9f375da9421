#!/usr/bin/env python3
"""The host's own libvirtd (qemu:///system) with atoll-vm as <emulator>: a NAT network with taps that the daemon opens, virt-install from a disk
and from a CD, cards and disks that come and go on pc and q35, viewers at its VNC port.

The daemon runs in namespaces of the test; beyond its NAT is a second network with a web server, which has no way back to the guests' addresses."""
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import unittest

import guest
import guests
import libvirt_host
import tap
from libvirt_host import wait_for

TOOLS = ("libvirtd", "virsh", "virt-install", "qemu-img", "grub-mkrescue", "vncsnapshot", "djpeg", "gvnccapture")
DATA_BYTES = 1 << 20
FIRST_MAC, SECOND_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
GRUB = "set timeout=0\nmenuentry 'Install' {\n    linux /linux console=ttyS0 quiet atoll.mode=shell\n    initrd /initrd\n}\n"
sys.path.append(os.path.join(guest.ROOT, "tests/boot"))


def run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60 * guest.PATIENCE).stdout


@unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
@unittest.skipUnless(all(map(shutil.which, TOOLS)), "needs " + ", ".join(TOOLS))
@unittest.skipUnless(libvirt_host.can_be_system(), "needs root, namespaces, /dev/net/tun, iptables and dnsmasq")
class System(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import test_network  # its guest asks for leases
        cls.host = libvirt_host.System()
        cls.addClassCleanup(cls.host.close)
        cls.virsh = staticmethod(cls.host.virsh)
        cls.host.start_network()
        cls.kernel, cls.initrd = (cls.host.give(shutil.copy(path, cls.host.path(name))) for name, path in
                                  (("linux", guests.kernel("cloud")), ("initrd", guests.initramfs("cloud", test_network.INIT))))
        cls.data = os.urandom(DATA_BYTES)
        cls.start_outside()

    @classmethod
    def start_outside(cls):
        import test_tap  # its server
        outside, path = f"atvirt{os.getpid()}", cls.host.path("data")
        with open(path, "wb") as out:
            out.write(cls.data)
        run("ip", "netns", "add", outside)
        cls.addClassCleanup(run, "ip", "netns", "del", outside)
        run("ip", "-n", outside, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", str(cls.host.daemon.pid))
        for prefix, address in (["ip", "-n", outside], "203.0.113.1/24"), (cls.host.within("ip"), "203.0.113.2/24"):
            run(*prefix, "addr", "add", address, "dev", "up0")
            run(*prefix, "link", "set", "up0", "up")
        server = subprocess.Popen(["ip", "netns", "exec", outside, sys.executable, "-c", test_tap.SERVER, path], stdin=subprocess.DEVNULL,  # pylint: disable=consider-using-with
                                  stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(server.stdout.close)
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.kill)
        if server.stdout.readline() != "serves\n":
            raise AssertionError("the server outside does not start")

    def state(self):
        return self.virsh("domstate", "t1")

    def install(self, *args):
        """A machine on the NAT network, with the console of its shell; args: what it boots from."""
        self.addCleanup(self.host.remove)
        self.host.virt_install("--memory", "256", "--network", f"network=default,model=virtio,mac={FIRST_MAC}", *args)
        return self.open_console()

    def open_console(self):
        console = self.host.console()
        self.addCleanup(console.__exit__)
        return console

    def disk(self, name="disk.qcow2"):
        return self.host.image(name, "qcow2", "64M")

    def import_disk(self, machine):
        boot = f"kernel={self.kernel},initrd={self.initrd},kernel_args=console=ttyS0 quiet atoll.mode=shell"
        console = self.install("--machine", machine, "--import", "--disk", f"path={self.disk()},format=qcow2,bus=virtio", "--boot", boot)
        self.wait_shell(console)
        return console

    @staticmethod
    def wait_shell(console):
        """The lease that it got before."""
        lease = console.expect(r"GUEST lease (192\.168\.122\.\d+) mask (?:24|255\.255\.255\.0) router 192\.168\.122\.1 dns 192\.168\.122\.1", 600).group(1)
        console.expect("A shell in the guest", 60)
        console.shell("stty -echo; PS1=")
        return lease

    # ---- what people do with a machine that runs

    def reach_outside(self, console):
        self.assertIn(hashlib.md5(self.data).hexdigest(), console.shell("wget -q -O - http://203.0.113.1:8000/ | md5sum", 200))
        self.assertIn(" 203.0.113.2", console.shell("wget -q -O - --post-data=x http://203.0.113.1:8000/"))

    def knows_the_card(self):
        self.assertIn(FIRST_MAC, self.virsh("net-dhcp-leases", "default"))
        self.assertIn("192.168.122.", self.virsh("domifaddr", "t1"))
        self.assertRegex(self.virsh("domiflist", "t1"), rf"vnet\d+ +network +default +virtio +{FIRST_MAC}")
        self.assertRegex(self.host.log("t1").replace('"', "").replace(":", "="), r"-netdev \{?(type=)?tap,fds?=")  # not a name that it would have to open

    def pull_the_cable(self, console):
        for state, carrier in ("down", "0"), ("up", "1"):
            self.virsh("domif-setlink", "t1", FIRST_MAC, state)
            console.wait_shell("cat /sys/class/net/eth0/carrier", rf"(?m)^{carrier}\s*$")

    def plug_card(self, console):
        self.virsh("attach-interface", "t1", "network", "default", "--model", "virtio", "--mac", SECOND_MAC, "--live")
        console.wait_shell("cat /sys/class/net/eth1/address", SECOND_MAC)
        console.wait_shell("ip link set eth1 up; udhcpc -q -n -i eth1 -s /lease", r"GUEST lease 192\.168\.122\.")
        self.assertIn(SECOND_MAC, self.virsh("net-dhcp-leases", "default"))
        self.virsh("detach-interface", "t1", "network", "--mac", SECOND_MAC, "--live")
        wait_for(lambda: SECOND_MAC not in self.virsh("domiflist", "t1"), "libvirt sees the card gone")
        console.shell("! test -e /sys/class/net/eth1")

    def plug_disk(self, console):
        path = self.disk("more.qcow2")
        self.virsh("attach-disk", "t1", path, "vdb", "--driver", "qemu", "--subdriver", "qcow2", "--live")
        console.wait_shell("cat /sys/block/vdb/size", r"\b131072\b")
        console.shell("printf 'written by the guest' | dd of=/dev/vdb conv=fsync 2>/dev/null")
        self.virsh("detach-disk", "t1", "vdb", "--live")
        wait_for(lambda: "more.qcow2" not in self.virsh("domblklist", "t1"), "libvirt sees the disk gone")
        console.shell("! test -e /sys/block/vdb")
        run("qemu-img", "convert", "-O", "raw", path, self.host.path("more.raw"))
        with open(self.host.path("more.raw"), "rb") as disk:
            self.assertEqual(disk.read(20), b"written by the guest")

    def look(self):
        """Two viewers and the daemon see a screen of the same size."""
        place = self.virsh("vncdisplay", "t1")
        self.assertRegex(place, r"^127\.0\.0\.1:\d+$")
        self.virsh("screenshot", "t1", self.host.path("shot"))
        size = self.picture_size("shot")
        run(*self.host.within("vncsnapshot", "-quiet", place, self.host.path("screen.jpg")))
        run("djpeg", "-pnm", "-outfile", self.host.path("viewer.ppm"), self.host.path("screen.jpg"))
        self.assertEqual(self.picture_size("viewer.ppm"), size)
        run(*self.host.within("gvnccapture", place, self.host.path("screen.png")))
        self.assertEqual(self.picture_size("screen.png"), size)

    def picture_size(self, name):
        with open(self.host.path(name), "rb") as picture:
            head = picture.read(24)
        if head.startswith(b"\x89PNG"):
            return struct.unpack(">II", head[16:])
        return tuple(map(int, re.match(rb"P6\s(\d+) (\d+)\s", head).groups()))

    def stand_still(self, console):
        self.virsh("suspend", "t1")
        self.assertEqual(self.state(), "paused")
        console.send("echo typed mean''while\n")
        self.virsh("resume", "t1")
        console.expect("typed meanwhile", 60)

    def whole_life(self, machine):
        console = self.import_disk(machine)
        self.knows_the_card()
        self.reach_outside(console)
        self.pull_the_cable(console)
        self.plug_card(console)
        self.plug_disk(console)
        self.stand_still(console)
        self.virsh("destroy", "t1")
        self.assertEqual(self.state(), "shut off")
        self.assertNotIn("vnet", run(*self.host.within("ip", "-o", "link")))

    def test_pc(self):
        self.whole_life("pc")

    def test_q35(self):
        self.whole_life("q35")

    def make_cd(self):
        tree, path = self.host.path("tree"), self.host.path("install.iso")
        os.makedirs(f"{tree}/boot/grub")
        with open(f"{tree}/boot/grub/grub.cfg", "w", encoding="ascii") as out:
            out.write(GRUB)
        for name, file in ("linux", self.kernel), ("initrd", self.initrd):
            shutil.copy(file, f"{tree}/{name}")
        run("grub-mkrescue", "-o", path, tree)
        return self.host.give(path)

    def test_cdrom(self):
        """An installer on a CD writes what the disk boots afterwards."""
        sector = guest.boot_sector(guest.HELLO.replace("hello from the boot sector", "installed"), self.host.folder)
        with open(sector, "rb") as file:
            octal = "".join(f"\\{byte:03o}" for byte in file.read(512))
        console = self.install("--cdrom", self.make_cd(), "--disk", f"path={self.disk()},format=qcow2,bus=virtio")
        self.wait_shell(console)
        for at in range(0, 512, 64):  # a line of a terminal is short
            console.shell(f"printf '{octal[at * 4:(at + 64) * 4]}' >> /tmp/sector")
        console.shell("dd if=/tmp/sector of=/dev/vda conv=fsync 2>/dev/null")
        console.send("poweroff -f\n")
        wait_for(lambda: self.state() == "shut off", "the installer turns the machine off", 120)
        self.assertNotIn("install.iso", self.virsh("domblklist", "t1", "--inactive"))
        self.virsh("start", "t1", "--paused")
        console = self.open_console()
        self.virsh("resume", "t1")
        console.expect("installed", 60)
        self.look()  # there is text: vncsnapshot waits as long as a screen is blank


if __name__ == "__main__":
    tap.main()
