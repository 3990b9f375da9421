#!/usr/bin/env python3
"""Stock virsh on atolld: the life of domains of the test driver, of atoll-vm and of QEMU; what outlives the daemon; rights, events."""
import concurrent.futures
import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time
import unittest

import guest
import guests
import manager
import tap

TEST = "test:///default"
DOMAIN = """<domain type='{kind}'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file'><source file='/images/{name}.qcow2'/><target dev='vda'/></disk></devices><seclabel type='none'/></domain>"""

MACHINE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>console=ttyS0 atoll.mode=shell</cmdline></os>
<features><acpi/></features><devices>{emulator}<serial type='file'><source path='{log}'/></serial><graphics type='vnc' port='-1' autoport='yes'/>
<video><model type='vga'/></video><interface type='user'><model type='virtio'/></interface></devices></domain>"""


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
        for words in ("nodeinfo", "domstats", "nodecpustats", "nodememstats", "nodecpumap", "capabilities", "domcapabilities", "version", "hostname", "freecell"):
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

    def machine(self, name, emulator=None):
        """A real guest with a shell on its serial line; returns its definition's path."""
        path = os.path.join(self.daemon.folder, name + ".xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(MACHINE.format(name=name, kernel=guests.kernel("cloud"), initrd=guests.initramfs("cloud"), log=os.path.join(self.daemon.folder, name + ".log"),
                                     emulator=f"<emulator>{emulator}</emulator>" if emulator else ""))
        return path

    def wait_for(self, name, words):
        end = time.monotonic() + 120 * guest.PATIENCE
        while True:
            with contextlib.suppress(OSError), open(os.path.join(self.daemon.folder, name + ".log"), encoding="utf-8", errors="replace") as log:
                if words in log.read():
                    return
            self.assertLess(time.monotonic(), end, f"{name} does not say '{words}': {self.daemon.said()[-2000:]}")
            time.sleep(0.1)

    def life_of(self, name, emulator=None):
        self.virsh("define", self.machine(name, emulator))
        self.addCleanup(self.virsh, "destroy", name, check=False)
        self.virsh("start", name)
        self.wait_for(name, "A shell in the guest")
        self.virsh("suspend", name)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("domstate", name), "paused")
        self.virsh("resume", name)
        self.assertEqual(self.virsh("domstate", name), "running")
        self.assertRegex(self.virsh("dumpxml", name), "<graphics type='vnc' port='59[0-9]{2}'")
        self.virsh("destroy", name)
        self.assertEqual(self.virsh("domstate", name), "shut off")
        self.assertEqual(os.listdir(os.path.join(self.daemon.folder, "run", "domains")), [])

    def test_machine(self):
        self.life_of("real")

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "qemu-system-x86_64 is not installed")
    def test_machine_of_qemu(self):
        self.life_of("peer", "/usr/bin/qemu-system-x86_64")

    def test_console(self):
        path = self.machine("typed").replace("typed.xml", "typed2.xml")
        with open(self.machine("typed"), encoding="utf-8") as file, open(path, "w", encoding="utf-8") as out:
            out.write(re.sub("<serial.*</serial>", "<serial type='pty'/><console type='pty'/>", file.read()))
        self.virsh("create", path)
        self.addCleanup(self.virsh, "destroy", "typed", check=False)
        main, terminal = pty.openpty()
        console = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri("qemu:///session"), "console", "typed"], stdin=terminal, stdout=terminal, stderr=terminal,
                                   start_new_session=True)
        os.close(terminal)
        self.addCleanup(console.wait)
        self.addCleanup(console.kill)
        seen, end = b"", time.monotonic() + 120 * guest.PATIENCE
        while b"guest-42" not in seen and time.monotonic() < end:
            if not select.select([main], [], [], 1)[0]:
                os.write(main, b"echo guest-$((6*7))\r")
                continue
            seen += os.read(main, 4096)
        self.assertIn(b"guest-42", seen)
        os.write(main, b"\x1d")
        console.wait(20 * guest.PATIENCE)
        os.close(main)
        self.assertIn("running", self.virsh("qemu-monitor-command", "typed", "--hmp", "info status"))

    def test_changes_of_definitions(self):
        self.virsh("define", self.xml("changed"))
        self.virsh("attach-disk", "changed", "/images/second.qcow2", "vdb", "--config")
        self.refused("already", "attach-disk", "changed", "/images/second.qcow2", "vdb", "--config")
        self.assertEqual(len(self.virsh("domblklist", "changed").splitlines()), 2)
        self.virsh("detach-disk", "changed", "vdb", "--config")
        self.virsh("setvcpus", "changed", "3", "--config", "--maximum")
        self.virsh("setvcpus", "changed", "2", "--config")
        self.virsh("setmaxmem", "changed", "128M", "--config")
        self.virsh("setmem", "changed", "100M", "--config")
        self.refused("more than memory", "setmem", "changed", "200M", "--config")
        self.virsh("desc", "changed", "--title", "--new-desc", "A title", "--config")
        self.virsh("metadata", "changed", "http://example.org/x", "--set", "<a>b</a>", "--key", "k", "--config")
        xml = self.virsh("dumpxml", "changed")
        for piece in ("<vcpu placement='static' current='2'>3</vcpu>", "<memory unit='KiB'>131072</memory>", "<currentMemory unit='KiB'>102400</currentMemory>",
                      "<title>A title</title>", "<k:a xmlns:k='http://example.org/x'>b</k:a>"):
            self.assertIn(piece, xml)
        self.virsh("domrename", "changed", "renamed")
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("dumpxml", "renamed"), xml.replace("<name>changed<", "<name>renamed<"))
        self.assertEqual(self.virsh("list", "--all", "--name"), "renamed")

    def test_storage(self):
        folder = self.daemon.folder
        pool = os.path.join(folder, "pool")
        self.virsh("pool-define-as", "p", "dir", "--target", pool)
        self.refused("there is none", "pool-start", "p")
        self.virsh("pool-build", "p")
        self.virsh("pool-start", "p")
        self.virsh("pool-autostart", "p")
        self.refused("has the folder", "pool-define-as", "q", "dir", "--target", pool)
        self.virsh("vol-create-as", "p", "a.qcow2", "64M", "--format", "qcow2")
        self.virsh("vol-create-as", "p", "b.raw", "1M")
        self.virsh("vol-create-as", "p", "over.qcow2", "64M", "--format", "qcow2", "--backing-vol", "a.qcow2", "--backing-vol-format", "qcow2")
        self.assertIn(f"<path>{pool}/a.qcow2</path>", self.virsh("vol-dumpxml", "over.qcow2", "p").split("<backingStore>")[1])
        self.virsh("vol-clone", "b.raw", "c.raw", "--pool", "p")
        data = os.urandom(1 << 20)
        with open(os.path.join(folder, "up"), "wb") as out:
            out.write(data)
        self.virsh("vol-upload", "c.raw", os.path.join(folder, "up"), "--pool", "p")
        self.virsh("vol-download", "c.raw", os.path.join(folder, "down"), "--pool", "p")
        with open(os.path.join(folder, "down"), "rb") as file:
            self.assertEqual(file.read(), data)
        self.virsh("vol-wipe", "c.raw", "p")
        with open(os.path.join(pool, "c.raw"), "rb") as file:
            self.assertEqual(file.read(), bytes(1 << 20))
        self.virsh("vol-resize", "a.qcow2", "128M", "--pool", "p")
        self.assertIn("128.00 MiB", self.virsh("vol-info", "a.qcow2", "p"))
        self.refused("--shrink", "vol-resize", "b.raw", "512K", "--pool", "p")
        self.refused("exists already", "vol-create-as", "p", "b.raw", "1M")
        self.refused("no name here", "vol-create-as", "p", "../../x", "1M")
        self.refused("", "vol-create-as", "p", "bad", "1M", "--format", "nonsense")
        self.assertFalse(os.path.exists(os.path.join(pool, "bad")))
        self.virsh("vol-delete", "c.raw", "p")
        self.daemon.kill()
        self.daemon.start()
        end = time.monotonic() + 10 * guest.PATIENCE
        while "active" not in self.virsh("pool-list") and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(sorted(line.split()[0] for line in self.virsh("vol-list", "p").splitlines()), ["a.qcow2", "b.raw", "over.qcow2"])
        self.refused("still active", "pool-undefine", "p")
        self.virsh("pool-destroy", "p")
        self.virsh("pool-undefine", "p")
        self.assertTrue(os.path.exists(os.path.join(pool, "a.qcow2")))

    def test_failed_transient_start(self):
        self.refused("/images/gone.qcow2", "create", self.xml("gone"))
        self.assertEqual(self.virsh("list", "--all", "--name"), "")

    def test_machine_that_cannot_start(self):
        self.virsh("define", self.xml("broken"))
        self.refused("/images/broken.qcow2", "start", "broken")
        self.assertEqual(self.virsh("domstate", "broken"), "shut off")
        self.assertEqual(os.listdir(os.path.join(self.daemon.folder, "run", "domains")), [])

    def test_machine_that_dies(self):
        self.virsh("create", self.machine("mortal"))
        self.wait_for("mortal", "A shell in the guest")
        (uuid,) = {f.split(".")[0] for f in os.listdir(os.path.join(self.daemon.folder, "run", "domains"))}
        with open(os.path.join(self.daemon.folder, "run", "domains", uuid + ".pid"), encoding="utf-8") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        end = time.monotonic() + 20
        while "mortal" in self.virsh("list", "--all", "--name") and time.monotonic() < end:
            time.sleep(0.05)
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

    def test_devices_of_the_host(self):
        devices = self.virsh("nodedev-list").split()
        self.assertIn("computer", devices)
        for name in devices:
            self.assertIn(f"<name>{name}</name>", self.virsh("nodedev-dumpxml", name))
        self.assertEqual(self.virsh("nodedev-list", "--cap", "system"), "computer")
        self.assertEqual(set(self.virsh("nodedev-list", "--cap", "net").split()), {name for name in devices if name.startswith("net_")})
        names = {line.split()[0] for line in self.virsh("iface-list", "--all").splitlines()}
        self.assertEqual(names, set(os.listdir("/sys/class/net")))
        self.assertIn("name='lo'", self.virsh("iface-dumpxml", "lo"))
        for words in ("nwfilter-list", "secret-list"):
            self.assertEqual(self.virsh(words), "")
        self.refused("no node device", "nodedev-dumpxml", "pci_none")
        self.refused("no interface", "iface-dumpxml", "none0")

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
