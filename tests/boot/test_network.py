#!/usr/bin/env python3
"""Debian's own network drivers reach the host: leases, names, data both ways, forwards, dumps.  All of it on loopback."""
import hashlib
import http.server
import os
import shutil
import socket
import socketserver
import struct
import threading
import time
import unittest

import guest
import guests
import tap

NEEDS_LONG = unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
DATA_BYTES = 24 << 20

# A first process that asks for a lease and says what it got; then a shell.
LEASE = r"""#!/bin/busybox sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev $interface
ip addr add $ip/$mask dev $interface
ip route add default via ${router%% *}
echo "nameserver ${dns%% *}" > /etc/resolv.conf
echo "GUEST lease $ip mask $mask router $router dns $dns boot $boot_file"
"""
INIT = guests.INIT.replace("case $mode in", r"""mkdir -p /etc
cat > /lease <<'END'
""" + LEASE + r"""END
chmod 755 /lease
ip link set lo up
for card in /sys/class/net/eth*; do
    [ -e $card ] || continue
    ip link set ${card##*/} up
    udhcpc -q -n -t 10 -i ${card##*/} -s /lease 2>/tmp/udhcpc || cat /tmp/udhcpc
done
case $mode in""", 1)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Web:
    """A web server on loopback: GET gives `data`; what comes by PUT or POST is kept."""

    def __init__(self, data):
        outer = self
        self.data, self.received = data, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.data)))
                self.end_headers()
                self.wfile.write(outer.data)

            def do_POST(self):
                outer.received.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Sink(threading.Thread):
    """Takes one connection to its end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.data = b""
        self.start()

    def run(self):
        connection, _ = self.socket.accept()
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
        self.data = b"".join(parts)
        connection.close()
        self.socket.close()


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data.upper(), self.client_address)


def boot(*args, kernel="cloud", memory="256"):
    return guest.Guest("-nographic", "-m", memory, "-accel", "dbt", "-kernel", guests.kernel(kernel), "-initrd", guests.initramfs(kernel, INIT),
                       "-append", "console=ttyS0 quiet atoll.mode=shell", *args, terminal=True)


def shell(vm, command, answer="# ", seconds=120):
    vm.expect("# ", 60)
    vm.send(command + "\r")
    vm.expect(r"\n", 60)
    found = vm.expect(rf"({answer})", seconds).group(1)
    if answer == "# ":
        vm.seen -= 2
    return found


class User(unittest.TestCase):
    def check(self, *args, kernel="cloud", driver="virtio_net"):
        data = os.urandom(DATA_BYTES)
        web, sink, forward = Web(data), Sink(), free_port()
        self.addCleanup(web.close)
        with guest.temporary_folder() as folder:
            pcap = os.path.join(folder, "net.pcap")
            with boot("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{forward}-:7", "-object", f"filter-dump,id=d0,netdev=n0,file={pcap},maxlen=128", *args,
                      kernel=kernel) as vm:
                vm.expect(r"GUEST lease 10\.0\.2\.15 mask 24 router 10\.0\.2\.2 dns 10\.0\.2\.3", 400)
                vm.expect("A shell in the guest", 60)
                shell(vm, "basename $(readlink /sys/class/net/eth0/device/driver)", driver)
                shell(vm, f"wget -q -O - http://10.0.2.2:{web.port}/ | md5sum", hashlib.md5(data).hexdigest(), 300)
                shell(vm, f"dd if=/dev/urandom of=/tmp/up bs=65536 count={DATA_BYTES >> 16} 2>/dev/null; md5sum < /tmp/up", "[0-9a-f]{32}", 200)
                up = vm.text[vm.seen - 32:vm.seen]
                shell(vm, f"nc 10.0.2.2 {sink.port} < /tmp/up; echo sent", "sent", 300)
                sink.join(60)
                self.assertEqual(hashlib.md5(sink.data).hexdigest(), up)
                shell(vm, "nc -l -p 7 | md5sum & until grep -q ':0007 .* 0A ' /proc/net/tcp*; do sleep 0.1; done; echo liste''ning", "listening")
                with socket.create_connection(("127.0.0.1", forward)) as s:
                    s.sendall(data)
                vm.expect(hashlib.md5(data).hexdigest(), 300)
                vm.send("\r")
                shell(vm, "ip -s link show eth0 | tail -n 4; ping -c 3 10.0.2.2 | grep received", "3 packets received")
                vm.send("poweroff -f\r")
                self.assertEqual(vm.wait(60), 0)
            self.check_pcap(pcap)

    def check_pcap(self, path):
        with open(path, "rb") as file:
            magic, major, minor, _, _, _, link = struct.unpack("<IHHIIII", file.read(24))
            self.assertEqual((magic, major, minor, link), (0xa1b2c3d4, 2, 4, 1))
            frames, arps = 0, 0
            while head := file.read(16):
                _, _, kept, whole = struct.unpack("<IIII", head)
                frame = file.read(kept)
                self.assertEqual(len(frame), min(whole, 128))
                frames += 1
                arps += frame[12:14] == b"\x08\x06"
            self.assertGreater(frames, 100)
            self.assertGreater(arps, 0)

    def test_virtio(self):
        self.check("-device", "virtio-net-pci,netdev=n0")

    def test_e1000(self):
        self.check("-device", "e1000,netdev=n0", kernel="amd64", driver="e1000")

    def test_e1000e(self):
        self.check("-machine", "q35", "-device", "e1000e,netdev=n0", kernel="amd64", driver="e1000e")

    def test_e1000e_line_and_reset(self):
        """Without messages, and once more after a reset in use."""
        with guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-machine", "q35", "-nic", "user,model=e1000e", "-kernel", guests.kernel("amd64"), "-initrd",
                         guests.initramfs("amd64", INIT), "-append", "console=ttyS0 quiet atoll.mode=shell pci=nomsi", terminal=True) as vm:
            for last in (False, True):
                vm.expect("GUEST lease 10", 400)
                vm.expect("A shell in the guest", 60)
                shell(vm, "basename $(readlink /sys/class/net/eth0/device/driver)", "e1000e")
                shell(vm, "ping -c 3 10.0.2.2 | grep received", "3 packets received")
                vm.expect("# ", 60)
                vm.send("poweroff -f\r" if last else "reboot -f\r")
            self.assertEqual(vm.wait(60), 0)

    @NEEDS_LONG
    def test_virtio_smp(self):
        self.check("-device", "virtio-net-pci,netdev=n0,mq=on,queues=2", "-smp", "2")

    @NEEDS_LONG
    def test_virtio_legacy(self):
        self.check("-device", "virtio-net-pci,netdev=n0,disable-modern=on,mrg_rxbuf=off")

    @NEEDS_LONG
    def test_virtio_plain(self):
        self.check("-device", "virtio-net-pci,netdev=n0,csum=off,guest_csum=off,mrg_rxbuf=off,ctrl_vq=off")


class Wires(unittest.TestCase):
    """Which interrupt line Debian's driver takes a card's pin for, by _PRT."""

    def line_of_card(self, words):
        with guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-machine", "q35", "-nic", "user,model=e1000", "-kernel", guests.kernel("amd64"), "-initrd",
                         guests.initramfs("amd64", INIT), "-append", f"console=ttyS0 quiet atoll.mode=shell pci=nomsi {words}", terminal=True) as vm:
            vm.expect("GUEST lease 10", 400)  # so interrupts do come
            vm.expect("A shell in the guest", 60)
            return int(shell(vm, "grep eth0 /proc/interrupts", r"\d+(?=: .*eth0)"))

    def test_ioapic(self):
        self.assertIn(self.line_of_card(""), range(16, 24))

    def test_two_8259s(self):
        self.assertIn(self.line_of_card("noapic"), (5, 10, 11))


class Pair(unittest.TestCase):
    """Two guests on one cable."""

    def start(self, netdev, mac):
        vm = guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-kernel", guests.kernel("cloud"), "-initrd",
                         guests.initramfs("cloud", guests.INIT), "-append", "console=ttyS0 quiet atoll.mode=shell", "-netdev", netdev,
                         "-device", f"virtio-net-pci,netdev=n0,mac={mac}", terminal=True)
        self.addCleanup(vm.__exit__)
        return vm

    def talk(self, first, second):
        one, two = self.start(first, "52:54:00:00:00:01"), self.start(second, "52:54:00:00:00:02")
        for vm, address in (one, "10.9.0.1"), (two, "10.9.0.2"):
            vm.expect("A shell in the guest", 200)
            shell(vm, f"ip addr add {address}/24 dev eth0; ip link set eth0 up; echo re''ady", "ready")
        shell(two, "ping -c 3 10.9.0.1 | grep received", "3 packets received")
        shell(one, "nc -l -p 7 | md5sum & until grep -q ':0007 .* 0A ' /proc/net/tcp*; do sleep 0.1; done; echo liste''ning", "listening")
        shell(two, "head -c 4000000 /dev/urandom > /tmp/d; md5sum < /tmp/d", "[0-9a-f]{32}", 200)
        digest = two.text[two.seen - 32:two.seen]
        shell(two, "nc 10.9.0.1 7 < /tmp/d; echo se''nt", "sent", 200)
        one.expect(digest, 100)
        return one, two

    def test_stream(self):
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "wire")
            one, two = self.talk(f"stream,id=n0,server=on,addr.type=unix,addr.path={path}", f"stream,id=n0,reconnect=1,addr.type=unix,addr.path={path}")
            two.process.kill()
            one.send("\r")
            shell(one, "until grep -q 0 /sys/class/net/eth0/carrier; do sleep 0.1; done; echo un''plugged", "unplugged")

    @NEEDS_LONG
    def test_socket(self):
        port = free_port()
        self.talk(f"socket,id=n0,listen=127.0.0.1:{port}", f"socket,id=n0,connect=127.0.0.1:{port}")

    @NEEDS_LONG
    def test_dgram(self):
        with guest.temporary_folder() as folder:
            a, b = os.path.join(folder, "a"), os.path.join(folder, "b")
            ends = "dgram,id=n0,local.type=unix,local.path={},remote.type=unix,remote.path={}"
            self.talk(ends.format(a, b), ends.format(b, a))


class Pxe(unittest.TestCase):
    """Network boot: iPXE from the card's ROM, address and file from user networking."""

    def start(self, card, folder, bootfile, *args):
        return guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-boot", "n", "-netdev", f"user,id=n0,tftp={folder},bootfile={bootfile}",
                           "-device", f"{card},netdev=n0", *args)

    def sector(self, card):
        with guest.temporary_folder() as folder:
            image = guest.boot_sector(guest.HELLO, folder, 512)
            with self.start(card, folder, os.path.basename(image), *guest.DEBUG_EXIT) as vm:
                vm.expect("hello from the boot sector", 120)
                self.assertEqual(vm.wait(), 7)

    def kernel(self, card, kernel):
        with guest.temporary_folder() as folder:
            shutil.copy(guests.kernel(kernel), os.path.join(folder, "linux"))
            shutil.copy(guests.initramfs(kernel, guests.INIT), os.path.join(folder, "initrd.gz"))
            with open(os.path.join(folder, "boot.ipxe"), "w", encoding="ascii") as file:
                file.write("#!ipxe\nkernel linux console=ttyS0 quiet atoll.mode=facts initrd=initrd.gz\ninitrd initrd.gz\nboot\n")
            with self.start(card, folder, "boot.ipxe") as vm:
                vm.expect("ATOLL-GUEST kernel: Linux", 400)
                vm.expect("ATOLL-GUEST powers off", 60)
                self.assertEqual(vm.wait(60), 0)

    def test_sector_e1000(self):
        self.sector("e1000")

    def test_sector_e1000e(self):
        self.sector("e1000e")

    def test_sector_virtio(self):
        self.sector("virtio-net-pci")

    def test_linux_virtio(self):
        self.kernel("virtio-net-pci", "cloud")

    def test_sector_virtio_modern(self):
        self.sector("virtio-net-pci,disable-legacy=on")

    @NEEDS_LONG
    def test_linux_e1000(self):
        self.kernel("e1000", "amd64")


class Idle(unittest.TestCase):
    def test_host_end_sleeps(self):
        """With a descriptor to watch, too: a forward's socket."""
        with guest.Guest("-S", "-display", "none", "-nic", f"user,hostfwd=tcp:127.0.0.1:{free_port()}-:22", "-monitor", "stdio") as vm:
            vm.expect(r"\(atoll\)", 30)
            tasks = f"/proc/{vm.process.pid}/task"
            names, end = {}, time.monotonic() + 60
            while "net" not in names and time.monotonic() < end:  # a thread names itself
                names = {open(f"{tasks}/{task}/comm", encoding="ascii").read().strip(): task for task in os.listdir(tasks)}
            time.sleep(2)
            with open(f"{tasks}/{names['net']}/stat", encoding="ascii") as stat:
                user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
            self.assertLess(int(user) + int(system), 20, "of 200 hundredths of a second")


if __name__ == "__main__":
    tap.main()
