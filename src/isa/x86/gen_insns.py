#!/usr/bin/env python3
"""Make C tables and the coverage page of insns.txt, whose head explains the format.

    gen_insns.py insns.txt --ops HEADER          enum Op
    gen_insns.py insns.txt --tables SOURCE       rows and decoder tables
    gen_insns.py insns.txt --coverage PAGE       opcode maps: what is covered, what is missing
    gen_insns.py insns.txt --check-coverage PAGE fails if the page is not what --coverage would write
"""
import os
import re
import sys
from dataclasses import dataclass, field

from isa_coverage import coverage_page

FLAG_BITS = {"C": 0x1, "P": 0x4, "A": 0x10, "Z": 0x40, "S": 0x80, "T": 0x100, "I": 0x200, "D": 0x400, "O": 0x800,
             "L": 0x3000, "N": 0x4000, "R": 0x10000, "V": 0x20000, "K": 0x40000, "*": 0x3f7fd5}
SIZES = {"": "0", "b": "1", "w": "2", "d": "4", "q": "8", "t": "10", "dq": "16", "qq": "32"}
SIZES.update({letter: "SZ_" + letter.upper() for letter in "vzynxhfopasel"})
PLACES = "EMRGZBSCDIJAOPQNVWUHL"
FIXED = {"AL": ("RC_GPR", 0, "1"), "CL": ("RC_GPR", 1, "1"), "AX": ("RC_GPR", 0, "2"), "DX": ("RC_GPR", 2, "2"),
         "rAX": ("RC_GPR", 0, "SZ_V"), "eAX": ("RC_GPR", 0, "SZ_Z"), "XMM0": ("RC_XMM", 0, "16"),
         "ST0": ("RC_ST", 0, "10")}
FIXED.update({name: ("RC_SEG", number, "2") for number, name in enumerate("ES CS SS DS FS GS".split())})
PREFIXES = {"np": "NP", "nf": "NF", "66": "66", "f2": "F2", "f3": "F3"}
SIZE_RULES = {"d64": "D64", "f64": "F64", "z64": "Z64", "n64": "N64", "byte": "BYTE"}
ATTRS = {"pass": "PASS", "lock": "LOCK", "string": "STRING", "branch": "BRANCH", "system": "SYSTEM", "io": "IO",
         "fpu": "FPU", "mmx": "MMX", "sse": "SSE", "avx": "AVX", "simdfp": "SIMD_FP", "aligned": "ALIGNED",
         "noreal": "NO_REAL", "nowait": "NO_WAIT", "suffix": "SUFFIX", "side": "MEM_SIDE"}
RESTRICTIONS = {"nob": "NOB", "w0": "W0", "w1": "W1", "modany": "MODANY", "vsibx": "VSIB_X", "vsiby": "VSIB_Y"}


@dataclass
class Operand:
    text: str
    place: str
    size: str
    access: str
    cls: str = "0"
    reg: int = 0


@dataclass
class Row:
    line: int
    op: str
    text: str
    encoding: str
    operand_text: str
    feature: str
    prefix: str = "ANY"
    vex: bool = False
    map: int = 0
    opcode: int = 0
    span: int = 1
    modrm_mask: int = 0
    modrm_value: int = 0
    flags: set = field(default_factory=set)
    modes: int = 7
    size: str = "NORMAL"
    cpl: int = 3
    operands: list = field(default_factory=list)
    attrs: set = field(default_factory=set)
    flags_read: int = 0
    flags_written: int = 0
    flags_undefined: int = 0


def parse_operand(text):
    name, _, access = text.partition(":")
    access = access or "r"
    bits = {"r": "1", "w": "2", "rw": "3", "-": "0"}[access]
    if name in FIXED:
        cls, reg, size = FIXED[name]
        return Operand(name, "PL_FIXED", size, bits, cls, reg)
    if name == "1":
        return Operand(name, "PL_ONE", "1", bits)
    if name == "STi":
        return Operand(name, "PL_ST", "10", bits)
    if name == "Ibs":
        return Operand(name, "PL_IS", "SZ_V", bits)
    if name == "I2b":
        return Operand(name, "PL_I2", "1", bits)
    place, size = name[0], name[1:]
    if place not in PLACES:
        raise ValueError(f"unknown operand {text}")
    return Operand(name, "PL_" + place, size if size.isdigit() else SIZES[size], bits)


def parse_vex(row, word):
    row.vex, row.prefix = True, "NP"
    row.flags.add("VEX")
    for part in word.split(".")[1:]:
        if part in ("128", "l0"):
            row.flags.add("L0")
        elif part in ("256", "l1"):
            row.flags.add("L1")
        elif part in ("w0", "w1"):
            row.flags.add(part.upper())
        elif part in ("66", "f2", "f3"):
            row.prefix = part.upper()
        elif part in ("0f", "0f38", "0f3a"):
            row.map = {"0f": 1, "0f38": 2, "0f3a": 3}[part]
        elif part != "lig":
            raise ValueError(f"unknown VEX field {part}")


def parse_opcode(row, words):
    """Takes map and opcode bytes off the front of words."""
    if not row.vex and words[0] == "0f":
        words.pop(0)
        row.map = 1
        if words[0] in ("38", "3a"):
            row.map = 2 if words.pop(0) == "38" else 3
    match = re.fullmatch(r"([0-9a-f]{2})(\+r|\+cc)?", words.pop(0))
    row.opcode = int(match[1], 16)
    row.span = {None: 1, "+r": 8, "+cc": 16}[match[2]]
    if match[2] == "+cc":
        row.flags.add("CC")


def parse_modrm(row, word):
    row.flags.add("MODRM")
    if word == "/r":
        return
    if word[0] == "/":
        row.modrm_mask, row.modrm_value = 0x38, int(word[1]) << 3
    else:
        row.modrm_mask, row.modrm_value = 0xff, int(word, 16)


def parse_encoding(row):
    words = row.encoding.split()
    if words[0].startswith("vex."):
        parse_vex(row, words.pop(0))
    elif words[0] in PREFIXES and len(words) > 1 and not words[1].startswith("/"):
        row.prefix = PREFIXES[words.pop(0)]
    parse_opcode(row, words)
    for word in words:
        if re.fullmatch(r"/[r0-7]|[0-9a-f]{2}", word):
            parse_modrm(row, word)
        elif word == "reg":
            row.modrm_mask, row.modrm_value = row.modrm_mask | 0xc0, row.modrm_value | 0xc0
        elif word == "vsib":
            row.flags |= {"VSIB_X", "VSIB_Y"}
        else:
            row.flags.add(RESTRICTIONS[word])


def constrain_by_operands(row):
    """Operands that are always memory or always a register say so about ModRM.mod."""
    places = {o.place for o in row.operands}
    if "PL_M" in places:
        row.flags.add("MEM")
    if places & {"PL_R", "PL_U", "PL_N", "PL_ST"} and "MODANY" not in row.flags:
        row.modrm_mask |= 0xc0
        row.modrm_value |= 0xc0
    if places & {"PL_H", "PL_B"}:
        row.flags.add("VVVV")
    if row.vex:
        row.attrs.add("noreal")
    sized = [o for o in row.operands if o.text not in ("Ib", "CL", "DX", "1")]
    if row.size == "NORMAL" and sized and all(o.text in ("Eb", "Gb", "AL", "Zb", "Ob", "Mb") for o in sized):
        row.size = "BYTE"


def parse_rules(row, words):
    for word in words:
        if word == "i64":
            row.modes = 3
        elif word == "o64":
            row.modes = 4
        elif word.startswith("cpl"):
            row.cpl = int(word[3:])
        else:
            row.size = SIZE_RULES[word]


def parse_flags(row, words):
    for word in words:
        kind, _, letters = word.partition(":")
        mask = 0
        for letter in letters:
            mask |= FLAG_BITS[letter]
        if kind == "r":
            row.flags_read |= mask
        elif kind == "w":
            row.flags_written |= mask
        else:
            row.flags_written |= mask
            row.flags_undefined |= mask


def parse_row(line_number, cells):
    name, encoding, operands, rules, feature, flags, attrs = cells
    op, _, text = name.partition(":")
    row = Row(line_number, op, text or op.lower(), encoding, operands, feature or "ALWAYS")
    row.operands = [parse_operand(o) for o in operands.split()]
    if len(row.operands) > 4:
        raise ValueError("more than 4 operands")
    row.attrs = set(attrs.split())
    parse_encoding(row)
    parse_rules(row, rules.split())
    parse_flags(row, flags.split())
    constrain_by_operands(row)
    unknown = row.attrs - ATTRS.keys()
    if unknown:
        raise ValueError(f"unknown attributes {unknown}")
    return row


def read_table(path):
    """(rows, missing): missing has (names, Row with only the encoding)."""
    rows, missing = [], []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line.strip() or line.startswith("#"):
                continue
            cells = [cell.strip() for cell in line.split("|")]
            try:
                if cells[0].startswith("missing "):
                    row = Row(number, "", "", cells[1], "", "")
                    parse_encoding(row)
                    missing.append((cells[0][8:], row))
                else:
                    rows.append(parse_row(number, cells + [""] * (7 - len(cells))))
            except (KeyError, ValueError, IndexError, TypeError) as error:
                sys.exit(f"{path}:{number}: {error!r}: {line}")
    check(path, rows)
    return rows, missing


def check(path, rows):
    """All rows of an opcode agree on whether a ModRM byte follows: the decoder asks before it chooses."""
    seen = {}
    for row in rows:
        for opcode in range(row.opcode, row.opcode + row.span):
            other = seen.setdefault((row.vex, row.map, opcode), row)
            if ("MODRM" in row.flags) != ("MODRM" in other.flags):
                sys.exit(f"{path}:{row.line}: ModRM or not? Line {other.line} says otherwise")


def op_names(rows):
    names = {}
    for row in rows:
        names.setdefault(row.op, row.text.split("/")[0] if "cc" not in row.text else row.text)
    return names


def ops_header(rows):
    ops = sorted({row.op for row in rows})
    out = ["#pragma once", "/* Generated from insns.txt by gen_insns.py. */", "typedef enum Op {", "    OP_INVALID,"]
    out += [f"    OP_{op}," for op in ops]
    return out + ["    OP_COUNT,", "} Op;", f"enum {{ INSN_ROW_COUNT = {len(rows)} }};"]


def either(names, prefix):
    return " | ".join(prefix + name for name in sorted(names)) or "0"


def insn_row(row):
    attrs = either({ATTRS[a] for a in row.attrs}, "ROW_")
    return (f'    {{ "{row.text}", OP_{row.op}, FEAT_{row.feature}, {row.cpl}, {attrs}, {row.flags_read:#x}, '
            f'{row.flags_written:#x}, {row.flags_undefined:#x}, {len(row.operands)}, "{row.encoding}", "{row.operand_text}" }},')


def decode_row(row):
    operands = ", ".join(f"{{ {o.place}, {o.access}, {o.cls}, {o.reg}, {o.size} }}" for o in row.operands)
    return (f"    {{ ROWPFX_{row.prefix}, {row.map}, {row.opcode:#04x}, {row.modrm_mask:#04x}, {row.modrm_value:#04x}, "
            f"{row.modes}, ROWSIZE_{row.size}, {len(row.operands)}, {either(row.flags, 'DR_')}, {row.span}, {{ {operands} }} }},")


def opcode_lists(rows, vex, name):
    """decode_first and decode_list, of the legacy or the VEX maps."""
    buckets = [[] for _ in range(4 * 256)]
    for number, row in enumerate(rows):
        if row.vex == vex:
            for opcode in range(row.opcode, row.opcode + row.span):
                buckets[row.map * 256 + opcode].append(number)
    first, flat = [], []
    for bucket in buckets:
        first.append(len(flat))
        flat += bucket
    first.append(len(flat))
    return [f"const uint16_t decode_{name}first[DECODE_MAPS * 256 + 1] = {{"] + wrap(first) + ["};", "",
            f"const uint16_t decode_{name}list[] = {{"] + wrap(flat or [0]) + ["};", ""]


def wrap(numbers):
    return ["    " + " ".join(f"{n}," for n in numbers[i:i + 20]) for i in range(0, len(numbers), 20)]


def missing_row(names, row):
    return (f'    {{ "{names}", {str(row.vex).lower()}, {row.map}, {row.opcode:#04x}, {row.modrm_mask:#04x}, '
            f'{row.modrm_value:#04x} }},')


def tables_source(rows, missing):
    names = op_names(rows)
    out = ["/* Generated from insns.txt by gen_insns.py. */", '#include "isa/x86/cpu_features.h"',
           '#include "isa/x86/decode.h"', '#include "isa/x86/insn.h"', "", "const InsnRow insn_rows[] = {"]
    out += [insn_row(row) for row in rows]
    out += ["};", f"const unsigned insn_row_count = {len(rows)};", "", "const DecodeRow decode_rows[] = {"]
    out += [decode_row(row) for row in rows]
    out += ["};", "", "const char *const op_names[] = {", '    [OP_INVALID] = "(invalid)",']
    out += [f'    [OP_{op}] = "{names[op]}",' for op in sorted(names)]
    out += ["};", ""]
    out += ["const MissingRow missing_rows[] = {"] + [missing_row(*m) for m in missing] + ["};"]
    out += [f"const unsigned missing_row_count = {len(missing)};", ""]
    return out + opcode_lists(rows, False, "") + opcode_lists(rows, True, "vex_")


def write(path, lines):
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def write_if_different(path, lines):
    """Leaves the time stamp of what is the same: everything that includes it would be compiled again."""
    text = "\n".join(lines) + "\n"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
        write(path, lines)


def main():
    table, what, path = sys.argv[1:]
    rows, missing = read_table(table)
    if what == "--ops":
        write_if_different(path, ops_header(rows))
    elif what == "--tables":
        write(path, tables_source(rows, missing))
    elif what == "--coverage":
        write(path, coverage_page(rows, missing))
    elif what == "--check-coverage":
        with open(path, encoding="utf-8") as page:
            if page.read().splitlines() != coverage_page(rows, missing):
                sys.exit(f"{path} is not current; run: {sys.argv[0]} {table} --coverage {path}")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
