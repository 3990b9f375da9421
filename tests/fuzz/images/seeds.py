#!/usr/bin/env python3
"""seeds.py ATOLL_IMG DIR KIND MADE: seeds for fuzz_KIND in DIR/KIND, and then the file MADE.  For a format: a small image for each feature, as
image_input.h describes it, with requests behind it; else messages or texts as they are."""
import os, random, shlex, struct, subprocess, sys, tempfile

SECTOR = 512
NAMED, READ_ONLY, BACKED, DATA_FILE, SECRET, REPAIR = 1, 2, 4, 8, 16, 32
KEY = ["--object", "secret,id=s0,data=abc"]

# format: name, options of create, flags, commands of atoll-img that change it ({} is the image)
QCOW2 = [
    ("plain", "cluster_size=4k", 0, []),
    ("small", "cluster_size=512,refcount_bits=1", 0, []),
    ("wide", "cluster_size=4k,refcount_bits=64", 0, []),
    ("v2", "compat=0.10,cluster_size=512", 0, ["snapshot -c s {}"]),
    ("lazy", "cluster_size=4k,lazy_refcounts=on", 0, []),
    ("extended", "cluster_size=16k,extended_l2=on", 0, ["io -c 'write 20k 3k' -c 'write -z 40k 4k' {}"]),
    ("backed", "cluster_size=4k,backing_file=below,backing_fmt=raw", NAMED | BACKED, []),
    ("extended-backed", "cluster_size=16k,extended_l2=on,backing_file=below,backing_fmt=raw", NAMED | BACKED, []),
    ("data-file", "cluster_size=4k,data_file=data", NAMED | DATA_FILE, []),
    ("data-file-raw", "cluster_size=4k,data_file=data,data_file_raw=on", NAMED | DATA_FILE, []),
    ("snapshots", "cluster_size=512", 0, ["snapshot -c s {}", "io -c 'write 3k 5k' {}", "snapshot -c t {}", "snapshot -d s {}"]),
    ("bitmaps", "cluster_size=512", 0, ["bitmap --add -g 512 {} x", "io -c 'write 3k 5k' {}", "bitmap --add --disable {} y"]),
    ("zlib", "cluster_size=4k", 0, ["io -c 'write -c 0 4k' -c 'write -c 8k 4k' -c 'write -c 16k 4k' {}"]),
    ("zstd", "cluster_size=4k,compression_type=zstd", 0, ["io -c 'write -c 0 4k' -c 'write -c 8k 4k' {}"]),
    ("metadata", "cluster_size=4k,preallocation=metadata", 0, []),
    ("luks", "cluster_size=4k,encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=1", SECRET, []),
    ("luks-snapshot", "cluster_size=4k,encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=1", 0, []),
    ("broken", "cluster_size=512", REPAIR, []),
]
SEEDS = {
    "qcow2": [(n, "size=256k," + o, f, c) for n, o, f, c in QCOW2],
    "qcow": [("plain", "size=256k", 0, []), ("backed", "size=256k,backing_file=below", NAMED | BACKED, [])],
    "vdi": [("plain", "size=3M", 0, []), ("static", "size=1M,static=on", 0, [])],
    "vhdx": [("plain", "size=3M,block_size=1M", 0, []), ("fixed", "size=1M,subformat=fixed,block_size=1M", 0, [])],
    "vmdk": [("sparse", "size=1M", 0, []), ("stream", "size=1M,subformat=streamOptimized", READ_ONLY, ["convert -f raw -O vmdk -o subformat=streamOptimized below {}"]),
             ("flat", "size=256k,subformat=monolithicFlat", NAMED, [])],
    "vpc": [("dynamic", "size=3M", 0, []), ("fixed", "size=256k,subformat=fixed", 0, [])],
    "luks": [("xts", "size=256k,key-secret=s0,iter-time=1", SECRET, []),
             ("essiv", "size=256k,key-secret=s0,iter-time=1,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256", SECRET, [])],
}


def encode(data, flags, rest):
    sectors = -(-len(data) // SECTOR)
    data = data.ljust(sectors * SECTOR, b"\0")
    records = [(i, data[i * SECTOR:(i + 1) * SECTOR]) for i in range(sectors) if any(data[i * SECTOR:(i + 1) * SECTOR])]
    out = struct.pack("<BIH", flags, sectors, len(records))
    return out + b"".join(struct.pack("<I", i) + d for i, d in records) + rest


def make(img, folder, fmt, row):
    name, options, flags, commands = row
    path = os.path.join(folder, "image")
    for old in os.listdir(folder):
        os.unlink(os.path.join(folder, old))
    with open(os.path.join(folder, "below"), "wb") as f:
        f.write(b"below" * 10000)

    def run(*args):
        subprocess.run([img, *args], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    run("create", "-q", *KEY, "-f", fmt, *(["-F", "raw"] if fmt == "qcow" and flags & BACKED else []), "-o", options, "image")
    tree = f"driver={fmt},file.driver=file,file.filename=image"
    if flags & SECRET:
        tree += ",encrypt.key-secret=s0" if fmt == "qcow2" else ",key-secret=s0"
    if ("encrypt" not in options or flags & SECRET) and name != "stream":
        run("io", *KEY, "--image-opts", "-c", "write -P 7 0 700", "-c", "write 70000 5000", "-c", "write -z 20k 4k", "-c", "flush", tree)
    for line in commands:
        word, *rest = shlex.split(line.format("image"))
        run(word, *(["-f", fmt] if word not in ("snapshot", "convert") else []), *rest)
    with open(path, "rb") as f:
        data = bytearray(f.read())
    if name == "broken":
        data[72 + 7] |= 2
        data[1024:1032] = bytes(8)
    return encode(bytes(data), flags, random.Random(name).randbytes(60))


def option(number, data=b""):
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def string(text):
    return struct.pack(">I", len(text)) + text


def request(command, off, length, flags=0, cookie=7):
    return struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, off, length)


def reply(number, kind, data=b""):
    return struct.pack(">QIII", 0x3e889045565a9, number, kind, len(data)) + data


def chunk(cookie, kind, data, done=1):
    return struct.pack(">IHHQI", 0x668e33ef, done, kind, cookie, len(data)) + data


def nbd_server():
    """What a client says: options, then requests."""
    go = option(7, string(b"") + struct.pack(">HHHH", 3, 1, 2, 3))
    contexts = string(b"") + struct.pack(">I", 3) + string(b"base:allocation") + string(b"qemu:allocation-depth") + string(b"qemu:dirty-bitmap:b")
    requests = (request(0, 5000, 100) + request(1, 100, 5) + b"hello" + request(3, 0, 0) + request(4, 0, 512) + request(6, 512, 512, 1)
                + request(7, 0, 65536) + request(7, 0, 65536, 8) + request(5, 0, 10) + request(2, 0, 0))
    hello = struct.pack(">I", 3)
    return {"go": hello + go + requests,
            "structured": hello + option(8) + option(10, contexts) + go + requests,
            "list": hello + option(3) + option(8) + option(9, string(b"") + struct.pack(">I", 0)) + option(6, string(b"other") + b"\0\0") + option(2),
            "old": struct.pack(">I", 1) + option(1, b"other") + request(0, 0, 64) + request(1, 0, 1) + b"x",
            "tls": hello + option(5) + option(99, b"x" * 70000)}


def nbd_client():
    """What a server says: to a client that asks for structured replies, base:allocation and the export."""
    size = struct.pack(">QH", 1 << 20, 0x1 | 0x4 | 0x8 | 0x20 | 0x40 | 0x800)
    hello = b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3)
    unsupported = (1 << 31) + 1
    ready = reply(7, 3, b"\0\0" + size) + reply(7, 1)
    simple = b"".join(struct.pack(">IIQ", 0x67446698, 0, c) + (bytes(1024) if c == 1 else b"") for c in range(1, 7))
    status = chunk(1, 5, struct.pack(">III", 1, 65536, 3))
    rich = status + chunk(2, 1, struct.pack(">Q", 0) + bytes(1024)) + b"".join(chunk(c, 0, b"") for c in range(3, 8))
    return {"simple": hello + reply(5, unsupported) + reply(8, unsupported) + ready + simple,
            "structured": hello + reply(8, 1) + reply(10, 4, struct.pack(">I", 1) + b"base:allocation") + reply(10, 1) + ready + rich,
            "hole": hello + reply(8, 1) + reply(10, 1) + ready + chunk(1, 2, struct.pack(">QI", 0, 1024)) + chunk(2, 0x8001, struct.pack(">IH", 5, 0)),
            "old": b"NBDMAGIC" + struct.pack(">QQI", 0x420281861253, 1 << 20, 1) + bytes(124)}


def options():
    texts = ["driver=memory,size=1M", "driver=raw,file.driver=memory,file.size=1k,offset=512,size=256", "null-co,size=1T,noread-zeroes",
             '{"driver": "raw", "file": {"driver": "null-co", "size": 4096, "read-zeroes": true}, "read-only": null}',
             "driver=throttle,iops-total=100,file.driver=memory", "secret,id=s0,data=a,,b,format=raw", '{"a": [1, -2.5e3, "\\u00e4\\n", {}]}', "1.5G", "0x1f"]
    return {str(i): text.encode() for i, text in enumerate(texts)}


PLAIN = {"nbd_server": nbd_server, "nbd_client": nbd_client, "options": options}


def seeds(img, kind):
    if kind in PLAIN:
        yield from PLAIN[kind]().items()
    for row in SEEDS.get(kind, []):
        with tempfile.TemporaryDirectory() as folder:
            yield row[0], make(img, folder, kind, row)


def main():
    img, out, kind, made = sys.argv[1:]
    os.makedirs(os.path.join(out, kind), exist_ok=True)
    for name, seed in seeds(os.path.abspath(img), kind):
        with open(os.path.join(out, kind, name), "wb") as f:
            f.write(seed)
    open(made, "w").close()


main()
