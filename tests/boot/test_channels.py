#!/usr/bin/env python3
"""Channels to a guest under Debian's own drivers: ports of virtio-serial, the balloon and its statistics."""
import os
import re
import socket
import time
import unittest

import guest
import guests
import qmp
import tap

NAME = "org.qemu.guest_agent.0"


def shell(vm, command, answer, seconds=60):
    vm.expect("# ", 60)
    vm.send(command + "\r")
    vm.expect(r"\n", 60)
    return vm.expect(rf"({answer})", seconds).group(1)


class Channels(unittest.TestCase):
    def setUp(self):
        self.folder = guest.temporary_folder()
        self.at = self.folder.__enter__()
        self.addCleanup(self.folder.__exit__, None, None, None)

    def start(self, *args):
        self.qmp_path = os.path.join(self.at, "qmp")
        vm = guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-nic", "none", "-kernel", guests.kernel("cloud"), "-initrd",
                         guests.initramfs("cloud", guests.INIT), "-append", "console=ttyS0 quiet atoll.mode=shell",
                         "-qmp", f"unix:{self.qmp_path},server=on,wait=off", *args, terminal=True)
        self.addCleanup(vm.__exit__)
        vm.expect("A shell in the guest", 200)
        return vm

    def agent(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(os.path.join(self.at, "agent"))
        self.addCleanup(s.close)
        return s

    def line(self, s):
        """What comes up to the end of a line: the guest may write it in pieces."""
        said = b""
        while not said.endswith(b"\n"):
            said += s.recv(1)
        return said

    def port(self, name=NAME):
        return (f"for p in /sys/class/virtio-ports/*; do [ \"$(cat $p/name)\" = {name} ] && ln -sf /dev/${{p##*/}} /tmp/port; done; "
                "ls /tmp/port && echo po''rt")

    def test_port(self):
        vm = self.start("-device", "virtio-serial-pci,id=vs0", "-chardev", f"socket,id=a,path={self.at}/agent,server=on,wait=off",
                        "-device", f"virtserialport,bus=vs0.0,nr=1,chardev=a,id=channel0,name={NAME}")
        monitor = qmp.Qmp(self.qmp_path)
        self.addCleanup(monitor.close)
        shell(vm, self.port(), "port")
        first = self.agent()
        # Between two peers a read finds the end of the file.
        shell(vm, "(read -r line; echo \"echo $line\"; until read -r line; do sleep 0.1; done; echo \"echo $line\") <>/tmp/port >&0 & "
              "echo rea''dy", "ready")
        monitor.wait_event("VSERPORT_CHANGE")
        first.sendall(b"hello\n")
        self.assertEqual(self.line(first), b"echo hello\n")
        first.close()  # the peer vanishes; the next one is served
        second = self.agent()
        second.sendall(b"again\n")
        self.assertEqual(self.line(second), b"echo again\n")
        # A flood to a reader who never reads: the guest waits, and what it wrote comes whole in the end.
        vm.send("\r")
        shell(vm, "(seq 1 800000 > /tmp/port; echo all wri''tten) & sleep 3; jobs | grep -c seq", "1")
        self.assertNotIn("all written", vm.text)
        digits, expected = [], "".join(f"{i}\n" for i in range(1, 800001)).encode()
        left = len(expected)
        while left:
            data = second.recv(1 << 16)
            self.assertTrue(data)
            digits.append(data)
            left -= len(data)
        self.assertEqual(b"".join(digits), expected)
        vm.expect("all written", 60)

    def test_hotplug(self):
        vm = self.start("-device", "virtio-serial-pci,id=vs0", "-chardev", f"socket,id=a,path={self.at}/agent,server=on,wait=off", "-device",
                        "virtconsole,chardev=c", "-chardev", f"file,id=c,path={self.at}/console")
        monitor = qmp.Qmp(self.qmp_path)
        self.addCleanup(monitor.close)
        shell(vm, "echo through the console > /dev/hvc0; echo do''ne", "done")
        for _ in range(2):
            monitor.run("device_add", driver="virtserialport", id="p1", bus="vs0.0", chardev="a", name=NAME)
            shell(vm, "sleep 1;" + self.port(), "port")
            monitor.run("device_del", id="p1")
            monitor.wait_event("DEVICE_DELETED")
            shell(vm, "rm /tmp/port; sleep 1; cat /sys/class/virtio-ports/*/name | wc -l", "0")
        with open(os.path.join(self.at, "console"), encoding="utf-8") as file:
            self.assertIn("through the console", file.read())

    def test_balloon(self):
        vm = self.start("-device", "virtio-balloon-pci,id=b0,free-page-reporting=on,deflate-on-oom=on")
        monitor = qmp.Qmp(self.qmp_path)
        self.addCleanup(monitor.close)
        path = "/machine/peripheral/b0"
        self.assertEqual(monitor.run("query-balloon")["actual"], 256 << 20)
        shell(vm, "head -c 100000000 /dev/zero > /tmp/fill; rm /tmp/fill; echo fil''led", "filled")
        monitor.run("balloon", value=128 << 20)
        end = time.monotonic() + 60
        while monitor.run("query-balloon")["actual"] != 128 << 20:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)
        self.assertLessEqual(monitor.wait_event("BALLOON_CHANGE")["data"]["actual"], 256 << 20)
        self.assertLess(int(shell(vm, "sed -n 's/MemFree: *//p' /proc/meminfo", "[0-9]+ kB").split()[0]), 128 << 10)
        first = monitor.run("qom-get", path=path, property="guest-stats")["last-update"]  # as the driver started
        monitor.run("qom-set", path=path, property="guest-stats-polling-interval", value=1)
        while monitor.run("qom-get", path=path, property="guest-stats")["last-update"] == first:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)
        stats = monitor.run("qom-get", path=path, property="guest-stats")["stats"]
        self.assertTrue(10 << 20 < stats["stat-free-memory"] < 128 << 20, stats)
        with open(f"/proc/{vm.process.pid}/smaps_rollup", encoding="ascii") as file:
            shmem = re.search(r"Pss: +(\d+) kB", file.read())
        self.assertLess(int(shmem.group(1)), 200 << 10)
        monitor.run("balloon", value=256 << 20)
        while monitor.run("query-balloon")["actual"] != 256 << 20:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)


if __name__ == "__main__":
    tap.main()
