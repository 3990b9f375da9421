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
        self.environment = {"HOME": self.path("home"), "XDG_RUNTIME_DIR": self.path("run"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.log_folder = self.path("home/.cache/libvirt/qemu/log")
        for name in ("home", "run"):
            os.mkdir(self.path(name), 0o700)
        shutil.copy(guest.ATOLL_VM, self.emulator)
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


class Console(guest.Guest):
    """`virsh console`: types commands to a shell, and reads what it says."""

    def __init__(self, host, name):
        words = [f"{key}={value}" for key, value in host.environment.items()]
        super().__init__(f"--reuid={host.user}", f"--regid={host.user}", "--clear-groups", "env", "-i", *words, "TERM=dumb", "virsh", "-c", host.uri,
                         "console", name, "--force", program="setpriv", terminal=True)
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
