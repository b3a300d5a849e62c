#!/bin/sh
# SPDX-License-Identifier: MIT
# Every example compiles, runs and leaves nothing; the pages pass mandoc.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$(dirname "${TOLSEY:-$PWD/build/tolsey}")}
case $build in /*) ;; *) build=$PWD/$build ;; esac
tool=${TOLSEY:-$build/tolsey}
passed=0 failed=0 skipped=0 why=
work=$(mktemp -d) || exit 1
space=$(mktemp -d /dev/shm/tolsey-docs.XXXXXX) || space=$(mktemp -d)
trap 'rm -rf "$work" "$space"' EXIT
TOLSEY_SPACE=$space
export TOLSEY_SPACE

check() {
	what=$1
	shift
	if "$@" > "$work/out" 2>&1 && [ -z "$(ls -A "$space")" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$what: failed, or left something in the space:"
		cat "$work/out"
		ls -A "$space"
		rm -rf "${space:?}"/* "${space:?}"/.[!.]*
	fi
}

compile_and_run() {
	${CC:-cc} -std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -Iinclude \
		-o "$work/prog" "$1" "$build/libtolsey.a" -pthread &&
		timeout 60 "$work/prog"
}

# The lines between ```LANG and ```.
blocks() {
	awk -v begin="\`\`\`$1" '$0 == "```" { on = 0 } on { print }
		$0 == begin { on = 1 }' README.md
}

for source in examples/*.c; do
	check "$source" compile_and_run "$source"
done
blocks c > "$work/readme.c"
check "README.md, C" compile_and_run "$work/readme.c"
if [ -x "$tool" ]; then
	mkdir "$work/bin"
	ln -s "$tool" "$work/bin/tolsey"
	blocks sh > "$work/readme.sh"
	check "README.md, sh" env PATH="$work/bin:$PATH" \
		sh -eu "$work/readme.sh"
else
	skipped=$((skipped + 1)) why="$why no tool;"
fi
# The text between .Bd and .Ed that has a main().
for page in man/*.3; do
	awk '/^\.Ed/ { on = 0 } on { gsub(/\\e/, "\\"); print }
		/^\.Bd/ { on = 1 }' "$page" > "$work/page.c"
	grep -q 'int main(' "$work/page.c" &&
		check "$page, example" compile_and_run "$work/page.c"
done
if command -v mandoc > /dev/null; then
	for page in man/*.[37]; do
		check "$page" mandoc -Tlint -W warning "$page"
	done
else
	skipped=$((skipped + 1)) why="$why no mandoc;"
fi
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped:${why%;}"
else
	echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
