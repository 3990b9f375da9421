#!/usr/bin/env python3
"""Stock libvirtd takes atoll-vm as <emulator>: probe, define, start, suspend, resume, destroy; disks, media, snapshots and jobs,
limits, cables, keys and pictures; a Debian disk with systemd (long).  A session daemon of an unprivileged user with its own folders,
driven by stock virsh."""
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

import guest
import tap

NOBODY = 65534
DOMAIN = """<domain type='{kind}'><name>t1</name><memory unit='MiB'>128</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>{cpu}
<devices><emulator>{emulator}</emulator>{disk}
<serial type='file'><source path='{folder}/serial'/><target port='0'/></serial>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='none'/><controller type='usb' model='none'/></devices></domain>"""


WHOLE = """<domain type='qemu'><name>t1</name><memory unit='MiB'>{memory}</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/><apic/></features>
<devices><emulator>{emulator}</emulator>
<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' io='native' ioeventfd='on' event_idx='on'/><source file='{folder}/disk.qcow2'/><target dev='vda' bus='virtio'/>
<serial>S123</serial></disk>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{folder}/a.iso'/><target dev='hda' bus='ide'/><readonly/></disk>
<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>
<serial type='file'><source path='{folder}/serial'/><target port='0'/></serial>
<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/><video><model type='vga' vram='16384'/></video>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='none'/><controller type='usb' model='none'/></devices></domain>"""


@unittest.skipUnless(shutil.which("libvirtd") and shutil.which("virsh"), "libvirtd or virsh is not installed")
@unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
class Libvirt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="atoll-libvirt-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        for name in ("home", "run"):
            os.mkdir(os.path.join(cls.folder, name), 0o700)
        cls.emulator = os.path.join(cls.folder, "atoll-vm")
        shutil.copy(guest.ATOLL_VM, cls.emulator)
        for name in ("", "home", "run"):
            os.chown(os.path.join(cls.folder, name), NOBODY, NOBODY)
        os.chmod(cls.folder, 0o755)
        cls.environment = {"HOME": f"{cls.folder}/home", "XDG_RUNTIME_DIR": f"{cls.folder}/run", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        cls.daemon = subprocess.Popen(["libvirtd"], user=NOBODY, group=NOBODY, extra_groups=[], env=cls.environment, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.stop)
        end = time.monotonic() + 20 * guest.PATIENCE
        while not os.path.exists(f"{cls.folder}/run/libvirt/libvirt-sock"):
            if time.monotonic() > end:
                raise AssertionError("libvirtd does not listen")
            time.sleep(0.05)

    @classmethod
    def stop(cls):
        cls.daemon.terminate()
        cls.daemon.wait()

    def virsh(self, *args, status=0):
        done = subprocess.run(["virsh", "-q", "-c", "qemu:///session", *args], user=NOBODY, group=NOBODY, extra_groups=[], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * guest.PATIENCE, check=False)
        self.assertEqual(done.returncode, status, f"virsh {args}: {done.stdout}{self.log()}")
        return done.stdout.strip()

    def log(self):
        try:
            with open(f"{self.folder}/home/.cache/libvirt/qemu/log/t1.log", encoding="utf-8") as log:
                return "\n" + log.read()[-2000:]
        except OSError:
            return ""

    def define(self, disk="", cpu=""):
        self.define_text(DOMAIN.format(kind="qemu", emulator=self.emulator, folder=self.folder, disk=disk, cpu=cpu))

    def define_text(self, text):
        path = os.path.join(self.folder, "t1.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        self.virsh("define", path)
        self.addCleanup(self.virsh, "undefine", "t1")

    def image(self, name, *args):
        """Made by qemu-img, and the daemon's user's."""
        path = os.path.join(self.folder, name)
        subprocess.run(["qemu-img", "create", "-q", "-f", *args[:1], *args[2:], path, *filter(None, args[1:2])], check=True)
        os.chown(path, NOBODY, NOBODY)
        return path

    def start_whole(self, memory=128, *backing):
        """A disk, a CD-ROM drive, a network card, a screen; destroyed at the end."""
        self.image("disk.qcow2", "qcow2", *(backing or ("64M",)))
        self.image("a.iso", "raw", "1M")
        self.image("b.iso", "raw", "2M")
        self.define_text(WHOLE.format(emulator=self.emulator, folder=self.folder, memory=memory))
        self.virsh("start", "t1")
        self.addCleanup(lambda: self.virsh("domstate", "t1") == "running" and self.virsh("destroy", "t1"))
        end = time.monotonic() + 20 * guest.PATIENCE
        while not int(self.stats()["block.0.rd.reqs"]): # the firmware has come to the boot sector
            self.assertLess(time.monotonic(), end, "nothing is read from the disk")
            time.sleep(0.2)

    def stats(self):
        return dict(re.findall(r"(\S+)=(.*)", self.virsh("domstats", "t1")))

    def test_capabilities(self):
        text = self.virsh("domcapabilities", "--emulatorbin", self.emulator, "--arch", "x86_64", "--machine", "pc", "--virttype", "qemu")
        self.assertIn("<mode name='maximum' supported='yes'>", text)
        usable = {name: word for word, name in re.findall(r"<model usable='(yes|no)'[^>]*>([^<]+)</model>", text)}
        self.assertEqual([usable.get(name) for name in ("Nehalem", "kvm64", "Icelake-Server", "EPYC")], ["yes", "yes", "no", "no"]) # no AVX-512, no SVM
        self.assertIn("<mode name='host-model' supported='yes'>", text)

    def started_cpu(self, cpu):
        """A machine with that <cpu>, destroyed again: its <cpu> while it ran, and its command line's -cpu."""
        self.define(cpu=cpu)
        self.virsh("start", "t1")
        text = self.virsh("dumpxml", "t1")
        with open(f"{self.folder}/home/.cache/libvirt/qemu/log/t1.log", encoding="utf-8") as log:
            line = re.findall(r"^-cpu (\S+)", log.read(), re.M)[-1]
        self.virsh("destroy", "t1")
        return re.search(r"<cpu.*</cpu>", text, re.S).group(0), line

    def test_named_cpu(self):
        live, line = self.started_cpu("<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>Nehalem</model>"
                                      "<feature policy='require' name='rdseed'/><feature policy='disable' name='vme'/></cpu>")
        self.assertEqual(line, "Nehalem,rdseed=on,vme=off")
        self.assertIn("<model fallback='forbid'>Nehalem</model>", live)

    def test_properties(self):
        """What libvirt writes for a topology, caches and the width of addresses."""
        _, line = self.started_cpu("<cpu mode='custom' match='exact'><model>EPYC</model><topology sockets='1' dies='1' cores='1' threads='2'/>"
                                   "<cache mode='disable'/><maxphysaddr mode='emulate' bits='42'/></cpu>")
        self.assertRegex(line, "^EPYC,.*l3-cache=off,phys-bits=42$")

    def test_enlightenments(self):
        """What domains of Windows guests have."""
        self.define_text(DOMAIN.format(kind="qemu", emulator=self.emulator, folder=self.folder, disk="", cpu="").replace(
            "<acpi/>", "<acpi/><hyperv mode='custom'><relaxed state='on'/><spinlocks state='on' retries='8191'/></hyperv>"))
        self.virsh("start", "t1")
        self.assertIn("without effect: hv-relaxed, hv-spinlocks", self.log())
        self.virsh("destroy", "t1")

    def test_host_model(self):
        live, line = self.started_cpu("<cpu mode='host-model'/>")
        self.assertIn("<cpu mode='custom' match='exact'", live) # what the host's model came to
        self.assertEqual(re.search(r"<model [^>]*>([^<]+)", live).group(1), line.split(",")[0])

    def test_life(self):
        self.define()
        self.virsh("start", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "running")
        self.virsh("suspend", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "paused")
        self.virsh("resume", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "running")
        self.assertIn("SeaBIOS", self.serial())
        self.assertIn("running", self.virsh("qemu-monitor-command", "t1", "--hmp", "info status"))
        self.virsh("reset", "t1")
        self.virsh("destroy", "t1")
        self.assertEqual(self.virsh("domstate", "t1"), "shut off")

    def test_disk(self):
        path = os.path.join(self.folder, "disk.img")
        with open(path, "wb") as out:
            out.truncate(1 << 20)
        os.chown(path, NOBODY, NOBODY)
        self.define(f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk>")
        self.virsh("start", "t1")
        self.assertIn("disk.img", self.virsh("domblklist", "t1"))
        self.virsh("destroy", "t1")

    def test_disk_and_media(self):
        self.start_whole()
        self.assertRegex(self.virsh("domblkinfo", "t1", "vda"), r"Capacity: +67108864\n")
        self.assertGreater(int(self.stats()["block.0.rd.bytes"]), 0) # its boot sector
        self.assertGreater(int(re.search(r"rd_req (\d+)", self.virsh("domblkstat", "t1", "vda")).group(1)), 0)
        self.virsh("blockresize", "t1", "vda", "128M")
        self.assertEqual(self.stats()["block.0.capacity"], str(128 << 20))
        self.virsh("blkdeviotune", "t1", "vda", "--total-iops-sec", "1000")
        self.assertRegex(self.virsh("blkdeviotune", "t1", "vda"), r"total_iops_sec *: 1000")
        self.virsh("change-media", "t1", "hda", "--eject")
        self.assertNotIn("a.iso", self.virsh("domblklist", "t1"))
        self.virsh("change-media", "t1", "hda", f"{self.folder}/b.iso", "--insert")
        self.assertEqual(self.stats()["block.1.capacity"], str(2 << 20))
        self.virsh("change-media", "t1", "hda", f"{self.folder}/a.iso", "--update")
        self.assertEqual(self.stats()["block.1.capacity"], str(1 << 20))

    def test_save(self):
        self.start_whole()
        file = os.path.join(self.folder, "saved")
        for out, back in (["save", "t1", file], ["restore", file]), (["managedsave", "t1"], ["start", "t1"]):
            self.virsh(*out)
            self.assertEqual(self.virsh("domstate", "--reason", "t1"), "shut off (saved)")
            self.virsh(*back)
            self.assertRegex(self.virsh("domstate", "--reason", "t1"), "running")
            self.assertIn("running", self.virsh("qemu-monitor-command", "t1", "--hmp", "info status"))

    def test_screen_keys_and_cable(self):
        self.start_whole()
        self.assertTrue(self.virsh("vncdisplay", "t1").startswith("127.0.0.1:"))
        path = os.path.join(self.folder, "screen")
        self.virsh("screenshot", "t1", path)
        with open(path, "rb") as picture:
            self.assertIn(picture.read(2), (b"P6", b"\x89P"))
        self.virsh("send-key", "t1", "KEY_LEFTCTRL", "KEY_A")
        for state in ("down", "up"):
            self.virsh("domif-setlink", "t1", "52:54:00:11:22:33", state)
            self.assertIn("link down" if state == "down" else "hostnet0", self.virsh("qemu-monitor-command", "t1", "--hmp", "info network"))
        self.assertEqual(self.virsh("domcontrol", "t1"), "ok")

    def test_snapshot_and_jobs(self):
        self.start_whole()
        over = os.path.join(self.folder, "over.qcow2")
        self.virsh("snapshot-create-as", "t1", "--disk-only", "--no-metadata", "--diskspec", f"vda,file={over}", "--diskspec", "hda,snapshot=no")
        self.assertIn("over.qcow2", self.virsh("domblklist", "t1"))
        self.virsh("blockcommit", "t1", "vda", "--active", "--pivot", "--wait")
        self.assertIn("disk.qcow2", self.virsh("domblklist", "t1"))
        self.assertNotIn("over.qcow2", self.virsh("dumpxml", "t1"))
        os.unlink(over)
        self.virsh("snapshot-create-as", "t1", "--disk-only", "--no-metadata", "--diskspec", f"vda,file={over}", "--diskspec", "hda,snapshot=no")
        self.virsh("blockpull", "t1", "vda", "--wait")
        self.assertNotIn("disk.qcow2", self.virsh("dumpxml", "t1"))
        copy = os.path.join(self.folder, "copy.qcow2")
        self.virsh("blockcopy", "t1", "vda", copy, "--transient-job", "--wait", "--pivot", "--format", "qcow2")
        self.assertIn("copy.qcow2", self.virsh("domblklist", "t1"))
        self.assertEqual(self.virsh("qemu-monitor-command", "t1", '{"execute":"query-jobs"}').count('"status"'), 0)
        for name in ("over", "copy"):
            os.unlink(os.path.join(self.folder, f"{name}.qcow2"))

    @unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
    def test_debian(self):
        """virsh shutdown presses the power button of a Debian disk that systemd runs."""
        import guest_disk
        disk = os.path.join(self.folder, "debian.img")
        subprocess.run(["cp", "--sparse=always", guest_disk.disk("amd64"), disk], check=True)
        os.chown(disk, NOBODY, NOBODY)
        self.start_whole(512, "", "-b", disk, "-F", "raw")
        self.serial("atoll login:", 300)
        time.sleep(5)
        self.virsh("suspend", "t1")
        self.virsh("resume", "t1")
        self.virsh("shutdown", "t1")
        end = time.monotonic() + 120 * guest.PATIENCE
        while self.virsh("domstate", "t1") != "shut off":
            self.assertLess(time.monotonic(), end, "the guest does not shut down")
            time.sleep(1)

    def serial(self, wanted="SeaBIOS", seconds=20):
        end = time.monotonic() + seconds * guest.PATIENCE
        text = ""
        while wanted not in text and time.monotonic() < end:
            with open(f"{self.folder}/serial", encoding="utf-8", errors="replace") as out:
                text = out.read()
            time.sleep(0.1)
        self.assertIn(wanted, text)
        return text


if __name__ == "__main__":
    tap.main()
