#!/usr/bin/env python3
"""Benchmarks of atoll-img against qemu-img and qemu-io: the same work, one after the other, medians over rounds.

    img.py [--rounds N] [--only NAME,...] [--size MIB] [--folder DIR] [--json FILE]
    img.py --doc [--json FILE]        write the last table into docs/performance.md

Images are warm (in the host's page cache) and targets are not flushed to the disk, as qemu-img does by default; before
each run old data are written back (sync), so that no one pays for another's.  Peak memory is the process's own.
"""
import argparse
import datetime
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("ATOLL_BUILD", os.path.join(ROOT, "build")))
OUT = os.path.join(BUILD, "bench")
DOC, DOC_JSON = os.path.join(ROOT, "docs/performance.md"), os.path.join(ROOT, "docs/performance-img.json")
BEGIN, END = "<!-- begin: written by tests/bench/img.py --doc -->", "<!-- end of img.py -->"
REACH = 1.5  # times as fast as qemu-img, or at the limit of what the host copies


def run(args, folder):
    """Seconds, seconds of processors, and peak memory (KiB) of one process.  By time(1): what wait4() says of a child of
    ours includes our own memory."""
    os.sync()
    begin = time.monotonic()
    got = subprocess.run(["/usr/bin/time", "-f", "%U %S %M", *args], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - begin
    if got.returncode:
        raise SystemExit(f"img.py: {' '.join(args)} ended with {got.returncode}: {got.stderr}")
    user, system, memory = got.stderr.split()[-3:]
    return seconds, float(user) + float(system), int(memory)


class Work:
    """One row of the table: what each side runs, and what is made anew before each run."""

    def __init__(self, name, words, prepare=(), program="img", target=None, copies=None):
        self.name, self.words, self.program, self.target = name, words, program, target
        self.prepare = prepare  # command lines of qemu-img, run before each
        self.copies = copies or {}


def host_files(size):
    """What a guest's disk holds: programs, libraries and documents of this host, as one archive."""
    got = subprocess.run(f"tar -C / --sort=name -cf - usr/lib/x86_64-linux-gnu usr/bin usr/share/doc 2>/dev/null | head -c {size}", shell=True,
                         stdout=subprocess.PIPE, check=False).stdout
    return got * (size // len(got) + 1)


def make_images(folder, mib):
    """src.raw: three quarters data in runs of 1 to 16 MiB, the rest holes; and what is made of it."""
    rng = random.Random(1)
    block = host_files(256 << 20)
    with open(os.path.join(folder, "src.raw"), "wb") as out:
        at = 0
        while at < mib << 20:
            length = rng.randrange(1, 17) << 20
            if rng.random() < 0.75:
                out.seek(at)
                begin = rng.randrange(0, (256 << 20) - length)
                out.write(block[begin:begin + min(length, (mib << 20) - at)])
            at += length
        out.truncate(mib << 20)
    for words in (["convert", "-O", "qcow2", "src.raw", "src.qcow2"], ["create", "-q", "-f", "qcow2", "-b", "src.qcow2", "-F", "qcow2", "over.qcow2"],
                  ["convert", "-c", "-O", "qcow2", "src.raw", "zlib.qcow2"], ["convert", "-c", "-o", "compression_type=zstd", "-O", "qcow2", "src.raw", "zstd.qcow2"],
                  ["create", "-q", "-f", "qcow2", "empty.qcow2", f"{mib}M"], ["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "big.qcow2", "100G"]):
        subprocess.run(["qemu-img", *words], cwd=folder, check=True)
    commands = []
    for _ in range(mib * 4):
        commands += ["-c", f"write -q -P {rng.randrange(1, 255)} {rng.randrange(mib * 16) * 65536} 64k"]
    for at in range(0, len(commands), 2000):
        subprocess.run(["qemu-io", "-t", "unsafe", *commands[at:at + 2000], "over.qcow2"], cwd=folder, check=True)


WORKS = [
    Work("convert raw to qcow2", ["convert", "-f", "raw", "-O", "qcow2", "src.raw", "t"], target="t"),
    Work("convert qcow2 to raw", ["convert", "-f", "qcow2", "-O", "raw", "src.qcow2", "t"], target="t"),
    Work("convert qcow2 to qcow2", ["convert", "-f", "qcow2", "-O", "qcow2", "src.qcow2", "t"], target="t"),
    Work("convert raw to raw", ["convert", "-f", "raw", "-O", "raw", "src.raw", "t"], target="t"),
    Work("convert -c (zlib)", ["convert", "-f", "raw", "-c", "-O", "qcow2", "src.raw", "t"], target="t"),
    Work("convert -c (zstd)", ["convert", "-f", "raw", "-c", "-O", "qcow2", "-o", "compression_type=zstd", "src.raw", "t"], target="t"),
    Work("convert from zlib", ["convert", "-f", "qcow2", "-O", "raw", "zlib.qcow2", "t"], target="t"),
    Work("convert from zstd", ["convert", "-f", "qcow2", "-O", "raw", "zstd.qcow2", "t"], target="t"),
    Work("compare raw, qcow2", ["compare", "-f", "raw", "-F", "qcow2", "src.raw", "src.qcow2"]),
    Work("check", ["check", "-f", "qcow2", "big.qcow2"]),
    Work("rebase", ["rebase", "-f", "qcow2", "-b", "empty.qcow2", "-F", "qcow2", "t"], copies={"over.qcow2": "t"}),
    Work("commit", ["commit", "-f", "qcow2", "t"], copies={"src.qcow2": "base", "over.qcow2": "t"}, prepare=[["rebase", "-u", "-b", "base", "-F", "qcow2", "t"]]),
    Work("read 4 KiB, depth 64", ["bench", "-f", "qcow2", "-c", "200000", "src.qcow2"]),
    Work("write 4 KiB, depth 64", ["bench", "-f", "qcow2", "-w", "-c", "100000", "t"], copies={"src.qcow2": "t"}),
    Work("qemu-io, 2000 writes", ["-t", "unsafe", "-f", "qcow2"] + [word for i in range(2000) for word in ("-c", f"write -q {i * 37 % 2000 * 4096} 4k")] + ["t"],
         program="io", copies={"empty.qcow2": "t"}),
]


def clean(folder):
    for name in ("t", "base"):
        if os.path.exists(os.path.join(folder, name)):
            os.unlink(os.path.join(folder, name))


def one_run(work, side, folder, links):
    clean(folder)
    for source, copy in work.copies.items():
        shutil.copyfile(os.path.join(folder, source), os.path.join(folder, copy))
    for words in work.prepare:
        subprocess.run(["qemu-img", *words], cwd=folder, check=True)
    program = "qemu-" + work.program if side == "qemu" else os.path.join(links, "qemu-" + work.program)
    seconds, processor, memory = run([program, *work.words], folder)
    size = os.stat(os.path.join(folder, work.target)).st_blocks * 512 if work.target else None
    return {"seconds": seconds, "cpu_seconds": processor, "memory_kib": memory, "bytes": size}


def copy_limit(folder):
    """Seconds that this host needs to write src.raw's data by plain read() and write(), as far as they are data."""
    clean(folder)
    os.sync()
    source, target = os.open(os.path.join(folder, "src.raw"), os.O_RDONLY), os.open(os.path.join(folder, "t"), os.O_WRONLY | os.O_CREAT)
    begin, at, end = time.monotonic(), 0, os.fstat(source).st_size
    buffer = bytearray(262144)
    while at < end:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError:
            break
        hole = os.lseek(source, at, os.SEEK_HOLE)
        while at < hole:
            got = os.preadv(source, [memoryview(buffer)[:min(len(buffer), hole - at)]], at)
            os.pwrite(target, memoryview(buffer)[:got], at)
            at += got
    os.ftruncate(target, end)
    seconds = time.monotonic() - begin
    os.close(source)
    os.close(target)
    return seconds


RANDOM = [(op, depth) for op in ("read", "write") for depth in (1, 32)]


def random_run(folder, fmt, op, depth, count):
    program = os.path.join(BUILD, "tests/bench/bench_random")
    os.sync()
    return float(subprocess.run([program, fmt, os.path.join(folder, "random." + fmt), op, str(count), str(depth)], stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure_random(folder, rounds, count=50000):
    """Seconds of ours for 4 KiB requests all over 100 GiB: a raw image beside a qcow2 one whose clusters are all there."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", "random.raw", "100G"], cwd=folder, check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "random.qcow2", "100G"], cwd=folder, check=True)
    samples = {}
    for number in range(rounds):
        for op, depth in RANDOM:
            for fmt in ("raw", "qcow2") if number % 2 == 0 else ("qcow2", "raw"):
                samples.setdefault(f"{op}, depth {depth}", {}).setdefault(fmt, []).append(random_run(folder, fmt, op, depth, count))
    return samples


def host_facts():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    version = subprocess.run(["qemu-img", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0]
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    return {"cpu": model.group(1) if model else "unknown", "cpus": os.cpu_count(), "kernel": os.uname().release, "qemu": version, "commit": commit,
            "date": datetime.date.today().isoformat(), "load": os.getloadavg()[0]}


def median(samples, key):
    values = [sample[key] for sample in samples if sample[key] is not None]
    return statistics.median(values) if values else None


def measure(options):
    samples = {work.name: {"qemu": [], "atoll": []} for work in WORKS if not options.only or any(word in work.name for word in options.only.split(","))}
    limits = []
    with tempfile.TemporaryDirectory(prefix="atoll-bench-", dir=options.folder) as folder:
        links = os.path.join(folder, "bin")
        os.mkdir(links)
        for name in ("qemu-img", "qemu-io"):
            os.symlink(os.path.join(BUILD, "bin/atoll-img"), os.path.join(links, name))
        make_images(folder, options.size)
        for number in range(options.rounds):
            limits.append(copy_limit(folder))
            for work in WORKS:
                if work.name not in samples:
                    continue
                for side in ("qemu", "atoll") if number % 2 == 0 else ("atoll", "qemu"):
                    samples[work.name][side].append(one_run(work, side, folder, links))
            print(f"round {number + 1} of {options.rounds}", flush=True)
        randoms = measure_random(folder, options.rounds) if not options.only or "random" in options.only else {}
    return {"random": randoms, "host": host_facts(), "rounds": options.rounds, "mib": options.size, "copy_limit_seconds": statistics.median(limits), "samples": samples}


def rows(data):
    result = []
    for name, sides in data["samples"].items():
        qemu, atoll = ({key: median(sides[side], key) for key in ("seconds", "cpu_seconds", "memory_kib", "bytes")} for side in ("qemu", "atoll"))
        result.append({"name": name, "qemu": qemu, "atoll": atoll, "ratio": qemu["seconds"] / atoll["seconds"]})
    return result


def table(data):
    lines = ["| work | qemu, s | Atoll, s | times as fast | qemu, CPU s | Atoll | qemu, MiB of memory | Atoll | size of the result |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows(data):
        size = f"{row['atoll']['bytes'] / row['qemu']['bytes'] * 100:.0f} %" if row["qemu"]["bytes"] else ""
        lines.append(f"| {row['name']} | {row['qemu']['seconds']:.3f} | {row['atoll']['seconds']:.3f} | {row['ratio']:.2f} | "
                     f"{row['qemu']['cpu_seconds']:.2f} | {row['atoll']['cpu_seconds']:.2f} | "
                     f"{row['qemu']['memory_kib'] / 1024:.0f} | {row['atoll']['memory_kib'] / 1024:.0f} | {size} |")
    return lines


def random_table(data):
    lines = ["", "| 4 KiB at random places of 100 GiB | raw, s | qcow2, s | of raw's speed |", "|---|---:|---:|---:|"]
    for name, sides in data["random"].items():
        raw, qcow2 = (statistics.median(sides[fmt]) for fmt in ("raw", "qcow2"))
        lines.append(f"| {name} | {raw:.3f} | {qcow2:.3f} | {raw / qcow2 * 100:.0f} % |")
    return lines if data["random"] else []


def remarks(data):
    host = data["host"]
    limit = data["copy_limit_seconds"]
    below = [row for row in rows(data) if row["ratio"] < REACH]
    return [f"Medians of {data['rounds']} alternating rounds, {data['mib']} MiB image, three quarters of it programs and documents of this host, the rest holes; {host['cpu']}, {host['cpus']} CPUs, Linux {host['kernel']}, "
            f"{host['qemu']}, {host['date']}, commit {host['commit']}, load {host['load']:.1f} at the end.",
            f"Copying the same data by read() and write() and nothing else takes {limit:.3f} s here: what is near that is at the host's limit.",
            "On a loaded host the seconds of processors tell more than those of the clock.",
            "Below 1.5: " + ", ".join(f"{row['name']} ({row['ratio']:.2f})" for row in below) + "." if below else "Nothing is below 1.5."]


def write_doc(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    text = [*table(data), *random_table(data), "", *(f"* {line}" for line in remarks(data))]
    with open(DOC, encoding="utf-8") as file:
        before, mark, after = file.read().partition(BEGIN)
    if not mark:
        raise SystemExit(f"img.py: {DOC} has no line {BEGIN}")
    with open(DOC, "w", encoding="utf-8") as out:
        out.write(before + BEGIN + "\n" + "\n".join(text).rstrip() + "\n" + END + after.partition(END)[2])
    if os.path.abspath(path) != DOC_JSON:
        shutil.copy(path, DOC_JSON)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="words of names, separated by commas")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the image")
    parser.add_argument("--folder", default="/var/tmp")
    parser.add_argument("--json", default=os.path.join(OUT, "img.json"))
    parser.add_argument("--doc", action="store_true")
    options = parser.parse_args(words)
    if options.doc:
        write_doc(options.json)
        return
    for path, package in ((shutil.which("qemu-img"), "qemu-utils"), (os.path.exists("/usr/bin/time"), "time")):
        if not path:
            raise SystemExit(f"img.py: package {package} is not installed")
    os.makedirs(OUT, exist_ok=True)
    data = measure(options)
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump(data, out, indent=1)
        out.write("\n")
    print("\n".join(table(data) + random_table(data)), "", *remarks(data), f"written: {os.path.relpath(options.json)}", sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
