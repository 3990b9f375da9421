#!/usr/bin/env python3
"""Linux sees the processor that -cpu names: its name, its features, and its threads."""
import unittest

import guest
import guests
import tap


class Models(unittest.TestCase):
    def seen(self, cpu, has, lacks, *args):
        """Boots a guest on that processor; returns its model's name."""
        with guest.Guest("-nographic", "-m", "256", "-cpu", cpu, "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"),
                         "-append", "console=ttyS0 atoll.mode=facts quiet", *args) as vm:
            name = vm.expect(r"ATOLL-GUEST model: ([^\r\n]*)\r", 400).group(1)
            flags = set(vm.expect(r"ATOLL-GUEST flags: ([^\r\n]*)\r", 60).group(1).split())
            self.assertLessEqual(set(has.split()), flags)
            self.assertEqual(set(lacks.split()) & flags, set())
            vm.expect("ATOLL-GUEST powers off", 60)
            self.assertEqual(vm.wait(60), 0)
        return name

    def test_nehalem(self):
        name = self.seen("Nehalem,+rdseed,-vme", "lm sse4_1 sse4_2 popcnt cx16 lahf_lm hypervisor rdseed", "aes avx avx2 pclmulqdq xsave vme")
        self.assertEqual(name, "Intel Core i7 9xx (Nehalem Class Core i7)")

    def test_haswell(self):
        name = self.seen("Haswell-noTSX-IBRS", "movbe bmi1 bmi2 pcid invpcid smep abm rdrand fsgsbase", "rtm hle smap adx avx512f")
        self.assertEqual(name, "Intel Core Processor (Haswell, no TSX, IBRS)")

    def test_epyc_with_threads(self):
        """What the translator has not is left out; the two threads of the core are found by AMD's topology leaf."""
        name = self.seen("EPYC", "topoext smap adx rdseed clflushopt mmxext", "svm sse4a xop avx512f", "-smp", "2,cores=1,threads=2")
        self.assertEqual(name, "AMD EPYC Processor")


if __name__ == "__main__":
    tap.main()
