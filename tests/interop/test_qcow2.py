#!/usr/bin/env python3
"""qcow2 in both directions: images by qemu-img read by us, images by us checked and read by qemu-img, and the same random
writes by us and by qemu-io into twins."""
import json
import os
import random
import shutil
import subprocess
import tempfile
import unittest

import tap
from image import call, content, random_data as random_image, steps

BLKIO = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "tests/interop/blkio")
SIZE = 6 << 20
QEMU = unittest.skipUnless(shutil.which("qemu-img") and shutil.which("qemu-io"), "needs qemu-img and qemu-io (package qemu-utils)")
VARIANTS = ["", "compat=0.10", "compat=0.10,cluster_size=512", "cluster_size=512", "cluster_size=4k", "cluster_size=2M", "cluster_size=1M",
            "preallocation=metadata", "preallocation=falloc", "preallocation=full", "lazy_refcounts=on", "cluster_size=512,refcount_bits=64"] + \
           [f"refcount_bits={1 << order},cluster_size=1k" for order in range(7)] + \
           ["extended_l2=on", "extended_l2=on,cluster_size=16k", "extended_l2=on,cluster_size=2M", "extended_l2=on,preallocation=metadata",
            "compression_type=zstd", "compression_type=zstd,cluster_size=4k"]


def random_data(seed, size=SIZE):
    return random_image(seed, size)


@QEMU
class Interop(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="atoll-interop-")
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def ours(self, image, fmt="qcow2"):
        call(BLKIO, "read", fmt, image, self.path("ours.raw"))
        return content(self.path("ours.raw"))

    def theirs(self, image):
        call("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, self.path("theirs.raw"))
        return content(self.path("theirs.raw"))

    def assert_sound(self, image):
        call("qemu-img", "check", "-f", "qcow2", image)
        self.assertIn("leaks 0 fixed 0 corruptions 0 fixed 0", call(BLKIO, "check", "qcow2", image))

    def test_read_theirs(self):
        with open(self.path("a.raw"), "wb") as out:
            out.write(random_data(1))
        for variant in VARIANTS + ["compressed", "compressed,cluster_size=4k", "compressed,cluster_size=512", "compressed,cluster_size=2M"]:
            with self.subTest(variant):
                words = variant.split(",")
                flags = ["-c"] if "compressed" in words else []
                options = ",".join(word for word in words if word and word != "compressed")
                image = self.path("a.qcow2")
                call("qemu-img", "convert", *flags, "-O", "qcow2", *(["-o", options] if options else []), self.path("a.raw"), image)
                self.assertTrue(self.ours(image) == random_data(1), "read")
                self.assertTrue(self.ours(image, "-") == random_data(1), "read with a guessed format")
                self.assertIn("leaks 0 fixed 0 corruptions 0 fixed 0", call(BLKIO, "check", "qcow2", image))

    def test_write_theirs(self):
        """Also over compressed clusters."""
        with open(self.path("a.raw"), "wb") as out:
            out.write(random_data(2))
        for number, variant in enumerate(VARIANTS + ["compressed", "compressed,cluster_size=4k"]):
            with self.subTest(variant):
                words = variant.split(",")
                options = ",".join(word for word in words if word and word != "compressed")
                a, b = self.path("a.qcow2"), self.path("b.qcow2")
                call("qemu-img", "convert", *(["-c"] if "compressed" in words else []), "-O", "qcow2", *(["-o", options] if options else []),
                     self.path("a.raw"), a)
                shutil.copy(a, b)
                self.twins(a, b, number, 60)

    def twins(self, a, b, seed, count):
        ours, theirs = steps(random.Random(seed), count, SIZE)
        call(BLKIO, "run", "qcow2", a, text=ours)
        call("qemu-io", "-f", "qcow2", b, text=theirs)
        self.assert_sound(a)
        want = self.theirs(b)
        self.assertTrue(self.theirs(a) == want, "as qemu-img reads it")
        self.assertTrue(self.ours(a) == want, "as we read it")

    def test_write_ours(self):
        for number, variant in enumerate(VARIANTS):
            with self.subTest(variant):
                a, b = self.path("a.qcow2"), self.path("b.qcow2")
                call(BLKIO, "create", "qcow2", a, f"size={SIZE}" + ("," + variant if variant else ""))
                self.assert_sound(a)
                call("qemu-img", "create", "-f", "qcow2", b, SIZE)
                self.twins(a, b, 100 + number, 120)

    def test_backing_chain(self):
        """Three layers, each side making one; the base is smaller than what stands on it."""
        with open(self.path("base.raw"), "wb") as out:
            out.write(random_data(3, 5 << 20))
        for number, variant in enumerate(["", "cluster_size=4k", "compat=0.10", "cluster_size=512"]):
            with self.subTest(variant):
                tail = "," + variant if variant else ""
                call("qemu-img", "create", "-f", "qcow2", "-o", "backing_file=base.raw,backing_fmt=raw" + tail, self.path("mid.qcow2"), SIZE)
                call("qemu-io", "-f", "qcow2", self.path("mid.qcow2"), text=steps(random.Random(7), 20, SIZE)[1])
                a, b = self.path("a.qcow2"), self.path("b.qcow2")
                call(BLKIO, "create", "qcow2", a, "backing_file=mid.qcow2,backing_fmt=qcow2" + tail)
                call("qemu-img", "create", "-f", "qcow2", "-o", "backing_file=mid.qcow2,backing_fmt=qcow2" + tail, b)
                self.twins(a, b, 200 + number, 60)
                self.assertIn("format was not given", call(BLKIO, "read", "-", a, self.path("x"), ok=False))

    def test_resize(self):
        for variant in ["", "cluster_size=512", "compat=0.10"]:
            with self.subTest(variant):
                a = self.path("a.qcow2")
                call(BLKIO, "create", "qcow2", a, "size=1M" + ("," + variant if variant else ""))
                call(BLKIO, "run", "qcow2", a, text="write 0 1048576 7\n")
                call(BLKIO, "resize", "qcow2", a, 64 << 20)
                call(BLKIO, "run", "qcow2", a, text="write 60000000 1048576 9\n")
                self.assert_sound(a)
                data = self.theirs(a)
                self.assertTrue(data == self.ours(a) and len(data) == 64 << 20)
                self.assertEqual((data[0], data[1048576], data[60000000], data[61048575]), (7, 0, 9, 9))

    def snapshot(self, image, name):
        """What a snapshot holds, as qemu-img reads it."""
        call("qemu-img", "convert", "-l", name, "-O", "raw", image, self.path("snapshot.raw"))
        return content(self.path("snapshot.raw"))

    def test_snapshots(self):
        """Made, applied and deleted by both, in turn, with writes between."""
        for number, variant in enumerate(["", "cluster_size=512", "compat=0.10", "cluster_size=4k,refcount_bits=64", "cluster_size=2M"]):
            with self.subTest(variant):
                rand, a, held = random.Random(300 + number), self.path("a.qcow2"), {}
                call("qemu-img", "create", "-f", "qcow2", *(["-o", variant] if variant else []), a, SIZE)
                for step in range(16):
                    ours, theirs = steps(rand, 6, SIZE)
                    if step % 2:
                        call(BLKIO, "run", "qcow2", a, text=ours)
                    else:
                        call("qemu-io", "-f", "qcow2", a, text=theirs)
                    tool = [BLKIO, "snapshot", "qcow2", a] if step % 3 else ["qemu-img", "snapshot"]
                    flag = {"create": "-c", "apply": "-a", "delete": "-d"}
                    word = rand.choice(["create", "apply", "delete"]) if len(held) > 1 else "create"
                    name = f"s{step}" if word == "create" else rand.choice(sorted(held))
                    if word == "create":
                        held[name] = self.theirs(a)
                    call(*tool, *([word, name] if step % 3 else [flag[word], name, a]))
                    if word == "apply":
                        self.assertTrue(self.ours(a) == held[name], "applied")
                    if word == "delete":
                        del held[name]
                    self.assert_sound(a)
                for name, data in held.items():
                    self.assertTrue(self.snapshot(a, name) == data, name)
                self.assertEqual([line.split()[1] for line in call(BLKIO, "snapshot", "qcow2", a, "list").splitlines()],
                                 [line.split()[1] for line in call("qemu-img", "snapshot", "-l", a).splitlines()[2:]])

    def test_vm_state(self):
        """The machine's state goes with its snapshot, and comes back with it."""
        for variant in ["", ",cluster_size=512", ",compat=0.10"]:
            with self.subTest(variant):
                a = self.path("a.qcow2")
                call(BLKIO, "create", "qcow2", a, f"size={SIZE}" + variant)
                call(BLKIO, "run", "qcow2", a, text="write 0 100000 1\nvmwrite 0 3000000 5\nvmwrite 1000001 77 6\n")
                call(BLKIO, "snapshot", "qcow2", a, "create", "live", 3000000)
                self.assert_sound(a)
                self.assertEqual(call(BLKIO, "vmread", "qcow2", a, 100), "\0" * 100)
                self.assertIn("2.86 MiB", call("qemu-img", "snapshot", "-l", a))
                call(BLKIO, "run", "qcow2", a, text="write 0 100000 2\n")
                call("qemu-img", "snapshot", "-a", "live", a)
                self.assertTrue(call(BLKIO, "vmread", "qcow2", a, 3000000) == "\5" * 1000001 + "\6" * 77 + "\5" * (3000000 - 1000078))
                self.assertEqual(self.ours(a)[:100000], b"\1" * 100000)
                call(BLKIO, "snapshot", "qcow2", a, "create", "disk only")
                call(BLKIO, "snapshot", "qcow2", a, "delete", "live")
                self.assert_sound(a)
                self.assertEqual(call(BLKIO, "vmread", "qcow2", a, 100), "\0" * 100)

    def test_snapshot_refusals(self):
        a = self.path("a.qcow2")
        call(BLKIO, "create", "qcow2", a, "size=1M,refcount_bits=1")
        call(BLKIO, "run", "qcow2", a, text="write 0 65536 1\n")
        self.assertIn("refcount_bits", call(BLKIO, "snapshot", "qcow2", a, "create", "x", ok=False))
        self.assertIn("no snapshot of that id", call(BLKIO, "snapshot", "qcow2", a, "delete", "x", ok=False))
        self.assert_sound(a)

    def test_compressed_writes(self):
        """By us, over what was there, and over again by qemu-io."""
        for number, variant in enumerate(["", "compression_type=zstd", "cluster_size=512", "cluster_size=2M,compression_type=zstd", "compat=0.10",
                                          "refcount_bits=1,cluster_size=4k", "extended_l2=on", "cluster_size=4k,refcount_bits=2"]):
            with self.subTest(variant):
                a, b, rand = self.path("a.qcow2"), self.path("b.qcow2"), random.Random(400 + number)
                call(BLKIO, "create", "qcow2", a, f"size={SIZE}" + ("," + variant if variant else ""))
                call("qemu-img", "create", "-f", "qcow2", b, SIZE)
                cluster = {"5": 512, "2": 2 << 20, "4": 4096}.get(variant.partition("cluster_size=")[2][:1], 65536)
                for _ in range(30):
                    off = rand.randrange(SIZE // cluster) * cluster
                    length, byte = min(SIZE - off, rand.choice([1, 2, 5]) * cluster), rand.randrange(256)
                    ours, theirs = steps(rand, 2, SIZE)
                    call(BLKIO, "run", "qcow2", a, text=f"compress {off} {length} {byte}\n" + ours)
                    call("qemu-io", "-f", "qcow2", b, text=f"write -P {byte} {off} {length}\n" + theirs)
                self.assert_sound(a)
                self.assertTrue(self.theirs(a) == self.theirs(b), "as qemu-img reads it")
                self.assertTrue(self.ours(a) == self.theirs(b), "as we read it")
                self.twins(a, b, 500 + number, 30)

    def test_compressed_is_smaller(self):
        a = self.path("a.qcow2")
        call(BLKIO, "create", "qcow2", a, "size=64M")
        call(BLKIO, "run", "qcow2", a, text="compress 0 67108864 1\n")
        self.assertLess(os.path.getsize(a), 1 << 20)
        self.assert_sound(a)
        self.assertIn("100.00% compressed", call("qemu-img", "check", a))

    def test_data_file(self):
        """An external data file, made by both, written by both; raw ones are the disk itself."""
        for number, raw in enumerate(["off", "on"]):
            for maker in ("ours", "theirs"):
                with self.subTest(raw=raw, maker=maker):
                    a, b, data = self.path("a.qcow2"), self.path("b.qcow2"), self.path("a.data")
                    options = f"data_file={data},data_file_raw={raw}"
                    if maker == "ours":
                        call(BLKIO, "create", "qcow2", a, f"size={SIZE}," + options)
                    else:
                        call("qemu-img", "create", "-f", "qcow2", "-o", options, a, SIZE)
                    call("qemu-img", "create", "-f", "qcow2", b, SIZE)
                    self.twins(a, b, 600 + number, 60)
                    ours, theirs = steps(random.Random(number), 40, SIZE)
                    call("qemu-io", "-f", "qcow2", a, text=theirs)
                    call("qemu-io", "-f", "qcow2", b, text=theirs)
                    self.twins(a, b, 700 + number, 30)
                    self.assertIn("external data file", call(BLKIO, "snapshot", "qcow2", a, "create", "x", ok=False))
                    if raw == "on":
                        self.assertTrue(content(data).ljust(SIZE, b"\0") == self.ours(a), "the data file is the disk")
                    self.assertIn("format was not given", call(BLKIO, "read", "-", a, self.path("x"), ok=False))

    def test_shrink(self):
        for variant in ["", "cluster_size=512", "compat=0.10", "extended_l2=on"]:
            with self.subTest(variant):
                a, b = self.path("a.qcow2"), self.path("b.qcow2")
                call(BLKIO, "create", "qcow2", a, f"size={SIZE}" + ("," + variant if variant else ""))
                call("qemu-img", "create", "-f", "qcow2", b, SIZE)
                self.twins(a, b, 800, 80)
                self.assertIn("--shrink", call(BLKIO, "resize", "qcow2", a, 1000000, ok=False))
                before = os.path.getsize(a)
                call(BLKIO, "resize", "qcow2", a, 999936, "shrink")
                call("qemu-img", "resize", "--shrink", "-f", "qcow2", b, 999936)
                self.assert_sound(a)
                self.assertTrue(self.theirs(a) == self.theirs(b) == self.ours(a))
                if variant != "cluster_size=512": # its refcount table is at the end
                    self.assertLess(os.path.getsize(a), before)
                call(BLKIO, "resize", "qcow2", a, SIZE)
                self.assertTrue(self.ours(a) == self.theirs(b) + bytes(SIZE - 999936), "what was there before does not come back")
                call("qemu-img", "resize", "-f", "qcow2", b, SIZE)
                self.twins(a, b, 801, 60)

    def test_grow_over_backing(self):
        """What a backing file holds behind the old end does not come into sight."""
        with open(self.path("base.raw"), "wb") as out:
            out.write(b"x" * SIZE)
        for variant in ["", ",compat=0.10", ",extended_l2=on", ",cluster_size=2M"]:
            with self.subTest(variant):
                a = self.path("a.qcow2")
                call(BLKIO, "create", "qcow2", a, f"size=1000448,backing_file=base.raw,backing_fmt=raw{variant}")
                call(BLKIO, "resize", "qcow2", a, SIZE)
                self.assert_sound(a)
                self.assertTrue(self.ours(a) == self.theirs(a) == b"x" * 1000448 + bytes(SIZE - 1000448))

    def bitmap(self, image, name):
        """Its state, and where it is dirty, as we read it."""
        head, *runs = call(BLKIO, "bitmap", "qcow2", image, "dump", name).splitlines()
        dirty = set()
        for run in runs:
            off, length = map(int, run.split())
            dirty.update(range(off // 65536, (off + length - 1) // 65536 + 1))
        return head.split(maxsplit=1)[1], dirty

    def flags(self, image):
        """Names and flags of bitmaps, as qemu-img sees them."""
        info = json.loads(call("qemu-img", "info", "--output=json", image))
        return {row["name"]: row["flags"] for row in info["format-specific"]["data"].get("bitmaps", [])}

    def test_bitmaps(self):
        """Made, changed, merged and removed by both, in turn; what either writes is noted."""
        for number, variant in enumerate(["", "cluster_size=512", "cluster_size=2M", "extended_l2=on", "data_file=DATA"]):
            with self.subTest(variant):
                rand, a, held = random.Random(900 + number), self.path("a.qcow2"), {}
                call("qemu-img", "create", "-f", "qcow2", *(["-o", variant.replace("DATA", self.path("a.data"))] if variant else []), a, SIZE)
                for step in range(24):
                    ours = step % 2
                    word = rand.choice(["add", "write", "write", "clear", "enable", "disable", "merge", "remove"]) if len(held) > 1 else "add"
                    if word == "write":
                        off, length = rand.randrange(SIZE // 65536) * 65536, rand.randrange(1, 9) * 65536
                        length = min(length, SIZE - off)
                        for name in held:
                            if held[name][0]:
                                held[name][1].update(range(off // 65536, (off + length) // 65536))
                        if ours:
                            call(BLKIO, "run", "qcow2", a, text=f"write {off} {length} {step}\n")
                        else:
                            call("qemu-io", "-f", "qcow2", "-c", f"write -P {step} {off} {length}", a)
                    else:
                        name = f"b{step}" if word == "add" else rand.choice(sorted(held))
                        other = rand.choice(sorted(held)) if held else None
                        more = [other] if word == "merge" else []
                        if ours:
                            call(BLKIO, "bitmap", "qcow2", a, word, name, *more)
                        else:
                            call("qemu-img", "bitmap", f"--{word}", *more, *(["-g", 65536] if word == "add" else []), a, name)
                        if word == "remove":
                            del held[name]
                        else:
                            old = held.setdefault(name, [True, set()])
                            old[0] = {"enable": True, "disable": False}.get(word, old[0])
                            old[1] = set() if word == "clear" else old[1] | (held[other][1] if word == "merge" else set())
                    self.assert_sound(a)
                    self.assertEqual(self.flags(a), {name: ["auto"] if on else [] for name, (on, _) in held.items()})
                    for name, (on, dirty) in held.items():
                        self.assertEqual(self.bitmap(a, name), (f"granularity=65536 enabled={int(on)} inconsistent=0", dirty), f"{step} {word}")

    def test_bitmaps_after_a_crash(self):
        """In use and never stored: inconsistent, kept, reported, removable."""
        a = self.path("a.qcow2")
        call("qemu-img", "create", "-f", "qcow2", a, SIZE)
        call("qemu-img", "bitmap", "--add", a, "left")
        call("qemu-img", "bitmap", "--add", a, "other")
        process = subprocess.Popen([BLKIO, "run", "qcow2", a], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(b"write 0 65536 1\nflush\n")
        process.stdin.flush()
        while self.flags_unlocked(a).get("left") != ["in-use", "auto"]:
            self.assertIsNone(process.poll())
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        self.assertIn("corruptions 0", call(BLKIO, "check", "qcow2", a, "leaks")) # it may have been killed within its flush
        self.assert_sound(a)
        self.assertEqual(self.bitmap(a, "left")[0].split()[-1], "inconsistent=1")
        call(BLKIO, "run", "qcow2", a, text="write 0 65536 1\n")
        self.assertEqual(self.flags(a)["left"][0], "in-use")
        call("qemu-img", "bitmap", "--remove", a, "left")
        call(BLKIO, "bitmap", "qcow2", a, "remove", "other")
        self.assertEqual(self.flags(a), {})
        self.assert_sound(a)

    def flags_unlocked(self, image):
        info = json.loads(call("qemu-img", "info", "-U", "--output=json", image))
        return {row["name"]: row["flags"] for row in info["format-specific"]["data"].get("bitmaps", [])}

    def test_amend(self):
        """There and back again, with data that stay."""
        a, b = self.path("a.qcow2"), self.path("b.qcow2")
        for number, (first, changes) in enumerate([("", ["compat=0.10", "compat=1.1", "refcount_bits=64", "refcount_bits=1", "lazy_refcounts=on"]),
                                                   ("cluster_size=512", ["refcount_bits=8", "size=8M", "refcount_bits=16", "compat=v2"])]):
            call(BLKIO, "create", "qcow2", a, "size=6M" + ("," + first if first else ""))
            call("qemu-img", "create", "-f", "qcow2", b, SIZE)
            self.twins(a, b, 1000 + number, 60)
            for change in changes:
                with self.subTest(change):
                    call(BLKIO, "amend", "qcow2", a, change)
                    self.assert_sound(a)
                    self.assertTrue(self.ours(a)[:SIZE] == self.theirs(a)[:SIZE] == self.theirs(b))
                    ours, theirs = steps(random.Random(number), 20, SIZE)
                    call(BLKIO, "run", "qcow2", a, text=ours)
                    call("qemu-io", "-f", "qcow2", b, text=theirs)
                    self.assert_sound(a)
        call(BLKIO, "create", "qcow2", a, "size=6M,extended_l2=on")
        self.assertIn("extended L2", call(BLKIO, "amend", "qcow2", a, "compat=0.10", ok=False))
        call(BLKIO, "create", "qcow2", a, "size=6M")
        call(BLKIO, "amend", "qcow2", a, f"backing_file={b},backing_fmt=qcow2")
        self.assertIn("backing file format: qcow2", call("qemu-img", "info", a))
        self.assertTrue(self.ours(a) == self.theirs(a) == self.theirs(b))

    def test_encryption(self):
        """LUKS inside: made by both, filled and changed by both; without the passphrase there is nothing to see."""
        img = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
        secret, data = ["--object", "secret,id=s0,data=geheim"], random_data(9)
        with open(self.path("a.raw"), "wb") as out:
            out.write(data)
        for variant in ["", ",cluster_size=4k", ",extended_l2=on", ",encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv"]:
            for maker in (img, "qemu-img"):
                with self.subTest(variant, maker=maker):
                    a, raw = self.path("a.qcow2"), "driver=raw,file.filename=" + self.path("a.raw")
                    tree = "driver=qcow2,encrypt.key-secret=s0,file.driver=file,file.filename=" + a
                    call(maker, "create", *secret, "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10" + variant, a, SIZE)
                    call(maker, "convert", *secret, "-n", "--image-opts", raw, "--target-image-opts", tree)
                    for judge in (img, "qemu-img"):
                        call(judge, "compare", *secret, "--image-opts", raw, tree)
                        call(judge, "check", *secret, "--image-opts", tree)
                    call("qemu-io", *secret, "--image-opts", tree, "-c", "write -P 5 1000000 70000", "-c", "write -z 0 65536")
                    call(img, "io", *secret, "--image-opts", tree, "-c", "read -P 5 1000000 70000", "-c", "read -P 0 0 65536", "-c", "write -P 6 2000100 1000")
                    call("qemu-io", *secret, "--image-opts", tree, "-c", "read -P 6 2000100 1000")
                    self.assertNotIn(b"lines of text", content(a))
                    self.assertIn("encrypted: yes", call(img, "info", a))
                    self.assertIn("wrong", call(img, "check", "--object", "secret,id=s0,data=x", "--image-opts", tree, ok=False))

    def test_headers_that_lie(self):
        """Each field out of range is refused by its name, and nothing crashes."""
        a, good = self.path("a.qcow2"), self.path("good.qcow2")
        call("qemu-img", "create", "-f", "qcow2", good, "1M")
        call("qemu-img", "snapshot", "-c", "one", good)
        call("qemu-img", "bitmap", "--add", good, "b")
        data = content(good)
        snapshot = int.from_bytes(data[64:72], "big")
        bitmaps = data.index(b"\x23\x85\x28\x75") + 8
        directory = int.from_bytes(data[bitmaps + 16:bitmaps + 24], "big")
        big = 1 << 63
        lies = [(4, 4, 7, "version 7"), (20, 4, 8, "cluster_bits is 8"), (20, 4, 22, "cluster_bits is 22"), (20, 4, 1 << 31, "cluster_bits"),
                (24, 8, big, "size"), (24, 8, 1 << 60, "size"), (32, 4, 3, "encrypted"), (32, 4, 1, "encrypted"), (32, 4, 2, "encryption header"),
                (36, 4, 0, "l1_size 0"), (36, 4, 1 << 30, "l1_size"), (40, 8, 511, "L1 table"), (40, 8, 1 << 40, "L1 table"), (40, 8, big, "L1 table"),
                (48, 8, 0, "refcount table"), (48, 8, big, "refcount table"), (48, 8, 513, "refcount table"), (56, 4, 0, "refcount table"),
                (56, 4, 1 << 31, "refcount table"), (60, 4, 1000000, "1000000 snapshots"), (60, 4, 65536, "snapshot"), (64, 8, 1, "snapshot table"),
                (64, 8, big, "snapshot table"), (72, 8, 1 << 40, "incompatible feature 40"), (72, 8, 4, "data-file"), (72, 8, 16, ""),
                (96, 4, 7, "refcount_order is 7"), (100, 4, 96, "header_length"), (100, 4, 1 << 30, "header_length"), (104, 1, 9, "compressed by method 9"),
                (8, 8, 65530, "backing"), (8, 8, 1, "backing"), (112, 4, 0xe2792aca, ""), (116, 4, 0xffffffff, "does not end"),
                (snapshot, 8, 1, "L1 table that is not aligned"), (snapshot, 8, big, "L1 table"), (snapshot + 8, 4, 1 << 30, "too large"), (snapshot + 8, 4, 0, "too small"),
                (snapshot + 36, 4, 1 << 20, "extra data"), (snapshot + 12, 2, 65535, ""), (snapshot + 48, 8, big, "L1 table"),
                (bitmaps, 4, 70000, "70000 bitmaps"), (bitmaps, 4, 3, "bitmap 1"), (bitmaps + 8, 8, big, "directory"), (bitmaps + 16, 8, 5, "directory"),
                (directory, 8, 7, "bitmap 0"), (directory, 8, big, "bitmap 0"), (directory + 8, 4, 1 << 31, "bitmap 0"), (directory + 12, 4, 1 << 9, "flags"),
                (directory + 16, 1, 2, "type"), (directory + 17, 1, 60, "granularity"), (directory + 17, 1, 3, "granularity"), (directory + 18, 2, 0, "name"),
                (directory + 20, 4, 1 << 30, "does not end")]
        for at, size, value, words in lies:
            with self.subTest(at=at, value=hex(value)):
                with open(a, "wb") as out:
                    out.write(data[:at] + value.to_bytes(size, "big") + data[at + size:])
                result = subprocess.run([BLKIO, "check", "qcow2", a, "all"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                self.assertIn(result.returncode, (0, 1), result.stdout)
                if words:
                    self.assertEqual(result.returncode, 1)
                    self.assertIn(words, result.stdout)

    def test_tables_that_lie(self):
        """Tables that name themselves, others or what is not there: found, said in words, never followed into a crash."""
        a, good = self.path("a.qcow2"), self.path("good.qcow2")
        img = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
        call("qemu-img", "create", "-f", "qcow2", good, "4M")
        call("qemu-io", "-f", "qcow2", "-c", "write 0 256k", good)
        data = content(good)
        l1, reftable = int.from_bytes(data[40:48], "big"), int.from_bytes(data[48:56], "big")
        l2, copied = int.from_bytes(data[l1:l1 + 8], "big") & ~(1 << 63), 1 << 63
        lies = [(l1, l1 | copied), (l1, l2 | 512), (l1, 1 << 40 | copied), (l2, l2 | copied), (l2, l1 | copied), (l2, reftable | copied), (l2, 1 << 50 | copied),
                (l2, copied | 0x10200), (l2, 1 << 62 | (1 << 40)), (l2, (1 << 62) - 1 | 1 << 62), (l2 + 8, 0x50000), (l2, copied), (reftable, l1), (reftable, reftable)]
        for at, value in lies:
            with self.subTest(at=hex(at), value=hex(value)):
                with open(a, "wb") as out:
                    out.write(data[:at] + value.to_bytes(8, "big") + data[at + 8:])
                for args in (["check", "qcow2", a], ["read", "qcow2", a, self.path("x")], ["run", "qcow2", a], ["check", "qcow2", a, "all"]):
                    result = subprocess.run([BLKIO, *args], input="write 0 300000 3\nflush\nwrite 3000000 65536 1\n", stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
                    self.assertIn(result.returncode, (0, 1), f"{args} {result.stdout}")
        with open(a, "wb") as out: # one that is mended whole
            out.write(data[:l2 + 8] + (int.from_bytes(data[l2 + 8:l2 + 16], "big") & ~copied).to_bytes(8, "big") + data[l2 + 16:])
        self.assertIn("L2 entry 1 says", call(img, "check", "-f", "qcow2", a, ok=False))
        call(img, "check", "-f", "qcow2", "-r", "all", a)
        self.assert_sound(a)
        self.assertTrue(self.theirs(a) == self.theirs(good))

    def test_marked_corrupt(self):
        """Read-only or for repair, as it says; repair takes the mark away."""
        a = self.path("a.qcow2")
        img = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
        call("qemu-img", "create", "-f", "qcow2", a, "4M")
        with open(a, "r+b") as file:
            file.seek(79)
            file.write(b"\2")
        self.assertIn("marked corrupt", call(BLKIO, "run", "qcow2", a, text="", ok=False))
        self.assertEqual(len(self.ours(a)), 4 << 20)
        call(img, "check", "-f", "qcow2", "-r", "all", a)
        call(BLKIO, "run", "qcow2", a, text="write 0 65536 1\n")
        self.assert_sound(a)

    def test_leaks(self):
        """A leak made by hand is found and repaired."""
        a = self.path("a.qcow2")
        call(BLKIO, "create", "qcow2", a, "size=1M")
        with open(a, "r+b") as file:
            file.truncate(60 * 65536)
            file.seek(2 * 65536 + 2 * 50)
            file.write(b"\0\1")
        self.assertIn("leaks 1 fixed 0 corruptions 0", call(BLKIO, "check", "qcow2", a))
        self.assertIn("leaks 1 fixed 1", call(BLKIO, "check", "qcow2", a, "leaks"))
        self.assert_sound(a)

    def test_refusals(self):
        """What we cannot do is refused by its name."""
        a = self.path("a.qcow2")
        call("qemu-img", "create", "-f", "qcow2", a, "1M")
        call("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", a, "-F", "qcow2", a)
        self.assertIn("leads back", call(BLKIO, "read", "qcow2", a, self.path("x"), ok=False))


if __name__ == "__main__":
    tap.main()
