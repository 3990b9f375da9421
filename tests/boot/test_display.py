"""Screens and keyboards by real VNC viewers: vncsnapshot, gvnccapture, and xtigervncviewer under Xvfb."""
import os
import shutil
import socket
import subprocess
import time
import unittest

import guest
import guests
import tap
import vnc

RESCUE = "/usr/lib/grub-rescue"
OVMF = "/usr/share/OVMF"


def run(*args, **more):
    return subprocess.run(args, capture_output=True, text=True, timeout=60 * guest.PATIENCE, **more)


def jpeg_size(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 2
    while data[at + 1] not in (0xc0, 0xc2):
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return int.from_bytes(data[at + 7:at + 9], "big"), int.from_bytes(data[at + 5:at + 7], "big")


def png_size(path):
    with open(path, "rb") as f:
        head = f.read(24)
    assert head[:8] == b"\x89PNG\r\n\x1a\n", head
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


class Viewers(unittest.TestCase):
    def test_firmware_on_the_screen(self):
        n = vnc.free_display()
        with guest.Guest("-vnc", f"127.0.0.1:{n}", "-serial", "none", "-monitor", "none", "-name", "shown"), vnc.Vnc(5900 + n) as viewer, \
                guest.temporary_folder() as folder:
            self.assertEqual(viewer.name, "shown")
            viewer.expect(r"SeaBIOS \(version", 60)
            viewer.expect(r"No bootable device\.", 60)
            self.assertEqual((viewer.width, viewer.height), (720, 400))
            png, jpeg = os.path.join(folder, "a.png"), os.path.join(folder, "a.jpg")
            done = run("gvnccapture", f"127.0.0.1:{n}", png)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(png_size(png), (720, 400))
            sizes = set()
            for encodings in "raw", "zlib", "tight":  # of the same picture the same file
                done = run("vncsnapshot", "-encodings", encodings, "-quality", "100", f"127.0.0.1:{n}", jpeg)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(jpeg_size(jpeg), (720, 400))
                with open(jpeg, "rb") as f:
                    sizes.add(f.read())
            self.assertEqual(len(sizes), 1)

    def test_keys_and_two_viewers(self):
        n = vnc.free_display()
        with guest.Guest("-vnc", f"127.0.0.1:{n}", "-serial", "none", "-cdrom", f"{RESCUE}/grub-rescue-cdrom.iso", "-boot", "d"), \
                vnc.Vnc(5900 + n) as typist, vnc.Vnc(5900 + n) as watcher:
            typist.expect("GNU GRUB", 180)
            typist.type("c")
            typist.expect("grub>", 60)
            typist.type("echo Hello, [World] (42)!\n")
            watcher.expect(r"(?m)^Hello, \[World\] \(42\)!", 60)

    @unittest.skipUnless(shutil.which("Xvfb") and shutil.which("xdotool"), "needs xvfb and xdotool")
    def test_tigervnc_types(self):
        n = vnc.free_display()
        x = f":{n + 1000}"
        with guest.Guest("-vnc", f"127.0.0.1:{n}", "-serial", "none", "-boot", "menu=on,splash-time=60000"), vnc.Vnc(5900 + n) as watcher:
            watcher.expect("Press ESC for boot menu", 60)
            server = subprocess.Popen(["Xvfb", x, "-screen", "0", "1024x768x24"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                env = dict(os.environ, DISPLAY=x)
                while not os.path.exists(f"/tmp/.X11-unix/X{n + 1000}"):
                    self.assertIsNone(server.poll())
                    time.sleep(0.1)
                # Shared, or the server lets the watcher go; and a display above 99 it takes for a port.
                viewer = subprocess.Popen(["xtigervncviewer", "-Shared", f"127.0.0.1::{5900 + n}"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    self.type_until(watcher, env, "Select boot device")
                finally:
                    viewer.kill()
                    viewer.wait()
            finally:
                server.kill()
                server.wait()

    def type_until(self, watcher, env, text):
        """Escape into the viewer's window, once it is there; a click, for it takes keys only then."""
        end = time.monotonic() + 40 * guest.PATIENCE
        while text not in watcher.text():
            self.assertLess(time.monotonic(), end, watcher.text())
            found = run("xdotool", "search", "--onlyvisible", "--name", "TigerVNC", env=env)
            for window in found.stdout.split():
                run("xdotool", "windowfocus", window, "mousemove", "--window", window, "100", "100", "click", "1", "key", "Escape", env=env)
            time.sleep(0.5)

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
        for vga in "std", "virtio":
            with self.subTest(vga=vga), guest.temporary_folder() as folder:
                n = vnc.free_display()
                variables = shutil.copy(f"{OVMF}/OVMF_VARS_4M.fd", folder)
                with guest.Guest("-accel", "dbt", "-m", "256", "-net", "none", "-vga", vga, "-serial", "none", "-monitor", "none", "-vnc", f"127.0.0.1:{n}",
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
