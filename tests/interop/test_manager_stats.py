#!/usr/bin/env python3
"""Stock virsh on atolld: statistics of machines, and the addresses of their guests."""
import os
import re
import shutil
import subprocess
import unittest

import managed
import tap

DISK_KEYS = ["rd.reqs", "rd.bytes", "rd.times", "wr.reqs", "wr.bytes", "wr.times", "fl.reqs", "fl.times", "allocation", "capacity", "physical"]
CARD_KEYS = [f"{way}.{what}" for way in ("rx", "tx") for what in ("bytes", "pkts", "errs", "drop")]


class Figures:
    def figures(self, *args, **named):
        """What domstats says: {machine: {key: text}}."""
        said = {}
        for line in self.virsh("domstats", *args, **named).splitlines():
            if found := re.match(r"Domain: '(.*)'", line):
                said[found.group(1)] = {}
            elif "=" in line:
                key, value = line.strip().split("=", 1)
                said[next(reversed(said))][key] = value
        return said


@unittest.skipUnless(shutil.which("virsh") and shutil.which("qemu-img"), "virsh or qemu-img is not installed")
class Statistics(managed.Managed, Figures):
    def running(self, emulator=None):
        self.image("a.qcow2")
        self.image("b.raw", "4M")
        cdrom = "<disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk>"
        line = self.start("m", self.disk("vda", "a.qcow2") + self.disk("vdb", "b.raw", "raw") + cdrom + "<memballoon model='virtio'/>", emulator)
        self.define("off", self.disk("vda", "a.qcow2"))
        line.send("dd if=/dev/zero of=/dev/vda bs=64k count=5 conv=fsync; echo written-$((6*7))\n")
        line.expect("written-42", 60)
        all_of = self.figures()
        m = all_of["m"]
        self.assertEqual((m["state.state"], m["block.count"], m["block.0.name"], m["block.0.path"]), ("1", "3", "vda", self.path("a.qcow2")))
        for key in DISK_KEYS:
            self.assertTrue(m[f"block.0.{key}"].isdigit(), key)
        self.assertGreaterEqual(int(m["block.0.wr.bytes"]), 5 * 65536)
        self.assertGreater(int(m["block.0.fl.reqs"]), 0)
        self.assertEqual((m["block.0.capacity"], m["block.1.capacity"], m["block.1.physical"]), (str(64 << 20), str(4 << 20), str(4 << 20)))
        self.assertEqual(m["block.2.name"], "hda")
        self.assertGreater(int(m["vcpu.0.time"]), 10 ** 8)
        self.assertEqual(int(m["cpu.user"]) + int(m["cpu.system"]), int(m["cpu.time"]))
        self.assertGreater(int(m["balloon.rss"]), 1024)
        off = all_of["off"]
        self.assertEqual((off["state.state"], off["block.0.name"], "block.0.rd.reqs" in off, "cpu.time" in off), ("5", "vda", False, False))
        self.assertEqual(list(self.figures("--list-active", "--state")["m"]), ["state.state", "state.reason"])
        self.assertEqual(list(self.figures("--list-active", "--nowait")), ["m"])
        self.virsh("snapshot-create-as", "m", "s", "--disk-only", "--no-metadata", "--diskspec", "vdb,snapshot=no")
        below = self.figures("--block", "--backing", "m")["m"]
        self.assertEqual((below["block.count"], below["block.1.name"], below["block.1.path"]), ("4", "vda", self.path("a.qcow2")))
        self.assertIn("block.0.backingIndex", below)
        said = self.virsh("vcpuinfo", "m")
        self.assertRegex(said, r"State: +running")
        self.assertGreater(float(re.search(r"CPU time: +([0-9.]+)s", said).group(1)), 0.1)
        total = self.virsh("cpu-stats", "m", "--total")
        for key in ("cpu_time", "user_time", "system_time"):
            self.assertRegex(total, key + r" +[0-9.]+ seconds")
        self.assertIn("No per-CPU stats available", self.virsh("cpu-stats", "m"))
        self.refused("not running", "cpu-stats", "off", "--total")

        self.virsh("dommemstat", "m", "--period", "1", "--live", "--config")
        self.until(lambda: re.search(r"available \d+", self.virsh("dommemstat", "m")), "the guest tells nothing of its memory")
        told = dict(line.split() for line in self.virsh("dommemstat", "m").splitlines())
        self.assertLess(int(told["unused"]), int(told["available"]))
        self.assertLess(int(told["available"]), 256 << 10)
        self.assertTrue({"actual", "rss", "swap_in", "major_fault", "usable", "last_update", "disk_caches"} <= told.keys())
        self.assertTrue({"balloon.unused", "balloon.available", "balloon.usable", "balloon.last-update"} <= self.figures("--balloon", "m")["m"].keys())
        for where in ([], ["--inactive"]):
            self.assertIn("<stats period='1'/>", self.virsh("dumpxml", "m", *where))
        self.virsh("setmem", "m", "192M", "--live")
        self.until(lambda: "actual 196608" in self.virsh("dommemstat", "m"), "the balloon is not blown up")

        self.pins()
        self.assertIn("No errors found", self.virsh("domblkerror", "m"))
        self.virsh("inject-nmi", "m")
        line.send("until grep -q 'NMI: *[1-9]' /proc/interrupts; do sleep 1; done; echo nm''i\n")
        line.expect("nmi", 60)

    def pins(self):
        """Threads of the running machine are kept to processors of the host."""
        cpus = os.cpu_count()
        every = "0" if cpus == 1 else f"0-{cpus - 1}"
        self.assertRegex(self.virsh("vcpupin", "m"), rf"^ *0 +{every}$")
        self.assertRegex(self.virsh("vcpupin", "off"), rf"^ *0 +{every}$")
        last = str(cpus - 1)
        self.virsh("vcpupin", "m", "0", last, "--live")
        self.assertRegex(self.virsh("vcpupin", "m", "--live"), rf"^ *0 +{last}$")
        self.assertRegex(self.virsh("emulatorpin", "m"), rf"{every}$")
        self.virsh("emulatorpin", "m", "0", "--live")
        self.assertRegex(self.virsh("emulatorpin", "m"), r"(^| )0$")
        self.assertRegex(self.virsh("vcpupin", "m", "--live"), rf"^ *0 +{last}$")
        self.assertRegex(self.virsh("vcpuinfo", "m"), r"CPU Affinity: +y")
        self.virsh("vcpupin", "m", "0", last, "--config")
        self.assertIn(f"<vcpupin vcpu='0' cpuset='{last}'/>", self.virsh("dumpxml", "m", "--inactive"))
        self.refused("no processor", "vcpupin", "m", "7", "0", "--config")

    def threads(self, pid):
        """Names of a process's threads and where they may run."""
        found = []
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as file:
                found.append((file.read().strip(), sorted(os.sched_getaffinity(int(thread)))))
        return found

    def at_start(self, emulator=None):
        """What the definition says of processors and I/O threads holds from the start, and can be changed in both."""
        last = os.cpu_count() - 1
        self.image("a.qcow2")
        self.define("m", self.disk("vda", "a.qcow2"), emulator)
        tune = (f"<iothreads>2</iothreads><cputune><vcpupin vcpu='0' cpuset='{last}'/><emulatorpin cpuset='0'/><iothreadpin iothread='2' cpuset='{last}'/></cputune><os>")
        with open(self.path("m.xml"), encoding="utf-8") as file:
            self.virsh("define", self.write("tuned.xml", file.read().replace("<os>", tune, 1).replace("type='qcow2'/>", "type='qcow2' iothread='2'/>")))
        self.addCleanup(self.virsh, "destroy", "m", check=False)
        self.virsh("start", "m")
        with open(self.path(f"run/domains/{self.virsh('domuuid', 'm')}.pid"), encoding="utf-8") as file:
            pid = int(file.read())
        self.assertRegex(self.virsh("vcpupin", "m", "--live"), rf"^ *0 +{last}$")
        self.assertRegex(self.virsh("emulatorpin", "m"), r"(^| )0$")
        self.assertRegex(self.virsh("iothreadinfo", "m"), rf"1 +0.*\n *2 +{last}$")
        self.assertEqual({where[0] for _, where in self.threads(pid)}, {0, last})
        events = self.events()
        self.virsh("iothreadpin", "m", "1", "0", "--live")
        events.expect(r"cputune.iothreadpin1: 0")
        self.virsh("iothreadadd", "m", "5", "--live", "--config")
        self.assertRegex(self.virsh("iothreadinfo", "m"), r"\n *5 +")
        self.assertRegex(self.virsh("iothreadinfo", "m", "--config"), r"\n *5 +")
        self.refused("already", "iothreadadd", "m", "5")
        self.virsh("iothreaddel", "m", "5", "--live", "--config")
        self.refused("no I/O thread 5", "iothreaddel", "m", "5")
        self.refused("in use by disk 'vda'", "iothreaddel", "m", "2")
        self.assertNotRegex(self.virsh("iothreadinfo", "m"), r"\n *5 +")
        line = self.shell("m")
        line.send("dd if=/dev/zero of=/dev/vda bs=64k count=5 conv=fsync; echo written-$((6*7))\n")
        line.expect("written-42", 60)
        self.refused("wants I/O thread 9", "define", self.write("bad.xml", self.virsh("dumpxml", "m", "--inactive").replace("iothread='2'/>\n", "iothread='9'/>\n")))

    def test_at_start(self):
        self.at_start()

    @managed.needs_qemu
    def test_at_start_of_qemu(self):
        self.at_start(managed.QEMU)

    def test_running(self):
        self.running()

    @managed.needs_qemu
    def test_running_of_qemu(self):
        self.running(managed.QEMU)

    def test_in_memory(self):
        devices = "<disk type='file'><source file='/a'/><target dev='vda'/></disk><interface type='user'><mac address='52:54:00:00:00:01'/></interface>"
        self.virsh("create", self.write("t.xml", managed.MACHINE_IN_MEMORY.format(name="t", devices=devices)), uri=managed.TEST)
        m = self.figures("--enforce", "--state", "--cpu-total", "--balloon", "--vcpu", "--interface", "--block", uri=managed.TEST)["t"]
        self.assertEqual((m["block.0.rd.bytes"], m["net.count"]), ("0", "1"))
        for key in CARD_KEYS:
            self.assertEqual(m["net.0." + key], "0")
        self.assertNotEqual(self.virsh("domstats", "--enforce", "--perf", "t", uri=managed.TEST, check=False).returncode, 0)

    def test_disk_full(self):
        """The machine stands when its disk's file system is full, and says for which disk; it goes on when there is room."""
        folder = self.path("small")
        os.mkdir(folder)
        if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "small", folder], check=False).returncode:
            self.skipTest("needs to mount a file system")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        with open(self.path("small/a.raw"), "wb") as out:
            out.truncate(4 << 20)
        disk = (f"<disk type='file'><driver name='qemu' type='raw' error_policy='enospace'/><source file='{folder}/a.raw'/><target dev='vda'/></disk>")
        line = self.start("m", disk)
        line.send("dd if=/dev/urandom of=/dev/vda bs=64k count=16 conv=fsync; echo writ''ten\n")
        self.until(lambda: "no space" in self.virsh("domblkerror", "m", check=False).stdout, "no error is said")
        self.assertEqual(self.virsh("domstate", "m"), "paused")
        subprocess.run(["mount", "-o", "remount,size=16m", folder], check=True)
        self.virsh("resume", "m")
        line.expect("written", 60)
        self.assertIn("No errors found", self.virsh("domblkerror", "m"))

    def test_small_questions(self):
        self.define("m")
        self.virsh("set-lifecycle-action", "m", "reboot", "destroy", "--config")
        self.assertIn("<on_reboot>destroy</on_reboot>", self.virsh("dumpxml", "m"))
        self.refused("no action", "set-lifecycle-action", "m", "reboot", "coredump-restart", "--config")
        pools = ("import libvirt, sys; c = libvirt.open(sys.argv[1]); print(c.listStoragePools(), c.listDefinedStoragePools())")
        self.virsh("pool-define-as", "off", "dir", "--target", "/off", uri=managed.TEST)
        self.virsh("pool-create-as", "on", "dir", "--target", "/on", uri=managed.TEST)
        uri = self.daemon.uri(managed.TEST)
        said = subprocess.run(["/usr/bin/python3", "-c", pools, uri], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
        if "No module" not in said:
            self.assertEqual(said.strip(), "['on'] ['off']")

    def test_addresses_refused(self):
        self.define("off")
        self.refused("not running", "domifaddr", "off")


if __name__ == "__main__":
    tap.main()
