#!/usr/bin/env python3
"""Stock virsh and python3-libvirt on atolld: the test driver's whole life of a domain, definitions that outlive the daemon, rights, events."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import time
import unittest

import guest
import manager
import tap

TEST = "test:///default"
DOMAIN = """<domain type='{kind}'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file'><source file='/images/{name}.qcow2'/><target dev='vda'/></disk></devices><seclabel type='none'/></domain>"""


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Manager(unittest.TestCase):
    def setUp(self):
        self.daemon = manager.Daemon()
        self.addCleanup(self.daemon.stop)

    def virsh(self, *args, **named):
        return self.daemon.virsh(*args, **named)

    def xml(self, name, kind="qemu"):
        path = os.path.join(self.daemon.folder, name + ".xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(DOMAIN.format(name=name, kind=kind))
        return path

    def refused(self, words, *args, **named):
        done = self.virsh(*args, check=False, **named)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(words, done.stdout)

    def test_life(self):
        on = {"uri": TEST}
        self.assertRegex(self.virsh("list", "--all", **on), r"1 +test +running")
        for verb, state in (("suspend", "paused"), ("resume", "running"), ("reboot", "running"), ("reset", "running"), ("shutdown", "shut off"), ("start", "running"),
                            ("destroy", "shut off")):
            self.virsh(verb, "test", **on)
            self.assertEqual(self.virsh("domstate", "test", **on), state)
        self.refused("is not running", "suspend", "test", **on)
        self.virsh("start", "--paused", "test", **on)
        self.assertEqual(self.virsh("domstate", "test", **on), "paused")
        self.refused("already", "start", "test", **on)
        self.virsh("define", self.xml("other", "test"), **on)
        self.assertRegex(self.virsh("list", "--all", **on), r"- +other +shut off")
        self.virsh("autostart", "other", **on)
        self.assertIn("enable", self.virsh("dominfo", "other", **on))
        self.virsh("create", self.xml("passing", "test"), **on)
        self.assertRegex(self.virsh("list", "--transient", **on), "passing")
        self.virsh("destroy", "passing", **on)
        self.assertNotIn("passing", self.virsh("list", "--all", **on))
        self.virsh("undefine", "test", **on)
        self.assertIn("no", re.search(r"Persistent: +(\w+)", self.virsh("dominfo", "test", **on)).group(1))
        self.virsh("destroy", "test", **on)
        self.refused("failed to get domain", "dominfo", "test", **on)
        for words in ("nodeinfo", "domstats", "nodecpustats", "nodememstats", "nodecpumap", "capabilities", "domcapabilities", "version", "hostname", "sysinfo", "freecell"):
            self.virsh(words, **on)

    def test_definitions_outlive_the_daemon(self):
        self.virsh("define", self.xml("kept"))
        before = self.virsh("dumpxml", "kept")
        self.assertIn("<seclabel type='none'/>", before)  # what no row names
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("dumpxml", "kept"), before)
        self.virsh("undefine", "kept")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("list", "--all", "--name"), "")

    def test_wrong_definitions(self):
        self.virsh("define", self.xml("one"))
        uuid = self.virsh("domuuid", "one")
        for text, words in (("<domain type='qemu'>", "not well-formed"), ("<domain type='qeum'><name>x</name></domain>", "did you mean 'qemu'"),
                            ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain type='qemu'><name>x</name><memory>65536</memory></domain>", "document type"),
                            (f"<domain type='qemu'><name>two</name><uuid>{uuid}</uuid><memory>65536</memory></domain>", "already defined"),
                            ("<domain type='qemu'><name>one</name><uuid>00000000-0000-0000-0000-000000000001</uuid><memory>65536</memory></domain>", "already exists"),
                            ("<domain type='qemu'><name>../../x</name><memory>65536</memory></domain>", "no name for a machine")):
            path = os.path.join(self.daemon.folder, "wrong.xml")
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            self.refused(words, "define", path)
        self.assertEqual(self.virsh("list", "--all", "--name"), "one")

    def test_readonly(self):
        self.refused("read only", "suspend", "test", uri=TEST, readonly=True)
        self.assertEqual(self.virsh("domstate", "test", uri=TEST, readonly=True), "running")

    def test_unknown_uri(self):
        self.refused("qemu:///session", "list", uri="qemu:///system")

    def test_events(self):
        watch = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri(TEST), "event", "--loop", "--timeout", "20", "--all"], stdout=subprocess.PIPE, text=True,
                                 stdin=subprocess.DEVNULL)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.terminate)
        self.addCleanup(watch.stdout.close)
        time.sleep(1)
        self.virsh("suspend", "test", uri=TEST)
        self.virsh("destroy", "test", uri=TEST)
        self.virsh("start", "test", uri=TEST)
        seen = [watch.stdout.readline().strip() for _ in range(4)]
        for line, word in zip(seen, ("Suspended", "Stopped Destroyed", "Started", "Resumed")):
            self.assertIn(word, line)

    def test_many_in_parallel(self):
        def run(n):
            self.virsh("define", self.xml(f"p{n}", "test"), uri=TEST)
            self.virsh("start", f"p{n}", uri=TEST)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(run, range(24)))
        self.assertEqual(len(self.virsh("list", "--name", uri=TEST).splitlines()), 25)

    def test_second_daemon(self):
        done = subprocess.run([manager.ATOLLD, "--session", "--socket", self.daemon.socket, *self.daemon.process.args[2:]], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20 * guest.PATIENCE, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("another daemon listens", done.stdout)


if __name__ == "__main__":
    tap.main()
