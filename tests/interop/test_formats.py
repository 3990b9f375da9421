#!/usr/bin/env python3
"""qcow, vdi, vhdx, vmdk and vpc in both directions with qemu-img; our images in 7-Zip; images that lie."""
import errno
import os
import random
import re
import shutil
import struct
import tempfile
import unittest
import zlib

import tap
from image import call, content, random_data, steps

BLKIO = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "tests/interop/blkio")
IMG = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
SIZE = 9 << 20
QEMU = unittest.skipUnless(shutil.which("qemu-img") and shutil.which("qemu-io"), "needs qemu-img and qemu-io (package qemu-utils)")
SEVEN = unittest.skipUnless(shutil.which("7zz"), "needs 7zz (package 7zip)")
# format, qemu-img's options, ours for the same (None: only QEMU makes these)
VARIANTS = [("qcow", "", ""), ("vdi", "", ""), ("vdi", "static=on", "static=on"), ("vhdx", "", ""), ("vhdx", "block_size=1M", "block_size=1M"),
            ("vhdx", "log_size=3M,block_state_zero=off", "log_size=3M,block_state_zero=off"), ("vhdx", "subformat=fixed", "subformat=fixed"), ("vpc", "force_size=on", ""), ("vpc", "subformat=fixed,force_size=on", "subformat=fixed"),
            ("vpc", "", None), ("vmdk", "", ""), ("vmdk", "subformat=monolithicFlat", "subformat=monolithicFlat"),
            ("vmdk", "zeroed_grain=on,compat6=on", "zeroed_grain=on,compat6=on"),
            ("vmdk", "subformat=twoGbMaxExtentSparse", None), ("vmdk", "subformat=twoGbMaxExtentFlat", None)]
CHECKED = ("vdi", "vhdx", "vmdk")


def options(text):
    return ["-o", text] if text else []


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="atoll-formats-")
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def raw(self, seed):
        with open(self.path("a.raw"), "wb") as out:
            out.write(random_data(seed, SIZE))
        return self.path("a.raw")

    def ours(self, fmt, image):
        call(BLKIO, "read", fmt, image, self.path("ours.raw"))
        return content(self.path("ours.raw"))

    def theirs(self, fmt, image):
        call("qemu-img", "convert", "-f", fmt, "-O", "raw", image, self.path("theirs.raw"))
        return content(self.path("theirs.raw"))

    def assert_reads(self, got, want, what):
        """Some formats round the size up."""
        self.assertTrue(got[:SIZE] == want and not any(got[SIZE:]), what)


@QEMU
class Interop(Folder):
    def test_read_theirs(self):
        raw = self.raw(1)
        for fmt, theirs, _ in VARIANTS + [("vmdk", "subformat=streamOptimized", None)]:
            with self.subTest(f"{fmt} {theirs}"):
                image = self.path(f"a.{fmt}")
                call("qemu-img", "convert", "-O", fmt, *options(theirs), raw, image)
                self.assert_reads(self.ours(fmt, image), content(raw), "read")

    def test_write_theirs(self):
        raw = self.raw(2)
        for number, (fmt, theirs, _) in enumerate(VARIANTS):
            with self.subTest(f"{fmt} {theirs}"):
                twins = [os.path.join(self.path(name), "a." + fmt) for name in "xy"]
                for image in twins: # folders of their own: a vmdk's extents are named after it
                    shutil.rmtree(os.path.dirname(image), ignore_errors=True)
                    os.mkdir(os.path.dirname(image))
                    call("qemu-img", "convert", "-O", fmt, *options(theirs), raw, image)
                self.twins(fmt, *twins, number)

    def twins(self, fmt, a, b, seed):
        ours, theirs = steps(random.Random(seed), 80, SIZE)
        call(BLKIO, "run", fmt, a, text=ours)
        call("qemu-io", "-f", fmt, b, text=theirs)
        if fmt in CHECKED:
            call("qemu-img", "check", "-f", fmt, a)
        want = self.theirs(fmt, b)[:SIZE]
        self.assert_reads(self.theirs(fmt, a), want, "as qemu-img reads it")
        self.assert_reads(self.ours(fmt, a), want, "as we read it")

    def test_write_ours(self):
        for number, (fmt, theirs, ours) in enumerate(VARIANTS):
            with self.subTest(f"{fmt} {theirs}"):
                if ours is None:
                    continue
                a, b = self.path("ours." + fmt), self.path("theirs." + fmt)
                call(BLKIO, "create", fmt, a, f"size={SIZE}" + ("," + ours if ours else ""))
                call("qemu-img", "create", "-f", fmt, *options(theirs), b, SIZE)
                self.twins(fmt, a, b, 100 + number)

    def test_stream_optimized(self):
        """Once, from front to back."""
        image, grains = self.path("a.vmdk"), [0, 1, 2, 5, 140]
        call(BLKIO, "create", "vmdk", image, f"size={SIZE},subformat=streamOptimized")
        call(BLKIO, "run", "vmdk", image, text="".join(f"write {n << 16} 65536 {n + 1}\n" + ("flush\n" if n == 2 else "") for n in grains))
        want = bytearray(SIZE)
        for n in grains:
            want[n << 16:(n + 1) << 16] = bytes([n + 1]) * 65536
        self.assert_reads(self.theirs("vmdk", image), bytes(want), "as qemu-img reads it")
        self.assert_reads(self.ours("vmdk", image), bytes(want), "as we read it")
        self.assertIn(str(-errno.EROFS), call(BLKIO, "run", "vmdk", image, text="write 65536 512 9\n", ok=False))

    def test_qcow_compressed(self):
        """By hand: qemu-img 7.2 fails to write these."""
        image, cluster = self.path("a.qcow"), b"compress me " * 341 + b"1234"
        deflate = zlib.compressobj(9, zlib.DEFLATED, -12)
        packed = deflate.compress(cluster) + deflate.flush()
        head = b"QFI\xfb" + struct.pack(">IQIIQBBHIQ", 1, 0, 0, 0, 2 << 20, 12, 9, 0, 0, 48)
        data = head + struct.pack(">Q", 4096)
        data = data.ljust(4096, b"\0") + struct.pack(">QQ", 1 << 63 | len(packed) << 51 | 8192, 0)
        with open(image, "wb") as out:
            out.write(data.ljust(8192, b"\0") + packed)
        want = cluster.ljust(2 << 20, b"\0")
        self.assertTrue(self.theirs("qcow", image) == want, "as qemu-img reads it")
        self.assertTrue(self.ours("qcow", image) == want, "as we read it")
        call(BLKIO, "run", "qcow", image, text="write 512 512 7\n")
        want = want[:512] + b"\7" * 512 + want[1024:]
        self.assertTrue(self.theirs("qcow", image) == want == self.ours("qcow", image), "written over")

    def test_aes(self):
        """The encryption that was before LUKS, in qcow and qcow2: made by both, filled and changed by both."""
        secret, raw = ["--object", "secret,id=s0,data=longer than sixteen bytes"], "driver=raw,file.filename=" + self.raw(6)
        for fmt in ("qcow", "qcow2"):
            for maker in (IMG, "qemu-img"):
                with self.subTest(fmt, maker=maker):
                    image = self.path("aes." + fmt)
                    tree = f"driver={fmt},encrypt.key-secret=s0,file.driver=file,file.filename={image}"
                    call(maker, "create", *secret, "-f", fmt, "-o", "encrypt.format=aes,encrypt.key-secret=s0", image, SIZE)
                    call(maker, "convert", *secret, "-n", "--image-opts", raw, "--target-image-opts", tree)
                    for judge in (IMG, "qemu-img"):
                        call(judge, "compare", *secret, "--image-opts", raw, tree)
                    call("qemu-io", *secret, "--image-opts", tree, "-c", "write -P 5 1000000 70000", "-c", "write -z 0 65536")
                    call(IMG, "io", *secret, "--image-opts", tree, "-c", "read -P 5 1000000 70000", "-c", "read -P 0 0 65536", "-c", "write -P 6 2000100 1000",
                         "-c", f"write -P 7 {SIZE - 512} 512")
                    call("qemu-io", *secret, "--image-opts", tree, "-c", "read -P 6 2000100 1000", "-c", f"read -P 7 {SIZE - 512} 512")
                    self.assertIn("encrypted: yes", call(IMG, "info", image))
                    self.assertIn("encrypt.key-secret", call(IMG, "io", "-c", "write 0 512", image, ok=False))
                    wrong = call(IMG, "io", "--object", "secret,id=s0,data=x", "--image-opts", tree, "-c", "read -P 6 2000128 512", ok=False)
                    self.assertIn("Pattern verification failed", wrong) # nothing in the image tells a wrong one
                    if fmt == "qcow2":
                        call("qemu-img", "check", *secret, "--image-opts", tree)
                        call(IMG, "snapshot", *secret, "--image-opts", "-c", "one", tree)
                        call(IMG, "io", *secret, "--image-opts", tree, "-c", "write -P 8 2000128 512")
                        call("qemu-img", "snapshot", *secret, "--image-opts", "-a", "one", tree)
                        call("qemu-io", *secret, "--image-opts", tree, "-c", "read -P 6 2000128 512")

    def test_backing(self):
        """qcow and vmdk over another image."""
        raw = self.raw(3)
        call("qemu-img", "convert", "-O", "vmdk", raw, self.path("base.vmdk"))
        for fmt, base, base_format in (("qcow", raw, "raw"), ("vmdk", self.path("base.vmdk"), "vmdk")):
            with self.subTest(fmt):
                a, b = self.path("over." + fmt), self.path("other." + fmt)
                for image, program in (a, "qemu-img"), (b, IMG):
                    call(program, "create", "-f", fmt, "-b", base, "-F", base_format, image)
                self.twins(fmt, a, b, 77)

    @SEVEN
    def test_seven_zip(self):
        """Another program that knows these formats reads what we wrote."""
        for fmt in ("vdi", "vmdk", "vhdx", "vpc", "qcow2"):
            with self.subTest(fmt):
                name = {"vpc": "disk.vhd"}.get(fmt, "disk." + fmt)
                call(BLKIO, "create", fmt, self.path(name), f"size={SIZE}")
                call(BLKIO, "run", fmt, self.path(name), text=steps(random.Random(5), 60, SIZE)[0])
                want = self.ours(fmt, self.path(name))
                call("7zz", "x", "-y", "-o" + self.path("out." + fmt), self.path(name))
                out = os.path.join(self.path("out." + fmt), os.listdir(self.path("out." + fmt))[0])
                self.assert_reads(content(out), want, "as 7-Zip reads it")


def named(text, pattern):
    return set(re.findall(pattern, text, re.MULTILINE))


@QEMU
class Options(unittest.TestCase):
    """What qemu-img's scripts may say, ours takes: each option of each format, each word of each subcommand."""
    def test_formats(self):
        for fmt in "qcow2", "qcow", "raw", "luks", "vdi", "vhdx", "vmdk", "vpc":
            with self.subTest(format=fmt):
                theirs, ours = (named(call(program, "create", "-f", fmt, "-o", "help"), r"^ +([a-z_.-]+)=") for program in ("qemu-img", IMG))
                self.assertEqual(theirs - ours, set())

    def test_subcommands(self):
        word = r"(?<![\w-])--?[A-Za-z][\w-]*"
        commands = re.findall(r"^  ([a-z]+) (.*)$", call("qemu-img", "--help").split("Command parameters")[0], re.MULTILINE)
        self.assertIn("convert", dict(commands))
        for command, words in commands:
            with self.subTest(command=command):
                self.assertEqual(named(words, word) - named(call(IMG, command, "--help"), word), set())


class Lies(Folder):
    """Each field out of range: an error that names the file, and never a crash."""
    FIELDS = {
        "vdi": [(0x44, 4), (0x4c, 4), (0x154, 4), (0x158, 4), (0x168, 4), (0x170, 8), (0x178, 4), (0x180, 4), (512, 4), (516, 4)],
        "vpc": [(40, 8), (48, 8), (16, 8), (60, 4), (512 + 16, 8), (512 + 28, 4), (512 + 32, 4), (1536, 4), (1540, 4)],
        "vhdx": [(64 << 10, 4), (192 << 10, 8), ((2 << 20) + 8, 4), ((2 << 20) + 32 + 16, 4), ((2 << 20) + 65536, 4), ((2 << 20) + 65544, 8), (3 << 20, 8)],
        "vmdk": [(4, 4), (8, 4), (12, 8), (20, 8), (28, 8), (36, 8), (44, 4), (48, 8), (56, 8), (21 * 512, 4)],
        "qcow": [(4, 4), (8, 8), (16, 4), (24, 8), (32, 1), (33, 1), (36, 4), (40, 8), (48, 8)],
    }

    def test_fields(self):
        for fmt, fields in self.FIELDS.items():
            image = self.path("a." + fmt)
            call(BLKIO, "create", fmt, image, f"size={SIZE}")
            call(BLKIO, "run", fmt, image, text="write 0 65536 1\nwrite 5000000 65536 2\n")
            good = content(image)
            for off, width in fields:
                for value in (0, 1, (1 << 8 * width) - 1, (1 << 8 * width) - 2, 1 << (8 * width - 1), 0x41414141 & ((1 << 8 * width) - 1)):
                    with self.subTest(f"{fmt} {off:#x} {value:#x}"):
                        bad = bytearray(good)
                        bad[off:off + width] = value.to_bytes(width, "big" if fmt in ("vpc", "qcow") else "little")
                        with open(image, "wb") as out:
                            out.write(bad)
                        said = call(BLKIO, "run", fmt, image, text="write 0 512 3\nwrite 8000000 4096 4\nunmap 0 65536 0\nflush\n", ok=False)
                        self.assertNotIn("Sanitizer", said)
                        self.assertNotRegex(said, "assert|Segmentation")
                        self.assertTrue(said == "" or "a." + fmt in said or "blkio:" in said, said)

    def test_extent_elsewhere(self):
        """An extent outside of its directory is refused."""
        for name in ("/etc/passwd", "../secret"):
            with open(self.path("a.vmdk"), "w") as out:
                out.write(f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "{name}" 0\n')
            self.assertIn("not a file beside it", call(BLKIO, "read", "vmdk", self.path("a.vmdk"), self.path("out"), ok=False))

    def test_guessed_names_nothing(self):
        with open(self.path("data"), "wb") as out:
            out.write(bytes(4096))
        with open(self.path("a.vmdk"), "w") as out:
            out.write('# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 8 FLAT "data" 0\n')
        self.assertIn("format", call(BLKIO, "read", "-", self.path("a.vmdk"), self.path("out"), ok=False))
        self.assertEqual(call(BLKIO, "read", "vmdk", self.path("a.vmdk"), self.path("out")), "")

    def test_vhdx_log(self):
        """A log with one change is replayed when the image is opened for writing, and only then."""
        image = self.path("a.vhdx")
        call(BLKIO, "create", "vhdx", image, f"size={SIZE},block_size=1M,subformat=fixed")
        data = bytearray(content(image))
        place = len(data) - (1 << 20) # the last block
        guid = b"G" * 16
        descriptor = b"desc" + b"TTTT" + b"LLLLLLLL" + struct.pack("<QQ", place, 7)
        body = b"loge" + bytes(4) + struct.pack("<IIQII", 8192, 0, 7, 1, 0) + guid + struct.pack("<QQ", len(data), len(data)) + descriptor
        entry = bytearray(body.ljust(4096, b"\0") + b"data" + struct.pack("<I", 0) + b"D" * 4084 + struct.pack("<I", 7))
        entry[4:8] = struct.pack("<I", crc32c(entry))
        data[1 << 20:(1 << 20) + 8192] = entry
        for at in (64 << 10, 128 << 10):
            header = bytearray(data[at:at + 4096])
            header[48:64] = guid
            header[4:8] = bytes(4)
            header[4:8] = struct.pack("<I", crc32c(header))
            data[at:at + 4096] = header
        with open(image, "wb") as out:
            out.write(data)
        self.assertIn("log holds changes", call(BLKIO, "read", "vhdx", image, self.path("out"), ok=False))
        call(BLKIO, "run", "vhdx", image, text="flush\n")
        self.assertEqual(self.ours("vhdx", image)[8 << 20:][:4096], b"L" * 8 + b"D" * 4084 + b"T" * 4)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


if __name__ == "__main__":
    tap.main()
