#!/usr/bin/env python3
"""seeds.py DIR KIND MADE: seeds for the manager's fuzz targets in DIR/KIND, and then the file MADE.  Documents are those of the tests' sources."""
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, "../../../src/schema")
SOURCES = ("documents_test.c", "domain_test.c", "record_test.c")
REMOTE, CALL = 0x20008086, 0


def c_strings(text):
    """The C string literals of a source, those side by side as one."""
    for run in re.findall(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+', text):
        yield "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', run)).encode().decode("unicode_escape")


def documents(kind):
    found = []
    for name in SOURCES:
        path = os.path.join(TESTS, name)
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found += [text.encode() for text in c_strings(file.read()) if re.match(rf"<{kind}[ >]", text)]
    return found


def string(text):
    return struct.pack(">I", len(text)) + text.encode().ljust((len(text) + 3) // 4 * 4, b"\0")


def message(procedure, body, serial):
    return struct.pack(">IIIiIII", 28 + len(body), REMOTE, 1, procedure, CALL, serial, 0) + body


def sessions():
    """Steps of fuzz_rpc.c: 0 and a length, then bytes as they are; 6 and more: a call by the table's row."""
    test = string("test") + bytes.fromhex("6695eb01f6a4830479aa97f2502e193f") + struct.pack(">i", 1)
    raw = [(60, struct.pack(">i", 10)), (273, struct.pack(">iI", 1, 3)), (23, string("test")), (14, test + struct.pack(">I", 0)), (34, test), (28, test), (12, test), (9, test),
           (344, struct.pack(">III", 0, 0, 0)), (283, struct.pack(">iI", 1, 0)), (316, struct.pack(">iI", 0, 0))]
    yield b"".join(b"\0" + struct.pack("<H", len(m)) + m for m in (message(p, b, n) for n, (p, b) in enumerate(raw)))
    yield b"\0" + struct.pack("<H", 10) + message(273, b"", 0)[:10] + b"\4\5"
    for row in range(0, 440, 8):
        yield b"".join(b"\6" + struct.pack("<H", row + n) + bytes((n * 7 + k) % 256 for k in range(24)) for n in range(8))


def monitors():
    yield bytes([1]) + bytes([0, 6, 0, 8, 0, 10] * 20)
    yield bytes([1]) + bytes(value for n in range(64) for value in (n % 8, n))
    yield bytes([0, 20]) + b'{"event":"STOP","data":7}' + bytes(40)
    for op in range(8):
        yield bytes([1]) + bytes(value for n in range(40) for value in (op, n, 3, 65, 66, 67))


def main(folder, kind, made):
    seeds = {"rpc": sessions, "monitor": monitors}.get(kind, lambda: documents(kind))
    folder = os.path.join(folder, kind)
    os.makedirs(folder, exist_ok=True)
    count = 0
    for count, data in enumerate(seeds(), 1):
        with open(os.path.join(folder, f"{count:03}"), "wb") as out:
            out.write(data)
    if not count:
        raise SystemExit(f"seeds.py: no seed of kind {kind}")
    with open(made, "w", encoding="utf-8"):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
