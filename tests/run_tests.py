#!/usr/bin/env python3
"""Runs every test and counts the cases.

    run_tests.py [--long] [--unit BUILD]... [--programs BUILD] [NAME...]

--unit: the C tests of that build by `meson test`; --programs: tests/*/test_*.py with the programs of that build, two at a
time.  NAME: only test programs whose path has that word.  The last line is "N passed, N failed, N skipped".

A program that fails runs once more, alone, when the others are through: guests, viewers and daemons of others share this
host.  What passes only then is counted, and named in a line "UNSTABLE": somebody has to look at it.  One that is still at work
after LIMIT seconds is ended: the gate has to say which it was.
"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

TESTS = os.path.dirname(os.path.abspath(__file__))
OUTPUT_SHOWN = 8000  # characters of the output of a unit test that failed
LIMIT, LIMIT_LONG = 900, 4 * 3600  # seconds; the slowest takes about 200 of the first on two idle cores


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.bad, self.unstable = [], []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.bad += other.bad

    def add_tap(self, name, text, ended_well):
        failed = seen = 0
        for line in text.splitlines():
            found = re.match(r"\s*(not ok|ok)\b(.*)", line)
            if not found or (found.group(1) == "ok" and line[0].isspace()):  # indented: part of a case
                continue
            seen += 1
            if re.search(r"# *(SKIP|TODO)", found.group(2), re.IGNORECASE):
                self.skipped += 1
            elif found.group(1) == "ok":
                self.passed += 1
            else:
                failed += 1
                self.bad.append(f"{name}:{found.group(2)}")
        if ended_well and not seen:  # a test that speaks by its exit status alone
            self.passed += 1
        if not ended_well and not failed:
            failed = 1
            self.bad.append(f"{name}: ended badly")
        self.failed += failed


def run_unit(build, words, count):
    log = os.path.join(build, "meson-logs/testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    names = []
    if words:
        listed = subprocess.run(["meson", "test", "-C", build, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
        names = [line.split(" / ")[-1] for line in listed.splitlines() if "/" in line and any(word in line for word in words)]
        if not names:
            return
    env = dict(os.environ, G_SLICE="always-malloc")  # what leaks from GLib's slices is seen by the address sanitizer only so
    subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--timeout-multiplier", "3", *names], env=env, check=False)
    with open(log, encoding="utf-8") as lines:
        for line in lines:
            test = json.loads(line)
            well, name = test["result"] in ("OK", "SKIP"), f"{os.path.basename(build)}/{test['name']}"
            count.add_tap(name, test.get("stdout", ""), well)
            if not well:
                print(f"---- {name}: {test['result']}, status {test['returncode']}, {test['duration']:.0f} s")
                print((test.get("stdout", "") + test.get("stderr", ""))[-OUTPUT_SHOWN:], flush=True)


def run_program(path, env, limit):
    """(path, what it said, whether it ended well, seconds).  Its output goes to a file: what it has started may hold a pipe open."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        with subprocess.Popen([sys.executable, path], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env,
                              start_new_session=True) as process:
            try:
                well = process.wait(limit) == 0
            except subprocess.TimeoutExpired:
                well = False
                os.killpg(process.pid, signal.SIGKILL)
                out.write(f"ended here: it was still at work after {limit} s\n")
        out.seek(0)
        return path, out.read(), well, time.monotonic() - start


def count_program(path, text, well, seconds):
    name, count = os.path.relpath(path, TESTS), Count()
    print(f"---- {name} ({seconds:.0f} s)\n{text}", end="", flush=True)
    count.add_tap(name, text, well)
    return count


def run_programs(build, long, words, count):
    env = dict(os.environ, ATOLL_VM=os.path.abspath(os.path.join(build, "bin/atoll-vm")), ATOLL_TEST_LONG="1" if long else "0",
               ATOLL_BUILD=os.path.abspath(build), PYTHONPATH=os.path.join(TESTS, "lib"))
    paths = sorted(glob.glob(os.path.join(TESTS, "*/test_*.py")))
    if words:
        paths = [path for path in paths if any(word in path for word in words)]
    limit = LIMIT_LONG if long else LIMIT
    again = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for ran in pool.map(lambda path: run_program(path, env, limit), paths):
            once = count_program(*ran)
            if once.failed:
                again.append((ran[0], once))
            else:
                count.add(once)
    for path, once in again:
        twice = count_program(*run_program(path, env, limit))
        count.add(twice)
        if not twice.failed:
            count.unstable += once.bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--unit", action="append", default=[])
    parser.add_argument("--programs")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if not args.long:  # the gate says the same of the same code; make test-long tries cases that none has tried
        os.environ.setdefault("ATOLL_SEED", "1")
    count = Count()
    for build in args.unit:
        run_unit(build, args.names, count)
    if args.programs:
        run_programs(args.programs, args.long, args.names, count)
    for line in count.unstable:
        print(f"UNSTABLE {line}")
    for line in count.bad:
        print(f"FAILED {line}")
    print(f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped", flush=True)
    sys.exit(1 if count.failed else 0)


if __name__ == "__main__":
    main()
