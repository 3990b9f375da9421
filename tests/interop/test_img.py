#!/usr/bin/env python3
"""atoll-img against qemu-img: the same command lines, output, status, and images that either reads."""
import json
import os
import random
import shutil
import unittest

import tap
import twins

QEMU = unittest.skipUnless(shutil.which("qemu-img") and shutil.which("qemu-io"), "qemu-utils is not installed")
FORMATS = twins.formats()


def random_data(seed, size=5 << 20):
    """Some zeros, some that repeats, some that does not compress."""
    rng = random.Random(seed)
    data = bytearray(size)
    for _ in range(12):
        off, kind, length = rng.randrange(size), rng.randrange(3), rng.randrange(1, 400000)
        piece = rng.randbytes(length) if kind == 0 else bytes([rng.randrange(256)]) * length if kind == 1 else b"words and words " * (length // 16)
        data[off:off + len(piece)] = piece
    return bytes(data[:size])


def merged(entries):
    """A map without places in the file: neighbours of one kind are one."""
    result = []
    for entry in entries:
        entry.pop("offset", None)
        kind = {key: value for key, value in entry.items() if key not in ("start", "length")}
        if result and result[-1][1] == kind:
            result[-1][0] += entry["length"]
        else:
            result.append([entry["length"], kind])
    return result


@QEMU
class Create(twins.Twins):
    def test_variants(self):
        for options in ([], ["-o", "cluster_size=4k"], ["-o", "compat=0.10"], ["-o", "preallocation=metadata"], ["-o", "lazy_refcounts=on"],
                        ["-o", "refcount_bits=1,cluster_size=512"], ["-q"], ["-o", "preallocation=full"], ["-o", "size=3M"]):
            with self.subTest(options):
                size = [] if "size=3M" in options else ["10M"]
                self.both("qemu-img", "create", "-f", "qcow2", *options, "a.qcow2", *size, same="-q" in options, status=0)
                self.assert_sound("a.qcow2")
                self.both_json("qemu-img", "info", "--output=json", "a.qcow2")

    def test_raw(self):
        self.both("qemu-img", "create", "a.raw", "1M", status=0)
        self.both("qemu-img", "create", "-f", "raw", "a.raw", "1.5M", status=0)
        self.assertEqual(os.path.getsize(self.path("a.raw")), 3 << 19)
        self.both("qemu-img", "create", "-f", "raw", "-o", "preallocation=full", "full.raw", "1M", same=False, status=0)
        self.assertGreaterEqual(os.stat(self.path("full.raw")).st_blocks * 512, 1 << 20)
        self.both("qemu-img", "info", "a.raw")
        self.both_json("qemu-img", "info", "--output=json", "a.raw")

    def test_backing(self):
        self.both("qemu-img", "create", "-f", "qcow2", "base.qcow2", "7M", same=False, status=0)
        self.both("qemu-img", "create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", same=False, status=0)
        self.both("qemu-img", "create", "-f", "qcow2", "-o", "backing_file=base.qcow2,backing_fmt=qcow2", "large.qcow2", "12M", same=False, status=0)
        self.both("qemu-img", "create", "-f", "qcow2", "-u", "-b", "no-such", "-F", "raw", "unsafe.qcow2", "1M", same=False, status=0)
        for name in ("top.qcow2", "large.qcow2", "unsafe.qcow2"):
            self.both("qemu-img", "info", name, status=0)
            self.both_json("qemu-img", "info", "--output=json", name)
        self.both("qemu-img", "info", "--backing-chain", "top.qcow2", status=0)
        self.both_json("qemu-img", "info", "--backing-chain", "--output=json", "top.qcow2")
        os.mkdir(self.path("sub"))
        os.mkdir(os.path.join(self.theirs, "sub"))
        self.both("qemu-img", "create", "-f", "qcow2", "-b", "../base.qcow2", "-F", "qcow2", "sub/top.qcow2", same=False, status=0)
        self.both("qemu-img", "info", "sub/top.qcow2", status=0)

    def test_refusals(self):
        """Status 1, an error with the image's name, and no file."""
        self.both("qemu-img", "create", "-f", "raw", "base.raw", "1M", same=False)
        for words in (["-f", "qcow2", "x"], ["-f", "nosuch", "x", "1M"], ["-f", "qcow2", "x", "lots"], ["-f", "qcow2", "-b", "base.raw", "x"],
                      ["-f", "qcow2", "-b", "nosuch", "-F", "raw", "x", "1M"], ["-f", "qcow2", "-o", "cluster_size=3", "x", "1M"],
                      ["-f", "qcow2", "-o", "nosuch=1", "x", "1M"], ["-f", "qcow2", "-u", "-b", "nosuch", "-F", "raw", "x"],
                      ["-f", "raw", "nosuch/x", "1M"], ["-f", "qcow2", "x", "1M", "2M"], []):
            with self.subTest(words):
                got = self.both("qemu-img", "create", *words, same=False, status=1)
                self.assertTrue(got[2].startswith("qemu-img: "), got)
                self.assertFalse(os.path.exists(self.path("x")))

    def test_option_help(self):
        for fmt in FORMATS:
            status, text, _ = self.our("qemu-img", "create", "-f", fmt, "-o", "help")
            self.assertTrue(text.startswith(f"Supported {fmt} options:\n"))
            self.assertIn("  size=<size> ", text)


@QEMU
class Words(twins.Twins):
    """Bad command lines: status as qemu-img's, and the same complaint."""

    def test_usage(self):
        for words in ([], ["nosuch"], ["--nosuch"], ["info"], ["info", "a", "b"], ["info", "-f"], ["info", "--nosuch", "a"], ["compare", "a"], ["compare", "-Z", "a"],
                      ["resize", "a"], ["resize"], ["rebase", "a"], ["commit"], ["map"], ["check"], ["snapshot"], ["snapshot", "-l", "-c", "x", "a"],
                      ["measure"], ["measure", "--size", "1", "a"], ["amend", "a"], ["bitmap", "a"], ["bitmap", "a", "b"], ["convert", "a"],
                      ["dd", "if=a"], ["dd", "foo=1"], ["dd", "if=a", "of=b", "bs=0"], ["info", "--output=xml", "a"], ["convert", "-m", "99", "a", "b"],
                      ["convert", "-S", "100", "a", "b"], ["convert", "--skip-broken-bitmaps", "a", "b"], ["convert", "--target-is-zero", "a", "b"],
                      ["convert", "-c", "-W", "a", "b"], ["bench", "-c", "0", "a"], ["check", "-r", "some", "a"], ["convert", "-t", "odd", "a", "b"]):
            with self.subTest(words):
                ours, theirs = self.our("qemu-img", *words, status=None), self.their("qemu-img", *words, status=None)
                self.assertEqual(ours[0], theirs[0], f"{ours} {theirs}")
                self.assertTrue(ours[2].startswith("qemu-img: "), ours)
                self.assertEqual("Try 'qemu-img --help'" in ours[2], "Try 'qemu-img --help'" in theirs[2], f"{ours} {theirs}")

    def test_abbreviations(self):
        self.write("a.raw", b"", 1 << 20)
        self.both("qemu-img", "info", "--out=json", "-fraw", "a.raw", same=False, status=0)
        self.both("qemu-img", "info", "a.raw", "-f", "raw", status=0)
        self.both("qemu-img", "compare", "-fraw", "-Fraw", "-qs", "a.raw", "a.raw", status=0)
        self.both("qemu-img", "resize", "-f", "raw", "--shrink", "a.raw", "-512k", status=0)
        self.assertEqual(os.path.getsize(self.path("a.raw")), 1 << 19)

    def test_missing_files(self):
        for words in (["info", "x"], ["check", "x"], ["compare", "x", "y"], ["map", "x"], ["convert", "x", "y"], ["resize", "x", "1M"], ["snapshot", "-l", "x"],
                      ["rebase", "-b", "", "x"], ["commit", "x"], ["measure", "x"], ["amend", "-o", "compat=1.1", "x"], ["bitmap", "--add", "x", "b"],
                      ["bench", "x"], ["dd", "if=x", "of=y"]):
            with self.subTest(words):
                got = self.both("qemu-img", *words, same=False)
                self.assertIn("'x'", got[2])
                self.assertEqual(os.listdir(self.ours), [])


@QEMU
class Looking(twins.Twins):
    """info, map, check, compare."""

    def make(self):
        for tool, cwd in (("qemu-img", self.ours), ("qemu-img", self.theirs)):
            self.their(tool, "create", "-q", "-f", "qcow2", "base.qcow2", "8M", cwd=cwd)
            self.their("qemu-io", "-c", "write -P 1 0 256k", "-c", "write -P 2 2M 1M", "-c", "write -z 5M 64k", "base.qcow2", cwd=cwd)
            self.their(tool, "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", "10M", cwd=cwd)
            self.their("qemu-io", "-c", "write -P 3 128k 256k", "-c", "write -z 2M 128k", "-c", "write -P 4 9M 64k", "top.qcow2", cwd=cwd)

    def test_map(self):
        self.make()
        self.write("a.raw", random_data(1))
        for name, fmt in (("base.qcow2", "qcow2"), ("top.qcow2", "qcow2"), ("a.raw", "raw")):
            self.both("qemu-img", "map", "-f", fmt, name, status=0)
            self.both("qemu-img", "map", "--output=json", "-f", fmt, name, status=0)
            self.both("qemu-img", "map", "--output=json", "-f", fmt, "-s", "100k", "--max-length=3M", name, status=0)

    def test_map_of_compressed(self):
        self.make()
        self.their("qemu-img", "convert", "-c", "-O", "qcow2", "base.qcow2", "c.qcow2")
        shutil.copy(os.path.join(self.theirs, "c.qcow2"), self.ours)
        self.both("qemu-img", "map", "--output=json", "c.qcow2", status=0)
        self.both("qemu-img", "map", "c.qcow2", same=False, status=1)

    def test_check(self):
        self.make()
        for name in ("base.qcow2", "top.qcow2"):
            self.both("qemu-img", "check", name, status=0)
            self.both_json("qemu-img", "check", "--output=json", name)
            self.both("qemu-img", "check", "-q", name, status=0)
        self.write("a.raw", b"", 1 << 20)
        self.both("qemu-img", "check", "-f", "raw", "a.raw", status=63)
        self.both("qemu-img", "check", "--output=json", "-f", "raw", "a.raw", status=63)

    def leak(self):
        self.make()
        for folder in (self.ours, self.theirs):
            with open(os.path.join(folder, "base.qcow2"), "r+b") as file:
                file.truncate(60 * 65536)
                file.seek(2 * 65536 + 2 * 50)
                file.write(b"\0\1")

    def test_leaks(self):
        self.leak()
        ours = self.our("qemu-img", "check", "base.qcow2", status=3)[1]
        self.assertIn("1 leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n", ours)
        words = self.atoll("check", "base.qcow2", status=3)[1]
        self.assertIn("What this means:", words)
        self.assertIn("check -r leaks 'base.qcow2'", words)
        self.both_json("qemu-img", "check", "--output=json", "base.qcow2", ignore=("image-end-offset",))
        self.both("qemu-img", "check", "-r", "leaks", "-q", "base.qcow2", status=0)
        self.assert_sound("base.qcow2")

    def test_corruption(self):
        """The L2 entry of a data cluster points to the header."""
        self.make()
        for folder in (self.ours, self.theirs):
            with open(os.path.join(folder, "base.qcow2"), "r+b") as file:
                file.seek(40)
                l1 = int.from_bytes(file.read(8), "big")
                file.seek(l1)
                l2 = int.from_bytes(file.read(8), "big") & 0x00fffffffffffe00
                file.seek(l2)
                file.write((1 << 63 | 65536).to_bytes(8, "big"))
        self.both("qemu-img", "check", "base.qcow2", same=False, status=2)
        self.assertIn("Data may be corrupted", self.our("qemu-img", "check", "base.qcow2", status=2)[1])

    def test_compare(self):
        self.make()
        self.write("a.raw", random_data(2))
        self.write("b.raw", random_data(2), 6 << 20)
        data = bytearray(random_data(2))
        data[3 << 20 | 12345] ^= 1
        data[4 << 20] ^= 1
        self.write("c.raw", bytes(data))
        self.write("zero.raw", b"", 8 << 20)
        self.their("qemu-img", "convert", "-O", "qcow2", "a.raw", "a.qcow2")
        shutil.copy(os.path.join(self.theirs, "a.qcow2"), self.ours)
        for words in (["a.raw", "a.qcow2"], ["a.raw", "b.raw"], ["-s", "a.raw", "b.raw"], ["a.raw", "c.raw"], ["c.raw", "a.qcow2"], ["-q", "a.raw", "c.raw"],
                      ["base.qcow2", "top.qcow2"], ["zero.raw", "base.qcow2"], ["-s", "a.raw", "a.raw"], ["a.raw", "nosuch"], ["top.qcow2", "zero.raw"],
                      ["-f", "qcow2", "a.raw", "a.raw"]):
            with self.subTest(words):
                self.both("qemu-img", "compare", *words)

    def test_guessed_image_may_not_name_another(self):
        """A guest's raw disk with a qcow2 head: what it names is not opened without -f."""
        self.make()
        shutil.copy(self.path("top.qcow2"), self.path("disk.img"))
        for words in (["convert", "-O", "raw", "disk.img", "x"], ["compare", "disk.img", "top.qcow2"], ["map", "disk.img"], ["info", "--backing-chain", "disk.img"]):
            got = self.our("qemu-img", *words, status=2 if words[0] == "compare" else 1)
            self.assertIn("format was not given", got[2])
        self.our("qemu-img", "map", "-f", "qcow2", "disk.img")
        self.our("qemu-img", "info", "disk.img")


@QEMU
class Converting(twins.Twins):
    def convert(self, *words):
        self.our("qemu-img", "convert", *words)
        self.no_leftovers()

    def test_formats_both_ways(self):
        """Every pair by ours; each result read by qemu-img."""
        self.write("a.raw", random_data(3))
        for first in FORMATS:
            if first == "luks":  # needs a secret: see Secrets
                continue
            with self.subTest(first):
                self.convert("-f", "raw", "-O", first, "a.raw", "first")
                self.assert_same("first", "a.raw", first)
                self.their("qemu-img", "convert", "-f", "raw", "-O", first, "a.raw", "second", cwd=self.ours)
                self.convert("-f", first, "-O", "raw", "second", "back.raw")
                self.assert_same("back.raw", "a.raw", "raw")

    def test_qcow2_variants(self):
        self.write("a.raw", random_data(4))
        for options in ("cluster_size=512", "cluster_size=2M", "compat=0.10", "preallocation=metadata", "preallocation=full", "extended_l2=on,cluster_size=128k"):
            with self.subTest(options):
                if "extended" in options and "extended_l2" not in self.our("qemu-img", "create", "-f", "qcow2", "-o", "help")[1]:
                    self.skipTest("no extended L2 yet")
                self.convert("-O", "qcow2", "-o", options, "a.raw", "a.qcow2")
                self.assert_same("a.qcow2", "a.raw")
                self.assert_sound("a.qcow2")

    def test_compressed(self):
        self.write("a.raw", random_data(5), (5 << 20) + 512)
        for options in ([], ["-o", "cluster_size=4k"], ["-o", "compression_type=zstd"], ["-m", "1"], ["-o", "cluster_size=2M"]):
            with self.subTest(options):
                self.convert("-c", "-O", "qcow2", *options, "a.raw", "a.qcow2")
                self.assert_same("a.qcow2", "a.raw")
                self.assert_sound("a.qcow2")
                self.their("qemu-img", "convert", "-c", "-O", "qcow2", *options, "a.raw", "a.qcow2")
                ours, theirs = (os.path.getsize(os.path.join(folder, "a.qcow2")) for folder in (self.ours, self.theirs))
                self.assertLess(ours, theirs * 1.2)

    def test_holes(self):
        self.write("a.raw", b"x" * 65536, 64 << 20)
        self.convert("-O", "raw", "a.raw", "b.raw")
        self.assertLess(os.stat(self.path("b.raw")).st_blocks * 512, 1 << 20)
        self.assert_same("b.raw", "a.raw", "raw")
        self.convert("-O", "raw", "-S", "0", "a.raw", "full.raw")
        self.assertGreaterEqual(os.stat(self.path("full.raw")).st_blocks * 512, 64 << 20)
        with open(self.path("zeros.raw"), "wb") as out:
            out.write(bytes(8 << 20))
        self.convert("-O", "raw", "zeros.raw", "c.raw")
        self.assertLess(os.stat(self.path("c.raw")).st_blocks * 512, 1 << 20)

    def test_existing_target(self):
        self.write("a.raw", random_data(6))
        self.write("b.raw", b"\xff" * (6 << 20))
        self.both("qemu-img", "convert", "-n", "-O", "raw", "a.raw", "b.raw", status=0)
        self.assertEqual(self.content("b.raw")[:5 << 20], self.content("a.raw"))
        self.assertEqual(self.content("b.raw")[5 << 20:], b"\xff" * (1 << 20))
        self.write("small.raw", b"", 1 << 20)
        self.both("qemu-img", "convert", "-n", "-O", "raw", "a.raw", "small.raw", same=False, status=1)
        os.chmod(self.path("b.raw"), 0o640)
        self.convert("-O", "raw", "a.raw", "b.raw")
        self.assertEqual(os.stat(self.path("b.raw")).st_mode & 0o777, 0o640)
        self.assertEqual(self.content("b.raw"), self.content("a.raw"))

    def test_links_and_directories(self):
        self.write("a.raw", random_data(7))
        os.symlink("real.raw", self.path("link.raw"))
        self.write("real.raw", b"old", 512)
        self.convert("-O", "raw", "a.raw", "link.raw")
        self.assertTrue(os.path.islink(self.path("link.raw")))
        self.assertEqual(self.content("real.raw"), self.content("a.raw"))
        self.our("qemu-img", "convert", "-O", "raw", "a.raw", "nosuch/b.raw", status=1)
        self.our("qemu-img", "convert", "-O", "raw", "a.raw", ".", status=1)
        self.no_leftovers()

    def test_several_sources(self):
        self.write("a.raw", random_data(8, (1 << 20) + 512))
        self.write("b.raw", random_data(9, 3 << 20))
        for words in (["-O", "qcow2"], ["-c", "-O", "qcow2"], ["-O", "raw"]):
            self.convert("-f", "raw", *words, "a.raw", "b.raw", "c")
            self.write("both.raw", self.content("a.raw") + self.content("b.raw"))
            self.assert_same("c", "both.raw", words[-1])

    def test_backing(self):
        for tool, cwd in ((self.our, None), (self.their, self.theirs)):
            more = {"cwd": cwd} if cwd else {}
            tool("qemu-img", "create", "-q", "-f", "qcow2", "base.qcow2", "8M", **more)
            tool("qemu-io", "-c", "write -P 1 0 4M", "base.qcow2", **more)
            tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2", **more)
            tool("qemu-io", "-c", "write -P 2 1M 1M", "-c", "write -z 2M 64k", "top.qcow2", **more)
        self.both("qemu-img", "convert", "-O", "qcow2", "-B", "base.qcow2", "-F", "qcow2", "top.qcow2", "copy.qcow2", status=0)
        self.both("qemu-img", "compare", "copy.qcow2", "top.qcow2", status=0)
        ours, theirs = (merged(json.loads(text)) for text in (self.our("qemu-img", "map", "--output=json", "copy.qcow2")[1],
                                                              self.their("qemu-img", "map", "--output=json", "copy.qcow2")[1]))
        self.assertEqual(ours, theirs)
        self.both("qemu-img", "convert", "-O", "raw", "top.qcow2", "flat.raw", status=0)
        self.assert_same("top.qcow2", "flat.raw")

    def test_image_opts(self):
        self.write("a.raw", random_data(10))
        self.their("qemu-img", "convert", "-O", "qcow2", "a.raw", "a.qcow2", cwd=self.ours)
        self.convert("--image-opts", "-O", "raw", "driver=qcow2,file.driver=file,file.filename=a.qcow2", "b.raw")
        self.assert_same("b.raw", "a.raw", "raw")
        self.their("qemu-img", "create", "-q", "-f", "qcow2", "c.qcow2", "5M", cwd=self.ours)
        self.convert("-n", "--target-image-opts", "a.raw", "driver=qcow2,file.driver=file,file.filename=c.qcow2")
        self.assert_same("c.qcow2", "a.raw")

    def test_snapshot(self):
        self.write("a.raw", random_data(11))
        self.their("qemu-img", "convert", "-O", "qcow2", "a.raw", "a.qcow2", cwd=self.ours)
        self.their("qemu-img", "snapshot", "-c", "one", "a.qcow2", cwd=self.ours)
        self.their("qemu-io", "-c", "write -P 9 0 3M", "a.qcow2", cwd=self.ours)
        before = self.content("a.qcow2")
        for word in ("one", "1", "snapshot.name=one", "snapshot.id=1"):
            self.convert("-l", word, "-O", "raw", "a.qcow2", "b.raw")
            self.assert_same("b.raw", "a.raw", "raw")
        self.assertEqual(self.content("a.qcow2"), before)
        self.both("qemu-img", "convert", "-l", "nosuch", "-O", "raw", "a.qcow2", "c.raw", same=False, status=1)

    def test_failure_leaves_the_old_target(self):
        self.write("old.qcow2", b"precious", 512)
        self.write("a.raw", random_data(12))
        self.our("qemu-img", "convert", "-O", "qcow2", "-o", "cluster_size=3", "a.raw", "old.qcow2", status=1)
        self.assertEqual(self.content("old.qcow2")[:8], b"precious")
        self.no_leftovers()

    def test_rate_and_progress(self):
        self.write("a.raw", random_data(13, 2 << 20))
        text = self.our("qemu-img", "convert", "-p", "-O", "raw", "a.raw", "b.raw")[1]
        self.assertTrue(text.startswith("    (0.00/100%)\n") and text.endswith("    (100.00/100%)\n"), text)
        self.our("qemu-img", "convert", "-r", "100M", "-O", "raw", "a.raw", "b.raw")
        self.assert_same("b.raw", "a.raw", "raw")

    def test_dd(self):
        self.write("a.raw", random_data(14))
        for words in (["bs=1M", "count=2"], ["bs=1M", "skip=1"], ["bs=64k"], ["bs=513", "count=3"], ["skip=9999999"], ["bs=1M", "count=0"]):
            with self.subTest(words):
                self.both("qemu-img", "dd", "-f", "raw", "-O", "raw", *words, "if=a.raw", "of=b.raw", status=0)
                with open(os.path.join(self.theirs, "b.raw"), "rb") as file:
                    self.assertEqual(self.content("b.raw"), file.read())
        self.both("qemu-img", "dd", "-O", "qcow2", "bs=1M", "if=a.raw", "of=b.qcow2", status=0)
        self.assert_same("b.qcow2", "a.raw")


@QEMU
class Changing(twins.Twins):
    def test_resize(self):
        self.both("qemu-img", "create", "-q", "-f", "qcow2", "a.qcow2", "1M", status=0)
        for words in (["a.qcow2", "2M"], ["a.qcow2", "+1G"], ["-q", "a.qcow2", "+1M"], ["a.qcow2", "1M"], ["--shrink", "a.qcow2", "-500M"], ["a.qcow2", "+0"],
                      ["--preallocation=falloc", "a.qcow2", "+1M"], ["a.qcow2", "-10G"], ["a.qcow2", "x"], ["--preallocation=odd", "a.qcow2", "+1M"]):
            with self.subTest(words):
                self.both("qemu-img", "resize", *words)
        self.both_json("qemu-img", "info", "--output=json", "a.qcow2")
        self.assert_sound("a.qcow2")
        self.both("qemu-img", "create", "-q", "-f", "raw", "a.raw", "1M", status=0)
        self.both("qemu-img", "resize", "-f", "raw", "--preallocation=full", "a.raw", "3M", status=0)
        self.both("qemu-img", "resize", "-f", "raw", "--shrink", "a.raw", "512k", status=0)

    def test_snapshots(self):
        self.both("qemu-img", "create", "-q", "-f", "qcow2", "a.qcow2", "8M", status=0)
        self.both("qemu-io", "-c", "write -P 1 0 1M", "a.qcow2", status=0)
        for words in (["-l"], ["-c", "one"], ["-c", "two"], ["-l"]):
            self.both("qemu-img", "snapshot", *words, "a.qcow2", status=0)
        self.both("qemu-io", "-c", "write -P 2 0 1M", "a.qcow2", status=0)
        self.both("qemu-img", "info", "a.qcow2", status=0)
        self.both_json("qemu-img", "info", "--output=json", "a.qcow2")
        self.both("qemu-img", "snapshot", "-a", "one", "a.qcow2", status=0)
        self.both("qemu-io", "-c", "read -P 1 0 1M", "a.qcow2", status=0)
        self.both("qemu-img", "snapshot", "-d", "one", "a.qcow2", status=0)
        self.both("qemu-img", "snapshot", "-d", "nosuch", "a.qcow2", same=False, status=1)
        self.both("qemu-img", "snapshot", "-a", "nosuch", "a.qcow2", same=False, status=1)
        self.both("qemu-img", "snapshot", "-l", "a.qcow2", status=0)
        self.assert_sound("a.qcow2")
        text = self.atoll("snapshot", "-d", "two", "a.qcow2")[1]
        self.assertIn("nothing is merged", text)

    def chain(self):
        for folder in (self.ours, self.theirs):
            self.their("qemu-img", "create", "-q", "-f", "qcow2", "base.qcow2", "8M", cwd=folder)
            self.their("qemu-io", "-c", "write -P 1 0 4M", "base.qcow2", cwd=folder)
            self.their("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "mid.qcow2", cwd=folder)
            self.their("qemu-io", "-c", "write -P 2 1M 1M", "-c", "write -z 3M 512k", "mid.qcow2", cwd=folder)
            self.their("qemu-img", "create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2", "10M", cwd=folder)
            self.their("qemu-io", "-c", "write -P 3 512k 1M", "-c", "write -P 4 9M 64k", "top.qcow2", cwd=folder)
            self.their("qemu-img", "convert", "-O", "raw", "top.qcow2", "want.raw", cwd=folder)

    def test_commit(self):
        self.chain()
        self.both("qemu-img", "commit", "top.qcow2", status=0)
        self.assert_same("mid.qcow2", "want.raw")
        self.assert_same("top.qcow2", "want.raw")
        for name in ("top.qcow2", "mid.qcow2"):
            self.assert_sound(name)
            ours, theirs = (merged(json.loads(text)) for text in (self.our("qemu-img", "map", "--output=json", name)[1],
                                                                  self.their("qemu-img", "map", "--output=json", name)[1]))
            self.assertEqual(ours, theirs)
        self.both("qemu-img", "commit", "base.qcow2", same=False, status=1)

    def test_commit_to_a_deeper_base(self):
        for words in (["-b", "base.qcow2"], ["-d", "-q"], ["-p", "-b", "base.qcow2"]):
            with self.subTest(words):
                self.chain()
                self.both("qemu-img", "commit", *words, "top.qcow2", same="-p" not in words, status=0)
                self.assert_same("top.qcow2", "want.raw")
                self.assert_same("base.qcow2" if "-b" in words else "mid.qcow2", "want.raw")
        self.chain()
        self.both("qemu-img", "commit", "-b", "nosuch.qcow2", "top.qcow2", same=False, status=1)

    def test_rebase(self):
        for words in (["-b", "base.qcow2", "-F", "qcow2"], ["-b", ""], ["-b", "other.raw", "-F", "raw"], ["-p", "-b", "base.qcow2", "-F", "qcow2"]):
            with self.subTest(words):
                self.chain()
                self.write("other.raw", random_data(20, 6 << 20))
                self.both("qemu-img", "rebase", *words, "top.qcow2", same="-p" not in words, status=0)
                self.assert_same("top.qcow2", "want.raw")
                self.assert_sound("top.qcow2")
                self.both_json("qemu-img", "info", "--output=json", "top.qcow2")
        self.chain()
        self.both("qemu-img", "rebase", "-u", "-b", "renamed.qcow2", "-F", "qcow2", "top.qcow2", status=0)
        self.both("qemu-img", "info", "top.qcow2", status=0)
        self.both("qemu-img", "rebase", "-b", "nosuch.qcow2", "-F", "qcow2", "mid.qcow2", same=False, status=1)

    def test_amend(self):
        self.both("qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=0.10", "a.qcow2", "8M", status=0)
        for options in ("compat=1.1", "lazy_refcounts=on", "lazy_refcounts=off", "refcount_bits=32", "size=16M", "compat=0.10,refcount_bits=16", "nosuch=1"):
            with self.subTest(options):
                self.both("qemu-img", "amend", "-f", "qcow2", "-o", options, "a.qcow2")
                self.both_json("qemu-img", "info", "--output=json", "a.qcow2")
        self.assert_sound("a.qcow2")

    def test_bitmaps(self):
        self.both("qemu-img", "create", "-q", "-f", "qcow2", "a.qcow2", "8M", status=0)
        for words in (["--add", "a.qcow2", "b0"], ["--add", "-g", "512", "--disable", "a.qcow2", "b1"], ["--add", "a.qcow2", "b0"], ["--disable", "a.qcow2", "b0"],
                      ["--enable", "a.qcow2", "b0"], ["--merge", "b1", "--clear", "a.qcow2", "b0"], ["--remove", "a.qcow2", "nosuch"], ["--remove", "a.qcow2", "b1"],
                      ["--add", "-g", "3", "a.qcow2", "b3"]):
            with self.subTest(words):
                self.both("qemu-img", "bitmap", *words, same=False)
                self.both_json("qemu-img", "info", "--output=json", "a.qcow2")
        self.both("qemu-io", "-c", "write 0 64k", "a.qcow2", status=0)
        self.both("qemu-img", "convert", "--bitmaps", "-O", "qcow2", "a.qcow2", "c.qcow2", status=0)
        self.both_json("qemu-img", "info", "--output=json", "c.qcow2")
        self.assert_sound("c.qcow2")

    def test_measure(self):
        """QEMU allows for more metadata of an empty image than there will be."""
        self.write("a.raw", random_data(21))
        for words in (["--size", "1G"], ["-O", "qcow2", "--size", "10G"], ["-O", "qcow2", "-o", "cluster_size=4k", "--size", "1G"], ["-O", "qcow2", "a.raw"],
                      ["-O", "raw", "a.raw"], ["-O", "qcow2", "-o", "preallocation=full", "--size", "1G"]):
            with self.subTest(words):
                exact = "--size" not in words or "qcow2" not in words or "preallocation=full" in words
                self.both("qemu-img", "measure", *words, same=exact, status=0)
                self.both_json("qemu-img", "measure", "--output=json", *words, ignore=() if exact else ("required",))
        said = json.loads(self.our("qemu-img", "measure", "--output=json", "-O", "qcow2", "a.raw")[1])["required"]
        self.our("qemu-img", "convert", "-O", "qcow2", "a.raw", "a.qcow2")
        self.assertLessEqual(os.path.getsize(self.path("a.qcow2")), said)

    def test_bench(self):
        self.write("a.raw", b"", 8 << 20)
        for words in (["-c", "100"], ["-c", "100", "-w", "-d", "4", "--flush-interval", "8"], ["-c", "50", "-s", "64k", "-S", "128k", "-o", "1M"],
                      ["-q", "-c", "10"], ["-c", "20", "-w", "--pattern", "7", "--no-drain", "-d", "2", "--flush-interval", "5"]):
            with self.subTest(words):
                self.both("qemu-img", "bench", "-f", "raw", *words, "a.raw", status=0)


@QEMU
class Secrets(twins.Twins):
    def setUp(self):
        super().setUp()
        self.write("key", b"open sesame")
        self.write("a.raw", random_data(30, 1 << 20))
        self.secret = ["--object", "secret,id=s0,file=key"]

    def both_ways(self, fmt, options, opened):
        ours = self.our("qemu-img", "create", "-q", *self.secret, "-f", fmt, "-o", options, "a", "1M", status=None)
        if ours[0] and "no property" in ours[2]:
            self.skipTest(f"{fmt} with {options} is not there yet")
        self.assertEqual(ours[0], 0, ours)
        self.our("qemu-img", "convert", *self.secret, "-n", "--target-image-opts", "a.raw", opened.replace("NAME", "a"))
        self.their("qemu-img", "convert", *self.secret, "--image-opts", "-O", "raw", opened.replace("NAME", "a"), "b.raw", cwd=self.ours)
        self.assert_same("b.raw", "a.raw", "raw")
        self.their("qemu-img", "create", "-q", *self.secret, "-f", fmt, "-o", options, "t", "1M", cwd=self.ours)
        self.their("qemu-img", "convert", *self.secret, "-n", "--target-image-opts", "a.raw", opened.replace("NAME", "t"), cwd=self.ours)
        self.our("qemu-img", "convert", *self.secret, "--image-opts", "-O", "raw", opened.replace("NAME", "t"), "c.raw")
        self.assert_same("c.raw", "a.raw", "raw")
        wrong = [*self.secret[:1], "secret,id=s0,data=wrong"]
        got = self.our("qemu-img", "convert", *wrong, "--image-opts", "-O", "raw", opened.replace("NAME", "t"), "d.raw", status=1)
        self.assertFalse(os.path.exists(self.path("d.raw")), got)

    def test_luks(self):
        if "luks" not in FORMATS:
            self.skipTest("no LUKS yet")
        self.both_ways("luks", "key-secret=s0,iter-time=10", "driver=luks,key-secret=s0,file.driver=file,file.filename=NAME")

    def test_encrypted_qcow2(self):
        self.both_ways("qcow2", "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10",
                       "driver=qcow2,encrypt.key-secret=s0,file.driver=file,file.filename=NAME")

    def test_convert_makes_them(self):
        for fmt, options, opened in (("luks", "key-secret=s0,iter-time=10", "driver=luks,key-secret=s0,file.filename=e"),
                                     ("qcow2", "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10", "driver=qcow2,encrypt.key-secret=s0,file.filename=e")):
            with self.subTest(fmt):
                got = self.our("qemu-img", "convert", *self.secret, "-O", fmt, "-o", options, "a.raw", "e", status=None)
                if got[0] and ("no property" in got[2] or "Unknown file format" in got[2]):
                    self.skipTest(f"{fmt} with {options} is not there yet")
                self.assertEqual(got[0], 0, got)
                self.their("qemu-img", "convert", *self.secret, "--image-opts", "-O", "raw", opened, "b.raw", cwd=self.ours)
                self.assert_same("b.raw", "a.raw", "raw")

    def test_bad_objects(self):
        for text in ("secret", "secret,id=s0", "odd,id=x", "secret,id=s0,file=nosuch", "secret,id=s0,data=x,format=odd"):
            with self.subTest(text):
                self.both("qemu-img", "info", "--object", text, "a.raw", same=False, status=1)


if __name__ == "__main__":
    tap.main()
