"""atolld in folders of its own, and stock virsh on it."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import guest

ATOLLD = os.path.join(os.path.dirname(guest.ATOLL_VM), "atolld")


class Daemon:
    """A session daemon; `kill()` and `start()` leave its folders as they are."""

    def __init__(self, *args, prefix=()):
        self.folder = tempfile.mkdtemp(prefix="atolld-", dir="/tmp")
        self.socket = os.path.join(self.folder, "run", "atoll-sock")
        self.args, self.prefix = args, list(prefix)
        self.process = None
        self.start()

    def start(self):
        folders = [word for name in ("config", "state", "runtime", "log") for word in (f"--{name}-dir", os.path.join(self.folder, "run" if name == "runtime" else name))]
        with open(os.path.join(self.folder, "out"), "ab") as out:
            self.process = subprocess.Popen([*self.prefix, ATOLLD, "--session", *folders, *self.args], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            env={**os.environ, "G_MESSAGES_DEBUG": "all"})
        end = time.monotonic() + 10 * guest.PATIENCE
        while not os.path.exists(self.socket) or not self.alive():
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError(f"atolld does not listen: {self.said()}")
            time.sleep(0.02)

    def alive(self):
        return self.virsh("uri", uri="test:///default", check=False).returncode == 0

    def said(self):
        with open(os.path.join(self.folder, "out"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait()

    def stop(self):
        self.kill(signal.SIGTERM)
        shutil.rmtree(self.folder)

    def uri(self, uri):
        scheme, rest = uri.split(":", 1)
        return f"{scheme}+unix:{rest}?socket={self.socket}" if scheme == "test" else f"{uri}?socket={self.socket}"

    def virsh(self, *args, uri="qemu:///session", check=True, readonly=False, text=None):
        done = subprocess.run(["virsh", "-q", *(["-r"] if readonly else []), "-c", self.uri(uri), *args], text=True, input=text or "", stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60 * guest.PATIENCE, check=False)
        if check and done.returncode:
            raise AssertionError(f"virsh {args}: {done.stdout}{self.said()[-2000:]}")
        return done.stdout.strip() if check else done


class Line:
    """A machine's serial line at a unix socket, read as guest.Guest reads one."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(1)
        self.text, self.seen = "", 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def expect(self, pattern, seconds):
        end = time.monotonic() + seconds * guest.PATIENCE
        while not (found := re.search(pattern, self.text[self.seen:])):
            if time.monotonic() > end:
                raise AssertionError(f"no '{pattern}' within {seconds * guest.PATIENCE:g} s; the line said:\n{self.text[-3000:]}")
            with contextlib.suppress(TimeoutError):
                self.text += self.socket.recv(1 << 16).decode(errors="replace")
        self.seen += found.end()
        return found

    def send(self, text):
        self.socket.sendall(text.encode())
