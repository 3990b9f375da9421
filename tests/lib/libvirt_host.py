"""Debian's libvirtd of a test's own, with atoll-vm as emulator, and its tools: virsh, virt-install, a console."""
import os
import re
import shutil
import subprocess
import tempfile
import time

import guest

NOBODY = 65534


def wait_for(condition, what, seconds=60):
    """Until condition() is true; returns what it said."""
    end = time.monotonic() + seconds * guest.PATIENCE
    while True:
        said = condition()
        if said:
            return said
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds * guest.PATIENCE:g} s not yet: {what}")
        time.sleep(0.2)


class Session:
    """The daemon of an unprivileged user with folders of its own: qemu:///session."""
    uri = "qemu:///session"
    user = NOBODY

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="atoll-libvirt-", dir="/tmp")
        self.emulator = self.path("atoll-vm")
        self.environment = {"HOME": self.path("home"), "XDG_RUNTIME_DIR": self.path("run"), "PATH": self.path("bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"}
        self.log_folder = self.path("home/.cache/libvirt/qemu/log")
        for name in ("home", "run"):
            os.mkdir(self.path(name), 0o700)
        shutil.copy(guest.ATOLL_VM, self.emulator)
        os.mkdir(self.path("bin"))
        os.symlink(self.emulator, self.path("bin/qemu-system-x86_64"))  # what virt-install asks whether the host can run machines
        for name in ("", "home", "run"):
            self.give(self.path(name))
        os.chmod(self.folder, 0o755)
        self.daemon = self.start_daemon()

    def start_daemon(self):
        daemon = subprocess.Popen(["libvirtd"], **self.identity(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.path("run/libvirt/libvirt-sock")), "libvirtd listens")
        return daemon

    def close(self):
        self.daemon.terminate()
        self.daemon.wait()
        shutil.rmtree(self.folder)

    def identity(self):
        return {"user": self.user, "group": self.user, "extra_groups": [], "env": self.environment}

    def path(self, name):
        return os.path.join(self.folder, name)

    def give(self, path):
        """To the user as whom guests run."""
        os.chown(path, self.user, self.user)
        return path

    def log(self, name):
        try:
            with open(os.path.join(self.log_folder, f"{name}.log"), encoding="utf-8", errors="replace") as log:
                return log.read()[-2000:]
        except OSError:
            return ""

    def run(self, *args, name="t1", status=0):
        done = subprocess.run(args, **self.identity(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60 * guest.PATIENCE, check=False)
        if done.returncode != status:
            raise AssertionError(f"{' '.join(args)}: status {done.returncode}: {done.stdout}\n{self.log(name)}")
        return done.stdout.strip()

    def virsh(self, *args, status=0):
        return self.run("virsh", "-q", "-c", self.uri, *args, status=status)

    def virt_install(self, *args):
        """Starts the machine and comes back; its emulator is ours."""
        return self.run("virt-install", "--connect", self.uri, "--name", "t1", "--virt-type", "qemu", "--osinfo", "debian11", "--graphics", "vnc,listen=127.0.0.1",
                        "--noautoconsole", "--xml", f"./devices/emulator={self.emulator}", *args)

    def console(self, name="t1"):
        return Console(self, name)

    def words_as_user(self, *words):
        """A command line that runs them as run() does."""
        variables = [f"{key}={value}" for key, value in self.environment.items()]
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "env", "-i", *variables, "TERM=dumb", *words]

    def image(self, name, *args):
        """qemu-img create -f FORMAT ...; args: format, size or options."""
        path = self.path(name)
        subprocess.run(["qemu-img", "create", "-q", "-f", args[0], *args[2:], path, *filter(None, args[1:2])], check=True)
        return self.give(path)

    def remove(self, name="t1"):
        """At a test's end: whatever state it is in."""
        for command in ("destroy", "undefine"):
            subprocess.run(["virsh", "-q", "-c", self.uri, command, name], **self.identity(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)


# In a namespace of mounts, network and processes: the paths that a system daemon has compiled in are folders of the test's, and the
# user that Debian's package makes is there.  Ends with all that it started when its first process does.
SYSTEM = """
for place in etc/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt; do
    name=$(basename $(dirname $place))
    mkdir -p $0/$name /$place
    [ $name = etc ] && cp -a /$place/. $0/$name
    mount --bind $0/$name /$place
done
(cat /etc/passwd; echo libvirt-qemu:x:{user}:{user}::/var/lib/libvirt:/usr/sbin/nologin) > $0/passwd
(cat /etc/group; echo libvirt-qemu:x:{user}:; getent group kvm > /dev/null || echo kvm:x:64054:) > $0/group
for name in passwd group; do mount --bind $0/$name /etc/$name; done
mount -t tmpfs none /run
mkdir /run/lock
ip link set lo up
cat > /etc/libvirt/qemu.conf <<'END'
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "file"
END
libvirtd & # not the first process itself: that one has to reap what others leave
wait $!
"""
NAT = """<network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='off' delay='0'/>
<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>"""


def can_be_system():
    return os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "ip", "dnsmasq", "iptables"))) and os.path.exists("/dev/net/tun") and \
        subprocess.run(["unshare", "-m", "-n", "-p", "--fork", "--mount-proc", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


class System(Session):
    """The daemon of the host, as root, whose guests run as libvirt-qemu: qemu:///system, with the network "default"."""
    uri = "qemu:///system"
    user = 64055

    def start_daemon(self):
        self.log_folder = self.path("log/qemu")
        self.errors = open(self.path("daemon.log"), "w", encoding="utf-8")  # pylint: disable=consider-using-with
        daemon = subprocess.Popen(["unshare", "-m", "-n", "-p", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", SYSTEM.format(user=self.user), self.folder],
                                  env=self.environment, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors)
        self.daemon = daemon
        wait_for(lambda: self.listens(daemon), "libvirtd listens")
        return daemon

    def listens(self, daemon):
        if daemon.poll() is not None:
            with open(self.path("daemon.log"), encoding="utf-8") as log:
                raise AssertionError(f"libvirtd ended: {log.read()[-2000:]}")
        return subprocess.run(self.within("test", "-S", "/run/libvirt/libvirt-sock"), check=False).returncode == 0

    def within(self, *words):
        return ["nsenter", "-t", str(self.daemon.pid), "-m", "-n", *words]

    def identity(self):
        return {"env": self.environment}

    def words_as_user(self, *words):
        return self.within("env", "TERM=dumb", *words)

    def run(self, *args, name="t1", status=0):
        return super().run(*self.within(*args), name=name, status=status)

    def start_network(self):
        path = self.path("network.xml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(NAT)
        self.virsh("net-define", path)
        self.virsh("net-start", "default")

    def remove(self, name="t1"):
        for command in ("destroy", "undefine"):
            subprocess.run(self.within("virsh", "-q", "-c", self.uri, command, name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, check=False)

    def close(self):
        """unshare ignores SIGTERM while its child lives; that child and all in its namespace end with it."""
        with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children", encoding="ascii") as children:
            first = children.read().split()
        self.daemon.kill()
        self.errors.close()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in first), "the namespace is gone")
        super().close()


class Console(guest.Guest):
    """`virsh console`: types commands to a shell, and reads what it says."""

    def __init__(self, host, name):
        program, *words = host.words_as_user("virsh", "-c", host.uri, "console", name, "--force")
        super().__init__(*words, program=program, terminal=True)
        self.commands = 0
        self.expect("Escape character", 30)

    def login(self, seconds=300):
        """Until the shell that systemd starts on the line says its prompt."""
        self.expect(r"root@\S+?:\S*#", seconds)
        self.shell("stty -echo; PS1=; dmesg -n 1")

    def shell(self, command, seconds=60):
        """Runs it; what it printed."""
        self.commands += 1
        self.send(f"{command}; echo DO''NE-{self.commands}-$?\n")
        start = self.seen
        done = self.expect(rf"DONE-{self.commands}-(\d+)", seconds)
        said = self.text[start:self.seen - len(done.group(0))]
        if done.group(1) != "0":
            raise AssertionError(f"in the guest, {command}: status {done.group(1)}: {said}")
        return said

    def wait_shell(self, command, pattern, seconds=60):
        """Runs it again until what it prints matches."""
        return wait_for(lambda: re.search(pattern, self.shell(f"{{ {command}; }} 2>&1 || true")), f"'{pattern}' of '{command}'", seconds)
