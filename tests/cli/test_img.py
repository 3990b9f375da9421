#!/usr/bin/env python3
"""atoll-img's own promises: help and manual from one table, nothing half done, no base pulled from under its users."""
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
import unittest

import tap
import twins
from image import content

KILLS = 300 if twins.LONG else 12  # of each command
COMMANDS = ("amend", "bench", "bitmap", "check", "commit", "compare", "convert", "create", "dd", "info", "io", "map", "measure", "rebase", "reclaim", "resize", "snapshot")


class Help(twins.Twins):
    def test_every_command(self):
        text = self.atoll("--help")[1]
        for command in COMMANDS:
            self.assertRegex(text, rf"(?m)^  {command} ")
            self.assertIn(f"usage: atoll-img {command} ", self.atoll(command, "--help")[1])
            self.assertEqual(self.atoll(command, "--help"), self.atoll(command, "-h"))
        self.assertRegex(text, "Supported formats: .*raw.*qcow2")
        self.assertRegex(self.atoll("--version")[1], r"^atoll-img version \d")
        self.assertRegex(self.our("qemu-io", "-V")[1], r"^qemu-io version \d")

    def test_manual(self):
        text = self.atoll("--manual")[1]
        self.assertTrue(text.startswith(".TH ATOLL"))
        for command in COMMANDS:
            self.assertIn(f'.SS "{command} ', text)
        for option in ("\\-\\-target\\-is\\-zero", "\\-\\-backing\\-chain", "cluster_size"):
            self.assertIn(option, text)

    def test_did_you_mean(self):
        self.assertIn("did you mean 'convert'", self.atoll("covnert", status=1)[2])


class Reflink(twins.Twins):
    """A copy on a file system that shares extents (XFS over a loop device) takes no room."""

    def setUp(self):
        super().setUp()
        self.mount = os.path.join(self.ours, "mnt")
        os.mkdir(self.mount)
        disk = os.path.join(self.ours, "xfs.img")
        with open(disk, "wb") as out:
            out.truncate(400 << 20)
        if not shutil.which("mkfs.xfs") or subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", disk], check=False).returncode:
            self.skipTest("needs mkfs.xfs (package xfsprogs)")
        if subprocess.run(["mount", "-o", "loop", disk, self.mount], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("needs the right to mount a loop device")
        self.addCleanup(subprocess.run, ["umount", self.mount], check=True)

    def used(self):
        os.sync()
        got = os.statvfs(self.mount)
        return (got.f_blocks - got.f_bfree) * got.f_frsize

    def test_convert(self):
        data = random.Random(3).randbytes(40 << 20)
        with open(os.path.join(self.mount, "a.raw"), "wb") as out:
            out.write(data)
        before = self.used()
        self.atoll("convert", "-f", "raw", "-O", "raw", "mnt/a.raw", "mnt/b.raw")
        self.assertLess(self.used() - before, 4 << 20)
        self.assertTrue(content(os.path.join(self.mount, "b.raw")) == data)
        self.atoll("io", "-f", "raw", "-c", "write -P 7 0 1M", "mnt/b.raw")
        self.assertTrue(content(os.path.join(self.mount, "a.raw")) == data, "what one writes the other does not see")


class Users(twins.Twins):
    """Images that others stand on."""

    def chain(self):
        self.atoll("create", "-q", "-f", "qcow2", "base.qcow2", "8M")
        self.atoll("io", "-c", "write -P 1 0 4M", "base.qcow2")
        for name, below in (("mid", "base"), ("top", "mid"), ("other", "base")):
            self.atoll("create", "-q", "-f", "qcow2", "-b", f"{below}.qcow2", "-F", "qcow2", f"{name}.qcow2")
        self.atoll("io", "-c", "write -P 2 1M 1M", "mid.qcow2")
        self.write("note.txt", b"no image")

    def test_finding_them(self):
        self.chain()
        text = self.atoll("info", "--users", ".", "base.qcow2")[1]
        self.assertRegex(text, r"Used as a base by 3 image\(s\) in '\.':\n    mid.qcow2\n    other.qcow2\n    top.qcow2\n")
        self.assertEqual(json.loads(self.atoll("info", "--output=json", "--users", ".", "mid.qcow2")[1]), ["top.qcow2"])
        self.assertIn("No image stands on it", self.atoll("info", "--users", ".", "top.qcow2")[1])
        self.assertIn("nosuch", self.atoll("info", "--users", "nosuch", "top.qcow2", status=1)[2])

    def refuse(self, *words, name="base.qcow2"):
        before = self.content(name)
        text = self.atoll(*words, status=1)[2]
        self.assertIn("is the base of", text)
        self.assertIn("--force", text)
        self.assertEqual(self.content(name), before)

    def test_commit(self):
        self.chain()
        self.refuse("commit", "-f", "qcow2", "mid.qcow2")
        self.atoll("commit", "-f", "qcow2", "top.qcow2")  # nobody else stands on mid
        warned = self.our("qemu-img", "commit", "-d", "-f", "qcow2", "mid.qcow2")
        self.assertIn("warning: ", warned[2])
        self.assertIn("other.qcow2", warned[2])
        self.atoll("commit", "--force", "-f", "qcow2", "mid.qcow2")

    def test_shrinking(self):
        self.chain()
        self.refuse("resize", "--shrink", "base.qcow2", "1M")
        self.atoll("resize", "base.qcow2", "+1M")
        self.atoll("resize", "--shrink", "--force", "base.qcow2", "1M")

    def test_applying_a_snapshot(self):
        self.chain()
        self.atoll("snapshot", "-c", "one", "base.qcow2")
        self.refuse("snapshot", "-a", "one", "base.qcow2")
        self.atoll("snapshot", "-d", "one", "base.qcow2")

    def test_unsafe_rebase(self):
        self.chain()
        self.refuse("rebase", "-u", "-b", "", "-f", "qcow2", "mid.qcow2", name="mid.qcow2")
        self.atoll("rebase", "-b", "", "-f", "qcow2", "mid.qcow2")


class Reclaim(twins.Twins):
    def test_zeros_and_leaks(self):
        self.atoll("create", "-q", "-f", "qcow2", "a.qcow2", "64M")
        self.atoll("io", "-c", "write -P 0 0 32M", "-c", "write -P 5 40M 1M", "a.qcow2")
        self.atoll("convert", "-O", "raw", "a.qcow2", "want.raw")
        before = os.stat(self.path("a.qcow2")).st_blocks * 512
        said = json.loads(self.atoll("reclaim", "-n", "--output=json", "a.qcow2")[1])
        self.assertEqual(said["zeros"], 32 << 20)
        self.assertEqual(os.stat(self.path("a.qcow2")).st_blocks * 512, before)
        self.assertIn("Given back: 32 MiB of zeros", self.atoll("reclaim", "a.qcow2")[1])
        self.assertLess(os.stat(self.path("a.qcow2")).st_blocks * 512, before - (31 << 20))
        self.atoll("compare", "a.qcow2", "want.raw")
        self.atoll("check", "a.qcow2")

    def test_raw(self):
        self.write("a.raw", bytes(8 << 20) + b"x" * 8192)
        self.atoll("reclaim", "-f", "raw", "a.raw")
        self.assertLess(os.stat(self.path("a.raw")).st_blocks * 512, 1 << 20)
        self.assertEqual(self.content("a.raw"), bytes(8 << 20) + b"x" * 8192)


class Failing(twins.Twins):
    def test_full_disk(self):
        """A file that may not grow (RLIMIT_FSIZE): an error, and no target."""
        self.write("a.raw", random.Random(1).randbytes(4 << 20))
        for words in (["-O", "raw"], ["-O", "qcow2"]):
            got = subprocess.run(["sh", "-c", 'ulimit -f 2048; trap "" XFSZ; exec "$0" "$@"', twins.ATOLL_IMG, "convert", "-f", "raw", *words, "a.raw", "b"], cwd=self.ours,
                                 stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(got.returncode, 1, got)
            self.assertRegex(got.stderr, r"'b'.*: File too large")
            self.assertEqual(sorted(os.listdir(self.ours)), ["a.raw"])

    def test_busy_target(self):
        self.write("a.raw", b"x", 1 << 20)
        self.write("b.raw", b"y", 1 << 20)
        holder = subprocess.Popen([twins.ATOLL_IMG, "io", "-f", "raw", "b.raw"], cwd=self.ours, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            holder.stdout.read(1)
            text = self.atoll("convert", "-f", "raw", "-O", "raw", "a.raw", "b.raw", status=1)[2]
            self.assertIn(str(holder.pid), text)
        finally:
            holder.communicate(b"quit\n")
        self.assertEqual(self.content("b.raw")[:1], b"y")

    def test_interrupted(self):
        """SIGTERM and SIGINT leave no temporary file."""
        self.write("a.raw", random.Random(1).randbytes(2 << 20))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = subprocess.Popen([twins.ATOLL_IMG, "convert", "-r", "256k", "-f", "raw", "-O", "qcow2", "a.raw", "b"], cwd=self.ours)
            end = time.monotonic() + 10 * twins.PATIENCE
            while not glob.glob(self.path(".b.atoll-*")) and time.monotonic() < end:
                time.sleep(0.01)
            self.assertTrue(glob.glob(self.path(".b.atoll-*")))
            process.send_signal(number)
            self.assertEqual(process.wait(10 * twins.PATIENCE), -number)
            self.assertEqual(sorted(os.listdir(self.ours)), ["a.raw"])


class Killed(twins.Twins):
    """SIGKILL at random moments: sources stay whole, targets are absent or valid."""

    def setUp(self):
        super().setUp()
        self.rng = random.Random(int(os.environ.get("ATOLL_SEED", "1")))
        self.work = os.path.join(self.folder.name, "work")
        data = bytearray(self.rng.randbytes(12 << 20))
        data[2 << 20:5 << 20] = bytes(3 << 20)
        self.write("base.raw", bytes(data), 24 << 20)
        self.atoll("convert", "-f", "raw", "-O", "qcow2", "base.raw", "base.qcow2")
        self.atoll("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "mid.qcow2")
        self.atoll("io", "-c", "write -P 2 1M 4M", "-c", "write -z 8M 1M", "mid.qcow2")
        self.atoll("create", "-q", "-f", "qcow2", "-b", "mid.qcow2", "-F", "qcow2", "top.qcow2")
        self.atoll("io", "-c", "write -P 3 3M 5M", "-c", "write -P 4 20M 1M", "-c", "write -z 10M 512k", "top.qcow2")
        self.atoll("convert", "-O", "raw", "top.qcow2", "want.raw")
        self.atoll("convert", "-O", "raw", "mid.qcow2", "mid.raw")

    def fresh(self):
        shutil.rmtree(self.work, ignore_errors=True)
        os.mkdir(self.work)
        for name in ("base.qcow2", "mid.qcow2", "top.qcow2"):
            shutil.copy(self.path(name), self.work)

    def start(self, *words):
        return subprocess.Popen([twins.ATOLL_IMG, *words], cwd=self.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, words, judge):
        self.fresh()
        begin = time.monotonic()
        self.assertEqual(self.start(*words).wait(60 * twins.PATIENCE), 0, words)
        whole = time.monotonic() - begin
        cut = 0
        for _ in range(KILLS):
            self.fresh()
            process = self.start(*words)
            time.sleep(self.rng.random() * whole * 1.1)
            process.kill()
            if process.wait():
                cut += 1
            else:
                whole *= 0.8  # the first run may have met a busy host
            judge()
        print(f"# {words[0]}: {KILLS} runs of about {whole * 1000:.0f} ms, {cut} killed before their end")
        self.assertGreater(cut, 0)

    def check(self, name):
        got = twins.run([twins.ATOLL_IMG, "check", "-f", "qcow2", name], self.work)
        self.assertIn(got[0], (0, 3), f"{name}: {got}")  # leaks at worst

    def holds(self, name, want):
        got = twins.run([twins.ATOLL_IMG, "compare", "-f", "qcow2", "-F", "raw", name, self.path(want)], self.work)
        self.assertEqual(got[0], 0, f"{name}: {got}")

    def sources_whole(self):
        for name in ("base.qcow2", "mid.qcow2", "top.qcow2"):
            with open(os.path.join(self.work, name), "rb") as file:
                self.assertTrue(file.read() == self.content(name), name)

    def test_convert(self):
        for words in (["-O", "qcow2"], ["-c", "-O", "qcow2"], ["-O", "raw"]):
            def judge(fmt=words[-1]):
                self.sources_whole()
                if os.path.exists(os.path.join(self.work, "target")):
                    got = twins.run([twins.ATOLL_IMG, "compare", "-F", fmt, "-f", "raw", self.path("want.raw"), "target"], self.work)
                    self.assertEqual(got[0], 0, got)
            self.kill(["convert", "-f", "qcow2", *words, "top.qcow2", "target"], judge)
        self.fresh()
        self.assertEqual(self.start("convert", "-O", "raw", "top.qcow2", "target").wait(), 0)
        self.assertEqual([name for name in os.listdir(self.work) if ".atoll-" in name], [])

    def test_stale_temporaries_are_removed(self):
        self.fresh()
        process = self.start("convert", "-r", "100k", "-O", "raw", "top.qcow2", "target")
        end = time.monotonic() + 10 * twins.PATIENCE
        while not glob.glob(os.path.join(self.work, ".target.atoll-*")) and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
        process.wait()
        self.assertTrue(glob.glob(os.path.join(self.work, ".target.atoll-*")))
        self.assertEqual(self.start("convert", "-O", "raw", "top.qcow2", "target").wait(), 0)
        self.assertEqual(glob.glob(os.path.join(self.work, ".target.atoll-*")), [])

    def test_commit(self):
        def judge():
            for name in ("top.qcow2", "mid.qcow2", "base.qcow2"):
                self.check(name)
            self.holds("top.qcow2", "want.raw")
        self.kill(["commit", "-f", "qcow2", "top.qcow2"], judge)

    def test_rebase(self):
        def judge():
            for name in ("top.qcow2", "mid.qcow2", "base.qcow2"):
                self.check(name)
            self.holds("top.qcow2", "want.raw")
            self.holds("mid.qcow2", "mid.raw")
        self.kill(["rebase", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "top.qcow2"], judge)
        self.kill(["rebase", "-f", "qcow2", "-b", "", "top.qcow2"], judge)

    def test_resize(self):
        def judge():
            self.check("top.qcow2")
            size = json.loads(twins.run([twins.ATOLL_IMG, "info", "--output=json", "top.qcow2"], self.work)[1])["virtual-size"]
            self.assertIn(size, (24 << 20, 9 << 30))
            self.holds("top.qcow2", "want.raw")
        self.kill(["resize", "-f", "qcow2", "top.qcow2", "9G"], judge)

        def judge_base():
            self.check("base.qcow2")
            self.holds("base.qcow2", "base.raw")
        self.kill(["resize", "-f", "qcow2", "--preallocation=metadata", "base.qcow2", "4G"], judge_base)

    def test_snapshot(self):
        def judge():
            self.check("top.qcow2")
            self.holds("top.qcow2", "want.raw")
        self.kill(["snapshot", "-c", "one", "-f", "qcow2", "top.qcow2"], judge)
        self.atoll("snapshot", "-c", "one", "-f", "qcow2", "top.qcow2")
        self.kill(["snapshot", "-d", "one", "-f", "qcow2", "top.qcow2"], judge)
        self.kill(["snapshot", "-a", "one", "-f", "qcow2", "top.qcow2"], judge)


if __name__ == "__main__":
    tap.main()
