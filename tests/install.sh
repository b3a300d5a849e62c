#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into an empty directory, uses what is there as a stranger would, and
# removes it again.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$PWD/build}
passed=0 failed=0 skipped=0
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-install.XXXXXX) || exit 1
export TOLSEY_SPACE
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT
prefix=$work/into/opt/tolsey

check() {
	what=$1
	shift
	if "$@" > "$work/out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$what:"
		cat "$work/out"
	fi
}

to_install() {
	${MAKE:-make} --no-print-directory O="$build" "$@" \
		DESTDIR="$work/into" PREFIX=/opt/tolsey
}

check 'make install' to_install install
for file in lib/libtolsey.so lib/libtolsey.so.0 lib/libtolsey.a \
	lib/pkgconfig/tolsey.pc include/tolsey.h bin/tolsey \
	share/man/man1/tolsey.1 share/man/man3/tol_link.3 \
	share/man/man3/tol_mailbox.3 share/man/man3/tol_segment.3 \
	share/man/man3/tol_space.3 share/man/man7/tolsey.7 \
	share/bash-completion/completions/tolsey \
	share/zsh/site-functions/_tolsey \
	share/fish/vendor_completions.d/tolsey.fish; do
	check "$file is installed" test -s "$prefix/$file"
done
for name in $(sed -n 's/^TOL_API .*[ *]\(tol_[a-z_]*\)(.*/\1/p' \
	include/tolsey.h); do
	check "a page is found for $name" test -e "$prefix/share/man/man3/$name.3"
done
check 'the installed command' "$prefix/bin/tolsey" --version

# The example of the README, in a program of its own.
awk '$0 == "```" { on = 0 } on { print } $0 == "```c" { on = 1 }' README.md \
	> "$work/prog.c"
if command -v pkg-config > /dev/null; then
	PKG_CONFIG_LIBDIR=$prefix/lib/pkgconfig
	PKG_CONFIG_SYSROOT_DIR=$work/into
	export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
	# shellcheck disable=SC2046
	check 'compiles by pkg-config' ${CC:-cc} -o "$work/prog" "$work/prog.c" \
		$(pkg-config --cflags --libs tolsey)
	check 'runs with the shared library' \
		env LD_LIBRARY_PATH="$prefix/lib" "$work/prog"
	# shellcheck disable=SC2046
	check 'links statically' ${CC:-cc} -static -o "$work/static" \
		"$work/prog.c" $(pkg-config --cflags --libs --static tolsey)
	check 'runs statically linked' "$work/static"
	check 'version of pkg-config' test "tolsey $(pkg-config --modversion \
		tolsey)" = "$("$prefix/bin/tolsey" --version | cut -d' ' -f1,2)"
else
	skipped=$((skipped + 5))
fi
check 'make uninstall' to_install uninstall
left=$(find "$work/into" ! -type d)
check "uninstall leaves nothing: $left" test -z "$left"
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped: no pkg-config"
else
	echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
