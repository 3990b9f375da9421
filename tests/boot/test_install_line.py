#!/usr/bin/env python3
"""The line that people type to install a system: an image by atoll-img, a CD, -boot d, the screen at -vnc; and then the disk alone.

The "system" is a program on the CD that writes a boot sector to the disk by the BIOS."""
import os
import shutil
import subprocess
import unittest

import guest
import tap
import vnc

BIN = os.path.dirname(guest.ATOLL_VM)
# Prints `text` by the BIOS, and stays.
SAY = """
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %sp
    sti
    cld
"""
PRINT = """
    mov $text, %si
next:
    lodsb
    mov $0x0e, %ah
    mov $7, %bx
    test %al, %al
    jz stay
    int $0x10
    jmp next
stay:
    hlt
    jmp stay
"""
# Sector 0 of the first disk becomes what stands 1 KiB behind this program.
WRITE = """
    mov $0x0301, %ax
    mov $0x8000, %bx
    mov $0x0001, %cx
    mov $0x0080, %dx
    int $0x13
    mov $failed, %si
    jc next
"""
TEXT = '\n{name}: .asciz "{text}\\r\\n"\n'


def program(folder, body, *texts):
    return guest.assemble(".code16\n" + body + "".join(TEXT.format(name=name, text=text) for name, text in texts), folder, 0x7c00)


def make_cd(folder):
    disk = program(folder, SAY + PRINT, ("text", "ubuntutest runs from its disk")).ljust(510, b"\0") + b"\x55\xaa"
    first = program(folder, SAY + WRITE + PRINT, ("text", "installed"), ("failed", "the BIOS could not write"))
    tree, path = os.path.join(folder, "tree"), os.path.join(folder, "some.iso")
    os.mkdir(tree)
    with open(os.path.join(tree, "boot.bin"), "wb") as out:
        out.write(first.ljust(1024, b"\0") + disk.ljust(1024, b"\0"))
    subprocess.run(["xorriso", "-as", "mkisofs", "-o", path, "-b", "boot.bin", "-no-emul-boot", "-boot-load-size", "4", tree], check=True,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return path


class InstallLine(unittest.TestCase):
    def setUp(self):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.image = os.path.join(self.folder, "ubuntutest.img")
        subprocess.run([os.path.join(BIN, "atoll-img"), "create", "-f", "qcow2", self.image, "8G"], check=True, stdout=subprocess.PIPE)

    def shows(self, text, *args):
        n = vnc.free_display()
        with guest.Guest(*args, "-name", "ubuntutest", "-m", "2048", "-hda", self.image, "-vnc", f":{n}") as vm, vnc.Vnc(5900 + n) as viewer:
            self.assertEqual(viewer.name, "ubuntutest")
            viewer.expect(text, 60)
            vm.signal(guest.TERM)
            vm.wait()

    def install_and_boot(self, *accel):
        self.shows("installed", *accel, "-cdrom", make_cd(self.folder), "-boot", "d")
        self.shows("ubuntutest runs from its disk", *accel)

    def test_falling_back(self):
        self.install_and_boot("-accel", "kvm:dbt")

    def test_translated(self):
        self.install_and_boot("-accel", "dbt")

    @unittest.skipUnless(guest.have_kvm(), "no KVM here")
    def test_enable_kvm(self):
        self.install_and_boot("-enable-kvm")

    @unittest.skipIf(guest.have_kvm() and (os.geteuid() != 0 or not shutil.which("setpriv")), "KVM is here, and rights cannot be given up")
    def test_without_kvm(self):
        """What KVM lacks, and what to say instead; with a second choice a warning and the machine."""
        program = [guest.ATOLL_VM, "-S", "-display", "none", "-nodefaults", "-pidfile", "/nonexistent/pid"]
        if guest.have_kvm():
            mode = os.stat("/dev/kvm").st_mode & 0o006
            if mode == 0o006:
                self.skipTest("everybody may use KVM here")
            program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *program]
        for args, words in ((["-enable-kvm"], r"cannot use KVM: .*/dev/kvm.* or use -accel dbt"), (["-accel", "kvm"], "use -accel dbt"),
                            (["-accel", "kvm:dbt"], r"use -accel dbt.*; trying dbt\n(?s:.*)/nonexistent/pid")):
            done = subprocess.run([*program, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30 * guest.PATIENCE, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stdout, words)


if __name__ == "__main__":
    tap.main()
