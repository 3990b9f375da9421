#!/usr/bin/env python3
"""virtio-mmio through the qtest port: what stands where, a disk read by its registers, its line, and descriptors that lie."""
import os
import struct
import unittest

import guest
import qtest
import tap

BASE, PLACE, LINE = 0xfeb00000, 512, 16
MAGIC, VERSION, ID, SEL, NUM_MAX, NUM, READY, NOTIFY = 0, 4, 8, 0x30, 0x34, 0x38, 0x44, 0x50
ISR, ACK, STATUS, DESC, DRIVER, DEVICE, CONFIG = 0x60, 0x64, 0x70, 0x80, 0x90, 0xa0, 0x100
FEATURES_SEL, FEATURES, ACCEPT_SEL, ACCEPT = 0x14, 0x10, 0x24, 0x20
NEEDS_RESET = 64


class Mmio:
    """A driver of the device at a place, with one queue."""

    def __init__(self, m, place=0):
        self.m, self.base, self.avail = m, BASE + place * PLACE, 0

    def get(self, register):
        return self.m.readl(self.base + register)

    def set(self, register, value):
        self.m.writel(self.base + register, value)

    def start(self, size=8):
        self.set(STATUS, 0)
        self.set(STATUS, 3)
        self.set(ACCEPT_SEL, 1)
        self.set(ACCEPT, 1)
        self.set(STATUS, 11)
        self.size, self.desc, self.ring, self.used = size, self.m.alloc(4096), self.m.alloc(4096), self.m.alloc(4096)
        self.avail = 0
        for at in (self.desc, self.ring, self.used):
            self.m.write(at, bytes(4096))
        self.set(SEL, 0)
        self.set(NUM, size)
        for register, at in ((DESC, self.desc), (DRIVER, self.ring), (DEVICE, self.used)):
            self.set(register, at)
        self.set(READY, 1)
        self.set(STATUS, 15)

    def offer(self, descriptors, head=0):
        """(address, bytes, flags, next) of each."""
        self.m.write(self.desc, b"".join(struct.pack("<QIHH", *d) for d in descriptors))
        self.m.writew(self.ring + 4 + 2 * (self.avail % self.size), head)
        self.avail += 1
        self.m.writew(self.ring + 2, self.avail)
        self.set(NOTIFY, 0)

    def answers(self):
        return self.m.readw(self.used + 2)


def machine(folder, *args):
    path = os.path.join(folder, "disk")
    with open(path, "wb") as file:
        for sector in range(2048):
            file.write(struct.pack("<Q", sector) * 64)
    return qtest.Machine("-M", "microvm", "-blockdev", f"driver=file,filename={path},node-name=d", "-device", "virtio-blk-device,drive=d", *args)


class Microvm(unittest.TestCase):
    def test_places(self):
        with guest.temporary_folder() as folder, machine(folder, "-device", "virtio-rng-device,bus=virtio-mmio-bus.3") as m:
            self.assertEqual([Mmio(m, n).get(ID) for n in range(4)], [2, 0xffffffff, 0xffffffff, 4])
            disk = Mmio(m)
            self.assertEqual((disk.get(MAGIC), disk.get(VERSION)), (0x74726976, 2))
            self.assertEqual(m.readq(BASE + CONFIG), 2048)
            self.assertEqual(m.readl(0xfec00000), 0)  # the IOAPIC

    def test_read_and_interrupt(self):
        with guest.temporary_folder() as folder, machine(folder) as m:
            m.command("irq_intercept_in ioapic")
            disk = Mmio(m)
            disk.start()
            header, data, status = m.alloc(16), m.alloc(1024), m.alloc(1)
            m.write(header, struct.pack("<IIQ", 0, 0, 5))
            m.write(status, b"\xff")
            disk.offer([(header, 16, 1, 1), (data, 1024, 3, 2), (status, 1, 2, 0)])
            m.wait(lambda: disk.answers() == 1 and m.irq.get(LINE), "an answer and its interrupt")
            self.assertEqual(m.read(data, 1024), struct.pack("<Q", 5) * 64 + struct.pack("<Q", 6) * 64)
            self.assertEqual(m.read(status, 1), b"\0")
            self.assertEqual(disk.get(ISR), 1)
            disk.set(ACK, 1)
            self.assertEqual(disk.get(ISR), 0)
            self.assertFalse(m.irq[LINE])

    def test_descriptors_that_lie(self):
        lies = {"outside RAM": [(1 << 40, 16, 0, 0)], "a loop": [(0x1000, 16, 1, 0)], "beyond the table": [(0x1000, 16, 1, 99)],
                "on itself": [(BASE, 16, 0, 0)]}
        with guest.temporary_folder() as folder, machine(folder) as m:
            disk = Mmio(m)
            for name, descriptors in lies.items():
                with self.subTest(name):
                    disk.start()
                    disk.offer(descriptors)
                    m.wait(lambda: disk.get(STATUS) & NEEDS_RESET, "the device to say that it needs a reset")
            disk.start()
            self.assertEqual(disk.get(STATUS), 15)

    def test_power_and_reset(self):
        with guest.temporary_folder() as folder, machine(folder, "-no-reboot") as m:
            self.assertEqual(m.inw(0x604) & 1, 1)  # in ACPI mode
            before = m.inl(0x608)
            m.step(1000000)
            self.assertAlmostEqual(m.inl(0x608) - before, 3580, delta=3)
            m.socket.sendall(b"outw 0x604 0x2000\n")
            self.assertEqual(m.guest.wait(20), 0)


if __name__ == "__main__":
    tap.main()
