#!/usr/bin/env python3
"""What a guest's driver asks of its network card, as the monitor shows it."""
import os
import struct
import unittest

import guest
import qmp
import qtest
import tap

CTRL_VQ, CTRL_RX, CTRL_VLAN = 1 << 17, 1 << 18, 1 << 19
RX, MAC, VLAN = 0, 1, 2
CONTROL_QUEUE = 2


def macs(*addresses):
    return struct.pack("<I", len(addresses)) + b"".join(bytes.fromhex(address.replace(":", "")) for address in addresses)


class RxFilter(unittest.TestCase):
    def setUp(self):
        folder = guest.temporary_folder()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "qmp")
        self.machine = qtest.Machine("-qmp", f"unix:{path},server=on,wait=off", "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,id=net0,mac=52:54:00:00:00:01",
                                     "-netdev", "user,id=n1", "-device", "e1000,netdev=n1,id=net1")
        self.addCleanup(self.machine.__exit__)
        self.monitor = qmp.Qmp(path)
        self.addCleanup(self.monitor.close)

    def control(self, kind, command, data, answer=0):
        self.assertEqual(self.queue.send(bytes([kind, command]) + data, 1)[0][0], answer)

    def show(self):
        filters = self.monitor.run("query-rx-filter")
        self.assertEqual(len(filters), 1)
        return filters[0]

    def test_filter(self):
        self.assertEqual(self.show(), {"name": "net0", "promiscuous": True, "multicast": "normal", "unicast": "normal", "vlan": "all", "broadcast-allowed": True,
                                       "multicast-overflow": False, "unicast-overflow": False, "main-mac": "52:54:00:00:00:01", "vlan-table": [],
                                       "unicast-table": [], "multicast-table": []})
        device = qtest.Virtio(self.machine, qtest.Virtio.NET, CTRL_VQ | CTRL_RX | CTRL_VLAN)
        self.queue = device.queue(CONTROL_QUEUE)
        device.ready()
        self.control(RX, 0, b"\0")
        event = self.monitor.wait_event("NIC_RX_FILTER_CHANGED")["data"]
        self.assertEqual(event, {"name": "net0", "path": "/machine/peripheral/net0"})
        self.control(RX, 1, b"\1")
        self.control(RX, 4, b"\1")
        self.control(MAC, 0, macs("52:54:00:00:00:02") + macs("33:33:00:00:00:01", "01:00:5e:00:00:01"))
        self.control(VLAN, 0, struct.pack("<H", 5))
        self.control(VLAN, 0, struct.pack("<H", 4095))
        self.assertEqual([e for e in self.monitor.events if e["event"] == "NIC_RX_FILTER_CHANGED"], [])  # nobody has asked meanwhile
        shown = self.show()
        self.assertEqual((shown["promiscuous"], shown["multicast"], shown["unicast"], shown["vlan"]), (False, "all", "none", "normal"))
        self.assertEqual((shown["vlan-table"], shown["unicast-table"]), ([5, 4095], ["52:54:00:00:00:02"]))
        self.assertEqual(shown["multicast-table"], ["33:33:00:00:00:01", "01:00:5e:00:00:01"])
        self.control(VLAN, 1, struct.pack("<H", 5))
        self.monitor.wait_event("NIC_RX_FILTER_CHANGED")
        self.assertEqual(self.monitor.run("query-rx-filter", name="net0")[0]["vlan-table"], [4095])
        self.control(MAC, 0, b"\xff", answer=1)

    def test_refused(self):
        for name, words in (("none", "invalid net client name: none"), ("net1", r"net client\(net1\) doesn't support rx-filter querying")):
            with self.assertRaisesRegex(qmp.Refused, words):
                self.monitor.run("query-rx-filter", name=name)
        self.assertIn("main-mac: 52:54:00:00:00:01", self.monitor.line("info rx-filter"))


if __name__ == "__main__":
    tap.main()
