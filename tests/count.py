#!/usr/bin/env python3
"""Adds up the results of single tests and prints the closing line.

    count.py RESULTS-FOLDER BROKEN

Every test program, cmocka's or a script, ends with lines such as
"[  PASSED  ] 12 test(s)." and "[  FAILED  ] 1 test(s), listed below:". A program that
failed without saying so (a crash, a time-out) counts as one failed test; so
does each of BROKEN, the builds that did not come about.
"""

import json
import pathlib
import re
import sys

PASSED = re.compile(r"^\[  PASSED  \] (\d+) test\(s\)\.", re.M)
FAILED = re.compile(r"^\[  FAILED  \] (\d+) test\(s\)", re.M)
SKIPPED = re.compile(r"^\[  SKIPPED \] (\d+) test\(s\)", re.M)


def count(pattern, text):
    return sum(int(n) for n in pattern.findall(text))


def main():
    folder = pathlib.Path(sys.argv[1])
    passed = skipped = 0
    failed = int(sys.argv[2])
    for log in sorted(folder.glob("*.json")):
        for line in log.read_text().splitlines():
            test = json.loads(line)
            text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
            bad = count(FAILED, text)
            if test["result"] not in ("OK", "SKIP") and bad == 0:
                bad = 1
            if bad:
                print(f"--- {log.stem}: {test['name']}: {test['result']}")
                print("\n".join(text.splitlines()[-40:]))
            passed += count(PASSED, text)
            skipped += count(SKIPPED, text)
            failed += bad
    for out in sorted(folder.glob("fuzz.out")):
        passed += count(PASSED, out.read_text())
        failed += count(FAILED, out.read_text())
    if passed == 0:
        failed += 1
    tail = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{tail}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
