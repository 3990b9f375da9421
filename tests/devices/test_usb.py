#!/usr/bin/env python3
"""USB through the qtest port: the frames of UHCI, a stick behind it, and the bridges and controllers that stand beside."""
import os
import struct
import unittest

import guest
import qtest
import tap

IN, OUT, SETUP = 0x69, 0xe1, 0x2d
ACTIVE, IOC, END, DEPTH_FIRST = 1 << 23, 1 << 24, 1, 4
SECTORS = 2048


class Uhci:
    """The first port of a UHCI controller, as its driver sees it."""

    def __init__(self, m):
        self.m = m
        self.at = m.pci(0x8086, 0x7020).bars[4][0]
        self.frames, self.queue, self.tds, self.page = (m.alloc(4096) for _ in range(4))
        self.data = m.alloc(65536)
        self.address = 0
        m.write(self.frames, struct.pack("<I", self.queue | 2) * 1024)
        m.write(self.queue, struct.pack("<II", END, END))
        m.outl(self.at + 8, self.frames)
        m.outw(self.at, 0xc1)
        m.outw(self.at + 0x10, 1 << 9)
        m.outw(self.at + 0x10, 0)
        m.outw(self.at + 0x10, 4 | 2)

    def packets(self, *packets):
        """packets: (pid, endpoint, address, bytes).  The status words, when the last one is done or one has failed."""
        for i, (pid, endpoint, at, n) in enumerate(packets):
            last = i + 1 == len(packets)
            link = END if last else (self.tds + 32 * (i + 1)) | DEPTH_FIRST
            token = pid | self.address << 8 | endpoint << 15 | (n - 1 & 0x7ff) << 21
            self.m.write(self.tds + 32 * i, struct.pack("<IIII", link, ACTIVE | (IOC if last else 0), token, at))
        self.m.writel(self.queue + 4, self.tds)
        self.m.wait(lambda: self.m.inw(self.at + 2) & 0x13, "the end of the packets")
        self.m.outw(self.at + 2, 0x1f)
        return [self.m.readl(self.tds + 32 * i + 4) for i in range(len(packets))]

    def control(self, kind, request, value=0, index=0, length=0):
        self.m.write(self.page, struct.pack("<BBHHH", kind, request, value, index, length))
        data = [(IN, 0, self.data + at, min(64, length - at)) for at in range(0, length, 64)]
        status = self.packets((SETUP, 0, self.page, 8), *data, (OUT if length else IN, 0, 0, 0))
        return status, self.m.read(self.data, length) if length else b""

    def configure(self):
        self.control(0, 5, 3)
        self.address = 3
        self.control(0, 9, 1)

    def command(self, cdb, length):
        """A command of bulk-only transport that brings data: (data, status)."""
        self.m.write(self.page, struct.pack("<IIIBBB", 0x43425355, 7, length, 0x80, 0, len(cdb)) + bytes(cdb).ljust(16, b"\0"))
        data = [(IN, 1, self.data + at, min(64, length - at)) for at in range(0, length, 64)]
        self.packets((OUT, 2, self.page, 31), *data, (IN, 1, self.page + 64, 13))
        signature, tag, residue, status = struct.unpack("<IIIB", self.m.read(self.page + 64, 13))
        assert (signature, tag) == (0x53425355, 7)
        return self.m.read(self.data, length - residue), status


class Storage(unittest.TestCase):
    def start(self, folder):
        path = os.path.join(folder, "stick")
        with open(path, "wb") as file:
            for sector in range(SECTORS):
                file.write(struct.pack("<Q", sector) * 64)
        return qtest.Machine("-device", "piix3-usb-uhci,id=u,addr=1.2", "-drive", f"file={path},format=raw,if=none,id=d",
                             "-device", "usb-storage,bus=u.0,drive=d,serial=QT-1")

    def test_stick(self):
        with guest.temporary_folder() as folder, self.start(folder) as m:
            u = Uhci(m)
            descriptor = u.control(0x80, 6, 0x100, 0, 18)[1]
            self.assertEqual(struct.unpack_from("<HH", descriptor, 8), (0x46f4, 1))
            u.configure()
            self.assertEqual(u.command([0x12, 0, 0, 0, 36], 36)[0][8:13], b"ATOLL")
            self.assertEqual(u.command([0x25], 8), (struct.pack(">II", SECTORS - 1, 512), 0))
            data, status = u.command([0x28, 0, 0, 0, 0, 9, 0, 0, 4], 2048)
            self.assertEqual((data[::512], status), (bytes([9, 10, 11, 12]), 0))

    def test_error(self):
        with guest.temporary_folder() as folder, self.start(folder) as m:
            u = Uhci(m)
            u.configure()
            m.write(u.page, struct.pack("<IIIBBB", 0x43425355, 7, 512, 0x80, 0, 10) + struct.pack(">BBIBHB", 0x28, 0, SECTORS, 0, 1, 0).ljust(16, b"\0"))
            u.packets((OUT, 2, u.page, 31), (IN, 1, u.data, 64))
            u.packets((IN, 1, u.page + 64, 13))
            self.assertEqual(struct.unpack("<IIB", m.read(u.page + 68, 9)), (7, 512, 1))
            self.assertEqual(u.command([3, 0, 0, 0, 18], 18)[0][2:13:10], bytes([5, 0x21]))

    def test_lists_that_lie(self):
        """Rings, nothing but garbage, addresses that are no memory: the controller stops or goes on, and works after a reset."""
        with guest.temporary_folder() as folder, self.start(folder) as m:
            u = Uhci(m)
            for name, act in (("a ring of queues", lambda: m.writel(u.queue, u.queue | 2)),
                              ("garbage", lambda: m.write(u.tds, os.urandom(64)) or m.writel(u.queue + 4, u.tds)),
                              ("a queue that is nowhere", lambda: m.writel(u.frames, 0xf0000002)),
                              ("frames that are nowhere", lambda: m.outl(u.at + 8, 0xf0000000))):
                with self.subTest(name):
                    act()
                    m.step(20_000_000)
                    m.outw(u.at, 2)
                    self.assertEqual(m.inw(u.at + 2), 0x20)
                    u = Uhci(m)
                    self.assertEqual(u.control(0x80, 6, 0x100, 0, 18)[1][:2], b"\x12\1")


class Bridges(unittest.TestCase):
    def test_behind_two_bridges(self):
        with qtest.Machine("-M", "q35", "-device", "pcie-pci-bridge,id=a,addr=4", "-device", "pci-bridge,id=b,bus=a,addr=1", "-device",
                           "virtio-rng-pci,bus=b,addr=3") as m:
            def config(bus, slot, off, value=None):
                m.outl(0xcf8, 0x80000000 | bus << 16 | slot << 11 | off)
                return m.inl(0xcfc) if value is None else m.outl(0xcfc, value)
            self.assertEqual(config(0, 4, 0), 0x000e1b36)
            config(0, 4, 0x18, 0x00020100)
            self.assertEqual(config(1, 1, 0), 0x00011b36)
            config(1, 1, 0x18, 0x00020201)
            self.assertEqual(config(2, 3, 0) & 0xffff, 0x1af4)
            self.assertEqual(config(2, 4, 0), 0xffffffff)
            config(0, 4, 0x18, 0x00010100)
            self.assertEqual(config(2, 3, 0), 0xffffffff)

    def test_smbus(self):
        """The ICH9's: nobody answers on the bus, which is an error with an interrupt."""
        with qtest.Machine("-M", "q35") as m:
            f = m.pci(0x8086, 0x2930)
            at = f.bars[4][0]
            m.outb(at + 4, 0xa0)
            m.outb(at + 2, 0x49)
            self.assertEqual((m.inb(at), m.config_read(f.devfn, 6, 2) & 8), (4, 8))
            m.outb(at, 4)
            self.assertEqual((m.inb(at), m.config_read(f.devfn, 6, 2) & 8), (0, 0))


if __name__ == "__main__":
    tap.main()
