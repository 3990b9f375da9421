"""An X screen of our own (Xvfb), what it shows, and GTK programs on it that tests drive."""
import contextlib
import json
import os
import signal
import struct
import subprocess
import time
import zlib

import guest

DEBIAN_PYTHON = "/usr/bin/python3"  # whose modules Debian's packages are
WIDTH, HEIGHT = 1280, 900


def rgb_lines(lines):
    """Of lines of B G R x: three bytes a pixel."""
    result = []
    for line in lines:
        rgb = bytearray(len(line) // 4 * 3)
        rgb[0::3], rgb[1::3], rgb[2::3] = line[2::4], line[1::4], line[0::4]
        result.append(bytes(rgb))
    return result


def write_png(path, lines):
    """RFC 2083: 8 bits of red, green and blue."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", len(lines[0]) // 3, len(lines), 8, 2, 0, 0, 0)) +
                  chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines))) + chunk(b"IEND", b""))


def end_session(process):
    """With what it has started: dbus-run-session leaves its program behind."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20 * guest.PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class Desktop:
    def __init__(self, folder):
        self.folder = folder
        reader, writer = os.pipe()
        with open(os.path.join(folder, "Xvfb.log"), "wb") as log:
            self.server = subprocess.Popen(["Xvfb", "-displayfd", str(writer), "-noreset", "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-fbdir", folder], pass_fds=[writer],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        os.close(writer)
        with os.fdopen(reader) as number:
            self.display = f":{number.readline().strip()}"
        home = os.path.join(folder, "home")
        os.mkdir(home)
        self.env = dict(os.environ, DISPLAY=self.display, HOME=home, XDG_RUNTIME_DIR=home, LC_ALL="C.UTF-8", GSETTINGS_BACKEND="memory", GTK_MODULES="gail:atk-bridge")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()

    def lines(self):
        """The screen: an XWD file of header, colour map and lines."""
        with open(os.path.join(self.folder, "Xvfb_screen0"), "rb") as file:
            data = file.read()
        head = struct.unpack(">25I", data[:100])
        start, stride, height = head[0] + 12 * head[19], head[12], head[5]
        return rgb_lines([data[start + stride * y:start + stride * (y + 1)] for y in range(height)])

    def shows(self, picture):
        """Whether these lines are somewhere, one below the other."""
        lines = self.lines()
        for top in range(len(lines) - len(picture) + 1):
            at = lines[top].find(picture[0])
            if at >= 0 and all(lines[top + y][at:at + len(line)] == line for y, line in enumerate(picture)):
                return True
        return False

    def area(self, x, y, width, height):
        return [line[3 * x:3 * (x + width)] for line in self.lines()[y:y + height]]

    def save(self, path):
        write_png(path, self.lines())

    @contextlib.contextmanager
    def program(self, *args):
        """Runs while the block does, in a D-Bus session of its own."""
        with open(os.path.join(self.folder, args[0] + ".log"), "ab") as log, \
                subprocess.Popen(["dbus-run-session", "--", *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True) as process:
            try:
                yield process
            finally:
                end_session(process)


class Gui:
    """A program that is driven by gui.py."""

    def __init__(self, desktop, *args, seconds=20):
        driver = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gui.py")
        self.log = os.path.join(desktop.folder, args[0] + ".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["dbus-run-session", "--", DEBIAN_PYTHON, driver, str(seconds * guest.PATIENCE), *args], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1, env=desktop.env, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        end_session(self.process)
        self.process.stdout.close()

    def ask(self, verb, *arguments):
        self.process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        while (line := self.process.stdout.readline()) and not line.startswith("answer "):
            pass
        answer = json.loads(line.split(" ", 1)[1]) if line else {"error": "the program has ended"}
        if isinstance(answer, dict):
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise AssertionError(f"{verb} {arguments}: {answer['error']}; the program said: {log.read()[-2000:]}")
        return answer


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds * guest.PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(what)
        time.sleep(0.2)
