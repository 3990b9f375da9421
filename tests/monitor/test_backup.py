#!/usr/bin/env python3
"""Backups of a disk that a Linux guest writes to: whole, then what changed, by dirty bitmaps and transactions of the monitor."""
import json
import os
import subprocess
import time
import unittest

import guest
import guests
import qmp
import tap

IMG = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
DISK_MIB = 24
MARK, MARKS, FIRST, STRIDE = b"mark" * 1024, 60, 1024, 5  # blocks of 4096 bytes, written one after the other


def img(*words):
    done = subprocess.run([IMG, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, (words, done.stdout)
    return done.stdout


def action(kind, **data):
    return {"type": kind, "data": data}


class Machine(unittest.TestCase):
    def setUp(self):
        folder = guest.temporary_folder()
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.disk = self.path("disk.qcow2")
        with open(self.path("data"), "wb") as out:
            out.write(os.urandom(DISK_MIB << 19))  # half of the disk
            out.truncate(DISK_MIB << 20)
        img("convert", "-f", "raw", "-O", "qcow2", self.path("data"), self.disk)

    def path(self, name):
        return os.path.join(self.folder, name)

    def machine(self, *args):
        socket = self.path("qmp")
        vm = guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-qmp", f"unix:{socket},server=on,wait=off", "-kernel", guests.kernel("cloud"),
                         "-initrd", guests.initramfs("cloud"), "-append", "console=ttyS0 quiet atoll.mode=shell",
                         "-blockdev", f"driver=file,node-name=file,filename={self.disk}", "-blockdev", "driver=qcow2,node-name=disk,file=file",
                         "-device", "virtio-blk-pci,drive=disk,id=vda", *args, terminal=True)
        self.addCleanup(vm.__exit__)
        monitor = qmp.Qmp(socket)
        self.addCleanup(monitor.close)
        return vm, monitor

    def shell(self, vm, command):
        """Runs it to its end."""
        vm.send(command + "; echo do''ne\r")
        vm.expect(r"\ndone\r", 120)

    def write_marks(self, vm, first, count=MARKS):
        return (f"i={first}; while [ $i -lt {first + count} ]; do dd if=/mark of=/dev/vda bs=4096 count=1 seek=$(({FIRST} + {STRIDE} * i)) conv=notrunc,fsync 2>/dev/null; "
                "i=$((i+1)); done")

    def add_target(self, monitor, name, *create):
        img("create", "-q", "-f", "qcow2", *create, self.path(name), *([] if create else [f"{DISK_MIB}M"]))
        monitor.run("blockdev-add", **{"driver": "qcow2", "node-name": name, "file": {"driver": "file", "filename": self.path(name)}})

    def finish(self, monitor, job):
        end = time.monotonic() + 60 * guest.PATIENCE
        while (state := next((j for j in monitor.run("query-jobs") if j["id"] == job), {"status": "gone"}))["status"] != "concluded":
            self.assertLess(time.monotonic(), end, state)
            time.sleep(0.05)
        self.assertNotIn("error", state)
        monitor.run("job-dismiss", id=job)

    def bitmaps(self, monitor):
        disk = next(d for d in monitor.run("query-block") if "vda" in d["qdev"])
        return {b["name"]: b for b in disk["inserted"].get("dirty-bitmaps", [])}

    def raw(self, image):
        img("convert", "-f", "qcow2", "-O", "raw", image, self.path("flat"))
        with open(self.path("flat"), "rb") as file:
            return file.read()

    def marks(self, image):
        data = self.raw(image)
        return [data[at:at + 4096] == MARK for at in range(FIRST * 4096, (FIRST + 2 * MARKS * STRIDE) * 4096, STRIDE * 4096)]


class Backup(Machine):
    def test_whole_and_changes(self):
        vm, monitor = self.machine()
        vm.expect("A shell in the guest", 200)
        self.shell(vm, "i=0; while [ $i -lt 1024 ]; do printf mark; i=$((i+1)); done > /mark")
        self.add_target(monitor, "full.qcow2")
        vm.send(self.write_marks(vm, 0) + "; echo do''ne\r")
        time.sleep(0.3)
        monitor.run("transaction", actions=[
            action("blockdev-backup", **{"device": "disk", "target": "full.qcow2", "sync": "full", "job-id": "whole", "auto-dismiss": False, "speed": 8 << 20}),
            action("block-dirty-bitmap-add", node="disk", name="since", persistent=True)])
        self.finish(monitor, "whole")
        vm.expect(r"\ndone\r", 120)
        monitor.run("blockdev-del", **{"node-name": "full.qcow2"})
        there = self.marks(self.path("full.qcow2"))
        self.assertEqual(there, sorted(there, reverse=True), "the disk at one moment: marks up to one")

        self.shell(vm, self.write_marks(vm, MARKS, 5) + "; sync")
        self.assertGreater(self.bitmaps(monitor)["since"]["count"], 0)
        self.add_target(monitor, "changes.qcow2", "-b", self.path("full.qcow2"), "-F", "qcow2")
        monitor.run("blockdev-backup", **{"device": "disk", "target": "changes.qcow2", "sync": "bitmap", "bitmap": "since", "job-id": "more", "auto-dismiss": False})
        self.finish(monitor, "more")
        self.assertEqual(self.bitmaps(monitor)["since"]["count"], 0)
        monitor.run("blockdev-del", **{"node-name": "changes.qcow2"})
        monitor.run("quit")
        self.assertEqual(vm.wait(60), 0)
        self.assertEqual(self.raw(self.path("changes.qcow2")), self.raw(self.disk))
        self.assertLess(os.path.getsize(self.path("changes.qcow2")), os.path.getsize(self.path("full.qcow2")) / 2)
        self.assertIn('"since"', json.dumps(json.loads(img("info", "--output=json", self.disk))))
        self.assertIn("No errors", img("check", self.disk))


class Bitmaps(Machine):
    def refused(self, monitor, words, command, **arguments):
        with self.assertRaisesRegex(qmp.Refused, words):
            monitor.run(command, **arguments)

    def test_commands(self):
        _, monitor = self.machine("-S")
        for name in "one", "two":
            monitor.run("block-dirty-bitmap-add", node="disk", name=name, granularity=4096, disabled=name == "two")
        self.assertEqual({name: b["recording"] for name, b in self.bitmaps(monitor).items()}, {"one": True, "two": False})
        monitor.run("block-dirty-bitmap-enable", node="disk", name="two")
        monitor.run("block-dirty-bitmap-disable", node="disk", name="one")
        self.assertEqual({name: b["recording"] for name, b in self.bitmaps(monitor).items()}, {"one": False, "two": True})
        monitor.run("block-dirty-bitmap-merge", node="disk", target="one", bitmaps=["two", {"node": "disk", "name": "two"}])
        monitor.run("block-dirty-bitmap-clear", node="disk", name="one")
        self.refused(monitor, "'three' not found", "block-dirty-bitmap-merge", node="disk", target="one", bitmaps=["two", "three"])
        self.refused(monitor, "already", "block-dirty-bitmap-add", node="disk", name="one")
        self.refused(monitor, "power of two", "block-dirty-bitmap-add", node="disk", name="odd", granularity=1000)
        self.refused(monitor, "power of two", "block-dirty-bitmap-add", node="disk", name="odd", granularity=0)
        self.refused(monitor, "node-name='disc'", "block-dirty-bitmap-remove", node="disc", name="one")
        self.refused(monitor, "the 1 actions before it", "transaction", actions=[
            action("block-dirty-bitmap-remove", node="disk", name="one"), action("block-dirty-bitmap-remove", node="disk", name="one")])
        self.assertEqual(list(self.bitmaps(monitor)), ["two"])

    def test_wrong_backups(self):
        _, monitor = self.machine("-S")
        self.add_target(monitor, "target.qcow2")
        backup = {"device": "disk", "target": "target.qcow2", "job-id": "b"}
        self.refused(monitor, "bitmap is needed", "blockdev-backup", **backup, sync="bitmap")
        self.refused(monitor, "'none' not found", "blockdev-backup", **backup, sync="bitmap", bitmap="none")
        self.refused(monitor, "not supported", "blockdev-backup", **backup, sync="full", **{"bitmap-mode": "never"})
        self.refused(monitor, "in use", "blockdev-backup", **dict(backup, target="disk"), sync="full")
        self.refused(monitor, "not supported", "blockdev-mirror", **backup, sync="incremental")
        monitor.run("blockdev-backup", **backup, sync="full", **{"auto-dismiss": False})  # the target is still there
        self.finish(monitor, "b")
        monitor.run("blockdev-del", **{"node-name": "target.qcow2"})
        monitor.run("quit")


if __name__ == "__main__":
    tap.main()
