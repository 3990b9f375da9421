#!/usr/bin/env python3
"""Benchmark of the start: from exec to a microvm's first byte, and what an idle machine costs, in our machine and in QEMU's.

    start.py [--rounds N] [--only ROW,...] [--json FILE]
    start.py --doc [--json FILE]         write the last table into docs/performance.md

A round starts each emulator once for each row, one after the other; figures are medians over rounds.  Both start the same kernel by PVH
with a translator (QEMU: its microvm with the firmware that it comes with).  Memory is PSS without the guest's RAM, which is the mapping
of exactly -m's size that is there when the machine starts.
"""
import argparse
import contextlib
import json
import os
import re
import select
import shutil
import statistics
import subprocess
import sys
import time

import run
from run import BUILD, DOC, OUT, ROOT, guests

DOC_JSON = os.path.join(ROOT, "docs/performance-start.json")
BEGIN, END = "<!-- begin: written by tests/bench/start.py --doc -->", "<!-- end: start -->"
RAM_KIB = 128 << 10
MACHINE = ["-m", "128", "-nodefaults", "-display", "none", "-serial", "stdio"]
EMULATORS = {"atoll": [os.path.join(BUILD, "bin/atoll-vm"), "-accel", "dbt"], "qemu": ["qemu-system-x86_64", "-accel", "tcg"]}
ROWS = {  # name: title, unit, least ratio, most of ours
    "start": ("exec to the first guest byte, microvm by PVH", "ms", 5, None),
    "start-cpu": ("the same, in processors' time", "ms", None, None),
    "bare": ("memory of an idle microvm beyond its 128 MiB of RAM (PSS)", "MiB", None, 16),
    "linux": ("the same of a pc with Linux idle in it", "MiB", None, 16),
}
BOOT_SECONDS = 200
INIT_WORD, IDLE_SECONDS = b"A shell in the guest", 5


def hello():
    path = os.path.join(OUT, "hello")
    source = os.path.join(ROOT, "tests/bench/guest/hello.S")
    subprocess.run(["as", "--32", "-o", path + ".o", source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "--no-warn-rwx-segments", "-z", "noseparate-code", "-N", "-Ttext", "0x100000",
                    "--section-start=.note.Xen=0x100100", "-e", "start", "-o", path, path + ".o"], check=True)
    return path


def mappings(pid):
    """(first, end, KiB, PSS in KiB) of each."""
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        text = file.read()
    for found in re.finditer(r"^([0-9a-f]+)-([0-9a-f]+) .*\nSize: +(\d+) kB\n(?:.*\n)*?Pss: +(\d+) kB", text, re.MULTILINE):
        yield int(found[1], 16), int(found[2], 16), int(found[3]), int(found[4])


class Running:
    """A machine from exec to its end."""

    def __init__(self, words):
        self.begin = time.monotonic()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.ram = (0, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def expect(self, word, seconds=BOOT_SECONDS):
        text, fd = b"", self.process.stdout.fileno()
        while word not in text:
            if not select.select([fd], [], [], seconds)[0]:
                raise SystemExit(f"{self.process.args}: no '{word}' within {seconds} s")
            got = os.read(fd, 65536)
            if not got:
                raise SystemExit(f"{self.process.args} ended before '{word}': {text[-500:]}")
            text += got

    def cpu_ms(self):
        total = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e6

    def find_ram(self, seconds=20):
        """Before the guest runs for long, for emulators cut its mapping up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for first, last, size, _ in mappings(self.process.pid):
                if size == RAM_KIB:
                    self.ram = (first, last)
            if self.ram[1] and select.select([self.process.stdout], [], [], 0)[0]:
                return
            time.sleep(0.002)
        raise SystemExit(f"{self.process.args}: no mapping of {RAM_KIB} KiB")

    def beyond_ram(self):
        first, last = self.ram
        return sum(pss for begin, end, _, pss in mappings(self.process.pid) if not first <= begin < last) / 1024


def micro(kind):
    return [*EMULATORS[kind], "-M", "microvm", *MACHINE, "-kernel", os.path.join(OUT, "hello")]


def measure_start(kind):
    with Running(micro(kind)) as vm:
        vm.expect(b"A")
        yield "start", (time.monotonic() - vm.begin) * 1000
        yield "start-cpu", vm.cpu_ms()


def measure_bare(kind):
    with Running(micro(kind)) as vm:
        vm.find_ram()
        vm.expect(b"A")
        time.sleep(2)
        yield "bare", vm.beyond_ram()


def measure_linux(kind):
    words = [*EMULATORS[kind], "-M", "pc", *MACHINE, "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"), "-append",
             "console=ttyS0 earlyprintk=ttyS0 atoll.mode=shell"]
    with Running(words) as vm:
        vm.find_ram()
        vm.expect(INIT_WORD)
        time.sleep(IDLE_SECONDS)
        yield "linux", vm.beyond_ram()


MEASURES = ((("start", "start-cpu"), measure_start), (("bare",), measure_bare), (("linux",), measure_linux))


def measure(options):
    os.makedirs(OUT, exist_ok=True)
    hello()
    data = {"host": run.host_facts(), "rounds": options.rounds, "results": {kind: {} for kind in EMULATORS}}
    for n in range(options.rounds):
        for rows, function in MEASURES:
            if options.only and not set(rows) & set(options.only):
                continue
            if function is measure_linux and n >= 3:  # a boot takes long, and its memory hardly differs
                continue
            for kind, results in data["results"].items():
                for name, figure in function(kind):
                    results.setdefault(name, []).append(figure)
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump(data, out, indent=1)
    return data


def medians(data):
    for name, (title, unit, ratio, most) in ROWS.items():
        ours, theirs = (data["results"][kind].get(name) for kind in EMULATORS)
        if ours and theirs:
            yield title, unit, ratio, most, statistics.median(ours), statistics.median(theirs)


def cells(data):
    lines = [["row", "unit", "atoll", "qemu", "qemu/atoll", "reach"]]
    for title, unit, ratio, most, a, b in medians(data):
        reach = f"{ratio} times" if ratio else f"at most {most} {unit}" if most else "more than 1"
        lines.append([title, unit, f"{a:.1f}", f"{b:.1f}", f"{b / a:.2f}", reach])
    return lines


def missed(data):
    for title, unit, ratio, most, a, b in medians(data):
        if b < a * (ratio or 1) or (most and a > most):
            yield f"{title}: {a:.1f} {unit}, QEMU {b:.1f} {unit}"


def write_doc(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    host = data["host"]
    text = [f"{host['date']}, {host['cpus']} CPUs {host['cpu']}, load {host['load']:.1f}; atoll {host['atoll']}; {host['qemu']}.",
            f"Medians of {data['rounds']} rounds.", "", *run.markdown(cells(data)), "", *(f"* Behind: {line}" for line in missed(data))]
    with open(DOC, encoding="utf-8") as file:
        before, _, after = file.read().partition(BEGIN)
    with open(DOC, "w", encoding="utf-8") as out:
        out.write(before + BEGIN + "\n" + "\n".join(text).rstrip() + "\n" + END + after.partition(END)[2])
    if os.path.abspath(path) != DOC_JSON:
        shutil.copy(path, DOC_JSON)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help=f"rows: {', '.join(ROWS)}")
    parser.add_argument("--json", default=os.path.join(OUT, "start.json"))
    parser.add_argument("--doc", action="store_true")
    options = parser.parse_args(words)
    if options.doc:
        write_doc(options.json if os.path.exists(options.json) else DOC_JSON)
        return 0
    data = measure(options)
    for line in run.markdown(cells(data)):
        print(line)
    late = list(missed(data))
    for line in late:
        print("behind:", line)
    return 1 if late else 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(sys.argv[1:]))
