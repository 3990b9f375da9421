#!/usr/bin/env python3
"""Every CPU model of QEMU's stands for the same here: query-cpu-definitions and query-cpu-model-expansion of both, compared."""
import json
import re
import shutil
import subprocess
import unittest

import qmp
import tap

QEMU = shutil.which("qemu-system-x86_64")
ATOLL_NAMED = {"qemu32", "qemu64", "athlon"} # QEMU's name stands in their model-id; ours in ours

# What differs, and why.  (property, QEMU's value, ours): the models, or None for any.
DIFFERENCES = {
    ("vme", False, True): None,             # QEMU's translator has no virtual-8086 extensions and takes them off every model; ours has them
    ("x2apic", False, True): {"qemu64"},    # our interrupt controller has it and the default model shows it, as QEMU's does with KVM
    ("svm", True, False): {"qemu64"},       # our translator has none, and the default model shall not warn
    ("phys-bits", 0, None): None,           # QEMU fills it in when the machine is made
}

# Switches of QEMU's that are no features.
OTHER = {"check", "fill-mtrr-mask", "full-cpuid-auto-level", "kvm", "legacy-cache", "tcg-cpuid", "vmware-cpuid-freq"}


def expected(name, key, theirs, ours):
    base = name.rsplit("-v", 1)[0]
    if key == "model-id" and base in ATOLL_NAMED:
        return theirs.startswith("QEMU Virtual CPU") and ours == f"Atoll virtual CPU ({base})"
    for (prop, qemu, atoll), models in DIFFERENCES.items():
        if prop == key and qemu == theirs and atoll in (None, ours) and (models is None or base in models):
            return True
    return False


def folded(props):
    """- _ and . are alike in the names of features."""
    return {re.sub("[._]", "-", key): value for key, value in props.items()}


class Qemu:
    """A QEMU that answers on its standard output."""

    def __init__(self):
        self.process = subprocess.Popen([QEMU, "-machine", "pc", "-accel", "tcg", "-display", "none", "-nodefaults", "-S", "-qmp", "stdio"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdout.readline()
        self.run("qmp_capabilities")

    def run(self, command, **arguments):
        print(json.dumps({"execute": command, "arguments": arguments}), file=self.process.stdin, flush=True)
        while True:
            answer = json.loads(self.process.stdout.readline())
            if "event" not in answer:
                return answer["return"]

    def close(self):
        self.process.terminate()
        self.process.communicate()


@unittest.skipUnless(QEMU, "qemu-system-x86_64 is not installed")
class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.qemu = Qemu()
        cls.addClassCleanup(cls.qemu.close)
        machine = qmp.Machine("-accel", "interp")
        cls.addClassCleanup(machine.__exit__)
        cls.atoll = machine.qmp
        cls.theirs = {model["name"]: model for model in cls.qemu.run("query-cpu-definitions")}
        cls.ours = {model["name"]: model for model in cls.atoll.run("query-cpu-definitions")}

    def test_definitions(self):
        self.assertEqual(set(self.theirs) - set(self.ours), set(), "models of QEMU's that are not here")
        for name, model in self.theirs.items():
            for key in ("typename", "alias-of", "static", "migration-safe"):
                self.assertEqual(self.ours[name].get(key), model.get(key), f"{key} of {name}")

    def test_expansions(self):
        compared = 0
        for name, model in self.theirs.items():
            if name in ("max", "host") or "alias-of" in model:
                continue
            theirs, ours = (folded(side.run("query-cpu-model-expansion", type="full", model={"name": name})["model"]["props"])
                            for side in (self.qemu, self.atoll))
            for key in theirs.keys() & ours.keys():
                if theirs[key] != ours[key] and not expected(name, key, theirs[key], ours[key]):
                    self.fail(f"{name}: {key} is {theirs[key]} with QEMU and {ours[key]} here")
                compared += 1
            alone = {key for key, value in theirs.items() if value is True and key not in ours}
            self.assertLessEqual({key for key in alone if not key.startswith(("x-", "hv-"))}, OTHER, f"{name}: properties of QEMU's that are not here")
        self.assertGreater(compared, 15000)

    def test_static(self):
        for name in ("Nehalem-IBRS", "EPYC-v3", "486"):
            theirs, ours = (side.run("query-cpu-model-expansion", type="static", model={"name": name})["model"] for side in (self.qemu, self.atoll))
            self.assertEqual((theirs["name"], ours["name"]), ("base", "base"))
            again = self.atoll.run("query-cpu-model-expansion", type="static", model=ours)["model"]
            self.assertEqual(again, ours, "a static model stands for itself")
            self.assertEqual({key for key, value in theirs["props"].items() if not isinstance(value, bool)},
                             {key for key, value in ours["props"].items() if not isinstance(value, bool)})


if __name__ == "__main__":
    tap.main()
