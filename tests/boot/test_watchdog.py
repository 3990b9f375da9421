#!/usr/bin/env python3
"""Debian's driver of the PCI watchdog: a guest that stops writing to it is reset, and learns why."""
import unittest

import guest
import guests
import tap

CARDRESET = 0x20  # WDIOF_CARDRESET of linux/watchdog.h


class I6300esb(unittest.TestCase):
    def shell(self, vm, command, answer):
        vm.expect("# ", 60)
        vm.send(command + "\r")
        vm.expect(r"\n", 60)
        vm.expect(answer, 60)

    def test_reset(self):
        with guest.Guest("-nographic", "-m", "256", "-accel", "dbt", "-device", "i6300esb", "-nic", "none", "-kernel", guests.kernel("amd64"), "-initrd",
                         guests.initramfs("amd64", more=["i6300esb"]), "-append", "console=ttyS0 quiet atoll.mode=shell", terminal=True) as vm:
            status = "cat /sys/class/watchdog/watchdog0/bootstatus"
            vm.expect("A shell in the guest", 200)
            self.shell(vm, status, r"\b0\b")
            self.shell(vm, "rmmod i6300esb; insmod /modules/i6300esb.ko heartbeat=4; cat /sys/class/watchdog/watchdog0/timeout", r"\b4\b")
            self.shell(vm, "for i in 1 2 3 4 5 6 7 8; do echo fed; sleep 1; done > /dev/watchdog; echo star''ved", "starved")
            vm.expect("A shell in the guest", 200)
            self.shell(vm, status, rf"\b{CARDRESET}\b")
            vm.send("poweroff -f\r")
            self.assertEqual(vm.wait(60), 0)


if __name__ == "__main__":
    tap.main()
