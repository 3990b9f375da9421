#!/usr/bin/env python3
"""atoll-img is killed (SIGKILL) at random moments of its work: sources stay whole, targets are absent or whole, no file is left over.

ATOLL_KILLS=N kills each subcommand N times (8).
"""
import hashlib
import os
import random
import subprocess
import tempfile
import time
import unittest

import tap
from image import call, content

IMG = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
KILLS = int(os.environ.get("ATOLL_KILLS", "8"))
SEED = int(os.environ.get("ATOLL_SEED", "1"))
SIZE = "48M"
LEAKS_ONLY = (0, 3)  # exit status of check: sound; leaks


def digest(path):
    return hashlib.sha256(content(path)).hexdigest()


class Killed(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="atoll-kill-")
        self.addCleanup(self.folder.cleanup)
        self.random = random.Random(SEED)
        self.base, self.top, self.other = (self.path(name) for name in ("base.qcow2", "top.qcow2", "other.qcow2"))

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def io(self, image, *commands):
        call(IMG, "io", "-f", "qcow2", *(word for command in commands for word in ("-c", command)), image)

    def make_chain(self):
        """base <- top, and another base; each has data of its own."""
        call(IMG, "create", "-f", "qcow2", self.base, SIZE)
        call(IMG, "create", "-f", "qcow2", self.other, SIZE)
        self.io(self.base, "write -P 1 0 20M", "write -P 2 30M 4M")
        self.io(self.other, "write -P 3 10M 20M")
        call(IMG, "create", "-f", "qcow2", "-b", self.base, "-F", "qcow2", self.top)
        self.io(self.top, "write -P 4 5M 9M", "write -z 31M 1M", "write -P 5 40M 3M")

    def seen(self, image):
        """What a guest sees of it."""
        flat = self.path("seen.raw")
        call(IMG, "convert", "-f", "qcow2", "-O", "raw", image, flat)
        seen = digest(flat)
        os.remove(flat)
        return seen

    def sound(self, image):
        result = subprocess.run([IMG, "check", "-f", "qcow2", image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertIn(result.returncode, LEAKS_ONLY, result.stdout)

    def kills(self, arguments, check):
        """Runs it to its end once, for its time; then anew and anew, and check(done) each time."""
        before, killed = {}, 0
        for name in os.listdir(self.folder.name):
            before[name] = content(self.path(name))
        start = time.monotonic()
        subprocess.run([IMG, *arguments], stdout=subprocess.DEVNULL, check=True)
        takes = time.monotonic() - start
        for _ in range(KILLS):
            for name in os.listdir(self.folder.name):
                os.remove(self.path(name))
            for name, data in before.items():
                with open(self.path(name), "wb") as file:
                    file.write(data)
            with subprocess.Popen([IMG, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                time.sleep(self.random.uniform(0, 1.1 * takes))
                process.kill()
                process.wait()
            killed += process.returncode != 0
            check(process.returncode == 0)
        print(f"# {arguments[0]}: killed {killed} of {KILLS} times, takes {takes:.3f} s", flush=True)

    def test_convert(self):
        self.make_chain()
        want, target = self.seen(self.top), self.path("target.qcow2")

        def check(done):
            self.sound(self.top)
            self.assertEqual(self.seen(self.top), want)
            if done or os.path.exists(target):
                self.sound(target)
                self.assertEqual(self.seen(target), want)
        self.kills(["convert", "-c", "-f", "qcow2", "-O", "qcow2", self.top, target], check)

    def test_commit(self):
        self.make_chain()
        want = self.seen(self.top)

        def check(done):
            self.sound(self.base)
            self.sound(self.top)
            self.assertEqual(self.seen(self.top), want)
            self.assertTrue(not done or self.seen(self.base) == want)
        self.kills(["commit", "-f", "qcow2", self.top], check)

    def test_rebase(self):
        self.make_chain()
        want = self.seen(self.top)

        def check(done):
            self.sound(self.top)
            self.assertEqual(self.seen(self.top), want)
            self.assertIn(f"backing file: {self.other if done else ''}", call(IMG, "info", self.top))
        self.kills(["rebase", "-f", "qcow2", "-b", self.other, "-F", "qcow2", self.top], check)

    def test_resize(self):
        self.make_chain()
        os.remove(self.top)
        want = self.seen(self.base)

        def check(_done):
            self.sound(self.base)
            call(IMG, "resize", "-f", "qcow2", "--shrink", self.base, SIZE)
            self.assertEqual(self.seen(self.base), want)
        self.kills(["resize", "-f", "qcow2", "--preallocation=metadata", self.base, "4G"], check)

    def test_snapshot(self):
        for option, name in ("-c", "two"), ("-a", "one"), ("-d", "one"):
            with self.subTest(option=option):
                self.make_chain()
                os.remove(self.top)
                call(IMG, "snapshot", "-c", "one", self.base)
                first = self.seen(self.base)
                self.io(self.base, "write -P 9 1M 15M")
                states = (self.seen(self.base), first if option == "-a" else None)

                def check(_done, states=states):
                    self.sound(self.base)
                    self.assertIn(self.seen(self.base), states)
                self.kills(["snapshot", option, name, self.base], check)


if __name__ == "__main__":
    tap.main()
