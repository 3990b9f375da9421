#!/usr/bin/env python3
"""atoll beside stock virsh: the same lines against the same atolld, and what they print compared.

Each line of a script is played by both programs, each on a daemon of its own that began in the same state: standard output, exit status and
the lines of errors must agree, but for UUIDs, times and what a version is called.
"""
import json
import os
import re
import shutil
import subprocess
import unittest

import guest
import manager
import tap

ATOLL = os.path.join(os.path.dirname(guest.ATOLL_VM), "atoll")
XML = {
    "dom.xml": """<domain type='test'><name>other</name><memory unit='MiB'>64</memory><vcpu>2</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<title>A title</title><devices><disk type='file'><source file='/images/other.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
<interface type='user'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface><graphics type='vnc' port='5901'/></devices></domain>""",
    "wrong.xml": "<domain type='test'><name>wrong</name>",
    "nic.xml": "<interface type='user'><mac address='52:54:00:44:55:66'/><model type='e1000'/></interface>",
}
DOMAINS = """
list; list --all; list --name; list --all --uuid; list --id; list --inactive; list --title --all; list --all --state-paused; hostname
dominfo test; domstate test; domstate test --reason; domid test; domname 1; domuuid test; domblklist test; domiflist test; domstats --state test; vcpucount test
suspend test; domstate test --reason; suspend nothing; resume test; resume test; reboot test; reset test; shutdown test; domstate test --reason; start test; start test; destroy test
destroy test; start --paused test; domstate test; resume test; start nothing; domstate; frobnicate test; list --nonsense; domstate test extra; setmem test
define {dom.xml}; define {wrong.xml}; define /does/not/exist.xml; dumpxml other; dumpxml other --xpath /domain/name; dumpxml nothing; domblklist other; domblklist other --details
domiflist other; desc other; desc other --title; desc other --title A new title; desc other --title; desc other --config "A description"; autostart other; autostart --disable other; dominfo other
vcpucount other; vcpucount other --maximum --config; setvcpus other 1 --config; setvcpus other many --config; vcpucount other; setmem other 32M --config; setmem other 3zz --config; setmaxmem other 128M --config
dominfo other; attach-disk other /images/second.qcow2 vdb --config; attach-disk other /images/second.qcow2 vdb --config; domblklist other; detach-disk other vdb --config; domblklist other
attach-device other {nic.xml} --config; domiflist other; detach-interface other user --mac 52:54:00:44:55:66 --config; domiflist other; detach-disk other vdz --config
attach-disk other /images/third.qcow2 sda --print-xml; domrename other renamed; domrename nothing x; list --all; start renamed; vncdisplay renamed; domdisplay renamed; domblkinfo renamed vda; domblkstat renamed vda; domblkstat renamed; domifstat renamed vnet0; domcontrol renamed; domcontrol nothing; domhostname renamed; save renamed {folder}/state
restore {folder}/state; list --all; start renamed; domifstat renamed
destroy renamed; undefine renamed; undefine renamed; list --all; create {dom.xml}; list --transient; create {dom.xml}; destroy other; list --all; metadata test http://example.org/x --config
snapshot-list test; dommemstat test; domifaddr test; event --list; echo a b; echo --shell "a b"; nodedev-dumpxml nothing
"""
NETWORKS = """
net-list; net-list --all; net-list --name; net-info default; net-info nothing; net-uuid default; net-dumpxml default --xpath /network/name; net-destroy default; net-destroy default; net-list
net-start default; net-start default; net-autostart default; net-info default; net-autostart --disable default; net-list --all; net-define {net.xml}; net-list --all; net-info other; net-start other
net-dhcp-leases other; net-dumpxml other --xpath /network/bridge; net-destroy other; net-undefine other; net-undefine other; net-list --all; net-define {wrong.xml}; net-create {net.xml}; net-list
net-destroy other; net-update default add section "<host/>"; net-update default frob dns-host "<host/>"
"""
POOLS = """
pool-list; pool-list --all; pool-list --all --details; pool-define-as p dir --target {pool}; pool-list --all; pool-start p; pool-build p; pool-start p; pool-start p; pool-info nothing
pool-autostart p; pool-list; pool-uuid nothing; pool-dumpxml p --xpath /pool/name; pool-refresh p; vol-list p; vol-create-as p a.qcow2 64M --format qcow2; vol-create-as p b.raw 1M
vol-create-as p a.qcow2 64M --format qcow2; vol-create-as p c 1zz; vol-list p; vol-list p --details; vol-info b.raw p; vol-info b.raw p --bytes; vol-path b.raw p; vol-key b.raw --pool p; vol-pool {pool}/b.raw
vol-name {pool}/b.raw; vol-info nothing; vol-info nothing p; vol-clone b.raw d.raw --pool p; vol-upload d.raw {dom.xml} --pool p; vol-download d.raw {folder}/down --pool p; vol-wipe d.raw p
vol-resize b.raw 2M --pool p; vol-resize b.raw 1M --pool p; vol-create-as p e.qcow2 64M --format qcow2 --backing-vol a.qcow2 --backing-vol-format qcow2; vol-create-as p f 1M --print-xml; vol-delete d.raw p
vol-delete d.raw p; vol-dumpxml b.raw p --xpath /volume/name; pool-undefine p; pool-destroy p; pool-destroy p; pool-undefine p; pool-list --all; pool-define {wrong.xml}
pool-define-as q dir --target /somewhere --print-xml; pool-info p
"""
XML["net.xml"] = "<network><name>other</name><bridge name='virbr77'/><ip address='192.168.77.1' netmask='255.255.255.0'/></network>"


def alike(text):
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
    text = re.sub(r"(CPU time: +)[0-9.]+s", r"\1TIME", text)
    text = re.sub(r"/tmp/atolld-[^/]+", "FOLDER", text)
    return re.sub(r"-{10,}", "----------", text)


@unittest.skipUnless(shutil.which("virsh"), "virsh is not installed")
class Beside(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.daemons = [manager.Daemon(), manager.Daemon()]
        for daemon in self.daemons:
            self.addCleanup(daemon.stop)
            for name, text in XML.items():
                with open(os.path.join(daemon.folder, name), "w", encoding="utf-8") as out:
                    out.write(text)

    def played(self, program, daemon, line, *options):
        line = re.sub(r"\{(\w+)(\.xml)?\}", lambda m: os.path.join(daemon.folder, m.group(1) + (m.group(2) or "")) if m.group(1) != "folder" else daemon.folder, line)
        words = subprocess.run(["bash", "-c", 'printf "%s\\n" ' + line], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
        done = subprocess.run([program, *options, "-c", daemon.uri("test:///default"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=120 * guest.PATIENCE, check=False)
        errors = [row for row in done.stderr.splitlines() if row.startswith("error:")]
        return alike(done.stdout), done.returncode, alike("\n".join(errors))

    def play(self, script, *options):
        apart = []
        for line in [line.strip() for row in script.strip().splitlines() for line in row.split(";")]:
            one, two = self.played("virsh", self.daemons[0], line, *options), self.played(ATOLL, self.daemons[1], line, *options)
            if one != two:
                apart.append(f"{line}\nvirsh: {one}\natoll: {two}\n")
        self.assertEqual(apart, [], "\n".join(apart))

    def test_domains(self):
        self.play(DOMAINS)

    def test_networks(self):
        self.play(NETWORKS)

    def test_pools(self):
        self.play(POOLS)

    def test_quiet(self):
        self.play("list --all; net-list --all; pool-list --all; dominfo test; suspend test; suspend nothing", "-q")


class Own(unittest.TestCase):
    def setUp(self):
        self.daemon = manager.Daemon()
        self.addCleanup(self.daemon.stop)

    def atoll(self, *words, **named):
        return subprocess.run([ATOLL, "-c", self.daemon.uri("test:///default"), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60 * guest.PATIENCE, check=False, **named)

    def test_json(self):
        for words in (["list"], ["dominfo", "test"], ["domstate", "test"], ["net-list"], ["pool-list", "--all"], ["nodeinfo"], ["version"], ["dumpxml", "test"], ["why", "test"], ["top"], ["domstats"],
                      ["suspend", "test"]):
            done = self.atoll("-o", "json", *words)
            self.assertEqual(done.returncode, 0, done.stderr)
            value = json.loads(done.stdout)
            self.assertTrue(value or "list" in words[0], words)
        self.assertEqual(json.loads(self.atoll("-o", "json", "list").stdout)[0]["state"], "paused")

    def test_errors_say_what_mends_them(self):
        for words, remedy in ((["start", "nothing"], "atoll list --all"), (["net-start", "nothing"], "atoll net-list --all"), (["start"], "atoll help start"), (["strat", "x"], "atoll help")):
            done = self.atoll(*words)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"try: {remedy}\n", done.stderr)
        self.assertIn("did you mean 'start'", self.atoll("strat", "test").stderr)

    def test_a_command_that_is_offered_mends(self):
        self.atoll("destroy", "test")
        failed = self.atoll("suspend", "test")
        self.assertIn("try: atoll start test\n", failed.stderr)
        self.assertEqual(self.atoll(*re.search(r"try: atoll (.*)", failed.stderr).group(1).split()).returncode, 0)
        self.assertEqual(self.atoll("suspend", "test").returncode, 0)

    def test_why(self):
        rows = {row["value"]: row for row in json.loads(self.atoll("-o", "json", "why", "test").stdout)}
        self.assertEqual(rows["vcpus"]["is"], "2")
        self.assertEqual(rows["vcpus"]["comes-from"], "definition")
        self.assertEqual(rows["on_reboot"]["comes-from"], "default")
        self.assertEqual(rows["id"]["comes-from"], "the running machine")

    def test_shell(self):
        done = subprocess.run([ATOLL, "-c", self.daemon.uri("test:///default")], input="suspend test\ndomstate test; domid test\nbad\nquit\nlist\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60 * guest.PATIENCE, check=False)
        self.assertEqual(done.stdout.split(), ["Domain", "'test'", "suspended", "paused", "1"])
        self.assertIn("unknown command: 'bad'", done.stderr)

    def test_every_command_has_help(self):
        listed = re.findall(r"^    (\S+) +\S", self.atoll("help").stdout, re.MULTILINE)
        self.assertGreater(len(listed), 100)
        manual = self.atoll("manual").stdout.replace("\\-", "-")
        for name in listed:
            self.assertIn("SYNOPSIS", self.atoll("help", name).stdout)
            self.assertRegex(manual, rf"\.B {re.escape(name)}\b")

    def test_completion(self):
        self.assertEqual(self.atoll("complete", "--", "domst").stdout.split(), ["domstate", "domstats"])
        self.assertEqual(self.atoll("complete", "--", "start", "--pa").stdout.split(), ["--paused"])
        for shell in ("bash", "zsh"):
            script = self.atoll("completion", shell).stdout
            if shutil.which(shell):
                subprocess.run([shell, "-n"], input=script, text=True, check=True)

    def test_behind_ssh(self):
        """With a program in ssh's place that does what ssh does here: the words behind the host go to a shell."""
        ssh = os.path.join(self.daemon.folder, "ssh")
        with open(ssh, "w", encoding="utf-8") as out:
            out.write('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 2\nexec sh -c "$*"\n')
        os.chmod(ssh, 0o755)
        env = {**os.environ, "PATH": self.daemon.folder + ":" + os.environ["PATH"]}
        for host, words in (("host.example", ["domstate", "test"]), ("me@host.example:2222", ["domstate", "test"])):
            done = subprocess.run([ATOLL, "-c", f"test+ssh://{host}/default?socket={self.daemon.socket}&command={ATOLL}", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, env=env, timeout=60 * guest.PATIENCE, check=False)
            self.assertEqual(done.stdout.strip(), "running")
        refused = self.atoll("connect", "test+ssh://-oProxyCommand=x/default")
        self.assertIn("is no name of a host", refused.stderr)
        self.assertIn("there is no transport 'smoke'", self.atoll("connect", "test+smoke://host/default").stderr)

    def test_event(self):
        watch = subprocess.Popen([ATOLL, "-c", self.daemon.uri("test:///default"), "event", "--all", "--timeout", "60"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        self.addCleanup(watch.stdout.close)
        while watch.poll() is None:  # it may not listen yet: again until it has heard
            self.atoll("suspend", "test")
            self.atoll("resume", "test")
        self.assertRegex(watch.stdout.read(), r"event 'lifecycle' for domain 'test': (Suspended Paused|Resumed Unpaused)\nevents received: 1\n")

    def test_a_users_daemon_is_started(self):
        env = {**os.environ, "XDG_RUNTIME_DIR": os.path.join(self.daemon.folder, "u"), "XDG_CONFIG_HOME": os.path.join(self.daemon.folder, "c"),
               "XDG_CACHE_HOME": os.path.join(self.daemon.folder, "k"), "XDG_DATA_HOME": os.path.join(self.daemon.folder, "d")}
        os.mkdir(env["XDG_RUNTIME_DIR"], 0o700)
        both = [subprocess.Popen([ATOLL, "-c", "atoll:///session", "uri"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) for _ in range(2)]
        for process in both:
            self.assertEqual(process.communicate(timeout=60 * guest.PATIENCE)[0].strip(), "qemu:///session")


if __name__ == "__main__":
    tap.main()
