"""What tests of atolld share: a daemon of their own, stock virsh on it, and real guests with a shell on their serial line."""
import json
import os
import re
import shutil
import subprocess
import time
import unittest

import guest
import guests
import manager

TEST = "test:///default"
MACHINE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>console=ttyS0 quiet atoll.mode=shell</cmdline></os>
<features><acpi/></features><devices>{emulator}{devices}<serial type='unix'><source mode='bind' path='{line}'/></serial></devices></domain>"""
MACHINE_IN_MEMORY = "<domain type='test'><name>{name}</name><memory unit='MiB'>64</memory><os><type>hvm</type></os><devices>{devices}</devices></domain>"
EVENT_KINDS = 27  # that `virsh event --all` of 9.0 registers for, one by one
QEMU = "/usr/bin/qemu-system-x86_64"
needs_qemu = unittest.skipUnless(shutil.which("qemu-system-x86_64"), "qemu-system-x86_64 is not installed")


class Events:
    """What `virsh event --all` prints, as it comes."""

    def __init__(self, daemon, uri="qemu:///session"):
        self.process = subprocess.Popen(["virsh", "-q", "-c", daemon.uri(uri), "event", "--loop", "--all", "--timeout", "600"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self.text = ""
        os.set_blocking(self.process.stdout.fileno(), False)
        self.daemon = daemon

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def expect(self, pattern, seconds=30):
        end = time.monotonic() + seconds * guest.PATIENCE
        while not re.search(pattern, self.text):
            if time.monotonic() > end:
                raise AssertionError(f"no event '{pattern}'; there were:\n{self.text}{self.daemon.said()[-2000:]}")
            self.text += (self.process.stdout.read() or b"").decode()
            time.sleep(0.05)


class Managed(unittest.TestCase):
    uri = "qemu:///session"

    def setUp(self):
        self.daemon = manager.Daemon()
        self.addCleanup(self.daemon.stop)

    def virsh(self, *args, **named):
        return self.daemon.virsh(*args, **{"uri": self.uri, **named})

    def refused(self, words, *args, **named):
        done = self.virsh(*args, check=False, **named)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(words, done.stdout)

    def path(self, name):
        return os.path.join(self.daemon.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text)
        return self.path(name)

    def image(self, name, size="64M", *args):
        subprocess.run(["qemu-img", "create", "-q", "-f", name.rsplit(".", 1)[-1], *args, self.path(name), *filter(None, [size])], check=True)
        return self.path(name)

    def image_info(self, path):
        out = subprocess.run(["qemu-img", "info", "-U", "--output=json", path], stdout=subprocess.PIPE, check=True).stdout
        return json.loads(out)

    def registered(self):
        return self.daemon.said().count("call CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY")

    def events(self):
        """Returns when virsh has registered: before that it would hear nothing."""
        before = self.registered()
        events = Events(self.daemon, self.uri)
        self.addCleanup(events.stop)
        self.until(lambda: self.registered() >= before + EVENT_KINDS, "virsh has not registered for its events")
        return events

    def disk(self, target, name, kind="qcow2", more=""):
        return (f"<disk type='file'><driver name='qemu' type='{kind}'/><source file='{self.path(name)}'/><target dev='{target}'/>{more}</disk>")

    def define(self, name, devices="", emulator=None, files=None, init=guests.INIT, more=()):
        """A real guest; `line()` is its shell."""
        text = MACHINE.format(name=name, kernel=guests.kernel("cloud"), initrd=guests.initramfs("cloud", init, files, more), line=self.path(name + ".line"), devices=devices,
                              emulator=f"<emulator>{emulator}</emulator>" if emulator else "")
        self.virsh("define", self.write(name + ".xml", text))

    def start(self, name, *args, **named):
        """Defines, starts, and waits for the shell; returns the guest's line."""
        self.define(name, *args, **named)
        self.addCleanup(self.virsh, "destroy", name, check=False)
        self.virsh("start", name)
        return self.shell(name)

    def shell(self, name):
        line = manager.Line(self.path(name + ".line"))
        self.addCleanup(line.__exit__)
        line.expect("A shell in the guest", 120)
        line.expect("/ # ", 30)
        return line

    def until(self, condition, what, seconds=30):
        end = time.monotonic() + seconds * guest.PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end, f"{what}: {self.daemon.said()[-2000:]}")
            time.sleep(0.1)
