#!/bin/bash
# SPDX-License-Identifier: MIT
# Each loop of examples/loops, with messages of other processes: all of them, in
# the order of each sender, one that comes back when its holder dies, and the end.
set -u
cd "$(dirname "$0")/.." || exit 1
tool=${TOLSEY:-${O:-$PWD/build}/tolsey}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
build=${O:-$(dirname "$tool")}
passed=0 failed=0 skipped=0 why=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-loops.XXXXXX || mktemp -d)
export TOLSEY_SPACE
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT

skip() {
	skipped=$((skipped + 1)) why="$why $1 ($2);"
}

# holds WHAT COMMAND...
holds() {
	local what=$1
	shift
	if "$@" > "$work/said" 2>&1; then passed=$((passed + 1)); else
		failed=$((failed + 1))
		echo "not ok: $what"
		head -n 20 "$work/said"
	fi
}

# until_true COMMAND...: looks until it holds, with a limit far above that
until_true() {
	local end=$((SECONDS + 60))
	until "$@" > /dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
	done
}

# compile NAME SOURCE FLAGS...
compile() {
	local name=$1 source=$2
	shift 2
	${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -Iinclude -o "$work/$name" \
		"examples/loops/$source" "$build/libtolsey.a" -pthread "$@"
}

# Of each sender in its order, none missing, none twice.
is_whole() {
	for sender in a b; do
		grep "^$sender" "$work/lines" | cut -c2- | cmp - "$work/numbers" ||
			return 1
	done
	[ "$(grep -c '^held$' "$work/lines")" -eq 1 ] &&
		[ "$(wc -l < "$work/lines")" -eq 4001 ]
}

seq 1 2000 > "$work/numbers"

# Two senders; one message is held by a process that is killed once the loop waits.
feed() {
	sed s/^/a/ "$work/numbers" | "$tool" send words --lines &
	sed s/^/b/ "$work/numbers" | "$tool" send words --lines
	wait $!
}

# run NAME [through]: it reads the mailbox words, and prints it, or passes it through
run() {
	local name=$1 status=0 holder loop reader
	"$tool" create words --capacity 16
	"$tool" send words held
	"$tool" work words -- sh -c "echo > '$work/taken'; sleep 1000" \
		2> /dev/null > /dev/null &
	holder=$!
	until_true test -e "$work/taken"
	rm "$work/taken"
	shift
	if [ $# -gt 0 ]; then
		"$tool" create printed --capacity 4
		timeout 100 "$work/$name" words printed &
		loop=$!
		timeout 100 "$tool" recv printed --follow --lines > "$work/lines" &
		reader=$!
	else
		timeout 100 "$work/$name" words > "$work/lines" &
		loop=$!
	fi
	feed
	kill -KILL "$holder"
	wait "$holder" 2> /dev/null
	until_true is_back "$#"
	"$tool" close words
	wait $loop || status=$?
	if [ $# -gt 0 ]; then
		"$tool" close printed
		wait $reader
		"$tool" rm printed
	fi
	"$tool" rm words
	if [ $status -eq 77 ]; then
		skip "$name" 'not allowed here'
		return
	fi
	holds "$name ends well" test $status -eq 0
	holds "$name has printed all" is_whole
	holds "$name leaves nothing" test -z "$(ls -A "$TOLSEY_SPACE")"
}

is_back() {
	grep -q '^held$' "$work/lines"
}

for name in poll epoll; do
	holds "$name compiles" compile $name $name.c
done
holds 'epoll, edge-triggered, compiles' compile epoll_edge epoll.c -DEDGE
run poll through
run epoll
run epoll_edge
while read -r name package; do
	if ! pkg-config --exists "$package" 2> /dev/null; then
		skip "$name" "no $package"
		continue
	fi
	# shellcheck disable=SC2046
	holds "$name compiles" compile "$name" "$name.c" \
		$(pkg-config --cflags --libs "$package") || continue
	run "$name"
done << 'END'
libuv libuv
libevent libevent
glib glib-2.0
sd_event libsystemd
io_uring liburing
END
echo "$passed passed, $failed failed$(
	[ $skipped -eq 0 ] || echo ", $skipped skipped:$why")"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
