#!/usr/bin/env python3
"""Benchmark of disks: virtio-blk and IDE, the same guest in our machine and in QEMU's.

    disk.py [--rounds N] [--seconds S] [--only WORKLOAD] [--devices vda,sda] [--emulators NAME,...] [--json FILE]
    disk.py --doc [--json FILE]        write the last table into docs/performance.md

A round boots each emulator once, one after the other; figures are medians over rounds.  Both have the same image files,
in the host's page cache (cache=writeback, which is both's default), so what is measured is the machine and not the
host's disk.  The guest runs guest/disk.c on the devices, past its own page cache.  "host" is the same program on the image
files themselves, by this host's read() and write(): what both could do if a machine cost nothing.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys

import run
from run import BUILD, DOC, OUT, ROOT, guests

DOC_JSON = os.path.join(ROOT, "docs/performance-disk.json")
BEGIN, END = "<!-- begin: written by tests/bench/disk.py --doc -->", "<!-- end: disks -->"
REACH = 3
IMAGE_BYTES = 256 << 20
IMAGES = ("virtio.img", "ide.img")
DEVICES = {"vda": "virtio-blk", "sda": "IDE"}
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev 2>/dev/null
while read -r module; do /bin/busybox insmod /modules/$module 2>/dev/null; done < /modules/order
/bin/busybox sleep 1
echo none > /sys/block/vda/queue/scheduler
echo none > /sys/block/sda/queue/scheduler
echo "BENCH-INIT"
/bin/disk $(/bin/busybox sed -n 's/.*bench=\\([^ ]*\\).*/\\1/p' /proc/cmdline | /bin/busybox tr , ' ')
echo "BENCH-END"
/bin/busybox poweroff -f
"""
MACHINE = ["-m", "512M", "-nographic", "-no-reboot", "-cpu", "max", "-nodefaults", "-serial", "stdio"]
OURS = os.path.join(BUILD, "bin/atoll-vm")
VIRTIO = ["-drive", "file=@/virtio.img,format=raw,if=none,id=v"]
IDE = ["-drive", "file=@/ide.img,format=raw,if=ide"]
PLAIN = [*MACHINE, *VIRTIO, "-device", "virtio-blk-pci,drive=v", *IDE]
THREAD = [*MACHINE, *VIRTIO, "-object", "iothread,id=t", "-device", "virtio-blk-pci,drive=v,iothread=t", *IDE]
EMULATORS = {
    "dbt": [OURS, "-accel", "dbt", *PLAIN],
    "dbt-iothread": [OURS, "-accel", "dbt", *THREAD],
    "kvm": [OURS, "-accel", "kvm", *PLAIN],
    "kvm-iothread": [OURS, "-accel", "kvm", *THREAD],
    "tcg": ["qemu-system-x86_64", "-accel", "tcg", *PLAIN],
    "tcg-iothread": ["qemu-system-x86_64", "-accel", "tcg", *THREAD],
}
PAIRS = [("dbt", "tcg"), ("dbt-iothread", "tcg-iothread"), ("dbt", "host")]
HOST_FILES = {"vda": "virtio.img", "sda": "ide.img"}
DISK_LINE = r"DISK (\S+) (\S+) (\d+) (\d+)$"
BOOT_SECONDS = 200
BY_CPU = (1, "operations a second of the host's CPUs")


def make_image(name):
    path = os.path.join(OUT, name)
    if not os.path.exists(path) or os.path.getsize(path) != IMAGE_BYTES:
        with open(path, "wb") as out:
            for _ in range(IMAGE_BYTES >> 20):
                out.write(b"\x5a" * (1 << 20))


def cpu_seconds(pid):
    """Of all threads of a process, in user and kernel mode."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def on_host(options):
    figures, before = {}, 0
    for device in options.devices.split(","):
        words = [os.path.join(BUILD, "tests/bench/disk"), str(options.seconds), options.only, os.path.join(OUT, HOST_FILES[device])]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                found, cpu = re.search(DISK_LINE, line), cpu_seconds(process.pid)
                if found:
                    figures[f"{device} {found.group(2)}"] = (int(found.group(4)) / int(found.group(3)), (cpu - before) * 1e9 / int(found.group(3)))
                before = cpu
        before = 0
    return figures, []


def one_run(emulator, options, kernel, initramfs):
    """Boots once: {"vda read-4k-1": (nanoseconds, nanoseconds of the host's CPUs) an operation}, and what went wrong."""
    args = [word.replace("@", OUT) for word in EMULATORS[emulator]]
    words = ",".join([str(options.seconds), options.only, *("/dev/" + name for name in options.devices.split(","))])
    args += ["-kernel", kernel, "-initrd", initramfs, "-append", f"console=ttyS0 quiet panic=-1 bench={words}"]
    for name in IMAGES:  # into the host's cache
        with open(os.path.join(OUT, name), "rb") as file:
            while file.read(1 << 20):
                pass
    stream, figures, wrong, cpu = run.Stream(args), {}, [], 0
    while True:
        line = stream.line(BOOT_SECONDS)
        if line is None or line.startswith("BENCH-END"):
            break
        found = re.search(DISK_LINE, line)
        if "BENCH-INIT" in line or found:
            before, cpu = cpu, cpu_seconds(stream.process.pid)
        if found:
            figures[f"{os.path.basename(found.group(1))} {found.group(2)}"] = (int(found.group(4)) / int(found.group(3)), (cpu - before) * 1e9 / int(found.group(3)))
        elif "DISK" in line:
            wrong.append(line)
    if line is None:
        wrong.append(f"{emulator} did not come to its end: " + " / ".join(stream.text.splitlines()[-3:]))
        stream.process.kill()
    stream.close()
    return figures, wrong


def measure(options):
    os.makedirs(OUT, exist_ok=True)
    for name in IMAGES:
        make_image(name)
    with open(os.path.join(BUILD, "tests/bench/disk"), "rb") as file:
        program = file.read()
    kernel, initramfs = guests.kernel("cloud"), guests.initramfs("cloud", INIT, {"bin/disk": program})
    results, wrong, host = {e: {} for e in options.emulators}, [], run.host_facts()
    for n in range(options.rounds):
        for emulator in options.emulators:
            print(f"round {n + 1}: {emulator}", flush=True)
            figures, bad = on_host(options) if emulator == "host" else one_run(emulator, options, kernel, initramfs)
            wrong += bad
            for name, both in figures.items():
                results[emulator].setdefault(name, []).append(both)
    data = {"host": host, "rounds": options.rounds, "seconds": options.seconds, "results": results, "wrong": wrong}
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump(data, out, indent=1)
    return data


def cells(data, which=0, title="operations a second"):
    emulators = list(data["results"])
    pairs = [pair for pair in PAIRS if pair[0] in emulators and pair[1] in emulators]
    lines = [[title, *emulators, *(f"{a}/{b}" for a, b in pairs)]]
    names = [name for name in next(iter(data["results"].values()), {})]
    for name in names:
        device, workload = name.split()
        rate = {e: 1e9 / statistics.median(max(both[which], 1) for both in data["results"][e][name]) for e in emulators if data["results"][e].get(name)}
        lines.append([f"{DEVICES[device]} {workload}", *(f"{rate[e]:.0f}" if e in rate else "-" for e in emulators),
                      *(f"{rate[a] / rate[b]:.2f}" if a in rate and b in rate else "-" for a, b in pairs)])
    return lines


def write_doc(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    host = data["host"]
    text = [f"{host['date']}, {host['cpus']} CPUs {host['cpu']}, load {host['load']:.1f}; atoll {host['atoll']}; {host['qemu']}.",
            f"Medians of {data['rounds']} rounds of {data['seconds']} s, operations a second; 4k is random, seq is 128 KiB at depth 4. The reach is {REACH}.",
            "", *run.markdown(cells(data)), "", "On a loaded host the seconds of processors tell more than those of the clock:", "",
            *run.markdown(cells(data, *BY_CPU)), "", *(f"* Failed: {line}" for line in data["wrong"])]
    with open(DOC, encoding="utf-8") as file:
        before, _, after = file.read().partition(BEGIN)
    with open(DOC, "w", encoding="utf-8") as out:
        out.write(before + BEGIN + "\n" + "\n".join(text).rstrip() + "\n" + END + after.partition(END)[2])
    if os.path.abspath(path) != DOC_JSON:
        shutil.copy(path, DOC_JSON)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", default="all", help="one workload of guest/disk.c")
    parser.add_argument("--devices", default=",".join(DEVICES))
    parser.add_argument("--emulators", default="dbt,tcg,host")
    parser.add_argument("--json", default=os.path.join(OUT, "disks.json"))
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
    print()
    run.print_lines(cells(data, *BY_CPU))
    for line in data["wrong"]:
        print("failed: " + line)
    return bool(data["wrong"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
