#!/usr/bin/env python3
"""The line that people type to install a system, with its card at a tap in a bridge: `-net nic,model=virtio -net tap,ifname=tap0,script=no,downscript=no`.

In a network namespace of its own: a bridge with dnsmasq, NAT to a second namespace where a server is "outside".  The CD is a Debian kernel behind
GRUB; its program takes a lease, fetches and brings data, and goes on when the interface is taken away."""
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import unittest

import guest
import guests
import tap
import vnc

import test_network  # its guest asks for a lease

BIN = os.path.dirname(guest.ATOLL_VM)
DATA_BYTES = 16 << 20
RULES = "table ip nat { chain postrouting { type nat hook postrouting priority srcnat; oifname up0 masquerade; }; }"
# Serves DATA, and says whose the connection is and what came.
SERVER = """
import hashlib, http.server, sys
data = open(sys.argv[1], 'rb').read()
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(data)
    def do_POST(self):
        self.answer((hashlib.md5(self.rfile.read(int(self.headers['Content-Length']))).hexdigest() + ' ' + self.client_address[0] + '\\n').encode())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('203.0.113.1', 8000), Handler)
print('serves', flush=True)
server.serve_forever()
"""
GRUB = """
set timeout=0
menuentry 'Debian' {
    linux /linux console=tty0 console=ttyS0 quiet atoll.mode=shell
    initrd /initrd
}
"""


def run(*words, **named):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, timeout=60 * guest.PATIENCE, **named).stdout


def can_make_namespaces():
    return os.geteuid() == 0 and all(map(shutil.which, ("ip", "nft", "dnsmasq", "unshare"))) and os.path.exists("/dev/net/tun") and \
        subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def make_cd(folder):
    tree, path = os.path.join(folder, "tree"), os.path.join(folder, "some.iso")
    os.makedirs(f"{tree}/boot/grub")
    with open(f"{tree}/boot/grub/grub.cfg", "w", encoding="ascii") as out:
        out.write(GRUB)
    shutil.copy(guests.kernel("cloud"), f"{tree}/linux")
    shutil.copy(guests.initramfs("cloud", test_network.INIT), f"{tree}/initrd")
    run("grub-mkrescue", "-o", path, tree)
    return path


@unittest.skipUnless(can_make_namespaces(), "needs root, network namespaces, /dev/net/tun, nft and dnsmasq")
class Tap(unittest.TestCase):
    def setUp(self):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.inside, self.outside = f"attap{os.getpid()}", f"atweb{os.getpid()}"
        for name in self.inside, self.outside:
            run("ip", "netns", "add", name)
            self.addCleanup(run, "ip", "netns", "del", name)
        for line in ("link set lo up", "link add br0 type bridge", "addr add 192.168.76.1/24 dev br0", "link set br0 up",
                     "tuntap add tap0 mode tap", "link set tap0 master br0", "link set tap0 up",
                     f"link add up0 type veth peer name up0 netns {self.outside}", "addr add 203.0.113.2/24 dev up0", "link set up0 up"):
            run("ip", "-n", self.inside, *line.split())
        for line in "addr add 203.0.113.1/24 dev up0", "link set up0 up":  # and no way back to 192.168.76.0
            run("ip", "-n", self.outside, *line.split())
        run(*self.within(self.inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))
        run(*self.within(self.inside, "nft", RULES))

    @staticmethod
    def within(name, *words):
        return ["ip", "netns", "exec", name, *words]

    @contextlib.contextmanager
    def started(self, name, *words):
        with subprocess.Popen(self.within(name, *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def dnsmasq(self):
        return self.started(self.inside, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--interface=br0", "--bind-interfaces", "--port=0",
                            "--dhcp-range=192.168.76.100,192.168.76.150,1h", "--dhcp-option=6,203.0.113.1", f"--dhcp-leasefile={self.folder}/leases",
                            f"--pid-file={self.folder}/pid", "--user=root", "--log-facility=/dev/null")

    def server(self, data):
        path = os.path.join(self.folder, "data")
        with open(path, "wb") as out:
            out.write(data)
        return self.started(self.outside, sys.executable, "-c", SERVER, path)

    def reaches_outside(self, vm, data):
        """Through NAT: the server sees the host's address, for it has no way back to the guest's.  Busybox' wget posts text only."""
        test_network.shell(vm, "wget -q -O - http://203.0.113.1:8000/ | md5sum", hashlib.md5(data).hexdigest(), 300)
        test_network.shell(vm, f"dd if=/dev/urandom bs=65536 count={DATA_BYTES >> 16} 2>/dev/null | base64 > /tmp/up; md5sum < /tmp/up", "[0-9a-f]{32}", 200)
        up = vm.text[vm.seen - 32:vm.seen]
        test_network.shell(vm, "wget -q -O - --post-file=/tmp/up http://203.0.113.1:8000/", rf"{up} 203\.0\.113\.2", 300)

    def test_mission_line(self):
        data = os.urandom(DATA_BYTES)
        image, n = os.path.join(self.folder, "ubuntutest.img"), vnc.free_display()
        run(os.path.join(BIN, "atoll-img"), "create", "-f", "qcow2", image, "8G")
        words = self.within(self.inside, guest.ATOLL_VM, "-accel", "dbt", "-name", "ubuntutest", "-m", "2048", "-hda", image, "-cdrom", make_cd(self.folder),
                            "-boot", "d", "-vnc", f"unix:{self.folder}/vnc", "-net", "nic,model=virtio", "-net", "tap,ifname=tap0,script=no,downscript=no",
                            "-serial", "stdio")
        with self.dnsmasq(), self.server(data) as server, guest.Guest(*words[1:], program=words[0], terminal=True) as vm:
            self.assertEqual(server.stdout.readline(), "serves\n")
            lease = vm.expect(r"GUEST lease (192\.168\.76\.1\d\d) mask (?:24|255\.255\.255\.0) router 192\.168\.76\.1 dns 203\.0\.113\.1", 400).group(1)
            vm.expect("A shell in the guest", 60)
            with open(f"{self.folder}/leases", encoding="ascii") as leases:
                self.assertRegex(leases.read(), rf" 52:54:00:12:34:56 {re.escape(lease)} ")
            with vnc.Vnc(path=f"{self.folder}/vnc") as viewer:
                self.assertEqual(viewer.name, "ubuntutest")
            self.reaches_outside(vm, data)
            run("ip", "-n", self.inside, "link", "del", "tap0")
            vm.expect("interface 'tap0' is gone.*the guest sees its cable unplugged", 60)
            vm.send("\r")
            test_network.shell(vm, "until grep -q 0 /sys/class/net/eth0/carrier; do sleep 0.1; done; echo un''plugged", "unplugged")
            vm.send("poweroff -f\r")
            self.assertEqual(vm.wait(60), 0)

    def test_fixed_address(self):
        """No DHCP server: an address given by hand, and the interface made by atoll-vm and put into the bridge by its script."""
        data = os.urandom(DATA_BYTES)
        script = os.path.join(self.folder, "up")
        with open(script, "w", encoding="ascii") as out:
            out.write("#!/bin/sh\nip link set $1 master br0 up\n")
        os.chmod(script, 0o755)
        words = self.within(self.inside, guest.ATOLL_VM, "-accel", "dbt", "-nographic", "-m", "256", "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"),
                            "-append", "console=ttyS0 quiet atoll.mode=shell", "-net", "nic,model=virtio", "-net", f"tap,ifname=tap7,script={script},downscript=no")
        with self.server(data) as server, guest.Guest(*words[1:], program=words[0], terminal=True) as vm:
            self.assertEqual(server.stdout.readline(), "serves\n")
            vm.expect("A shell in the guest", 400)
            test_network.shell(vm, "ip addr add 192.168.76.9/24 dev eth0; ip link set eth0 up; ip route add default via 192.168.76.1; echo re''ady", "ready")
            self.reaches_outside(vm, data)
            vm.send("poweroff -f\r")
            self.assertEqual(vm.wait(60), 0)
        self.assertNotIn("tap7", run("ip", "-n", self.inside, "-o", "link"))


HELPER = """#!/usr/bin/env python3
import array, fcntl, os, socket, struct, subprocess, sys
words = dict(word[2:].split('=', 1) for word in sys.argv[1:] if '=' in word)
assert '--use-vnet' in sys.argv
if words['br'] != 'br0':
    sys.exit('access denied by acl file')
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'helped0', 0x5002))  # TUNSETIFF: a tap without packet information, with vnet_hdr
for line in 'link set helped0 master br0', 'link set helped0 up':
    subprocess.run(['ip', *line.split()], check=True)
socket.socket(fileno=int(words['fd'])).sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [tun]))])
"""


@unittest.skipUnless(can_make_namespaces(), "needs root, network namespaces, /dev/net/tun, nft and dnsmasq")
class Helper(unittest.TestCase):
    """-netdev bridge: somebody else makes the interface and passes it on."""

    def setUp(self):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.helper = os.path.join(folder.name, "helper")
        with open(self.helper, "w", encoding="ascii") as out:
            out.write(HELPER)
        os.chmod(self.helper, 0o755)
        self.space = f"athelp{os.getpid()}"
        run("ip", "netns", "add", self.space)
        self.addCleanup(run, "ip", "netns", "del", self.space)
        run("ip", "-n", self.space, "link", "add", "br0", "type", "bridge")

    def machine(self, netdev):
        return guest.Guest("netns", "exec", self.space, guest.ATOLL_VM, "-S", "-m", "64", "-display", "none", "-monitor", "stdio", "-netdev", netdev,
                           "-device", "virtio-net,netdev=n", program="ip")

    def test_interface(self):
        for netdev in f"bridge,id=n,helper={self.helper}", f"tap,id=n,br=br0,helper={self.helper}":
            with self.subTest(netdev), self.machine(netdev) as vm:
                vm.send("info network\n")
                vm.expect(r"ifname=helped0")
                self.assertIn("master br0", run("ip", "-n", self.space, "link", "show", "helped0"))
                vm.send("quit\n")
                self.assertEqual(vm.wait(), 0)

    def test_refused(self):
        for netdev, why in ((f"bridge,id=n,br=virbr0,helper={self.helper}", r"gave no interface in bridge 'virbr0'"),
                            ("bridge,id=n,helper=/nowhere/helper", r"cannot run the bridge helper '/nowhere/helper'"),
                            (f"tap,id=n,ifname=tap7,helper={self.helper}", "leave out fd=, ifname="), ("bridge,id=n,helper=/bin/true", "gave no interface")):
            with self.subTest(netdev), self.machine(netdev) as vm:
                vm.expect(why)
                self.assertEqual(vm.wait(), 1)


if __name__ == "__main__":
    tap.main()
