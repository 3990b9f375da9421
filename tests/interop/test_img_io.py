#!/usr/bin/env python3
"""atoll-img io against qemu-io: the same commands, the same words, the same bytes."""
import os
import random
import shutil
import unittest

import tap
import twins

QEMU = unittest.skipUnless(shutil.which("qemu-io"), "qemu-utils is not installed")

COMMANDS = [
    "write 0 64k", "write -P 0xab 64k 512", "read -P 0xab 64k 512", "read -P 0xac 64k 512", "read -v 65024 32", "read -P 0xab -s 10 -l 100 64k 512",
    "write -z 128k 64k", "write -z -u 128k 64k", "write -q 0 1k", "write -C 0 1k", "write -z -P 4 0 1k", "read 0", "read 10M 1k", "read 5 7", "write 5 7",
    "read 0 -5", "read 0 abc", "readv 0 512 1k", "readv -P 0 0 512", "writev -P 7 0 512 1k", "readv -v 0 20", "aio_write -P 3 1M 64k", "aio_flush",
    "aio_read -P 3 1M 64k", "aio_flush", "aio_read -q 1M 64k 64k", "aio_flush", "aio_write -z 2M 64k", "aio_flush", "flush", "discard 0 64k", "discard 0",
    "discard 0 100G", "alloc 0", "alloc 0 1M", "alloc 64k 64k", "alloc 100M", "alloc x", "map", "length", "truncate 20M", "length", "truncate", "truncate x", "sleep 10",
    "reopen -r", "write 0 1k", "reopen -w", "write 0 1k", "reopen -c none", "reopen", "reopen -r -w", "reopen -c odd", "foo", "help foo", "close", "length", "read 0 1",
    "open t", "open t", "read 0 1k", "write -f 0 1k", "write -f -z 0 1k", "write -u 0 1k", "write -n 0 1k", "write -P x 0 1k", "write 0 3G", "read -s 4 0 1k",
    "read -P 0 -s 500 -l 1000 0 1k", "read -P 300 0 1k", "aio_write -P 5 -z 0 1k", "aio_write -u 0 1k", "write -s pattern 4k 10k", "read -v 4k 64",
    "write -s nosuch 0 1k", "write -s pattern -P 1 0 1k", "readv 0", "", "   ", "r 0 512", "w 0 512", "l", "q", "length",
]


@QEMU
class Io(twins.Twins):
    def image(self, fmt="qcow2", size="10M"):
        for folder in (self.ours, self.theirs):
            self.their("qemu-img", "create", "-q", "-f", fmt, "t", size, cwd=folder)
        self.write("pattern", b"some words that repeat. ")

    def same_content(self, fmt="qcow2"):
        for folder in (self.ours, self.theirs):
            self.their("qemu-img", "convert", "-f", fmt, "-O", "raw", "t", "t.raw", cwd=folder)
        with open(os.path.join(self.theirs, "t.raw"), "rb") as file:
            self.assertTrue(self.content("t.raw") == file.read(), "contents differ")

    def test_each_command(self):
        self.image()
        for fmt in ("qcow2", "raw"):
            self.image(fmt)
            for command in COMMANDS:
                # Where zeros are written over a hole without a backing file, ours leaves it one.
                if command.startswith(("open", "aio_read")) or (fmt == "raw" and command.startswith(("alloc", "map"))) or command in ("map", "alloc 0 1M"):
                    continue
                with self.subTest(f"{fmt}: {command}"):
                    self.both("qemu-io", "-f", fmt, "-c", command, "t")
            self.same_content(fmt)

    def test_as_a_script(self):
        """One process, by standard input: prompts too."""
        self.image()
        for folder in (self.ours, self.theirs):
            os.link(os.path.join(folder, "t"), os.path.join(folder, "t2"))
        text = "\n".join(command for command in COMMANDS if command not in ("write -s nosuch 0 1k", "map", "alloc 0 1M", "aio_write -P 5 -z 0 1k")) + "\n"
        self.both("qemu-io", "t", text=text)
        self.same_content()

    def test_no_file(self):
        self.both("qemu-io", text="length\nread 0 1\nquit\n")
        self.both("qemu-io", "-c", "read 0 1k", "nosuch", status=1)
        self.both("qemu-io", "-x", same=False, status=1)
        self.both("qemu-io", "-t", "odd", "nosuch", status=1)
        self.image()
        self.both("qemu-io", text="length\nopen t\nlength\n")
        self.both("qemu-io", "t", text="length")

    def test_options(self):
        self.image()
        for words in (["-r", "-c", "write 0 1k"], ["-r", "-c", "read 0 1k"], ["-n", "-c", "write 0 4k"], ["-t", "unsafe", "-c", "write 0 4k"],
                      ["-f", "raw", "-c", "length"], ["-U", "-r", "-c", "length"], ["-c", "length", "-c", "quit", "-c", "length"], ["-s", "-c", "write -P 9 0 1M", "-c", "read -P 9 0 1M"],
                      ["-d", "unmap", "-c", "discard 0 64k"]):
            with self.subTest(words):
                self.both("qemu-io", *words, "t")
        self.same_content()
        self.both("qemu-io", "--image-opts", "-c", "length", "driver=qcow2,file.driver=file,file.filename=t", status=0)

    def test_info(self):
        self.image(size="3G")
        self.both("qemu-io", "-c", "info", "t", status=0)
        self.image("raw")
        self.both("qemu-io", "-f", "raw", "-c", "info", "t", status=0)

    def test_what_is_allocated(self):
        self.image()
        self.both("qemu-io", "-c", "write 0 64k", "-c", "write 1M 1", "-c", "write 5M 100k", "-c", "map", "-c", "alloc 0", "-c", "alloc 0 2M", "-c", "alloc 5M 5M", "t", status=0)

    def test_compressed_writes(self):
        self.image()
        self.both("qemu-io", "-c", "write -c -P 4 64k 64k", "-c", "read -P 4 64k 64k", "t", status=0)
        self.assert_sound("t")
        self.same_content()

    def test_random(self):
        rng = random.Random(int(os.environ.get("ATOLL_SEED", "1")))
        for fmt in ("qcow2", "raw"):
            self.image(fmt)
            words = []
            for _ in range(150):
                off, length, byte = rng.randrange(10 << 20), rng.randrange(1, 300000), rng.randrange(1, 255)
                length = min(length, (10 << 20) - off)
                words += ["-c", rng.choice([f"write -P {byte} {off} {length}", f"write -z {off} {length}", f"write -zu {off} {length}", f"read -v {off} 40",
                                            f"aio_write -P {byte} {off} {length}", "aio_flush", "flush"]) if off < (10 << 20) - 40 else "flush"]
                if words[-1].startswith("aio_write"):
                    words += ["-c", "aio_flush"]
            self.both("qemu-io", "-f", fmt, *words, "t", status=0)
            self.same_content(fmt)


if __name__ == "__main__":
    tap.main()
