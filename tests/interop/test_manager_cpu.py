#!/usr/bin/env python3
"""CPU models of atolld, driven by stock virsh: the lists, and a definition's <cpu>."""
import os
import shutil
import unittest

import managed
import tap

DOMAIN = """<domain type='qemu'><name>c1</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<cpu mode='custom' match='exact' check='{check}'><model fallback='forbid'>{model}</model><feature policy='require' name='rdseed'/></cpu></domain>"""


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Models(managed.Managed):
    def test_lists(self):
        for _ in range(2): # asked, and known
            names = self.virsh("cpu-models", "x86_64").split()
            self.assertLessEqual({"486", "kvm64", "Nehalem", "Nehalem-IBRS", "EPYC-Milan", "x86-64-v2-AES"}, set(names))
            self.assertEqual({"max", "host", "base", "Nehalem-v2", "EPYC-v3"} & set(names), set())
        self.refused("no CPU models for the architecture", "cpu-models", "aarch64")
        text = self.virsh("domcapabilities", "--virttype", "qemu")
        self.assertIn("<model usable='yes' vendor='unknown'>Nehalem</model>", text)
        self.assertIn("<model usable='no' vendor='unknown'>Icelake-Server</model>", text) # no AVX-512

    def define(self, model, check):
        path = os.path.join(self.daemon.folder, "c1.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(DOMAIN.format(model=model, check=check))
        self.virsh("define", path)

    def test_definitions(self):
        self.define("Nehalem", "full")
        self.virsh("start", "c1")
        self.virsh("destroy", "c1")
        self.define("Haswell", "none")
        self.virsh("start", "c1")
        self.virsh("destroy", "c1")
        self.define("Haswell", "full")
        self.refused("lack hle, rtm", "start", "c1")
        self.define("Hasvell", "none")
        self.refused("there is no CPU model 'Hasvell'", "start", "c1")
        self.virsh("undefine", "c1")


if __name__ == "__main__":
    tap.main()
