#!/usr/bin/env python3
"""Networks of atolld, in network namespaces of the test's own: a guest behind NAT has its lease, knows names, reaches a server outside and is reached
through a port of the host; what is started is found again after kill -9, and goes without a trace."""
import os
import shutil
import subprocess
import sys
import time
import unittest

import guest
import guests
import manager
import tap

sys.path.append(os.path.join(guest.ROOT, "tests/boot"))
import test_network  # its guest asks for a lease

NETWORK = """<network><name>nat</name><forward mode='nat'><portForward port='2222' to='192.168.77.10' toPort='7'/></forward><bridge name='atbr0'/><domain name='lan'/>
<dns><host ip='10.99.0.2'><hostname>outside</hostname></host></dns>
<ip address='192.168.77.1' netmask='255.255.255.0'><dhcp><range start='192.168.77.100' end='192.168.77.200'/>
<host mac='52:54:00:aa:bb:01' name='web' ip='192.168.77.10'/></dhcp></ip></network>"""
MACHINE = """<domain type='qemu'><name>web</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd><cmdline>console=ttyS0 quiet atoll.mode=shell</cmdline></os>
<features><acpi/></features><devices><serial type='unix'><source mode='bind' path='{line}'/></serial>
<interface type='network'><mac address='52:54:00:aa:bb:01'/><source network='nat'/><model type='virtio'/></interface></devices></domain>"""


def run(*words, check=True):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=check, timeout=60).stdout


def can_make_namespaces():
    name = f"atn{os.getpid()}"
    if os.geteuid() or not shutil.which("ip") or not shutil.which("dnsmasq"):
        return False
    made = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL, check=False).returncode == 0
    if made:
        run("ip", "netns", "del", name)
    return made


@unittest.skipUnless(shutil.which("virsh") and can_make_namespaces(), "needs virsh, dnsmasq and network namespaces")
class Networks(unittest.TestCase):
    def setUp(self):
        self.inside, self.outside = f"atin{os.getpid()}", f"atout{os.getpid()}"
        for name in (self.inside, self.outside):
            run("ip", "netns", "add", name)
            self.addCleanup(run, "ip", "netns", "del", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.inside, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", self.outside)
        for name, address in ((self.inside, "10.99.0.1/24"), (self.outside, "10.99.0.2/24")):
            run("ip", "-n", name, "addr", "add", address, "dev", "up0")
            run("ip", "-n", name, "link", "set", "up0", "up")
        self.daemon = manager.Daemon(prefix=["ip", "netns", "exec", self.inside])
        self.addCleanup(self.daemon.stop)
        self.path = os.path.join(self.daemon.folder, "net.xml")
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(NETWORK)

    def virsh(self, *args, **named):
        return self.daemon.virsh(*args, **named)

    def in_namespace(self, name, *words, **named):
        return subprocess.Popen(["ip", "netns", "exec", name, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **named)

    def traces(self):
        return (run("ip", "-n", self.inside, "-o", "link"), run("ip", "netns", "exec", self.inside, "nft", "list", "ruleset"),
                run("pgrep", "-f", os.path.join(self.daemon.folder, "run/networks"), check=False))

    def test_life(self):
        before = self.traces()
        self.virsh("net-define", self.path)
        self.virsh("net-autostart", "nat")
        self.virsh("net-start", "nat")
        self.assertEqual(self.virsh("net-list", "--name"), "nat")
        self.assertIn("atbr0", self.virsh("net-info", "nat"))
        links, rules, dnsmasq = self.traces()
        self.assertIn("atbr0", links)
        self.assertIn("masquerade", rules)
        self.assertTrue(dnsmasq)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("net-list", "--name"), "nat")
        done = self.virsh("net-define", self.path.replace("net.xml", "x"), check=False)
        self.assertNotEqual(done.returncode, 0)
        self.virsh("net-destroy", "nat")
        self.assertEqual(self.traces(), before)
        self.virsh("net-undefine", "nat")
        self.assertEqual(self.virsh("net-list", "--all", "--name"), "")

    def test_guest_behind_nat(self):
        self.virsh("net-define", self.path)
        self.virsh("net-start", "nat")
        served = os.path.join(self.daemon.folder, "served")
        os.mkdir(served)
        with open(os.path.join(served, "page"), "w", encoding="utf-8") as out:
            out.write("from outside")
        server = self.in_namespace(self.outside, sys.executable, "-m", "http.server", "-d", served, "8000")
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.addCleanup(server.stdout.close)
        line, xml = os.path.join(self.daemon.folder, "line"), os.path.join(self.daemon.folder, "web.xml")
        with open(xml, "w", encoding="utf-8") as out:
            out.write(MACHINE.format(kernel=guests.kernel("cloud"), initrd=guests.initramfs("cloud", test_network.INIT), line=line))
        self.virsh("create", xml)
        self.addCleanup(self.virsh, "destroy", "web", check=False)
        with manager.Line(line) as vm:
            vm.expect(r"GUEST lease 192\.168\.77\.10 mask 255\.255\.255\.0|GUEST lease 192\.168\.77\.10 mask 24", 200)
            vm.expect("A shell in the guest", 60)
            vm.send("nslookup outside 192.168.77.1 | tail -n 3; wget -q -O - http://10.99.0.2:8000/page; echo; echo fetc''hed\r")
            vm.expect(r"10\.99\.0\.2[\s\S]*from outside[\s\S]*fetched", 60)
            self.assertIn("192.168.77.10/24", self.virsh("net-dhcp-leases", "nat"))
            self.assertRegex(self.virsh("domifaddr", "web"), r"vnet0 +52:54:00:aa:bb:01 +ipv4 +192\.168\.77\.10/24")
            self.assertRegex(self.virsh("domifaddr", "web", "--source", "arp"), r"vnet0 +52:54:00:aa:bb:01 +ipv4 +192\.168\.77\.10/0")
            self.assertRegex(self.virsh("domstats", "web", "--interface"), r"net\.count=1\s+net\.0\.name=vnet0\s+net\.0\.rx\.bytes=[1-9]\d*\s+net\.0\.rx\.pkts=[1-9]")
            vm.send("(echo from-the-guest | nc -l -p 7) & until grep -q ':0007 .* 0A ' /proc/net/tcp*; do sleep 0.1; done; echo liste''ning\r")
            vm.expect("listening", 60)
            fetched = self.in_namespace(self.outside, sys.executable, "-c",
                                        "import socket; s = socket.create_connection(('10.99.0.1', 2222), 30); print(s.recv(100).decode())")
            self.assertIn("from-the-guest", fetched.communicate(timeout=60)[0])
        self.assertIn("vnet0", run("ip", "-n", self.inside, "-o", "link"))
        self.virsh("destroy", "web")
        end = time.monotonic() + 10
        while "vnet0" in run("ip", "-n", self.inside, "-o", "link") and time.monotonic() < end:
            time.sleep(0.05)
        self.assertNotIn("vnet0", run("ip", "-n", self.inside, "-o", "link"))

    def rules(self):
        return run("ip", "netns", "exec", self.inside, "nft", "list", "table", "inet", "atoll_atbr0")

    def test_changes_of_a_running_network(self):
        self.virsh("net-define", self.path)
        self.virsh("net-start", "nat")
        host = "<host mac='52:54:00:aa:bb:02' name='db' ip='192.168.77.11'/>"
        self.virsh("net-update", "nat", "add", "ip-dhcp-host", host, "--live", "--config")
        done = self.virsh("net-update", "nat", "add", "ip-dhcp-host", host, "--live", check=False)
        self.assertIn("already", done.stdout)
        conf = os.path.join(self.daemon.folder, "run/networks/atbr0.conf")
        with open(conf, encoding="utf-8") as file:
            self.assertIn("dhcp-host=52:54:00:aa:bb:02,192.168.77.11,db", file.read())
        self.virsh("net-update", "nat", "add", "forward", "<portForward port='8080' to='192.168.77.11' toPort='80'/>", "--live")
        self.assertIn("tcp dport 8080 dnat ip to 192.168.77.11:80", self.rules())
        self.assertIn("port='8080'", self.virsh("net-dumpxml", "nat"))
        self.assertNotIn("port='8080'", self.virsh("net-dumpxml", "nat", "--inactive"))
        # what runs is found again, and what is missing of it is made again
        self.daemon.kill()
        run("ip", "netns", "exec", self.inside, "nft", "delete", "table", "inet", "atoll_atbr0")
        run("pkill", "-F", os.path.join(self.daemon.folder, "run/networks/atbr0.pid"))
        self.daemon.start()
        self.assertIn("port='8080'", self.virsh("net-dumpxml", "nat"))
        end = time.monotonic() + 30
        while time.monotonic() < end and not ("8080" in run("ip", "netns", "exec", self.inside, "nft", "list", "ruleset") and self.traces()[2]):
            time.sleep(0.1)
        self.assertIn("8080", self.rules())
        self.assertTrue(self.traces()[2])
        self.virsh("net-update", "nat", "delete", "forward", "<portForward port='8080' to='192.168.77.11'/>", "--live")
        self.assertNotIn("8080", self.rules())
        self.virsh("net-destroy", "nat")
        self.assertIn("name='db'", self.virsh("net-dumpxml", "nat"))
        self.virsh("net-update", "nat", "modify", "ip-dhcp-host", "<host mac='52:54:00:aa:bb:02' ip='192.168.77.12'/>", "--config")
        self.assertIn("192.168.77.12", self.virsh("net-dumpxml", "nat"))
        for words, section, xml in (("no such", "dns-host", "<host ip='1.2.3.4'/>"), ("is not an IP address", "ip-dhcp-host", "<host ip='x' name='y'/>"),
                                    ("cannot be updated", "bridge", "<bridge name='x'/>")):
            done = self.virsh("net-update", "nat", "delete", section, xml, "--config", check=False)
            self.assertIn(words, done.stdout)

    def doctor(self, name="nat"):
        atoll = os.path.join(os.path.dirname(manager.ATOLLD), "atoll")
        return subprocess.run(["ip", "netns", "exec", self.inside, atoll, "-c", self.daemon.uri("qemu:///session"), "net-doctor", name], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)

    def foreign(self, rules):
        subprocess.run(["ip", "netns", "exec", self.inside, "nft", "-f", "-"], input=f"table inet foreign {{\n}}\ndelete table inet foreign\ntable inet foreign {{\n{rules}\n}}\n",
                       text=True, check=True, timeout=60)

    def test_doctor(self):
        """Rules of others beside ours: the one that ends what the network needs is named, and its remedy is one."""
        self.virsh("net-define", self.path)
        self.assertIn("net-start nat", self.doctor().stdout)
        self.virsh("net-start", "nat")
        done = self.doctor()
        self.assertEqual(done.returncode, 0, done.stdout)
        # What lets all pass that a network needs, among rules for others.
        self.foreign("""chain pass { type filter hook forward priority -5; policy accept; ct state established,related accept; iifname "eth9" drop
            ip saddr 10.0.0.0/8 tcp dport { 22, 80 } drop
            ip6 saddr fe80::/10 drop
            tcp dport 25 oifname "up9" reject
            }""".replace("; ", "\n"))
        done = self.doctor()
        self.assertEqual(done.returncode, 1, done.stdout)  # port 25 of up9, where that is the way out: perhaps
        self.assertIn("perhaps inet foreign, chain pass", done.stdout)
        self.assertNotIn("{ 22, 80 }", done.stdout)
        for rules, words in (('chain fw {\ntype filter hook forward priority -5\npolicy drop\nct state established,related accept\n}',
                              ("a guest reaches out", "foreign, chain fw", "policy drop", 'nft insert rule inet foreign fw iifname "atbr0" accept',
                               "port 2222 of the host is led to 192.168.77.10")),
                             ('chain sub {\nip saddr 192.168.0.0/16 counter drop\n}\nchain fw {\ntype filter hook forward priority 5\noifname != "atbr0" jump sub\n}',
                              ("a guest reaches out", "ip saddr 192.168.0.0/16 counter packets 0 bytes 0 drop", "chain sub")),
                             ('chain in {\ntype filter hook input priority 0\nudp dport { 53, 5353 } reject\n}', ("a guest asks for a name", "udp dport { 53, 5353 } reject")),
                             ('chain in {\ntype filter hook input priority 0\npolicy drop\niifname "lo" accept\nct state vmap { invalid : drop, established : accept }\n}',
                              ("a guest asks for an address", "a guest asks for a name"))):
            self.foreign(rules)
            done = self.doctor()
            self.assertEqual(done.returncode, 1, done.stdout)
            for word in words:
                self.assertIn(word, done.stdout)
            self.assertNotIn("perhaps", done.stdout)
        # the remedy that it names mends it
        self.foreign('chain fw {\ntype filter hook forward priority -5\npolicy drop\nct state established,related accept\n}')
        for line in ('iifname "atbr0" accept', 'oifname "atbr0" accept'):
            self.assertIn(f"nft insert rule inet foreign fw {line}", self.doctor().stdout)
            run("ip", "netns", "exec", self.inside, "nft", f"insert rule inet foreign fw {line}")
        done = self.doctor()
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_transient_network(self):
        self.virsh("net-create", self.path)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.virsh("net-list", "--name"), "nat")
        self.virsh("net-destroy", "nat")
        self.assertEqual(self.virsh("net-list", "--all", "--name"), "")

    def test_cards_without_a_network(self):
        with open(self.path.replace("net.xml", "lost.xml"), "w", encoding="utf-8") as out:
            out.write(MACHINE.format(kernel="/k", initrd="/i", line="/l"))
        done = self.virsh("create", self.path.replace("net.xml", "lost.xml"), check=False)
        self.assertIn("there is no network 'nat'", done.stdout)
        self.virsh("net-define", self.path)
        done = self.virsh("create", self.path.replace("net.xml", "lost.xml"), check=False)
        self.assertIn("net-start nat", done.stdout)


if __name__ == "__main__":
    tap.main()
