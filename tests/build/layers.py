#!/usr/bin/env python3
"""Checks every #include line against the layer table in lib/README.md.

A file of a layer may include its own layer's headers, those of the layers named
in its row and, in turn, theirs. Tools and examples see public headers only.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|[^|]*\| ([^|]*) \|$", re.M)
FOREIGN = {"ldns/": "ldns", "gnutls/": "gnutls", "uv.h": "uv", "idn2.h": "idn2", "crypt.h": "crypt"}


def read_table(text):
    """layer -> (layers below, foreign libraries it may name)"""
    table = {}
    for layer, below, foreign in ROW.findall(text):
        table[layer] = (re.findall(r"`(\w+)`", below), re.findall(r"`(\w+)`", foreign))
    return table


def closure(table, layer):
    seen, todo = set(), [layer]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += table[name][0]
    return seen


def owner_of_public(text):
    """public header -> layer, from the second table of lib/README.md"""
    return {h: layer for layer, heads in re.findall(r"^\* `(\w+)`: (.+)$", text, re.M)
            for h in re.findall(r"`<mail/([\w.]+)>`", heads)}


def check_file(path, layer, table, owners, faults):
    allowed = closure(table, layer)
    for kind, name in INCLUDE.findall(path.read_text()):
        where = path.relative_to(ROOT)
        if name.startswith("mail/"):
            header = name[5:]
            if header in ("version.h",):
                continue
            if header not in owners:
                faults.append(f"{where}: <{name}> has no layer in lib/README.md")
            elif owners[header] not in allowed:
                faults.append(f"{where}: {layer} must not see <{name}> of {owners[header]}")
        elif kind == '"':
            other = name.split("/")[0]
            if "/" in name and other not in allowed:
                faults.append(f"{where}: {layer} must not see \"{name}\"")
        else:
            for prefix, library in FOREIGN.items():
                if name.startswith(prefix) and library not in table[layer][1]:
                    faults.append(f"{where}: {layer} must not see <{name}>")


def main():
    text = (ROOT / "lib/README.md").read_text()
    table, owners, faults = read_table(text), owner_of_public(text), []
    layers = sorted(p.name for p in (ROOT / "lib").iterdir() if p.is_dir())
    for layer in layers:
        if layer not in table:
            faults.append(f"lib/{layer} has no row in lib/README.md")
            continue
        for path in sorted((ROOT / "lib" / layer).glob("*.[ch]")):
            check_file(path, layer, table, owners, faults)
    for path in sorted((ROOT / "include/mail").glob("*.h")):
        if path.name in owners:
            check_file(path, owners[path.name], table, owners, faults)
            for _, name in INCLUDE.findall(path.read_text()):
                if any(name.startswith(f) for f in FOREIGN) and path.name != "loop_uv.h":
                    faults.append(f"{path.name} shows <{name}>")
        elif path.name != "mail.h":
            faults.append(f"<mail/{path.name}> has no layer in lib/README.md")
    for folder in ("tools", "examples"):
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            for kind, name in INCLUDE.findall(path.read_text()):
                if kind == '"' and re.match(r"(%s)/" % "|".join(layers), name):
                    faults.append(f"{path.relative_to(ROOT)}: tools and examples see public headers only: {name}")
    for fault in faults:
        print(fault, file=sys.stderr)
    print("[  FAILED  ] 1 test(s), listed below:" if faults else "[  PASSED  ] 1 test(s).")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
