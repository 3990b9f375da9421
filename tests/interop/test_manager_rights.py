#!/usr/bin/env python3
"""The host's daemon and who may do what: its socket is root's, the one beside it everybody's, who may look and not touch."""
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest

import manager
import tap

TEST, NOBODY = "test:///default", ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


@unittest.skipUnless(not os.geteuid() and shutil.which("virsh") and shutil.which("setpriv"), "needs root, virsh and setpriv")
class Rights(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="atolld-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder)
        os.chmod(self.folder, 0o711)
        self.sockets = [os.path.join(self.folder, "run", name) for name in ("atoll-sock", "atoll-sock-ro")]
        folders = [word for name in ("config", "state", "log") for word in (f"--{name}-dir", os.path.join(self.folder, name))]
        self.daemon = subprocess.Popen([manager.ATOLLD, *folders, "--runtime-dir", os.path.dirname(self.sockets[0])], stdin=subprocess.DEVNULL)
        self.addCleanup(lambda: (self.daemon.send_signal(signal.SIGTERM), self.daemon.wait()))
        end = time.monotonic() + 30 * manager.guest.PATIENCE
        while not all(os.path.exists(path) for path in self.sockets):
            self.assertLess(time.monotonic(), end, "atolld does not listen")
            time.sleep(0.05)

    def virsh(self, socket, *args, user=(), uri="qemu:///system"):
        scheme, rest = uri.split(":", 1)
        at = f"{scheme}+unix:{rest}?socket={socket}" if scheme == "test" else f"{uri}?socket={socket}"
        return subprocess.run([*user, "virsh", "-q", "-c", at, *args], cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env={**os.environ, "XDG_CACHE_HOME": "/nonexistent", "HOME": "/nonexistent"})

    def works(self, words, *args, **named):
        done = self.virsh(*args, **named)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(words, done.stdout)

    def fails(self, words, *args, **named):
        done = self.virsh(*args, **named)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, words)

    def test_sockets(self):
        own, looking = self.sockets
        self.assertEqual([stat.S_IMODE(os.stat(path).st_mode) for path in self.sockets], [0o660, 0o666])
        self.works("qemu:///system", own, "uri")
        self.works("running", own, "domstate", "test", uri=TEST)
        self.fails("Permission denied", own, "uri", user=NOBODY)
        for user in ((), NOBODY):
            self.works("qemu:///system", looking, "-r", "uri", user=user)
            self.works("running", looking, "-r", "domstate", "test", uri=TEST, user=user)
            # What counts is the socket, and not what the client says of itself.
            for flag in ("-r", "-q"):
                self.fails("read.only", looking, flag, "suspend", "test", uri=TEST, user=user)
                self.fails("read.only", looking, flag, "pool-define-as", "x", "dir", "--target", "/x", uri=TEST, user=user)
        self.works("running", own, "domstate", "test", uri=TEST)


if __name__ == "__main__":
    tap.main()
