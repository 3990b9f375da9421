#!/usr/bin/env python3
"""What follows when the guest resets, shuts down or panics, or a watchdog runs out: -action, set-action; what drives say on the command line."""
import os
import unittest

import guest
import qmp
import qtest
import tap

IB700_ENABLE, IB700_NOW = 0x443, 0x0f
RESET_PORT, PVPANIC_PORT = 0xcf9, 0x505


class Actions(unittest.TestCase):
    def machine(self, *args):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "qmp")
        machine = qtest.Machine("-device", "ib700", "-device", "pvpanic", "-qmp", f"unix:{path},server=on,wait=off", *args)
        self.addCleanup(machine.__exit__)
        machine.qmp = qmp.Qmp(path)
        self.addCleanup(machine.qmp.close)
        return machine

    def bite(self, *args, before=None):
        """The watchdog runs out at once; what the monitor is told."""
        machine = self.machine(*args)
        if before:
            before(machine.qmp)
        machine.outb(IB700_ENABLE, IB700_NOW)
        machine.command("clock_step 1000")
        return machine.qmp.wait_event("WATCHDOG")["data"]["action"], machine

    def test_watchdog_reset(self):
        action, machine = self.bite()
        self.assertEqual(action, "reset")
        self.assertEqual(machine.qmp.wait_event("RESET")["data"], {"guest": True, "reason": "guest-reset"})

    def test_watchdog_pause(self):
        action, machine = self.bite("-action", "watchdog=pause")
        self.assertEqual(action, "pause")
        machine.qmp.wait_event("STOP")
        self.assertEqual(machine.qmp.run("query-status")["status"], "watchdog")

    def test_watchdog_poweroff(self):
        action, machine = self.bite("-watchdog-action", "poweroff")
        self.assertEqual(action, "poweroff")
        self.assertEqual(machine.guest.process.wait(20 * guest.PATIENCE), 0)

    def test_watchdog_shutdown(self):
        action, machine = self.bite(before=lambda monitor: monitor.run("watchdog-set-action", action="shutdown"))
        self.assertEqual(action, "shutdown")
        machine.qmp.wait_event("POWERDOWN")

    def test_watchdog_none(self):
        action, machine = self.bite(before=lambda monitor: self.assertEqual(monitor.line("watchdog_action none"), ""))
        self.assertEqual(action, "none")
        self.assertEqual(machine.qmp.run("query-status")["status"], "running")

    def test_watchdog_nmi_and_debug(self):
        for name in ("inject-nmi", "debug"):
            action, machine = self.bite("-action", f"watchdog={name}")
            self.assertEqual(action, name)
            self.assertEqual(machine.qmp.run("query-status")["status"], "running")

    def test_panic(self):
        for action, told, status in (("none", "run", "running"), ("pause", "pause", "guest-panicked")):
            machine = self.machine()
            machine.qmp.run("set-action", panic=action)
            machine.outb(PVPANIC_PORT, 1)
            self.assertEqual(machine.qmp.wait_event("GUEST_PANICKED")["data"]["action"], told)
            self.assertEqual(machine.qmp.run("query-status")["status"], status)

    def test_panic_ends(self):
        for action, status in (("shutdown", 0), ("exit-failure", 1)):
            machine = self.machine("-action", f"panic={action}")
            machine.socket.sendall(f"outb {PVPANIC_PORT} 1\n".encode())
            self.assertEqual(machine.guest.process.wait(20 * guest.PATIENCE), status)

    def test_reboot(self):
        machine = self.machine("-no-shutdown")
        machine.qmp.run("set-action", reboot="shutdown")
        machine.outb(RESET_PORT, 6)
        self.assertEqual(machine.qmp.wait_event("SHUTDOWN")["data"], {"guest": True, "reason": "guest-reset"})
        self.assertEqual(machine.qmp.run("query-status")["status"], "shutdown")

    def test_refused(self):
        machine = self.machine()
        with self.assertRaisesRegex(qmp.Refused, "nonsense"):
            machine.qmp.run("set-action", panic="nonsense")
        for option, words in (("panic=nonsense", "panic=nonsense is no action; there are: shutdown, pause"), ("sleep=pause", "'sleep' is no event")):
            with guest.Guest("-accel", "interp", "-display", "none", "-action", option) as vm:
                vm.expect(words)


class IdeDrive(unittest.TestCase):
    def test_serial(self):
        """What -drive says to its device, on both boards' IDE positions."""
        with guest.temporary_folder() as folder:
            image = os.path.join(folder, "disk")
            with open(image, "wb") as file:
                file.truncate(1 << 20)
            for board in ("pc", "q35"):
                for drive in (f"file={image},format=raw,serial=ATOLL-7,werror=stop", f"driver=raw,file.driver=file,file.filename={image},serial=ATOLL-7"):
                    with qmp.Machine("-accel", "interp", "-machine", board, "-drive", drive) as machine:
                        tree = machine.qmp.line("info qtree")
                        self.assertIn('serial = "ATOLL-7"', tree)
                        self.assertIn('drive = "ide0-hd0"', tree)


class Keyboard(unittest.TestCase):
    def test_layouts(self):
        with qmp.Machine("-accel", "interp", "-k", "de") as machine:
            machine.qmp.run("query-status")
        with guest.Guest("-accel", "interp", "-display", "none", "-k", "klingon") as vm:
            vm.expect(r"-k klingon: there is no such thing here; there are: ar bepo .* tr")


class DebugImage(unittest.TestCase):
    def test_child(self):
        """blkdebug over a node, which it calls image as QEMU does."""
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "disk")
            with open(path, "wb") as file:
                file.truncate(1 << 20)
            with qmp.Machine("-accel", "interp", "-blockdev", f"file,node-name=f,filename={path}") as machine:
                machine.qmp.run("blockdev-add", driver="blkdebug", image="f", node_name="d")
                machine.qmp.run("blockdev-add", driver="raw", file={"driver": "blkdebug", "image": {"driver": "file", "filename": path, "locking": "off"}}, node_name="e", read_only=True)


if __name__ == "__main__":
    tap.main()
