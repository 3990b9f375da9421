#!/usr/bin/env python3
"""Where a machine's RAM comes from: -mem-path, memory-backend-file."""
import os
import unittest

import guest
import guests
import qtest
import tap

MIB = 1 << 20


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = guest.temporary_folder()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "ram")

    def backend(self, options):
        return ("-object", f"memory-backend-file,id=m,size=64M,mem-path={self.path},{options}", "-machine", "memory-backend=m")

    def bytes_at(self, at, n):
        with open(self.path, "rb") as file:
            file.seek(at)
            return file.read(n)

    def test_shared(self):
        for options in ("share=on", "share=on,prealloc=on"):
            with self.subTest(options), qtest.Machine(*self.backend(options)) as m:
                m.write(2 * MIB, b"written by the guest")
                self.assertEqual(self.bytes_at(2 * MIB, 20), b"written by the guest")
                with open(self.path, "r+b") as file:
                    file.seek(3 * MIB)
                    file.write(b"from outside")
                self.assertEqual(m.read(3 * MIB, 12), b"from outside")
            self.assertEqual(os.path.getsize(self.path), 64 * MIB)
        with qtest.Machine(*self.backend("share=on")) as m:  # the next machine finds what was there
            self.assertEqual(m.read(2 * MIB, 20), b"written by the guest")

    def test_private(self):
        with open(self.path, "wb") as file:
            file.write(b"as it was" + bytes(64 * MIB - 9))
        with qtest.Machine("-mem-path", self.path, "-mem-prealloc") as m:
            self.assertEqual(m.read(0, 9), b"as it was")
            m.write(0, b"the guest")
        self.assertEqual(self.bytes_at(0, 9), b"as it was")

    def test_folder(self):
        self.path = self.folder.name
        for options in ("share=on", "share=off"):
            with self.subTest(options), qtest.Machine(*self.backend(options)) as m:
                m.write(0, b"x")
                self.assertEqual([name for name in os.listdir(self.path) if name != "qtest"], [])

    def refused(self, *args):
        status, text = guest.run("-S", "-display", "none", "-m", "64", *args)
        self.assertEqual(status, 1, text)
        return text

    def test_wrong(self):
        missing = os.path.join(self.folder.name, "no", "file")
        self.assertIn("No such file", self.refused("-mem-path", missing))
        with open(self.path, "wb") as file:
            file.write(b"somebody's letter")
        self.assertRegex(self.refused("-mem-path", self.path), r"has 17 bytes and the memory 67108864")
        self.assertEqual(self.bytes_at(0, 100), b"somebody's letter")
        self.assertIn("give one of them", self.refused("-mem-path", self.path, *self.backend("share=on")))
        self.assertIn("needs mem-path=", self.refused("-object", "memory-backend-file,id=m,size=64M"))
        self.assertIn("give both the same size", self.refused("-object", f"memory-backend-file,id=m,size=32M,mem-path={self.path}2", "-machine", "memory-backend=m"))
        self.assertIn("multiple of 4096", self.refused("-object", "memory-backend-ram,id=m,size=5000"))
        self.assertEqual(os.listdir(self.folder.name), ["ram"])


class Guests(unittest.TestCase):
    def test_linux_in_a_file(self):
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "ram")
            with guest.Guest("-nographic", "-m", "256", "-object", f"memory-backend-file,id=m,size=256M,mem-path={path},share=on", "-machine", "memory-backend=m",
                             "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"), "-append", "console=ttyS0 atoll.mode=facts") as vm:
                vm.expect(r"ATOLL-GUEST powers off", 400)
                self.assertEqual(vm.wait(60), 0)
            with open(path, "rb") as file:
                self.assertIn(b"ATOLL-GUEST kernel: Linux", file.read())


if __name__ == "__main__":
    tap.main()
