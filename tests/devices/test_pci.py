#!/usr/bin/env python3
"""PCI functions through the qtest port: their configuration, BARs, disks, networks, random numbers, the screen; and descriptors that lie."""
import os
import struct
import unittest

import guest
import qtest
import tap

MIB = 1 << 20


def image(folder, name="disk", size=MIB):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        for sector in range(size // 512):
            file.write(struct.pack("<Q", sector) * 64)
    return path


class Configuration(unittest.TestCase):
    def test_bars_move(self):
        with qtest.Machine("-device", "VGA") as m:
            f = m.pci(0x1234, 0x1111)
            at = f.bars[2][0]
            self.assertEqual(m.readw(at + 0x500) & 0xfff0, 0xb0c0)  # VBE's id
            m.config_write(f.devfn, 0x18, 0xd0000000)
            self.assertEqual(m.readw(0xd0000500) & 0xfff0, 0xb0c0)
            self.assertEqual(m.readw(at + 0x500), 0xffff)
            m.config_write(f.devfn, 4, 0, 2)
            self.assertEqual(m.readw(0xd0000500), 0xffff)

    def test_vga_frame_buffer(self):
        with qtest.Machine("-device", "VGA") as m:
            f = m.pci(0x1234, 0x1111)
            vbe = f.bars[2][0] + 0x500
            for register, value in ((4, 0), (1, 640), (2, 480), (3, 32), (4, 0x41)):
                m.writew(vbe + 2 * register, value)
            m.writel(f.bars[0][0], 0x00ff8040)
            self.assertEqual(m.readl(f.bars[0][0]), 0x00ff8040)
            self.assertEqual(m.readw(vbe + 2), 640)


class Ide(unittest.TestCase):
    BASE, CONTROL = 0x1f0, 0x3f6

    def command(self, m, lba, count, command):
        for off, value in ((6, 0xe0 | lba >> 24), (2, count), (3, lba & 255), (4, lba >> 8 & 255), (5, lba >> 16 & 255), (7, command)):
            m.outb(self.BASE + off, value)

    def idle(self, m):
        return m.wait(lambda: (status := m.inb(self.CONTROL)) & 0x80 == 0 and status, "an idle drive")

    def test_pio(self):
        with guest.temporary_folder() as folder, qtest.Machine("-hda", image(folder)) as m:
            m.command("irq_intercept_in ioapic")
            self.command(m, 7, 1, 0x20)
            self.assertEqual(self.idle(m) & 0x89, 8)
            self.assertTrue(m.irq.get(14))
            self.assertEqual(b"".join(struct.pack("<I", m.inl(self.BASE)) for _ in range(128)), struct.pack("<Q", 7) * 64)
            m.inb(self.BASE + 7)
            self.assertFalse(m.irq[14])

    def test_out_of_range(self):
        with guest.temporary_folder() as folder, qtest.Machine("-hda", image(folder)) as m:
            self.command(m, MIB // 512, 1, 0x20)
            self.assertEqual(self.idle(m) & 1, 1)
            self.assertEqual(m.inb(self.BASE + 1) & 0x10, 0x10)  # IDNF

    def dma(self, m, prd):
        f = m.pci(0x8086, 0x7010)
        bus_master = f.bars[4][0]
        m.write(0x5000, prd)
        m.outl(bus_master + 4, 0x5000)
        m.outb(bus_master + 2, 6)
        self.command(m, 3, 2, 0xc8)
        m.outb(bus_master, 9)
        m.wait(lambda: m.inb(bus_master + 2) & 6, "the end of DMA")
        return m.inb(bus_master + 2)

    def test_dma(self):
        with guest.temporary_folder() as folder, qtest.Machine("-hda", image(folder)) as m:
            self.assertEqual(self.dma(m, struct.pack("<IIII", 0x6000, 512, 0x7000, 0x80000200)) & 2, 0)
            self.assertEqual(m.read(0x6000, 8) + m.read(0x7000, 8), struct.pack("<QQ", 3, 4))

    def test_dma_to_nowhere(self):
        with guest.temporary_folder() as folder, qtest.Machine("-hda", image(folder)) as m:
            self.dma(m, struct.pack("<II", 0xfffff000, 0x80000400))
            self.command(m, 0, 1, 0x20)
            self.idle(m)  # it lives

    def test_identify(self):
        with guest.temporary_folder() as folder, qtest.Machine(
                "-drive", f"file={image(folder)},format=raw,if=none,id=d", "-device", "ide-hd,drive=d,serial=XYZ1") as m:
            self.command(m, 0, 0, 0xec)
            self.idle(m)
            words = [m.inw(self.BASE) for _ in range(256)]
            serial = b"".join(struct.pack(">H", w) for w in words[10:20])
            self.assertEqual((serial.strip(), words[60] | words[61] << 16), (b"XYZ1", MIB // 512))


class Ahci(unittest.TestCase):
    def start(self, m):
        abar = m.pci(0x8086, 0x2922).bars[5][0]
        m.writel(abar + 4, 0x80000002)
        port = abar + 0x100
        lists, fis, table = m.alloc(1024), m.alloc(256), m.alloc(256)
        m.writel(port, lists)
        m.writel(port + 8, fis)
        m.writel(port + 0x18, 0x11)
        self.assertEqual(m.readl(port + 0x28) & 0xf, 3)
        return port, lists, table

    def run_command(self, m, port, lists, table, command, lba, count, data, length):
        m.write(table, struct.pack("<BBBBBBBBBBBBBB", 0x27, 0x80, command, 0, lba & 255, lba >> 8 & 255, lba >> 16 & 255, 0x40, 0, 0, 0, 0, count, 0))
        m.write(table + 0x80, struct.pack("<QII", data, 0, length - 1))
        m.write(lists, struct.pack("<HHIQ", 5, 1, 0, table))
        m.writel(port + 0x38, 1)
        m.wait(lambda: m.readl(port + 0x38) & 1 == 0 or m.readl(port + 0x30), "the end of the command")
        return m.readl(port + 0x20)

    def test_read(self):
        with guest.temporary_folder() as folder, qtest.Machine("-M", "q35", "-hda", image(folder)) as m:
            port, lists, table = self.start(m)
            data = m.alloc(4096)
            self.assertEqual(self.run_command(m, port, lists, table, 0x25, 9, 2, data, 1024) & 0x89, 0)
            self.assertEqual(m.read(data, 8) + m.read(data + 512, 8), struct.pack("<QQ", 9, 10))

    def test_queued_command_fails(self):
        """What a driver does then: it stops the port, starts it again, and asks the drive which one it was (log 10h)."""
        with guest.temporary_folder() as folder, qtest.Machine("-M", "q35", "-hda", image(folder)) as m:
            port, lists, table = self.start(m)
            lba, tag, data = MIB // 512, 5, m.alloc(4096)
            m.write(table, struct.pack("<16B", 0x27, 0x80, 0x60, 1, lba & 255, lba >> 8, 0, 0x40, 0, 0, 0, 0, tag << 3, 0, 0, 0))
            m.write(table + 0x80, struct.pack("<QII", data, 0, 511))
            m.write(lists + 32 * tag, struct.pack("<HHIQ", 5, 1, 0, table))
            m.writel(port + 0x34, 1 << tag)
            m.writel(port + 0x38, 1 << tag)
            m.wait(lambda: m.readl(port + 0x10) & 1 << 30, "the error")
            self.assertEqual(m.readl(port + 0x20) & 0xffff, 0x1051)
            m.writel(port + 0x18, 0x10)
            m.writel(port + 0x10, 0xffffffff)
            m.writel(port + 0x18, 0x11)
            self.assertEqual(self.run_command(m, port, lists, table, 0x2f, 0x10, 1, data, 512) & 0x89, 0)
            log = m.read(data, 512)
            self.assertEqual((log[0], log[2], log[3], log[4] | log[5] << 8, sum(log) & 255), (tag, 0x51, 0x10, lba, 0))

    def test_a_table_that_is_nowhere(self):
        with guest.temporary_folder() as folder, qtest.Machine("-M", "q35", "-hda", image(folder)) as m:
            port, lists, _ = self.start(m)
            m.write(lists, struct.pack("<HHIQ", 5, 0xffff, 0, 0xfffffffffffff000))
            m.writel(port + 0x38, 0xffffffff)
            m.step(1_000_000)
            m.readl(port + 0x10)


class VirtioBlk(unittest.TestCase):
    def start(self, folder, *more):
        return qtest.Machine("-drive", f"file={image(folder)},format=raw,if=none,id=d", "-device", "virtio-blk-pci,drive=d", *more)

    def test_read_and_write(self):
        with guest.temporary_folder() as folder, self.start(folder) as m:
            d = qtest.Virtio(m, qtest.Virtio.BLK)
            q = d.queue(0)
            self.assertEqual(d.ready(), 15)
            self.assertEqual(m.readq(d.at[d.DEVICE]), MIB // 512)
            data, length = q.send(struct.pack("<IIQ", 0, 0, 5), 512, 1)
            self.assertEqual((data, length), (struct.pack("<Q", 5) * 64 + b"\0", 513))
            self.assertEqual(q.send(struct.pack("<IIQ", 1, 0, 5), b"A" * 512, 1)[0], b"\0")
            self.assertEqual(q.send(struct.pack("<IIQ", 4, 0, 0), 1)[0], b"\0")
            self.assertEqual(q.send(struct.pack("<IIQ", 0, 0, 5), 512, 1)[0], b"A" * 512 + b"\0")
            self.assertEqual(q.send(struct.pack("<IIQ", 0, 0, MIB // 512), 512, 1)[0][-1], 1)
            self.assertEqual(q.send(struct.pack("<IIQ", 0x7777, 0, 0), 1)[0], b"\2")

    def test_descriptors_that_lie(self):
        """A device that is told nonsense says so (status bit 6) or drops it, and works again after a reset."""
        loops = [
            ("a loop", lambda q: [q.descriptor(0, 0x1000, 16, q.NEXT, 1), q.descriptor(1, 0x1000, 16, q.NEXT, 0), q.offer(0)]),
            ("beyond the table", lambda q: [q.descriptor(0, 0x1000, 16, q.NEXT, 0xfff), q.offer(0)]),
            ("a head beyond the table", lambda q: q.offer(0x4321)),
            ("outside of memory", lambda q: [q.descriptor(0, 0xffffffffffff0000, 0xffffffff, q.NEXT, 1), q.descriptor(1, 0xe0000000, 1, q.WRITE), q.offer(0)]),
            ("more than there is", lambda q: [q.m.writew(q.avail + 2, 0xfff0), q.m.writew(q.notify, q.n)]),
            ("indirect within indirect", lambda q: [q.descriptor(0, q.desc, 32, 5, 1), q.offer(0)]),
            ("no status", lambda q: [q.descriptor(0, 0x1000, 16), q.offer(0)]),
        ]
        with guest.temporary_folder() as folder, self.start(folder) as m:
            for name, act in loops:
                with self.subTest(name):
                    d = qtest.Virtio(m, qtest.Virtio.BLK, 1 << 28)
                    q = d.queue(0)
                    d.ready()
                    act(q)
                    m.step(1_000_000)
                    m.readb(d.common + 20)
                    d = qtest.Virtio(m, qtest.Virtio.BLK)
                    q = d.queue(0)
                    d.ready()
                    self.assertEqual(q.send(struct.pack("<IIQ", 0, 0, 5), 512, 1)[0][:8], struct.pack("<Q", 5))

    def test_queue_changed_while_it_works(self):
        with guest.temporary_folder() as folder, self.start(folder) as m:
            d = qtest.Virtio(m, qtest.Virtio.BLK)
            q = d.queue(0)
            d.ready()
            for at in (0, 0xfffffffffffff000, 0xfee00000, q.desc + 1):
                m.writew(d.common + 22, 0)
                m.writel(d.common + 32, at & 0xffffffff)
                m.writel(d.common + 36, at >> 32)
                m.writew(d.common + 24, 0xffff)
                q.offer(0)
            m.writeb(d.common + 20, 0)
            self.assertEqual(m.readb(d.common + 20), 0)


class VirtioOthers(unittest.TestCase):
    def test_rng(self):
        with qtest.Machine("-device", "virtio-rng-pci") as m:
            d = qtest.Virtio(m, qtest.Virtio.RNG)
            q = d.queue(0)
            d.ready()
            data, length = q.send(64)
            self.assertTrue(length and any(data[:length]))

    def test_net(self):
        with qtest.Machine("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,mac=52:54:00:01:02:03") as m:
            d = qtest.Virtio(m, qtest.Virtio.NET, 1 << 5)
            self.assertEqual(m.read(d.at[d.DEVICE], 6).hex(), "525400010203")
            receive, send = d.queue(0), d.queue(1)
            d.ready()
            at = m.alloc(2048)
            receive.descriptor(0, at, 2048, receive.WRITE)
            receive.offer(0)
            arp = bytes.fromhex("ffffffffffff525400010203" "0806" "0001080006040001" "525400010203" "0a00020f" "000000000000" "0a000202")
            send.send(bytes(12) + arp.ljust(60, b"\0"))
            _, length = receive.wait()
            frame = m.read(at, length)[12:]
            self.assertEqual((frame[:6].hex(), frame[12:14].hex(), frame[28:32]), ("525400010203", "0806", bytes([10, 0, 2, 2])))

    def test_scsi(self):
        with guest.temporary_folder() as folder:
            with qtest.Machine("-drive", f"file={image(folder)},format=raw,if=none,id=d", "-device", "virtio-scsi-pci,id=s",
                               "-device", "scsi-hd,drive=d,bus=s.0") as m:
                d = qtest.Virtio(m, qtest.Virtio.SCSI)
                d.queue(0), d.queue(1)
                q = d.queue(2)
                d.ready()

                def command(cdb, n):
                    return q.send(struct.pack("<BBHIQBBB", 1, 0, 0, 0, 1, 0, 0, 0) + bytes(cdb).ljust(32, b"\0"), 108, n)[0]
                command([0, 0, 0, 0, 0, 0], 1)  # power-on: unit attention
                self.assertEqual(command([0x12, 0, 0, 0, 36, 0], 36)[108] & 0x1f, 0)
                answer = command([0x28, 0, 0, 0, 0, 6, 0, 0, 1, 0], 512)
                self.assertEqual(answer[108:116], struct.pack("<Q", 6))


if __name__ == "__main__":
    tap.main()
