#!/usr/bin/env python3
"""Debian's clients beside virsh on atolld: virt-install, virt-clone, virt-xml, python3-libvirt."""
import os
import re
import shutil
import subprocess
import time
import unittest

import guest
import guest_disk
import installer
import managed
import tap

DEBIAN_PYTHON = "/usr/bin/python3"  # whose modules Debian's packages are
OS = ["--osinfo", "detect=off,require=off"]
BIOS_ONLY = """<domain type='qemu'><name>plain</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<features><acpi/></features><devices>{disk}<serial type='pty'/><graphics type='vnc' port='-1' autoport='yes'/><video><model type='vga'/></video></devices></domain>"""
PROGRAM = """
import libvirt, os, sys
c = libvirt.open(sys.argv[1])
d = c.defineXML(open(sys.argv[2]).read())
assert [x.name() for x in c.listAllDomains()] == ["plain"]
for turn in range(2):
    d.create()
    assert d.isActive() and c.lookupByName("plain").ID() > 0
    s = c.newStream(0)
    d.openConsole(None, s, 0)
    if turn:
        s.abort()  # waits for an answer
    else:
        d.destroy()  # its session ends with it, although nobody closes the stream
snapshot = d.snapshotCreateXML("<domainsnapshot><name>s1</name></domainsnapshot>", libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY)
assert d.snapshotListNames() == [snapshot.getName()] == ["s1"]
d.suspend()
assert d.state()[0] == libvirt.VIR_DOMAIN_PAUSED
d.resume()
stats = dict((x.name(), s) for x, s in c.getAllDomainStats())["plain"]
assert stats["state.state"] == libvirt.VIR_DOMAIN_RUNNING and stats["vcpu.current"] == 1, stats
d.reboot()
d.destroy()
pool = c.storagePoolLookupByName("images")
volume = pool.createXML("<volume><name>u.raw</name><capacity unit='MiB'>3</capacity><target><format type='raw'/></target></volume>")
data = os.urandom(3 << 20)
left = [data[i:i + 65536] for i in range(0, len(data), 65536)]
s = c.newStream(0)
volume.upload(s, 0, len(data))
s.sendAll(lambda stream, bytes, list: list.pop(0) if list else b"", left)
s.finish()
came = []
s = c.newStream(0)
volume.download(s, 0, 0)
s.recvAll(lambda stream, bytes, list: list.append(bytes), came)
s.finish()
assert b"".join(came) == data
volume.delete()
"""


class Session:
    """A program on a terminal of its own, whose output goes to a file."""

    def __init__(self, out, args):
        self.out = out
        with open(out, "w", encoding="utf-8"):
            pass
        self.process = subprocess.Popen(["script", "-qfc", " ".join(map("'{}'".format, args)), out], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)

    def stop(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def expect(self, pattern, seconds):
        end = time.monotonic() + seconds * guest.PATIENCE
        while True:
            with open(self.out, encoding="utf-8", errors="replace") as file:
                text = file.read()
            if re.search(pattern, text):
                return
            if time.monotonic() > end:
                raise AssertionError(f"no '{pattern}':\n{text[-3000:]}")
            time.sleep(0.3)


class Clients(managed.Managed):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("images"))
        self.virsh("pool-create-as", "images", "dir", "--target", self.path("images"))

    def run_client(self, name, *args):
        done = subprocess.run([name, "--connect", self.daemon.uri(self.uri), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120 * guest.PATIENCE, check=False)
        self.assertEqual(done.returncode, 0, f"{name} {args}: {done.stdout}{self.daemon.said()[-1000:]}")
        return done.stdout

    @unittest.skipUnless(shutil.which("virt-install"), "virt-install is not installed")
    def test_documents(self):
        self.virsh("vol-create-as", "images", "a.qcow2", "64M", "--format", "qcow2")
        common = ["--virt-type", "qemu", "--name", "one", "--memory", "64", "--import", "--disk", "vol=images/a.qcow2", "--network", "user", "--graphics", "vnc", *OS]
        for machine in "pc", "q35":
            text = self.run_client("virt-install", *common, "--machine", machine, "--print-xml")
            self.assertIn("a.qcow2", text)
            self.run_client("virt-install", *common, "--machine", machine, "--dry-run")
            self.virsh("define", self.write("one.xml", text))
            self.virsh("undefine", "one")
        self.assertEqual(self.virsh("list", "--all", "--name"), "")
        self.virsh("define", self.path("one.xml"))
        self.run_client("virt-clone", "--original", "one", "--auto-clone")
        self.assertEqual(set(self.virsh("list", "--all", "--name").split()), {"one", "one-clone"})
        self.assertEqual(self.image_info(self.path("images/a-clone.qcow2"))["virtual-size"], 64 << 20)
        for words in (["--edit", "--memory", "128"], ["--edit", "--vcpus", "2"], ["--add-device", "--disk", "size=1,pool=images,format=qcow2,target=vdb,bus=virtio"],
                      ["--add-device", "--network", "user,model=virtio"], ["--edit", "--metadata", "title=hello"]):
            self.run_client("virt-xml", "one", *words)
        text = self.virsh("dumpxml", "one")
        for part in "<memory unit='KiB'>131072<", ">2</vcpu>", "<target dev='vdb' bus='virtio'/>", "<model type='virtio'/>", "<title>hello</title>":
            self.assertIn(part, text)
        self.run_client("virt-xml", "one", "--remove-device", "--disk", "target=vdb")
        self.assertNotIn("vdb", self.virsh("dumpxml", "one"))

    @unittest.skipUnless(shutil.which("virt-install") and os.path.exists("/usr/share/OVMF/OVMF_CODE_4M.fd"), "virt-install or ovmf is not installed")
    def test_what_virt_install_makes(self):
        """By itself it adds ports, USB, random numbers, a balloon and a channel; the machine starts with all of it."""
        self.addCleanup(self.virsh, "destroy", "one", check=False)
        self.image("a.qcow2")
        for words in [], ["--boot", "uefi"], ["--machine", "pc"]:
            self.run_client("virt-install", "--virt-type", "qemu", "--name", "one", "--memory", "512", "--import", "--disk", self.path("a.qcow2"), "--network", "user", "--graphics", "vnc",
                            "--noautoconsole", "--osinfo", "debian11", *words)
            self.assertEqual(self.virsh("domstate", "one"), "running")
            text = self.virsh("dumpxml", "one")
            self.assertEqual("OVMF_CODE_4M.fd" in text, "uefi" in words)
            for part in "org.qemu.guest_agent.0", "<rng model='virtio'>", "<memballoon model='virtio'>", "<controller type='usb'":
                self.assertIn(part, text)
            self.virsh("destroy", "one")
            self.virsh("undefine", "one", *(["--nvram"] if "uefi" in words else []))
        self.assertEqual(os.listdir(self.path("state/nvram")), [])

    @unittest.skipIf(subprocess.run([DEBIAN_PYTHON, "-c", "import libvirt"], stderr=subprocess.DEVNULL, check=False).returncode, "python3-libvirt is not installed")
    def test_python(self):
        self.image("plain.qcow2")
        path = self.write("plain.xml", BIOS_ONLY.format(disk=self.disk("vda", "plain.qcow2")))
        done = subprocess.run([DEBIAN_PYTHON, "-c", PROGRAM, self.daemon.uri(self.uri), path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120 * guest.PATIENCE, check=False)
        self.addCleanup(self.virsh, "destroy", "plain", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + self.daemon.said()[-1000:])

    def test_where_the_screen_is(self):
        """virt-viewer looks for <listen> before it looks at the port."""
        self.image("plain.qcow2")
        self.virsh("create", self.write("plain.xml", BIOS_ONLY.format(disk=self.disk("vda", "plain.qcow2"))))
        self.addCleanup(self.virsh, "destroy", "plain", check=False)
        self.assertRegex(self.virsh("dumpxml", "plain"), r"(?s)<graphics type='vnc' port='59\d\d'[^>]* listen='127.0.0.1'>\s*<listen type='address' address='127.0.0.1'/>")

    @unittest.skipUnless(guest.LONG and shutil.which("virt-install"), "ATOLL_TEST_LONG=1: minutes; needs virt-install")
    def test_install(self):
        self.addCleanup(self.virsh, "destroy", "one", check=False)
        common = ["virt-install", "--connect", self.daemon.uri(self.uri), "--virt-type", "qemu", "--name", "one", "--memory", "512", "--graphics", "none", "--network", "user", *OS]
        self.image("debian.qcow2", None, "-b", guest_disk.disk("amd64"), "-F", "raw")
        os.mkdir(self.path("tree"))
        for name in "linux", "initrd.gz":
            shutil.copy(os.path.join(installer.image_folder(), name), self.path("tree"))
        for number, (words, page) in enumerate(((["--import", "--disk", self.path("debian.qcow2")], "atoll login: root"),
                                                (["--disk", "none", "--location", f"{self.path('tree')},kernel=linux,initrd=initrd.gz", "--extra-args", "console=ttyS0"],
                                                 "Low memory mode|Select a language"))):
            session = Session(self.path(f"out{number}"), [*common, *words])
            self.addCleanup(session.stop)
            session.expect(page, 200)
            self.virsh("destroy", "one")
            self.virsh("undefine", "one", check=False)


if __name__ == "__main__":
    tap.main()
