"""The coverage page: which opcodes insns.txt has, and what is known and missing.  Used by gen_insns.py."""
from collections import Counter

PREFIXES = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3}
MAPS = [(False, 0, "One byte"), (False, 1, "0F"), (False, 2, "0F 38"), (False, 3, "0F 3A"),
        (True, 1, "VEX 0F"), (True, 2, "VEX 0F 38"), (True, 3, "VEX 0F 3A")]
HEAD = """# Coverage of the x86 instruction set

Made by `src/isa/x86/gen_insns.py src/isa/x86/insns.txt --coverage docs/coverage-isa.md`; a test fails when it is not current.

Decoded is every row of `src/isa/x86/insns.txt`. Whether an instruction is also executed is for the accelerators to say.
In the maps `#` is covered, `+` covered in part (a known instruction of that opcode is missing), `-` known and missing,
`p` a prefix or an escape, `.` not assigned.
"""


def opcodes(row):
    return range(row.opcode, row.opcode + row.span)


def is_escape(vex, number, opcode):
    if vex:
        return False
    return (number == 0 and (opcode in PREFIXES or opcode == 0x0f)) or (number == 1 and opcode in (0x38, 0x3a))


def grid(covered, missing, vex, number):
    lines = ["```", "     " + " ".join(f"{low:x}" for low in range(16))]
    for high in range(16):
        cells = []
        for opcode in range(high * 16, high * 16 + 16):
            if is_escape(vex, number, opcode):
                cells.append("p")
            elif opcode in covered:
                cells.append("+" if opcode in missing else "#")
            else:
                cells.append("-" if opcode in missing else ".")
        lines.append(f"{high * 16:02x}   " + " ".join(cells))
    return lines + ["```", ""]


def names_by_opcode(pairs):
    """{opcode: names in order, without repetition}"""
    found = {}
    for name, row in pairs:
        for opcode in opcodes(row):
            names = found.setdefault(opcode, [])
            if name not in names:
                names.append(name)
    return found


def in_map(row, vex, number):
    return row.vex == vex and row.map == number


def map_section(rows, missing, vex, number, title):
    covered = names_by_opcode((r.text, r) for r in rows if in_map(r, vex, number))
    lacking = names_by_opcode((n, r) for n, r in missing if in_map(r, vex, number))
    out = [f"## {title}", ""] + grid(covered, lacking, vex, number)
    if lacking:
        out += ["Missing: " + "; ".join(f"{op:02x} {', '.join(names)}" for op, names in sorted(lacking.items())) + ".", ""]
    out += ["| opcode | instructions |", "|---|---|"]
    out += [f"| {op:02x} | {', '.join(names)} |" for op, names in sorted(covered.items())]
    return out + [""]


def totals(rows, missing):
    features = Counter(row.feature for row in rows)
    out = [f"{len(rows)} rows, {len({row.op for row in rows})} operations, {len(missing)} known encodings missing.", "",
           "| CPUID feature | rows |", "|---|---|"]
    out += [f"| {'every processor' if name == 'ALWAYS' else name} | {count} |" for name, count in sorted(features.items())]
    return out + [""]


def coverage_page(rows, missing):
    out = HEAD.splitlines() + [""] + totals(rows, missing)
    for vex, number, title in MAPS:
        out += map_section(rows, missing, vex, number, title)
    return out[:-1]
