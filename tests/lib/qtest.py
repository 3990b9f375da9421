"""A qtest client: an atoll-vm without a processor, whose ports, memory, PCI functions and virtio devices a test drives itself."""
import os
import re
import socket
import struct
import time

import guest

SECOND = 1_000_000_000


class Refused(Exception):
    pass


class Machine:
    """with qtest.Machine("-device", ...) as m: m.outb(0x70, 0); m.inb(0x71)"""

    def __init__(self, *args, ram="64"):
        self.folder = guest.temporary_folder()
        path = os.path.join(self.folder.name, "qtest")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(0.2)
            self.guest = guest.Guest("-accel", "qtest", "-qtest", f"unix:{path}", "-qtest-log", "none", "-display", "none", "-m", ram,
                                     "-nodefaults", *args)
            self.socket = self._accept(listener)
        self.socket.settimeout(20 * guest.PATIENCE)
        # Not makefile("rw"): a text file's write() throws away what was read ahead of the line that readline() gave, and so an
        # "IRQ raise" that came right behind an answer.
        self.lines = self.socket.makefile("r")
        self.irq = {}          # of the lines that are watched: number -> level
        self.raised = []       # in order
        self.next_page = 0x100000

    def _accept(self, listener):
        """A machine that has ended will not come: what it printed says why."""
        end = time.monotonic() + 10 * guest.PATIENCE
        while time.monotonic() < end:
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self.guest.process.poll() is not None:
                    while self.guest._read(0.1):  # to the end of the pipe
                        pass
                    self.guest._fail(f"it ended (status {self.guest.process.returncode}) before it connected")
        self.guest._fail("it does not connect")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()
        self.guest.__exit__()
        self.folder.cleanup()

    def command(self, line):
        self.socket.sendall(line.encode() + b"\n")
        while True:
            answer = self.lines.readline()
            if not answer:
                self.guest._fail(f"it has gone at '{line[:100]}'")
            words = answer.split()
            if words[0] == "IRQ":
                self.irq[int(words[2])] = words[1] == "raise"
                if words[1] == "raise":
                    self.raised.append(int(words[2]))
            elif words[0] == "OK":
                return words[1] if len(words) > 1 else None
            else:
                raise Refused(answer.strip())

    def __getattr__(self, name):  # inb, outw, readl, writeq, ...
        if re.fullmatch(r"in[bwl]|read[bwlq]", name):
            return lambda at: int(self.command(f"{name} {at:#x}"), 16)
        if re.fullmatch(r"out[bwl]|write[bwlq]", name):
            return lambda at, value: self.command(f"{name} {at:#x} {value:#x}")
        raise AttributeError(name)

    def read(self, at, n):
        return bytes.fromhex(self.command(f"read {at:#x} {n:#x}")[2:])

    def write(self, at, data):
        self.command(f"write {at:#x} {len(data):#x} 0x{data.hex()}")

    def step(self, ns=None):
        return int(self.command("clock_step" + (f" {ns}" if ns is not None else "")))

    def wait(self, condition, what):
        """Until what runs on other threads of the machine has happened."""
        end = time.monotonic() + 20 * guest.PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            self.step(1_000_000)
        raise AssertionError(f"{what} does not happen")

    def alloc(self, n, align=4096):
        at = (self.next_page + align - 1) & -align
        self.next_page = at + n
        return at

    # ---- PCI

    def config_read(self, devfn, off, size=4):
        self.outl(0xcf8, 0x80000000 | devfn << 8 | off & 0xfc)
        return {1: self.inb, 2: self.inw, 4: self.inl}[size](0xcfc + (off & 3))

    def config_write(self, devfn, off, value, size=4):
        self.outl(0xcf8, 0x80000000 | devfn << 8 | off & 0xfc)
        {1: self.outb, 2: self.outw, 4: self.outl}[size](0xcfc + (off & 3), value)

    def pci(self, vendor, *devices):
        for devfn in range(256):
            if self.config_read(devfn, 0) in [device << 16 | vendor for device in devices]:
                return Function(self, devfn)
        raise AssertionError(f"no PCI function {vendor:04x}:{devices[0]:04x}")


class Function:
    """A PCI function with its BARs given places."""
    next_mmio, next_port = 0xe0000000, 0xc000

    def __init__(self, m, devfn):
        self.m, self.devfn, self.bars = m, devfn, {}
        mmio, port = Function.next_mmio + (devfn << 20), Function.next_port
        n = 0
        while n < 6:
            off = 0x10 + 4 * n
            m.config_write(devfn, off, 0xffffffff)
            mask = m.config_read(devfn, off)
            if mask & 1:
                size = -(mask & ~3) & 0xffff
                port = (port + size - 1) & -size
                self.bars[n] = (port, True)
                m.config_write(devfn, off, port)
                port += size
            elif mask:
                size = -(mask & ~15) & 0xffffffff
                mmio = (mmio + size - 1) & -size
                self.bars[n] = (mmio, False)
                m.config_write(devfn, off, mmio)
                if mask & 4:
                    m.config_write(devfn, off + 4, 0)
                    n += 1
                mmio += size
            n += 1
        m.config_write(devfn, 4, 7, 2)

    def capabilities(self, kind):
        at = self.m.config_read(self.devfn, 0x34, 1)
        while at:
            if self.m.config_read(self.devfn, at, 1) == kind:
                yield at
            at = self.m.config_read(self.devfn, at + 1, 1)


class Virtio:
    """A virtio-pci device by its modern registers (virtio 1.1, 4.1.4)."""
    COMMON, NOTIFY, ISR, DEVICE = 1, 2, 3, 4
    NET, BLK, RNG, SCSI = (1, 0x1000), (2, 0x1001), (4, 0x1005), (8, 0x1004)  # device, PCI id where it has legacy registers, too

    def __init__(self, m, kind, features=0):
        self.m = m
        self.pci = m.pci(0x1af4, kind[0] + 0x1040, kind[1])
        self.at, self.queues, self.notify_multiplier = {}, {}, 0
        for cap in self.pci.capabilities(9):
            kind, bar = (m.config_read(self.pci.devfn, cap + off, 1) for off in (3, 4))
            if kind in (1, 2, 3, 4):
                self.at[kind] = self.pci.bars[bar][0] + m.config_read(self.pci.devfn, cap + 8)
            if kind == self.NOTIFY:
                self.notify_multiplier = m.config_read(self.pci.devfn, cap + 16)
        self.common = self.at[self.COMMON]
        m.writeb(self.common + 20, 0)
        m.writeb(self.common + 20, 3)
        self.offered = self.half(0) | self.half(1) << 32
        self.accept(features | 1 << 32)

    def half(self, n):
        self.m.writel(self.common, n)
        return self.m.readl(self.common + 4)

    def accept(self, features):
        for n in 0, 1:
            self.m.writel(self.common + 8, n)
            self.m.writel(self.common + 12, features >> 32 * n & 0xffffffff)
        self.m.writeb(self.common + 20, 11)

    def ready(self):
        self.m.writeb(self.common + 20, 15)
        return self.m.readb(self.common + 20)

    def queue(self, n, size=16):
        m, c = self.m, self.common
        m.writew(c + 22, n)
        assert m.readw(c + 24), f"queue {n} does not exist"
        q = Queue(self, n, size)
        m.writew(c + 24, size)
        for off, at in ((32, q.desc), (40, q.avail), (48, q.used)):
            m.writel(c + off, at)
            m.writel(c + off + 4, 0)
        q.notify = self.at[self.NOTIFY] + m.readw(c + 30) * self.notify_multiplier
        m.writew(c + 28, 1)
        self.queues[n] = q
        return q


class Queue:
    """A split virtqueue, and requests on it."""
    NEXT, WRITE, INDIRECT = 1, 2, 4

    def __init__(self, device, n, size):
        self.device, self.m, self.n, self.size = device, device.m, n, size
        self.desc, self.avail, self.used = (self.m.alloc(4096) for _ in range(3))
        for page in self.desc, self.avail, self.used:
            self.m.command(f"memset {page:#x} 0x1000 0")
        self.head = self.seen = 0
        self.notify = 0

    def descriptor(self, n, at, length, flags=0, following=0):
        self.m.write(self.desc + 16 * n, struct.pack("<QIHH", at, length, flags, following))

    def offer(self, *heads):
        for head in heads:
            self.m.writew(self.avail + 4 + 2 * (self.head % self.size), head)
            self.head += 1
        self.m.writew(self.avail + 2, self.head & 0xffff)
        self.m.writew(self.notify, self.n)

    def send(self, *parts):
        """parts: bytes for the device to read, or a number of bytes for it to write.  Returns what it wrote, and how much it says."""
        places = []
        for i, part in enumerate(parts):
            n = part if isinstance(part, int) else len(part)
            at = self.m.alloc(max(n, 1), 16)
            if not isinstance(part, int):
                self.m.write(at, part)
            more = self.NEXT if i + 1 < len(parts) else 0
            self.descriptor(i, at, n, more | (self.WRITE if isinstance(part, int) else 0), i + 1)
            places.append((at, n, isinstance(part, int)))
        self.offer(0)
        length = self.wait()[1]
        return b"".join(self.m.read(at, n) for at, n, writes in places if writes), length

    def wait(self):
        """The next used element: (head, length)."""
        self.m.wait(lambda: self.m.readw(self.used + 2) != self.seen & 0xffff, f"an answer on queue {self.n}")
        element = struct.unpack("<II", self.m.read(self.used + 4 + 8 * (self.seen % self.size), 8))
        self.seen += 1
        return element
