#!/usr/bin/env python3
"""virt-viewer and virt-manager on atolld, on a screen of their own: the guest's picture is in the window, the list of machines lives, and the wizard
makes machines.  Pictures of the screen are kept in BUILD/desktop."""
import os
import shutil
import subprocess
import unittest

import desktop
import managed
import tap
import vnc

SCREEN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{disk}
<graphics type='vnc' port='-1' autoport='yes'/><video><model type='vga'/></video></devices></domain>"""
HAS_ATSPI = subprocess.run([desktop.DEBIAN_PYTHON, "-c", "import gi; gi.require_version('Atspi', '2.0')"], stderr=subprocess.DEVNULL, check=False).returncode == 0
KEPT = os.path.join(os.environ.get("ATOLL_BUILD", "/tmp"), "desktop")


class OnADesktop(managed.Managed):
    def setUp(self):
        super().setUp()
        os.makedirs(KEPT, exist_ok=True)
        os.mkdir(self.path("x"))
        self.desktop = desktop.Desktop(self.path("x"))
        self.addCleanup(self.desktop.__exit__)

    def keep(self, name):
        self.desktop.save(os.path.join(KEPT, name + ".png"))

    def with_a_screen(self, name):
        """A machine whose firmware finds nothing to boot from and says so."""
        self.image(name + ".qcow2")
        self.virsh("define", self.write(name + ".xml", SCREEN.format(name=name, disk=self.disk("vda", name + ".qcow2"))))
        self.virsh("start", name)
        self.addCleanup(self.virsh, "destroy", name, check=False)

    def picture(self, name):
        """The guest's line of text that says the most: sixteen lines of pixels."""
        port = int(self.virsh("vncdisplay", name).strip().rsplit(":", 1)[1]) + 5900
        with vnc.Vnc(port) as watcher:
            watcher.expect("No bootable device", 60)
            lines = desktop.rgb_lines(watcher.screen())
        text = next(y for y, line in enumerate(lines) if any(line))
        return lines[text:text + 16]


@unittest.skipUnless(shutil.which("virt-viewer") and shutil.which("Xvfb"), "virt-viewer or Xvfb is not installed")
class Viewer(OnADesktop):
    def test_screen(self):
        self.with_a_screen("one")
        picture = self.picture("one")
        for words in ["one"], ["--attach", "--wait", "one"], ["--uuid", self.virsh("domuuid", "one").strip()]:
            with self.subTest(words=words), self.desktop.program("virt-viewer", "--connect", self.daemon.uri(self.uri), *words):
                desktop.until(lambda: self.desktop.shows(picture), f"virt-viewer {words} does not show the guest's text", 60)
                self.keep("virt-viewer")
            desktop.until(lambda: not self.desktop.shows(picture), "the window does not close")

    def test_waits(self):
        """For a machine that starts later, and goes on when it starts again."""
        self.with_a_screen("one")
        picture = self.picture("one")
        self.virsh("destroy", "one")
        with self.desktop.program("virt-viewer", "--connect", self.daemon.uri(self.uri), "--wait", "--reconnect", "one"):
            for _ in range(2):
                self.virsh("start", "one")
                desktop.until(lambda: self.desktop.shows(picture), "virt-viewer does not show the guest's text", 60)
                self.virsh("destroy", "one")
                desktop.until(lambda: not self.desktop.shows(picture), "the picture stays")


@unittest.skipUnless(shutil.which("virt-manager") and shutil.which("Xvfb") and HAS_ATSPI, "virt-manager, Xvfb or AT-SPI is not installed")
class Manager(OnADesktop):
    def manager(self):
        return desktop.Gui(self.desktop, "virt-manager", "--connect", self.daemon.uri(self.uri), "--no-fork")

    def test_list_and_console(self):
        """Machines with their states, a graph that moves, and the guest's picture in a console."""
        self.with_a_screen("one")
        picture = self.picture("one")
        with self.manager() as gui:
            gui.ask("wait", "Virtual Machine Manager", "table cell", "one\nRunning")
            x, y, width, height = gui.ask("place", "Virtual Machine Manager", "table cell", "one\nRunning")
            row = (x + width, y, 140, height)
            before = self.desktop.area(*row)
            desktop.until(lambda: self.desktop.area(*row) != before, "the graph does not move")
            self.keep("virt-manager-list")
            self.virsh("suspend", "one")
            gui.ask("wait", "Virtual Machine Manager", "table cell", "one\nPaused")
            self.virsh("resume", "one")
            gui.ask("wait", "Virtual Machine Manager", "table cell", "one\nRunning")
            gui.ask("double_click", "Virtual Machine Manager", "table cell", "one\nRunning")
            desktop.until(lambda: self.desktop.shows(picture), "no picture of the guest in virt-manager's console", 60)
            self.keep("virt-manager-console")

    def finish(self, gui, name):
        gui.ask("text", "New VM", "text", "", name)
        gui.ask("click", "New VM", "push button", "Finish")
        desktop.until(lambda: name in self.virsh("list", "--name").split(), f"the wizard's machine '{name}' does not run", 60)
        self.addCleanup(self.virsh, "destroy", name, check=False)
        gui.ask("wait", f"{name} on", "menu", "Send Key")
        console = 4, 80, 1000, 800  # below the buttons of its window; more than the pointer shows there
        desktop.until(lambda: sum(map(bool, b"".join(self.desktop.area(*console)))) > 3000, "the new machine's console stays black", 60)
        self.keep("virt-manager-new-" + name)

    def forward(self, gui):
        gui.ask("click", "New VM", "push button", "Forward")

    def system(self, gui):
        gui.ask("text", "New VM", "text", "oslist-entry", "generic")
        gui.ask("choose", "", "table cell", "(generic)")

    def test_wizard_import(self):
        self.image("there.qcow2")
        with self.manager() as gui:
            gui.ask("click", "Virtual Machine Manager", "push button", "New")
            gui.ask("click", "New VM", "radio button", "Import")
            self.forward(gui)
            gui.ask("text", "New VM", "text", "import-entry", self.path("there.qcow2"))
            self.system(gui)
            self.keep("virt-manager-import")
            self.forward(gui)
            self.forward(gui)
            self.finish(gui, "imported")
        self.assertIn("there.qcow2", self.virsh("domblklist", "imported"))

    def test_wizard_cdrom(self):
        """A machine from its CD, with a disk that the wizard has made."""
        with open(self.path("cd.iso"), "wb") as out:
            out.truncate(1 << 20)
        with self.manager() as gui:
            gui.ask("click", "Virtual Machine Manager", "push button", "New")
            gui.ask("click", "New VM", "radio button", "Local install media")
            self.forward(gui)
            gui.ask("text", "New VM", "text", "media-entry", self.path("cd.iso"))
            gui.ask("click", "New VM", "check box", "Automatically detect")
            self.system(gui)
            self.forward(gui)
            self.forward(gui)
            gui.ask("wait", "New VM", "radio button", "Create a disk image")
            self.keep("virt-manager-storage")
            self.forward(gui)
            self.finish(gui, "installed")
        self.assertRegex(self.virsh("domblklist", "installed"), r"(?s)installed\.qcow2.*cd\.iso|cd\.iso.*installed\.qcow2")


if __name__ == "__main__":
    tap.main()
