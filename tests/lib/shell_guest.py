"""A Debian kernel with a shell on its console, and a QMP monitor."""
import os

import guest
import guests
import qmp


class Machine:
    def __init__(self, folder, *args, megabytes=256, append=""):
        path = os.path.join(folder, "qmp")
        if os.path.exists(path):
            os.unlink(path)
        self.guest = guest.Guest("-nographic", "-m", str(megabytes), "-kernel", guests.kernel("cloud"), "-initrd", guests.initramfs("cloud"), "-append",
                                 f"console=ttyS0 quiet atoll.mode=shell {append}", "-qmp", f"unix:{path},server=on,wait=off", *args, terminal=True)
        self.qmp = qmp.Qmp(path)
        self.run = self.qmp.run

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.qmp.close()
        self.guest.__exit__()

    def ready(self):
        self.guest.expect("A shell in the guest", 400)
        self.guest.expect("# ", 60)

    def shell(self, command, seconds=60):
        """What it prints: the terminal breaks the echo of a long line."""
        self.guest.send(f"echo ST''ART; {command}; echo EN''D\r")
        text = self.guest.expect(r"(?s)START\r+\n(.*?)END\r", seconds).group(1)
        self.guest.expect("# ", 60)
        return text
