"""A Debian disk that boots by GRUB into systemd and logs root in on the first serial port.

mmdebstrap (as root) unpacks and configures the packages, mke2fs fills a file system from the folder, GRUB's core image stands
between the partition table and the partition: no loop device, and nothing of the host changes.
"""
import hashlib
import os
import shutil
import tempfile

from guests import apt_options, cache_dir, native_arch, run

SUITE = "bookworm"
KERNELS = {"amd64": "linux-image-amd64", "i386": "linux-image-686-pae"}
# dbus: logind, which answers the power button, does not start without it.
PACKAGES = ["systemd-sysv", "dbus", "udev", "kmod", "initramfs-tools", "iproute2", "stress-ng", "procps"]
SECTOR, PART_START, PART_MIB = 512, 2048, 1600
# In the initramfs, so that the root file system is found on every kind of disk that the machines have.
MODULES = ["ext4", "sd_mod", "ata_piix", "ata_generic", "ahci", "virtio_pci", "virtio_blk", "virtio_scsi"]
EARLY_FILES = {  # before the kernel's package makes its initramfs
    "etc/initramfs-tools/conf.d/atoll": "MODULES=list\nCOMPRESS=gzip\n",
    "usr/share/initramfs-tools/modules.d/atoll": "\n".join(MODULES) + "\n",
}
FILES = {
    "etc/hostname": "atoll\n",
    "etc/fstab": "LABEL=root / ext4 errors=remount-ro 0 1\n",
    "etc/systemd/system/serial-getty@.service.d/login.conf":
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200,9600 %I $TERM\n",
    "etc/systemd/network/lan.network": "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n",
    "etc/motd": "",
    "boot/grub/grub.cfg":
        "set timeout=1\nmenuentry 'Debian' {\n    linux /vmlinuz root=LABEL=root ro console=ttyS0 net.ifnames=0\n"
        "    initrd /initrd.img\n}\n",
}
GRUB_MODULES = ["biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "terminal", "echo", "configfile", "ls", "cat", "boot", "test"]
EMBEDDED = "serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\nset root=(hd0,msdos1)\nconfigfile /boot/grub/grub.cfg\n"


def sources(arch):
    """Debian's own lines of this host's apt sources, and no other's; for a foreign architecture the release alone (as with
    guests.py, whose lists for it may lack some)."""
    text = run(["apt-get", *apt_options(native_arch()), "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
                "Created-By: Packages", "Origin: Debian"])
    lines = sorted(set(text.splitlines()))
    return "".join(line + "\n" for line in lines if arch == native_arch() or f" {SUITE} " in line)


def write_files(files, folder):
    for path, text in files.items():
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as out:
            out.write(text)
    return folder


def bootstrap(arch, folder):
    """The folder of the root file system."""
    early = write_files(EARLY_FILES, os.path.join(folder, "early"))
    late = write_files(FILES, os.path.join(folder, "late"))
    archive, root = os.path.join(folder, "root.tar"), os.path.join(folder, "root")
    run(["mmdebstrap", "--variant=minbase", f"--architectures={arch}", f"--include={','.join([*PACKAGES, KERNELS[arch]])}",
         f"--essential-hook=cp -r {early}/. \"$1\"", f"--customize-hook=cp -r {late}/. \"$1\"", "--customize-hook=chroot \"$1\" passwd -d root",
         "--customize-hook=chroot \"$1\" systemctl enable systemd-networkd", SUITE, archive, "-"], input=sources(arch))
    os.mkdir(root)
    run(["tar", "-xf", archive, "-C", root])
    os.unlink(archive)
    return root


def write_loader(folder, disk):
    config, core = os.path.join(folder, "embed.cfg"), os.path.join(folder, "core.img")
    with open(config, "w", encoding="utf-8") as out:
        out.write(EMBEDDED)
    run(["grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/boot/grub", "-c", config, *GRUB_MODULES])
    with open("/usr/lib/grub/i386-pc/boot.img", "rb") as boot, open(core, "rb") as image, open(disk, "r+b") as out:
        out.write(boot.read(440))
        data = image.read()
        if len(data) > (PART_START - 1) * SECTOR:
            raise SystemExit("guests.py: GRUB's core image does not fit in front of the partition")
        out.seek(SECTOR)
        out.write(data)


def recipe():
    """Names what the disk is made of, so that a change here makes a new one."""
    return hashlib.sha256(repr((PACKAGES, KERNELS, MODULES, EARLY_FILES, FILES, EMBEDDED)).encode()).hexdigest()[:8]


def disk(arch):
    """Path of the raw image, built at the first call: do not write to it (-snapshot, or a copy)."""
    target = os.path.join(cache_dir(), arch, f"debian-{recipe()}.img")
    if os.path.exists(target):
        return target
    os.makedirs(os.path.dirname(target), exist_ok=True)
    for tool in ("mmdebstrap", "mke2fs", "sfdisk", "grub-mkimage"):
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin"):
            raise SystemExit(f"guests.py: {tool} is missing; scripts/install-deps installs it")
    with tempfile.TemporaryDirectory(prefix="debian-", dir=cache_dir()) as folder:
        part_image, image = os.path.join(folder, "part.img"), os.path.join(folder, "disk.img")
        os.chmod(folder, 0o755)  # mmdebstrap's apt reads it as another user
        run(["/sbin/mke2fs", "-q", "-t", "ext4", "-L", "root", "-O", "^metadata_csum_seed,^orphan_file", "-d", bootstrap(arch, folder),
             part_image, f"{PART_MIB}M"])
        with open(image, "wb") as out:
            out.truncate((PART_MIB << 20) + PART_START * SECTOR)
        run(["/sbin/sfdisk", "-q", image], input=f"{PART_START},,L,*\n")
        write_loader(folder, image)
        run(["dd", f"if={part_image}", f"of={image}", "bs=1M", f"seek={PART_START * SECTOR >> 20}", "conv=notrunc,sparse"])
        os.rename(image, target)
    return target
