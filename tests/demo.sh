#!/bin/sh
# SPDX-License-Identifier: MIT
# The demo on a small tree says PASSED; on one that is too small, FAILED.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$(dirname "${TOLSEY:-$PWD/build/tolsey}")}
case $build in /*) ;; *) build=$PWD/$build ;; esac
passed=0 failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

check() {
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$1: $2, not $3"
		cat "$work/out"
	fi
}

mkdir "$work/tree" "$work/few"
echo one > "$work/few/one"
: > "$work/tree/empty"
head -c 3000000 /dev/urandom > "$work/tree/large"
i=0
while [ $i -lt 700 ]; do
	echo $i > "$work/tree/with space $i"
	i=$((i + 1))
done
ln -s empty "$work/tree/link"

demo/run "$build" --root "$work/tree" > "$work/out" 2>&1
check "status on a small tree" $? 0
check "verdict" "$(tail -n 1 "$work/out" | cut -d: -f1)" PASSED
check "kills" "$(grep -c '  killed .* replaced it' "$work/out")" 2
check "equal lists" "$(grep -c 'equals sha256sum, 702 files' "$work/out")" 4
demo/run "$build" --root "$work/few" > "$work/out" 2>&1
check "status with too few files" $? 1
check "verdict then" "$(tail -n 1 "$work/out" | cut -d: -f1)" FAILED
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
