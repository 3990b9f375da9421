#!/usr/bin/env python3
"""The folders are the architecture: prints who may include whom, and checks that the table holds."""
import glob
import os
import re
import subprocess
import tempfile
import unittest

import tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SRC = os.path.join(ROOT, "src")
BUILD = os.environ.get("ATOLL_BUILD", os.path.join(ROOT, "build"))


def may_use():
    table = {}
    with open(os.path.join(SRC, "may-use.txt"), encoding="utf-8") as lines:
        for line in lines:
            line = line.split("#")[0].strip()
            if line:
                folder, _, used = line.partition(":")
                table[folder] = used.split()
    return table


def sources(folder):
    return [path for ending in ("c", "h") for path in glob.glob(os.path.join(SRC, folder, "**/*." + ending), recursive=True)]


def includes(path):
    with open(path, encoding="utf-8") as file:
        return re.findall(r'^\s*#\s*include\s+"([^"]+)"', file.read(), re.MULTILINE)


def light_objects():
    """{file name: (defined symbols, undefined ones)} of what is compiled to use general registers only."""
    found = {}
    for archive in glob.glob(os.path.join(BUILD, "src/libatoll-*-light.a")):
        listed = subprocess.run(["nm", "-A", archive], stdout=subprocess.PIPE, text=True, check=True).stdout
        for line in listed.splitlines():
            where, *_, kind, symbol = line.split()
            member = os.path.basename(where.split(":")[1 if ".a:" in where else 0]).removesuffix(".c.o")
            defined, undefined = found.setdefault(member, (set(), set()))
            (undefined if kind == "U" else defined).add(symbol)
    return found


def allowed_calls():
    allowed = {}
    with open(os.path.join(ROOT, "tests/structure/light_calls.txt"), encoding="utf-8") as lines:
        for line in lines:
            member, *symbols = line.split("#")[0].split() or [None]
            allowed.setdefault(member, set()).update(symbols)
    return allowed


class Structure(unittest.TestCase):
    def test_light_files_call_nothing_else(self):
        """While they run the guest's vector registers may be the host's: what they call is listed, and each listed call is made."""
        self.maxDiff = None
        objects, allowed = light_objects(), allowed_calls()
        if any(symbol.startswith(("__asan", "__tsan", "__ubsan")) for _, used in objects.values() for symbol in used):
            self.skipTest("a sanitizer's build saves the registers at each exit")
        self.assertIn("accel_dbt_handle", objects)
        known = set().union(*(defined for defined, _ in objects.values())) | allowed["*"]
        others = {member: allowed.get(member, set()) for member in objects}
        unlisted = {member: sorted(used - known - others[member]) for member, (_, used) in objects.items()}
        unused = {member: sorted(others[member] - used) for member, (_, used) in objects.items()}
        self.assertEqual({k: v for k, v in unlisted.items() if v}, {}, "called, but not in light_calls.txt")
        self.assertEqual({k: v for k, v in unused.items() if v}, {}, "in light_calls.txt, but not called")

    def test_late_libraries(self):
        """What late_link.inc binds late is not loaded when a program starts, neither by itself nor by what it needs."""
        with open(os.path.join(SRC, "base/late_link.inc"), encoding="utf-8") as rows:
            late = set(re.findall(r'^LATE_LINK\("([^"]+)"', rows.read(), re.MULTILINE))
        self.assertTrue(late)
        for name in "atoll-vm", "atoll-img":
            program = os.path.join(BUILD, "bin", name)
            listed = subprocess.run(["nm", "-D", program], stdout=subprocess.PIPE, text=True, check=True).stdout
            if "__asan" in listed or "__tsan" in listed or os.uname().machine != "x86_64":
                self.skipTest("sanitizers bring libraries of their own")
            needed = set(re.findall(r"(lib\S+\.so\S*) =>", subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout))
            self.assertIn("libglib-2.0.so.0", needed)
            self.assertEqual(late & needed, set(), f"{name}: add the functions that are called now to late_link.inc")

    def test_graph(self):
        """Prints the graph as it is, and that it has no cycle."""
        table = may_use()
        used = {folder: sorted({name.split("/")[0] for path in sources(folder) for name in includes(path)} - {folder}) for folder in table}
        for folder, others in used.items():
            print(f"# {folder:9} -> {' '.join(others)}")
        done = []
        while len(done) < len(used):
            ready = [f for f in used if f not in done and all(other in done for other in used[f])]
            self.assertTrue(ready, f"a cycle among {sorted(set(used) - set(done))}")
            done += ready

    def test_every_include_is_allowed(self):
        for folder, allowed in may_use().items():
            for path in sources(folder):
                for name in includes(path):
                    self.assertNotIn("..", name.split("/"), f"{path} includes {name}")
                    owner = name.split("/")[0]
                    fits = owner == folder or owner in allowed or any(name == entry.replace(":", "/") for entry in allowed)
                    self.assertTrue(fits, f"{path} includes {name}, which src/may-use.txt does not allow")

    def test_every_folder_has_a_row(self):
        rows = set(may_use())
        for path in glob.glob(os.path.join(SRC, "*/meson.build")):
            self.assertIn(os.path.basename(os.path.dirname(path)), rows)

    def compiles(self, folder, header):
        farm = os.path.join(BUILD, "include", folder)
        flags = subprocess.run(["pkg-config", "--cflags", "glib-2.0"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        with tempfile.NamedTemporaryFile("w", suffix=".c") as file:
            file.write(f'#include "{header}"\n')
            file.flush()
            return subprocess.run(["cc", "-fsyntax-only", "-D_GNU_SOURCE", "-I", farm, "-I", farm + ".gen", *flags, file.name], check=False,
                                  stderr=subprocess.DEVNULL).returncode == 0

    def test_a_wrong_include_does_not_compile(self):
        self.assertTrue(self.compiles("machine", "base/error.h"))
        self.assertTrue(self.compiles("devices", "block/block.h"))
        for folder, header in (("base", "machine/machine.h"), ("devices", "accel/accel.h"), ("block", "machine/machine.h"),
                               ("machine", "devices/devices.h"), ("isa", "accel/accel.h"), ("boards", "vmm/config.h")):
            with self.subTest(folder=folder, header=header):
                self.assertTrue(os.path.exists(os.path.join(SRC, header)), header)
                self.assertFalse(self.compiles(folder, header))


if __name__ == "__main__":
    tap.main()
