#!/usr/bin/env python3
"""LUKS in both directions with qemu-img: every cipher, mode and hash; wrong keys; key slots; headers that lie."""
import os
import random
import shutil
import tempfile
import unittest

import tap
from image import call, content, random_data, steps

IMG = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
SIZE = 3 << 20
QEMU = unittest.skipUnless(shutil.which("qemu-img") and shutil.which("qemu-io"), "needs qemu-img and qemu-io (package qemu-utils)")
VARIANTS = ["", "cipher-alg=aes-128", "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256", "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain64",
            "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain", "hash-alg=sha1", "hash-alg=sha512"]


class Luks(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="atoll-luks-")
        self.addCleanup(self.folder.cleanup)
        with open(self.path("a.raw"), "wb") as out:
            out.write(random_data(4, SIZE))

    def path(self, name):
        return os.path.join(self.folder.name, name)

    @staticmethod
    def secret(name="s0", data="correct horse"):
        return "--object", f"secret,id={name},data={data}"

    def tree(self, name, more=""):
        return f"driver=luks,key-secret=s0,file.driver=file,file.filename={self.path(name)}{more}"

    def read(self, program, image):
        call(program, "convert", *self.secret(), "--image-opts", "-O", "raw", self.tree(image), self.path("out"))
        return content(self.path("out"))

    def write(self, program, image, options):
        call(program, "convert", *self.secret(), "-f", "raw", "-O", "luks", "-o", "key-secret=s0,iter-time=10" + ("," + options if options else ""),
             self.path("a.raw"), self.path(image))

    @QEMU
    def test_both_ways(self):
        for number, options in enumerate(VARIANTS):
            with self.subTest(options):
                self.write("qemu-img", "theirs", options)
                self.assertTrue(self.read(IMG, "theirs") == content(self.path("a.raw")), "we read theirs")
                self.write(IMG, "ours", options)
                self.assertTrue(self.read("qemu-img", "ours") == content(self.path("a.raw")), "they read ours")
                words = steps(random.Random(number), 30, SIZE)[1]
                call("qemu-io", *self.secret(), "--image-opts", self.tree("theirs"), text=words)
                call(IMG, "io", *self.secret(), "--image-opts", self.tree("ours"), text=words)
                self.assertTrue(self.read("qemu-img", "ours") == self.read(IMG, "theirs"), "the same writes")

    def test_wrong_passphrase(self):
        self.write(IMG, "a", "")
        said = call(IMG, "convert", *self.secret(data="wrong"), "--image-opts", "-O", "raw", self.tree("a"), self.path("out"), ok=False)
        self.assertIn("passphrase", said)
        self.assertFalse(os.path.exists(self.path("out")))
        tree = f"driver=luks,file.driver=file,file.filename={self.path('a')}"
        self.assertRegex(call(IMG, "info", "--image-opts", tree), r"cipher alg: aes-256")  # to look at its header needs no key
        self.assertRegex(call(IMG, "convert", "--image-opts", "-O", "raw", tree, self.path("out"), ok=False), "key-secret")
        self.assertRegex(call(IMG, "resize", "--image-opts", tree, "+1M", ok=False), "key-secret")
        self.assertFalse(os.path.exists(self.path("out")))

    @QEMU
    def test_key_slots(self):
        self.write(IMG, "a", "")
        two = (*self.secret(), *self.secret("s1", "another"))
        call(IMG, "amend", *two, "--image-opts", "-o", "state=active,new-secret=s1,iter-time=10", self.tree("a"))
        call("qemu-img", "convert", *self.secret(data="another"), "--image-opts", "-O", "raw", self.tree("a"), self.path("out"))
        self.assertTrue(content(self.path("out")) == content(self.path("a.raw")))
        call(IMG, "amend", *two, "--image-opts", "-o", "state=inactive,old-secret=s0", self.tree("a").replace("key-secret=s0", "key-secret=s1"))
        self.assertIn("passphrase", call(IMG, "info", *self.secret(), "--image-opts", self.tree("a"), ok=False))
        self.assertIn("last key", call(IMG, "amend", *two, "--image-opts", "-o", "state=inactive,old-secret=s1", self.tree("a").replace("=s0", "=s1"), ok=False))
        self.assertTrue(self.assert_opens("a", "another"))

    def assert_opens(self, name, passphrase):
        call("qemu-img", "info", *self.secret(data=passphrase), "--image-opts", self.tree(name))
        return True

    def test_lies(self):
        self.write(IMG, "a", "")
        good = content(self.path("a"))[:4096]
        for off in (0, 6, 8, 40, 72, 104, 105, 108, 164, 208, 212, 248, 252):
            for value in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", b"\x7f\xff\xff\xff"):
                with self.subTest(f"{off} {value}"):
                    bad = bytearray(good)
                    bad[off:off + 4] = value
                    if off in (164, 212) and value == b"\x7f\xff\xff\xff":
                        continue # within what is allowed: it would only take long
                    with open(self.path("a"), "r+b") as out:
                        out.write(bad)
                    said = call(IMG, "info", *self.secret(), "--image-opts", self.tree("a"), ok=False)
                    self.assertRegex(said, "atoll-img: |virtual size")


if __name__ == "__main__":
    tap.main()
