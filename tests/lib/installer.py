"""A CD with Debian's installer that asks nothing, bootable by BIOS and by EFI, from Debian's netboot package.

Packages come during the installation from the mirror that this host's apt is configured with, whatever its name.  Such a
mirror need not have all of the installer's own packages (udebs): what lacks most often are the parts of partman, GRUB's
and the end's.  In their place the CD's initrd has two components of ours, tests/boot/installer/*.postinst, and the tools
that these need from Debian's ordinary packages; all else is the installer's: hardware, network, mirror, its downloads,
the base system, the kernel.
"""
import glob
import os
import re
import shutil
import subprocess
import urllib.parse

import guest  # which makes scripts/ importable
import guests

PACKAGE = "debian-installer-12-netboot-amd64"
IMAGES = "usr/lib/debian-installer/images/12/amd64"
SUITE = "bookworm"
PASSWORD = "atoll"
TEXTS = os.path.join(guest.ROOT, "tests/boot/installer")
# What the installer fetches: drivers for its own kernel, and what makes the base system.
DRIVERS = ["ext4-modules", "ata-modules", "pata-modules", "sata-modules", "scsi-modules", "efi-modules", "cdrom-core-modules"]
# Tools for our components, and debootstrap, which the installer has as a udeb of the same contents.
TOOLS = {
    "e2fsprogs": ["sbin/mke2fs", "etc/mke2fs.conf"],
    "libext2fs2": ["lib/*/*.so.*"],
    "libcom-err2": ["lib/*/*.so.*"],
    "fdisk": ["sbin/sfdisk"],
    "libfdisk1": ["usr/lib/*/*.so.*"],
    "libsmartcols1": ["usr/lib/*/*.so.*"],
    "libmount1": ["usr/lib/*/*.so.*"],
    "dosfstools": ["sbin/mkfs.fat"],
    "debootstrap": ["usr/sbin/debootstrap", "usr/share/debootstrap"],
}
# Said to be there already, so that nothing that depends on them fetches them.
REPLACED = ["apt-mirror-setup", "apt-setup-udeb", "debootstrap-udeb", "disk-detect", "partman-base", "partman-utils", "partman-partitioning", "partman-target",
            "partman-basicfilesystems", "partman-basicmethods", "libparted2-udeb", "libparted-fs-resize0-udeb", "libdevmapper1.02.1-udeb",
            "dmidecode-udeb", "e2fsprogs-udeb", "ntfs-3g-udeb", "fuse3-udeb", "libfuse3-3-udeb", "dosfstools-udeb", "di-utils-mapdevfs"]
COMPONENTS = """
Package: atoll-disk
Status: install ok unpacked
Version: 1
Installer-Menu-Item: 4200
Provides: mounted-partitions, created-fstab
Description: Partition the first disk

Package: atoll-finish
Status: install ok unpacked
Version: 1
Installer-Menu-Item: 7900
Description: Finish the installation

"""
GRUB = """
set timeout=3
menuentry 'Install Debian unattended' {
    linux /install/linux auto=true priority=critical --- quiet
    initrd /install/initrd.gz
}
"""


def mirror():
    """Address of the Debian archive that this host's apt takes the release from (a urllib result), and its proxy or ""."""
    text = guests.run(["apt-get", *guests.apt_options("amd64"), "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                       "Created-By: Packages", "Origin: Debian"])
    found = re.search(rf"^(\S+) {SUITE} main$", text, re.MULTILINE)
    if not found:
        raise SystemExit(f"apt has no source for {SUITE} main of Debian:\n{text}")
    address = urllib.parse.urlsplit(found.group(1))
    proxy = guests.run(["apt-config", "shell", "P", f"Acquire::{address.scheme}::Proxy"]).strip()
    return address, proxy[3:-1] if proxy else ""


def image_folder(kind="text"):
    return os.path.join(guests.unpacked(PACKAGE, "amd64"), IMAGES, kind, "debian-installer/amd64")


def text_file(name, values):
    with open(os.path.join(TEXTS, name), encoding="utf-8") as file:
        return re.sub(r"@([A-Z]+)@", lambda found: values[found.group(1)], file.read())


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    os.chmod(path, mode)


def copy_tools(root):
    for package, patterns in TOOLS.items():
        folder = guests.unpacked(package, "amd64")
        for path in (path for pattern in patterns for path in glob.glob(os.path.join(folder, pattern))):
            target = os.path.join(root, os.path.relpath(path, folder))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.isdir(path):
                shutil.copytree(path, target, symlinks=True)
            else:
                shutil.copy2(path, target, follow_symlinks=False)


def own_status(initrd):
    """What the installer says of the packages in its initrd."""
    unpack = subprocess.run(["cpio", "-i", "--quiet", "--to-stdout", "var/lib/dpkg/status"], input=initrd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return unpack.stdout.decode()


def extra_archive(folder, initrd, kernel, key):
    """A cpio archive with the answers and our components, which the kernel unpacks over the installer's own."""
    root = os.path.join(folder, "initrd")
    status = own_status(initrd)
    release = re.search(r"^Package: kernel-image-(\S+)$", status, re.MULTILINE).group(1)
    address, proxy = mirror()
    values = {"SCHEME": address.scheme, "HOST": address.netloc, "FOLDER": address.path.rstrip("/") or "/", "PROXY": proxy, "SUITE": SUITE,
              "MODULES": ", ".join(["bootstrap-base", *(f"{name}-{release}" for name in DRIVERS)]), "KERNEL": kernel, "PASSWORD": PASSWORD, "KEY": key}
    replaced = "".join(f"\nPackage: {name}\nStatus: install ok installed\nVersion: 9:9\nDescription: not used\n" for name in REPLACED)
    write(f"{root}/preseed.cfg", text_file("preseed.cfg", values))
    write(f"{root}/var/lib/dpkg/status", status.rstrip("\n") + "\n" + replaced + COMPONENTS)
    for name in "disk", "finish":
        write(f"{root}/var/lib/dpkg/info/atoll-{name}.postinst", text_file(f"{name}.postinst", values), 0o755)
    copy_tools(root)
    names = "".join(os.path.relpath(os.path.join(top, name), root) + "\n" for top, folders, files in sorted(os.walk(root)) for name in sorted(folders + files))
    pack = subprocess.run(["cpio", "-o", "--quiet", "-H", "newc", "-R", "0:0"], cwd=root, input=names.encode(), stdout=subprocess.PIPE, check=True)
    return pack.stdout


def cd(folder, kernel, key):
    """Builds the CD within `folder`; returns its path.  `kernel`: package for the installed system; `key`: may log in as root."""
    tree = os.path.join(folder, "cd")
    write(f"{tree}/boot/grub/grub.cfg", GRUB)
    os.makedirs(f"{tree}/install")
    shutil.copy(os.path.join(image_folder(), "linux"), f"{tree}/install/linux")
    with open(os.path.join(image_folder(), "initrd.gz"), "rb") as file:
        data = file.read()
    plain = subprocess.run(["gzip", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    with open(f"{tree}/install/initrd.gz", "wb") as out:
        out.write(data + bytes(-len(data) % 4) + extra_archive(folder, plain, kernel, key))
    path = os.path.join(folder, "installer.iso")
    subprocess.run(["grub-mkrescue", "-o", path, tree], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return path
