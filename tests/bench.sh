#!/bin/sh
# SPDX-License-Identifier: MIT
# The bench runs, measures what it says it does, and writes JSON. No time is
# judged.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$PWD/build}
passed=0 failed=0 skipped=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

check() {
	what=$1
	shift
	if "$@"; then passed=$((passed + 1)); else
		failed=$((failed + 1))
		echo "$what: failed"
	fi
}

if [ "$(getconf _NPROCESSORS_ONLN)" -lt 2 ]; then
	echo 'the bench needs two CPUs'
	echo '0 passed, 0 failed, 1 skipped'
	exit 0
fi
${MAKE:-make} -s O="$build" WERROR=1 bench-programs || exit 1
before=$(ls -d /dev/shm/tolsey-bench.* 2> /dev/null)
check 'the quick run' bench/run "$build" transports --quick --json "$work/json" \
	> "$work/table" 2> "$work/err"
check 'nothing on stderr in a pipe' test ! -s "$work/err"
for size in 8 64 1024 65536 1048576; do
	for shape in 'round trip' stream; do
		for mode in polling blocking; do
			check "$shape, $size bytes, $mode" grep -qx \
				"$shape, $size bytes, $mode" "$work/table"
		done
	done
done
for peer in tolsey pipe 'unix stream' 'unix seqpacket' 'posix mq' 'system v'; do
	check "$peer in each" test \
		"$(grep -c "^  $peer  " "$work/table")" = 20
done
check 'the limit of a ring in each polling one' test \
	"$(grep -c '^  limit: bare ring  ' "$work/table")" = 10
check 'the limit of memcpy for each size' test \
	"$(grep -c '^  limit: memcpy  ' "$work/table")" = 5
for key in date cpu kernel compiler commit; do
	check "$key in the JSON" grep -q "^  \"$key\": \"..*\"" "$work/json"
done
check 'the quick run of wait' bench/run "$build" wait --quick \
	--json "$work/wait" --svg "$work/wait.svg" > "$work/waits" 2> "$work/err"
check 'nothing on stderr in a pipe' test ! -s "$work/err"
for way in 'tol_wait' 'tol_wait, asleep' 'tol_descriptor and epoll, asleep' \
	'sockets and poll' 'sockets and epoll'; do
	check "$way in both tables" test "$(grep -cx "  $way" "$work/waits")" = 2
done
check 'the drawing of wait' grep -q '</svg>' "$work/wait.svg"
check 'the quick run of scale' bench/run "$build" scale --quick \
	--json "$work/scale" --svg "$work/scale.svg" > "$work/table2" 2> "$work/err"
check 'nothing on stderr in a pipe' test ! -s "$work/err"
check 'both of scale' grep -q '^N processes on one mailbox$' "$work/table2"
check 'the quick run of pairs' bench/run "$build" pairs --quick \
	--json "$work/pairs" > "$work/table4" 2> "$work/err"
check 'nothing on stderr in a pipe' test ! -s "$work/err"
check 'pairs, four ways' test "$(grep -c ' pairs ' "$work/table4")" = 16
if command -v strace > /dev/null && strace -o /dev/null true 2> /dev/null; then
	check 'system calls are counted' bench/syscalls "$build" > "$work/table5"
	check 'in seven ways' test "$(grep -c '[0-9]$' "$work/table5")" = 7
else
	skipped=$((skipped + 1))
	echo 'bench/syscalls: strace is missing or may not trace'
fi
check 'the quick run of idle' bench/run "$build" idle --quick \
	--json "$work/idle" > "$work/table3" 2> "$work/err"
check 'nothing on stderr in a pipe' test ! -s "$work/err"
check 'each that waits, twice' test "$(grep -c ' seconds ' "$work/table3")" = 20
check 'the quick run of select' bench/run "$build" select --quick \
	--json "$work/select" --svg "$work/svg" > "$work/table" 2> "$work/err"
check 'nothing on stderr of it either' test ! -s "$work/err"
for length in 10 1000; do
	check "tolsey with $length others, each choice" test \
		"$(grep -c "^  tolsey  *$length  *[0-9.]* [num]s" "$work/table")" = 8
	check "system v with $length others, its four" test \
		"$(grep -c "^  system v  *$length  " "$work/table")" = 4
	check "posix mq with $length others" test \
		"$(grep -c "^  posix mq  *$length  " "$work/table")" = 1
done
check 'a curve for each' test \
	"$(grep -c 'class="curve"' "$work/svg")" = 13
check 'both, to the screen' bench/run "$build" --quick > "$work/both"
check 'with both' grep -q '^the highest priority$' "$work/both"
if command -v python3 > /dev/null; then
	check 'the JSON' python3 -m json.tool "$work/json" "$work/again"
	check 'the JSON of scale' python3 -m json.tool "$work/scale" /dev/null
	check 'the JSON of idle' python3 -m json.tool "$work/idle" /dev/null
	check 'the JSON of wait' python3 -m json.tool "$work/wait" /dev/null
	check 'the JSON of select' python3 -m json.tool "$work/select" \
		"$work/again"
	check 'the drawing' python3 -c 'import sys, xml.dom.minidom
xml.dom.minidom.parse(sys.argv[1])' "$work/svg"
else
	skipped=3
	echo 'python3 is missing'
fi
check 'nothing is left' test "$before" = \
	"$(ls -d /dev/shm/tolsey-bench.* 2> /dev/null)"
check 'wrong rounds are refused' sh -c \
	"! '$build/bench/transports' --rounds 0 2> /dev/null"
check 'wrong rounds of select are refused' sh -c \
	"! '$build/bench/select' --rounds 0 2> /dev/null"
check 'JSON of both in one file is refused' sh -c \
	"! bench/run '$build' --quick --json '$work/json' 2> /dev/null"
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
