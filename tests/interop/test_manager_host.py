#!/usr/bin/env python3
"""Stock virsh on atolld: what it says of the host, of what machines can have, and of what there is none of."""
import os
import re
import shlex
import shutil
import subprocess
import unittest

import guest
import managed
import tap

DMI = "/sys/class/dmi/id"
PYTHON = "/usr/bin/python3"
PEEK = """import libvirt, sys
d = libvirt.open(sys.argv[1]).lookupByName("m")
assert d.blockPeek("vda", 4, 6) == b"efghij", d.blockPeek("vda", 4, 6)
assert d.jobInfo()[0] == 0 and d.jobStats() == {"type": 0}, d.jobInfo()
for wrong in (("vdb", 0, 1), ("vda", 1 << 40, 1)):
    try:
        d.blockPeek(*wrong)
    except libvirt.libvirtError as e:
        print(e)
    else:
        raise AssertionError(wrong)
"""


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Host(managed.Managed):
    def test_host(self):
        self.assertRegex(self.virsh("nodecpustats"), r"user:[\s\S]*idle:")
        self.assertRegex(self.virsh("nodememstats"), r"total *: *\d+ KiB")
        free = re.search(r"(\d+)", self.virsh("freepages", "--cellno", "0", "--pagesize", "4KiB").split(":")[-1])
        self.assertGreater(int(free.group(1)), 100)
        self.refused("no pages of 3 KiB", "freepages", "--cellno", "0", "--pagesize", "3KiB")
        if any(os.path.exists(os.path.join(DMI, name)) for name in ("bios_vendor", "sys_vendor", "board_vendor")):
            self.assertIn("<sysinfo type='smbios'>", self.virsh("sysinfo"))
        else:
            self.refused("SMBIOS information is not available", "sysinfo")
        self.assertIn("computer", self.virsh("nodedev-list"))
        for kind in ("pci", "net", "storage"):
            for name in self.virsh("nodedev-list", "--cap", kind).split()[:2]:
                self.assertIn(f"<capability type='{kind}'>", self.virsh("nodedev-dumpxml", name))
        self.assertRegex(self.virsh("iface-list", "--all"), r"lo +(active|inactive)")
        self.assertIn("<mac address='00:00:00:00:00:00'/>", self.virsh("iface-dumpxml", "lo"))

    def test_none(self):
        self.assertEqual(self.virsh("nwfilter-list"), "")
        self.refused("no network filters", "nwfilter-dumpxml", "x")
        self.define("m")
        self.assertRegex(self.virsh("domjobinfo", "m"), "None")
        self.refused("no job is active", "domjobabort", "m")
        self.virsh("managedsave-remove", "m")
        self.refused("machines with their memory are not written yet", "dump", "m", self.path("s"))

    def test_pools(self):
        pools = self.virsh("pool-capabilities")
        self.assertRegex(pools, r"<pool type='dir' supported='yes'>[\s\S]*<value>qcow2</value>")
        self.assertIn("<pool type='rbd' supported='no'/>", pools)

    def test_native(self):
        self.define("m")
        words = shlex.split(self.virsh("domxml-to-native", "qemu-argv", "--domain", "m").replace("\\\n", ""))
        self.assertEqual(words[0], guest.ATOLL_VM)
        self.assertEqual(words[words.index("-name") + 1], "m")
        self.assertIn("console=ttyS0 quiet atoll.mode=shell", words)
        self.refused("qemu-argv", "domxml-to-native", "xen-xl", "--domain", "m")

    @unittest.skipIf(subprocess.run([PYTHON, "-c", "import libvirt"], stderr=subprocess.DEVNULL, check=False).returncode, "python3-libvirt is not installed")
    def test_peek(self):
        with open(self.path("a.raw"), "wb") as out:
            out.write(b"abcdefghijkl" + bytes(1 << 20))
        self.define("m", self.disk("vda", "a.raw", "raw"))
        done = subprocess.run([PYTHON, "-c", PEEK, self.daemon.uri(self.uri)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + self.daemon.said()[-1000:])
        self.assertRegex(done.stdout, r"no disk 'vdb'[\s\S]*has no 1 bytes at")


if __name__ == "__main__":
    tap.main()
