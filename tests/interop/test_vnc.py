#!/usr/bin/env python3
"""VNC by viewers that are not ours: what vncsnapshot and gvnccapture see is what the guest shows; keys typed into xtigervncviewer
under Xvfb reach the guest, in the clear and by VeNCrypt with X.509 certificates."""
import contextlib
import os
import re
import struct
import subprocess
import time
import unittest
import zlib

import desktop
import guest
import tap
import vnc

# Says on screen and serial port what is typed.
ECHO = """
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7000, %sp
    sti
    cld
    mov $text, %si
next:
    lodsb
    test %al, %al
    jz type
    call say
    jmp next
type:
    xor %ah, %ah
    int $0x16
    call say
    jmp type
say:
    mov %al, %cl
    mov $0x0e, %ah
    mov $7, %bx
    int $0x10
    mov $0x3fd, %dx
wait:
    in %dx, %al
    test $0x20, %al
    jz wait
    mov %cl, %al
    mov $0x3f8, %dx
    out %al, %dx
    ret
text: .asciz "Type: "
"""
WORDS = "Hello [World] (42)!"
PASSWORD = "geheim"


def run(*args, env=None):
    return subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * guest.PATIENCE, env=env, check=False)


def png_lines(path):
    """Lines of R G B, of a PNG with 8 bits of each and perhaps an alpha (PNG specification, 9.2: filters)."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    at, packed = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + n]
        if kind == b"IHDR":
            width, _, bits, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        at += n + 12
    assert bits == 8 and colour in (2, 6), (bits, colour)
    size = 4 if colour == 6 else 3
    raw, stride = zlib.decompress(packed), width * size + 1
    lines, above = [], bytes(width * size)
    for start in range(0, len(raw), stride):
        above = unfilter(raw[start], bytearray(raw[start + 1:start + stride]), above, size)
        lines.append(b"".join(bytes(above[x:x + 3]) for x in range(0, len(above), size)))
    return lines


def unfilter(kind, line, above, size):
    for i, value in enumerate(line):
        a, b, c = line[i - size] if i >= size else 0, above[i], above[i - size] if i >= size else 0
        near = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        line[i] = (value + (0, a, b, (a + b) // 2, near)[kind]) & 255
    return line


def jpeg_lines(path):
    """Lines of R G B, by djpeg."""
    ppm = subprocess.run(["djpeg", "-ppm", path], stdout=subprocess.PIPE, check=True).stdout
    kind, size, _, data = ppm.split(b"\n", 3)
    assert kind == b"P6", kind
    width = int(size.split()[0])
    return [data[at:at + 3 * width] for at in range(0, len(data), 3 * width)]


def certificates(folder):
    """A CA and the certificate of 127.0.0.1, as tls-creds-x509 wants them named."""
    os.mkdir(folder)
    authority, server = os.path.join(folder, "ca"), os.path.join(folder, "server")
    for path, lines in ((authority, ["cn = atoll test CA", "ca", "cert_signing_key"]),
                        (server, ["cn = 127.0.0.1", "ip_address = 127.0.0.1", "tls_www_server", "signing_key", "encryption_key"])):
        with open(path + ".info", "w", encoding="ascii") as out:
            out.write("\n".join([*lines, "expiration_days = 30", ""]))
        subprocess.run(["certtool", "--generate-privkey", "--key-type", "ecdsa", "--outfile", path + "-key.pem"], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        signer = [] if path == authority else ["--load-ca-certificate", authority + "-cert.pem", "--load-ca-privkey", authority + "-key.pem"]
        subprocess.run(["certtool", "--generate-certificate" if signer else "--generate-self-signed", "--load-privkey", path + "-key.pem", "--template", path + ".info", *signer,
                        "--outfile", path + "-cert.pem"], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return folder


class Case(unittest.TestCase):
    def setUp(self):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.display = vnc.free_display()

    def machine(self, options="", *args):
        return guest.Guest("-accel", "dbt", "-m", "64", "-net", "none", "-vnc", f"127.0.0.1:{self.display}{options}", "-serial", "stdio", "-monitor", "none", "-name", "typed",
                           "-drive", f"file={guest.boot_sector(ECHO, self.folder)},format=raw", *args)


class Pictures(Case):
    def shown(self, viewer):
        """The guest's screen as our own viewer has it, in RFB's raw encoding; the text cursor stands still."""
        viewer.expect("Type:", 60)
        return desktop.rgb_lines(viewer.screen())

    def test_gvnccapture(self):
        """The same pixels."""
        path = os.path.join(self.folder, "screen.png")
        with self.machine(), vnc.Vnc(5900 + self.display) as viewer:
            want = self.shown(viewer)
            done = run("gvnccapture", f"127.0.0.1:{self.display}", path)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual(png_lines(path), want)

    def test_vncsnapshot(self):
        """In each encoding the same file, and but for JPEG's losses the same pixels."""
        path, files = os.path.join(self.folder, "screen.jpg"), set()
        with self.machine(), vnc.Vnc(5900 + self.display) as viewer:
            want = self.shown(viewer)
            for encodings in "raw", "zlib", "tight":
                done = run("vncsnapshot", "-encodings", encodings, "-quality", "100", f"127.0.0.1:{self.display}", path)
                self.assertEqual(done.returncode, 0, done.stdout)
                with open(path, "rb") as file:
                    files.add(file.read())
            self.assertEqual(len(files), 1)
            got = jpeg_lines(path)
            self.assertEqual([len(line) for line in got], [len(line) for line in want])
            self.assertGreater(max(b"".join(want)), 128)  # not an empty screen
            # Light text on black; chroma is halved, so that a letter's edge is off by more than its middle.
            self.assertLess(sum(abs(a - b) for one, two in zip(got, want) for a, b in zip(one, two)) / sum(map(len, want)), 1)
            wrong = sum((a > 64) != (b > 64) for one, two in zip(got, want) for a, b in zip(one, two))
            self.assertLess(wrong, 40)

    def test_no_tls(self):
        """A viewer without TLS does not get in where there is TLS, and the machine stays."""
        path = os.path.join(self.folder, "screen.jpg")
        tls = ["-object", f"tls-creds-x509,id=t,dir={certificates(os.path.join(self.folder, 'pki'))},endpoint=server,verify-peer=off"]
        with self.machine(",tls-creds=t", *tls) as vm:
            vm.expect("Type: ", 60)
            self.assertNotEqual(run("vncsnapshot", f"127.0.0.1:{self.display}", path).returncode, 0)
            self.assertFalse(os.path.exists(path))
            self.assertIsNone(vm.process.poll())


class TigerVnc(Case):
    def setUp(self):
        super().setUp()
        self.desktop = desktop.Desktop(self.folder)
        self.addCleanup(self.desktop.__exit__)
        self.env = self.desktop.env

    @contextlib.contextmanager
    def program(self, *args, env=None):
        """Runs while the block does; its output goes to a file named after it."""
        with open(os.path.join(self.folder, args[0] + ".log"), "wb") as log, \
                subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env) as process:
            try:
                yield process
            finally:
                process.kill()

    def said(self, name):
        """Nothing, if it has not run."""
        path = os.path.join(self.folder, name + ".log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def until(self, condition, what):
        end = time.monotonic() + 60 * guest.PATIENCE
        while not (result := condition()):
            self.assertLess(time.monotonic(), end, f"{what}; the viewer said: {self.said('xtigervncviewer')[-2000:]}")
            time.sleep(0.1)
        return result

    def viewer(self, *options, **more):
        # Shared, or the server lets others go; and a display above 99 it takes for a port.
        return self.program("xtigervncviewer", "-Log", "*:stderr:30", "-Shared", *options, f"127.0.0.1::{5900 + self.display}", env=dict(self.env, **more))

    def window(self):
        """The guest's screen, by the guest's name; the viewer's windows of questions have others."""
        return self.until(lambda: run("xdotool", "search", "--onlyvisible", "--name", "typed", env=self.env).stdout.split(), "no window of the viewer's")[0]

    def type(self, vm):
        """Into the window; the viewer takes keys from the first click on."""
        window = self.window()
        run("xdotool", "windowfocus", "--sync", window, "mousemove", "--window", window, "700", "380", "click", "1", env=self.env)
        vm.read_for(1)
        done = run("xdotool", "type", "--delay", "60", WORDS, env=self.env)
        self.assertEqual(done.returncode, 0, done.stdout)
        vm.expect(re.escape(WORDS), 60)

    def test_in_the_clear(self):
        with self.machine() as vm, vnc.Vnc(5900 + self.display) as watcher:
            vm.expect("Type: ", 60)
            for encoding in "Tight", "ZRLE", "Raw":
                with self.subTest(encoding=encoding), self.viewer("-AutoSelect=0", "-PreferredEncoding", encoding):
                    self.window()
                    screen = desktop.rgb_lines(watcher.screen())
                    text = next(y for y, line in enumerate(screen) if any(line))
                    self.until(lambda: self.desktop.shows(screen[text:text + 16]), "the guest's text is not in the viewer's window")
            with self.viewer():
                self.type(vm)
                watcher.expect(re.escape("Type: " + WORDS), 60)

    def secured(self, *args, password=""):
        self.pki = certificates(os.path.join(self.folder, "pki"))
        return self.machine(",tls-creds=t" + password, "-object", f"tls-creds-x509,id=t,dir={self.pki},endpoint=server,verify-peer=off", *args)

    def test_x509(self):
        with self.secured() as vm:
            vm.expect("Type: ", 60)
            with self.viewer("-SecurityTypes", "X509None", "-X509CA", self.pki + "/ca-cert.pem"):
                self.type(vm)
            self.assertIn("X509None", self.said("xtigervncviewer"))

    def with_password(self):
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w", encoding="ascii") as out:
            out.write(PASSWORD)
        return self.secured("-object", f"secret,id=p,file={secret}", password=",password-secret=p")

    def test_x509_and_password(self):
        with self.with_password() as vm:
            vm.expect("Type: ", 60)
            authority = ["-SecurityTypes", "X509Vnc", "-X509CA", self.pki + "/ca-cert.pem"]
            with self.viewer(*authority, VNC_PASSWORD="falsch"):
                self.until(lambda: "Authentication fail" in self.said("xtigervncviewer"), "a wrong password opens, or nothing is said")
            with self.viewer(*authority, VNC_PASSWORD=PASSWORD):
                self.type(vm)

    def test_x509_of_another_authority(self):
        """The viewer does not take the server for the one that it was told of."""
        with self.secured() as vm:
            vm.expect("Type: ", 60)
            other = certificates(os.path.join(self.folder, "other"))
            with self.viewer("-SecurityTypes", "X509None", "-X509CA", other + "/ca-cert.pem"):
                self.until(lambda: "issuer" in self.said("xtigervncviewer") or run("xdotool", "search", "--onlyvisible", "--name", "ertificate", env=self.env).stdout, "no doubt about the certificate")
                self.assertFalse(run("xdotool", "search", "--onlyvisible", "--name", "typed", env=self.env).stdout)


if __name__ == "__main__":
    tap.main()
