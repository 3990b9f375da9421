#!/usr/bin/python3
"""Benchmark of the manager: atolld and libvirtd, each as a session daemon in folders of its own, with the same client (libvirt's).

    manage.py [--rounds N] [--only ROW,...] [--json FILE]
    manage.py --doc [--json FILE]        write the last table into docs/performance.md

A round starts each daemon once, one after the other; figures are medians over rounds, and what is compared is how many
times as fast atolld is.  libvirtd runs as nobody, for root's session is the system's daemon.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

try:
    import libvirt as LIBVIRT
except ImportError:
    LIBVIRT = None

import run
from run import BUILD, DOC, OUT, ROOT

DOC_JSON = os.path.join(ROOT, "docs/performance-manage.json")
BEGIN, END = "<!-- begin: written by tests/bench/manage.py --doc -->", "<!-- end: manager -->"
DOMAINS, STARTED, CLIENTS, CHANGES, STARTERS = 1000, 200, 100, 50, 16
BLOCKED_LIMIT_S = 10  # a query that has no answer by then is given up
UNPRIVILEGED = 65534
DOMAIN = """<domain type='{kind}'><name>d{n}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>
<devices><emulator>{emulator}</emulator><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/d{n}.qcow2'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><mac address='52:54:00:00:{high:02x}:{low:02x}'/><model type='virtio'/></interface><serial type='pty'/></devices></domain>"""
TEST_DOMAIN = "<domain type='test'><name>t{n}</name><memory>4096</memory><os><type>hvm</type></os></domain>"
REAL = """<domain type='qemu'><name>blocked</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>{emulator}</emulator></devices></domain>"""
ROWS = {  # name: what is measured; the reach
    "list": (f"virsh list --all of {DOMAINS:,} domains", "ms", None),
    "start": (f"{STARTED} test domains started, {STARTERS} at a time", "ms", None),
    "events": (f"{CLIENTS} clients told of {2 * CHANGES} changes", "ms", None),
    "blocked": ("state of a domain whose job hangs", "ms", 10),
    "blocked-other": ("state of another domain meanwhile", "ms", 10),
    "idle": ("memory of the idle daemon (PSS)", "MiB", 20),
    "full": (f"memory with {DOMAINS:,} domains (PSS)", "MiB", None),
}


class Daemon:
    """Either daemon on a socket of its own."""

    def __init__(self, kind):
        self.kind, self.folder = kind, tempfile.mkdtemp(prefix=f"bench-{kind}-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        self.emulator = os.path.join(BUILD, "bin/atoll-vm") if kind == "atolld" else "/usr/bin/qemu-system-x86_64"
        places = {f"XDG_{name}": os.path.join(self.folder, name.lower()) for name in ("RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME", "DATA_HOME")}
        env = {**os.environ, **places, "HOME": self.folder}
        for path in [self.folder, *places.values()]:
            os.makedirs(path, exist_ok=True)
            if kind == "libvirtd" and not os.geteuid():
                os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
        if kind == "atolld":
            words, self.socket = [os.path.join(BUILD, "bin/atolld"), "--session"], os.path.join(places["XDG_RUNTIME_DIR"], "atoll/atoll-sock")
        else:
            words, self.socket = [shutil.which("libvirtd") or "/usr/sbin/libvirtd"], os.path.join(places["XDG_RUNTIME_DIR"], "libvirt/libvirt-sock")
            if not os.geteuid():
                words = ["setpriv", f"--reuid={UNPRIVILEGED}", "--clear-groups", *words]
        with open(os.path.join(self.folder, "out"), "wb") as out:
            self.process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/")
        end = time.monotonic() + 60
        while self.open_or_none() is None:
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{kind} does not listen: see {self.folder}/out")
            time.sleep(0.05)

    def uri(self, scheme="qemu"):
        return f"qemu:///session?socket={self.socket}" if scheme == "qemu" else f"test+unix:///default?socket={self.socket}"

    def open(self, scheme="qemu"):
        return LIBVIRT.open(self.uri(scheme))

    def open_or_none(self):
        with contextlib.suppress(LIBVIRT.libvirtError):
            return self.open()
        return None

    def pss(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="utf-8") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def elapsed_ms(work):
    start = time.monotonic()
    work()
    return (time.monotonic() - start) * 1000


# ---- rows: each yields (name, figure)

def define_and_list(daemon):
    with contextlib.closing(daemon.open()) as conn:
        for n in range(DOMAINS):
            conn.defineXML(DOMAIN.format(kind="qemu", n=n, high=n >> 8, low=n & 255, emulator=daemon.emulator))

    def virsh():
        said = subprocess.run(["virsh", "-q", "-c", daemon.uri(), "list", "--all"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout
        if len(said.split("\n")) < DOMAINS:
            raise SystemExit(f"{daemon.kind} lists too few: {said[:500]}")

    virsh()
    yield "list", min(elapsed_ms(virsh) for _ in range(5))
    yield "full", daemon.pss()


def start_many(daemon):
    with contextlib.closing(daemon.open("test")) as keep:
        for n in range(STARTED):
            keep.defineXML(TEST_DOMAIN.format(n=n))
        conns = [daemon.open("test") for _ in range(STARTERS)]

        def start(worker):
            for n in range(worker, STARTED, STARTERS):
                conns[worker].lookupByName(f"t{n}").create()

        def all_of_them():
            with concurrent.futures.ThreadPoolExecutor(STARTERS) as pool:
                list(pool.map(start, range(STARTERS)))

        yield "start", elapsed_ms(all_of_them)
        if keep.numOfDomains() < STARTED:
            raise SystemExit(f"{daemon.kind}: {keep.numOfDomains()} domains run")
        for conn in conns:
            conn.close()


class Listener:
    """A client of a few bytes, so that the daemon is what is measured: opens, asks for lifecycle events, counts them."""

    PROGRAM, EVENT = 0x20008086, 318

    def __init__(self, path):
        self.socket, self.serial, self.text, self.events = socket.socket(socket.AF_UNIX), 0, b"", 0
        self.socket.connect(path)
        name = b"test:///default"
        for procedure, body in ((66, b""), (1, struct.pack(">II", 1, len(name)) + name + b"\0" + struct.pack(">I", 0)), (60, struct.pack(">i", 14)),
                                (316, struct.pack(">iI", 0, 0))):
            self.call(procedure, body)

    def call(self, procedure, body):
        self.socket.sendall(struct.pack(">IIIiIII", 28 + len(body), self.PROGRAM, 1, procedure, 0, self.serial, 0) + body)
        self.serial += 1
        while self.take() < self.serial:
            pass

    def take(self):
        """Reads once; returns the serial behind that of the last reply."""
        self.text += self.socket.recv(1 << 16)
        answered = 0
        while len(self.text) >= 28 and len(self.text) >= (length := struct.unpack_from(">I", self.text)[0]):
            procedure, kind, serial, status = struct.unpack_from(">iIII", self.text, 12)
            if status:
                raise SystemExit(f"procedure {procedure} failed: {self.text[28:length]}")
            answered, self.events = serial + 1 if kind == 1 else answered, self.events + (kind == 2 and procedure == self.EVENT)
            self.text = self.text[length:]
        return answered


def tell_many(daemon):
    listeners = [Listener(daemon.socket) for _ in range(CLIENTS)]
    with contextlib.closing(daemon.open("test")) as conn, selectors.DefaultSelector() as selector:
        domain = conn.lookupByName("test")
        for listener in listeners:
            selector.register(listener.socket, selectors.EVENT_READ, listener)

        def change():
            for _ in range(CHANGES):
                domain.suspend()
                domain.resume()
            waiting = len(listeners)
            while waiting:
                ready = selector.select(60)
                if not ready:
                    raise SystemExit(f"{daemon.kind}: {waiting} clients wait for events")
                for key, _ in ready:
                    key.data.take()
                    if key.data.events >= 2 * CHANGES:
                        selector.unregister(key.fileobj)
                        waiting -= 1

        yield "events", elapsed_ms(change)
    for listener in listeners:
        listener.socket.close()


def machine_pid(daemon):
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            if words[0] == daemon.emulator.encode() and any(daemon.folder.encode() in word for word in words[1:]):
                return int(name)
    raise SystemExit(f"{daemon.kind}: no machine runs")


def limited_ms(work):
    """Gives up after the limit: the thread that waits is left to end with the daemon."""
    done = threading.Event()

    def then():
        with contextlib.suppress(LIBVIRT.libvirtError):
            work()
        done.set()

    start = time.monotonic()
    threading.Thread(target=then, daemon=True).start()
    done.wait(BLOCKED_LIMIT_S)
    return (time.monotonic() - start) * 1000


def ask_while_blocked(daemon):
    """The machine's process is stopped, so that `suspend` gets no answer from it."""
    conn, asking = daemon.open(), daemon.open()
    domain = conn.createXML(REAL.format(emulator=daemon.emulator))
    pid = machine_pid(daemon)
    asked = asking.lookupByName("blocked")
    other = asking.lookupByName("d0")
    os.kill(pid, signal.SIGSTOP)
    threading.Thread(target=lambda: limited_ms(domain.suspend), daemon=True).start()
    time.sleep(0.5)
    yield "blocked-other", statistics.median(limited_ms(other.info) for _ in range(9))
    yield "blocked", limited_ms(asked.info)
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)


def measure_daemon(kind, only):
    daemon = Daemon(kind)
    try:
        time.sleep(2)
        yield "idle", daemon.pss()
        for rows, function in ((("start",), start_many), (("events",), tell_many), (("list", "full"), define_and_list), (("blocked", "blocked-other"), ask_while_blocked)):
            if not only or set(rows) & set(only) or (function is define_and_list and "blocked" in only):
                yield from function(daemon)
    finally:
        daemon.stop()


def measure(options):
    os.makedirs(OUT, exist_ok=True)
    LIBVIRT.registerErrorHandler(lambda *_: None, None)
    LIBVIRT.virEventRegisterDefaultImpl()

    def turn():
        while True:
            LIBVIRT.virEventRunDefaultImpl()

    threading.Thread(target=turn, daemon=True).start()
    data = {"host": run.host_facts(), "rounds": options.rounds, "results": {"atolld": {}, "libvirtd": {}}}
    for n in range(options.rounds):
        for kind, rows in data["results"].items():
            print(f"round {n + 1}: {kind}", flush=True)
            for name, figure in measure_daemon(kind, options.only):
                rows.setdefault(name, []).append(figure)
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump(data, out, indent=1)
    return data


def cells(data):
    lines = [["row", "unit", "atolld", "libvirtd", "libvirtd/atolld", "reach"]]
    for name, (title, unit, reach) in ROWS.items():
        ours, theirs = (data["results"][kind].get(name) for kind in ("atolld", "libvirtd"))
        if not ours or not theirs:
            continue
        a, b = statistics.median(ours), statistics.median(theirs)
        past = unit == "ms" and b >= BLOCKED_LIMIT_S * 1000
        lines.append([title, unit, f"{a:.3g}", f"> {BLOCKED_LIMIT_S * 1000}" if past else f"{b:.4g}", f"{'> ' if past else ''}{b / a:.2f}",
                      f"at most {reach} {unit}" if reach else "more than 1"])
    return lines


def missed(data):
    for name, (title, unit, reach) in ROWS.items():
        ours, theirs = (data["results"][kind].get(name) for kind in ("atolld", "libvirtd"))
        if ours and theirs:
            a, b = statistics.median(ours), statistics.median(theirs)
            if a >= b or (reach and a > reach):
                yield f"{title}: {a:.3g} {unit}, libvirtd {b:.4g} {unit}"


def write_doc(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    host = data["host"]
    text = [f"{host['date']}, {host['cpus']} CPUs {host['cpu']}, load {host['load']:.1f}; atoll {host['atoll']}; libvirtd 9.0.0.",
            f"Medians of {data['rounds']} rounds.", "", *run.markdown(cells(data)), "", *(f"* Behind: {line}" for line in missed(data))]
    with open(DOC, encoding="utf-8") as file:
        before, _, after = file.read().partition(BEGIN)
    with open(DOC, "w", encoding="utf-8") as out:
        out.write(before + BEGIN + "\n" + "\n".join(text).rstrip() + "\n" + END + after.partition(END)[2])
    if os.path.abspath(path) != DOC_JSON:
        shutil.copy(path, DOC_JSON)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help=f"rows: {', '.join(ROWS)}")
    parser.add_argument("--json", default=os.path.join(OUT, "manage.json"))
    parser.add_argument("--doc", action="store_true")
    options = parser.parse_args(words)
    if options.doc:
        write_doc(options.json if os.path.exists(options.json) else DOC_JSON)
        return 0
    if LIBVIRT is None:
        raise SystemExit("manage.py needs python3-libvirt, libvirt-clients and libvirt-daemon")
    data = measure(options)
    run.print_lines(cells(data))
    behind = list(missed(data))
    for line in behind:
        print("behind: " + line)
    return bool(behind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
