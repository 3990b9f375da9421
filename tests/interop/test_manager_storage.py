#!/usr/bin/env python3
"""Pools of atolld with the host's real tools: a folder that others change, a file system of a device, partitions of a disk, a volume group; where this host lacks
the means, the test says so by name."""
import os
import shutil
import subprocess
import time
import unittest

import guest
import manager
import tap

TEST = "test:///default"


def run(*words, check=True):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=check, timeout=60)


def has(*programs):
    return all(shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") for name in programs)


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Storage(unittest.TestCase):
    def setUp(self):
        self.daemon = manager.Daemon()
        self.addCleanup(self.daemon.stop)

    def virsh(self, *args, **named):
        return self.daemon.virsh(*args, **named)

    def path(self, name):
        return os.path.join(self.daemon.folder, name)

    def image(self, name, mib):
        with open(self.path(name), "wb") as out:
            out.truncate(mib << 20)
        return self.path(name)

    def volumes(self, pool, **named):
        return [line.split()[0] for line in self.virsh("vol-list", pool, **named).splitlines()]

    def wait_for_volumes(self, pool, wanted):
        end = time.monotonic() + 20 * guest.PATIENCE
        while self.volumes(pool) != wanted and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.volumes(pool), wanted)

    def loop(self, path):
        done = run("losetup", "-f", "--show", path, check=False)
        if done.returncode:
            self.skipTest(f"no loop devices: {done.stdout.strip()}")
        self.addCleanup(run, "losetup", "-d", done.stdout.strip())
        return done.stdout.strip()

    def test_changes_of_others(self):
        os.mkdir(self.path("pool"))
        self.virsh("pool-create-as", "p", "dir", "--target", self.path("pool"))
        self.assertEqual(self.volumes("p"), [])
        self.image("pool/came.raw", 1)
        self.wait_for_volumes("p", ["came.raw"])
        with open(self.path("pool/came.raw"), "r+b") as file:
            file.truncate(3 << 20)
        end = time.monotonic() + 20 * guest.PATIENCE
        while "3.00 MiB" not in self.virsh("vol-info", "came.raw", "p") and time.monotonic() < end:
            time.sleep(0.05)
        self.assertIn("3.00 MiB", self.virsh("vol-info", "came.raw", "p"))
        os.rename(self.path("pool/came.raw"), self.path("pool/renamed.raw"))
        self.wait_for_volumes("p", ["renamed.raw"])
        os.unlink(self.path("pool/renamed.raw"))
        self.wait_for_volumes("p", [])

    def test_in_memory(self):
        on = {"uri": TEST}
        self.virsh("pool-create-as", "m", "dir", "--target", self.path("nowhere"), **on)
        self.virsh("vol-create-as", "m", "v", "1G", **on)
        self.virsh("vol-clone", "v", "w", "--pool", "m", **on)
        self.virsh("vol-resize", "w", "2G", "--pool", "m", **on)
        self.assertIn("2.00 GiB", self.virsh("vol-info", "w", "m", **on))
        self.virsh("vol-delete", "v", "m", **on)
        self.assertEqual(self.volumes("m", **on), ["w"])
        self.virsh("pool-destroy", "m", **on)
        self.assertFalse(os.path.exists(self.path("nowhere")))

    @unittest.skipUnless(has("sfdisk"), "sfdisk is not installed")
    def test_disk(self):
        self.virsh("pool-define-as", "d", "disk", "--source-dev", self.image("disk", 64), "--source-format", "gpt")
        self.virsh("pool-build", "d")
        self.virsh("pool-start", "d")
        self.virsh("vol-create-as", "d", "any", "8M")
        self.virsh("vol-create-as", "d", "any", "4M")
        self.assertEqual(self.volumes("d"), ["disk1", "disk2"])
        self.assertIn("8.00 MiB", self.virsh("vol-info", "disk1", "d"))
        self.assertEqual(run("sfdisk", "--dump", self.path("disk")).stdout.count("size="), 2)
        self.virsh("vol-delete", "disk1", "d")
        self.assertEqual(self.volumes("d"), ["disk2"])
        refused = self.virsh("vol-create-as", "d", "any", "1G", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("no run of", refused.stdout)
        self.assertEqual(self.volumes("d"), ["disk2"])
        self.copies()

    def copies(self):
        """An image becomes a partition; the kernel makes no device for partitions of a file, so one is put there."""
        os.mkdir(self.path("pool"))
        self.virsh("pool-create-as", "p", "dir", "--target", self.path("pool"))
        self.virsh("vol-create-as", "p", "a.qcow2", "2M", "--format", "qcow2")
        with open(self.path("data"), "wb") as out:
            out.write(b"here" * 1000)
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", self.path("data"), self.path("pool/a.qcow2"))
        with open(self.path("to.xml"), "w", encoding="utf-8") as out:
            out.write("<volume><name>any</name><capacity>0</capacity></volume>")
        refused = self.virsh("vol-create-from", "d", self.path("to.xml"), "a.qcow2", "p", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(self.volumes("d"), ["disk2"])
        with open(self.path("disk1"), "wb") as out:
            out.truncate(2 << 20)
        self.virsh("vol-create-from", "d", self.path("to.xml"), "a.qcow2", "p")
        self.assertEqual(self.volumes("d"), ["disk1", "disk2"])
        with open(self.path("disk1"), "rb") as file:
            self.assertEqual(file.read(4000), b"here" * 1000)

    @unittest.skipUnless(not os.geteuid() and has("losetup", "mkfs.ext4"), "needs root, losetup and mkfs.ext4")
    def test_file_system(self):
        run("mkfs.ext4", "-q", self.image("fs", 16))
        device = self.loop(self.path("fs"))
        os.mkdir(self.path("mnt"))
        self.virsh("pool-define-as", "f", "fs", "--source-dev", device, "--target", self.path("mnt"))
        self.virsh("pool-start", "f")
        self.addCleanup(run, "umount", self.path("mnt"), check=False)
        self.assertTrue(os.path.ismount(self.path("mnt")))
        self.virsh("vol-create-as", "f", "a.qcow2", "1M", "--format", "qcow2")
        self.daemon.kill()
        self.daemon.start()
        self.virsh("pool-start", "f")
        self.assertEqual(self.volumes("f"), ["a.qcow2"])
        self.virsh("pool-destroy", "f")
        self.assertFalse(os.path.ismount(self.path("mnt")))
        self.assertEqual(os.listdir(self.path("mnt")), [])

    def test_logical(self):
        if os.geteuid() or not has("vgcreate", "losetup"):
            self.skipTest("pools of type logical: needs root, lvm2 and losetup")
        if not os.path.exists("/dev/mapper/control"):
            self.skipTest("pools of type logical: this kernel has no device mapper")
        device, name = self.loop(self.image("pv", 64)), f"atoll{os.getpid()}"
        self.virsh("pool-define-as", "l", "logical", "--source-dev", device, "--source-name", name)
        self.virsh("pool-build", "l")
        self.virsh("pool-start", "l")
        self.virsh("vol-create-as", "l", "v", "8M")
        self.assertEqual(self.volumes("l"), ["v"])
        self.virsh("vol-delete", "v", "l")
        self.virsh("pool-destroy", "l")
        self.virsh("pool-delete", "l")

    def test_netfs(self):
        if not has("mount.nfs"):
            self.skipTest("pools of type netfs: mount.nfs is not installed (its plan is golden-tested)")
        os.mkdir(self.path("mnt"))
        self.virsh("pool-define-as", "n", "netfs", "--source-host", "127.0.0.1", "--source-path", "/nowhere", "--target", self.path("mnt"))
        refused = self.virsh("pool-start", "n", check=False)
        self.assertIn("mount", refused.stdout)

    def test_slow_reader(self):
        """A client that takes its time with a download holds nobody else."""
        os.mkdir(self.path("pool"))
        with open(self.path("data"), "wb") as out:
            out.write(os.urandom(24 << 20))
        self.virsh("pool-create-as", "p", "dir", "--target", self.path("pool"))
        self.virsh("vol-create-as", "p", "v", "24M")
        self.virsh("vol-upload", "v", self.path("data"), "--pool", "p")
        os.mkfifo(self.path("pipe"))
        slow = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri("qemu:///session"), "vol-download", "v", self.path("pipe"), "--pool", "p"], stdin=subprocess.DEVNULL)
        with open(self.path("pipe"), "rb") as file:
            head = file.read(1 << 20)
            self.assertIn("24.00 MiB", self.virsh("vol-info", "v", "p"))
            rest = file.read()
        self.assertEqual(slow.wait(60), 0)
        with open(self.path("data"), "rb") as file:
            self.assertEqual(file.read(), head + rest)


if __name__ == "__main__":
    tap.main()
