#!/usr/bin/env python3
"""What a running atoll-vm has given up, seen from outside: rights of every thread, descriptors, paths; and what its monitor says of a refusal."""
import ctypes
import os
import pwd
import unittest

import guest
import qmp
import tap

LANDLOCK = ctypes.CDLL(None).syscall(444, None, 0, 1) >= 1  # landlock_create_ruleset: which version


def threads(pid):
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as status:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        if not fields["Name"].startswith("iou-"):
            yield fields


class Rights(unittest.TestCase):
    def check(self, *args):
        with qmp.Machine(*args) as m:
            m.qmp.run("query-status")
            return list(threads(m.guest.process.pid))

    def test_every_thread(self):
        for args in ((), ("-smp", "3"), ("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"), ("-accel", "interp"),
                     ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")):
            with self.subTest(args):
                for fields in self.check(*args):
                    self.assertEqual((fields["Seccomp"], fields["NoNewPrivs"], int(fields["CapEff"], 16), int(fields["CapPrm"], 16)), ("2", "1", 0, 0),
                                     fields["Name"])

    def test_off(self):
        self.assertEqual({fields["Seccomp"] for fields in self.check("-sandbox", "off")}, {"0"})

    def test_words(self):
        for words in ("on,nonsense=1", "on,spawn=perhaps", "maybe"):
            status, text = guest.run("-sandbox", words, "-M", "none")
            self.assertEqual(status, 1, text)
            self.assertIn("sandbox", text)

    def test_paths_that_are_not_there(self):
        status, text = guest.run("-sandbox", "on,paths=/no/such/folder", "-display", "none")
        self.assertEqual(status, 1)
        self.assertIn("/no/such/folder", text)


class Descriptors(unittest.TestCase):
    def open_files(self, *args):
        ours = os.open("/etc/hostname", os.O_RDONLY)
        os.set_inheritable(ours, True)
        try:
            with qmp.Machine(*[arg.replace("FD", str(ours)) for arg in args]) as m:
                return [os.readlink(f"/proc/{m.guest.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{m.guest.process.pid}/fd")]
        finally:
            os.close(ours)

    def setUp(self):
        popen = guest.subprocess.Popen
        self.addCleanup(setattr, guest.subprocess, "Popen", popen)
        guest.subprocess.Popen = lambda *args, **more: popen(*args, close_fds=False, **more)

    def test_inherited(self):
        self.assertNotIn("/etc/hostname", self.open_files())

    def test_named(self):
        self.assertIn("/etc/hostname", self.open_files("-add-fd", "set=1,fd=FD"))


@unittest.skipUnless(LANDLOCK, "this kernel has no landlock")
class Paths(unittest.TestCase):
    def save(self, m, folder):
        path = os.path.join(folder, "memory")
        m.qmp.run("pmemsave", val=0, size=16, filename=path)
        return os.path.getsize(path)

    def test_refused_and_explained(self):
        with guest.temporary_folder() as allowed, guest.temporary_folder() as other, qmp.Machine("-sandbox", f"on,paths={allowed}") as m:
            with self.assertRaisesRegex(qmp.Refused, r"memory.*-sandbox on,paths="):
                self.save(m, other)
            self.assertEqual(self.save(m, allowed), 16)
            self.assertEqual(os.listdir(other), [])

    def test_free_for_a_program_that_manages(self):
        with guest.temporary_folder() as other, qmp.Machine() as m:
            self.assertEqual(self.save(m, other), 16)

    def test_socket_and_pidfile_go_at_the_end(self):
        with guest.temporary_folder() as folder:
            path, pid = os.path.join(folder, "socket"), os.path.join(folder, "pid")
            with guest.Guest("-display", "none", "-sandbox", "on,paths=/usr/share/seabios", "-serial", f"unix:{path},server=on,wait=off", "-pidfile", pid) as g:
                g.read_for(1.5)
                self.assertTrue(os.path.exists(path))
                g.signal(guest.signal.SIGTERM)
                self.assertEqual(g.wait(), 0)
            self.assertEqual(os.listdir(folder), [])


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Another(unittest.TestCase):
    def test_user(self):
        nobody = pwd.getpwnam("nobody")
        for option in (("-runas", "nobody"), ("-run-with", "user=nobody"), ("-runas", f"{nobody.pw_uid}:{nobody.pw_gid}")):
            with self.subTest(option), qmp.Machine(*option) as m:
                m.qmp.run("query-status")
                for fields in threads(m.guest.process.pid):
                    self.assertEqual(fields["Uid"].split(), [str(nobody.pw_uid)] * 4)
                    self.assertEqual(fields["Gid"].split(), [str(nobody.pw_gid)] * 4)

    def test_no_such_user(self):
        status, text = guest.run("-runas", "nosuchuser", "-display", "none")
        self.assertEqual(status, 1)
        self.assertIn("nosuchuser", text)

    def test_root_folder(self):
        with guest.temporary_folder() as folder, qmp.Machine("-run-with", f"chroot={folder}") as m:
            m.qmp.run("query-status")
            self.assertEqual(os.readlink(f"/proc/{m.guest.process.pid}/root"), folder)


if __name__ == "__main__":
    tap.main()
