#!/usr/bin/env python3
"""Linux's own drivers move data to and from IDE and virtio disks and CD-ROMs, and take random numbers from virtio-rng."""
import hashlib
import os
import subprocess
import unittest

import guest
import guest_disk
import guests
import qmp
import tap

NEEDS_LONG = unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
DISK_BYTES = 6 << 20
CD_BYTES = 3 << 20

# Blocks of random data at odd places, written through to the disk.
WRITE = ("for i in 1 7 30 99 500 1000 1535; do dd if=/dev/urandom of=/dev/sda bs=4096 count=1 seek=$i conv=notrunc,fsync 2>/dev/null; done; "
         "sync; echo 3 > /proc/sys/vm/drop_caches")


def md5(path):
    with open(path, "rb") as file:
        return hashlib.md5(file.read()).hexdigest()


class Linux(unittest.TestCase):
    def check(self, append, *args):
        with guest.temporary_folder() as folder:
            disk, disc = os.path.join(folder, "disk.img"), os.path.join(folder, "cd.iso")
            for path, size in (disk, DISK_BYTES), (disc, CD_BYTES):
                with open(path, "wb") as out:
                    out.write(os.urandom(size))
            before = md5(disk)
            with guest.Guest("-nographic", "-m", "256", "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"),
                             "-append", f"console=ttyS0 quiet atoll.mode=shell {append}", "-hda", disk, "-cdrom", disc, *args,
                             terminal=True) as vm:
                vm.expect("A shell in the guest", 400)
                self.shell(vm, "md5sum < /dev/sda", before)
                self.shell(vm, "md5sum < /dev/sr0", md5(disc))
                self.shell(vm, "cat /sys/class/misc/hw_random/rng_current", "virtio_rng.0")
                self.shell(vm, "dd if=/dev/hwrng bs=64 count=8 2>/dev/null | wc -c", r"\b512\b")
                self.shell(vm, WRITE, "# ")
                after = self.shell(vm, "md5sum < /dev/sda", r"[0-9a-f]{32}")
                self.shell(vm, "dmesg | grep -cE 'ata[0-9].*(exception|failed|error)'", r"\b0\b(?=\r)")
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            self.assertNotEqual(after, before)
            self.assertEqual(after, md5(disk))

    def shell(self, vm, command, answer):
        vm.expect("# ", 60)
        vm.send(command + "\r")
        vm.expect(r"\n", 60)
        found = vm.expect(rf"({answer})", 120).group(1)
        if answer == "# ":
            vm.seen -= 2
        return found

    def test_dma(self):
        self.check("", "-device", "virtio-rng-pci")

    @NEEDS_LONG
    def test_pio(self):
        self.check("libata.dma=0", "-device", "virtio-rng-pci,disable-modern=on", "-smp", "2")

    @NEEDS_LONG
    def test_modern_only(self):
        self.check("pci=nomsi", "-device", "virtio-rng-pci,disable-legacy=on")


class VirtioDisk(unittest.TestCase):
    """virtio_blk of Debian's kernel: data, serial number, discard, queues."""
    shell = Linux.shell

    def check(self, device, *args):
        with guest.temporary_folder() as folder:
            disk = os.path.join(folder, "disk.img")
            with open(disk, "wb") as out:
                out.write(os.urandom(DISK_BYTES))
            before = md5(disk)
            with guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"),
                             "-append", "console=ttyS0 quiet atoll.mode=shell", "-drive", f"file={disk},format=raw,discard=unmap,serial=S-17,{device}", *args,
                             terminal=True) as vm:
                vm.expect("A shell in the guest", 200)
                self.shell(vm, "md5sum < /dev/vda", before)
                self.shell(vm, "cat /sys/block/vda/serial", "S-17")
                self.shell(vm, "ls /sys/block/vda/mq | wc -l", r"\b2\b")
                self.shell(vm, WRITE.replace("/dev/sda", "/dev/vda"), "# ")
                self.shell(vm, "blkdiscard -o 2097152 -l 1048576 /dev/vda; echo status $?", "status 0")
                after = self.shell(vm, "md5sum < /dev/vda", r"[0-9a-f]{32}")
                self.shell(vm, "dmesg | grep -cE 'vda.*error'", r"\b0\b(?=\r)")
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            self.assertNotEqual(after, before)
            self.assertEqual(after, md5(disk))
            with open(disk, "rb") as file:
                file.seek(2 << 20)
                self.assertEqual(file.read(1 << 20), bytes(1 << 20))

    def test_drive(self):
        self.check("if=virtio", "-smp", "2")

    @NEEDS_LONG
    def test_transitional(self):
        self.check("if=none,id=d", "-device", "virtio-blk-pci-transitional,drive=d,disable-modern=on,num-queues=2", "-smp", "2")

    @NEEDS_LONG
    def test_non_transitional(self):
        self.check("if=none,id=d", "-device", "virtio-blk-pci-non-transitional,drive=d,num-queues=2", "-smp", "2")

    @NEEDS_LONG
    def test_root(self):
        """GRUB finds the disk by SeaBIOS's driver, Debian mounts it by its own."""
        with guest.temporary_folder() as folder:
            disk = os.path.join(folder, "disk.img")
            subprocess.run(["cp", "--reflink=auto", "--sparse=always", guest_disk.disk("amd64"), disk], check=True)
            with guest.Guest("-nographic", "-m", "512", "-accel", "dbt", "-drive", f"file={disk},format=raw,if=virtio", terminal=True) as vm:
                vm.expect(r"atoll login: root \(automatic login\)", 300)
                vm.expect("# ", 100)
                vm.send("findmnt -no SOURCE /\r")
                vm.expect("/dev/vda", 60)


class VirtioScsi(unittest.TestCase):
    """virtio_scsi of Debian's kernel: two disks and a CD-ROM drive on one adapter."""
    shell = Linux.shell

    def test_units(self):
        with guest.temporary_folder() as folder:
            disk, disc = os.path.join(folder, "disk.img"), os.path.join(folder, "cd.iso")
            for path, size in (disk, DISK_BYTES), (disc, CD_BYTES):
                with open(path, "wb") as out:
                    out.write(os.urandom(size))
            before = md5(disk)
            with guest.Guest("-nographic", "-nodefaults", "-serial", "stdio", "-m", "256", "-accel", "dbt", "-kernel", guests.kernel("cloud"),
                             "-initrd", guests.initramfs("cloud"), "-append", "console=ttyS0 quiet atoll.mode=shell", "-device", "virtio-scsi-pci,id=scsi0",
                             "-drive", f"file={disk},format=raw,if=none,id=d,discard=unmap", "-device", "scsi-hd,drive=d,serial=S-19,bus=scsi0.0",
                             "-drive", f"file={disc},if=none,id=c,media=cdrom", "-device", "scsi-cd,drive=c,scsi-id=5,lun=0", terminal=True) as vm:
                vm.expect("A shell in the guest", 200)
                self.shell(vm, "md5sum < /dev/sda", before)
                self.shell(vm, "md5sum < /dev/sr0", md5(disc))
                self.shell(vm, "ls /sys/class/scsi_device | wc -l", r"\b2\b")
                self.shell(vm, "tail -c +5 /sys/block/sda/device/vpd_pg80", "S-19")
                self.shell(vm, WRITE, "# ")
                self.shell(vm, "blkdiscard -o 2097152 -l 1048576 /dev/sda; echo status $?", "status 0")
                after = self.shell(vm, "md5sum < /dev/sda", r"[0-9a-f]{32}")
                self.shell(vm, "dmesg | grep -cE 'sd[ab].*(error|failed)'", r"\b0\b(?=\r)")
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            self.assertNotEqual(after, before)
            self.assertEqual(after, md5(disk))


class Sata(unittest.TestCase):
    """Linux's ahci: queued commands to a disk, packets to a CD-ROM drive, a changed disc, error recovery."""
    shell = Linux.shell

    @NEEDS_LONG
    def test_ahci(self):
        with guest.temporary_folder() as folder:
            disk, disc = os.path.join(folder, "disk.img"), os.path.join(folder, "cd.iso")
            for path, size in (disk, DISK_BYTES), (disc, CD_BYTES):
                with open(path, "wb") as out:
                    out.write(os.urandom(size))
            before = md5(disk)
            with guest.Guest("-nographic", "-nodefaults", "-serial", "stdio", "-m", "256", "-accel", "dbt", "-kernel", guests.kernel("amd64"),
                             "-initrd", guests.initramfs("amd64"), "-append", "console=ttyS0 quiet atoll.mode=shell", "-device", "ahci,id=sata",
                             "-drive", f"file={disk},format=raw,if=none,id=d,serial=S-18", "-device", "ide-hd,drive=d,bus=sata.0",
                             "-drive", f"file={disc},if=none,id=c,media=cdrom", "-device", "ide-cd,drive=c,bus=sata.3", terminal=True) as vm:
                vm.expect("A shell in the guest", 200)
                self.shell(vm, "md5sum < /dev/sda", before)
                self.shell(vm, "md5sum < /dev/sr0", md5(disc))
                self.shell(vm, "cat /sys/block/sda/device/queue_depth", r"\b32\b")
                self.shell(vm, "dmesg | grep -c 'NCQ (depth 32)'", r"\b1\b")
                self.shell(vm, WRITE, "# ")
                after = self.shell(vm, "md5sum < /dev/sda", r"[0-9a-f]{32}")
                self.shell(vm, "grep -c 'MSI.*ahci' /proc/interrupts", r"\b1\b(?=\r)")
                self.shell(vm, "dmesg | grep -cE 'ata[0-9].*(exception|failed|error)'", r"\b0\b(?=\r)")
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            self.assertNotEqual(after, before)
            self.assertEqual(after, md5(disk))

    @NEEDS_LONG
    def test_errors(self):
        """A block that cannot be read: Linux learns from log 10h which of the commands it was, and the others come through."""
        with guest.temporary_folder() as folder:
            disk = os.path.join(folder, "disk.img")
            with open(disk, "wb") as out:
                out.write(os.urandom(DISK_BYTES))
            with guest.Guest("-nographic", "-nodefaults", "-serial", "stdio", "-m", "256", "-accel", "dbt", "-kernel", guests.kernel("amd64"),
                             "-initrd", guests.initramfs("amd64"), "-append", "console=ttyS0 quiet atoll.mode=shell", "-device", "ahci,id=sata",
                             "-blockdev", "driver=raw,node-name=d,file.driver=blkdebug,file.inject-error.0.iotype=read,file.inject-error.0.sector=2000,"
                             f"file.inject-error.0.errno=5,file.file.driver=file,file.file.filename={disk}",
                             "-device", "ide-hd,drive=d,bus=sata.0", terminal=True) as vm:
                vm.expect("A shell in the guest", 200)
                self.shell(vm, "dd if=/dev/sda of=/dev/null bs=512 skip=2000 count=1 2>&1 | grep -c 'Input/output error'", r"\b1\b(?=\r)")
                self.shell(vm, "dmesg | grep -c 'failed command: READ FPDMA QUEUED'", r"\b[1-9]\d*\b(?=\r)")
                self.shell(vm, "dmesg | grep -c 'error: { UNC }'", r"\b[1-9]\d*\b(?=\r)")
                self.shell(vm, "dmesg | grep -ciE 'log page|link is slow|SRST failed'", r"\b0\b(?=\r)")
                with open(disk, "rb") as file:
                    file.seek(4096 * 512)
                    expected = hashlib.md5(file.read(1 << 20)).hexdigest()
                self.shell(vm, "dd if=/dev/sda bs=512 skip=4096 count=2048 2>/dev/null | md5sum", expected)
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)


class Usb(unittest.TestCase):
    """Linux's usb-storage on a stick: it reads all of it, writes at odd places, and hears of one that is pulled out."""
    shell = Linux.shell

    def check(self, controller):
        with guest.temporary_folder() as folder:
            disk, qmp_path = os.path.join(folder, "disk.img"), os.path.join(folder, "qmp")
            with open(disk, "wb") as out:
                out.write(os.urandom(DISK_BYTES))
            before = md5(disk)
            with guest.Guest("-nographic", "-nodefaults", "-serial", "stdio", "-m", "256", "-accel", "dbt", "-kernel", guests.kernel("amd64"),
                             "-initrd", guests.initramfs("amd64", more=["xhci_pci", "uhci_hcd", "usb-storage"]), "-append", "console=ttyS0 quiet atoll.mode=shell",
                             "-qmp", f"unix:{qmp_path},server=on,wait=off", "-device", f"{controller},id=usb", "-drive", f"file={disk},format=raw,if=none,id=d",
                             "-device", "usb-storage,drive=d,bus=usb.0,id=stick,serial=S-18", terminal=True) as vm:
                vm.expect("A shell in the guest", 200)
                self.shell(vm, "until [ -b /dev/sda ]; do sleep 1; done; md5sum < /dev/sda", before)
                self.shell(vm, WRITE, "# ")
                after = self.shell(vm, "md5sum < /dev/sda", r"[0-9a-f]{32}")
                self.shell(vm, "dmesg | grep -cE 'usb.*(reset|error)|I/O error'", r"\b0\b(?=\r)")
                with qmp.Qmp(qmp_path) as monitor:
                    monitor.run("device_del", id="stick")
                self.shell(vm, "while [ -b /dev/sda ]; do sleep 1; done; dmesg | grep -c 'USB disconnect'", r"\b1\b(?=\r)")
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            self.assertNotEqual(after, before)
            self.assertEqual(after, md5(disk))

    @NEEDS_LONG
    def test_xhci(self):
        self.check("qemu-xhci")

    @NEEDS_LONG
    def test_uhci(self):
        self.check("piix3-usb-uhci")


class Floppy(unittest.TestCase):
    """SeaBIOS boots from a floppy; Linux's floppy.ko reads and writes two."""
    shell = Linux.shell

    def test_boot(self):
        """A sector of the last track, by SeaBIOS's driver: head, cylinder and sector are right."""
        code = bytes.fromhex("31c08ed8b80102bb007eb9014fba0001cd13720ebe007eac84c07406baf803eeebf5faf4")  # int 13h, then text to COM1
        image = bytearray(1440 << 10)
        image[:len(code)], image[510:512] = code, b"\x55\xaa"
        text = b"booted from a floppy\n"
        at = (79 * 2 + 1) * 18 * 512
        image[at:at + len(text)] = text
        with guest.temporary_folder() as folder:
            disk = os.path.join(folder, "a.img")
            with open(disk, "wb") as out:
                out.write(image)
            with guest.Guest("-nographic", "-nodefaults", "-serial", "stdio", "-boot", "a", "-fda", disk) as vm:
                vm.expect("booted from a floppy", 60)

    def test_linux(self):
        with guest.temporary_folder() as folder:
            path = lambda name: os.path.join(folder, name)
            for name, size in ("a", 1440 << 10), ("b", 720 << 10):
                with open(path(name), "wb") as out:
                    out.write(os.urandom(size))
            before = {name: md5(path(name)) for name in "ab"}
            with guest.Guest("-nographic", "-nodefaults", "-serial", "stdio", "-m", "256", "-accel", "dbt", "-kernel", guests.kernel("amd64"),
                             "-initrd", guests.initramfs("amd64"), "-append", "console=ttyS0 quiet atoll.mode=shell", "-fda", path("a"),
                             "-drive", f"file={path('b')},format=raw,if=floppy,index=1", terminal=True) as vm:
                vm.expect("A shell in the guest", 300)
                self.shell(vm, "cat /sys/bus/pnp/devices/*/id | grep -c PNP0700", r"\b1\b(?=\r)")
                self.shell(vm, "md5sum < /dev/fd0", before["a"])
                self.shell(vm, "md5sum < /dev/fd1", before["b"])
                self.shell(vm, "for i in 0 17 18 200 359; do dd if=/dev/urandom of=/dev/fd0 bs=4096 count=1 seek=$i conv=notrunc,fsync; done 2>/dev/null; "
                               "sync; echo 3 > /proc/sys/vm/drop_caches", "# ")
                after = self.shell(vm, "md5sum < /dev/fd0", r"[0-9a-f]{32}")
                self.assertEqual(after, md5(path("a")))
                self.assertNotEqual(after, before["a"])
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)


IMG = os.path.join(os.path.dirname(guest.ATOLL_VM), "atoll-img")


class Images(unittest.TestCase):
    """Disks that are not raw, by every way to name them: the guest's view and atoll-img's are the same."""
    SECRET = ("--object", "secret,id=s0,data=open sesame")

    def img(self, *args):
        subprocess.run([IMG, *args], check=True)

    def test_formats(self):
        with guest.temporary_folder() as folder:
            path = lambda name: os.path.join(folder, name)
            with open(path("raw"), "wb") as out:
                out.write(os.urandom(DISK_BYTES))
            before = md5(path("raw"))
            luks = f"driver=luks,key-secret=s0,file.driver=file,file.filename={path('d')}"
            self.img("convert", "-f", "raw", "-O", "qcow2", path("raw"), path("base"))
            self.img("create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", path("b"))
            self.img("convert", "-f", "raw", "-O", "qcow2", "-c", path("raw"), path("a"))
            self.img("convert", "-f", "raw", "-O", "vmdk", path("raw"), path("c"))
            self.img("convert", *self.SECRET, "-f", "raw", "-O", "luks", "-o", "key-secret=s0,iter-time=10", path("raw"), path("d"))
            opens = (("-f", "qcow2", path("a")), ("-f", "qcow2", path("b")), ("-f", "vmdk", path("c")), ("--image-opts", *self.SECRET, luks))
            with guest.Guest("-nographic", "-accel", "dbt", "-m", "256", "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"),
                             "-append", "console=ttyS0 quiet atoll.mode=shell", "-hda", path("a"), "-drive", f"file={path('b')},format=qcow2,cache=none,index=1",
                             "-blockdev", f"driver=file,filename={path('c')},node-name=file0", "-blockdev", '{"driver": "vmdk", "file": "file0", "node-name": "disk0"}',
                             "-device", "ide-hd,drive=disk0,bus=ide.1,unit=0", "-object", self.SECRET[1], "-blockdev", luks + ",node-name=disk1",
                             "-device", "ide-hd,drive=disk1,bus=ide.1,unit=1", terminal=True) as vm:
                vm.expect("A shell in the guest", 200)
                after = []
                for disk in "abcd":
                    Linux.shell(self, vm, f"md5sum < /dev/sd{disk}", before)
                    Linux.shell(self, vm, WRITE.replace("/dev/sda", f"/dev/sd{disk}"), "# ")
                    after.append(Linux.shell(self, vm, f"md5sum < /dev/sd{disk}", r"[0-9a-f]{32}"))
                vm.send("exit\r")
                self.assertEqual(vm.wait(60), 0)
            written = []
            for words in opens:
                self.img("convert", *words, "-O", "raw", path("out"))
                written.append(md5(path("out")))
            self.assertEqual(sorted(written), sorted(after)) # Linux names disks in the order in which their channels answer
            self.assertEqual(len({*after, before}), 5)


if __name__ == "__main__":
    tap.main()
