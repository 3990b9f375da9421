#!/usr/bin/env python3
"""Character devices that come, go and change while the machine runs; their logs; telnet and UDP; another escape key."""
import os
import socket
import time
import unittest

import guest
import qmp
import tap


def unix(path, **more):
    return {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": path}}, **more}}


class Coming(unittest.TestCase):
    def setUp(self):
        self.folder = guest.temporary_folder()
        self.addCleanup(self.folder.cleanup)
        self.machine = qmp.Machine("-accel", "interp", "-device", "virtio-serial-pci,id=vs", "-chardev", "null,id=com", "-serial", "chardev:com",
                                   "-chardev", "ringbuf,id=m,mux=on", "-mon", "chardev=m")
        self.addCleanup(self.machine.__exit__)
        self.qmp = self.machine.qmp

    def file(self, name):
        return os.path.join(self.folder.name, name)

    def chardevs(self):
        return {entry["label"]: entry for entry in self.qmp.run("query-chardev")}

    def test_each_kind(self):
        kinds = {
            "null": {"type": "null", "data": {}},
            "file": {"type": "file", "data": {"out": self.file("out"), "append": True, "logfile": self.file("log")}},
            "server": unix(self.file("socket")),
            "client": unix(self.machine.path, server=False),
            "udp": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "9"}},
                                            "local": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}}},
            "ring": {"type": "ringbuf", "data": {"size": 4096}},
            "memory": {"type": "memory", "data": {}},
        }
        for name, backend in kinds.items():
            self.assertEqual(self.qmp.run("chardev-add", id=name, backend=backend), {}, name)
        self.assertTrue(os.path.exists(self.file("socket")))
        terminal = self.qmp.run("chardev-add", id="pty", backend={"type": "pty", "data": {}})["pty"]
        self.assertTrue(os.path.exists(terminal))
        shown = self.chardevs()
        self.assertEqual(shown["pty"]["filename"], "pty:" + terminal)
        self.assertEqual(shown["file"]["filename"], "file:" + self.file("out"))
        for name in [*kinds, "pty"]:
            self.qmp.run("chardev-remove", id=name)
        self.assertFalse(os.path.exists(self.file("socket")))
        self.assertNotIn("null", self.chardevs())

    def test_refused(self):
        null = {"type": "null", "data": {}}
        for command, arguments, words in (
                ("chardev-add", {"id": "com", "backend": null}, "Chardev with id 'com' already exists"),
                ("chardev-add", {"id": "x", "backend": {"type": "nonsense", "data": {}}}, "nonsense"),
                ("chardev-add", {"id": "x", "backend": {"type": "ringbuf", "data": {"size": 1000}}}, "power of two"),
                ("chardev-add", {"id": "x", "backend": {"type": "file", "data": {"out": "/dev/fdset/7"}}}, "no descriptor of that set"),
                ("chardev-remove", {"id": "none"}, "Chardev 'none' not found"),
                ("chardev-remove", {"id": "com"}, "Chardev 'com' is busy: device 'isa-serial"),
                ("chardev-remove", {"id": "m"}, "Chardev 'm' is busy: it is a mux"),
                ("chardev-remove", {"id": "compat_monitor0"}, "Chardev 'compat_monitor0' is busy: a monitor"),
                ("chardev-change", {"id": "none", "backend": null}, "does not exist"),
                ("chardev-change", {"id": "m", "backend": null}, "Mux device hotswap not supported yet"),
                ("chardev-send-break", {"id": "none"}, "Chardev 'none' not found"),
                ("ringbuf-read", {"device": "com", "size": 1}, "com is not a ringbuf device")):
            with self.assertRaisesRegex(qmp.Refused, words):
                self.qmp.run(command, **arguments)
        self.assertNotIn("x", self.chardevs())

    def test_for_a_device(self):
        """A port gets a line that came later; while it has it, it stays."""
        self.qmp.run("chardev-add", id="late", backend=unix(self.file("socket")))
        self.qmp.run("device_add", driver="virtserialport", bus="vs.0", chardev="late", id="port")
        with self.assertRaisesRegex(qmp.Refused, "Chardev 'late' is busy: device 'port' uses it"):
            self.qmp.run("chardev-remove", id="late")
        self.qmp.run("device_del", id="port")
        self.qmp.run("chardev-remove", id="late")

    def test_passed_descriptor(self):
        with open(self.file("passed"), "wb") as file:
            number = self.qmp.run("add-fd", file.fileno())["fdset-id"]
        self.qmp.run("chardev-add", id="passed", backend={"type": "file", "data": {"out": f"/dev/fdset/{number}", "append": True}})
        self.qmp.run("chardev-remove", id="passed")

    def test_ring(self):
        self.qmp.run("chardev-add", id="ring", backend={"type": "ringbuf", "data": {"size": 8}})
        self.qmp.run("ringbuf-write", device="ring", data="aGVsbG8=", format="base64")
        self.assertEqual(self.qmp.run("ringbuf-read", device="ring", size=2), "he")
        self.assertEqual(self.qmp.run("ringbuf-read", device="ring", size=100, format="base64"), "bGxv")
        self.assertEqual(self.qmp.line("ringbuf_write ring two words"), "")
        self.assertEqual(self.qmp.line("ringbuf_read ring 100"), "wo words\n")

    def test_typed(self):
        self.assertEqual(self.qmp.line("chardev-add null,id=typed"), "")
        self.assertIn("id", self.qmp.line("chardev-add null"))
        self.assertEqual(self.qmp.line(f"chardev-change typed file,path={self.file('x')}"), "")
        self.assertIn("typed: filename=file:", self.qmp.line("info chardev"))
        self.assertEqual(self.qmp.line("chardev-remove typed"), "")


class Lines(unittest.TestCase):
    """The firmware's words on a serial line, by way of debugcon: SeaBIOS writes to port 0x402."""
    DEBUGCON = ("-accel", "dbt", "-chardev", "null,id=bios", "-device", "isa-debugcon,iobase=0x402,chardev=bios")

    def wait_text(self, path, words):
        end = time.monotonic() + 20 * guest.PATIENCE
        while time.monotonic() < end:
            if os.path.exists(path):
                with open(path, "rb") as file:
                    if words in file.read():
                        return
            time.sleep(0.05)
        self.fail(f"'{words}' does not come")

    def test_change_in_use(self):
        """What is said before goes to one file, what is said after to another, and a failed change changes nothing."""
        with guest.temporary_folder() as folder, qmp.Machine(*self.DEBUGCON) as machine:
            first, second = os.path.join(folder, "first"), os.path.join(folder, "second")
            machine.qmp.run("chardev-change", id="bios", backend={"type": "file", "data": {"out": first}})
            with self.assertRaisesRegex(qmp.Refused, "No such file"):
                machine.qmp.run("chardev-change", id="bios", backend={"type": "file", "data": {"out": "/nonexistent/x"}})
            machine.qmp.run("cont")
            self.wait_text(first, b"SeaBIOS")
            machine.qmp.run("stop")
            machine.qmp.run("chardev-change", id="bios", backend={"type": "null", "data": {"logfile": second}})
            machine.qmp.run("system_reset")
            machine.qmp.run("cont")
            self.wait_text(second, b"SeaBIOS")

    def test_log(self):
        with guest.temporary_folder() as folder:
            log = os.path.join(folder, "log")
            with open(log, "w", encoding="ascii") as file:
                file.write("before\n")
            args = [arg.replace("null,id=bios", f"null,id=bios,logfile={log},logappend=on") for arg in self.DEBUGCON]
            with qmp.Machine(*args, paused=False):
                self.wait_text(log, b"SeaBIOS")
            with open(log, "rb") as file:
                self.assertTrue(file.read().startswith(b"before\n"))

    def test_telnet_and_udp(self):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(receiver.close)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20 * guest.PATIENCE)
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "telnet")
            args = [arg.replace("null,id=bios", f"udp,id=bios,host=127.0.0.1,port={receiver.getsockname()[1]}") for arg in self.DEBUGCON]
            with qmp.Machine(*args, "-chardev", f"socket,id=t,path={path},telnet=on,server,nowait", "-mon", "chardev=t") as machine:
                with socket.socket(socket.AF_UNIX) as viewer:
                    viewer.settimeout(20 * guest.PATIENCE)
                    viewer.connect(path)
                    text = b""
                    while b"(atoll)" not in text:
                        text += viewer.recv(4096)
                    self.assertTrue(text.startswith(b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"), text)
                    viewer.sendall(b"info \xff\xfd\x01status\r")
                    while b"VM status" not in text:
                        text += viewer.recv(4096)
                machine.qmp.run("cont")
                said = b""
                while b"SeaBIOS" not in said:
                    said += receiver.recv(4096)

    def test_escape_key(self):
        with guest.Guest("-accel", "interp", "-nographic", "-S", "-echr", "0x14", terminal=True) as vm:
            os.write(vm.fd, b"\x01x\x14c")
            os.write(vm.fd, b"info status\r")
            vm.expect(r"VM status: paused \(prelaunch\)")
            os.write(vm.fd, b"\x14x")
            self.assertEqual(vm.process.wait(20), 0)


if __name__ == "__main__":
    tap.main()
