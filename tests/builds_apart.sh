#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds that differ, on one mailbox: with 32 bits, with musl and static; and one
# whose layout is another, which must say so. As root what they need is installed.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$PWD/build}
passed=0 failed=0 skipped=0 why=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-apart.XXXXXX) || exit 1
export TOLSEY_SPACE
pids=
trap 'kill -9 $pids 2>/dev/null; rm -rf "$work" "$TOLSEY_SPACE"' EXIT
plain=${TOLSEY:-$build/tolsey}
head -c 2000000 /dev/urandom > "$work/large"

ok() { passed=$((passed + 1)); }
bad() {
	failed=$((failed + 1))
	echo "not ok: $1"
	[ -s "$work/err" ] && sed 's/^/    /' "$work/err"
}
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', wanted '$3'"; fi; }
skip() { skipped=$((skipped + 1)) why="${why:+$why, }$1"; }

# build NAME VARIABLE=VALUE...: its command in $work/NAME
build() {
	local name=$1
	shift
	if env -u MAKEFLAGS -u MAKELEVEL -u SAN make -s -j2 O="$work/b-$name" \
		CFLAGS=-O1 WERROR=1 "$@" "$work/b-$name/tolsey" > "$work/err" 2>&1; then
		cp "$work/b-$name/tolsey" "$work/$name"
		: > "$work/err"
	else
		bad "$name does not build"
		return 1
	fi
}

run() { timeout 60 "$@" 2> "$work/err"; }

# ends WHAT ONE OTHER: a mailbox between two builds, made by the first
ends() {
	local what=$1 one=$2 other=$3 i option
	for option in '--capacity 2' --unbounded '--capacity 10 --memory-limit 4M'; do
		# shellcheck disable=SC2086
		run "$one" create box $option --reserve 400M
		run "$one" send box hello --tag 7 --ttl 1h
		is "$what $option" "$(run "$other" recv box --tag 7)" hello
		run "$other" send box < "$work/large"
		run "$one" recv box | cmp -s - "$work/large"
		is "$what $option, large" "$?" 0
		run "$other" send box back
		is "$what $option, back" "$(run "$one" recv box)" back
		# More than fits, both ways at once: each sleeps for the other.
		seq 1 3000 | run "$one" send box --lines &
		pids=$!
		run "$other" recv box -n 3000 --lines -t 30s > "$work/got"
		wait $!
		is "$what $option, in turn" \
			"$(seq 1 3000 | cmp - "$work/got" && echo same)" same
		run "$other" recv box -t 10ms > /dev/null
		is "$what $option, a limit" "$?" 3
		is "$what $option, sound" "$(run "$other" doctor box > /dev/null; echo $?)" 0
		run "$one" rm box
	done
	# Neither waits in the kernel for the other's end: what it held comes back.
	run "$one" create box --reserve 400M
	run "$one" send box held
	mkfifo "$work/fifo"
	"$other" work box -- sh -c 'echo $PPID; sleep 1000' > "$work/fifo" &
	pids=$!
	read -r worker < "$work/fifo"
	is "$what, held" "$(run "$one" stat box --json | grep -c '"held_msgs":1')" 1
	kill -9 "$worker"
	wait "$!" 2> /dev/null
	is "$what, killed" "$(run "$one" recv box -t 30s)" held
	rm "$work/fifo"
	# With capacity 0 they meet.
	run "$one" rm box
	run "$one" create box --capacity 0 --reserve 400M
	run "$other" recv box -t 30s > "$work/got" &
	run "$one" send box met -t 30s
	wait $!
	is "$what, meet" "$(cat "$work/got")" met
	run "$other" rm box
}

# talks NAME COMPILER...: everything once, in that build
talks() {
	local name=$1
	shift
	"$@" -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -Iinclude \
		-o "$work/talk-$name" tests/programs/talk.c \
		"$work/b-$name/libtolsey.a" -pthread || exit 1
	run "$work/talk-$name" > "$work/out"
	is "$name: what goes wrong" "$(grep -v ' ok$' "$work/out")" ''
	is "$name: what works" "$(grep -c ' ok$' "$work/out")" \
		"$(grep -oE '\{ "[a-z]+", [a-z]+ \}' tests/programs/talk.c | wc -l)"
	rm -rf "$TOLSEY_SPACE"/* "$TOLSEY_SPACE"/.[!.]*
}

# ---- 32 bits --------------------------------------------------------------------

has_32=false has_musl=false
if [ "$(uname -m)" = x86_64 ]; then
	scripts/need gcc-multilib:asm/unistd.h 2> /dev/null
	scripts/need musl-tools:musl-gcc 2> /dev/null
fi
echo 'int main(void) { return 0; }' > "$work/empty.c"
if gcc -m32 -o "$work/empty" "$work/empty.c" 2> /dev/null && "$work/empty"; then
	build bits32 CC='gcc -m32' && has_32=true
else
	skip '32 bits: no gcc-multilib, or the kernel runs none'
fi
if $has_32; then
	talks bits32 gcc -m32
	ends '64 and 32 bits' "$plain" "$work/bits32"
	ends '32 and 64 bits' "$work/bits32" "$plain"
	run "$plain" create big
	run "$work/bits32" send big x
	is 'too large for 32 bits' "$?" 1
	grep -q 'tolsey create big --reserve 256M' "$work/err" ||
		bad 'it does not say what to do'
	run "$work/bits32" create small
	run "$work/bits32" create small-unbounded --unbounded
	is 'what 32 bits make by default' "$(run "$work/bits32" send small x &&
		run "$work/bits32" send small-unbounded x && run "$plain" recv small)" x
	run "$plain" create tiny --reserve 1M
	is 'a reserve that is too small' "$?" 1
	run "$plain" rm big small small-unbounded
fi

# ---- musl -----------------------------------------------------------------------

if command -v musl-gcc > /dev/null; then
	build musl CC=musl-gcc LDFLAGS=-static && has_musl=true
else
	skip 'musl: no musl-gcc'
fi
if $has_musl; then
	is 'libraries that it needs' "$(readelf -d "$work/musl" | grep -c NEEDED)" 0
	talks musl musl-gcc -static
	ends 'glibc and musl' "$plain" "$work/musl"
	ends 'musl and glibc' "$work/musl" "$plain"
fi
if $has_32 && $has_musl; then
	run "$plain" create all --reserve 256M
	for i in "$plain" "$work/bits32" "$work/musl"; do run "$i" send all "$i"; done
	is 'all three' "$(for i in "$work/musl" "$plain" "$work/bits32"; do
		run "$i" recv all --lines; done)" \
		"$(printf '%s\n' "$plain" "$work/bits32" "$work/musl")"
	run "$plain" rm all
fi

# ---- another layout ---------------------------------------------------------------

mkdir "$work/tree"
cp -r Makefile include src libtolsey.map "$work/tree"
other() {
	(cd "$work/tree" && build "$1" CFLAGS=-O0) && "$work/$1" create "$1" && "$work/$1" send "$1" x
}

# refused NAME: neither opens the other's, both say both layouts, nothing is harmed
refused() {
	local name=$1 id='[0-9]+-[0-9a-f]{16}'
	run "$plain" recv "$name"
	is "$name: refused" "$?" 1
	grep -qE "another layout \(it has $id, tolsey [0-9.]+ has $id\)" "$work/err" ||
		bad "$name: not both layouts"
	run "$plain" stat "$name" > /dev/null
	is "$name: a look is refused" "$?" 1
	run "$work/$name" recv own
	is "$name: refuses ours" "$?" 1
	grep -qE "another layout \(it has $id, tolsey [0-9.]+ has $id\)" "$work/err" ||
		bad "$name: does not say both layouts"
	is "$name: its own goes on" "$(run "$work/$name" recv "$name")" x
}

run "$plain" create own
run "$plain" send own mine
sed -i 's/^#define OBJECT_LAYOUT_VERSION .*/#define OBJECT_LAYOUT_VERSION 77u/' \
	"$work/tree/src/layout/object.h"
if other version; then
	refused version
	grep -qE 'it has 1-.* has 77-' "$work/err" && ok
	run "$plain" recv version
	grep -qE 'it has 77-.* has 1-' "$work/err" || bad 'the versions are not named'
fi
cp src/layout/object.h "$work/tree/src/layout/object.h"
sed -i 's/^#define MAILBOX_HOLDS_MAX .*/#define MAILBOX_HOLDS_MAX 32768u/' \
	"$work/tree/src/layout/mailbox.h"
if other sizes; then refused sizes; fi
is 'ours goes on' "$(run "$plain" recv own)" mine
run "$plain" rm own version sizes

if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped: $why"
else
	echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
