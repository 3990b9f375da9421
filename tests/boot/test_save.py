#!/usr/bin/env python3
"""A running Debian kernel is saved by `migrate` and goes on in another process, where it was; what is no saved machine is refused."""
import hashlib
import os
import re
import shutil
import subprocess
import time
import unittest

import guest
import qmp
import shell_guest
import tap

DISK_BYTES = 4 << 20
MORE = ["-device", "qemu-xhci", "-device", "usb-tablet", "-device", "usb-kbd", "-device", "virtio-gpu-pci", "-device", "virtio-balloon-pci", "-device",
        "virtio-rng-pci", "-device", "virtio-serial-pci", "-device", "virtio-scsi-pci"]


# Says on COM1 how often the timer has interrupted it since its start: "tick=0012".
TICKS = """
    cli
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7000, %sp
    sti
    mov 0x46c, %bx
    mov %bx, %di
next:
    hlt
    cmp 0x46c, %bx
    je next
    mov 0x46c, %bx
    mov %bx, %bp
    sub %di, %bp
    mov $text, %si
again:
    lodsb
    test %al, %al
    jz number
    call say
    jmp again
number:
    mov $4, %cx
digit:
    rol $4, %bp
    mov %bp, %ax
    and $0x0f, %al
    add $0x30, %al
    cmp $0x3a, %al
    jb show
    add $0x27, %al
show:
    call say
    loop digit
    mov $10, %al
    call say
    jmp next
say:
    mov %al, %ah
    mov $0x3fd, %dx
wait:
    in %dx, %al
    test $0x20, %al
    jz wait
    mov $0x3f8, %dx
    mov %ah, %al
    out %al, %dx
    ret
text: .asciz "tick="
"""


class Machine(shell_guest.Machine):
    def __init__(self, folder, *args):
        super().__init__(folder, "-drive", f"file={folder}/disk,format=raw,if=virtio", *args, megabytes=192)

    def count(self):
        """Starts a loop that shows how far it is."""
        self.guest.send("i=0; while :; do i=$((i+1)); [ $((i%1000)) = 0 ] && echo count=$i; done\r")
        self.counted(3000)

    def counted(self, least):
        while (n := int(self.guest.expect(r"count=(\d+)\r", 60).group(1))) < least:
            pass
        return n

    def settled(self):
        while (status := self.run("query-migrate"))["status"] in ("setup", "active", "cancelling"):
            time.sleep(0.02)
        return status

    def migrate(self, uri, *descriptors):
        for fd in descriptors:
            self.run("getfd", fd, fdname="state")
        self.run("migrate", uri=uri)
        status = self.settled()
        if status["status"] != "completed":
            raise AssertionError(status)
        return status

    def save(self, path):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            return self.migrate("fd:state", fd)
        finally:
            os.close(fd)

    def leave(self):
        try:
            self.run("quit")
        except EOFError:
            pass
        self.guest.wait(30)


class Saved(unittest.TestCase):
    def setUp(self):
        folder = guest.temporary_folder()
        self.folder = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.state = os.path.join(self.folder, "state")
        with open(os.path.join(self.folder, "disk"), "wb") as out:
            out.write(os.urandom(DISK_BYTES))

    def machine(self, *args):
        return Machine(self.folder, *args)

    def md5(self):
        with open(os.path.join(self.folder, "disk"), "rb") as file:
            return hashlib.md5(file.read()).hexdigest()


class GoesOn(Saved):
    def there_and_back(self, args, incoming, times=1):
        """A loop goes on where it was, the disk is what it was, time does not jump, and the network answers."""
        with self.machine(*args) as vm:
            vm.ready()
            vm.shell("ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; dd if=/dev/urandom of=/dev/vda bs=64k count=8 seek=3 2>/dev/null; dmesg -c > /dev/null")
            vm.count()
            vm.save(self.state)
            seen = int(re.findall(r"count=(\d+)\r", vm.guest.text)[-1])
            vm.leave()
        for n in range(times):
            with self.machine(*args, "-incoming", incoming.format(self.state)) as vm:
                again = vm.counted(seen)
                self.assertLessEqual(again, seen + 20000)
                seen = vm.counted(again + 2000)
                if n + 1 < times:
                    vm.save(self.state)
                    seen = max(seen, int(re.findall(r"count=(\d+)\r", vm.guest.text)[-1]))
                    vm.leave()
                    continue
                self.assertEqual(vm.run("query-status")["status"], "running")
                vm.guest.send("\x03")
                vm.guest.expect("# ", 30)
                self.assertIn(self.md5(), vm.shell("sync; echo 3 > /proc/sys/vm/drop_caches; md5sum < /dev/vda"))
                vm.shell("dd if=/dev/urandom of=/dev/vda bs=64k count=8 conv=fsync 2>/dev/null")
                self.assertIn(self.md5(), vm.shell("md5sum < /dev/vda"))
                self.assertIn("1 packets received", vm.shell("ping -c 1 10.0.2.2"))
                self.assertNotRegex(vm.shell("dmesg"), "BUG:|Oops|stall|soft lockup|Call Trace|unstable|timed out")

    def test_pc(self):
        self.there_and_back(["-nic", "user,model=virtio"], "file:{}")

    def test_q35(self):
        self.there_and_back(["-machine", "q35", "-smp", "2", "-nic", "user,model=virtio", *MORE], "exec:cat {}")

    @unittest.skipUnless(guest.LONG, "the interpreter takes minutes: make test-long")
    def test_interpreter(self):
        self.there_and_back(["-accel", "interp", "-nic", "user,model=virtio"], "file:{}")

    @unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
    def test_twenty_times(self):
        for args in (["-smp", "2", *MORE], ["-machine", "q35", "-smp", "4", *MORE]):
            self.there_and_back([*args, "-nic", "user,model=virtio"], "file:{}", times=20)

    def test_microvm(self):
        with self.machine("-machine", "microvm", "-nodefaults", "-serial", "mon:stdio") as vm:
            vm.ready()
            vm.count()
            vm.save(self.state)
            vm.leave()
        with self.machine("-machine", "microvm", "-nodefaults", "-serial", "mon:stdio", "-incoming", f"file:{self.state}") as vm:
            vm.counted(5000)

    def test_over_a_socket(self):
        """To a process that waits, which starts when it is told."""
        path = os.path.join(self.folder, "socket")
        with self.machine("-nic", "none") as vm, guest.temporary_folder() as elsewhere:
            vm.ready()
            vm.count()
            shutil.copy(os.path.join(self.folder, "disk"), elsewhere)
            with Machine(elsewhere, "-nic", "none", "-S", "-incoming", "defer") as other:
                self.assertEqual(other.run("query-status")["status"], "inmigrate")
                other.run("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
                other.run("migrate-incoming", uri=f"unix:{path}")
                vm.migrate(f"unix:{path}")
                while other.qmp.wait_event("MIGRATION", 30)["data"]["status"] != "completed":
                    pass
                self.assertEqual(other.run("query-status")["status"], "paused")
                other.run("cont")
                other.counted(5000)
            self.assertEqual(vm.run("query-status")["status"], "postmigrate")
            vm.run("cont")
            vm.counted(5000)


@unittest.skipUnless(guest.have_kvm(), "no /dev/kvm, or no right to it")
class Kvm(unittest.TestCase):
    def ticks(self, vm, least):
        while (n := int(vm.expect(r"tick=([0-9a-f]{4})\n", 60).group(1), 16)) < least:
            pass
        return n

    def test_interrupts(self):
        """The timer, the interrupt controllers and the CPUs that wait go on; another accelerator does not take them."""
        with guest.temporary_folder() as folder:
            state, path = os.path.join(folder, "state"), os.path.join(folder, "qmp")
            args = ["-accel", "kvm", "-smp", "2", "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-drive",
                    f"file={guest.boot_sector(TICKS, folder)},format=raw", "-qmp", f"unix:{path},server=on,wait=off"]
            with guest.Guest(*args) as vm, qmp.Qmp(path) as monitor:
                self.ticks(vm, 20)
                monitor.run("migrate", uri=f"file:{state}")
                while monitor.run("query-migrate")["status"] != "completed":
                    time.sleep(0.02)
                vm.read_for(1)
                monitor.run("quit")
                vm.wait(20)
                last = int(re.findall(r"tick=([0-9a-f]{4})\n", vm.text)[-1], 16)
            with guest.Guest(*args, "-incoming", f"file:{state}") as vm:
                first = self.ticks(vm, 0)
                self.assertIn(first, range(last, last + 100))  # a CPU that had to wait for the host gets its ticks at once
                self.ticks(vm, first + 20)
            args[1] = "dbt"
            status, text = guest.run(*args, "-incoming", f"file:{state}", seconds=60)
            self.assertEqual(status, 1, text)
            self.assertRegex(text, "that accelerator 'kvm' ran|has the feature 'kvm")  # which of them is found first


class GoesWrong(Saved):
    def kept(self, vm):
        """The machine runs as if nothing had been."""
        self.assertEqual(vm.run("query-status")["status"], "running")
        vm.counted(int(re.findall(r"count=(\d+)\r", vm.guest.text)[-1]) + 3000)

    def refused(self, why, *args, incoming=None):
        done = subprocess.run([guest.ATOLL_VM, "-nographic", "-m", "192", "-drive", f"file={self.folder}/disk,format=raw,if=virtio", "-nic", "none",
                               *args, "-incoming", incoming or f"file:{self.state}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60 * guest.PATIENCE, check=False)
        text = done.stdout.decode(errors="replace")
        self.assertEqual(done.returncode, 1, text)
        self.assertRegex(text, why)

    def test_out(self):
        """A pipe that nobody reads, a full disk, a command that fails, and no such places."""
        with self.machine("-nic", "none", "-sandbox", "on,spawn=allow") as vm:
            vm.ready()
            vm.count()
            reader, writer = os.pipe()
            vm.run("getfd", writer, fdname="pipe")
            vm.run("migrate", uri="fd:pipe")
            with self.assertRaisesRegex(qmp.Refused, "cont is not allowed while"):
                vm.run("cont")
            with self.assertRaisesRegex(qmp.Refused, "migrate is not allowed while"):
                vm.run("migrate", uri="fd:other")
            vm.run("migrate_cancel")
            self.assertEqual(vm.settled()["status"], "cancelled")
            self.kept(vm)
            os.close(reader)
            os.close(writer)
            for uri, why in ("fd:full", "No space left"), ("exec:exit 3", "code 3|Broken pipe"):
                full = os.open("/dev/full", os.O_WRONLY)
                vm.run("getfd", full, fdname="full")
                os.close(full)
                vm.run("migrate", uri=uri)
                status = vm.settled()
                self.assertEqual(status["status"], "failed")
                self.assertRegex(status["error-desc"], why)
                self.kept(vm)
            for uri, why in ("fd:nobody", "no descriptor"), ("here", "no address"), ("unix:/nowhere/x", "connect"), ("tcp:127.0.0.1", "HOST:PORT"), ("file:/nowhere/x", "nowhere"):
                with self.assertRaisesRegex(qmp.Refused, why):
                    vm.run("migrate", uri=uri)
            self.kept(vm)

    def test_in(self):
        with self.machine("-nic", "none") as vm:
            vm.ready()
            vm.save(self.state)
            vm.leave()
        with open(self.state, "rb") as file:
            good = file.read()
        for args, why in ((["-smp", "2"], "1 processors, and the machine here has 2"), (["-m", "256"], "192 MiB of RAM, .* 256"), (["-machine", "q35"], "main board is"),
                          (["-device", "virtio-rng-pci"], "lacks the device|lacks memory|same devices"), (["-cpu", "486"], "has the feature '"), (["-accel", "kvm"], "another accelerator than 'kvm'|cannot be used|has the feature '")):
            self.refused(why, *args)
        middle = len(good) // 2
        damaged = [(b"", "ends too early"), (good[:7], "ends too early"), (good[:middle], "ends too early"), (good[:-1], "ends too early"), (good[:-16], "ends too early"),
                   (b"\x7fELF" + good[4:], "no saved machine"), (good[:8] + b"\x02" + good[9:], "version 2"), (good[:16] + b"\xff" + good[17:], "no section of kind"),
                   (good[:24] + b"\xff" * 8 + good[32:], "is said to have"), (good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:], "checksum|no section|is said"),
                   (good[:40] + bytes([good[40] ^ 1]) + good[41:], "checksum")]
        for text, why in damaged:
            with open(self.state, "wb") as out:
                out.write(text)
            self.refused(why)
        self.refused("No such file", incoming="file:/nowhere")
        self.refused("no address", incoming="nothing")
        self.refused("ends too early", incoming="exec:true")


if __name__ == "__main__":
    tap.main()
