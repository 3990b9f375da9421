#!/usr/bin/env python3
"""The examples of libatoll in docs/examples, in C and in Python, as a reader would build and run them."""
import os
import shutil
import subprocess
import unittest

import guest
import manager
import tap

BIN = os.path.dirname(guest.ATOLL_VM)
BUILD = os.path.dirname(BIN)
EXAMPLES = os.path.join(guest.ROOT, "docs", "examples")


class Examples(unittest.TestCase):
    def setUp(self):
        self.daemon = manager.Daemon()
        self.addCleanup(self.daemon.stop)
        self.env = {**os.environ, "LD_LIBRARY_PATH": BIN, "GI_TYPELIB_PATH": BIN}

    def run_example(self, *words):
        done = subprocess.run([*words, self.daemon.uri("test:///default")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env,
                              timeout=60 * guest.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def test_c(self):
        program = os.path.join(self.daemon.folder, "domains")
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "gio-2.0"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        subprocess.run(["cc", "-Wall", "-Werror", "-I", os.path.join(guest.ROOT, "include"), "-I", os.path.join(BUILD, "gen"), "-o", program, os.path.join(EXAMPLES, "domains.c"), "-L", BIN,
                        "-latoll", *flags], check=True)
        self.assertEqual(self.run_example(program), ["1 test", "event 3.0 of test"])

    def test_python(self):
        if not os.path.exists(os.path.join(BIN, "Atoll-1.0.typelib")) or subprocess.run(["/usr/bin/python3", "-c", "import gi"], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("no GObject introspection here")
        self.assertEqual(self.run_example("/usr/bin/python3", os.path.join(EXAMPLES, "domains.py")), ["1 test", "event 3.0 of test", "no such domain"])

    @unittest.skipUnless(shutil.which("nm"), "binutils are not installed")
    def test_only_its_own_symbols_are_visible(self):
        text = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BIN, "libatoll.so")], stdout=subprocess.PIPE, text=True, check=True).stdout
        names = [line.split()[-1] for line in text.splitlines()]
        self.assertGreater(len(names), 200)
        self.assertEqual([name for name in names if not name.startswith("atoll_")], [])


if __name__ == "__main__":
    tap.main()
