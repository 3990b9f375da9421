"""A VNC viewer for tests: pixels, the text on a VGA text screen, and keys.  RFB 3.8, raw."""
import os
import re
import socket
import struct
import time

import guest

VGABIOS = "/usr/share/seabios/vgabios-stdvga.bin"
A = bytes.fromhex("000010386cc6c6fec6c6c6c600000000")  # the letter in the ROM's font of 8 x 16
SHIFTED = dict(zip('!@#$%^&*()_+{}|:"<>?~', "1234567890-=[]\\;',./`"))
NAMES = {"\n": 0xff0d, "\b": 0xff08, "\t": 0xff09, "\x1b": 0xff1b}


def rom_font():
    with open(VGABIOS, "rb") as f:
        rom = f.read()
    at = rom.index(A) - ord("A") * 16
    return {rom[at + c * 16:at + c * 16 + 16]: chr(c) for c in range(255, 31, -1)}


class Vnc:
    def __init__(self, port=None, path=None, seconds=10):
        end = time.monotonic() + seconds * guest.PATIENCE
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
                self.socket.connect(path or ("127.0.0.1", port))
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.socket.settimeout(seconds * guest.PATIENCE)
        assert self.get(12) == b"RFB 003.008\n"
        self.socket.sendall(b"RFB 003.008\n")
        types = self.get(self.get(1)[0])
        assert 1 in types, types
        self.socket.sendall(b"\1")
        assert self.get(4) == bytes(4)
        self.socket.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self.get(4))
        self.get(16)
        self.name = self.get(struct.unpack(">I", self.get(4))[0]).decode()
        self.socket.sendall(struct.pack(">BxHii", 2, 2, 0, -223))
        self.font = None
        self.cell = 9  # dots of a character: 9 in VGA's text modes, 8 on Linux's frame buffers

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def get(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise EOFError("the VNC server has hung up")
            data += more
        return data

    def screen(self):
        """All pixels now: a list of lines, each of bytes B G R 0."""
        lines = [bytearray(self.width * 4) for _ in range(self.height)]
        self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, 65535, 65535))
        kind, count = struct.unpack(">BxH", self.get(4))
        assert kind == 0, kind
        for _ in range(count):
            x, y, w, h, encoding = struct.unpack(">HHHHi", self.get(12))
            if encoding == -223:
                self.width, self.height = w, h
                lines = [bytearray(w * 4) for _ in range(h)]
                continue
            for line in range(y, y + h):
                lines[line][x * 4:(x + w) * 4] = self.get(w * 4)
        return lines

    def text(self):
        """What stands on the screen, taken as cells of 16 lines."""
        self.font = self.font or rom_font()
        lines = self.screen()
        rows = []
        for top in range(0, self.height - 15, 16):
            row = ""
            for left in range(0, self.width - 7, self.cell):
                cells = [[bytes(lines[top + y][(left + x) * 4:(left + x) * 4 + 3]) for x in range(8)] for y in range(16)]
                paper = cells[0][0]
                glyph = bytes(sum((cells[y][x] != paper) << (7 - x) for x in range(8)) for y in range(16))
                row += self.font.get(glyph, " " if not any(glyph) else "?")
            rows.append(row.rstrip())
        return "\n".join(rows)

    def expect(self, pattern, seconds=30):
        end = time.monotonic() + seconds * guest.PATIENCE
        while True:
            text = self.text()
            found = re.search(pattern, text)
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"no '{pattern}' on the screen within {seconds * guest.PATIENCE:g} s:\n{text}")
            time.sleep(0.3)

    def key(self, keysym, down=None):
        for state in (True, False) if down is None else (down,):
            self.socket.sendall(struct.pack(">BBxxI", 4, state, keysym))

    def type(self, text):
        for c in text:
            shift = c.isupper() or c in SHIFTED
            if shift:
                self.key(0xffe1, True)
            self.key(NAMES.get(c, ord(c)))
            if shift:
                self.key(0xffe1, False)
            time.sleep(0.05)

    def pointer(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))


def free_display():
    """A display number that nobody has now."""
    for n in range(40 + os.getpid() % 400, 600):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", 5900 + n))
                return n
            except OSError:
                continue
    raise AssertionError("no free VNC display")
