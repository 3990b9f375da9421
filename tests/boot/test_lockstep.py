#!/usr/bin/env python3
"""Debian's kernels boot by translation and by interpretation at once, which must agree all the way."""
import os
import subprocess
import unittest

import guest
import guests
import tap

PROGRAM = os.path.join(os.environ.get("ATOLL_BUILD", os.path.join(guest.ROOT, "build")), "tests/differential/boot_lockstep")
MILLION = 1000000


class Lockstep(unittest.TestCase):
    def boot(self, name, instructions, append=""):
        result = subprocess.run([PROGRAM, "--kernel", guests.kernel(name), "--initrd", guests.initramfs(name), "--instructions", str(instructions),
                                 "--append", f"console=ttyS0 nokaslr atoll.mode=facts {append}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, timeout=3600, check=False)
        print("# " + result.stdout.strip().replace("\n", "\n# "), flush=True)
        self.assertEqual(result.returncode, 0)

    def test_first_instructions(self):
        self.boot("cloud", 20 * MILLION)

    @unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
    def test_64_bit(self):
        self.boot("cloud", 1000 * MILLION)

    @unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
    def test_32_bit(self):
        self.boot("686", 1000 * MILLION)


if __name__ == "__main__":
    tap.main()
