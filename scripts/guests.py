#!/usr/bin/env python3
"""Real guests from Debian's packages, unpacked in a cache and never installed.

    guests.py kernel cloud|amd64|686|686-pae     path of the kernel
    guests.py initramfs KERNEL                   path of a busybox initramfs for it
    guests.py file PACKAGE[:ARCH] PATH           path of a file of a package
    guests.py disk amd64|i386                    path of a Debian disk with GRUB and systemd (guest_disk.py)

The cache is $ATOLL_CACHE, or ~/.cache/atoll.  Packages come from this host's own apt sources; for another architecture
apt works on lists of its own within the cache, so that nothing of the host changes.
"""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys

KERNELS = {  # name: (metapackage, architecture)
    "cloud": ("linux-image-cloud-amd64", "amd64"),
    "amd64": ("linux-image-amd64", "amd64"),
    "686": ("linux-image-686", "i386"),
    "686-pae": ("linux-image-686-pae", "i386"),
}
# What the guest's own disks need; those that a kernel has built in, or not at all, are left out.
MODULES = ["ata_piix", "ata_generic", "ahci", "sd_mod", "sr_mod", "floppy", "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_scsi", "virtio-rng", "rng-core",
           "virtio_net", "e1000", "e1000e", "virtio_console", "virtio_balloon"]

INIT = r"""#!/bin/busybox sh
# The first process of Atoll's guests: prints facts, then gives a shell (atoll.mode=shell), powers off (facts) or
# reboots (reboot).
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
echo 1 > /proc/sys/kernel/printk
while read -r module; do insmod /modules/$module 2>/dev/null; done < /modules/order
sleep 1
echo
echo "ATOLL-GUEST kernel: $(uname -a)"
echo "ATOLL-GUEST cpus: $(grep -c ^processor /proc/cpuinfo)"
echo "ATOLL-GUEST model: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "ATOLL-GUEST flags: $(sed -n 's/^flags[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "ATOLL-GUEST memory: $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
for disk in /sys/block/[hsv]d* /sys/block/sr*; do
    [ -e $disk/size ] && echo "ATOLL-GUEST disk: ${disk##*/} $(($(cat $disk/size) / 2)) KiB"
done
for pci in /sys/bus/pci/devices/*; do
    [ -e $pci/class ] && echo "ATOLL-GUEST pci: ${pci##*/} class $(cat $pci/class) id $(cat $pci/vendor):$(cat $pci/device)"
done
for virtio in /sys/bus/virtio/devices/*; do
    [ -e $virtio/driver ] && echo "ATOLL-GUEST virtio: $(basename $(readlink $virtio/driver)) on $(basename $(readlink -f $virtio/..))"
done
echo "ATOLL-GUEST clock: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource 2>/dev/null)"
mode=$(sed -n 's/.*atoll.mode=\([a-z]*\).*/\1/p' /proc/cmdline)
case $mode in
reboot) echo "ATOLL-GUEST reboots"; reboot -f ;;
facts) echo "ATOLL-GUEST powers off"; poweroff -f ;;
*)
    echo
    echo "A shell in the guest. Ctrl-a x ends the machine at once; so does 'exit', by powering off."
    setsid cttyhack sh
    poweroff -f
    ;;
esac
sleep 1000
"""


def cache_dir():
    path = os.environ.get("ATOLL_CACHE") or os.path.expanduser("~/.cache/atoll")
    os.makedirs(path, exist_ok=True)
    return os.path.abspath(path)


def run(args, **kwargs):
    result = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **kwargs)
    if result.returncode != 0:
        raise SystemExit(f"guests.py: {' '.join(args)} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def native_arch():
    return run(["dpkg", "--print-architecture"]).strip()


def apt_options(arch):
    """Options that make apt see packages of `arch`: by this host's lists, or, for another architecture or where the host
    has none, by lists of our own, fetched once."""
    common = ["-o", "APT::Sandbox::User=root"]
    if arch == native_arch() and glob.glob("/var/lib/apt/lists/*Packages*"):
        return common
    state = os.path.join(cache_dir(), "apt-" + arch)
    for sub in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(state, sub), exist_ok=True)
    status = os.path.join(state, "status")
    open(status, "a", encoding="utf-8").close()
    options = common + ["-o", f"APT::Architecture={arch}", "-o", f"APT::Architectures={arch}", "-o", f"Dir::State::lists={state}/lists",
                        "-o", f"Dir::State::status={status}", "-o", f"Dir::Cache={state}/cache"]
    if not glob.glob(os.path.join(state, "lists", "*Packages*")):
        subprocess.run(["apt-get", *options, "-q", "update"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if not glob.glob(os.path.join(state, "lists", "*Packages*")):  # one source of several may fail
            raise SystemExit(f"guests.py: no package lists for {arch} could be fetched")
    return options


def unpacked(package, arch):
    """The folder of a package's files, downloaded at the first call."""
    folder = os.path.join(cache_dir(), arch, package)
    if os.path.isdir(folder):
        return folder
    part = f"{folder}.part{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    run(["apt-get", *apt_options(arch), "-q", "download", package], cwd=part)
    deb = glob.glob(os.path.join(part, "*.deb"))[0]
    run(["dpkg", "-x", deb, part])
    os.unlink(deb)
    try:
        os.rename(part, folder)
    except OSError:  # another process was quicker
        shutil.rmtree(part)
    return folder


def kernel_package(name):
    """The package that the metapackage depends on today; remembered, so that a filled cache needs no network."""
    meta, arch = KERNELS[name]
    note = os.path.join(cache_dir(), arch, meta + ".depends")
    if not os.path.exists(note):
        text = run(["apt-cache", *apt_options(arch), "depends", meta])
        found = re.search(r"Depends: (linux-image-\S+)", text)
        if not found:
            raise SystemExit(f"guests.py: {meta} depends on no kernel; are this host's apt lists there (apt-get update)?")
        os.makedirs(os.path.dirname(note), exist_ok=True)
        with open(note, "w", encoding="utf-8") as out:
            out.write(found.group(1).split(":")[0])
    with open(note, encoding="utf-8") as lines:
        return lines.read().strip(), arch


def kernel(name):
    package, arch = kernel_package(name)
    return glob.glob(os.path.join(unpacked(package, arch), "boot", "vmlinuz-*"))[0]


def module_depends(path):
    with open(path, "rb") as module:
        found = re.search(rb"\0depends=([^\0]*)\0", module.read())
    return [name for name in found.group(1).decode().split(",") if name] if found else []


def module_files(name, more=()):
    """Paths of MODULES, of more and of what they depend on, in the order of loading."""
    package, arch = kernel_package(name)
    paths = {}
    for path in glob.glob(os.path.join(unpacked(package, arch), "lib/modules/*/kernel/**/*.ko"), recursive=True):
        paths[os.path.basename(path)[:-3].replace("-", "_")] = path
    order = []

    def add(module):
        module = module.replace("-", "_")
        if module in paths and paths[module] not in order:
            for need in module_depends(paths[module]):
                add(need)
            order.append(paths[module])

    for module in [*MODULES, *more]:
        add(module)
    return order


def cpio_entry(name, mode, data):
    name = name.encode() + b"\0"
    head = b"070701" + b"".join(b"%08X" % n for n in (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0))
    body = head + name
    body += b"\0" * (-len(body) % 4) + data
    return body + b"\0" * (-len(body) % 4)


def initramfs(name, init=INIT, files=None, more=()):
    """files: more programs, as {path: bytes}; more: names of modules besides MODULES."""
    arch = KERNELS[name][1]
    with open(os.path.join(unpacked("busybox-static", arch), "bin/busybox"), "rb") as file:
        busybox = file.read()
    archive = b"".join(cpio_entry(folder, 0o040755, b"") for folder in ("bin", "dev", "proc", "sys", "tmp", "modules"))
    archive += cpio_entry("init", 0o100755, init.encode()) + cpio_entry("bin/busybox", 0o100755, busybox)
    for path, data in (files or {}).items():
        archive += cpio_entry(path, 0o100755, data)
    modules = module_files(name, more)
    for path in modules:
        with open(path, "rb") as file:
            archive += cpio_entry("modules/" + os.path.basename(path), 0o100644, file.read())
    order = "".join(os.path.basename(path) + "\n" for path in modules)
    archive += cpio_entry("modules/order", 0o100644, order.encode()) + cpio_entry("TRAILER!!!", 0, b"")
    # By content: worktrees share the cache and need not agree on the modules.
    target = os.path.join(cache_dir(), arch, f"initramfs-{name}-{hashlib.sha1(archive).hexdigest()[:8]}.cpio")
    part = f"{target}.part{os.getpid()}"
    with open(part, "wb") as out:
        out.write(archive)
    os.replace(part, target)
    return target


def package_file(package, path):
    name, _, arch = package.partition(":")
    return os.path.join(unpacked(name, arch or native_arch()), path.lstrip("/"))


def main(words):
    if len(words) == 2 and words[0] == "kernel" and words[1] in KERNELS:
        print(kernel(words[1]))
    elif len(words) == 2 and words[0] == "initramfs" and words[1] in KERNELS:
        print(initramfs(words[1]))
    elif len(words) == 3 and words[0] == "file":
        print(package_file(words[1], words[2]))
    elif len(words) == 2 and words[0] == "disk" and words[1] in ("amd64", "i386"):
        import guest_disk  # which imports this module
        print(guest_disk.disk(words[1]))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
