#!/usr/bin/env python3
"""Stock virsh on atolld: disks of a running guest (figures, size, limits, media, jobs) and snapshots of stopped and running machines."""
import os
import re
import shutil
import subprocess
import unittest

import managed
import tap


class Chain:
    """What virsh shows of a disk's images, the lowest last."""

    def chain(self, name, *args):
        xml = self.virsh("dumpxml", name, *args)
        return [os.path.basename(path) for path in re.findall(r"<source file='([^']+)'", re.search(r"<disk type='file' device='disk'>.*?</disk>", xml, re.DOTALL).group().split("<mirror")[0])]


@unittest.skipUnless(shutil.which("virsh") and shutil.which("qemu-img"), "virsh or qemu-img is not installed")
class Disks(managed.Managed, Chain):
    def disks(self, emulator=None):
        self.image("a.qcow2")
        self.image("one.raw", "1M")
        self.image("two.raw", "2M")
        cdrom = f"<disk type='file' device='cdrom'><source file='{self.path('one.raw')}'/><target dev='hda' bus='ide'/></disk>"
        line = self.start("m", self.disk("vda", "a.qcow2") + cdrom, emulator)
        events = self.events()
        line.send("dd if=/dev/zero of=/dev/vda bs=64k count=5 conv=fsync; echo written-$((6*7))\n")
        line.expect("written-42", 60)
        stats = self.virsh("domblkstat", "m", "vda")
        self.assertGreaterEqual(int(re.search(r"wr_bytes (\d+)", stats).group(1)), 5 * 65536)
        self.assertIn("wr_req", self.virsh("domblkstat", "m", "vda", "--human") + stats)
        self.assertIn(f"Capacity:       {64 << 20}", self.virsh("domblkinfo", "m", "vda"))
        self.virsh("blockresize", "m", "vda", "96M")
        line.send("until [ $(cat /sys/block/vda/size) = 196608 ]; do sleep 1; done; echo grown-$((6*7))\n")
        line.expect("grown-42", 60)
        self.virsh("blkdeviotune", "m", "vda", "--total-iops-sec", "50", "--live", "--config")
        events.expect(r"blkdeviotune.disk: vda")
        self.assertRegex(self.virsh("blkdeviotune", "m", "vda", "--live"), r"total_iops_sec *: 50")
        self.assertIn("<total_iops_sec>50</total_iops_sec>", self.virsh("dumpxml", "m", "--inactive"))
        self.virsh("blkdeviotune", "m", "vda", "--total-iops-sec", "0", "--live")
        self.assertNotIn("iotune", self.virsh("dumpxml", "m"))
        line.send("cat /sys/block/sr0/size\n")
        line.expect("\n2048", 60)
        self.virsh("change-media", "m", "hda", "--eject")
        self.assertNotIn("one.raw", self.virsh("dumpxml", "m"))
        self.virsh("change-media", "m", "hda", self.path("two.raw"), "--insert")
        events.expect("disk-change.*two.raw")
        line.send("until dd if=/dev/sr0 of=/tmp/x bs=1M count=2 2>/dev/null && [ $(wc -c < /tmp/x) = 2097152 ]; do sleep 1; done; echo changed-$((6*7))\n")
        line.expect("changed-42", 60)
        self.virsh("change-media", "m", "hda", self.path("one.raw"), "--update", "--force")
        self.assertIn("one.raw", self.virsh("domblklist", "m"))
        return line, events

    def jobs(self, line, events):
        self.virsh("snapshot-create-as", "m", "s", "--disk-only", "--no-metadata")
        self.assertEqual(self.chain("m"), ["a.s", "a.qcow2"])
        self.assertEqual(self.chain("m", "--inactive"), ["a.s"])
        line.send("dd if=/dev/zero of=/dev/vda bs=64k count=9 seek=9 conv=fsync; echo above-$((6*7))\n")
        line.expect("above-42", 60)
        self.virsh("blockcommit", "m", "vda", "--active", "--pivot", "--wait")
        events.expect("block-job.*Active Block Commit.*completed")
        self.assertEqual((self.chain("m"), self.chain("m", "--inactive")), (["a.qcow2"], ["a.qcow2"]))
        os.unlink(self.path("a.s"))
        for name in ("s1", "s2", "s3"):
            self.virsh("snapshot-create-as", "m", name, "--disk-only", "--no-metadata")
        self.assertEqual(self.chain("m"), ["a.s3", "a.s2", "a.s1", "a.qcow2"])
        self.virsh("blockcommit", "m", "vda", "--top", self.path("a.s2"), "--base", self.path("a.s1"), "--wait")
        self.until(lambda: self.chain("m") == ["a.s3", "a.s1", "a.qcow2"], "the image is not gone from the chain")
        self.virsh("blockpull", "m", "vda", "--wait")
        self.until(lambda: self.chain("m") == ["a.s3"], "the chain does not end")
        self.virsh("blockcopy", "m", "vda", self.path("copy.qcow2"), "--format", "qcow2", "--wait", "--transient-job")
        events.expect("block-job.*Block Copy.*ready")
        self.assertIn("<mirror", self.virsh("dumpxml", "m"))
        self.assertIn("Block Copy", self.virsh("blockjob", "m", "vda"))
        self.daemon.kill()
        self.daemon.start()
        self.virsh("blockjob", "m", "vda", "--pivot")
        self.until(lambda: self.chain("m") == ["copy.qcow2"], "the copy is not taken")
        self.assertEqual(self.chain("m", "--inactive"), ["copy.qcow2"])
        self.refused("no job", "blockjob", "m", "vda", "--abort")
        line.send("dd if=/dev/vda bs=64k count=96 of=/dev/null && echo read-$((6*7))\n")
        line.expect("read-42", 60)
        self.virsh("destroy", "m")
        subprocess.run(["qemu-img", "check", "-q", self.path("copy.qcow2")], check=True)

    def test_disks(self):
        self.jobs(*self.disks())

    @managed.needs_qemu
    def test_disks_of_qemu(self):
        self.jobs(*self.disks(managed.QEMU))


@unittest.skipUnless(shutil.which("virsh") and shutil.which("qemu-img"), "virsh or qemu-img is not installed")
class Snapshots(managed.Managed, Chain):
    def names(self, *args):
        return self.virsh("snapshot-list", "m", "--name", *args).split()

    def mark(self, path, letter):
        """The first sector of a disk says where it is."""
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -q -P {ord(letter)} 0 512", path], check=True)

    def marked(self, path):
        """The letter in the first sector."""
        out = self.path("first")
        subprocess.run(["qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", "bs=512", "count=1", f"if={path}", f"of={out}"], check=True)
        with open(out, "rb") as file:
            return file.read(1).decode()

    def own(self):
        """The image that the definition goes on in."""
        return self.path(self.chain("m", "--inactive")[0])

    def test_within(self):
        """Snapshots of a stopped machine lie within its qcow2 image; the tree outlives the daemon."""
        self.image("a.qcow2")
        self.define("m", self.disk("vda", "a.qcow2"))
        self.refused("no current snapshot", "snapshot-current", "m")
        for letter in "ab":
            self.mark(self.own(), letter)
            self.virsh("snapshot-create-as", "m", letter, f"state {letter}")
        self.mark(self.own(), "z")
        self.virsh("snapshot-revert", "m", "a")
        self.assertEqual(self.marked(self.own()), "a")
        self.virsh("snapshot-create-as", "m", "c")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("snapshot-current", "m", "--name"), "c")
        self.assertEqual((self.virsh("snapshot-parent", "m", "c"), self.virsh("snapshot-parent", "m", "b")), ("a", "a"))
        self.assertEqual(re.findall(r"\w+", self.virsh("snapshot-list", "m", "--tree")), ["a", "b", "c"])
        self.assertEqual((self.names("--roots"), self.names("--leaves"), self.names("--external")), (["a"], ["b", "c"], []))
        xml = self.virsh("snapshot-dumpxml", "m", "b")
        for piece in ("<state>shutoff</state>", "<description>state b</description>", "<disk name='vda' snapshot='internal'/>", "<domain type='qemu'>"):
            self.assertIn(piece, xml)
        self.assertRegex(self.virsh("snapshot-info", "m", "a"), r"Children: +2\nDescendants: +2")
        self.refused("already exists", "snapshot-create-as", "m", "a")
        self.refused("no name for a snapshot", "snapshot-create-as", "m", "../x")
        self.refused("snapshots", "undefine", "m")
        self.virsh("snapshot-delete", "m", "a")
        self.assertEqual((self.names("--roots"), [s["name"] for s in self.image_info(self.own())["snapshots"]]), (["b", "c"], ["b", "c"]))
        self.virsh("snapshot-delete", "m", "b", "--metadata")
        self.assertEqual([s["name"] for s in self.image_info(self.own())["snapshots"]], ["b", "c"])
        self.virsh("snapshot-create", "m", self.write("b.xml", xml.replace("<name>a</name>", "<name>c</name>")), "--redefine")
        self.virsh("snapshot-revert", "m", "b")
        self.assertEqual(self.marked(self.own()), "b")
        self.virsh("snapshot-delete", "m", "c", "--children")
        self.assertEqual(self.names(), [])
        self.virsh("undefine", "m")

    def test_above(self):
        """Of a stopped machine: overlays, a branch, and what deleting merges."""
        self.image("a.qcow2")
        self.define("m", self.disk("vda", "a.qcow2"))
        self.mark(self.own(), "a")
        self.virsh("snapshot-create-as", "m", "one", "--disk-only")
        self.assertEqual(self.own(), self.path("a.one"))
        self.mark(self.own(), "b")
        self.virsh("snapshot-create-as", "m", "two", "--disk-only")
        self.mark(self.own(), "c")
        left = self.own()
        self.virsh("snapshot-revert", "m", "two")
        self.assertEqual((self.marked(self.own()), os.path.exists(left)), ("b", False))
        self.virsh("snapshot-revert", "m", "one")
        self.assertEqual(self.marked(self.own()), "a")
        self.mark(self.own(), "d")
        self.virsh("snapshot-create-as", "m", "branch", "--disk-only")
        self.virsh("snapshot-delete", "m", "one")  # two branches share it: its image stays
        self.assertTrue(os.path.exists(self.path("a.qcow2")))
        self.assertEqual(self.names("--roots"), ["branch", "two"])
        self.assertEqual(self.marked(self.own()), "d")
        self.virsh("snapshot-revert", "m", "two")
        self.assertEqual(self.marked(self.own()), "b")
        self.mark(self.own(), "e")
        self.virsh("snapshot-delete", "m", "two")
        self.assertEqual((self.own(), self.marked(self.own())), (self.path("a.one"), "e"))
        self.assertIn("is merged into", self.daemon.said())
        subprocess.run(["qemu-img", "check", "-q", self.own()], check=True)

    def running(self, emulator=None):
        """Taken, deleted and gone back to while the guest runs: what it has written is there."""
        self.image("a.qcow2")
        line = self.start("m", self.disk("vda", "a.qcow2"), emulator)

        def write(letter):
            line.send(f"printf {letter} | dd of=/dev/vda conv=notrunc,fsync 2>/dev/null; echo wrote-{letter}-$((6*7))\n")
            line.expect(f"wrote-{letter}-42", 60)

        write("a")
        self.refused("--disk-only", "snapshot-create-as", "m", "with-memory")
        self.virsh("snapshot-create-as", "m", "one", "--disk-only")
        write("b")
        self.virsh("snapshot-create-as", "m", "two", "--disk-only")
        write("c")
        self.assertEqual(self.chain("m"), ["a.two", "a.one", "a.qcow2"])
        self.assertIn("<state>disk-snapshot</state>", self.virsh("snapshot-dumpxml", "m", "two"))
        self.assertEqual((self.marked(self.path("a.qcow2")), self.marked(self.path("a.one")), self.marked(self.path("a.two"))), ("a", "b", "c"))
        self.virsh("snapshot-delete", "m", "one")
        self.assertEqual((self.chain("m"), self.marked(self.path("a.qcow2"))), (["a.two", "a.qcow2"], "b"))
        self.virsh("snapshot-create-as", "m", "three", "--disk-only")
        write("d")
        self.virsh("snapshot-delete", "m", "three")
        self.assertEqual((self.chain("m"), self.chain("m", "--inactive")), (["a.two", "a.qcow2"], ["a.two"]))
        self.assertEqual(self.marked(self.path("a.two")), "d")
        self.virsh("snapshot-revert", "m", "two", "--running")
        self.assertEqual(self.virsh("domstate", "m"), "running")
        line = self.shell("m")
        line.send("dd if=/dev/vda bs=1 count=1 2>/dev/null; echo -$((6*7))\n")
        line.expect("b-42", 60)
        self.virsh("destroy", "m")
        self.assertEqual(self.virsh("domstate", "m"), "shut off")

    def test_running(self):
        self.running()

    @managed.needs_qemu
    def test_running_on_qemu(self):
        self.running(managed.QEMU)


if __name__ == "__main__":
    tap.main()
