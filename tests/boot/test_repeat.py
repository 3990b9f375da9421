#!/usr/bin/env python3
"""Kernels boot many times in a row under the translator, on one, two and four CPUs: a hang that comes once in a while shows.

ATOLL_BOOTS=N boots each N times (10).  A boot that does not end leaves its text, and where its threads stand.
"""
import glob
import os
import resource
import time
import unittest

import guest
import guests
import tap

BOOTS = int(os.environ.get("ATOLL_BOOTS", "10"))
LIMIT = 120


def cpu_seconds():
    """Of the children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def threads_of(pid):
    """Where each thread of a process is: its state, what it waits for, its processor time."""
    lines = []
    for task in sorted(glob.glob(f"/proc/{pid}/task/*")):
        try:
            with open(task + "/stat", encoding="utf-8") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            with open(task + "/wchan", encoding="utf-8") as file:
                wchan = file.read()
            with open(task + "/comm", encoding="utf-8") as file:
                comm = file.read().strip()
        except OSError:
            continue
        lines.append(f"{comm}: {fields[0]} {wchan} user {fields[11]} system {fields[12]} ticks")
    return "\n".join(lines)


@unittest.skipUnless(guest.LONG, "takes minutes: make test-long")
class Repeat(unittest.TestCase):
    def boots(self, kernel, cpus, memory="256"):
        seconds, busy = [], []
        for n in range(BOOTS):
            start, cpu = time.monotonic(), cpu_seconds()
            with guest.Guest("-accel", "dbt", "-nographic", "-m", memory, "-smp", str(cpus), "-kernel", guests.kernel(kernel), "-initrd",
                             guests.initramfs(kernel), "-append", "console=ttyS0 atoll.mode=facts") as vm:
                try:
                    vm.expect(rf"ATOLL-GUEST cpus: {cpus}\b", LIMIT)
                    vm.expect("ATOLL-GUEST powers off", LIMIT)
                    self.assertEqual(vm.wait(LIMIT), 0)
                except AssertionError as error:
                    self.fail(f"boot {n + 1} of {BOOTS}: {error}\n{threads_of(vm.process.pid)}")
                self.assertNotRegex(vm.text, r"BUG:|Oops|rcu.*stall|soft lockup|Call Trace")
            seconds.append(time.monotonic() - start)
            busy.append(cpu_seconds() - cpu)
        print(f"# {kernel}, {cpus} CPUs: {BOOTS} boots of {min(seconds):.1f} to {max(seconds):.1f} s, "
              f"{min(busy):.1f} to {max(busy):.1f} s of processor time", flush=True)

    def test_cloud(self):
        for cpus in 1, 2, 4:
            with self.subTest(cpus=cpus):
                self.boots("cloud", cpus)

    def test_amd64(self):
        for cpus in 1, 2, 4:
            with self.subTest(cpus=cpus):
                self.boots("amd64", cpus, "512")

    def test_686_pae(self):
        for cpus in 1, 2, 4:
            with self.subTest(cpus=cpus):
                self.boots("686-pae", cpus)


if __name__ == "__main__":
    tap.main()
