#!/usr/bin/env python3
"""What firmware boots from first: -boot order=, once=, strict=, reboot-timeout=, splash=, and bootindex=, on SeaBIOS and OVMF.

Every disk says its name on COM1."""
import os
import shutil
import subprocess
import unittest

import guest
import tap

OVMF = "/usr/share/OVMF"
RESET = """
    mov $0x92, %dx
    mov $1, %al
    out %al, %dx
    hlt
"""


def sector(folder, name, then_reset=False):
    """Path of a disk image `name` whose boot sector says "booted NAME", and then leaves or resets."""
    own = os.path.join(folder, name)
    os.mkdir(own)
    source = guest.HELLO.replace("hello from the boot sector", f"booted {name}")
    if then_reset:
        start = source.index("    mov $0x501")
        source = source[:start] + RESET + source[source.index("text:"):]
    return guest.boot_sector(source, own)


def blank(folder):
    path = os.path.join(folder, "blank.img")
    with open(path, "wb") as out:
        out.truncate(1 << 20)
    return path


def cd(folder, image):
    """A CD that boots what `image` has in its first sector (El Torito, no emulation)."""
    tree, path = os.path.join(folder, "tree"), os.path.join(folder, "cd.iso")
    os.mkdir(tree)
    with open(image, "rb") as file, open(os.path.join(tree, "boot.bin"), "wb") as out:
        out.write(file.read(2048))
    subprocess.run(["xorriso", "-as", "mkisofs", "-o", path, "-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4", tree], check=True,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return path


def drive(path, name, device):
    return ["-drive", f"if=none,id={name},format=raw,file={path}", "-device", f"{device},drive={name}"]


class Case(unittest.TestCase):
    def setUp(self):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name


class SeaBios(Case):
    def booted(self, *args):
        with guest.Guest("-display", "none", "-vga", "none", "-net", "none", "-serial", "stdio", *guest.DEBUG_EXIT, *args) as vm:
            name = vm.expect(r"booted (\w+)\r?\n", 60).group(1)
            self.assertEqual(vm.wait(), 7)
            return name

    def test_bootindex(self):
        one, two, three = (sector(self.folder, name) for name in ("one", "two", "three"))
        kinds = {
            "virtio-blk-pci": [], "ide-hd": [],
            "scsi-hd": ["-device", "virtio-scsi-pci"],
        }
        for kind, adapter in kinds.items():
            with self.subTest(kind):
                args = [*adapter, *drive(one, "one", f"{kind},bootindex=7"), *drive(two, "two", kind), *drive(three, "three", f"{kind},bootindex=3")]
                self.assertEqual(self.booted(*args), "three")

    def test_bootindex_among_kinds(self):
        disks = {name: sector(self.folder, name) for name in ("ide", "blk", "scsi")}
        kinds = {"ide": "ide-hd", "blk": "virtio-blk-pci", "scsi": "scsi-hd"}
        for machine in "pc", "q35":
            for first in kinds:
                with self.subTest(f"{machine} {first}"):
                    args = ["-machine", machine, "-device", "virtio-scsi-pci"]
                    for name, kind in kinds.items():
                        args += drive(disks[name], name, f"{kind},bootindex={1 if name == first else 5 + len(args)}")
                    self.assertEqual(self.booted(*args), first)

    def test_behind_root_ports(self):
        args = ["-machine", "q35"]
        for n, name in enumerate(("one", "two", "three")):
            args += ["-device", f"pcie-root-port,id=port{n},chassis={n},slot={n}",
                     *drive(sector(self.folder, name), name, f"virtio-blk-pci,bus=port{n},bootindex={9 - n}")]
        self.assertEqual(self.booted(*args), "three")

    def test_letters(self):
        disk, disc = sector(self.folder, "disk"), cd(self.folder, sector(self.folder, "disc"))
        for machine in "pc", "q35":
            for where in ["-hda", disk], ["-drive", f"if=virtio,format=raw,file={disk}"]:
                for letters, want in (("c", "disk"), ("d", "disc"), ("dc", "disc"), ("ncd", "disk")):
                    with self.subTest(f"{machine} {where[1][:9]} {letters}"):
                        self.assertEqual(self.booted("-machine", machine, *where, "-cdrom", disc, "-boot", letters), want)

    def test_once(self):
        disk, disc = sector(self.folder, "disk"), cd(self.folder, sector(self.folder, "disc", then_reset=True))
        with guest.Guest("-nographic", "-net", "none", *guest.DEBUG_EXIT, "-hda", disk, "-cdrom", disc, "-boot", "order=c,once=d") as vm:
            vm.expect("booted disc", 60)
            vm.expect("booted disk", 60)
            self.assertEqual(vm.wait(), 7)

    def test_strict(self):
        disk = sector(self.folder, "disk")
        nothing = ["-drive", f"if=none,id=x,format=raw,file={blank(self.folder)}", "-device", "ide-cd,drive=x,bootindex=1"]
        other = ["-hda", disk, "-no-reboot", "-boot"]
        self.assertEqual(self.booted(*nothing, *other, "menu=off"), "disk")
        with guest.Guest("-nographic", "-net", "none", *nothing, *other, "strict=on,reboot-timeout=500") as vm:
            vm.expect_on_screen("No bootable device", 60)
            self.assertEqual(vm.wait(), 0)  # the reboot
            self.assertNotIn("booted", vm.text)

    def test_bad_words(self):
        disk = blank(self.folder)
        twice = [*drive(disk, "a", "virtio-blk-pci,id=va,bootindex=2"), *drive(disk, "b", "ide-hd,id=hb,bootindex=2")]
        for args, pattern in ((["-boot", "cx"], "'cx' is no order of boot devices"), (["-boot", "once=cc"], "'cc' is no order"),
                              (["-boot", "strict=perhaps"], "strict"), (["-boot", f"splash={disk}"], "neither a JPEG nor a BMP"),
                              ([*twice, "-snapshot"], "bootindex 2 is .* already")):
            status, text = guest.run("-S", "-display", "none", *args)
            self.assertEqual(status, 1, text)
            self.assertRegex(text, pattern)


@unittest.skipUnless(os.path.exists(OVMF) and shutil.which("grub-mkimage") and shutil.which("mcopy"), "needs ovmf, grub-efi-amd64-bin and mtools")
class Ovmf(Case):
    def efi_disk(self, name):
        """A disk of one FAT file system, whose EFI program (a GRUB) says its name and powers off."""
        config, program, path = (os.path.join(self.folder, name + end) for end in (".cfg", ".efi", ".img"))
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"echo booted {name}\nhalt\n")
        subprocess.run(["grub-mkimage", "-O", "x86_64-efi", "-p", "/", "-c", config, "-o", program, "echo", "halt"], check=True)
        with open(path, "wb") as out:
            out.truncate(4 << 20)
        subprocess.run(["mformat", "-i", path, "::"], check=True)
        subprocess.run(["mmd", "-i", path, "::/EFI", "::/EFI/BOOT"], check=True)
        subprocess.run(["mcopy", "-i", path, program, "::/EFI/BOOT/BOOTX64.EFI"], check=True)
        return path

    def efi_cd(self, name):
        tree, path = os.path.join(self.folder, "tree"), os.path.join(self.folder, "cd.iso")
        os.mkdir(tree)
        shutil.copy(self.efi_disk(name), os.path.join(tree, "efi.img"))
        subprocess.run(["xorriso", "-as", "mkisofs", "-o", path, "-e", "efi.img", "-no-emul-boot", tree], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return path

    def booted(self, *args):
        variables = shutil.copy(OVMF + "/OVMF_VARS_4M.fd", self.folder)
        with guest.Guest("-nographic", "-m", "256", "-net", "none", "-machine", "q35", "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                         "-drive", f"if=pflash,format=raw,file={variables}", *args) as vm:
            name = vm.expect(r"booted (\w+)\r?\n", 60).group(1)
            self.assertEqual(vm.wait(), 0)
            return name

    def test_bootindex(self):
        disks = {name: self.efi_disk(name) for name in ("ide", "blk", "scsi")}
        kinds = {"ide": "ide-hd", "blk": "virtio-blk-pci", "scsi": "scsi-hd"}
        for first in kinds:
            with self.subTest(first):
                args = ["-device", "virtio-scsi-pci"]
                for name, kind in kinds.items():
                    args += drive(disks[name], name, f"{kind},bootindex={1 if name == first else 5 + len(args)}")
                self.assertEqual(self.booted(*args), first)

    def test_letters(self):
        disk, disc = self.efi_disk("disk"), self.efi_cd("disc")
        for letters, want in (("c", "disk"), ("d", "disc")):
            with self.subTest(letters):
                self.assertEqual(self.booted("-drive", f"if=virtio,format=raw,file={disk}", "-cdrom", disc, "-boot", letters), want)


if __name__ == "__main__":
    tap.main()
