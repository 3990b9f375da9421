#!/usr/bin/env python3
"""EDK II's firmware (Debian's ovmf) in flash: its shell, and variables that outlive the machine."""
import os
import shutil
import unittest

import guest
import tap

FIRMWARE = "/usr/share/OVMF"


class Shell:
    """A machine whose firmware is in chip 0 and its variables in `variables`, at the shell's prompt."""

    def __init__(self, variables, *args):
        self.vm = guest.Guest("-nographic", "-m", "256", "-net", "none", "-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.fd",
                              "-drive", f"if=pflash,format=raw,file={variables}", *args)

    def __enter__(self):
        self.vm.__enter__()
        self.vm.expect("any other key to continue", 60)
        self.vm.send("\x1b")
        self.vm.expect("Shell>", 30)
        return self

    def __exit__(self, *_):
        self.vm.__exit__()

    def say(self, line, answer):
        self.vm.send(line + "\r")
        self.vm.expect(answer, 30)

    def power_off(self):
        self.vm.send("reset -s\r")
        return self.vm.wait()


@unittest.skipUnless(os.path.exists(FIRMWARE), "no ovmf here")
class Variables(unittest.TestCase):
    NAME = "atoll -guid 12345678-1234-1234-1234-123456789abc"

    def persist(self, *args):
        with guest.temporary_folder() as folder:
            variables = shutil.copy(FIRMWARE + "/OVMF_VARS_4M.fd", folder)
            with Shell(variables, *args) as shell:
                shell.say(f"setvar {self.NAME} -bs -nv =0xC0FFEE", "Shell>")
                self.assertEqual(shell.power_off(), 0)
            with Shell(variables, *args) as shell:
                shell.say(f"setvar {self.NAME}", r"EE FF C0 00")
                self.assertEqual(shell.power_off(), 0)

    def test_pc(self):
        self.persist()

    def test_q35(self):
        self.persist("-machine", "q35")


if __name__ == "__main__":
    tap.main()
