#!/bin/sh
# Installs the library into a scratch folder and links a stranger's program
# with it by pkg-config, shared and static; looks at the symbols it exports.
#   external.sh BUILD-FOLDER
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

meson install -C "$build" --destdir "$work" --no-rebuild --quiet >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
}
pc=$(find "$work" -name libmail.pc)
so=$(find "$work" -name 'libmail.so')
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
printf '%s\n' '#include <mail/mail.h>' '#include <stdio.h>' 'int main(void)' '{' \
    '    puts(mail_strerror(MAIL_ENOSPC));' '    return 0;' '}' >"$work/main.c"

cflags=$(pkg-config --define-variable=prefix="$work/usr/local" --cflags libmail)
libs=$(pkg-config --define-variable=prefix="$work/usr/local" --libs libmail)
cc -o "$work/shared" "$work/main.c" $cflags $libs
[ "$(LD_LIBRARY_PATH=$(dirname "$so") "$work/shared")" = "no room on the disk" ]

libs=$(pkg-config --define-variable=prefix="$work/usr/local" --static --libs libmail | sed 's/-lmail/-l:libmail.a/')
cc -o "$work/static" "$work/main.c" $cflags $libs
[ "$("$work/static")" = "no room on the disk" ]
if ldd "$work/static" | grep -q libmail; then
    echo "the static program still needs libmail.so" >&2
    exit 1
fi

# Programs find the library that was installed with them.
prefix=$(pkg-config --variable=prefix libmail)
for program in "$work$prefix/bin/sendmail" "$work$prefix/sbin/relay"; do
    readelf -d "$program" | grep -q "R.*PATH.*\[$prefix/lib" || {
        echo "$program does not know where its library is" >&2
        exit 1
    }
done

hidden=$(nm -D --defined-only "$so" | awk '{print $3}' | grep -v '^mail_' || true)
if [ -n "$hidden" ]; then
    echo "exported though not public: $hidden" >&2
    exit 1
fi
echo "[  PASSED  ] 4 test(s)."
