#!/usr/bin/env python3
"""Stock virsh on atolld: devices that come and go and change while a real guest runs on atoll-vm, on QEMU, and in the test driver."""
import re
import shutil
import unittest

import managed
import tap

CARD = "52:54:00:11:22:33"


@unittest.skipUnless(shutil.which("virsh") and shutil.which("qemu-img"), "virsh or qemu-img is not installed")
class Devices(managed.Managed):
    def plug(self, name, line, machine="atoll"):
        """A disk and a card, in and out; the guest sees both."""
        events = self.events()
        self.image("second.qcow2", "32M")
        self.virsh("attach-disk", name, self.path("second.qcow2"), "vdb", "--subdriver", "qcow2", "--live", "--config")
        events.expect("device-added.*virtio-disk1")
        line.send("until [ -e /sys/block/vd?/size ] && [ $(cat /sys/block/vd?/size) = 65536 ]; do sleep 1; done; echo seen-$((6*7))\n")
        line.expect("seen-42", 60)
        line.send("dd if=/dev/zero of=/dev/vda bs=64k count=3 conv=fsync; echo written-$((6*7))\n")
        line.expect("written-42", 60)
        self.assertGreaterEqual(int(re.search(r"wr_bytes (\d+)", self.virsh("domblkstat", name, "vdb")).group(1)), 3 * 65536)
        self.refused("already", "attach-disk", name, self.path("second.qcow2"), "vdb", "--live")
        self.virsh("attach-device", name, self.write("card.xml", f"<interface type='user'><mac address='{CARD}'/><model type='virtio'/></interface>"), "--live")
        line.send("until grep -q " + CARD + " /sys/class/net/*/address; do sleep 1; done; echo card-$((6*7))\n")
        line.expect("card-42", 60)
        self.virsh("domif-setlink", name, CARD, "down")
        self.assertIn("down", self.virsh("domif-getlink", name, CARD))
        line.send("ip link set eth0 up; until grep -q 0 /sys/class/net/eth0/carrier; do sleep 1; done; echo pulled-$((6*7))\n")
        line.expect("pulled-42", 60)
        self.virsh("domif-setlink", name, CARD, "up")
        line.send("until grep -q 1 /sys/class/net/eth0/carrier; do sleep 1; done; echo put-in-$((6*7))\n")
        line.expect("put-in-42", 60)
        self.virsh("detach-interface", name, "user", "--mac", CARD, "--live")
        events.expect("device-removed.*net0")
        self.assertNotIn(CARD, self.virsh("dumpxml", name))
        self.virsh("detach-disk", name, "vdb", "--live", "--config")
        events.expect("device-removed.*virtio-disk1")
        line.send("while [ -e /sys/block/vda ]; do sleep 1; done; echo gone-$((6*7))\n")
        line.expect("gone-42", 60)
        self.assertNotIn("second", self.virsh("dumpxml", name) + self.virsh("dumpxml", name, "--inactive"))
        self.virsh("attach-disk", name, self.path("second.qcow2"), "vdb", "--subdriver", "qcow2", "--live")
        self.virsh("detach-disk", name, "vdb", "--live")

    def test_plug(self):
        self.plug("m", self.start("m"))

    @managed.needs_qemu
    def test_plug_qemu(self):
        self.plug("m", self.start("m", emulator=managed.QEMU), "qemu")


if __name__ == "__main__":
    tap.main()
