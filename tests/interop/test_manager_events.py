#!/usr/bin/env python3
"""Events of atolld: of one object and of all, by stock virsh; and for clients that know of no callbacks, byte by byte."""
import os
import re
import shutil
import socket
import struct
import subprocess
import unittest

import managed
import tap

REMOTE, CALL, MESSAGE = 0x20008086, 0, 2
REGISTER, DEREGISTER, LIFECYCLE, REGISTER_ANY, DEREGISTER_ANY, REBOOT = 105, 106, 107, 167, 168, 169
STARTED, SUSPENDED, RESUMED = 2, 3, 4


class OldClient:
    """One that has asked for no feature: calls, and messages that come between."""

    def __init__(self, path, uri="test:///default"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(20 * managed.guest.PATIENCE)
        self.serial, self.messages = 0, []
        assert self.call(1, struct.pack(">II", 1, len(uri)) + uri.encode().ljust((len(uri) + 3) // 4 * 4, b"\0") + bytes(4))[0] == 0

    def read(self):
        """(procedure, type, status, body)"""
        head = self.socket.recv(28, socket.MSG_WAITALL)
        length, _, _, procedure, kind, _, status = struct.unpack(">IIIiIII", head)
        return procedure, kind, status, self.socket.recv(length - 28, socket.MSG_WAITALL) if length > 28 else b""

    def call(self, procedure, body=b""):
        """(status, body)"""
        self.serial += 1
        self.socket.sendall(struct.pack(">IIIiIII", 28 + len(body), REMOTE, 1, procedure, CALL, self.serial, 0) + body)
        while True:
            number, kind, status, reply = self.read()
            if kind != MESSAGE:
                return status, reply
            self.messages.append((number, reply))

    def next(self):
        while not self.messages:
            number, _, _, body = self.read()
            self.messages.append((number, body))
        return self.messages.pop(0)


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Events(managed.Managed):
    uri = managed.TEST

    def test_without_callbacks(self):
        client = OldClient(self.daemon.socket)
        self.addCleanup(client.socket.close)
        self.assertEqual(client.call(REGISTER), (0, struct.pack(">i", 1)))
        self.assertEqual(client.call(REGISTER)[0], 1)
        self.assertEqual(client.call(REGISTER_ANY, struct.pack(">i", 0))[0], 1)
        self.assertEqual(client.call(REGISTER_ANY, struct.pack(">i", 1)), (0, b""))
        self.assertEqual(client.call(REGISTER_ANY, struct.pack(">i", 16))[0], 1)
        self.virsh("suspend", "test")
        number, body = client.next()
        self.assertEqual(number, LIFECYCLE)
        self.assertTrue(body.startswith(struct.pack(">I", 4) + b"test" + bytes.fromhex("6695eb01f6a4830479aa97f2502e193f")), body)
        self.assertEqual(struct.unpack(">ii", body[-8:]), (SUSPENDED, 0))
        self.virsh("resume", "test")
        self.assertEqual(struct.unpack(">ii", client.next()[1][-8:]), (RESUMED, 0))
        self.assertEqual(client.call(DEREGISTER), (0, struct.pack(">i", 0)))
        self.assertEqual(client.call(DEREGISTER)[0], 1)
        self.virsh("suspend", "test")
        self.virsh("resume", "test")
        self.virsh("reboot", "test")
        self.assertEqual(client.next()[0], REBOOT)
        self.assertEqual(client.call(DEREGISTER_ANY, struct.pack(">i", 1)), (0, b""))

    def watch(self, call, *args):
        process = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri(self.uri), *args, "--loop", "--timeout", "120"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close()))
        self.until(lambda: f"call {call}" in self.daemon.said(), "virsh has not registered")
        return process.stdout

    def test_one_pool(self):
        for name in ("a", "b"):
            self.virsh("pool-define-as", name, "dir", "--target", self.path(name))
        events = self.watch("CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY", "pool-event", "--event", "lifecycle", "--pool", "b")
        for name in ("a", "b"):
            self.virsh("pool-start", name)
        self.assertRegex(events.readline(), r"pool b: Started")
        self.virsh("pool-destroy", "a")
        self.virsh("pool-destroy", "b")
        self.assertRegex(events.readline(), r"pool b: Stopped")

    @unittest.skipUnless(not os.geteuid() and shutil.which("ip"), "needs root and ip")
    def test_devices_of_the_host(self):
        bridge = f"atd{os.getpid() % 10000}"
        process = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri("qemu:///session"), "nodedev-event", "--event", "lifecycle", "--loop", "--timeout", "120"],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stdout.close()))
        self.until(lambda: "call CONNECT_NODE_DEVICE_EVENT_REGISTER_ANY" in self.daemon.said(), "virsh has not registered")
        done = subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            self.skipTest(f"no bridge can be made: {done.stdout}")
        self.addCleanup(subprocess.run, ["ip", "link", "del", bridge], stderr=subprocess.DEVNULL, check=False)
        self.told(process, rf"net_{bridge}_.*Created")
        subprocess.run(["ip", "link", "del", bridge], check=True)
        self.told(process, rf"net_{bridge}_.*Deleted")

    def told(self, process, pattern):
        """Others may make devices too."""
        line = process.stdout.readline()
        while line and not re.search(pattern, line):
            line = process.stdout.readline()
        self.assertRegex(line, pattern)

    def test_one_network(self):
        for name, bridge in (("a", "vb7"), ("b", "vb8")):
            self.virsh("net-define", self.write(name + ".xml", f"<network><name>{name}</name><bridge name='{bridge}'/></network>"))
        events = self.watch("CONNECT_NETWORK_EVENT_REGISTER_ANY", "net-event", "--event", "lifecycle", "--network", "b")
        for name in ("a", "b"):
            self.virsh("net-start", name)
        self.assertRegex(events.readline(), r"network b: Started")
        self.virsh("net-destroy", "b")
        self.assertRegex(events.readline(), r"network b: Stopped")


if __name__ == "__main__":
    tap.main()
