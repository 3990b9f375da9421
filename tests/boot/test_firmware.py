#!/usr/bin/env python3
"""SeaBIOS starts what stands on disks and CD-ROMs."""
import os
import subprocess
import unittest

import guest
import tap

RESCUE = "/usr/lib/grub-rescue"


def boot_cd(sector, folder):
    """A CD-ROM image that boots that sector (El Torito, no emulation); moves the sector's file."""
    os.mkdir(os.path.join(folder, "cd"))
    os.rename(sector, os.path.join(folder, "cd/boot.img"))
    iso = os.path.join(folder, "cd.iso")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", iso, "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "1",
                    os.path.join(folder, "cd")], check=True, stderr=subprocess.DEVNULL)
    return iso


class BootSector(unittest.TestCase):
    def hello(self, *args):
        with guest.temporary_folder() as folder:
            disk = guest.boot_sector(guest.HELLO, folder)
            with guest.Guest("-nographic", "-hda", disk, *guest.DEBUG_EXIT, *args) as vm:
                vm.expect("hello from the boot sector", 60)
                self.assertEqual(vm.wait(), 7)

    def test_interp(self):
        self.hello("-accel", "interp")

    def test_dbt(self):
        self.hello("-accel", "dbt")

    def test_disk_as_a_device(self):
        with guest.temporary_folder() as folder:
            disk = guest.boot_sector(guest.HELLO, folder)
            with guest.Guest("-nographic", "-drive", f"if=none,id=d,file={disk},format=raw", "-device", "ide-hd,drive=d,bus=ide.1,unit=0",
                             *guest.DEBUG_EXIT) as vm:
                vm.expect("hello from the boot sector", 60)
                self.assertEqual(vm.wait(), 7)

    def test_two_cpus(self):
        for accel in "interp", "dbt":
            self.hello("-accel", accel, "-smp", "2")

    @unittest.skipUnless(guest.have_kvm(), "no /dev/kvm, or no right to it")
    def test_kvm(self):
        for model in [], ["-cpu", "host"], ["-cpu", "max"]:
            self.hello("-accel", "kvm", *model)

    @unittest.skipUnless(guest.have_kvm(), "no /dev/kvm, or no right to it")
    def test_kvm_virtio_disk(self):
        """Notified by eventfd, at a modern and a legacy doorbell."""
        with guest.temporary_folder() as folder:
            disk = guest.boot_sector(guest.HELLO, folder)
            for interface in "disable-legacy=on", "disable-modern=on":
                with guest.Guest("-nographic", "-accel", "kvm", "-drive", f"if=none,id=d,file={disk},format=raw", "-device", f"virtio-blk-pci,drive=d,{interface}",
                                 *guest.DEBUG_EXIT) as vm:
                    vm.expect("hello from the boot sector", 60)
                    self.assertEqual(vm.wait(), 7)

    def test_cdrom(self):
        with guest.temporary_folder() as folder:
            iso = boot_cd(guest.boot_sector(guest.HELLO, folder, 512), folder)
            with guest.Guest("-nographic", "-cdrom", iso, "-boot", "d", *guest.DEBUG_EXIT) as vm:
                vm.expect("hello from the boot sector", 60)
                self.assertEqual(vm.wait(), 7)

    def test_boot_once(self):
        """The order of once= holds for the first start only: then the disk, which says hello."""
        reset = "cli\nmov $0xcf9, %dx\nmov $6, %al\nout %al, %dx\nhlt\n"
        with guest.temporary_folder() as folder:
            iso = boot_cd(guest.boot_sector(reset, folder, 512), folder)
            disk = guest.boot_sector(guest.HELLO, folder)
            with guest.Guest("-nographic", "-cdrom", iso, "-hda", disk, "-boot", "order=c,once=d", *guest.DEBUG_EXIT) as vm:
                vm.expect_on_screen("Booting from DVD/CD", 60)
                vm.expect_on_screen("Booting from Hard Disk", 60)
                vm.expect("hello from the boot sector", 60)
                self.assertEqual(vm.wait(), 7)

    def test_triple_fault_and_no_reboot(self):
        triple_fault = "cli\nlidt empty\nint3\nempty: .word 0\n.long 0\n"
        with guest.temporary_folder() as folder:
            disk = guest.boot_sector(triple_fault, folder)
            with guest.Guest("-nographic", "-hda", disk, "-no-reboot") as vm:
                vm.expect("triple-faulted; ending", 60)
                self.assertEqual(vm.wait(), 0)
            with guest.Guest("-nographic", "-hda", disk) as vm:
                for _ in range(2):
                    vm.expect_on_screen("Booting from Hard Disk", 60)
                    vm.expect("triple-faulted; resetting", 60)
                vm.signal(guest.TERM)
                self.assertEqual(vm.wait(), 0)

    def test_garbage_to_every_port_and_a_jump_to_nowhere(self):
        """Whatever a guest does, the program goes on, and ends when told to."""
        wild = """
            cli
            xor %dx, %dx
        next:
            mov $0xffffffff, %eax
            out %eax, %dx
            in %dx, %eax
            out %al, %dx
            add $1, %dx
            jnc next
            ljmp $0xa000, $0
        """
        for accel in "interp", "dbt":
            with self.subTest(accel), guest.temporary_folder() as folder:
                disk = guest.boot_sector(wild, folder)
                with guest.Guest("-nographic", "-accel", accel, "-snapshot", "-hda", disk, "-d", "guest_errors,unimp", "-D",
                                 folder + "/log") as vm:
                    vm.expect_on_screen("Booting from Hard Disk", 60)
                    if not vm.read_for(5):
                        vm.signal(guest.TERM)
                    self.assertEqual(vm.wait(), 0)
                    self.assertNotRegex(vm.text, "CRITICAL|ASSERT|Sanitizer")

    def test_a20_among_32_bit_code(self):
        """Flat 32-bit code that switches the A20 gate and stores on both sides of it, often enough to be translated."""
        switches = """
            cli
            xor %ax, %ax
            mov %ax, %ds
            lgdtl table
            mov %cr0, %eax
            or $1, %al
            mov %eax, %cr0
            ljmpl $8, $start
            .code32
        start:
            mov $16, %eax
            mov %eax, %ds
            mov %eax, %ss
            mov $0xd1, %al           # the keyboard controller lets go of the gate
            out %al, $0x64
            mov $0xdd, %al
            out %al, $0x60
            mov $1000, %ebp
            mov $0x500, %esi
        next:
            mov $0, %al              # masked: 0x100500 is 0x500
            out %al, $0x92
            mov %ebp, (%esi)
            lea 0x100000(%esi), %edi
            cmp %ebp, (%edi)
            jne bad
            mov $2, %al              # open: it is another word
            out %al, $0x92
            movl $0, (%edi)
            cmp %ebp, (%esi)
            jne bad
            cmpl $0, (%edi)
            jne bad
            dec %ebp
            jnz next
            mov $3, %al
            jmp end
        bad: mov $1, %al
        end: mov $0x501, %dx
            out %al, %dx
            hlt
            .balign 8
        gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
        table: .word 23
            .long gdt
        """
        for accel in "interp", "dbt":
            with self.subTest(accel), guest.temporary_folder() as folder:
                disk = guest.boot_sector(switches, folder)
                with guest.Guest("-nographic", "-accel", accel, "-hda", disk, *guest.DEBUG_EXIT) as vm:
                    self.assertEqual(vm.wait(60), 7)

    def test_no_disk(self):
        with guest.Guest("-nographic") as vm:
            vm.expect("SeaBIOS", 30)
            vm.expect_on_screen("No bootable device", 60)


class Grub(unittest.TestCase):
    def menu(self, *args):
        with guest.Guest("-nographic", *args) as vm:
            vm.expect_on_screen("GNU GRUB", 180)
            vm.expect_on_screen("for a command-line", 60)
            vm.send("c")
            vm.expect_on_screen("grub>", 60)
            vm.send("echo from grub\r")
            vm.expect_on_screen("echo from grub")
            vm.expect_on_screen("from grub")  # the answer
            vm.expect_on_screen("grub>")
            vm.send("halt\r")
            self.assertEqual(vm.wait(60), 0)

    def test_cdrom(self):
        for accel in "interp", "dbt":
            with self.subTest(accel):
                self.menu("-accel", accel, "-cdrom", f"{RESCUE}/grub-rescue-cdrom.iso", "-boot", "d")

    def test_disk(self):
        for accel in "interp", "dbt":
            with self.subTest(accel):
                self.menu("-accel", accel, "-snapshot", "-hda", f"{RESCUE}/grub-rescue-usb.img")


if __name__ == "__main__":
    tap.main()
