#!/usr/bin/env python3
"""Stock virsh on atolld: a guest without an agent reboots by its power button, also where the daemon ends in between, and shuts down by it."""
import shutil
import unittest

import managed
import tap

# In the guest: what systemd-logind does.
HEED = r"""e=$(grep -A4 'Power Button' /proc/bus/input/devices | sed -n 's/.*\(event[0-9]*\).*/\1/p' | head -n 1)
(head -c 24 /dev/input/$e > /dev/null && echo butt''on; sleep 1; poweroff -f) & sleep 1; echo heed''ing-$e
"""


class Power(managed.Managed):
    def setUp(self):
        super().setUp()
        self.line = self.start("g", more=["button", "evdev"])
        self.heard = self.events()

    def state(self):
        return self.virsh("domstate", "g")

    def heed(self):
        self.line.send(HEED)
        self.line.expect(r"heeding-event\d", 30)

    def goes(self):
        self.line.send("echo g''oes; poweroff -f\n")
        self.line.expect("goes", 30)

    def boots(self):
        self.line.expect(r"A shell in the guest[\s\S]*/ # ", 120)
        self.until(lambda: self.state() == "running", "the machine is not said to run")


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Button(Power):
    def test_reboot(self):
        identity = self.virsh("domid", "g")
        self.heed()
        self.virsh("reboot", "g")
        self.line.expect("button", 30)
        self.boots()
        self.heard.expect("'reboot' for domain 'g'")
        self.assertNotIn("Suspended", self.heard.text)
        self.assertEqual(self.virsh("domid", "g"), identity)
        self.line.send("poweroff -f\n")
        self.heard.expect("Stopped")
        self.assertEqual(self.state(), "shut off")

    def test_reset_is_at_once(self):
        self.virsh("reset", "g")
        self.boots()

    def test_unheeded(self):
        """Nobody listens to the button; a later shutdown is one nevertheless."""
        self.virsh("reboot", "g")
        self.assertEqual(self.state(), "running")
        self.heed()
        self.virsh("shutdown", "g")
        self.line.expect("button", 30)
        self.heard.expect("Stopped Shutdown")
        self.assertEqual(self.state(), "shut off")


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Killed(Power):
    def test_before(self):
        """The daemon ends when the button has been pressed, and another one comes before the guest has ended."""
        self.virsh("reboot", "g")
        self.daemon.kill()
        self.daemon.start()
        self.goes()
        self.boots()

    def test_meanwhile(self):
        self.virsh("reboot", "g")
        self.daemon.kill()
        self.goes()
        self.daemon.start()
        self.boots()


if __name__ == "__main__":
    tap.main()
