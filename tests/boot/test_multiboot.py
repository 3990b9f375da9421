#!/usr/bin/env python3
"""A multiboot kernel of ours is told what the specification says: command line, modules, memory; and mistakes with such files."""
import os
import struct
import subprocess
import unittest

import guest
import tap

SOURCE = os.path.join(guest.ROOT, "tests/boot/guest/multiboot.c")
EXIT = ["-device", "isa-debug-exit,iobase=0x501,iosize=1"]


def build(folder, *link):
    path = os.path.join(folder, "kernel")
    script = path + ".ld"
    with open(script, "w", encoding="ascii") as out:
        out.write("ENTRY(_start) SECTIONS { . = 0x200000; .text : { *(.multiboot) *(.text*) *(.rodata*) } .data : { *(.data*) } .bss : { *(.bss*) } "
                  "/DISCARD/ : { *(.eh_frame) *(.note*) *(.comment) } }")
    subprocess.run(["gcc", "-m32", "-O1", "-ffreestanding", "-nostdlib", "-fno-pie", "-no-pie", "-static", "-fno-stack-protector", "-fcf-protection=none",
                    "-mgeneral-regs-only", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments", "-Wl,-z,max-page-size=4096", "-Wl,-T," + script, *link, "-o", path, SOURCE], check=True)
    return path


def module(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as out:
        out.write(data)
    return path


class Multiboot(unittest.TestCase):
    def boot(self, folder, *args, machine="pc"):
        words = ["-M", machine, "-nographic", "-m", "64", "-kernel", build(folder), *args, *EXIT]
        with guest.Guest(*words) as vm:
            vm.expect("MULTIBOOT END", 60)
            self.assertEqual(vm.wait(60), 7)
            return vm.text

    def facts(self, machine):
        with guest.temporary_folder() as folder:
            one = module(folder, "one", b"\1" * 5000)
            text = self.boot(folder, "-append", "quiet x=1", "-initrd", f"{one} first words,{one}", machine=machine)
            self.assertRegex(text, r"MULTIBOOT magic=2badb002 flags=[0-9a-f]+ lower=27f upper=fc00 dirt=0 cr0=1\r")
            self.assertIn(f"COMMAND '{os.path.join(folder, 'kernel')} quiet x=1' LOADER 'Atoll'", text)
            self.assertIn(f"MODULE '{one} first words' bytes=1388 sum=1388 offset=0\r", text)
            self.assertIn(f"MODULE '{one}' bytes=1388 sum=1388 offset=0\r", text)
            self.assertIn("MAP base=0 length=9fc00 type=1\r", text)
            self.assertIn("MAP base=100000 length=3f00000 type=1\r", text)

    def test_pc(self):
        self.facts("pc")

    def test_microvm(self):
        self.facts("microvm")

    def test_a_comma_in_a_name(self):
        with guest.temporary_folder() as folder:
            name = module(folder, "a,b", b"\5\6")
            text = self.boot(folder, "-initrd", name.replace(",", ",,") + " -v")
            self.assertIn(f"MODULE '{name} -v' bytes=2 sum=b offset=0\r", text)

    def test_mistakes(self):
        with guest.temporary_folder() as folder:
            kernel = build(folder)
            status, text = guest.run("-display", "none", "-kernel", kernel, "-initrd", f"{kernel},{folder}/absent")
            self.assertEqual(status, 1)
            self.assertIn("absent", text)
            with open(kernel, "rb") as file:
                image = file.read()
            header = image.index(struct.pack("<II", 0x1badb002, 3))
            video = image[:header] + struct.pack("<III", 0x1badb002, 7, -(0x1badb002 + 7) & 0xffffffff) + image[header + 12:]
            status, text = guest.run("-display", "none", "-kernel", module(folder, "video", video))
            self.assertEqual(status, 1)
            self.assertIn("video mode", text)
            status, text = guest.run("-display", "none", "-m", "2", "-kernel", kernel)
            self.assertEqual(status, 1)
            self.assertIn("-m", text)


if __name__ == "__main__":
    tap.main()
