#!/bin/sh
# Compiles every public header alone, as C and as C++.
#   headers.sh BUILD-FOLDER
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for header in "$root"/include/mail/*.h; do
    name=$(basename "$header")
    printf '#include <mail/%s>\n#include <mail/%s>\nint main(void);\nint main(void)\n{\n    return 0;\n}\n' \
        "$name" "$name" >"$work/one.c"
    cp "$work/one.c" "$work/one.cc"
    for how in "cc -std=c11 -Wall -Wextra -Wpedantic -Werror $work/one.c" \
        "c++ -std=c++11 -Wall -Wextra -Werror $work/one.cc"; do
        if $how -fsyntax-only -I"$root/include" -I"$1/include"; then
            passed=$((passed + 1))
        else
            echo "$name: $how" >&2
            failed=$((failed + 1))
        fi
    done
done
echo "[  PASSED  ] $passed test(s)."
[ $failed = 0 ] || echo "[  FAILED  ] $failed test(s), listed below:"
exit $failed
