"""Keys and pointers from a VNC viewer reach evdev in Debian's kernel, by its drivers for each kind of keyboard and pointer."""
import unittest

import guest
import guests
import tap
import vnc

MODULES = ["xhci_pci", "uhci_hcd", "usbhid", "hid-generic", "virtio_input", "psmouse", "evdev"]
# struct input_event as words: its time, which is four of two, then type, code, value.
DUMP = """hexdump -v -e '12/2 " %u" "\\n"'"""
TIME = r"(?:\d+ +){8}"  # the shell's prompt may stand before it
EV_KEY, EV_REL, EV_ABS = 1, 2, 3
KEY_A, KEY_LEFTSHIFT, BTN_LEFT = 30, 42, 272


class Evdev(unittest.TestCase):
    def boot(self, n, *devices):
        return guest.Guest("-m", "256", "-vnc", f"127.0.0.1:{n}", "-serial", "stdio", "-monitor", "none", "-kernel", guests.kernel("amd64"),
                           "-initrd", guests.initramfs("amd64", more=MODULES), "-append", "console=ttyS0 quiet atoll.mode=shell",
                           *devices, terminal=True)

    def listen(self, vm, name):
        """Reads the input device of that name, and shows each event.  What comes just as it is opened, Linux drops."""
        vm.send(f"for i in /sys/class/input/event*; do grep -q '{name}' $i/device/name && e=${{i##*/}}; done; "
                f"{DUMP} < /dev/input/$e & sleep 1; echo found=$e\r")
        vm.expect(r"found=event\d+\s", 30)

    def events(self, vm, *wanted):
        for kind, code, value in wanted:
            vm.expect(rf"{TIME}{kind} +{code} +{value} +0\b", 30)

    def type_in(self, name, *devices):
        n = vnc.free_display()
        with self.boot(n, *devices) as vm:
            vm.expect("A shell in the guest", 400)
            vm.expect("# ")
            self.listen(vm, name)
            with vnc.Vnc(5900 + n) as viewer:
                viewer.type("aA")
                self.events(vm, (EV_KEY, KEY_A, 1), (EV_KEY, KEY_A, 0), (EV_KEY, KEY_LEFTSHIFT, 1), (EV_KEY, KEY_A, 1), (EV_KEY, KEY_A, 0),
                            (EV_KEY, KEY_LEFTSHIFT, 0))

    def point(self, name, absolute, *devices):
        n = vnc.free_display()
        with self.boot(n, *devices) as vm:
            vm.expect("A shell in the guest", 400)
            vm.expect("# ")
            self.listen(vm, name)
            with vnc.Vnc(5900 + n) as viewer:
                viewer.pointer(100, 100)
                viewer.pointer(viewer.width - 1, viewer.height - 1)
                vm.expect(rf"{TIME}{EV_ABS if absolute else EV_REL} +1 +{32767 if absolute else r'[0-9]+'} +0\b", 30)
                viewer.pointer(viewer.width - 1, viewer.height - 1, 1)
                self.events(vm, (EV_KEY, BTN_LEFT, 1))
                viewer.pointer(viewer.width - 1, viewer.height - 1, 0)
                self.events(vm, (EV_KEY, BTN_LEFT, 0))
                viewer.pointer(viewer.width - 1, viewer.height - 1, 8)  # wheel, away from the user
                self.events(vm, (EV_REL, 8, 1))

    def test_usb_keyboard(self):
        self.type_in("USB Keyboard", "-device", "qemu-xhci", "-device", "usb-kbd")

    def test_usb_tablet(self):
        self.point("USB Tablet", True, "-device", "nec-usb-xhci,id=usb", "-device", "usb-tablet,bus=usb.0,port=2")

    def test_usb_mouse(self):
        self.point("USB Mouse", False, "-device", "qemu-xhci", "-device", "usb-mouse")

    def test_usb_of_a_classic_pc(self):
        self.point("USB Tablet", True, "-M", "pc", "-usb", "-device", "usb-tablet")

    def test_virtio_keyboard(self):
        self.type_in("Virtio Keyboard", "-device", "virtio-keyboard-pci")

    def test_virtio_tablet(self):
        self.point("Virtio Tablet", True, "-device", "virtio-tablet-pci")

    def test_virtio_mouse(self):
        self.point("Virtio Mouse", False, "-device", "virtio-mouse-pci")


if __name__ == "__main__":
    tap.main()
