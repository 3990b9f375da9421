#!/usr/bin/env python3
"""What -smbios says stands in the guest's /sys/class/dmi; structures from a file stand in its tables."""
import os
import unittest

import guest
import guests
import tap

SAID = ["-uuid", "01234567-89ab-cdef-0123-456789abcdef",
        "-smbios", "type=0,vendor=A Vendor,version=7.7,date=02/03/2024", "-smbios", "type=1,manufacturer=A Maker,product=A Product,serial=S-1,sku=K-1,family=F-1",
        "-smbios", "type=2,product=A Board,serial=S-2", "-smbios", "type=3,asset=A-3", "-smbios", "type=4,sock_pfx=SOCK", "-smbios", "type=17,bank=BANK-17",
        "-smbios", "type=11,value=first of ours,value=second of ours"]
FACTS = {"bios_vendor": "A Vendor", "bios_version": "7.7", "bios_date": "02/03/2024", "sys_vendor": "A Maker", "product_name": "A Product", "product_serial": "S-1",
         "product_sku": "K-1", "product_family": "F-1", "board_name": "A Board", "board_serial": "S-2", "chassis_asset_tag": "A-3",
         "product_uuid": "01234567-89ab-cdef-0123-456789abcdef"}


class Smbios(unittest.TestCase):
    def shell(self, vm, command):
        vm.send(f"{command}; echo EN''D\r")
        return vm.expect(r"(?s)\n(.*?)END\r", 60).group(1)

    def test_guest_sees_it(self):
        with guest.temporary_folder() as folder:
            own = os.path.join(folder, "structure")
            with open(own, "wb") as out:
                out.write(bytes([0xdd, 5, 0x34, 0x12, 1]) + b"a string of its own\0\0")
            with guest.Guest("-nographic", "-m", "256", "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"), "-append",
                             "console=ttyS0 quiet atoll.mode=shell", *SAID, "-smbios", f"file={own}", terminal=True) as vm:
                vm.expect("A shell in the guest", 400)
                for name, value in FACTS.items():
                    self.assertIn(value, self.shell(vm, f"cat /sys/class/dmi/id/{name}"), name)
                tables = self.shell(vm, "strings /sys/firmware/dmi/tables/DMI")
                for text in "SOCK 0", "BANK-17", "first of ours", "second of ours", "a string of its own":
                    self.assertIn(text, tables)

    def test_refused(self):
        with guest.temporary_folder() as folder:
            own = os.path.join(folder, "structure")
            for data in b"", b"\xdd\x05\x34\x12\x01", b"\xdd\xff\0\0\0\0", b"\xdd\x04\0\0ab\0\0cd\0\0", b"\x7f\x04\0\0\0\0":
                with open(own, "wb") as out:
                    out.write(data)
                status, text = guest.run("-display", "none", "-smbios", f"file={own}")
                self.assertEqual(status, 1)
                self.assertIn("no structure of SMBIOS", text)
            for option, message in ("type=5,x=y", "give type="), ("type=1,colour=red", "colour"), ("type=11,path=/x", "value=TEXT"), ("type=1,uuid=x", "no UUID"):
                status, text = guest.run("-display", "none", "-smbios", option)
                self.assertEqual(status, 1)
                self.assertIn(message, text)


if __name__ == "__main__":
    tap.main()
