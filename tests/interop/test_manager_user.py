#!/usr/bin/env python3
"""Machines of a daemon of root that run as somebody else: their files are opened by root before, and stay whose they are."""
import os
import pwd
import shutil
import signal
import subprocess
import time
import unittest

import guest
import manager
import tap

USER = "nobody"
DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices>{emulator}<disk type='file'><driver name='qemu' type='{format}'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk><serial type='pty'/>
<graphics type='vnc' port='-1' autoport='yes'/><video><model type='vga'/></video><interface type='user'><model type='virtio'/></interface></devices></domain>"""


@unittest.skipUnless(shutil.which("virsh") and not os.geteuid(), "needs virsh and root")
class OfAnother(unittest.TestCase):
    def setUp(self):
        self.daemon = manager.Daemon("--machine-user", USER)
        self.addCleanup(self.daemon.stop)
        self.disk = os.path.join(self.daemon.folder, "private", "disk.qcow2")
        os.mkdir(os.path.dirname(self.disk), 0o700)
        subprocess.run([os.path.join(os.path.dirname(guest.ATOLL_VM), "atoll-img"), "create", "-q", "-f", "qcow2", self.disk, "64M"], check=True)
        os.chmod(self.disk, 0o600)

    def virsh(self, *args, **named):
        return self.daemon.virsh(*args, **named)

    def owner(self):
        st = os.stat(self.disk)
        return st.st_uid, st.st_gid, st.st_mode

    def life_of(self, name, emulator=""):
        path, before = os.path.join(self.daemon.folder, name + ".xml"), self.owner()
        with open(path, "w", encoding="utf-8") as out:
            out.write(DOMAIN.format(name=name, path=self.disk, format="qcow2", emulator=emulator))
        self.virsh("define", path)
        self.virsh("start", name)
        self.addCleanup(self.virsh, "destroy", name, check=False)
        with open(os.path.join(self.daemon.folder, "run/domains", self.virsh("domuuid", name) + ".pid"), encoding="utf-8") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            status = dict(line.split(":", 1) for line in file)
        self.assertEqual(set(status["Uid"].split()), {str(pwd.getpwnam(USER).pw_uid)})
        self.assertEqual(set(status["Gid"].split()), {str(pwd.getpwnam(USER).pw_gid)})
        self.assertEqual(status["CapEff"].strip(), "0" * 16)
        self.assertEqual(self.owner(), before)
        for verb, state in (("suspend", "paused"), ("resume", "running"), ("reset", "running")):
            self.virsh(verb, name)
            self.assertEqual(self.virsh("domstate", name), state)
        second = os.path.join(os.path.dirname(self.disk), name + "-second.raw")
        with open(second, "wb") as out:
            out.truncate(1 << 20)
        os.chmod(second, 0o600)
        self.virsh("attach-disk", name, second, "vdb", "--live", "--subdriver", "raw")
        self.assertIn(second, self.virsh("domblklist", name))
        self.assertIn("1048576", self.virsh("domblkinfo", name, "vdb"))
        self.assertEqual((os.stat(second).st_uid, os.stat(second).st_mode & 0o777), (0, 0o600))
        overlay = f"{self.disk}.{name}"
        self.virsh("snapshot-create-as", name, "one", "--disk-only", "--no-metadata", "--diskspec", f"vda,file={overlay}", "--diskspec", "vdb,snapshot=no")
        self.assertIn(overlay, self.virsh("domblklist", name))
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("domstate", name), "running")
        self.virsh("destroy", name)
        self.assertEqual(self.virsh("domstate", name), "shut off")
        self.assertEqual(self.owner(), before)
        self.assertEqual(os.listdir(os.path.join(self.daemon.folder, "run/domains")), [])
        self.virsh("start", name)  # nothing is left in its way
        os.kill(int(self.pid_of(name)), signal.SIGKILL)
        end = time.monotonic() + 60 * guest.PATIENCE
        while self.virsh("domstate", name) != "shut off" and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.virsh("domstate", name), "shut off")

    def pid_of(self, name):
        with open(os.path.join(self.daemon.folder, "run/domains", self.virsh("domuuid", name) + ".pid"), encoding="utf-8") as file:
            return file.read()

    def test_machine(self):
        self.life_of("ours")

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "qemu-system-x86_64 is not installed")
    def test_machine_of_qemu(self):
        self.life_of("peers", "<emulator>/usr/bin/qemu-system-x86_64</emulator>")

    def test_nobody_of_that_name(self):
        done = subprocess.run([manager.ATOLLD, "--session", "--machine-user", "no-such-user", *self.daemon.process.args[2:10]], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such user", done.stdout)


if __name__ == "__main__":
    tap.main()
