#!/usr/bin/env python3
"""Disks of a running machine over NBD: read by libnbd's and QEMU's clients while a guest writes, dirty bitmaps as backup tools read them."""
import json
import os
import shutil
import socket
import subprocess
import time
import unittest

import guest
import qmp
import tap
import test_backup


def action(kind, **data):
    return {"type": kind, "data": data}


@unittest.skipUnless(all(shutil.which(program) for program in ("nbdcopy", "nbdinfo", "qemu-img")), "needs libnbd-bin and qemu-utils")
class Export(test_backup.Machine):
    def uri(self, name=""):
        return f"nbd+unix:///{name}?socket={self.path('nbd')}"

    def start(self, monitor, **more):
        monitor.run("nbd-server-start", addr={"type": "unix", "data": {"path": self.path("nbd")}}, **more)

    def export(self, monitor, **more):
        monitor.run("block-export-add", **{"type": "nbd", "id": "e0", "node-name": "disk", "name": "vda", **more})

    def call(self, *words, fails=False):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode != 0, fails, (words, done.stdout, done.stderr))
        return done.stdout + (done.stderr if fails else "")

    def refused(self, monitor, words, command, **arguments):
        with self.assertRaisesRegex(qmp.Refused, words):
            monitor.run(command, **arguments)

    def remove(self, monitor, seconds=20):
        """Clients that have ended are gone a moment later."""
        end = time.monotonic() + seconds * guest.PATIENCE
        while True:
            try:
                return monitor.run("block-export-del", id="e0")
            except qmp.Refused as error:
                if "still in use" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def dirty(self, name):
        """The runs that clients see, of the bitmap of the export."""
        rows = json.loads(self.call("nbdinfo", "--json", f"--map=qemu:dirty-bitmap:{name}", self.uri("vda")))
        return [(r["offset"], r["length"]) for r in rows if r["type"] == 1]


class Running(Export):
    def test_incremental(self):
        """A backup tool's round: whole at one moment, then what changed since, both fetched over NBD while the guest runs."""
        vm, monitor = self.machine()
        vm.expect("A shell in the guest", 200)
        self.shell(vm, "i=0; while [ $i -lt 1024 ]; do printf mark; i=$((i+1)); done > /mark")
        self.start(monitor)
        monitor.run("transaction", actions=[action("block-dirty-bitmap-add", node="disk", name="first")])
        self.export(monitor)
        vm.send(self.write_marks(vm, 0) + "; echo do''ne\r")
        self.call("nbdcopy", self.uri("vda"), self.path("whole.raw"))  # while it writes
        self.assertEqual(os.path.getsize(self.path("whole.raw")), test_backup.DISK_MIB << 20)
        vm.expect(r"\ndone\r", 120)
        self.call("qemu-img", "convert", "-f", "raw", "-O", "raw", self.uri("vda"), self.path("now.raw"))
        self.assertEqual(self.marks_of(self.path("now.raw")), [True] * test_backup.MARKS + [False] * test_backup.MARKS)
        self.remove(monitor)
        monitor.wait_event("BLOCK_EXPORT_DELETED")

        # What has changed since "first", which stands still from here on; "second" notes what comes.
        monitor.run("transaction", actions=[action("block-dirty-bitmap-disable", node="disk", name="first"),
                                            action("block-dirty-bitmap-add", node="disk", name="second")])
        self.export(monitor, bitmaps=["first"])
        runs = self.dirty("first")
        blocks = {at // 65536 for start, length in runs for at in range(start, start + length, 65536)}
        marks = [(test_backup.FIRST + test_backup.STRIDE * i) * 4096 // 65536 for i in range(test_backup.MARKS)]
        self.assertEqual(blocks, set(marks))
        with open(self.path("whole.raw"), "r+b") as whole, open(self.path("now.raw"), "rb") as now:
            for start, length in runs:
                now.seek(start)
                whole.seek(start)
                whole.write(now.read(length))
        with open(self.path("whole.raw"), "rb") as whole, open(self.path("now.raw"), "rb") as now:
            self.assertEqual(whole.read(), now.read(), "what had changed is all that differs")
        self.refused(monitor, "an export uses it", "block-dirty-bitmap-remove", node="disk", name="first")
        self.shell(vm, self.write_marks(vm, test_backup.MARKS, 5) + "; sync")
        self.assertEqual(self.dirty("first"), runs)
        self.assertGreater(self.bitmaps(monitor)["second"]["count"], 0)
        monitor.run("nbd-server-stop")
        monitor.run("block-dirty-bitmap-remove", node="disk", name="first")
        self.assertFalse(os.path.exists(self.path("nbd")))
        monitor.run("quit")
        self.assertEqual(vm.wait(60), 0)
        self.assertIn("No errors", test_backup.img("check", self.disk))

    def marks_of(self, path):
        with open(path, "rb") as file:
            data = file.read()
        first, stride = test_backup.FIRST * 4096, test_backup.STRIDE * 4096
        return [data[at:at + 4096] == test_backup.MARK for at in range(first, first + 2 * test_backup.MARKS * stride, stride)]


class Life(Export):
    def test_refusals(self):
        _, monitor = self.machine("-S")
        self.refused(monitor, "not running", "nbd-server-stop")
        self.refused(monitor, "not running", "nbd-server-add", device="disk")
        self.refused(monitor, "too long", "nbd-server-start", addr={"type": "unix", "data": {"path": "/tmp/" + "x" * 200}})
        self.start(monitor)
        self.refused(monitor, "already running", "nbd-server-start", addr={"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}})
        self.refused(monitor, "node-name='disc'", "nbd-server-add", device="disc")
        self.refused(monitor, "does not allow 'write'", "nbd-server-add", device="disk", writable=True)
        self.refused(monitor, "none of that name", "nbd-server-add", device="disk", bitmap="b")
        monitor.run("block-dirty-bitmap-add", node="disk", name="b")
        self.refused(monitor, "Enabled bitmap 'b' incompatible", "nbd-server-add", device="disk", bitmap="b")
        self.refused(monitor, "has another image above", "nbd-server-add", device="file")
        monitor.run("nbd-server-add", device="disk")
        self.refused(monitor, "'disk' is already in use", "nbd-server-add", device="disk")
        self.refused(monitor, "already has export named 'disk'", "block-export-add", **{"type": "nbd", "id": "other", "node-name": "disk"})
        self.assertEqual(monitor.run("query-block-exports"), [{"id": "disk", "type": "nbd", "node-name": "disk", "shutting-down": False}])
        self.refused(monitor, "'nobody' is not found", "nbd-server-remove", name="nobody")
        self.refused(monitor, "'nobody' is not found", "block-export-del", id="nobody")
        monitor.run("nbd-server-remove", name="disk")
        self.assertEqual(monitor.run("query-block-exports"), [])
        self.call("nbdinfo", self.uri("disk"), fails=True)

    def test_writable(self):
        """A node of its own takes what a client writes; it stays while it is exported."""
        _, monitor = self.machine("-S")
        self.add_target(monitor, "target.qcow2")
        self.start(monitor)
        monitor.run("nbd-server-add", device="target.qcow2", name="t", writable=True, description="what comes in")
        self.assertIn("what comes in", self.call("nbdinfo", "--list", f"nbd+unix:///?socket={self.path('nbd')}"))
        self.call("nbdcopy", "--flush", self.path("data"), self.uri("t"))
        self.refused(monitor, "it is exported", "blockdev-del", **{"node-name": "target.qcow2"})
        device = {"driver": "virtio-blk-pci", "drive": "target.qcow2", "id": "late"}
        both = "late: drive 'target.qcow2' is already used by block export '{}', which may write to it"
        self.refused(monitor, both.format("t"), "device_add", **device)
        monitor.run("object-add", **{"qom-type": "iothread", "id": "io"})
        second = {"type": "nbd", "id": "e1", "node-name": "target.qcow2", "name": "t1", "writable": True, "writethrough": True}
        self.refused(monitor, 'iothread "none" not found', "block-export-add", **second, iothread="none")
        self.refused(monitor, "leave out fixed-iothread", "block-export-add", **second, iothread="io", fixed_iothread=True)
        monitor.run("block-export-add", **second, iothread="io")
        self.call("nbdcopy", self.path("data"), self.uri("t1"))
        monitor.run("block-export-del", id="t")
        self.refused(monitor, both.format("e1"), "device_add", **device)
        monitor.run("nbd-server-stop")
        monitor.run("blockdev-del", **{"node-name": "target.qcow2"})
        with open(self.path("data"), "rb") as data:
            self.assertEqual(self.raw(self.path("target.qcow2")), data.read())

    def test_device_first(self):
        """What a device has is not exported writable; once the export has gone a device may have the drive."""
        _, monitor = self.machine("-S")
        self.add_target(monitor, "target.qcow2")
        self.start(monitor)
        monitor.run("nbd-server-add", device="target.qcow2", writable=True)
        monitor.run("nbd-server-remove", name="target.qcow2")
        monitor.run("device_add", driver="virtio-blk-pci", drive="target.qcow2", id="late")
        self.refused(monitor, "Conflicts with use by late", "nbd-server-add", device="target.qcow2", writable=True)

    def test_hard(self):
        """A client that stays: "safe" leaves it, "hard" ends it; what others have goes on."""
        _, monitor = self.machine("-S")
        self.start(monitor)
        self.export(monitor)
        self.export(monitor, id="e1", name="again")
        with self.client("vda") as one, self.client("again") as two:
            self.assertEqual((self.read_block(one), self.read_block(two)), (512, 512))
            self.refused(monitor, "still in use", "block-export-del", id="e0")
            monitor.run("block-export-del", id="e0", mode="hard")
            self.assertEqual(self.read_block(one), 0)
            self.assertEqual(self.read_block(two), 512)
            self.assertEqual([x["id"] for x in monitor.run("query-block-exports")], ["e1"])
            monitor.run("nbd-server-stop")
            self.assertEqual(self.read_block(two), 0)

    def client(self, name):
        """A client by hand: handshake and EXPORT_NAME, no zeroes."""
        client = connect(self.path("nbd"))
        greeting = receive(client, 18)
        self.assertEqual(greeting[:16], b"NBDMAGICIHAVEOPT")
        client.sendall((3).to_bytes(4, "big") + b"IHAVEOPT" + (1).to_bytes(4, "big") + len(name).to_bytes(4, "big") + name.encode())
        self.assertEqual(int.from_bytes(receive(client, 10)[:8], "big"), test_backup.DISK_MIB << 20)
        return client

    def read_block(self, client):
        try:
            client.sendall(bytes.fromhex("25609513 0000 0000 0000000000000001 0000000000000000 00000200"))
            return max(len(receive(client, 16 + 512)) - 16, 0)
        except ConnectionError:
            return 0


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20 * guest.PATIENCE)
    client.connect(path)
    return client


def receive(client, n):
    data = b""
    while len(data) < n and (more := client.recv(n - len(data))):
        data += more
    return data


if __name__ == "__main__":
    tap.main()
