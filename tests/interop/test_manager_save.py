#!/usr/bin/env python3
"""Save, restore and managed save of atolld by stock virsh: a real guest goes on where it was; what cannot be taken is refused, and nothing is lost."""
import os
import shutil
import unittest

import managed
import manager
import tap

COUNT = "i=0; while :; do i=$((i+1)); [ $((i%1000)) = 0 ] && echo count=$i; done\r"


class Save(managed.Managed):
    def running(self, name="g", **named):
        """A guest that counts, with a disk and a card."""
        self.image("d.qcow2")
        self.line = self.start(name, self.disk("vda", "d.qcow2") + "<interface type='user'><model type='virtio'/></interface><graphics type='vnc' port='-1' autoport='yes'/>", **named)
        self.line.send("dd if=/dev/urandom of=/dev/vda bs=64k count=4 conv=fsync 2>/dev/null; md5sum /dev/vda; echo su''m\r")
        self.sum = self.line.expect(r"([0-9a-f]{32})  /dev/vda\r\n(?s:.*)sum\r", 60).group(1)
        self.line.send(COUNT)
        self.seen = self.counted(2000)

    def counted(self, least):
        while (n := int(self.line.expect(r"count=(\d+)\r", 60).group(1))) < least:
            pass
        return n

    def again(self, name="g"):
        self.line.__exit__()
        self.line = manager.Line(self.path(name + ".line"))
        self.addCleanup(self.line.__exit__)

    def goes_on(self, name="g"):
        self.again(name)
        self.seen = self.counted(self.seen)
        self.assertEqual(self.virsh("domstate", name).strip(), "running")

    def disk_is_right(self):
        self.line.send("\x03echo 3 > /proc/sys/vm/drop_caches; md5sum /dev/vda\r")
        self.line.expect(rf"{self.sum}  /dev/vda", 60)

    def state(self, name="g"):
        return self.virsh("domstate", "--reason", name).strip()


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Files(Save):
    def test_save_and_restore(self):
        self.running()
        events, file = self.events(), self.path("g.saved")
        self.virsh("save", "g", file)
        events.expect("Stopped Saved")
        self.assertEqual(self.state(), "shut off (saved)")
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        self.assertFalse(os.path.exists(file + ".part"))
        self.assertIn("<name>g</name>", self.virsh("save-image-dumpxml", file))
        self.virsh("restore", file)
        events.expect("Started Restored")
        self.assertEqual(self.state(), "running (restored)")
        self.goes_on()
        self.refused("already there and runs", "restore", file)
        self.disk_is_right()
        self.virsh("save", "g", file, "--paused")
        self.virsh("restore", file)
        self.assertEqual(self.virsh("domstate", "g").strip(), "paused")
        self.virsh("resume", "g")

    def test_transient_with_a_device_that_came(self):
        """It is gone with its machine, and comes back with it; what was plugged in is there again, and what had gone is not."""
        self.running()
        self.virsh("attach-interface", "g", "user", "--type", "user", "--model", "virtio", "--live", check=False)
        self.virsh("attach-disk", "g", self.image("e.raw"), "vdb", "--subdriver", "raw", "--live")
        self.virsh("undefine", "g")
        file = self.path("g.saved")
        self.virsh("save", "g", file)
        self.refused("failed to get domain", "domstate", "g")
        self.virsh("restore", file)
        self.goes_on()
        self.assertIn("vdb", self.virsh("domblklist", "g"))
        self.line.send("\x03[ -b /dev/vdb ] && echo the''re\r")
        self.line.expect("there", 30)
        self.virsh("detach-disk", "g", "vdb", "--live")
        self.until(lambda: "vdb" not in self.virsh("domblklist", "g"), "the guest keeps its disk")

    def test_definition_within(self):
        self.running()
        file = self.path("g.saved")
        self.virsh("save", "g", file)
        text = self.virsh("save-image-dumpxml", file)
        self.virsh("save-image-define", file, self.write("new.xml", text.replace("<vcpu", "<title>other</title><vcpu")), "--paused")
        self.assertIn("<title>other</title>", self.virsh("save-image-dumpxml", file))
        self.refused("the saved machine is 'g'", "save-image-define", file, self.write("bad.xml", text.replace("<name>g<", "<name>h<")))
        self.virsh("restore", file, "--running")
        self.goes_on()
        self.assertIn("<title>other</title>", self.virsh("dumpxml", "g"))

    def test_wrong_files(self):
        self.running()
        file = self.path("g.saved")
        self.refused("cannot make '/nowhere/file.part'", "save", "g", "/nowhere/file")
        self.refused("No space left", "save", "g", "/dev/full")
        self.assertEqual(self.state(), "running (unpaused)")
        self.counted(self.seen + 1000)
        self.virsh("save", "g", file)
        with open(file, "rb") as saved:
            good = saved.read()
        middle = len(good) // 2
        for text, why in ((b"", "is no file of a saved machine"), (good[:40], "is no file"), (good[:100], "ends within its definition"), (good[:24] + b"\0\0\0\0" + good[28:], "is incomplete"),
                          (good[:16] + b"\x09" + good[17:], "version 9"), (good[:middle], "ends too early"), (good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1:], "damaged")):
            with open(self.path("bad.saved"), "wb") as out:
                out.write(text)
            self.refused(why, "restore", self.path("bad.saved"))
            self.assertEqual(self.virsh("domstate", "g").strip(), "shut off")
        self.refused("No such file", "restore", self.path("nothing"))
        self.virsh("restore", file)
        self.goes_on()

    @managed.needs_qemu
    def test_qemu(self):
        self.running(emulator=managed.QEMU)
        file = self.path("g.saved")
        self.virsh("save", "g", file)
        self.virsh("restore", file)
        self.goes_on()
        self.disk_is_right()


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Kept(Save):
    def test_managed_save(self):
        self.running()
        self.virsh("managedsave", "g")
        self.assertEqual(self.state(), "shut off (saved)")
        self.assertRegex(self.virsh("dominfo", "g"), r"Managed save:\s+yes")
        self.assertIn("g", self.virsh("list", "--all", "--with-managed-save", "--name").split())
        self.assertIn("<name>g</name>", self.virsh("managedsave-dumpxml", "g"))
        self.refused("Refusing to undefine while domain managed save image exists", "undefine", "g")
        self.refused("managed save", "domrename", "g", "h")
        self.daemon.kill()
        self.daemon.start()
        self.virsh("start", "g")
        self.goes_on()
        self.assertRegex(self.virsh("dominfo", "g"), r"Managed save:\s+no")
        self.disk_is_right()

    def test_given_up(self):
        self.running()
        self.refused("does not have a managed save image", "managedsave-dumpxml", "g")
        for words in ["managedsave-remove", "g"], ["start", "g", "--force-boot"]:
            self.virsh("managedsave", "g")
            self.virsh(*words)
            if words[0] != "start":
                self.virsh("start", "g")
            self.again()
            self.line.expect("A shell in the guest", 120)
        self.virsh("managedsave", "g")
        path = self.path("state/save/g.save")
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) // 2)
        self.refused("--force-boot", "start", "g")
        self.assertRegex(self.virsh("dominfo", "g"), r"Managed save:\s+yes")
        self.virsh("undefine", "g", "--managed-save")
        self.assertFalse(os.path.exists(path))

    def test_in_memory(self):
        name = "test"
        for words in ["managedsave", name], ["start", name], ["save", name, self.path("t.saved")], ["restore", self.path("t.saved")]:
            self.virsh(*words, uri=managed.TEST)
        self.assertEqual(self.virsh("domstate", name, uri=managed.TEST).strip(), "running")


if __name__ == "__main__":
    tap.main()
