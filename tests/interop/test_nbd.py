#!/usr/bin/env python3
"""Our NBD server with libnbd's and QEMU's clients, our client with nbdkit and qemu-nbd, TLS, lies; and images on a web server."""
import functools
import http.server
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import tap
from image import call, content, random_data

IMG = os.path.join(os.environ.get("ATOLL_BUILD", "build"), "bin/atoll-img")
SIZE = 8 << 20


def needs(*programs):
    return unittest.skipUnless(all(shutil.which(program) for program in programs), "needs " + " ".join(programs))


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="atoll-nbd-")
        self.addCleanup(self.folder.cleanup)
        self.data = random_data(9, SIZE)
        with open(self.path("a.raw"), "wb") as out:
            out.write(self.data)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def serve(self, *words, program=(IMG, "nbd"), name="socket"):
        """Starts a server on a unix socket and waits until it listens."""
        server = subprocess.Popen([*program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(self.end, server)
        for _ in range(300):
            if os.path.exists(self.path(name)) or server.poll() is not None:
                break
            time.sleep(.05)
        self.assertTrue(os.path.exists(self.path(name)), "the server listens")
        return server

    @staticmethod
    def end(server):
        if server.poll() is None:
            server.terminate()
        server.wait(60)
        server.stdout.close()

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.path('socket')}"


class Server(Folder):
    def setUp(self):
        super().setUp()
        call(IMG, "convert", "-f", "raw", "-O", "qcow2", self.path("a.raw"), self.path("a.qcow2"))

    def start(self, *words):
        return self.serve("-k", self.path("socket"), "-f", "qcow2", *words, self.path("a.qcow2"))

    @needs("nbdinfo", "nbdcopy")
    def test_libnbd(self):
        self.start("-t", "-e", "8", "-x", "disk", "-D", "words")
        said = call("nbdinfo", self.uri("disk"))
        for want in ("description: words", f"export-size: {SIZE}", "can_multi_conn: true", "can_zero: true", "base:allocation"):
            self.assertIn(want, said)
        call("nbdcopy", self.uri("disk"), self.path("out"))
        self.assertTrue(content(self.path("out")) == self.data)
        ends = [line.split() for line in call("nbdinfo", "--map", self.uri("disk")).splitlines()]
        self.assertEqual(sum(int(line[1]) for line in ends), SIZE)
        for off, length, kind, *_ in ends:
            if int(kind) & 2:
                self.assertFalse(any(self.data[int(off):int(off) + int(length)]), "what is called zero is zero")
        call("nbdcopy", "--flush", self.path("a.raw"), self.uri("disk"))
        self.assertNotEqual(subprocess.run(["nbdinfo", self.uri("other")], capture_output=True, check=False).returncode, 0)

    @needs("qemu-img", "qemu-io")
    def test_qemu(self):
        self.start("-t", "-e", "4")
        call("qemu-img", "convert", "-f", "raw", "-O", "raw", self.uri(), self.path("out"))
        self.assertTrue(content(self.path("out")) == self.data)
        call("qemu-io", "-f", "raw", "-c", "write -P 7 1M 70000", "-c", "write -z 3M 1M", "-c", "discard 5M 1M", "-c", "flush", "-c", "read -P 7 1M 70000",
             "-c", "read -P 0 3M 1M", self.uri())
        call("qemu-img", "compare", "-U", "-f", "raw", "-F", "qcow2", self.uri(), self.path("a.qcow2"))

    @needs("nbdinfo", "qemu-img")
    def test_bitmap(self):
        """What was written since a bitmap was made, as the server tells it: nbdinfo and QEMU's x-dirty-bitmap see the same."""
        path, name = self.path("a.qcow2"), "qemu:dirty-bitmap:since"
        call(IMG, "bitmap", "--add", "-g", "64k", "-f", "qcow2", path, "since")
        call(IMG, "io", "-f", "qcow2", "-c", "write -P 5 1M 100", "-c", "write -P 6 3M 128k", path)
        self.start("-t", "-e", "4", "-B", "since", "-A", "-r")
        said = call("nbdinfo", self.uri())
        self.assertIn(name, said)
        self.assertIn("qemu:allocation-depth", said)
        lines = [line.split()[:3] for line in call("nbdinfo", f"--map={name}", self.uri()).splitlines()]
        dirty = [(int(off), int(length)) for off, length, kind in lines if int(kind) & 1]
        self.assertEqual(dirty, [(1 << 20, 65536), (3 << 20, 131072)])
        self.assertEqual(sum(int(length) for _, length, _ in lines), SIZE)
        shown = json.loads(call("qemu-img", "map", "--output=json", "--image-opts",
                                f"driver=nbd,server.type=unix,server.path={self.path('socket')},x-dirty-bitmap={name}"))
        self.assertEqual([(e["start"], e["length"]) for e in shown if not e["data"]], dirty, "QEMU shows what is dirty as holes")
        lies = subprocess.run([IMG, "nbd", "-k", self.path("s2"), "-f", "qcow2", "-r", "-B", "none", path], capture_output=True, text=True, check=False)
        self.assertEqual(lies.returncode, 1)
        self.assertIn("none", lies.stderr)

    def test_ends_and_signals(self):
        server = self.start()
        call(IMG, "info", "-f", "raw", self.uri())
        self.assertEqual(server.wait(30), 0, "gone with its client")
        self.assertFalse(os.path.exists(self.path("socket")))
        server = self.start("-t")
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(30), 0)

    def test_fork(self):
        call(IMG, "nbd", "--fork", "--pid-file", self.path("pid"), "-t", "-k", self.path("socket"), "-f", "qcow2", self.path("a.qcow2"))
        pid = int(content(self.path("pid")))
        call(IMG, "convert", "-f", "raw", "-O", "raw", self.uri(), self.path("out"))
        self.assertTrue(content(self.path("out")) == self.data)
        os.kill(pid, signal.SIGTERM)
        for _ in range(200):
            if not os.path.exists(self.path("pid")):
                break
            time.sleep(.05)
        self.assertFalse(os.path.exists(self.path("pid")))
        self.assertIn("No such file", call(IMG, "nbd", "--fork", "-k", self.path("socket"), self.path("none"), ok=False))

    def test_read_only(self):
        self.start("-t", "-r")
        self.assertIn("read-only", call(IMG, "convert", "-n", "-f", "raw", "-O", "raw", self.path("a.raw"), self.uri(), ok=False))

    def test_port_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            said = call(IMG, "nbd", "-b", "127.0.0.1", "-p", port, "-f", "raw", self.path("a.raw"), ok=False)
            self.assertIn(str(port), said)
            self.assertIn("in use", said)

    def test_lies(self):
        """Nonsense in each phase: the server drops or refuses that client, and serves the next."""
        server = self.start("-t", "-e", "0")
        option = struct.pack(">Q", 0x49484156454F5054)
        go = option + struct.pack(">III", 7, 6, 0) + b"\0\0"
        request = lambda flags, command, off, length: struct.pack(">IHHQQI", 0x25609513, flags, command, 5, off, length)
        lies = [b"", b"\xff" * 64, struct.pack(">I", 0xff), b"\0\0\0\3" + b"x" * 100, b"\0\0\0\3" + option + struct.pack(">II", 7, 0xffffffff),
                b"\0\0\0\3" + option + struct.pack(">III", 7, 6, 0xffffffff) + b"\0\0", b"\0\0\0\3" + (option + struct.pack(">II", 99, 0)) * 600,
                b"\0\0\0\3" + option + struct.pack(">IIIII", 10, 12, 0, 0xffffffff, 0)]
        for command in range(9):
            for off, length in ((0, 0), (SIZE, 1), (2**64 - 1, 512), (0, 2**32 - 1), (SIZE - 1, 2)):
                lies.append(b"\0\0\0\3" + go + request(0xffff, command, off, length) + request(0, command, off, length))
        for lie in lies:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(.2)
                client.connect(self.path("socket"))
                try:
                    client.sendall(lie)
                    client.recv(65536)
                    client.recv(65536)
                except (BrokenPipeError, ConnectionResetError, TimeoutError):
                    pass
        self.assertIsNone(server.poll(), "it lives")
        call(IMG, "info", "-f", "raw", self.uri())


@needs("nbdkit")
class Client(Folder):
    def test_nbdkit(self):
        self.serve("-f", "-U", self.path("socket"), "file", self.path("a.raw"), program=("nbdkit",))
        call(IMG, "convert", "-f", "raw", "-O", "qcow2", self.uri(), self.path("b.qcow2"))
        call(IMG, "compare", "-f", "qcow2", "-F", "raw", self.path("b.qcow2"), self.path("a.raw"))
        call(IMG, "compare", "-f", "raw", "-F", "raw", f"nbd:unix:{self.path('socket')}", self.path("a.raw"))
        call(IMG, "compare", "--image-opts", f"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={self.path('socket')}",
             "driver=file,filename=" + self.path("a.raw"))

    def test_write(self):
        self.serve("-f", "-U", self.path("socket"), "memory", str(SIZE), program=("nbdkit",))
        call(IMG, "convert", "-n", "-f", "raw", "-O", "raw", self.path("a.raw"), self.uri())
        call(IMG, "compare", "-f", "raw", "-F", "raw", self.uri(), self.path("a.raw"))

    def test_qcow2_inside(self):
        """A format over NBD, made there."""
        self.serve("-f", "-U", self.path("socket"), "memory", str(4 * SIZE), program=("nbdkit",))
        call(IMG, "create", "-f", "qcow2", self.path("empty.qcow2"), SIZE)
        call(IMG, "convert", "-n", "-f", "raw", "-O", "raw", self.path("empty.qcow2"), self.uri())
        call(IMG, "convert", "-n", "-f", "raw", "-O", "qcow2", self.path("a.raw"), self.uri())
        call(IMG, "compare", "-f", "qcow2", "-F", "raw", self.uri(), self.path("a.raw"))

    def test_errors(self):
        self.assertIn("nbd://", call(IMG, "info", "nbd:nonsense", ok=False))
        self.assertIn("No such file", call(IMG, "info", "-f", "raw", self.uri(), ok=False))
        self.serve("-f", "-U", self.path("socket"), "--filter=error", "random", str(SIZE), "error-pread=EIO", "error-pread-rate=100%", program=("nbdkit",))
        self.assertIn("Input/output error", call(IMG, "convert", "-f", "raw", "-O", "raw", self.uri(), self.path("out"), ok=False))
        self.assertFalse(os.path.exists(self.path("out")))

    def test_server_dies(self):
        server = self.serve("-f", "-U", self.path("socket"), "--filter=delay", "random", str(SIZE), "rdelay=200ms", program=("nbdkit",))
        job = subprocess.Popen([IMG, "convert", "-f", "raw", "-O", "raw", "-S", "0", self.uri(), self.path("out")], stderr=subprocess.PIPE, text=True)
        time.sleep(.5)
        server.kill()
        said = job.communicate(timeout=60)[1]
        self.assertNotEqual(job.returncode, 0, said)
        self.assertFalse(os.path.exists(self.path("out")))


@needs("certtool", "nbdkit", "nbdinfo")
class Tls(Folder):
    def setUp(self):
        super().setUp()
        self.pki = self.path("pki")
        os.mkdir(self.pki)
        self.certificate("ca", "ca\ncert_signing_key\n")
        for name, use in (("server", "tls_www_server\nencryption_key\nsigning_key\ndns_name=localhost\nip_address=127.0.0.1\n"),
                          ("client", "tls_www_client\nencryption_key\nsigning_key\n")):
            self.certificate(name, use, "ca")

    def certificate(self, name, template, ca=None):
        with open(f"{self.pki}/{name}.info", "w") as out:
            out.write(f"cn = {name}\nexpiration_days = 2\n{template}")
        key, cert = f"{self.pki}/{name}-key.pem", f"{self.pki}/{name}-cert.pem"
        call("certtool", "--generate-privkey", "--key-type=ecdsa", "--outfile", key)
        signed = ["--generate-certificate", "--load-ca-certificate", f"{self.pki}/ca-cert.pem", "--load-ca-privkey", f"{self.pki}/ca-key.pem"] if ca else \
                 ["--generate-self-signed"]
        call("certtool", *signed, "--load-privkey", key, "--template", f"{self.pki}/{name}.info", "--outfile", cert)

    def test_our_server(self):
        self.serve("-t", "-e", "4", "-k", self.path("socket"), "-f", "raw", "--object", f"tls-creds-x509,id=tls0,endpoint=server,dir={self.pki}", "--tls-creds", "tls0",
                   self.path("a.raw"))
        uri = f"nbds+unix://localhost/?socket={self.path('socket')}&tls-certificates={self.pki}"
        self.assertIn("TLS", call("nbdinfo", uri))
        call("nbdcopy", uri, self.path("out"))
        self.assertTrue(content(self.path("out")) == self.data)
        self.assertNotEqual(subprocess.run(["nbdinfo", self.uri()], capture_output=True, check=False).returncode, 0, "nobody without TLS")

    def test_our_client(self):
        self.serve("-f", "-U", self.path("socket"), "--tls=require", f"--tls-certificates={self.pki}", "--tls-verify-peer", "file", self.path("a.raw"), program=("nbdkit",))
        call(IMG, "compare", "--object", f"tls-creds-x509,id=t,endpoint=client,dir={self.pki}", "--image-opts",
             f"driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={self.path('socket')},file.tls-creds=t,file.tls-hostname=localhost",
             "driver=file,filename=" + self.path("a.raw"))
        self.assertNotEqual(subprocess.run([IMG, "info", "-f", "raw", self.uri()], capture_output=True, check=False).returncode, 0)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Gives parts of files, which Python's own does not."""
    def send_head(self):
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            return self.send_error(404)
        size = os.path.getsize(path)
        first, last = 0, size - 1
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            first, last = (int(word) for word in wanted[6:].split("-"))
        self.send_response(206 if wanted else 200)
        if "norange" not in path:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        if self.command == "GET":
            with open(path, "rb") as file:
                file.seek(first)
                self.wfile.write(file.read(last - first + 1))
        return None

    def log_message(self, *_):
        pass


class Http(Folder):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, directory=self.folder.name))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}"

    def test_read(self):
        call(IMG, "convert", "-f", "raw", "-O", "qcow2", self.path("a.raw"), self.path("a.qcow2"))
        call(IMG, "compare", "-f", "qcow2", "-F", "raw", self.url("a.qcow2"), self.path("a.raw"))
        call(IMG, "convert", "-f", "raw", "-O", "raw", self.url("a.raw"), self.path("out"))
        self.assertTrue(content(self.path("out")) == self.data)

    def test_errors(self):
        self.assertIn("404", call(IMG, "info", "-f", "raw", self.url("none"), ok=False))
        os.rename(self.path("a.raw"), self.path("norange.raw"))
        self.assertIn("Accept-Ranges", call(IMG, "info", "-f", "raw", self.url("norange.raw"), ok=False))
        self.assertIn("read-only", call(IMG, "resize", "-f", "raw", self.url("none"), "1G", ok=False))


if __name__ == "__main__":
    tap.main()
