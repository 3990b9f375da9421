#!/usr/bin/env python3
"""Make cpu_features.h and cpu_features.c of features.txt.

    gen_features.py features.txt --header|--source OUTPUT
"""
import os
import re
import sys

REGISTERS = {"eax": 0, "ebx": 1, "ecx": 2, "edx": 3, "msr": 4}


def identifier(name):
    return "FEAT_" + re.sub(r"[.-]", "_", name).upper()


def read_features(path):
    """[(name, alias or None, leaf, subleaf, reg, bit, doc)] in the file's order; dies on a name or a bit given twice."""
    rows, seen = [], {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            name, alias, leaf, subleaf, reg, bit, doc = line.split(None, 6)
            row = (name, None if alias == "-" else alias, int(leaf, 0), int(subleaf), REGISTERS[reg], int(bit), doc)
            for key in (name, alias, row[2:6]):
                if key != "-" and seen.setdefault(key, number) != number:
                    sys.exit(f"{path}:{number}: {key} is in line {seen[key]} too")
            rows.append(row)
    return rows


def header(rows):
    out = ["#pragma once", "/* Generated from features.txt by gen_features.py. */", "typedef enum CpuFeature {",
           "    FEAT_ALWAYS, /* not a feature: what every processor has */"]
    out += [f"    {identifier(row[0])}, /* {row[6]} */" for row in rows]
    out += ["    FEAT_COUNT,"]
    out += [f"    {identifier(alias)} = {identifier(name)}," for name, alias, *_ in rows
            if alias and identifier(alias) != identifier(name)]
    return out + ["} CpuFeature;"]


def source(rows):
    out = ["/* Generated from features.txt by gen_features.py. */", '#include "isa/x86/cpu_model.h"', "",
           "const CpuFeatureInfo cpu_feature_table[FEAT_COUNT] = {",
           '    [FEAT_ALWAYS] = { "", NULL, .doc = "not a feature: what every processor has" },']
    for name, alias, leaf, subleaf, reg, bit, doc in rows:
        alias = f'"{alias}"' if alias else "NULL"
        out.append(f'    [{identifier(name)}] = {{ "{name}", {alias}, {leaf:#x}, {subleaf}, {reg}, {bit}, "{doc}" }},')
    return out + ["};"]


def write(path, lines):
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def write_if_different(path, lines):
    """Leaves the time stamp of what is the same: everything that includes it would be compiled again."""
    text = "\n".join(lines) + "\n"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
        write(path, lines)


if __name__ == "__main__":
    table, what, output = sys.argv[1:]
    features = read_features(table)
    if what == "--header":
        write_if_different(output, header(features))
    else:
        write(output, source(features))
