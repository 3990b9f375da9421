"""Drives atoll-vm as a user does: starts it, reads its console, types, and looks at how it ends."""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ATOLL_VM = os.environ.get("ATOLL_VM", os.path.join(ROOT, "build/bin/atoll-vm"))
LONG = os.environ.get("ATOLL_TEST_LONG") == "1"
# One slow or loaded host should not fail a test that only needs time.
PATIENCE = float(os.environ.get("ATOLL_TEST_PATIENCE", "3"))
sys.path.insert(0, os.path.join(ROOT, "scripts"))


class Guest:
    """A running atoll-vm whose standard streams are ours: pipes, or (terminal=True) a terminal of its own."""

    def __init__(self, *args, terminal=False, program=ATOLL_VM):
        self.args = [program, *args]
        self.text = ""  # all that it has printed
        self.seen = 0   # up to where expect() has looked
        if terminal:
            self.fd, self.slave = pty.openpty()
            self.process = subprocess.Popen(self.args, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True)
        else:
            self.slave = None
            ours, theirs = os.pipe()
            self.process = subprocess.Popen(self.args, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs)
            os.close(theirs)
            self.fd = ours

    def __enter__(self):
        return self

    def __exit__(self, kind=None, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if kind is None and "sandbox: refused" in self.text:
            self._fail("its sandbox is too narrow")
        os.close(self.fd)
        if self.slave is not None:
            os.close(self.slave)
        elif not self.process.stdin.closed:
            self.process.stdin.close()

    def _read(self, seconds):
        """False at the end of output.  A terminal does not say that its user is gone while we hold the other end too."""
        if not select.select([self.fd], [], [], min(max(seconds, 0), 1))[0]:
            return self.slave is None or self.process.poll() is None
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # a terminal whose last user is gone
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def _fail(self, what):
        raise AssertionError(f"{what}; {' '.join(self.args)} printed:\n{self.text[-3000:]}")

    def expect(self, pattern, seconds=30):
        """Waits until the console shows something that matches; returns the match."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            found = re.search(pattern, self.text[self.seen:])
            if found:
                self.seen += found.end()
                return found
            left = end - time.monotonic()
            if left <= 0:
                self._fail(f"no '{pattern}' within {seconds * PATIENCE:g} s")
            if not self._read(left):
                self.process.wait()
                self._fail(f"it ended (status {self.process.returncode}) before '{pattern}'")

    def expect_on_screen(self, text, seconds=30):
        """The same for a text on a VGA screen that firmware mirrors on the serial port: it moves the cursor wherever its timer
        finds it, within words too."""
        between = r"(?:\s|\x1b\[[0-9;?]*[A-Za-z])*"
        return self.expect(between.join(map(re.escape, text.replace(" ", ""))), seconds)

    def read_for(self, seconds):
        """Reads on for that long; True if it has ended by itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            self._read(0.1)
        return self.process.poll() is not None

    def send(self, text):
        fd = self.fd if self.slave is not None else self.process.stdin.fileno()
        os.write(fd, text.encode())

    def signal(self, signum):
        self.process.send_signal(signum)

    def wait(self, seconds=30):
        """Reads on until it ends; returns the exit status."""
        end = time.monotonic() + seconds * PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > end:
                self._fail(f"still running after {seconds * PATIENCE:g} s")
            if not self._read(0.1):
                self.process.wait(max(1, end - time.monotonic()))
        while select.select([self.fd], [], [], 0)[0]:
            before = len(self.text)
            if not self._read(0) or len(self.text) == before:
                break
        return self.process.returncode


def run(*args, seconds=30, stdin=subprocess.DEVNULL):
    """Runs atoll-vm to its end: (status, output with errors)."""
    result = subprocess.run([ATOLL_VM, *args], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                            timeout=seconds * PATIENCE, check=False)
    return result.returncode, result.stdout


def assemble(source, folder, origin=0):
    """16-bit code in GNU as syntax to flat bytes."""
    path = os.path.join(folder, "code")
    with open(path + ".s", "w", encoding="utf-8") as out:
        out.write(source)
    subprocess.run(["as", "--32", "-o", path + ".o", path + ".s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", hex(origin), "-e", hex(origin), "-o", path + ".bin", path + ".o"], check=True)
    with open(path + ".bin", "rb") as file:
        return file.read()


def boot_sector(source, folder, size=1 << 20):
    """A disk image whose first sector is `source` (which runs at 0x7c00); returns its path."""
    code = assemble(".code16\n" + source, folder, 0x7c00)
    assert len(code) <= 510, f"{len(code)} bytes are too many for a boot sector"
    path = os.path.join(folder, "disk.img")
    with open(path, "wb") as out:
        out.write(code.ljust(510, b"\0") + b"\x55\xaa")
        out.truncate(size)
    return path


# Prints a text on COM1 and says by isa-debug-exit that it is done: exit status (value << 1) | 1.
HELLO = """
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov $text, %si
next:
    lodsb
    test %al, %al
    jz done
    mov %al, %ah
    mov $0x3fd, %dx
wait:
    in %dx, %al
    test $0x20, %al
    jz wait
    mov $0x3f8, %dx
    mov %ah, %al
    out %al, %dx
    jmp next
done:
    mov $0x3fd, %dx
drain:
    in %dx, %al
    test $0x40, %al
    jz drain
    mov $0x501, %dx
    mov $3, %al
    out %al, %dx
    hlt
text: .asciz "hello from the boot sector\\r\\n"
"""
DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0x501,iosize=1"]


def temporary_folder():
    return tempfile.TemporaryDirectory(prefix="atoll-test-")


def have_kvm():
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


TERM = signal.SIGTERM
