#!/usr/bin/env python3
"""What is soldered on a PC, through the qtest port: clocks, timers, lines, keyboard, serial port, firmware's files."""
import os
import unittest

import guest
import qtest
import tap


def bcd(value):
    return (value >> 4) * 10 + (value & 15)


class Protocol(unittest.TestCase):
    def test_memory(self):
        with qtest.Machine() as m:
            self.assertEqual(m.command("endianness"), "little")
            m.write(0x1000, bytes(range(256)))
            self.assertEqual(m.read(0x1001, 4), bytes([1, 2, 3, 4]))
            self.assertEqual(m.readl(0x1004), 0x07060504)
            m.writeq(0x1008, 0x1122334455667788)
            self.assertEqual(m.readw(0x100e), 0x1122)
            m.command("memset 0x1000 0x100 0x5a")
            self.assertEqual(m.read(0x1000, 0x101), b"\x5a" * 256 + b"\0")
            m.command("b64write 0x2000 3 AQID")
            self.assertEqual(m.read(0x2000, 4), b"\1\2\3\0")
            self.assertEqual(m.command("b64read 0x2000 3"), "AQID")

    def test_nowhere(self):
        with qtest.Machine() as m:
            self.assertEqual(m.inl(0x1234), 0xffffffff)
            self.assertEqual(m.readq(0xd0000000), 0xffffffffffffffff)
            self.assertEqual(m.read(0xfffffffffffffff0, 16), b"\xff" * 16)
            m.writel(0xd0000000, 1)

    def test_bad_lines(self):
        with qtest.Machine() as m:
            for line in ("", "rubbish", "inb", "inb x", "outb 0x70", "read 0 0", "read 0 0x7fffffffffffffff", "write 0 4 zz", "write 0 99999999999 0x00",
                         "b64write 0 5 AQID", "memset 0 0 0", "clock_set", "irq_intercept_in nobody", "set_irq_in ioapic unnamed-gpio-in 999 1",
                         "set_irq_in ioapic other 1 1", "x" * 100000):
                if line:
                    with self.assertRaises(qtest.Refused, msg=line[:30]):
                        m.command(line)
            self.assertEqual(m.command("endianness"), "little")

    def test_clock(self):
        with qtest.Machine() as m:
            self.assertEqual(m.step(1000), 1000)
            self.assertEqual(int(m.command("clock_set 5000")), 5000)
            self.assertEqual(int(m.command("clock_set 10")), 5000)  # never back
            self.assertEqual(m.step(0), 5000)


class Rtc(unittest.TestCase):
    def cmos(self, m, n, value=None):
        m.outb(0x70, n)
        if value is None:
            return m.inb(0x71)
        m.outb(0x71, value)
        return None

    def test_date(self):
        with qtest.Machine("-rtc", "base=2024-02-28T23:59:50") as m:
            m.step(15 * qtest.SECOND)
            self.assertEqual([bcd(self.cmos(m, n)) for n in (9, 8, 7, 4, 2)], [24, 2, 29, 0, 0])

    def test_update_interrupt(self):
        with qtest.Machine() as m:
            m.command("irq_intercept_in ioapic")
            self.cmos(m, 0xb, self.cmos(m, 0xb) | 0x10)
            m.step(2 * qtest.SECOND)
            self.assertTrue(m.irq.get(8))
            self.assertEqual(self.cmos(m, 0xc) & 0x90, 0x90)
            self.assertFalse(m.irq[8])

    def test_periodic_interrupt(self):
        with qtest.Machine() as m:
            m.command("irq_intercept_in ioapic")
            self.cmos(m, 0xa, 0x26)
            self.cmos(m, 0xb, 0x42)
            for _ in range(8):
                m.step(qtest.SECOND // 1000)
                self.cmos(m, 0xc)
            self.assertIn(m.raised.count(8), (7, 8))  # 1024 Hz

    def test_alarm(self):
        with qtest.Machine("-rtc", "base=2024-01-01T12:00:00") as m:
            m.command("irq_intercept_in ioapic")
            for register, value in ((1, 5), (3, 0xff), (5, 0xff), (0xb, 0x22)):
                self.cmos(m, register, value)
            m.step(3 * qtest.SECOND)
            self.assertNotIn(8, m.raised)
            m.step(3 * qtest.SECOND)
            self.assertIn(8, m.raised)


class Timers(unittest.TestCase):
    def test_pit_counts(self):
        with qtest.Machine() as m:
            m.command("irq_intercept_in ioapic")
            m.outb(0x43, 0x34)
            m.outb(0x40, 0x9c)
            m.outb(0x40, 0x2e)  # 11932 ticks: 100 Hz
            before = m.raised.count(2)
            m.step(qtest.SECOND // 10)
            self.assertIn(m.raised.count(2) - before, (9, 10, 11))

    def test_pit_one_shot_and_speaker_gate(self):
        with qtest.Machine() as m:
            m.outb(0x61, 1)
            m.outb(0x43, 0xb0)
            m.outb(0x42, 0xe8)
            m.outb(0x42, 0x03)
            self.assertEqual(m.inb(0x61) & 0x20, 0)
            m.step(1000 * 1_000_000_000 // 1193182 + 2000)
            self.assertEqual(m.inb(0x61) & 0x20, 0x20)

    def test_hpet(self):
        with qtest.Machine() as m:
            self.assertEqual(m.readl(0xfed00000) >> 16, 0x8086)
            period_fs = m.readl(0xfed00004)
            m.writel(0xfed00010, 1)
            before = m.readq(0xfed000f0)
            m.step(1_000_000)
            self.assertAlmostEqual(m.readq(0xfed000f0) - before, 1_000_000 * 1_000_000 // period_fs, delta=2)


class Interrupts(unittest.TestCase):
    def test_pic_is_programmed_and_masks(self):
        with qtest.Machine() as m:
            for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xfb)):
                m.outb(port, value)
            self.assertEqual(m.inb(0x21), 0xfb)
            m.outb(0x4d0, 0x20)  # line 5 by level
            m.outb(0x20, 0x0a)
            for level in (0x20, 0):
                m.command(f"set_irq_in i8259 unnamed-gpio-in 5 {level}")
                self.assertEqual(m.inb(0x20) & 0x20, level)  # IRR

    def test_ioapic_registers(self):
        with qtest.Machine() as m:
            def register(n):
                m.writel(0xfec00000, n)
                return m.readl(0xfec00010)
            self.assertEqual(register(1) >> 16 & 0xff, 23)
            m.writel(0xfec00000, 0x12)
            m.writel(0xfec00010, 0x31)
            self.assertEqual(register(0x12), 0x31)

    def test_local_apic(self):
        with qtest.Machine("-smp", "2") as m:
            self.assertEqual(m.readl(0xfee00020), 0)
            m.writel(0xfee000f0, 0x1ff)
            self.assertEqual(m.readl(0xfee000f0), 0x1ff)


class Lines(unittest.TestCase):
    def test_serial_port(self):
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "out")
            with qtest.Machine("-serial", f"file:{path}") as m:
                m.command("irq_intercept_in ioapic")
                m.outb(0x3ff, 0xa5)
                self.assertEqual(m.inb(0x3ff), 0xa5)
                m.outb(0x3fc, 8)
                m.outb(0x3f9, 2)  # transmitter empty
                self.assertTrue(m.irq.get(4))
                for c in b"atoll\n":
                    m.outb(0x3f8, c)
                    m.step(qtest.SECOND // 100)
                self.assertEqual(m.inb(0x3fd) & 0x60, 0x60)

                def written():
                    with open(path, "rb") as file:
                        return file.read() == b"atoll\n"
                m.wait(written, "the text in the file")

    def test_loopback(self):
        with qtest.Machine("-serial", "null") as m:
            m.outb(0x3fc, 0x10)
            m.outb(0x3f8, 0x42)
            m.wait(lambda: m.inb(0x3fd) & 1, "the byte that comes back")
            self.assertEqual(m.inb(0x3f8), 0x42)

    def test_keyboard_controller(self):
        with qtest.Machine() as m:
            def answer():
                m.wait(lambda: m.inb(0x64) & 1, "an answer of the keyboard controller")
                return m.inb(0x60)
            m.outb(0x64, 0xaa)
            self.assertEqual(answer(), 0x55)
            m.outb(0x64, 0x60)
            m.outb(0x60, 0x45)
            m.outb(0x64, 0x20)
            self.assertEqual(answer(), 0x45)
            m.outb(0x60, 0xee)
            self.assertEqual(answer(), 0xee)
            m.outb(0x60, 0xf2)
            self.assertEqual([answer(), answer()], [0xfa, 0xab])
            answer()
            m.outb(0x64, 0xd4)
            m.outb(0x60, 0xf2)
            self.assertEqual([answer(), answer()], [0xfa, 0])


class Files(unittest.TestCase):
    def select(self, m, key, n):
        m.outw(0x510, key)
        return bytes(m.inb(0x511) for _ in range(n))

    def directory(self, m):
        count = int.from_bytes(self.select(m, 0x19, 4), "big")
        rows = bytes(m.inb(0x511) for _ in range(64 * count))
        return {rows[i + 8:i + 64].rstrip(b"\0").decode(): (int.from_bytes(rows[i:i + 4], "big"), int.from_bytes(rows[i + 4:i + 6], "big"))
                for i in range(0, len(rows), 64)}

    def test_ports(self):
        with qtest.Machine("-fw_cfg", "name=opt/test/a,string=hello") as m:
            self.assertEqual(self.select(m, 0, 4), b"QEMU")
            size, key = self.directory(m)["opt/test/a"]
            self.assertEqual((size, self.select(m, key, 6)), (5, b"hello\0"))

    def test_dma(self):
        with qtest.Machine("-fw_cfg", "name=opt/test/a,string=hello") as m:
            size, key = self.directory(m)["opt/test/a"]
            m.write(0x1000, (key << 16 | 0xa).to_bytes(4, "big") + size.to_bytes(4, "big") + (0x2000).to_bytes(8, "big"))
            m.outl(0x514, 0)
            m.outl(0x518, int.from_bytes((0x1000).to_bytes(4, "big"), "little"))
            self.assertEqual(m.read(0x1000, 4), bytes(4))
            self.assertEqual(m.read(0x2000, 6), b"hello\0")

    def test_dma_beyond_memory(self):
        with qtest.Machine() as m:
            m.write(0x1000, (0xa).to_bytes(4, "big") + (64).to_bytes(4, "big") + (0xffffffffffffffe0).to_bytes(8, "big"))
            m.outl(0x514, 0)
            m.outl(0x518, int.from_bytes((0x1000).to_bytes(4, "big"), "little"))
            self.assertEqual(m.read(0x1000, 4)[3] & 1, 1)  # the error bit


if __name__ == "__main__":
    tap.main()
