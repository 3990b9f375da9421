#!/usr/bin/env python3
"""atolld over TCP: stock virsh by qemu+tls://, and ours by atoll+tls://, with certificates of one authority; those of others, of none and of names that are not
allowed stay outside, and clients that never finish their handshake hold nobody."""
import os
import shutil
import socket
import subprocess
import unittest

import guest
import manager
import tap

ATOLL = os.path.join(os.path.dirname(manager.ATOLLD), "atoll")


def certtool(*words, template=""):
    path = words[words.index("--outfile") + 1] + ".template"
    with open(path, "w", encoding="utf-8") as out:
        out.write(template)
    more = ["--template", path] if template else []
    subprocess.run(["certtool", *words, *more], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=120)


class Authority:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        self.key, self.cert = os.path.join(folder, "cakey.pem"), os.path.join(folder, "cacert.pem")
        certtool("--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", self.key)
        certtool("--generate-self-signed", "--load-privkey", self.key, "--outfile", self.cert, template="cn = An authority\nca\ncert_signing_key\nexpiration_days = 30\n")

    def issue(self, cert, key, template):
        certtool("--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", key)
        certtool("--generate-certificate", "--load-ca-certificate", self.cert, "--load-ca-privkey", self.key, "--load-privkey", key, "--outfile", cert,
                 template=template + "expiration_days = 30\nsigning_key\nencryption_key\n")

    def client(self, name, ca=None):
        """A folder as ?pkipath= wants it."""
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        self.issue(os.path.join(folder, "clientcert.pem"), os.path.join(folder, "clientkey.pem"), f"cn = {name}\norganization = Atoll\ntls_www_client\n")
        shutil.copy(ca or self.cert, os.path.join(folder, "cacert.pem"))
        return folder


@unittest.skipUnless(shutil.which("virsh") and shutil.which("certtool"), "needs virsh and certtool")
class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = manager.tempfile.mkdtemp(prefix="atoll-pki-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.authority, cls.stranger = Authority(os.path.join(cls.folder, "CA")), Authority(os.path.join(cls.folder, "other"))
        private = os.path.join(cls.folder, "libvirt/private")
        os.makedirs(private)
        cls.authority.issue(os.path.join(cls.folder, "libvirt/servercert.pem"), os.path.join(private, "serverkey.pem"),
                            "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\n")
        cls.friend, cls.guest = cls.authority.client("friend"), cls.authority.client("guest")
        cls.foe = cls.stranger.client("foe", cls.authority.cert)

    def start(self, *args):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.daemon = manager.Daemon("--pki-dir", self.folder, "--tls", f"127.0.0.1:{self.port}", *args)
        self.addCleanup(self.daemon.stop)

    def uri(self, scheme, pki, path="session"):
        return f"{scheme}+tls://localhost:{self.port}/{path}?pkipath={pki}"

    def run_client(self, program, uri, *words):
        return subprocess.run([program, "-c", uri, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              timeout=60 * guest.PATIENCE)

    def works(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + self.daemon.said()[-2000:])
        return done.stdout

    def test_virsh(self):
        self.start()
        uri = self.uri("qemu", self.friend)
        self.assertIn("/session", self.works(self.run_client("virsh", uri, "uri")))
        self.works(self.run_client("virsh", uri, "list", "--all"))
        test = self.uri("test", self.friend, "default")
        self.assertRegex(self.works(self.run_client("virsh", test, "list")), "test +running")
        self.works(self.run_client("virsh", test, "suspend", "test"))
        self.assertEqual(self.daemon.virsh("domstate", "test", uri="test:///default"), "paused")
        self.assertRegex(self.run_client("virsh", test, "-r", "resume", "test").stdout, "read.only")

    def test_bytes(self):
        """Megabytes up and down arrive as they went."""
        self.start()
        pool, data = os.path.join(self.daemon.folder, "pool"), os.urandom(9 << 20)
        os.mkdir(pool)
        with open(os.path.join(self.daemon.folder, "up"), "wb") as out:
            out.write(data)
        uri = self.uri("qemu", self.friend)
        for words in (("pool-create-as", "p", "dir", "--target", pool), ("vol-create-as", "p", "v", "9M"), ("vol-upload", "v", self.daemon.folder + "/up", "--pool", "p"),
                      ("vol-download", "v", self.daemon.folder + "/down", "--pool", "p")):
            self.works(self.run_client("virsh", uri, *words))
        for name in ("pool/v", "down"):
            with open(os.path.join(self.daemon.folder, name), "rb") as file:
                self.assertEqual(file.read(), data)

    def test_atoll(self):
        self.start()
        self.assertRegex(self.works(self.run_client(ATOLL, self.uri("test", self.friend, "default"), "list")), "test +running")
        self.works(self.run_client(ATOLL, self.uri("atoll", self.friend), "list", "--all"))
        wrong = self.run_client(ATOLL, self.uri("atoll", self.friend).replace("localhost", "127.0.0.2"), "list")
        self.assertNotEqual(wrong.returncode, 0)

    def test_foes(self):
        self.start()
        refused = self.run_client(ATOLL, self.uri("atoll", self.foe), "list")  # virsh does not even try: it looks at its own certificate first
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("has a certificate that is refused", self.daemon.said())
        bare = subprocess.run(["gnutls-cli", "--insecure", "-p", str(self.port), "localhost"], input="x" * 100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, timeout=60)
        self.assertNotEqual(bare.returncode, 0)
        with socket.create_connection(("127.0.0.1", self.port)) as s:  # no TLS at all
            s.sendall(b"\0\0\0\x1c" * 100)
            s.settimeout(60)
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        self.works(self.run_client("virsh", self.uri("qemu", self.friend), "list"))

    def test_names(self):
        self.start("--tls-allow", "*CN=friend*")
        self.works(self.run_client("virsh", self.uri("qemu", self.friend), "list"))
        refused = self.run_client("virsh", self.uri("qemu", self.guest), "list")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("no --tls-allow names", self.daemon.said())

    def test_silent_strangers(self):
        """Of those who say nothing only some are kept; who has a certificate and a connection is not held, and the others go after a while."""
        self.start()
        silent = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(80)]
        self.assertEqual(self.daemon.virsh("list"), "")
        silent[-1].settimeout(60)
        self.assertEqual(silent[-1].recv(1), b"")  # turned away
        silent[0].settimeout(120)
        self.assertEqual(silent[0].recv(1), b"")  # after RPC_HANDSHAKE_S
        for s in silent:
            s.close()
        self.works(self.run_client("virsh", self.uri("qemu", self.friend), "list"))

    def test_wrong_settings(self):
        self.start()
        for words, args in (("cacert.pem", ["--pki-dir", "/nonexistent", "--tls", "127.0.0.1:0"]), ("no IP address", ["--pki-dir", self.folder, "--tls", "nowhere:1"]),
                            (f"port {self.port}", ["--pki-dir", self.folder, "--tls", f"127.0.0.1:{self.port}"])):
            done = subprocess.run([manager.ATOLLD, "--session", "--socket", os.path.join(self.folder, "sock"), *self.daemon.process.args[2:10], *args], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(words, done.stdout)


if __name__ == "__main__":
    tap.main()
