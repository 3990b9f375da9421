#!/usr/bin/env python3
"""atolld against what is wrong: definitions, hosts, clients and machines.  Each is answered by an error that names its object, and the others go on."""
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
import unittest

import guest
import manager
import tap

DOMAIN = """<domain type='{kind}'><name>{name}</name>{uuid}<memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices>{devices}</devices></domain>"""
DISK = "<disk type='file'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk>"
REMOTE = 0x20008086
ATOLL_IMG = os.path.join(os.path.dirname(guest.ATOLL_VM), "atoll-img")


def frame(procedure, serial, body=b"", kind=0, status=0, program=REMOTE, length=None):
    return struct.pack(">IIIiIII", 28 + len(body) if length is None else length, program, 1, procedure, kind, serial, status) + body


OPEN = frame(1, 0, b"\0\0\0\1" + struct.pack(">I", 15) + b"test:///default\0" + b"\0\0\0\0")


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Wrong(unittest.TestCase):
    def setUp(self):
        self.daemon = manager.Daemon()
        self.addCleanup(self.daemon.stop)
        self.addCleanup(self.end_all)

    def end_all(self):
        for name in self.virsh("list", "--name").split():
            self.virsh("destroy", name, check=False)

    def virsh(self, *args, **named):
        return self.daemon.virsh(*args, **named)

    def path(self, name):
        return os.path.join(self.daemon.folder, name)

    def xml(self, name, devices="", kind="qemu", uuid=""):
        with open(self.path(name + ".xml"), "w", encoding="utf-8") as out:
            out.write(DOMAIN.format(name=name, kind=kind, devices=devices, uuid=uuid))
        return self.path(name + ".xml")

    def image(self, name):
        with open(self.path(name), "wb") as out:
            out.truncate(1 << 20)
        return self.path(name)

    def refused(self, words, *args, **named):
        done = self.virsh(*args, check=False, **named)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(words, done.stdout)
        return done.stdout

    # ---- documents
    def test_documents(self):
        bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>" + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi")) + "]>"
        outside = "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
        deep = "<a>" * 5000 + "</a>" * 5000
        for text in ("", "<", "<domain", "<domain type='qemu'><name>x", "\0\0\0", "<domain/>", "<pool/>", "<a>" * 100000, bomb + "<domain type='qemu'><name>&i;</name></domain>",
                     outside + "<domain type='qemu'><name>&a;</name></domain>", f"<domain type='qemu'><name>x</name><memory>65536</memory>{deep}</domain>",
                     "<domain type='qemu'><name>" + "n" * 5000 + "</name><memory>65536</memory></domain>"):
            with open(self.path("wrong.xml"), "w", encoding="utf-8") as out:
                out.write(text)
            for verb in ("define", "create", "pool-define", "net-define"):
                start = time.monotonic()
                done = self.virsh(verb, self.path("wrong.xml"), check=False)
                self.assertNotEqual(done.returncode, 0, f"{verb} {text[:80]}")
                self.assertNotIn("root:", done.stdout)
                self.assertLess(time.monotonic() - start, 30)
        self.assertEqual(self.virsh("list", "--all", "--name"), "")

    def test_volume_names(self):
        os.mkdir(self.path("pool"))
        self.virsh("pool-create-as", "p", "dir", "--target", self.path("pool"))
        before = sorted(os.listdir(self.daemon.folder))
        for name in ("../out", "a/b", "/tmp/out", "..", ".", "", "a\nb", "n" * 300, ".hidden"):
            self.assertNotEqual(self.virsh("vol-create-as", "p", name, "1M", check=False).returncode, 0, name)
        os.symlink("/etc/passwd", self.path("pool/link"))
        self.virsh("pool-refresh", "p")
        done = self.virsh("vol-delete", "link", "p", check=False)
        self.assertTrue(os.path.exists("/etc/passwd"), done.stdout)
        self.assertEqual(sorted(name for name in os.listdir(self.daemon.folder)), before)
        self.assertLessEqual(set(os.listdir(self.path("pool"))), {"link"})

    # ---- definitions that are at odds
    def test_twice(self):
        self.virsh("define", self.xml("one", uuid="<uuid>00000000-0000-4000-8000-000000000001</uuid>"))
        self.refused("'one'", "define", self.xml("two", uuid="<uuid>00000000-0000-4000-8000-000000000001</uuid>"))
        self.refused("already exists", "define", self.xml("one", uuid="<uuid>00000000-0000-4000-8000-000000000002</uuid>"))
        self.virsh("start", "one")
        self.refused("already", "create", self.xml("one"))

    def test_one_mac(self):
        card = "<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>"
        self.refused("52:54:00:11:22:33", "create", self.xml("both", card + card))
        self.assertEqual(self.virsh("list", "--all", "--name"), "")

    def test_one_disk_in_two_machines(self):
        disk = DISK.format(path=self.image("disk.raw"))
        self.virsh("create", self.xml("first", disk))
        said = self.refused(self.path("disk.raw"), "create", self.xml("second", disk))
        self.assertRegex(said, "has it open")
        self.assertEqual(self.virsh("list", "--name"), "first")

    # ---- a host that has not what is wanted
    def test_missing_image(self):
        self.virsh("define", self.xml("m", DISK.format(path="/nowhere/disk.raw")))
        self.refused("/nowhere/disk.raw", "start", "m")
        self.assertEqual(self.virsh("domstate", "m"), "shut off")

    def test_port_taken(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            self.refused(str(port), "create", self.xml("v", f"<graphics type='vnc' port='{port}' autoport='no' listen='127.0.0.1'/><video><model type='vga'/></video>"))
        self.assertEqual(self.virsh("list", "--all", "--name"), "")

    @unittest.skipIf(os.access("/dev/kvm", os.R_OK | os.W_OK), "this host has KVM")
    def test_no_kvm(self):
        self.assertIn("qemu", self.refused("/dev/kvm", "create", self.xml("k", kind="kvm")))

    @unittest.skipUnless(not os.geteuid() and os.path.ismount("/proc"), "needs root for a full disk")
    def test_disk_full(self):
        """While a definition is written the disk is full: the old one stays, whole."""
        folder = self.path("config")
        self.daemon.kill(signal.SIGTERM)
        shutil.rmtree(folder)
        os.mkdir(folder)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            self.daemon.start()
            self.skipTest(f"no tmpfs can be mounted: {done.stdout.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=False)
        self.daemon.start()
        self.virsh("define", self.xml("kept"))
        before = self.virsh("dumpxml", "kept")
        with contextlib.suppress(OSError), open(os.path.join(folder, "filler"), "wb") as out:
            while True:
                out.write(bytes(512))
                out.flush()
        self.refused("", "define", self.xml("new", "<serial type='null'/>" * 200))
        self.refused("", "desc", "kept", "--config", "--new-desc", "x" * 60000)
        self.assertEqual(self.virsh("dumpxml", "kept"), before)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("list", "--all", "--name"), "kept")
        self.assertEqual(self.virsh("dumpxml", "kept"), before)
        os.unlink(os.path.join(folder, "filler"))
        self.virsh("define", self.xml("new"))

    def test_half_a_file(self):
        """What a power cut may have left: it is told of, and left alone, and the others are there."""
        self.virsh("define", self.xml("good"))
        self.daemon.kill()
        with open(self.path("config/domains/bad.xml"), "w", encoding="utf-8") as out:
            out.write("<domain type='qemu'><name>ba")
        with open(self.path("config/domains/empty.xml"), "w", encoding="utf-8"):
            pass
        with open(self.path("config/domains/.good.xml.tmp"), "w", encoding="utf-8") as out:
            out.write("x")
        self.daemon.start()
        self.assertEqual(self.virsh("list", "--all", "--name"), "good")
        self.assertIn("'bad' cannot be read", self.daemon.said())
        self.assertTrue(os.path.exists(self.path("config/domains/bad.xml")))

    # ---- clients
    def dial(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.daemon.socket)
        s.settimeout(60)
        self.addCleanup(s.close)
        return s

    def test_clients(self):
        """Half a packet, lengths and counts that cannot be, wrong XDR, unknown programs: cut off or answered, and the next is served."""
        for said, answered in ((b"\0\0", False), (frame(1, 0)[:20], False), (frame(1, 0, length=5), None), (frame(1, 0, length=0xffffffff), None),
                               (frame(1, 0, b"\0\0\0\1\xff\xff\xff\xff"), True), (frame(1, 0, b"\0\0\0\7"), True), (frame(1, 0, program=1), True), (frame(99999, 0), True),
                               (OPEN + frame(316, 1, b"\x7f\xff\xff\xff\0\0\0\0"), True), (OPEN + frame(273, 1, b"\0\0\0\1\x7f\xff\xff\xff"), True),
                               (frame(1, 0, kind=77), None), (os.urandom(5000), None), (OPEN + frame(209, 1, b"\xff" * 400), True)):
            s = self.dial()
            s.sendall(said)
            if answered is None:  # cut off
                with contextlib.suppress(ConnectionResetError):
                    while s.recv(65536):
                        pass
            elif answered:
                self.assertGreater(len(s.recv(65536)), 27)
            self.assertIn("running", self.virsh("list", uri="test:///default"))
            s.close()

    def test_client_that_never_reads(self):
        s = self.dial()
        s.sendall(OPEN)
        s.setblocking(False)
        ask = frame(7, 1) * 1000  # GET_CAPABILITIES: kilobytes each
        end, sent = time.monotonic() + 5, 0
        while time.monotonic() < end:
            try:
                sent += s.send(ask)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break  # cut off: as well
        self.assertGreater(sent, 0)
        self.assertIn("running", self.virsh("list", uri="test:///default"))
        with open(f"/proc/{self.daemon.process.pid}/statm", encoding="utf-8") as file:
            self.assertLess(int(file.read().split()[1]) * 4096, 300 << 20)

    def test_clients_that_vanish(self):
        """In the middle of an upload, of a download, of a call that takes time."""
        os.mkdir(self.path("pool"))
        self.virsh("pool-create-as", "p", "dir", "--target", self.path("pool"))
        self.virsh("vol-create-as", "p", "v", "256M", "--allocation", "256M")
        with open(self.path("data"), "wb") as out:
            out.truncate(256 << 20)
        for words in (("vol-upload", "v", self.path("data"), "--pool", "p"), ("vol-download", "v", "/dev/null", "--pool", "p"), ("vol-wipe", "v", "p"),
                      ("event", "--all", "--loop"), ("vol-clone", "v", "w", "--pool", "p")):
            client = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri("qemu:///session"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            time.sleep(0.1)
            client.kill()
            client.wait()
            self.assertIn("256.00 MiB", self.virsh("vol-info", "v", "p"))
        self.assertIsNone(self.daemon.process.poll())

    # ---- machines
    def machine(self, name):
        self.virsh("create", self.xml(name, "<serial type='null'/>"))
        uuid = self.virsh("domuuid", name)
        with open(self.path(f"run/domains/{uuid}.pid"), encoding="utf-8") as file:
            return int(file.read()), uuid

    def wait_until(self, condition):
        end = time.monotonic() + 60 * guest.PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end, self.daemon.said()[-2000:])
            time.sleep(0.05)

    def test_machine_that_dies(self):
        (pid, _), _ = self.machine("dies"), self.machine("lives")
        os.kill(pid, signal.SIGKILL)
        self.wait_until(lambda: self.virsh("list", "--all", "--name") == "lives")

    def test_machine_that_hangs(self):
        """Who asks it waits; who asks of others, or of it what is known, does not; and it can be destroyed."""
        (pid, _), _ = self.machine("hangs"), self.machine("lives")
        os.kill(pid, signal.SIGSTOP)
        asks = subprocess.Popen(["virsh", "-c", self.daemon.uri("qemu:///session"), "suspend", "hangs"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        try:
            start = time.monotonic()
            self.assertIn("hangs", self.virsh("list"))
            self.assertIn("<name>hangs</name>", self.virsh("dumpxml", "hangs"))
            self.virsh("suspend", "lives")
            self.virsh("resume", "lives")
            self.assertLess(time.monotonic() - start, 20)
            self.assertIn("not answer", asks.communicate(timeout=100 * guest.PATIENCE)[0])
            self.virsh("destroy", "hangs")
        finally:
            asks.kill()
            asks.wait()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.assertEqual(self.virsh("list", "--name"), "lives")

    def test_machine_that_answers_nonsense(self):
        """After a restart something else sits at its monitor."""
        for nonsense in (b"", b"\xff\xfe nonsense\r\n" * 50, b'{"QMP": 1}\r\n{"return": [[[[]]]]}\r\n' * 100, b"{" * 100000, b'{"QMP":{}}\n' + b"x" * (20 << 20)):
            pid, uuid = self.machine("odd")
            self.machine("lives")
            self.daemon.kill()
            os.kill(pid, signal.SIGKILL)
            monitor = self.path(f"run/domains/{uuid}.monitor")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(monitor)
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(monitor)
                s.listen()
                s.settimeout(60)
                self.daemon.start()
                with s.accept()[0] as peer:
                    peer.settimeout(5)
                    with contextlib.suppress(OSError):
                        peer.sendall(nonsense)
            self.wait_until(lambda: self.virsh("list", "--all", "--name") == "lives")
            self.assertEqual(self.virsh("domstate", "lives"), "running")
            self.virsh("destroy", "lives")


if __name__ == "__main__":
    tap.main()
