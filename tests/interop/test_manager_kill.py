#!/usr/bin/env python3
"""kill -9 of atolld at a random moment of each verb: a restart finds every machine, nothing is lost or doubled.  A few times for each verb; with
ATOLL_TEST_LONG a hundred times."""
import os
import random
import re
import shutil
import subprocess
import time
import unittest

import guest
import manager
import tap

TIMES = 100 if guest.LONG else 4
DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<title>{title}</title><devices><serial type='pty'/></devices></domain>"""
UUIDS = {name: f"00000000-0000-4000-8000-00000000000{n}" for n, name in enumerate(("still", "busy", "other", "fresh"))}
POOL = "<pool type='dir'><name>pool</name><target><path>{path}</path></target></pool>"


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Kills(unittest.TestCase):
    """`still` is defined and never touched, `busy` runs and is never touched, `other` is what verbs work on."""

    def setUp(self):
        self.random = random.Random(int(os.environ.get("ATOLL_SEED", time.time_ns() & 0xffff)))
        self.daemon = manager.Daemon()
        self.addCleanup(self.daemon.stop)
        self.addCleanup(self.end_machines)
        self.pool = os.path.join(self.daemon.folder, "pool")
        for name in ("still", "busy", "other"):
            self.virsh("define", self.xml(name))
        self.virsh("start", "busy")
        self.xmls = {name: self.inactive(name) for name in ("still", "busy")}
        self.took = {}  # verb: seconds

    def virsh(self, *args, **named):
        return self.daemon.virsh(*args, **named)

    def xml(self, name, title="a title"):
        path = os.path.join(self.daemon.folder, f"{name}.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(DOMAIN.format(name=name, uuid=UUIDS[name], title=title))
        return path

    def inactive(self, name):
        return self.virsh("dumpxml", "--inactive", name)

    def machines(self):
        """Processes of machines by UUID, as the kernel has them."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    ended = file.read().rpartition(")")[2].split()[0] in "ZX"
            except OSError:
                continue
            if words[0] == guest.ATOLL_VM and "-uuid" in words and any(self.daemon.folder in word for word in words) and not ended:
                found.setdefault(words[words.index("-uuid") + 1], []).append(int(pid))
        return found

    def end_machines(self):
        for pids in self.machines().values():
            for pid in pids:
                os.kill(pid, 9)

    def states(self):
        rows = [line.split(None, 2) for line in self.virsh("list", "--all").splitlines()]
        self.assertEqual(len(rows), len({row[1] for row in rows}), rows)
        return {name: state for _, name, state in rows}

    def settle(self):
        """What the daemon says and what the kernel has agree, at last: one process for each domain that runs, none beside."""
        end = time.monotonic() + 20 * guest.PATIENCE
        while True:
            states, machines = self.states(), self.machines()
            running = {name for name, state in states.items() if state in ("running", "paused")}
            if running == {name for name, uuid in UUIDS.items() if machines.get(uuid)} and all(len(pids) == 1 for pids in machines.values()):
                return states
            if time.monotonic() > end:
                self.fail(f"the daemon says {states}, the processes are {machines}; {self.daemon.said()[-3000:]}")
            time.sleep(0.1)

    def interrupted(self, verb, *args):
        """Runs a verb, and kills the daemon somewhere in it."""
        wait = self.random.uniform(0, 1.2) * self.took.get(verb, 0.2)
        start = time.monotonic()
        client = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri("qemu:///session"), verb, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        if verb not in self.took:  # the first time whole, to know how long it takes
            client.wait()
            self.took[verb] = time.monotonic() - start
        else:
            time.sleep(wait)
        self.daemon.kill()
        client.wait(60 * guest.PATIENCE)
        self.daemon.start()
        states = self.settle()
        self.assertEqual(states["still"], "shut off")
        self.assertEqual(states["busy"], "running")
        self.assertEqual({name: self.inactive(name) for name in self.xmls}, self.xmls)
        return states

    def restore(self):
        """`other` is defined and does not run; `fresh` is not there."""
        states = self.states()
        for name in ("other", "fresh"):
            if states.get(name) in ("running", "paused"):
                self.virsh("destroy", name)
        if "fresh" in self.states():
            self.virsh("undefine", "fresh")
        if "other" not in self.states():
            self.virsh("define", self.xml("other"))

    def each(self, work):
        for _ in range(TIMES):
            work()
            self.restore()

    def test_define_new(self):
        def work():
            states = self.interrupted("define", self.xml("fresh"))
            self.assertIn("other", states)
            if "fresh" in states:
                self.assertIn("<title>a title</title>", self.inactive("fresh"))
        self.each(work)

    def test_define_again(self):
        def work():
            titles = {re.search("<title>(.*)</title>", self.inactive("other")).group(1), f"title {self.random.random()}"}
            self.interrupted("define", self.xml("other", max(titles, key=len)))
            self.assertIn(re.search("<title>(.*)</title>", self.inactive("other")).group(1), titles)
        self.each(work)

    def test_undefine(self):
        self.each(lambda: self.assertIn(self.interrupted("undefine", "other").get("other"), (None, "shut off")))

    def test_start(self):
        self.each(lambda: self.assertIn(self.interrupted("start", "other")["other"], ("running", "paused", "shut off")))

    def test_create(self):
        self.each(lambda: self.assertIn(self.interrupted("create", self.xml("fresh")).get("fresh"), (None, "running", "paused")))

    def on_running(self, verb, *args, states=("running",)):
        def work():
            self.virsh("start", "other")
            (pid,) = self.machines()[UUIDS["other"]]
            state = self.interrupted(verb, *args)["other"]
            self.assertIn(state, states)
            if state != "shut off":
                self.assertEqual(self.machines()[UUIDS["other"]], [pid])
        self.each(work)

    def test_destroy(self):
        self.on_running("destroy", "other", states=("running", "shut off"))

    def test_suspend(self):
        self.on_running("suspend", "other", states=("running", "paused"))

    def test_resume(self):
        self.on_running("resume", "other")

    def test_reset(self):
        self.on_running("reset", "other")

    def test_set_title(self):
        self.on_running("desc", "other", "--title", "--live", "--config", "--new-desc", "another")

    def test_rename(self):
        def work():
            if "renamed" in (states := self.interrupted("domrename", "other", "renamed")):
                self.assertNotIn("other", states)
                self.virsh("domrename", "renamed", "other")
        self.each(work)

    def test_autostart(self):
        def work():
            states = self.interrupted("autostart", "other")  # by which the next daemon may start it
            self.virsh("autostart", "other", "--disable")
            self.assertIn(states["other"], ("running", "paused", "shut off"))
        self.each(work)

    def test_told_to_end(self):
        """SIGTERM in the middle of work: workers are waited for, and what they did is whole."""
        os.mkdir(self.pool)
        self.virsh("pool-create-as", "pool", "dir", "--target", self.pool)
        self.virsh("vol-create-as", "pool", "large", "512M", "--allocation", "512M")
        for verb, args in (("start", ("other",)), ("vol-clone", ("large", "copy", "--pool", "pool")), ("vol-wipe", ("large", "pool")),
                           ("vol-download", ("large", "/dev/null", "--pool", "pool"))):
            client = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri("qemu:///session"), verb, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            time.sleep(self.random.uniform(0.02, 0.2))
            self.daemon.process.terminate()
            self.assertEqual(self.daemon.process.wait(60 * guest.PATIENCE), 0, self.daemon.said()[-2000:])
            client.wait(60 * guest.PATIENCE)
            self.assertEqual([name for name in os.listdir(self.pool) if name not in ("large", "copy")], [])
            self.daemon.start()
            self.assertEqual(self.settle()["busy"], "running")
            self.virsh("pool-create-as", "pool", "dir", "--target", self.pool)

    def test_volumes(self):
        path = os.path.join(self.daemon.folder, "pool.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(POOL.format(path=self.pool))

        def volumes():
            if "active" not in self.virsh("pool-info", "pool").split("State:")[1].split("\n")[0].replace("inactive", ""):
                self.virsh("pool-start", "pool")
            return {line.split()[0] for line in self.virsh("vol-list", "pool").splitlines()}

        self.virsh("pool-define", path)
        self.virsh("pool-build", "pool")
        self.virsh("pool-start", "pool")
        self.virsh("vol-create-as", "pool", "kept", "1M")
        for verb, args in (("vol-create-as", ("pool", "v", "8M", "--format", "qcow2")), ("vol-clone", ("kept", "v", "--pool", "pool")), ("vol-delete", ("kept", "pool")),
                           ("pool-destroy", ("pool",)), ("pool-start", ("pool",))):
            for _ in range(TIMES):
                self.interrupted(verb, *args)
                found = volumes()
                self.assertLessEqual(found, {"kept", "v"})
                self.assertTrue("kept" in found or verb == "vol-delete", found)
                if "v" in found:  # whole: it can be opened as what it says, and goes
                    self.assertIn("Capacity", self.virsh("vol-info", "v", "pool"))
                    self.virsh("vol-delete", "v", "pool")
                if "kept" not in found:
                    self.virsh("vol-create-as", "pool", "kept", "1M")


if __name__ == "__main__":
    tap.main()
