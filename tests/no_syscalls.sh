#!/bin/sh
# SPDX-License-Identifier: MIT
# A send or a receive that need not wait makes no system call: strace sees
# nothing between two marks. A batch for one that sleeps makes one, the wake-up.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$PWD/build}
passed=0 failed=0 skipped=0
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-quiet.XXXXXX) || exit 1
export TOLSEY_SPACE
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT

if ! strace -o /dev/null true 2>/dev/null; then
	echo 'tests/no_syscalls.sh: strace is missing or may not trace'
	echo '0 passed, 0 failed, 1 skipped'
	exit 0
fi
${CC:-cc} -std=c11 -D_DEFAULT_SOURCE -O2 -Wall -Wextra -Werror -Iinclude \
	-o "$work/quiet" tests/programs/quiet.c "$build/libtolsey.a" -pthread ||
	exit 1

# The marks are getppid(). What lies between the first and the second, and
# between the third and the fourth, must be nothing.
sizes='0 8 32 33 64 1024 16000 65536'
room_kib=$(df -Pk "$TOLSEY_SPACE" | awk 'NR == 2 { print $4 }')
if [ "$room_kib" -gt 400000 ]; then
	sizes="$sizes 1048576"
else
	skipped=1
	echo '1 MiB: the space has less than 400 MB'
fi
for size in $sizes; do
	if ! strace -o "$work/trace" "$work/quiet" "$size" 200 2> "$work/err"; then
		failed=$((failed + 1))
		cat "$work/err"
		continue
	fi
	between=$(awk '/^getppid\(/ { marks++; next }
		marks == 1 || marks == 3 { print }
		END { if (marks != 4) print "marks: " marks + 0 }' \
		"$work/trace")
	if [ -z "$between" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$size bytes: system calls where none is needed:"
		printf '%s\n' "$between" | head -n 5
	fi
done
if strace -o "$work/trace" "$work/quiet" batch 2> "$work/err"; then
	between=$(awk '/^getppid\(/ { marks++; next }
		!/^---/ && (marks == 1 || marks == 3) { sub(/\(.*/, ""); print marks, $0 }
		END { print "marks", marks + 0 }' "$work/trace" | tr '\n' ' ')
else
	between=$(cat "$work/err")
fi
if [ "$between" = '1 futex 3 futex marks 4 ' ]; then
	passed=$((passed + 1))
else
	failed=$((failed + 1))
	echo "a batch wakes a sleeper: not by one futex() each: $between"
fi
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
