#!/usr/bin/env python3
"""Benchmark of networks: virtio-net to the host by user networking, the same guest in our machine and in QEMU's.

    net.py [--rounds N] [--seconds S] [--only WORKLOAD] [--emulators NAME,...] [--json FILE]
    net.py --doc [--json FILE]        write the last table into docs/performance.md

A round boots each emulator once, one after the other; figures are medians over rounds.  The guest runs guest/net.c against the same
program on the host's loopback, where 10.0.2.2 leads.  "host" is the two of them without a machine between.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

import disk
import run
from run import BUILD, DOC, OUT, ROOT, guests

DOC_JSON = os.path.join(ROOT, "docs/performance-net.json")
BEGIN, END = "<!-- begin: written by tests/bench/net.py --doc -->", "<!-- end: networks -->"
REACH = 3
PROGRAM = os.path.join(BUILD, "tests/bench/net")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev 2>/dev/null
while read -r module; do /bin/busybox insmod /modules/$module 2>/dev/null; done < /modules/order
/bin/busybox sleep 1
/bin/busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
echo "BENCH-INIT"
/bin/net $(/bin/busybox sed -n 's/.*bench=\\([^ ]*\\).*/\\1/p' /proc/cmdline | /bin/busybox tr , ' ') 2>&1
echo "BENCH-END"
/bin/busybox poweroff -f
"""
CARD = ["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"]
EMULATORS = {
    "dbt": [disk.OURS, "-accel", "dbt", *disk.MACHINE, *CARD],
    "kvm": [disk.OURS, "-accel", "kvm", *disk.MACHINE, *CARD],
    "tcg": ["qemu-system-x86_64", "-accel", "tcg", *disk.MACHINE, *CARD],
}
PAIRS = [("dbt", "tcg"), ("dbt", "host")]
NET_LINE = r"NET (\S+) (\d+) (\d+)$"
BOOT_SECONDS = 200
STREAMS = ("tcp-out", "tcp-in")
CHUNK_MIB = 64 / 1024


@contextlib.contextmanager
def server():
    """The port of one that serves meanwhile."""
    with subprocess.Popen([PROGRAM, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()


def figure(found):
    return int(found.group(2)) * 1e9 / int(found.group(3))


def on_host(options, port):
    text = subprocess.run([PROGRAM, str(options.seconds), options.only, "127.0.0.1", port], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {found.group(1): figure(found) for found in re.finditer(NET_LINE, text, re.M)}, []


def one_run(emulator, options, port, kernel, initramfs):
    """Boots once: {"tcp-in": operations a second}, and what went wrong."""
    words = ",".join([str(options.seconds), options.only, "10.0.2.2", port])
    stream = run.Stream([*EMULATORS[emulator], "-kernel", kernel, "-initrd", initramfs, "-append", f"console=ttyS0 quiet panic=-1 bench={words}"])
    figures, wrong = {}, []
    while (line := stream.line(BOOT_SECONDS)) is not None and not line.startswith("BENCH-END"):
        found = re.search(NET_LINE, line)
        if found:
            figures[found.group(1)] = figure(found)
        elif line.startswith("net: "):
            wrong.append(f"{emulator}: {line}")
    if line is None:
        wrong.append(f"{emulator} did not come to its end: " + " / ".join(stream.text.splitlines()[-3:]))
        stream.process.kill()
    stream.close()
    return figures, wrong


def measure(options):
    os.makedirs(OUT, exist_ok=True)
    with open(PROGRAM, "rb") as file:
        kernel, initramfs = guests.kernel("cloud"), guests.initramfs("cloud", INIT, {"bin/net": file.read()})
    results, wrong, host = {e: {} for e in options.emulators}, [], run.host_facts()
    for n in range(options.rounds):
        for emulator in options.emulators:
            print(f"round {n + 1}: {emulator}", flush=True)
            with server() as port:
                figures, bad = on_host(options, port) if emulator == "host" else one_run(emulator, options, port, kernel, initramfs)
            wrong += bad
            for name, rate in figures.items():
                results[emulator].setdefault(name, []).append(rate)
    data = {"host": host, "rounds": options.rounds, "seconds": options.seconds, "results": results, "wrong": wrong}
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump(data, out, indent=1)
    return data


def cells(data):
    """MiB a second of streams, else operations a second."""
    emulators = list(data["results"])
    pairs = [pair for pair in PAIRS if pair[0] in emulators and pair[1] in emulators]
    lines = [["a second", *emulators, *(f"{a}/{b}" for a, b in pairs)]]
    for name in next(iter(data["results"].values()), {}):
        unit, scale = ("MiB", CHUNK_MIB) if name in STREAMS else ("times", 1)
        rate = {e: statistics.median(data["results"][e][name]) * scale for e in emulators if data["results"][e].get(name)}
        lines.append([f"{name}, {unit}", *(f"{rate[e]:.0f}" if e in rate else "-" for e in emulators),
                      *(f"{rate[a] / rate[b]:.2f}" if a in rate and b in rate else "-" for a, b in pairs)])
    return lines


def write_doc(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    host = data["host"]
    text = [f"{host['date']}, {host['cpus']} CPUs {host['cpu']}, load {host['load']:.1f}; atoll {host['atoll']}; {host['qemu']}.",
            f"Medians of {data['rounds']} rounds of {data['seconds']} s. The reach is {REACH}.", "", *run.markdown(cells(data)), "",
            *(f"* Failed: {line}" for line in data["wrong"])]
    with open(DOC, encoding="utf-8") as file:
        before, _, after = file.read().partition(BEGIN)
    with open(DOC, "w", encoding="utf-8") as out:
        out.write(before + BEGIN + "\n" + "\n".join(text).rstrip() + "\n" + END + after.partition(END)[2])
    if os.path.abspath(path) != DOC_JSON:
        shutil.copy(path, DOC_JSON)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="all", help="one workload of guest/net.c")
    parser.add_argument("--emulators", default="dbt,tcg,host")
    parser.add_argument("--json", default=os.path.join(OUT, "networks.json"))
    parser.add_argument("--doc", action="store_true")
    options = parser.parse_args(words)
    options.emulators = options.emulators.split(",")
    unknown = set(options.emulators) - {*EMULATORS, "host"}
    if unknown:
        parser.error(f"no emulator {', '.join(sorted(unknown))}; there are {', '.join(EMULATORS)}, host")
    if options.doc:
        write_doc(options.json if os.path.exists(options.json) else DOC_JSON)
        return 0
    data = measure(options)
    run.print_lines(cells(data))
    for line in data["wrong"]:
        print("failed: " + line)
    return bool(data["wrong"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
