#!/usr/bin/env python3
"""Stock virsh on atolld: secrets by themselves, over a restart and without right; and images that they open, of volumes and of real guests' disks."""
import base64
import glob
import os
import re
import shutil
import stat
import subprocess
import unittest

import managed
import tap

UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
PASSPHRASE = "offen, sesam"
SECRET = """<secret ephemeral='{ephemeral}' private='{private}'><uuid>{uuid}</uuid><description>of a test</description>
<usage type='volume'><volume>{volume}</volume></usage></secret>"""
ENCRYPTION = f"<encryption format='luks'><secret type='passphrase' uuid='{UUID}'/></encryption>"


class Secrets(managed.Managed):
    def define_secret(self, uuid=UUID, ephemeral="no", private="no", volume="/v"):
        return self.virsh("secret-define", self.write("secret.xml", SECRET.format(uuid=uuid, ephemeral=ephemeral, private=private, volume=volume)))

    def set_value(self, uuid=UUID, value=PASSPHRASE):
        self.virsh("secret-set-value", uuid, "--file", self.write("value", value), "--plain")

    def value(self, uuid=UUID):
        return base64.b64decode(self.virsh("secret-get-value", uuid)).decode()

    def files(self):
        return sorted(os.listdir(self.path("config/secrets")))


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Alone(Secrets):
    def test_life(self):
        self.assertEqual(self.virsh("secret-list"), "")
        self.define_secret()
        self.assertRegex(self.virsh("secret-list"), rf"{UUID} +volume +/v")
        self.refused("does not have a value", "secret-get-value", UUID)
        self.set_value()
        self.assertEqual(self.value(), PASSPHRASE)
        self.assertIn("<volume>/v</volume>", self.virsh("secret-dumpxml", UUID))
        for name in self.files():
            self.assertEqual(stat.S_IMODE(os.stat(self.path("config/secrets/" + name)).st_mode), 0o600, name)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.value(), PASSPHRASE)
        self.refused("no secret", "secret-get-value", "11111111-1111-1111-1111-111111111111")
        self.virsh("secret-undefine", UUID)
        self.assertEqual((self.virsh("secret-list"), self.files()), ("", []))

    def test_ephemeral_and_private(self):
        self.define_secret(ephemeral="yes")
        self.set_value()
        self.assertEqual((self.value(), glob.glob(self.path("config/secrets/*"))), (PASSPHRASE, []))
        self.assertIn(UUID, self.virsh("secret-list", "--ephemeral"))
        self.assertEqual(self.virsh("secret-list", "--no-ephemeral"), "")
        self.define_secret(private="yes")
        self.assertEqual(self.files(), [UUID + ".value", UUID + ".xml"])
        self.refused("is private", "secret-get-value", UUID)
        self.refused("stays so", "secret-define", self.write("secret.xml", SECRET.format(uuid=UUID, ephemeral="no", private="no", volume="/v")))
        self.refused("already defined for use", "secret-define", self.write("secret.xml", SECRET.format(uuid=UUID, ephemeral="no", private="yes", volume="/w")))
        other = UUID.replace("0a", "0b")
        self.refused("already defined: its UUID is " + UUID, "secret-define", self.write("secret.xml", SECRET.format(uuid=other, ephemeral="no", private="yes", volume="/v")))
        self.define_secret(other, ephemeral="yes", volume="/w")
        self.daemon.kill()
        self.daemon.start()
        self.assertRegex(self.virsh("secret-list", "--private"), rf"^ *{UUID} +volume +/v$")
        self.assertNotIn(other, self.virsh("secret-list"))

    def test_rights_and_events(self):
        event = subprocess.Popen(["virsh", "-q", "-c", self.daemon.uri(self.uri), "secret-event", "--loop", "--event", "lifecycle", "--timeout", "60"], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        self.addCleanup(lambda: (event.kill(), event.wait(), event.stdout.close()))
        self.until(lambda: "call CONNECT_SECRET_EVENT_REGISTER_ANY" in self.daemon.said(), "virsh has not registered")
        self.define_secret()
        self.assertRegex(event.stdout.readline(), f"{UUID}.*Defined")
        self.set_value()
        self.refused("read only", "secret-get-value", UUID, readonly=True)
        self.refused("read only", "secret-undefine", UUID, readonly=True)
        self.assertIn(UUID, self.virsh("secret-list", readonly=True))
        self.virsh("secret-undefine", UUID)
        self.assertRegex(event.stdout.readline(), f"{UUID}.*Undefined")


@unittest.skipUnless(shutil.which("virsh") and shutil.which("qemu-img"), "virsh or qemu-img is not installed")
class Images(Secrets):
    def setUp(self):
        super().setUp()
        self.define_secret()
        self.set_value()
        self.write("pass", PASSPHRASE)

    def opens(self, path, image_format, option):
        """Whether qemu-img reads it with the passphrase."""
        done = subprocess.run(["qemu-img", "convert", "--object", f"secret,id=s0,file={self.path('pass')}", "--image-opts", "-O", "raw",
                               f"driver={image_format},{option}=s0,file.filename={path}", self.path("plain")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        with open(self.path("plain"), "rb") as file:
            return file.read()

    def volume(self, name, kind, more=ENCRYPTION, size=1 << 20):
        return self.write("vol.xml", f"<volume><name>{name}</name><capacity>{size}</capacity><target><format type='{kind}'/>{more}</target></volume>")

    def test_volumes(self):
        os.mkdir(self.path("pool"))
        self.virsh("pool-create-as", "p", "dir", "--target", self.path("pool"))
        self.virsh("vol-create", "p", self.volume("a.qcow2", "qcow2"))
        self.assertEqual(self.opens(self.path("pool/a.qcow2"), "qcow2", "encrypt.key-secret"), bytes(1 << 20))
        self.virsh("vol-create", "p", self.volume("a.raw", "raw"))
        self.assertEqual(len(self.opens(self.path("pool/a.raw"), "luks", "key-secret")), 1 << 20)
        self.assertIn("<encryption format='luks'", self.virsh("vol-dumpxml", "a.raw", "p").replace('"', "'"))
        with open(self.path("pool/plain.raw"), "wb") as out:
            out.write(b"plain" * 1000 + bytes((1 << 20) - 5000))
        self.virsh("pool-refresh", "p")
        self.virsh("vol-create-from", "p", self.volume("copy.raw", "raw"), "plain.raw", "p")
        self.assertTrue(self.opens(self.path("pool/copy.raw"), "luks", "key-secret").startswith(b"plainplain"))
        with open(self.path("pool/copy.raw"), "rb") as file:
            self.assertFalse(b"plainplain" in file.read())
        self.refused("is encrypted", "vol-resize", "a.raw", "4M", "p")
        none = ENCRYPTION.replace(UUID, UUID.replace("0a", "0b"))
        self.refused("there is no secret", "vol-create", "p", self.volume("b.raw", "raw", none))
        self.assertNotIn("b.raw", self.virsh("vol-list", "p"))

    def encrypted(self, name, kind, *options):
        for _ in range(10):  # qemu-img measures the processor, and gives up on a busy one
            if not subprocess.run(["qemu-img", "create", "-q", "--object", f"secret,id=s0,file={self.path('pass')}", "-f", kind, "-o", ",".join(options), self.path(name), "32M"], check=False).returncode:
                return self.path(name)
        raise AssertionError("qemu-img cannot make an encrypted image")

    def no_secret_left(self):
        self.assertEqual(glob.glob(self.path("run/domains/*.secret-*")), [])

    def guest(self, emulator=None):
        """Disks of both formats, one plugged in later; the passphrase is seen nowhere."""
        self.encrypted("a.qcow2", "qcow2", "encrypt.format=luks", "encrypt.key-secret=s0", "encrypt.iter-time=10")
        self.encrypted("b.raw", "luks", "key-secret=s0", "iter-time=10")
        self.encrypted("c.raw", "luks", "key-secret=s0", "iter-time=10")
        inside = self.disk("vda", "a.qcow2").replace("'/><target", f"'>{ENCRYPTION}</source><target")
        line = self.start("m", inside + self.disk("vdb", "b.raw", "raw", ENCRYPTION), emulator)
        self.no_secret_left()
        self.virsh("attach-device", "m", self.write("c.xml", self.disk("vdc", "c.raw", "raw", ENCRYPTION)))
        self.no_secret_left()
        line.send("until [ -e /dev/vdc ]; do sleep 1; done; for d in a b c; do echo disk-$d-$((6*7)) | dd of=/dev/vd$d conv=fsync; done; echo writ''ten\n")
        line.expect("\nwritten", 60)
        for command in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(command, "rb") as file:
                    self.assertNotIn(PASSPHRASE.encode(), file.read())
            except OSError:
                pass
        self.assertNotIn(PASSPHRASE, self.daemon.said() + self.virsh("dumpxml", "m", "--security-info"))
        self.virsh("detach-disk", "m", "vdc", "--live")
        self.until(lambda: "vdc" not in self.virsh("domblklist", "m"), "the guest has not let go")
        self.virsh("attach-device", "m", self.path("c.xml"))
        self.virsh("destroy", "m")
        for name, kind, option in (("a.qcow2", "qcow2", "encrypt.key-secret"), ("b.raw", "luks", "key-secret"), ("c.raw", "luks", "key-secret")):
            self.assertTrue(re.match(rb"disk-[abc]-42\n", self.opens(self.path(name), kind, option)), name)

    def test_guest(self):
        self.guest()
        self.virsh("secret-undefine", UUID)
        self.refused("there is no secret", "start", "m")
        self.define_secret()
        self.refused("does not have a value", "start", "m")
        self.set_value(value="wrong")
        self.refused("", "start", "m")
        self.no_secret_left()

    @managed.needs_qemu
    def test_guest_of_qemu(self):
        self.guest(managed.QEMU)

    def test_snapshot(self):
        """Nothing is written unencrypted that was encrypted."""
        self.encrypted("a.qcow2", "qcow2", "encrypt.format=luks", "encrypt.key-secret=s0", "encrypt.iter-time=10")
        self.define("m", self.disk("vda", "a.qcow2", more=ENCRYPTION))
        self.refused("is encrypted", "snapshot-create-as", "m", "s", "--disk-only")
        self.refused("is encrypted", "snapshot-create-as", "m", "s")
        self.assertEqual(os.listdir(self.daemon.folder).count("a.s"), 0)


if __name__ == "__main__":
    tap.main()
