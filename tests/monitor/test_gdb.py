#!/usr/bin/env python3
"""Real gdb over -gdb: registers, memory, break and watch points, steps, threads, on every accelerator that this host has."""
import os
import shutil
import socket
import subprocess
import unittest

import guest
import qmp
import tap

# 16-bit code at 7c00 as firmware: mov ax,1234h; mov [5000h],ax; inc ax; mov [5000h],ax; hlt; jmp to itself
CODE = bytes.fromhex("b83412" "a30050" "40" "a30050" "f4" "ebfe")


@unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
class Gdb(unittest.TestCase):
    def session(self, accel, *commands, cpus=1, model="qemu64"):
        with guest.temporary_folder() as folder:
            firmware = os.path.join(folder, "firmware")
            image = bytearray(65536)
            image[0xfff0:0xfff5] = b"\xea\x00\x00\x00\xf0"  # jmp f000:0000
            image[0:len(CODE)] = CODE
            with open(firmware, "wb") as out:
                out.write(image)
            path = os.path.join(folder, "gdb")
            with qmp.Machine("-accel", accel, "-cpu", model, "-smp", str(cpus), "-bios", firmware, "-gdb", f"unix:{path}"):
                words = ["gdb", "-nx", "-q", "-batch", "-ex", "set confirm off", "-ex", "set tcp connect-timeout 20", "-ex", f"target remote {path}"]
                for command in commands:
                    words += ["-ex", command]
                done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * guest.PATIENCE, check=False)
                return done.stdout

    def each(self):
        for accel in ["interp", "dbt"] + (["kvm"] if guest.have_kvm() else []):
            with self.subTest(accel=accel):
                yield accel

    def test_registers_and_memory(self):
        for accel in self.each():
            text = self.session(accel, "p/x $rip", "p/x $cs", "x/5xb 0xffff0", "set {int}0x5000 = 0x11223344", "x/xw 0x5000", "set $rax = 0x77", "p/x $rax", "p $xmm0",
                                "monitor info status")
            for pattern in (r"\$1 = 0xfff0", r"\$2 = 0xf000", r"0xffff0:\s+0xea\s+0x00\s+0x00\s+0x00\s+0xf0", r"0x5000:\s+0x11223344", r"\$3 = 0x77", r"v4_float", r"VM status"):
                self.assertRegex(text, pattern)

    def test_steps(self):
        for accel in self.each():
            text = self.session(accel, "stepi", "p/x $rip", "stepi", "p/x $rip", "p/x $rax")
            for pattern in (r"\$1 = 0x0\b", r"\$2 = 0x3\b", r"\$3 = 0x1234"):
                self.assertRegex(text, pattern)

    def test_break_points(self):
        for accel in self.each():
            for kind in ("break", "hbreak"):
                text = self.session(accel, f"{kind} *0xf0006", "continue", "p/x $rip", "p/x $rax", "x/xh 0x5000")
                for pattern in (r"\$1 = 0x6\b", r"\$2 = 0x1234", r"0x5000:\s+0x1234"):
                    self.assertRegex(text, pattern)

    def test_watch_point(self):
        for accel in self.each():
            text = self.session(accel, "watch *(short*)0x5000", "continue", "p/x $rip", "continue", "p/x $rip")
            for pattern in (r"New value = 4660", r"\$1 = 0x6\b", r"New value = 4661", r"\$2 = 0xa\b"):
                self.assertRegex(text, pattern)

    def test_threads(self):
        text = self.session("interp", "info threads", "thread 2", "p/x $rip", cpus=2)
        self.assertRegex(text, r"2\s+Thread.*CPU#1")

    def test_32_bit(self):
        text = self.session("interp", "p/x $eip", "stepi", "stepi", "p/x $eax", model="qemu32")
        self.assertRegex(text, r"\$1 = 0xfff0")
        self.assertRegex(text, r"\$2 = 0x1234")


class Rubbish(unittest.TestCase):
    def test_stays_up(self):
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "gdb")
            with qmp.Machine("-accel", "interp", "-gdb", f"unix:{path}") as machine:
                with socket.socket(socket.AF_UNIX) as line:
                    line.connect(path)
                    for data in (b"$#00", b"$m#00$mffff#00", b"$Z9,0,1#00$Z0#00", b"$vCont;#00", b"\xff\x00rubbish", b"$" + b"a" * 100000, b"$p1000#00$P#00$G#00$H#00$T#00"):
                        line.sendall(data)
                machine.qmp.run("query-status")


if __name__ == "__main__":
    tap.main()
