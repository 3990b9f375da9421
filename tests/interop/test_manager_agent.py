#!/usr/bin/env python3
"""Stock virsh on atolld: Debian's guest agent in a real guest, asked over its channel; and agents that are not there, or say nonsense."""
import json
import os
import re
import shutil
import subprocess
import unittest

import managed
import tap

AGENT = "/usr/sbin/qemu-ga"
CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
# In the guest: a file system that can be frozen, what the agent calls, and the agent.
PREPARE = """mkdir -p /sbin /etc /mnt /root /run; ln -s /bin/busybox /sbin/hwclock; ln -sf /bin/shutdown /sbin/shutdown; echo root:x:0:0:root:/root:/bin/sh > /etc/passwd; hostname inside; mount -t ext4 /dev/vda /mnt
agent() { ld.so --library-path /bin /bin/qemu-ga -m virtio-serial -p /dev/$(ls /sys/class/virtio-ports) -t /tmp -F/bin/hook > /tmp/agent.log 2>&1 & }
[ -e /mnt/lost+found ] && echo prepar''ed
"""


def agent_files():
    """The agent and its libraries; and a chpasswd that says what it was told."""
    files = {"bin/qemu-ga": AGENT, "bin/ld.so": "/lib64/ld-linux-x86-64.so.2"}
    for name, path in re.findall(r"(\S+) => (/\S+)", subprocess.run(["ldd", AGENT], stdout=subprocess.PIPE, text=True, check=True).stdout):
        files["bin/" + name] = path
    read = {}
    for name, path in files.items():
        with open(path, "rb") as file:
            read[name] = file.read()
    return {**read, "bin/chpasswd": b"#!/bin/sh\ncat > /tmp/told\necho \"$@\" >> /tmp/told\n",
            "bin/hook": b"#!/bin/sh\necho hook-$1 > /dev/ttyS0\n",
            "bin/shutdown": b"#!/bin/sh\necho shutdown $2 > /dev/ttyS0\ncase $2 in -r) reboot -f;; *) poweroff -f;; esac\n"}


class Agents(managed.Managed):
    def command(self, text, *args):
        return json.loads(self.virsh("qemu-agent-command", "m", text, *args))

    def ping(self):
        return self.virsh("qemu-agent-command", "m", '{"execute": "guest-ping"}', check=False).returncode == 0


@unittest.skipUnless(shutil.which("virsh") and shutil.which("mke2fs") and os.path.exists(AGENT), "virsh, mke2fs or qemu-guest-agent is not installed")
class RealAgent(Agents):
    def boot(self, emulator=None):
        with open(self.path("a.raw"), "wb") as out:
            out.truncate(16 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", self.path("a.raw")], check=True)
        card = "<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>"
        self.virsh("define", self.write("m.xml", managed.MACHINE.format(
            name="m", kernel=managed.guests.kernel("cloud"), initrd=managed.guests.initramfs("cloud", managed.guests.INIT, agent_files(), more=["ext4"]), line=self.path("m.line"),
            devices=self.disk("vda", "a.raw", "raw") + card + CHANNEL, emulator=f"<emulator>{emulator}</emulator>" if emulator else "").replace("<vcpu>1", "<vcpu>2")))
        self.addCleanup(self.virsh, "destroy", "m", check=False)
        self.virsh("start", "m")
        line = self.shell("m")
        line.send("ip link set lo up\n" + PREPARE)
        line.expect("prepared", 60)
        return line

    def agent(self, emulator=None):
        line = self.boot(emulator)
        events = self.events()
        self.refused("not connected", "qemu-agent-command", "m", '{"execute": "guest-ping"}')
        line.send("agent\n")
        events.expect("agent-lifecycle.*connected")
        self.assertIn("state='connected'", self.virsh("dumpxml", "m"))
        self.until(self.ping, "the agent does not answer", 60)
        self.assertIn("guest-ping", json.dumps(self.command('{"execute": "guest-info"}')["return"]))
        self.assertIn("error", self.command('{"execute": "no-such"}'))
        self.refused("no JSON object", "qemu-agent-command", "m", "nonsense")
        self.assertEqual(self.virsh("domhostname", "m", "--source", "agent"), "inside")
        self.assertRegex(self.virsh("domfsinfo", "m"), r"/mnt +vda +ext4")
        self.assertRegex(self.virsh("domifaddr", "m", "--source", "agent"), r"lo +00:00:00:00:00:00 +ipv4 +127\.0\.0\.1/8")
        facts = dict(re.findall(r"^(\S+) *: (.*)$", self.virsh("guestinfo", "m"), re.MULTILINE))
        self.assertEqual((facts["hostname"], facts["fs.0.mountpoint"], facts["fs.0.fstype"], facts["if.0.name"]), ("inside", "/mnt", "ext4", "lo"))
        self.assertIn(("os.machine", "x86_64"), facts.items())
        self.assertNotIn("hostname", self.virsh("guestinfo", "m", "--os"))
        return line

    def change(self, line):
        self.virsh("domtime", "m", "--time", "2000000000")
        self.assertRegex(self.virsh("domtime", "m"), r"Time: 20000000\d\d")
        self.virsh("set-user-password", "m", "root", "geheim")
        line.send("cat /tmp/told; echo tol''d\n")
        line.expect(r"root:geheim[\s\S]*told", 60)
        self.virsh("domfsfreeze", "m", "--mountpoint", "/mnt")
        self.assertEqual(self.command('{"execute": "guest-fsfreeze-status"}'), {"return": "frozen"})
        line.send("(echo 1 > /mnt/file; echo writ''ten) & sleep 2; cat /mnt/file; echo lo''oked\n")
        line.expect("looked", 60)
        self.assertNotIn("written", line.text)
        self.virsh("domfsthaw", "m")
        self.assertEqual(self.command('{"execute": "guest-fsfreeze-status"}'), {"return": "thawed"})
        line.expect("written", 60)
        self.assertRegex(self.virsh("guestvcpus", "m"), r"online +: 0-1")
        self.virsh("setvcpus", "m", "1", "--guest")
        self.assertEqual(self.virsh("vcpucount", "m", "--guest"), "1")
        line.send("echo cpus-$(grep -c ^processor /proc/cpuinfo)\n")
        line.expect("cpus-1", 60)
        self.virsh("setvcpus", "m", "2", "--guest")
        self.assertRegex(self.virsh("guestvcpus", "m"), r"online +: 0-1")
        self.virsh("guestvcpus", "m", "--disable", "--cpulist", "1")
        self.assertEqual(self.virsh("vcpucount", "m", "--guest"), "1")
        self.refused("cannot be used", "setvcpus", "m", "3", "--guest")
        self.refused("of a running machine cannot be changed", "setvcpus", "m", "1", "--live")

    def end(self, line):
        """A daemon that comes later finds the agent again; an agent that goes is missed."""
        self.daemon.kill()
        self.daemon.start()
        self.assertTrue(self.ping())
        line.send("kill -STOP $(pidof ld.so)\n")
        self.refused("not responding", "qemu-agent-command", "m", '{"execute": "guest-ping"}')
        self.assertIn("running", self.virsh("domstate", "m"))
        line.send("kill -9 $(pidof ld.so)\n")
        self.until(lambda: "state='disconnected'" in self.virsh("dumpxml", "m"), "the port is not closed")
        self.refused("not connected", "domfsfreeze", "m")

    def test_agent(self):
        line = self.agent()
        self.change(line)
        self.end(line)

    def test_power(self):
        """A snapshot for which the guest holds still; then it is told to begin anew, and to end."""
        line = self.boot()
        events = self.events()
        line.send("agent\n")
        events.expect("agent-lifecycle.*connected")
        self.until(self.ping, "the agent does not answer", 60)
        self.refused("--disk-only", "snapshot-create-as", "m", "s", "--quiesce")
        self.virsh("snapshot-create-as", "m", "s", "--disk-only", "--quiesce", "--no-metadata")
        line.expect(r"hook-freeze[\s\S]*hook-thaw", 60)
        self.assertEqual(self.command('{"execute": "guest-fsfreeze-status"}'), {"return": "thawed"})
        self.assertIn("a.s", self.virsh("domblklist", "m"))
        self.refused("0x8", "shutdown", "m", "--mode", "signal")
        self.virsh("reboot", "m", "--mode", "agent")
        line.expect("shutdown -r", 60)
        line.expect(r"A shell in the guest[\s\S]*/ # ", 120)
        self.refused("not responding", "shutdown", "m", "--mode", "agent")
        self.refused("not responding", "snapshot-create-as", "m", "t", "--disk-only", "--quiesce")
        line.send(PREPARE)
        line.expect("prepared", 60)
        line.send("agent\n")
        self.until(self.ping, "the agent does not answer", 60)
        self.virsh("reboot", "m", "--mode", "acpi")  # nobody heeds the button, and what follows is no reboot
        self.virsh("shutdown", "m", "--mode", "agent,acpi")
        events.expect("Stopped Shutdown")

    @managed.needs_qemu
    @unittest.skipUnless(managed.guest.LONG, "ATOLL_TEST_LONG=1 runs it with QEMU too")
    def test_agent_of_qemu(self):
        line = self.agent(managed.QEMU)
        self.change(line)
        self.end(line)


if __name__ == "__main__":
    tap.main()
