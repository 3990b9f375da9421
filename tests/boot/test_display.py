"""What guests show, firmware and Linux' drivers, and keys: over VNC, by a viewer of our own (others: tests/interop/test_vnc.py)."""
import os
import shutil
import socket
import time
import unittest

import guest
import guests
import tap
import vnc

RESCUE = "/usr/lib/grub-rescue"
OVMF = "/usr/share/OVMF"


class Viewers(unittest.TestCase):
    def test_firmware_on_the_screen(self):
        n = vnc.free_display()
        with guest.Guest("-vnc", f"127.0.0.1:{n}", "-serial", "none", "-monitor", "none", "-name", "shown"), vnc.Vnc(5900 + n) as viewer:
            self.assertEqual(viewer.name, "shown")
            viewer.expect(r"SeaBIOS \(version", 60)
            viewer.expect(r"No bootable device\.", 60)
            self.assertEqual((viewer.width, viewer.height), (720, 400))

    def test_keys_and_two_viewers(self):
        n = vnc.free_display()
        with guest.Guest("-vnc", f"127.0.0.1:{n}", "-serial", "none", "-cdrom", f"{RESCUE}/grub-rescue-cdrom.iso", "-boot", "d"), \
                vnc.Vnc(5900 + n) as typist, vnc.Vnc(5900 + n) as watcher:
            typist.expect("GNU GRUB", 180)
            typist.type("c")
            typist.expect("grub>", 60)
            typist.type("echo Hello, [World] (42)!\n")
            watcher.expect(r"(?m)^Hello, \[World\] \(42\)!", 60)

    def test_virtio_gpu(self):
        """Debian's driver takes virtio-vga over from the VGA, and its console shows; a second screen is another head."""
        n = vnc.free_display()
        with guest.Guest("-m", "256", "-vga", "none", "-device", "virtio-vga,max_outputs=2,id=gpu", "-vnc", f"127.0.0.1:{n}", "-serial", "stdio", "-monitor",
                         "none", "-kernel", guests.kernel("amd64"), "-initrd", guests.initramfs("amd64", more=["virtio_gpu"]), "-append",
                         "console=tty0 console=ttyS0 quiet atoll.mode=shell", terminal=True) as vm:
            vm.expect("A shell in the guest", 400)
            vm.expect("# ")
            vm.send("cat /sys/class/drm/card0-*/status; echo Hello, [older] > /dev/tty0\r")
            vm.expect(r"(?m)^connected\s+connected", 30)
            with vnc.Vnc(5900 + n) as viewer:
                viewer.cell = 8
                viewer.expect(r"Hello, \[older\]", 30)
                self.assertEqual((viewer.width, viewer.height), (1280, 800))

    def test_firmware_draws(self):
        """OVMF's graphics on each adapter that it knows."""
        for vga in ["std"], ["virtio"], ["none", "-device", "ramfb"]:
            with self.subTest(vga=vga), guest.temporary_folder() as folder:
                n = vnc.free_display()
                variables = shutil.copy(f"{OVMF}/OVMF_VARS_4M.fd", folder)
                with guest.Guest("-accel", "dbt", "-m", "256", "-net", "none", "-vga", *vga, "-serial", "none", "-monitor", "none", "-vnc", f"127.0.0.1:{n}",
                                 "-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                                 "-drive", f"if=pflash,format=raw,file={variables}"), vnc.Vnc(5900 + n) as viewer:
                    end = time.monotonic() + 90 * guest.PATIENCE
                    while viewer.width < 800 or len(set(b"".join(map(bytes, viewer.screen())))) < 3:
                        self.assertLess(time.monotonic(), end, "nothing was drawn")
                        time.sleep(0.5)
                        viewer.screen()

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = taken.getsockname()[1]
            status, text = guest.run("-S", "-vnc", f"127.0.0.1:{port - 5900}")
            self.assertEqual(status, 1)
            self.assertRegex(text, rf"port {port} of 127\.0\.0\.1 is in use")

    def test_password_and_bad_words(self):
        n = vnc.free_display()
        for args, pattern in ((["-vnc", "nowhere"], "HOST:N"), (["-vnc", ":1,pasword=on"], "did you mean 'password'"),
                              (["-vnc", f":{n},tls-creds=t"], "tls-creds-x509"), (["-vga", "cirrus"], "there are: std, virtio, none")):
            status, text = guest.run("-S", *args)
            self.assertEqual(status, 1)
            self.assertRegex(text, pattern)


if __name__ == "__main__":
    tap.main()
