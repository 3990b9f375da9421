#!/usr/bin/env python3
"""UEFI machines and q35 boards of atolld: what a definition gets and keeps, variables that outlive the machine, Debian by OVMF, devices behind root ports."""
import os
import re
import shutil
import subprocess
import unittest
import unittest.mock

import guest
import guest_disk
import managed
import manager
import tap

CODE, VARIABLES = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
MACHINE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory}</memory><os firmware='efi'><type machine='{machine}'>hvm</type>{os}</os>
<features><acpi/></features><devices>{emulator}{devices}<serial type='unix'><source mode='bind' path='{line}'/></serial></devices></domain>"""
VARIABLE = "atoll -guid 12345678-1234-1234-1234-123456789abc"
# GRUB on a disk of its own, whose file system OVMF reads; Debian's disk has none for it.
GRUB = """search --no-floppy --label --set=root root
linux /vmlinuz root=LABEL=root ro console=ttyS0 net.ifnames=0
initrd /initrd.img
boot
"""
GRUB_MODULES = ["part_msdos", "ext2", "fat", "normal", "linux", "search", "search_label", "boot"]


class Uefi(managed.Managed):
    def xml(self, name="u", devices="", more="", machine="q35", memory=256, emulator=""):
        return self.write(name + ".xml", MACHINE.format(name=name, memory=memory, machine=machine, os=more, devices=devices, line=self.path(name + ".line"), emulator=emulator))

    def set_up(self, name="u", devices="", **named):
        self.virsh("define", self.xml(name, devices, **named))
        self.addCleanup(self.virsh, "destroy", name, check=False)

    def variables(self, name="u"):
        return self.path(f"state/nvram/{name}_VARS.fd")

    def dump(self, name="u", *args):
        return self.virsh("dumpxml", name, *args)

    def line(self, name="u"):
        line = manager.Line(self.path(name + ".line"))
        self.addCleanup(line.__exit__)
        return line


@unittest.skipUnless(os.path.exists(CODE), "no ovmf here")
class Definition(Uefi):
    def test_definition(self):
        for name in "a.raw", "b.raw":
            self.image(name)
        self.set_up(devices=self.disk("vda", "a.raw", "raw") + self.disk("sdb", "b.raw", "raw") + "<interface type='user'><model type='virtio'/></interface>", more="<boot dev='hd'/>")
        text = self.dump()
        self.assertIn(f"<loader readonly='yes' type='pflash'>{CODE}</loader>", text)
        self.assertIn(f"<nvram template='{VARIABLES}'>{self.variables()}</nvram>", text)
        self.assertIn("<controller type='pci' index='0' model='pcie-root'/>", text)
        port = r"<controller type='pci' index='{}' model='pcie-root-port'>\s*<model name='pcie-root-port'/>\s*<target chassis='{}' port='0x{:x}'/>\s*<address type='pci' domain='0x0000' bus='0x00' slot='0x02'"
        for number in 1, 2, 3:  # card, SCSI controller, disk
            self.assertRegex(text, port.format(number, number, 15 + number))
        self.assertNotIn("index='4' model='pcie-root-port'", text)
        self.assertRegex(text, r"<target dev='vda' bus='virtio'/>\s*<address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/>")
        self.virsh("define", self.write("again.xml", text))  # what is there stays where it is
        self.assertEqual(self.dump(), text)
        self.virsh("attach-disk", "u", self.image("c.raw"), "vdb", "--config", "--subdriver", "raw")
        self.assertRegex(self.dump(), r"<target dev='vdb' bus='virtio'/>\s*<address type='pci' domain='0x0000' bus='0x04'")

    def test_pc(self):
        """The root bus of a pc has its devices itself."""
        self.image("a.raw")
        self.set_up(devices=self.disk("vda", "a.raw", "raw") + "<video><model type='vga'/></video><rng model='virtio'><backend model='builtin'/></rng>", machine="pc")
        text = self.dump()
        self.assertIn(CODE, text)
        self.assertEqual(re.findall(r"bus='0x00' slot='(0x\d\d)'", text), ["0x03", "0x02", "0x04"])
        rng = self.write("rng.xml", "<rng model='virtio'><backend model='builtin'/></rng>")
        self.virsh("detach-device", "u", rng, "--config")  # without its place
        self.assertNotIn("<rng", self.dump())

    def test_wrong(self):
        disk = "<disk type='file'><source file='/a'/><target dev='{}' bus='virtio'/>{}</disk>"
        wrong = [
            ("per-device boot elements cannot be used together with os/boot elements", {"devices": disk.format("vda", "<boot order='1'/>"), "more": "<boot dev='hd'/>"}),
            ("boot order '1' used for more than one device", {"devices": disk.format("vda", "<boot order='1'/>") + disk.format("vdb", "<boot order='1'/>")}),
            ("Attempted double use of PCI Address 0000:00:1f.0: the board and disk 'vda'", {"devices": disk.format("vda", "<address type='pci' bus='0' slot='0x1f'/>")}),
            ("a slot that its bus does not have", {"devices": disk.format("vda", "<address type='pci' bus='0x01' slot='0x03'/>")}),
            ("its address is of type 'drive'", {"devices": disk.format("vda", "<address type='drive' unit='0'/>")}),
            ("Secure boot needs system management mode", {"more": "<firmware><feature enabled='yes' name='secure-boot'/></firmware>"}),
            ("'fast' is no feature of firmware", {"more": "<firmware><feature enabled='yes' name='fast'/></firmware>"}),
            ("Unable to find any firmware to satisfy 'efi'", {"machine": "microvm"}),
        ]
        for words, named in wrong:
            self.refused(words, "define", self.xml("w", **named))
        for old, new, words in (("firmware='efi'", "firmware='uefi'", "it can be bios or efi"), (" firmware='efi'", "", "<os firmware='efi'> or <loader type='pflash'> names that")):
            path = self.xml("w", more="<nvram>/a</nvram>")
            with open(path, encoding="utf-8") as file:
                text = file.read().replace(old, new)
            self.refused(words, "define", self.write("w.xml", text))
        self.assertEqual(self.virsh("list", "--all", "--name"), "")

    def test_capabilities(self):
        text = self.virsh("domcapabilities", "--machine", "q35", "--virttype", "qemu")
        self.assertRegex(text, r"<enum name='firmware'>\s*<value>efi</value>")
        self.assertIn(f"<value>{CODE}</value>", text)
        self.assertNotIn("secboot", text)  # atoll-vm cannot start it


@unittest.skipUnless(os.path.exists(CODE), "no ovmf here")
class Variables(Uefi):
    def shell(self):
        self.virsh("start", "u")
        line = self.line()
        line.expect("any other key to continue", 60)
        line.send("\x1b")
        line.expect("Shell>", 30)
        return line

    def value(self, pattern):
        line = self.shell()
        line.send(f"setvar {VARIABLE}\r")
        line.expect(pattern, 30)
        self.virsh("destroy", "u")

    def test_life(self):
        """Made at the first start, kept by the next ones, made anew where that is asked for."""
        self.set_up()
        self.assertFalse(os.path.exists(self.variables()))
        line = self.shell()
        self.assertEqual(os.stat(self.variables()).st_mode & 0o777, 0o600)
        line.send(f"setvar {VARIABLE} -bs -nv =0xC0FFEE\r")
        line.expect("Shell>", 30)
        self.virsh("destroy", "u")
        self.value(r"EE FF C0 00")
        self.virsh("start", "u", "--reset-nvram")
        self.virsh("destroy", "u")
        with open(self.variables(), "rb") as file, open(VARIABLES, "rb") as template:
            self.assertEqual(file.read(), template.read())

    def test_end(self):
        self.set_up()
        self.virsh("undefine", "u")  # it never ran: there are none
        for words, stays in (["--keep-nvram"], True), (["--nvram"], False), ([], False):
            self.set_up()
            self.virsh("start", "u")
            self.virsh("destroy", "u")
            self.virsh("undefine", "u", *words)
            self.assertEqual(os.path.exists(self.variables()), stays)

    def test_end_of_the_users_file(self):
        """Variables in a file that the user has named go only where that is asked for."""
        mine = self.path("mine.fd")
        for words, stays in ([], True), (["--nvram"], False):
            self.set_up()
            text = self.dump()
            self.virsh("define", self.write("mine.xml", text.replace(self.variables(), mine)))
            shutil.copy(VARIABLES, mine)
            self.virsh("undefine", "u", *words)
            self.assertEqual(os.path.exists(mine), stays)

    def test_name(self):
        """They go with the machine, and are not the next one's of that name."""
        self.set_up()
        self.virsh("start", "u")
        self.virsh("destroy", "u")
        self.virsh("domrename", "u", "v")
        self.assertIn(self.variables("v"), self.dump("v"))
        self.assertTrue(os.path.exists(self.variables("v")))
        self.assertFalse(os.path.exists(self.variables("u")))

    def test_lost(self):
        self.set_up()
        text = self.dump().replace(VARIABLES, self.path("nothing"))
        self.virsh("define", self.write("lost.xml", text))
        self.refused("what the firmware's variables start as", "start", "u")


class Hotplug(managed.Managed):
    """Devices that come into a running guest get a place, and what stands in the live definition is where they are."""

    def place(self, target):
        found = re.search(rf"<target dev='{target}'[^>]*/>.*?<address type='pci' domain='0x0000' bus='0x(..)' slot='0x(..)'", self.virsh("dumpxml", "m"), re.DOTALL)
        return found and found.groups()

    def plug(self, target, name, *words):
        self.virsh("attach-disk", "m", self.image(name), target, "--subdriver", "raw", "--live", *words)

    def sees(self, line, condition):
        line.send(f"until {condition}; do sleep 1; done; echo seen-$((6*7))\n")
        line.expect("seen-42", 60)

    def test_q35(self):
        """Two ports: two devices, and a third when one of them has gone."""
        ports = "<controller type='pci' model='pcie-root'/>" + "<controller type='pci' model='pcie-root-port'/>" * 2
        with unittest.mock.patch.object(managed, "MACHINE", managed.MACHINE.replace("machine='pc'", "machine='q35'")):
            line = self.start("m", ports)
        self.plug("vda", "a.raw")
        self.plug("vdb", "b.raw")
        self.assertEqual([self.place("vda"), self.place("vdb")], [("01", "00"), ("02", "00")])
        self.sees(line, "[ $(ls -d /sys/block/vd? | wc -l) = 2 ]")
        self.image("c.raw")
        self.refused("No more available PCI slots for disk 'vdc'", "attach-disk", "m", self.path("c.raw"), "vdc", "--subdriver", "raw", "--live")
        self.virsh("detach-disk", "m", "vda", "--live")
        self.until(lambda: not self.place("vda"), "the guest keeps its disk")
        self.plug("vdc", "c.raw")
        self.assertEqual(self.place("vdc"), ("01", "00"))
        self.sees(line, "[ $(ls -d /sys/block/vd? | wc -l) = 2 ]")

    def test_scsi(self):
        """The controller of the first SCSI disk comes with it, and is the next one's too; another device does not get its place."""
        self.start("m")
        self.plug("sda", "a.raw", "--targetbus", "scsi")
        controller = r"<controller type='scsi' index='0' model='virtio-scsi'>\s*<alias name='scsi0'/>\s*<address type='pci' domain='0x0000' bus='0x00' slot='0x(..)'"
        slot = re.search(controller, self.virsh("dumpxml", "m")).group(1)
        self.plug("sdb", "b.raw", "--targetbus", "scsi")
        self.assertEqual(len(re.findall(controller, self.virsh("dumpxml", "m"))), 1)
        self.plug("vda", "c.raw")
        self.assertNotEqual(self.place("vda")[1], slot)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(re.search(controller, self.virsh("dumpxml", "m")).group(1), slot)
        self.plug("vdb", "d.raw")
        self.assertNotIn(self.place("vdb")[1], (slot, self.place("vda")[1]))


@unittest.skipUnless(os.path.exists(CODE), "no ovmf here")
class Debian(Uefi):
    def loader(self):
        """A disk that OVMF boots from: GRUB alone, in a FAT of the floppy's kind."""
        config, core, image = self.write("grub.cfg", GRUB), self.path("bootx64.efi"), self.path("esp.raw")
        subprocess.run(["grub-mkimage", "-O", "x86_64-efi", "-o", core, "-p", "/", "-c", config, *GRUB_MODULES], check=True)
        subprocess.run(["mformat", "-C", "-i", image, "-T", "16384", "-h", "16", "-s", "32", "::"], check=True)
        for words in ["mmd", "-i", image, "::/EFI", "::/EFI/BOOT"], ["mcopy", "-i", image, core, "::/EFI/BOOT/BOOTX64.EFI"]:
            subprocess.run(words, check=True)

    def boots(self, machine, emulator=""):
        self.loader()
        self.image("debian.qcow2", None, "-b", guest_disk.disk("amd64"), "-F", "raw")
        disks = self.disk("vda", "esp.raw", "raw", "<boot order='1'/>") + self.disk("sda", "debian.qcow2", more="<boot order='2'/>").replace("dev='sda'", "dev='sda' bus='sata'")
        self.set_up(machine=machine, memory=512, emulator=emulator, devices=disks)  # OVMF looks only at what it may boot from
        self.virsh("start", "u")
        line = self.line()
        line.expect("Linux version", 120)
        line.expect(r"root@atoll:~# ", 300)
        line.send("ls -d /sys/firmware/efi\r")
        line.expect(r"[\r\n]/sys/firmware/efi\r", 60)
        line.send("poweroff\r")
        self.until(lambda: self.virsh("domstate", "u") == "shut off", "Debian does not power off", 120)

    @unittest.skipUnless(guest.LONG, "ATOLL_TEST_LONG=1: minutes")
    def test_debian(self):
        self.boots("q35")

    @unittest.skipUnless(guest.LONG, "ATOLL_TEST_LONG=1: minutes")
    def test_pc(self):
        self.boots("pc")

    @managed.needs_qemu
    @unittest.skipUnless(guest.LONG, "ATOLL_TEST_LONG=1: minutes")
    def test_qemu(self):
        self.boots("q35", f"<emulator>{managed.QEMU}</emulator>")


if __name__ == "__main__":
    tap.main()
