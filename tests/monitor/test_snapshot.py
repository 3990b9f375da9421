#!/usr/bin/env python3
"""Disks of a machine that writes: snapshots over and within an image, backups of what is overwritten, images that are opened anew."""
import os
import struct
import unittest

import guest
import qmp
import qtest
import tap
import test_backup

MIB = 1 << 20


class Machine(unittest.TestCase):
    DRIVE = ("-blockdev", "driver=file,node-name=file,filename={disk}", "-blockdev", "driver=qcow2,node-name=disk,file=file", "-device", "virtio-blk-pci,drive=disk,id=vda")

    def setUp(self):
        self.folder = guest.temporary_folder()
        self.addCleanup(self.folder.cleanup)
        self.disk = self.path("disk.qcow2")
        test_backup.img("create", "-f", "qcow2", self.disk, "1M")

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def machine(self, *args):
        """A disk that the test drives, and the monitor."""
        words = [word.format(disk=self.disk) for word in (*self.DRIVE, *args)]
        m = qtest.Machine("-qmp", f"unix:{self.path('qmp')},server=on,wait=off", *words)
        self.addCleanup(m.__exit__)
        self.queue = None
        if any("virtio-blk" in word for word in words):
            device = qtest.Virtio(m, qtest.Virtio.BLK)
            self.queue = device.queue(0)
            device.ready()
        monitor = qmp.Qmp(self.path("qmp"))
        self.addCleanup(monitor.close)
        return m, monitor

    def write(self, sector, byte, status=0):
        answer, _ = self.queue.send(struct.pack("<IIQ", 1, 0, sector) + bytes([byte]) * 512, 1)
        self.assertEqual(answer[0], status)

    def read(self, sector):
        return self.queue.send(struct.pack("<IIQ", 0, 0, sector), 513)[0][0]

    def end(self, m, monitor):
        monitor.run("quit")
        self.assertEqual(m.guest.process.wait(20 * guest.PATIENCE), 0)

    def first_byte(self, image, sector=0, *options):
        test_backup.img("convert", *options, "-f", "qcow2", "-O", "raw", image, self.path("raw"))
        with open(self.path("raw"), "rb") as raw:
            raw.seek(sector * 512)
            return raw.read(1)[0]

    def refused(self, monitor, words, command, **arguments):
        with self.assertRaisesRegex(qmp.Refused, words):
            monitor.run(command, **arguments)


class Over(Machine):
    def test_sync(self):
        m, monitor = self.machine()
        self.write(0, 0x11)
        top = self.path("top.qcow2")
        monitor.run("blockdev-snapshot-sync", node_name="disk", snapshot_file=top, snapshot_node_name="top")
        self.write(0, 0x22)
        self.assertEqual(self.read(0), 0x22)
        shown = monitor.run("query-block")[0]["inserted"]
        self.assertEqual((shown["node-name"], shown["drv"], shown["backing_file_depth"]), ("top", "qcow2", 1))
        self.refused(monitor, "already in use: 'top'", "blockdev-snapshot-sync", node_name="top", snapshot_file=self.path("x"), snapshot_node_name="top")
        self.refused(monitor, "has another image above it", "blockdev-snapshot-sync", node_name="disk", snapshot_file=self.path("x"))
        self.refused(monitor, "exactly one", "blockdev-snapshot-sync", snapshot_file=self.path("x"))
        monitor.run("transaction", actions=[{"type": "blockdev-snapshot-sync", "data": {"node-name": "top", "snapshot-file": self.path("third")}}])
        self.write(0, 0x33)
        self.end(m, monitor)
        self.assertEqual([self.first_byte(path) for path in (self.disk, top, self.path("third"))], [0x11, 0x22, 0x33])

    def test_existing_and_typed(self):
        m, monitor = self.machine()
        self.write(0, 0x11)
        top = self.path("top.qcow2")
        test_backup.img("create", "-f", "qcow2", "-u", "-b", self.disk, "-F", "qcow2", top, "1M")
        self.assertEqual(monitor.line(f"snapshot_blkdev disk {top} qcow2 on"), "")
        self.write(0, 0x22)
        self.end(m, monitor)
        self.assertEqual((self.first_byte(self.disk), self.first_byte(top)), (0x11, 0x22))


class Within(Machine):
    def test_round(self):
        m, monitor = self.machine()
        self.write(0, 0x11)
        monitor.run("blockdev-snapshot-internal-sync", device="disk", name="first")
        self.write(0, 0x22)
        self.refused(monitor, "Snapshot with name 'first' already exists on device 'disk'", "blockdev-snapshot-internal-sync", device="disk", name="first")
        self.refused(monitor, "Name is empty", "blockdev-snapshot-internal-sync", device="disk", name="")
        self.assertEqual(monitor.line("snapshot_blkdev_internal disk second"), "")
        self.assertRegex(monitor.line("info snapshots"), r"1 first, .*\n.*2 second")
        self.refused(monitor, "Name or id must be provided", "blockdev-snapshot-delete-internal-sync", device="disk")
        self.refused(monitor, "does not exist on device 'disk'", "blockdev-snapshot-delete-internal-sync", device="disk", name="none")
        gone = monitor.run("blockdev-snapshot-delete-internal-sync", device="disk", name="second")
        self.assertEqual((gone["id"], gone["name"], gone["vm-state-size"]), ("2", "second", 0))
        self.end(m, monitor)
        self.assertEqual(self.first_byte(self.disk), 0x22)
        self.assertEqual(self.first_byte(self.disk, 0, "-l", "first"), 0x11)

    def test_raw_has_none(self):
        test_backup.img("create", "-f", "raw", self.path("plain"), "1M")
        _, monitor = self.machine("-drive", f"file={self.path('plain')},format=raw,if=none,id=plain")
        self.refused(monitor, "Block format 'raw' used by device 'plain' does not support internal snapshots", "blockdev-snapshot-internal-sync", device="plain", name="x")


class Typed(Machine):
    def test_stream_limits_nbd(self):
        m, monitor = self.machine()
        self.write(0, 0x11)
        monitor.run("blockdev-snapshot-sync", node_name="disk", snapshot_file=self.path("over"), snapshot_node_name="over")
        self.assertEqual(monitor.line("block_stream over"), "")
        monitor.wait_event("BLOCK_JOB_COMPLETED")
        self.assertEqual(monitor.run("query-block")[0]["inserted"]["backing_file_depth"], 0)
        self.assertEqual(monitor.line("block_set_io_throttle disk 0 0 0 1000 0 0"), "")
        self.assertEqual(monitor.run("query-block")[0]["inserted"]["iops"], 1000)
        self.assertEqual(monitor.line(f"nbd_server_start unix:{self.path('nbd')}"), "")
        self.assertTrue(os.path.exists(self.path("nbd")))
        self.assertIn("no address", monitor.line("nbd_server_stop") + monitor.line("nbd_server_start nowhere"))
        self.end(m, monitor)


class BeforeWrites(Machine):
    def test_none(self):
        """The target of sync=none has what was overwritten, and nothing else."""
        m, monitor = self.machine()
        self.write(0, 0x11)
        self.write(1024, 0x12)
        test_backup.img("create", "-f", "qcow2", self.path("old"), "1M")
        monitor.run("blockdev-add", driver="qcow2", node_name="old", file={"driver": "file", "filename": self.path("old")})
        monitor.run("blockdev-backup", device="disk", target="old", sync="none", job_id="j")
        self.write(0, 0x22)
        self.assertEqual(monitor.run("query-jobs")[0]["status"], "running")
        monitor.run("block-job-cancel", device="j")
        monitor.wait_event("BLOCK_JOB_CANCELLED")
        self.write(0, 0x33)
        self.end(m, monitor)
        self.assertEqual([self.first_byte(self.path("old"), sector) for sector in (0, 1024)], [0x11, 0])


class ToFiles(Machine):
    def test_mirror(self):
        m, monitor = self.machine()
        self.write(0, 0x11)
        copy = self.path("copy")
        monitor.run("drive-mirror", device="disk", target=copy, sync="full", job_id="j")
        monitor.wait_event("BLOCK_JOB_READY")
        self.write(0, 0x22)
        self.refused(monitor, "already in use", "drive-mirror", device="disk", target=self.path("x"), sync="full", job_id="j")
        monitor.run("block-job-complete", device="j")
        monitor.wait_event("BLOCK_JOB_COMPLETED")
        self.write(0, 0x33)
        self.assertEqual(monitor.run("query-block")[0]["inserted"]["file"], copy)
        self.refused(monitor, "Sync mode 'none' not supported by drive-mirror", "drive-mirror", device=monitor.run("query-block")[0]["inserted"]["node-name"],
                     target=self.path("x"), sync="none")
        self.end(m, monitor)
        self.assertEqual((self.first_byte(self.disk), self.first_byte(copy)), (0x22, 0x33))

    def test_backup(self):
        """Whole, of the top image alone, and onto an image that is there."""
        m, monitor = self.machine()
        self.write(0, 0x11)
        self.write(1024, 0x12)
        monitor.run("blockdev-snapshot-sync", node_name="disk", snapshot_file=self.path("over"), snapshot_node_name="over")
        self.write(0, 0x22)
        test_backup.img("create", "-f", "qcow2", self.path("there"), "1M")
        for job, more in (("full", {}), ("top", {"sync": "top"}), ("there", {"mode": "existing", "format": "qcow2"})):
            monitor.run("drive-backup", **{"device": "over", "target": self.path(job), "sync": "full", "job-id": job, **more})
            ended = monitor.wait_event("BLOCK_JOB_COMPLETED")["data"]
            self.assertNotIn("error", ended)
        self.assertEqual(monitor.line(f"drive_backup over {self.path('typed')}"), "")
        monitor.wait_event("BLOCK_JOB_COMPLETED")
        self.write(0, 0x33)
        self.end(m, monitor)
        for name in ("full", "top", "there", "typed"):
            self.assertEqual((self.first_byte(self.path(name)), self.first_byte(self.path(name), 1024)), (0x22, 0x12), name)
        self.assertIn(f"backing file: {self.disk}", test_backup.img("info", self.path("top")))


class Reopen(Machine):
    FORMAT = {"driver": "qcow2", "node-name": "disk", "file": "file"}

    def ro(self, monitor, name):
        return {node["node-name"]: node["ro"] for node in monitor.run("query-named-block-nodes")}[name]

    def test_backing(self):
        """What libvirt does to images below: to be written, and not."""
        m, monitor = self.machine()
        self.write(0, 0x11)
        monitor.run("blockdev-snapshot-sync", node_name="disk", snapshot_file=self.path("top"), snapshot_node_name="top")
        self.assertTrue(self.ro(monitor, "disk"))
        monitor.run("blockdev-reopen", options=[{**self.FORMAT, "read-only": False}])
        self.assertFalse(self.ro(monitor, "disk"))
        monitor.run("block-dirty-bitmap-add", node="disk", name="b", persistent=True)
        monitor.run("blockdev-reopen", options=[{**self.FORMAT, "read-only": True}])
        self.assertTrue(self.ro(monitor, "disk"))
        self.refused(monitor, "backing is missing for 'top'", "blockdev-reopen", options=[{"driver": "qcow2", "node-name": "top"}])
        self.refused(monitor, "Cannot change backing link of 'top'", "blockdev-reopen", options=[{"driver": "qcow2", "node-name": "top", "backing": None}])
        self.write(0, 0x22)
        self.end(m, monitor)
        self.assertEqual((self.first_byte(self.disk), self.first_byte(self.path("top"))), (0x11, 0x22))

    def test_refused(self):
        _, monitor = self.machine()
        for options, words in (
                ({**self.FORMAT, "read-only": True}, "Conflicts with use by vda as 'root', which uses 'write' on disk"),
                ({**self.FORMAT, "node-name": "none"}, "Failed to find node with node-name='none'"),
                ({"driver": "qcow2", "file": "file"}, "node-name"),
                ({**self.FORMAT, "driver": "raw"}, "Cannot change the option 'driver'"),
                ({**self.FORMAT, "file": "other"}, "Cannot change the option 'file'"),
                ({**self.FORMAT, "discard": "unmap"}, "Cannot change the option 'discard'"),
                ({**self.FORMAT, "lazy-refcounts": True}, "Cannot change the option 'lazy-refcounts'")):
            self.refused(monitor, words, "blockdev-reopen", options=[options])
        monitor.run("blockdev-reopen", options=[{**self.FORMAT, "cache": {"direct": False}, "discard": "ignore"}])
        self.write(0, 1)

    def test_all_or_none(self):
        _, monitor = self.machine()
        test_backup.img("create", "-f", "qcow2", self.path("other"), "1M")
        monitor.run("blockdev-add", driver="file", node_name="other-file", filename=self.path("other"))
        monitor.run("blockdev-add", driver="qcow2", node_name="other", file="other-file")
        other = {"driver": "qcow2", "node-name": "other", "file": "other-file", "read-only": True}
        self.refused(monitor, "Conflicts", "blockdev-reopen", options=[other, {**self.FORMAT, "read-only": True}])
        self.assertFalse(self.ro(monitor, "other"))
        monitor.run("blockdev-reopen", options=[other])
        self.assertTrue(self.ro(monitor, "other"))


if __name__ == "__main__":
    tap.main()
