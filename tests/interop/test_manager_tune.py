#!/usr/bin/env python3
"""Stock virsh on atolld: a machine's share of the host, in its definition and, by control groups, while it runs."""
import glob
import os
import re
import shutil
import time
import unittest

import managed
import tap

V1 = "/sys/fs/cgroup/{}/atoll/{}"


def can_make_groups():
    path = f"/sys/fs/cgroup/cpu/atoll-test-{os.getpid()}"
    try:
        os.mkdir(path)
        os.rmdir(path)
    except OSError:
        return False
    return os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Said(managed.Managed):
    def said(self, *args, **named):
        return dict(re.findall(r"^(\S+) *: (.*)$", self.virsh(*args, **named), re.MULTILINE))


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Tuning(Said):
    def test_definition(self):
        self.define("m")
        self.assertEqual(self.said("schedinfo", "m", "--config"), {"Scheduler": "posix", "cpu_shares": "1024", "global_period": "100000", "global_quota": "-1"})
        self.assertEqual(self.said("memtune", "m")["hard_limit"], "unlimited")
        self.virsh("schedinfo", "m", "--config", "cpu_shares=2048", "global_quota=50000")
        self.virsh("memtune", "m", "--config", "--hard-limit", "1048576", "--soft-limit", "524288")
        self.virsh("blkiotune", "m", "--config", "--weight", "300")
        xml = self.virsh("dumpxml", "m")
        for piece in ("<shares>2048</shares>", "<global_quota>50000</global_quota>", "<hard_limit unit='KiB'>1048576</hard_limit>", "<weight>300</weight>"):
            self.assertIn(piece, xml)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.said("memtune", "m")["soft_limit"], "524288")
        self.assertEqual(self.said("blkiotune", "m")["weight"], "300")
        self.virsh("memtune", "m", "--config", "--hard-limit", "-1", "--soft-limit", "-1")
        self.assertNotIn("hard_limit", self.virsh("dumpxml", "m"))
        self.refused("from 2 to", "schedinfo", "m", "--config", "cpu_shares=1")
        self.refused("weight", "blkiotune", "m", "--config", "--weight", "5")
        self.refused("not running", "memtune", "m", "--live", "--hard-limit", "1048576")
        self.assertIn("numa_mode", self.said("numatune", "m"))

    def test_in_memory(self):
        self.virsh("schedinfo", "test", "--live", "cpu_shares=512", uri=managed.TEST)
        self.assertEqual(self.said("schedinfo", "test", uri=managed.TEST)["cpu_shares"], "512")


@unittest.skipUnless(shutil.which("virsh") and can_make_groups(), "needs control groups of version 1")
class Groups(Said):
    def group(self, controller, name, file):
        uuid = self.virsh("domuuid", name)
        folder, = glob.glob(V1.format(controller, uuid + ".*"))
        with open(os.path.join(folder, file), encoding="utf-8") as text:
            return text.read().strip()

    def spent(self, seconds):
        """Processor time that the machine takes in so many seconds."""
        def now():
            return int(re.search(r"cpu.time=(\d+)", self.virsh("domstats", "m", "--cpu-total")).group(1)) / 1e9
        before = now()
        time.sleep(seconds)
        return now() - before

    def test_running(self):
        line = self.start("m")
        events = self.events()
        line.send("while :; do :; done\n")
        self.virsh("schedinfo", "m", "--live", "--config", "cpu_shares=512", "global_period=100000", "global_quota=10000")
        events.expect("cputune.global_quota: 10000")
        self.assertEqual(self.group("cpu", "m", "cpu.shares"), "512")
        self.assertLess(self.spent(3), 1)
        self.virsh("schedinfo", "m", "--live", "global_quota=-1")
        self.assertEqual(self.group("cpu", "m", "cpu.cfs_quota_us"), "-1")
        self.virsh("memtune", "m", "--live", "--hard-limit", "2097152")
        self.assertEqual(self.group("memory", "m", "memory.limit_in_bytes"), str(2 << 30))
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.said("memtune", "m")["hard_limit"], "2097152")
        self.virsh("destroy", "m")
        self.virsh("start", "m")
        self.assertEqual(self.group("cpu", "m", "cpu.cfs_quota_us"), "10000")
        uuid = self.virsh("domuuid", "m")
        self.virsh("destroy", "m")
        self.until(lambda: not glob.glob(V1.format("*", uuid + ".*")), "groups are left")


if __name__ == "__main__":
    tap.main()
