#!/bin/bash
# SPDX-License-Identifier: MIT
# What is wrong, missing, full, forbidden or damaged: one line that says what,
# which name, why and what to do; a status other than 0; nothing lost.
set -u
cd "$(dirname "$0")/.." || exit 1
tool=${TOLSEY:-$PWD/build/tolsey}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
passed=0 failed=0 skipped=0 reasons=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-bad.XXXXXX || mktemp -d)
export TOLSEY_SPACE
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT

t() { timeout 60 "$tool" "$@"; }

skip() {
	skipped=$((skipped + 1)) reasons="$reasons $1;"
}

bad() {
	failed=$((failed + 1))
	echo "not ok: $1"
	[ -s "$work/err" ] && sed 's/^/    /' "$work/err"
}

# is WHAT GOT WANTED
is() {
	if [ "$2" = "$3" ]; then passed=$((passed + 1)); else
		bad "$1: got '$2', wanted '$3'"
	fi
}

# One line on stderr that begins with the tool's name and has the pattern.
check_error() {
	if [ "$(wc -l < "$work/err")" = 1 ] &&
		grep -q '^tolsey: ' "$work/err" &&
		grep -Eqi -- "$2" "$work/err"; then
		passed=$((passed + 1))
	else
		bad "$1: not one line with /$2/"
	fi
}

# refused WHAT STATUS PATTERN ARGUMENT...
refused() {
	local what=$1 wanted=$2 pattern=$3 got
	shift 3
	t "$@" > "$work/out" 2> "$work/err" < /dev/null
	got=$?
	is "$what: status" $got "$wanted"
	check_error "$what" "$pattern"
}

test_names() {
	local long name
	long=$(printf '%0201d' 0)
	refused 'unknown name' 1 'ghost.*(no|not)' recv ghost --nowait
	refused 'unknown name' 1 'ghost' send ghost hello
	refused 'unknown name' 1 'ghost' stat ghost
	refused 'unknown name' 1 'ghost' rm ghost
	refused 'unknown segment' 1 'ghost' seg read ghost
	for name in ../x a/b /abs . .. .hidden 'a b' 'ü' "$long" '' -x; do
		refused "name '$name'" 1 'name' create -- "$name"
		refused "name '$name'" 1 'name' send -- "$name" hello
		refused "name '$name'" 1 'name' seg create --size 1 -- "$name"
	done
	t create "${long%0}" && t rm "${long%0}"
	is 'the longest name' $? 0
	is 'no wrong name left anything' "$(ls -A "$TOLSEY_SPACE")" ''
	is 'nor beside the space' \
		"$(ls -A "$TOLSEY_SPACE/.." | grep -cx x)" 0
}

test_numbers() {
	refused 'capacity 0 and a limit' 2 'capacity 0' create z --capacity 0 \
		--memory-limit 1M
	refused 'capacity 2^40' 1 'capacity|1048576' create z \
		--capacity 1099511627776
	refused 'capacity beyond numbers' 2 'capacity' create z \
		--capacity 99999999999999999999999
	refused 'capacity -1' 2 'capacity' create z --capacity -1
	refused 'size 0' 1 'size' seg create z --size 0
	refused 'size 2^50' 1 'z' seg create z --size 1125899906842624
	refused 'no size' 2 'size' seg create z
	refused 'mode' 2 'mode' create z --mode 1777
	refused 'timeout' 2 'timeout' recv z --timeout -1s
	is 'nothing was made' "$(ls -A "$TOLSEY_SPACE")" ''
	t create z --capacity 1048576
	is 'capacity 2^20' $? 0
	t rm z
}

# Somebody without rights: uid 65534, by setpriv.
as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups timeout 60 \
		"$work/tolsey" --space "$TOLSEY_SPACE" "$@"
}

test_second_user() {
	if [ "$(id -u)" != 0 ] || ! setpriv --reuid 65534 --clear-groups \
		true 2>/dev/null; then
		skip 'a second user needs root'
		return
	fi
	cp "$tool" "$work/tolsey"
	chmod 755 "$work" "$work/tolsey"
	t create private
	t create shared --mode 0666
	t send private secret
	as_nobody recv private --nowait > "$work/out" 2> "$work/err"
	is 'a private space: status' $? 1
	check_error 'a private space' 'permission|denied|right'
	chmod 1777 "$TOLSEY_SPACE"
	as_nobody recv private --nowait > "$work/out" 2> "$work/err"
	is 'a private mailbox: status' $? 1
	check_error 'a private mailbox' 'private.*(permission|denied|right)'
	as_nobody rm private > "$work/out" 2> "$work/err"
	is 'removing it: status' $? 1
	check_error 'removing it' 'private.*(permission|denied|right|owner|not)'
	as_nobody send shared 'from nobody' 2> "$work/err"
	is 'a shared mailbox' $? 0
	is 'and its message' "$(t recv shared --nowait)" 'from nobody'
	is 'nothing was lost' "$(t recv private --nowait)" secret
	# An object that somebody else put there is not trusted.
	as_nobody create foreign --mode 0666 2> "$work/err"
	is 'another user makes one' $? 0
	setpriv --reuid 65533 --regid 65533 --clear-groups "$work/tolsey" \
		--space "$TOLSEY_SPACE" send foreign x > "$work/out" \
		2> "$work/err"
	is 'a third user refuses it: status' $? 1
	check_error 'a third user refuses it' 'foreign.*(own|trust|safe|user)'
	refused 'nor does root' 1 'foreign' rm foreign
	as_nobody rm foreign
	is 'its owner removes it' $? 0
	t rm private shared
	chmod 0777 "$TOLSEY_SPACE"
	refused 'a space anybody may write' 1 "space|${TOLSEY_SPACE##*/}" ls
	chmod 0700 "$TOLSEY_SPACE"
	is 'nothing is left' "$(ls -A "$TOLSEY_SPACE")" ''
}

# In a mount namespace of its own: a tmpfs of 1 MiB.
full_tmpfs() {
	local n=0 got
	mount -t tmpfs -o size=1m,mode=0700 tolsey "$work/small" || return 77
	TOLSEY_SPACE=$work/small
	t create q --capacity 1000
	t seg create s --size 64K
	while head -c 30000 /dev/zero | t send q --nowait 2> "$work/err"; do
		n=$((n + 1))
		[ $n -lt 1000 ] || break
	done
	check_error 'a full tmpfs' 'q.*(memory|full|space)'
	[ $n -gt 5 ] || bad "only $n messages"
	refused 'a segment in a full tmpfs' 1 't.*(memory|full|space)' \
		seg create t --size 1M
	refused 'growing in a full tmpfs' 1 's.*(memory|full|space)' \
		seg grow s --size 1M
	is 'the segment is as it was' "$(t seg read s | wc -c)" 65536
	got=0
	while t recv q --nowait > "$work/body" 2> /dev/null; do
		[ "$(wc -c < "$work/body")" = 30000 ] || bad 'a short message'
		got=$((got + 1))
	done
	is 'nothing was lost' $got $n
	head -c 30000 /dev/zero | t send q --nowait
	is 'drained, it can be used again' $? 0
	head -c 3000000 /dev/zero | t send q --nowait 2> "$work/err"
	is 'a message larger than all memory: status' $? 1
	check_error 'a message larger than all memory' 'q.*(memory|full|space)'
	is 'and what was there is there' "$(t recv q --nowait | wc -c)" 30000
	dd if=/dev/zero of="$work/small/fill" bs=4096 2> /dev/null
	refused 'no memory for a mailbox' 1 'r.*(memory|full|space)' create r
	is 'and no half of one' "$(ls -A "$work/small" | tr '\n' ' ')" \
		'fill q s '
	rm "$work/small/fill"
	t rm q
	t seg rm s
	umount "$work/small"
	TOLSEY_SPACE=$space
}

# Runs a test of this file in namespaces of its own. Its counts come back.
unshared() {
	local counts
	if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
		skip "$1 needs root"
		return
	fi
	mkdir -p "$work/small"
	unshare -m bash "$0" --only "$1" "$work" "$tool" > "$work/unshared"
	counts=$(tail -n 1 "$work/unshared")
	sed '$d' "$work/unshared"
	case $counts in
	[0-9]*' '[0-9]*)
		passed=$((passed + ${counts% *}))
		failed=$((failed + ${counts#* })) ;;
	cannot) skip "$1 cannot mount" ;;
	*) bad "$1 gave no counts" ;;
	esac
}

test_full_tmpfs() {
	unshared full_tmpfs
}

# File systems that cannot do it: read-only, and one without unnamed files.
other_file_systems() {
	mount -t tmpfs -o size=1m,mode=0700,ro tolsey "$work/small" || return 77
	refused 'a read-only file system' 1 'x.*(read-only|cannot)' \
		--space "$work/small" create x
	umount "$work/small"
	refused 'proc' 1 'x' --space /proc/self create x
	refused 'sysfs' 1 'x' --space /sys create x
	if mount -t ramfs tolsey "$work/small" 2> /dev/null; then
		chmod 0700 "$work/small"
		if t --space "$work/small" create x 2> "$work/err"; then
			is 'ramfs' "$(t --space "$work/small" send x hi &&
				t --space "$work/small" recv x)" hi
		else
			check_error 'ramfs' 'x'
		fi
		umount "$work/small"
	fi
}

test_other_file_systems() {
	unshared other_file_systems
}

test_damaged() {
	local size
	t create q
	t send q one
	cp --sparse=always "$TOLSEY_SPACE/q" "$work/good"
	size=$(stat -c %s "$work/good")

	# A layout that comes later: the version is the 4 bytes after the magic.
	cp --sparse=always "$work/good" "$TOLSEY_SPACE/newer"
	printf '\377' | dd of="$TOLSEY_SPACE/newer" bs=1 seek=8 conv=notrunc \
		2> /dev/null
	refused 'a newer layout' 1 'newer.*(version|layout)' recv newer
	refused 'a newer layout' 1 'newer.*(version|layout)' send newer x
	refused 'a newer layout' 1 'newer.*(version|layout)' stat newer

	for n in 0 1 16 100 4095 4096 65536 $((size / 2)) $((size - 1)); do
		cp --sparse=always "$work/good" "$TOLSEY_SPACE/short"
		truncate -s "$n" "$TOLSEY_SPACE/short"
		refused "cut to $n bytes" 1 'short' recv short --nowait
		refused "cut to $n bytes" 1 'short' stat short
		refused "cut to $n bytes" 1 'short' seg read short
	done
	t ls > "$work/out" 2> "$work/err"
	is 'ls goes on' $? 0
	grep -q '^mailbox.* q' "$work/out" || grep -q 'q .*mailbox' "$work/out" ||
		grep -qw q "$work/out" || bad 'ls shows the others'

	head -c 100000 /dev/urandom > "$TOLSEY_SPACE/noise"
	refused 'random bytes' 1 'noise' recv noise
	refused 'random bytes' 1 'noise' send noise x
	refused 'random bytes' 1 'noise' seg stat noise
	ln -s q "$TOLSEY_SPACE/link"
	refused 'a symbolic link' 1 'link' recv link --nowait
	mkfifo "$TOLSEY_SPACE/fifo"
	refused 'a fifo' 1 'fifo' recv fifo --nowait
	mkdir "$TOLSEY_SPACE/dir"
	refused 'a directory' 1 'dir' recv dir --nowait
	is 'the good one is good' "$(t recv q --nowait)" one

	# Random bytes over each page of a mailbox: refused, or served; no crash.
	for n in 1 2 3 4 5 6 7 8 9 10; do
		cp --sparse=always "$work/good" "$TOLSEY_SPACE/hit"
		head -c 512 /dev/urandom | dd of="$TOLSEY_SPACE/hit" bs=512 \
			seek=$((n * 8 - 8)) conv=notrunc 2> /dev/null
		for command in 'recv hit --nowait' 'stat hit' 'send hit x --nowait' \
			'ls' 'clean --dry-run'; do
			# shellcheck disable=SC2086
			t $command > "$work/out" 2> "$work/err"
			case $? in
			0 | 1 | 3) passed=$((passed + 1)) ;;
			*) bad "page $n of noise, $command: status $?" ;;
			esac
		done
		rm -f "$TOLSEY_SPACE/hit"
	done
	for n in newer short noise; do t rm $n > /dev/null 2>&1; done
	rm -rf "$TOLSEY_SPACE"/newer "$TOLSEY_SPACE"/short \
		"$TOLSEY_SPACE"/noise "$TOLSEY_SPACE"/link \
		"$TOLSEY_SPACE"/fifo "$TOLSEY_SPACE"/dir
	t rm q
}

# Truncated under one that waits.
test_truncated_in_use() {
	local pid n=0
	t create q
	"$tool" recv q > "$work/out" 2> "$work/err" &
	pid=$!
	until t stat q --json | grep -q '"waiting_receivers_count":1'; do
		n=$((n + 1))
		[ $n -lt 20000 ] || break
	done
	truncate -s 0 "$TOLSEY_SPACE/q"
	wait $pid
	is 'truncated in use: status' $? 1
	check_error 'truncated in use' 'truncated'
	rm "$TOLSEY_SPACE/q"
}

test_standard_files() {
	t create q
	seq 1 1000 | t send q --lines --nowait > /dev/null 2>&1
	# The reader takes one line and goes.
	t recv q --all --lines 2> "$work/err" | head -n 1 > "$work/out"
	is 'the first line' "$(cat "$work/out")" 1
	t recv q --all > /dev/null
	t send q kept
	t recv q --nowait >&- 2> "$work/err"
	is 'closed stdout: status' $? 1
	check_error 'closed stdout' 'output'
	is 'nothing was taken' "$(t recv q --nowait)" kept
	if [ -w /dev/full ]; then
		t ls --json > /dev/full 2> "$work/err"
		is 'full stdout: status' $? 1
		check_error 'full stdout' 'output'
	else
		skip 'no /dev/full'
	fi
	t send q <&- 2> "$work/err"
	is 'closed stdin: status' $? 1
	check_error 'closed stdin' 'input'
	is 'nothing was sent' "$(t recv q --all | wc -c)" 0
	t send q < / 2> "$work/err"
	is 'a directory as stdin: status' $? 1
	check_error 'a directory as stdin' 'input|directory'
	# A signal that ends a program, unless it minds: the loss is said.
	head -c 10000 /dev/zero | t send q
	(ulimit -f 1 && "$tool" recv q > "$work/out") 2> "$work/err"
	is 'ulimit -f: status' $? 1
	check_error 'ulimit -f' 'q: cannot write.*message [0-9]+ of 10000 bytes'
	t rm q
}

test_two_creators() {
	local i won pids
	for i in 1 2 3 4 5 6 7 8 9 10; do
		pids=
		for _ in 1 2 3 4; do
			t create both 2>> "$work/err" && echo won &
			pids="$pids $!"
		done > "$work/won"
		# shellcheck disable=SC2086
		wait $pids
		won=$(wc -l < "$work/won")
		is "one of four creators, round $i" "$won" 1
		t send both x && t rm both
	done
	is 'nothing is left' "$(ls -A "$TOLSEY_SPACE")" ''
}

test_spaces() {
	refused 'no such space' 1 'space|nowhere' --space "$work/nowhere" ls
	: > "$work/file"
	refused 'a file as space' 1 'space|file' --space "$work/file" ls
	ln -s "$TOLSEY_SPACE" "$work/way"
	refused 'a symbolic link as space' 1 'space|way' --space "$work/way" ls
}

space=$TOLSEY_SPACE
if [ "${1-}" = --only ]; then
	rm -rf "$work" "$TOLSEY_SPACE"
	trap - EXIT
	work=$3 tool=$4
	TOLSEY_SPACE=$work/space space=$work/space
	mkdir -p -m 0700 "$TOLSEY_SPACE"
	"$2"
	[ $? -eq 77 ] && echo cannot && exit
	rmdir "$TOLSEY_SPACE"
	echo "$passed $failed"
	exit
fi
for test in names numbers spaces second_user full_tmpfs other_file_systems \
	damaged truncated_in_use standard_files two_creators; do
	"test_$test"
done
is 'nothing is left at the end' "$(ls -A "$TOLSEY_SPACE")" ''
echo "$passed passed, $failed failed, $skipped skipped${reasons:+:$reasons}"
[ $failed -eq 0 ]
