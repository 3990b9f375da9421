#!/usr/bin/env python3
"""Debian's kernel sees disks and network cards come and go while it runs, and DEVICE_DELETED says when it has let go."""
import hashlib
import os
import time
import unittest

import guest
import qmp
import shell_guest
import tap

DISK_BYTES = 4 << 20


def md5(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return hashlib.md5(file.read()).hexdigest()


class Machine(shell_guest.Machine):
    """Two disks and a network to plug in."""

    def __init__(self, folder, *args, append=""):
        for name in "one", "two":
            with open(os.path.join(folder, name), "wb") as out:
                out.write(os.urandom(DISK_BYTES))
        drives = [part for name in ("one", "two")
                  for part in ("-blockdev", f"driver=raw,node-name={name},file.driver=file,file.filename={folder}/{name}")]
        super().__init__(folder, "-nic", "none", "-netdev", "user,id=net", *drives, *args, append=append)

    def wait_for(self, command, answer, seconds=30):
        end = time.monotonic() + seconds * guest.PATIENCE
        while (text := self.shell(command)).strip() != answer:
            if time.monotonic() > end:
                raise AssertionError(f"'{command}' says {text!r}, not {answer!r}; the kernel:\n" + self.shell("dmesg | tail -30"))
            time.sleep(0.2)

    def deleted(self, name, seconds=60):
        event = self.qmp.wait_event("DEVICE_DELETED", seconds)
        assert event["data"]["device"] == name, event

    def names(self):
        """The devices that the user has named, ports apart."""
        return [entry["name"] for entry in self.run("qom-list", path="/machine/peripheral") if entry["name"] not in ("type", "pci.1", "pci.2")]


class Pc(unittest.TestCase):
    """ACPI: registers at ae00h, general-purpose event 1."""
    args = ["-machine", "pc"]
    slots = [{"bus": "pci.0", "addr": "0x7"}, {}]

    def machine(self, folder, *args):
        return Machine(folder, *self.args, *args)

    def test_disk_and_card(self):
        with guest.temporary_folder() as folder, self.machine(folder) as vm:
            vm.ready()
            vm.run("device_add", driver="virtio-blk-pci", id="disk", drive="one", serial="HOTPLUG", **self.slots[0])
            vm.wait_for("cat /sys/block/vda/serial 2>/dev/null", "HOTPLUG")
            self.assertIn(md5(folder, "one"), vm.shell("md5sum < /dev/vda"))
            vm.run("device_add", driver="virtio-net-pci", id="card", netdev="net", mac="52:54:00:12:34:99", **self.slots[1])
            vm.wait_for("cat /sys/class/net/eth0/address 2>/dev/null", "52:54:00:12:34:99")
            vm.run("device_del", id="card")
            vm.deleted("card")
            vm.wait_for("ls /sys/class/net", "lo")
            # A disk in use goes, too: its user gets errors.
            vm.shell("sh -c 'while :; do dd if=/dev/vda of=/dev/null bs=64k; done 2>/dev/null & sleep 1'")
            vm.run("device_del", id="disk")
            with self.assertRaisesRegex(qmp.Refused, "in the process of unplug"):
                vm.run("device_del", id="disk")
            vm.deleted("disk")
            vm.wait_for("ls /dev | grep -c vda", "0")
            self.assertEqual(vm.names(), [])
            # The place is free again, and so are the images.
            vm.run("device_add", driver="virtio-blk-pci", id="disk", drive="two", serial="AGAIN", **self.slots[0])
            vm.wait_for("cat /sys/block/vda/serial 2>/dev/null", "AGAIN")
            self.assertIn(md5(folder, "two"), vm.shell("md5sum < /dev/vda"))
            with self.assertRaisesRegex(qmp.Refused, "taken by|is full"):
                vm.run("device_add", driver="virtio-rng-pci", id="rng", **self.slots[0])
            self.assertEqual(vm.names(), ["disk"])
            vm.run("quit")

    def test_nobody_answers(self):
        """A machine whose guest has not come up: the request stays open until a reset takes the device."""
        with guest.temporary_folder() as folder, self.machine(folder, "-S", "-device", "virtio-blk-pci,id=disk,drive=one," +
                                                              ",".join(f"{key}={value}" for key, value in self.slots[0].items())) as vm:
            vm.run("device_del", id="disk")
            with self.assertRaisesRegex(qmp.Refused, "in the process of unplug"):
                vm.run("device_del", id="disk")
            self.assertEqual(vm.names(), ["disk"])
            vm.run("system_reset")
            vm.deleted("disk")
            self.assertEqual(vm.names(), [])


class RootPort(Pc):
    """pciehp: a slot with button, power controller and indicators."""
    args = ["-machine", "q35", "-device", "pcie-root-port,port=16,chassis=1,id=pci.1,bus=pcie.0,multifunction=on,addr=0x2",
            "-device", "pcie-root-port,port=17,chassis=2,slot=2,id=pci.2,bus=pcie.0,addr=0x2.0x1"]
    slots = [{"bus": "pci.1", "addr": "0x0"}, {"bus": "pci.2"}]


if __name__ == "__main__":
    tap.main()
