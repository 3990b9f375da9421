#!/usr/bin/env python3
"""A disk's image fails: what the guest, the machine and the monitor's clients learn of it, by each policy."""
import errno
import os
import struct
import unittest

import guest
import qmp
import qtest

BASE, CONTROL = 0x1f0, 0x3f6
SECTOR = 64


class DiskErrors(unittest.TestCase):
    """An IDE disk, whose image fails once at one sector."""

    def setUp(self):
        self.folder = guest.temporary_folder()
        path = os.path.join(self.folder.__enter__(), "qmp")
        self.addCleanup(self.folder.__exit__, None, None, None)
        self.qmp_path = path

    def start(self, kind, error, policy):
        fault = f"inject-error.0.iotype={kind},inject-error.0.sector={SECTOR},inject-error.0.errno={error},inject-error.0.once=on"
        m = qtest.Machine("-blockdev", f"driver=raw,node-name=d,file.driver=blkdebug,file.file.driver=memory,file.file.size=1M,{fault}".replace(
                              "inject-error", "file.inject-error"),
                          "-device", f"ide-hd,drive=d,id=disk,{policy}", "-qmp", f"unix:{self.qmp_path},server=on,wait=off")
        self.addCleanup(m.__exit__)
        self.monitor = qmp.Qmp(self.qmp_path)
        self.addCleanup(self.monitor.close)
        return m

    def command(self, m, command):
        for off, value in ((6, 0xe0), (2, 1), (3, SECTOR), (4, 0), (5, 0), (7, command)):
            m.outb(BASE + off, value)

    def idle(self, m):
        return m.wait(lambda: (status := m.inb(CONTROL)) & 0x80 == 0 and status, "an idle drive")

    def write(self, m):
        self.command(m, 0x30)
        self.assertEqual(self.idle(m) & 0x89, 8)
        for _ in range(128):
            m.outl(BASE, 0x12345678)

    def event(self, **expected):
        data = self.monitor.wait_event("BLOCK_IO_ERROR")["data"]
        self.assertEqual({key: data[key] for key in expected}, expected)
        self.assertEqual((data["device"], data["node-name"]), ("", "d"))

    def io_status(self):
        return [disk["io-status"] for disk in self.monitor.run("query-block")]

    def goes_on(self, m):
        self.monitor.run("cont")
        self.assertEqual(self.io_status(), ["ok"])
        self.assertEqual(self.monitor.run("query-status")["status"], "running")
        return self.idle(m)

    def test_full_host_disk(self):
        """werror is enospc unless somebody says otherwise."""
        m = self.start("write", errno.ENOSPC, "serial=S")
        self.write(m)
        self.event(operation="write", action="stop", nospace=True)
        self.monitor.wait_event("STOP")
        self.assertEqual(self.monitor.run("query-status")["status"], "io-error")
        self.assertEqual(self.io_status(), ["nospace"])
        self.assertEqual(self.goes_on(m) & 0x89, 0)
        self.command(m, 0x20)
        self.assertEqual(self.idle(m) & 0x89, 8)
        self.assertEqual(struct.pack("<I", m.inl(BASE)), struct.pack("<I", 0x12345678))

    def test_read_stops(self):
        m = self.start("read", errno.EIO, "rerror=stop")
        self.command(m, 0x20)
        self.event(operation="read", action="stop", nospace=False)
        self.monitor.wait_event("STOP")
        self.assertEqual(self.io_status(), ["failed"])
        self.assertEqual(self.goes_on(m) & 0x89, 8)

    def test_reported(self):
        m = self.start("write", errno.EIO, "werror=report")
        self.write(m)
        self.event(operation="write", action="report", nospace=False)
        self.assertEqual(self.idle(m) & 1, 1)
        self.assertEqual(self.io_status(), ["ok"])

    def test_ignored(self):
        m = self.start("write", errno.EIO, "werror=ignore")
        self.write(m)
        self.event(operation="write", action="ignore", nospace=False)
        self.assertEqual(self.idle(m) & 1, 0)


if __name__ == "__main__":
    unittest.main()
