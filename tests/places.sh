#!/bin/bash
# SPDX-License-Identifier: MIT
# One mailbox for processes that are kept apart: users of a group, namespaces of
# processes, users, time and mounts; and a file system of 64 MB.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$PWD/build}
passed=0 failed=0 skipped=0 why=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-places.XXXXXX) || exit 1
export TOLSEY_SPACE
pids=
trap 'kill -9 $pids 2>/dev/null; rm -rf "$work" "$TOLSEY_SPACE"' EXIT
chmod 755 "$work"
cp "${TOLSEY:-$build/tolsey}" "$work/tolsey"
${CC:-cc} -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -Iinclude \
	-o "$work/talk" tests/programs/talk.c "$build/libtolsey.a" -pthread || exit 1
head -c 2000000 /dev/urandom > "$work/large"
chmod 644 "$work/large"

t() { timeout 60 "$work/tolsey" "$@"; }
ok() { passed=$((passed + 1)); }
bad() {
	failed=$((failed + 1))
	echo "not ok: $1"
	[ -s "$work/err" ] && sed 's/^/    /' "$work/err"
}
is() { if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', wanted '$3'"; fi; }
skip() { skipped=$((skipped + 1)) why="${why:+$why, }$1"; }

# hold COMMAND... -- NAME MS: COMMAND starts one that takes a message and keeps
# it; on return it has it. $holder is the pid of the command.
hold() {
	local -a with=()
	while [ "$1" != -- ]; do with+=("$1"); shift; done
	rm -f "$work/held"
	mkfifo "$work/held"
	"${with[@]}" "$work/talk" hold "$2" "$3" > "$work/held" &
	holder=$!
	pids="$pids $holder"
	read -r said < "$work/held"
	is "$2 is held by ${with[*]}" "$said" held
}

# The process that holds, below whatever started it.
kill_holder() {
	local pid=$holder child
	while child=$(cat "/proc/$pid/task/$pid/children") && [ -n "$child" ]; do
		pid=${child%% *}
	done
	kill -9 "$pid"
	wait "$holder" 2> /dev/null
}

# ---- users and a group --------------------------------------------------------

as() {
	local uid=$1 gid=$2
	shift 2
	timeout 60 setpriv --reuid "$uid" --regid "$uid" --groups "$gid" "$@"
}

users() {
	local group=65532 one=65530 two=65531 other=65529 space=$TOLSEY_SPACE/group
	install -d -m 2770 -g $group "$space"
	chmod 755 "$TOLSEY_SPACE"
	(
		export TOLSEY_SPACE=$space
		umask 077
		as $one $group "$work/tolsey" create jobs -m 0660
	)
	is 'the group is the directory'\''s' "$(stat -c %g.%a "$space/jobs")" $group.660
	local -x TOLSEY_SPACE=$space
	as $two $group "$work/tolsey" send jobs hello
	is 'one of the group receives' "$(as $one $group "$work/tolsey" recv jobs)" hello
	as $one $group "$work/tolsey" send jobs < "$work/large"
	as $two $group "$work/tolsey" recv jobs | cmp -s - "$work/large"
	is 'a large one' "$?" 0
	as $two $group "$work/tolsey" send jobs < "$work/large"
	as $one $group "$work/tolsey" recv jobs | cmp -s - "$work/large"
	is 'a large one, the other way' "$?" 0
	as $other $other "$work/tolsey" recv jobs --nowait > /dev/null 2> "$work/err"
	is 'another user' "$?" 1
	grep -q 'permission denied' "$work/err" || bad 'it does not say why'
	as $one $group "$work/tolsey" send jobs x
	hold as $two $group -- jobs 0
	is 'held' "$(as $one $group "$work/tolsey" recv jobs --nowait 2>&1 | grep -c empty)" 1
	kill_holder
	is 'comes back to another user' \
		"$(as $one $group "$work/tolsey" recv jobs -t 30s)" x
	scripts/need acl:setfacl 2> /dev/null
	if command -v setfacl > /dev/null && setfacl -m u:$other:rx "$space" 2>/dev/null; then
		as $one $group "$work/tolsey" create acl
		setfacl -m u:$other:rw "$space/acl"
		as $other $other "$work/tolsey" send acl hello
		is 'by an ACL' "$(as $one $group "$work/tolsey" recv acl)" hello
	else
		skip 'ACL: no setfacl, or not on this file system'
	fi
	t rm jobs
}

# ---- namespaces ---------------------------------------------------------------

processes() {
	local in='unshare --pid --fork --kill-child --mount-proc'
	t create box
	t send box a
	hold $in -- box 0
	t recv box --nowait > /dev/null 2>&1
	is 'held in a pid namespace' "$?" 3
	is 'and seen there as held' "$(t stat box --json | grep -c '"held_msgs":1')" 1
	kill_holder
	is 'killed there' "$(t recv box -t 30s)" a
	t send box b
	hold env -- box 0
	$in "$work/tolsey" recv box --nowait > /dev/null 2>&1
	is 'held outside of a pid namespace' "$?" 3
	kill_holder
	is 'killed outside' "$($in "$work/tolsey" recv box -t 30s)" b
	t send box c
	hold $in -- box 0
	kill_holder
	is 'from one pid namespace to another' "$($in "$work/tolsey" recv box -t 30s)" c
	t rm box
}

user_namespaces() {
	local in='unshare --user --map-root-user'
	t create box
	$in "$work/tolsey" send box hello
	is 'from a user namespace' "$(t recv box)" hello
	t send box < "$work/large"
	$in "$work/tolsey" recv box | cmp -s - "$work/large"
	is 'into one, large' "$?" 0
	t send box x
	hold $in -- box 0
	kill_holder
	is 'killed in one' "$(t recv box -t 30s)" x
	t rm box
}

times() {
	local in='unshare --time --monotonic 86400 --fork --kill-child' i
	t create box
	t send box a --ttl 1h
	is 'alive a day ahead' "$($in "$work/tolsey" recv box --nowait)" a
	# One that is received in time is fine, and so likely that one is not.
	for i in {1..100}; do
		$in "$work/tolsey" send box b --ttl 1ms
		t recv box --nowait > /dev/null 2>&1 || break
	done
	is 'its time is over, here' "$(t recv box --nowait 2>&1 | grep -c empty)" 1
	[ "$i" -lt 100 ] || bad 'messages do not end where the clock is another'
	t send box c
	hold env -- box 3600000
	$in "$work/tolsey" recv box --nowait > /dev/null 2>&1
	is 'a lease that lasts, a day ahead' "$?" 3
	kill_holder
	is 'killed' "$($in "$work/tolsey" recv box -t 30s)" c
	t send box d
	hold $in -- box 20
	is 'a lease from a day ahead ends' "$(t recv box -t 30s)" d
	kill_holder
	$in "$work/tolsey" recv box -t 20ms > /dev/null 2>&1
	is 'waits with a limit' "$?" 3
	t rm box
}

mounts() {
	local other=$work/elsewhere in
	mkdir "$other"
	in="unshare --mount sh -c"
	t create box
	t send box < "$work/large"
	$in "mount --bind '$TOLSEY_SPACE' '$other' && mount -t tmpfs none '$TOLSEY_SPACE' &&
		exec '$work/tolsey' --space '$other' recv box" | cmp -s - "$work/large"
	is 'under another path' "$?" 0
	$in "mount --bind '$TOLSEY_SPACE' '$other' && mount -t tmpfs none '$TOLSEY_SPACE' &&
		exec '$work/tolsey' --space '$other' recv box -t 30s -n 3 --lines" \
		> "$work/got" &
	pids="$pids $!"
	for i in 1 2 3; do t send box $i; done
	wait $!
	is 'to one that waits elsewhere' "$(tr '\n' ' ' < "$work/got")" '1 2 3 '
	t send box x
	hold $in "mount --bind '$TOLSEY_SPACE' '$other' && export TOLSEY_SPACE='$other' &&
		exec \"\$@\"" sh -- box 0
	kill_holder
	is 'killed elsewhere' "$(t recv box -t 30s)" x
	t rm box
}

# ---- 64 MB ---------------------------------------------------------------------

# Lines of 16 KiB that begin with a number.
lines() {
	awk -v from="$1" -v to="$2" 'BEGIN {
		for (pad = "x"; length(pad) < 16384; ) pad = pad pad
		for (i = from; i <= to; i++) printf "%d %s\n", i, pad }'
}

small() {
	mount -t tmpfs -o size=64m none "$TOLSEY_SPACE" || return
	local option count
	for option in '--capacity 100000' --unbounded; do
		# shellcheck disable=SC2086
		t create box $option
		lines 1 5000 | t send box --lines 2> "$work/err"
		is "64 MB, $option: full" "$?" 1
		grep -q 'no memory left' "$work/err" || bad 'it does not say why'
		count=$(t stat box --json | grep -o '"queued_msgs":[0-9]*' | cut -d: -f2)
		[ "$count" -gt 1000 ] || bad "64 MB have room for $count only"
		t recv box --all --lines | awk '{ print $1 }' > "$work/got"
		is "64 MB, $option: all that was sent" \
			"$(seq 1 "$count" | cmp - "$work/got" && echo same)" same
		lines 1 1000 | t send box --lines
		is "64 MB, $option: goes on" "$?" 0
		is "64 MB, $option: again" "$(t recv box --all --lines | wc -l)" 1000
		t rm box
	done
	is '64 MB: nothing is left' "$(ls -A "$TOLSEY_SPACE")" ''
}

can() { timeout 60 "$@" true 2> /dev/null; }

if [ "$(id -u)" = 0 ] && can setpriv --reuid 65531 --regid 65531 --groups 65532; then
	users
else
	skip 'two users: needs root'
fi
if can unshare --pid --fork --kill-child --mount-proc; then
	processes
else
	skip 'pid namespaces: not allowed'
fi
if can unshare --user --map-root-user; then user_namespaces; else
	skip 'user namespaces: not allowed'
fi
if can unshare --time --monotonic 86400 --fork --kill-child; then times; else
	skip 'time namespaces: not allowed'
fi
if can unshare --mount; then
	mounts
	export -f small lines t is ok bad
	export work
	# In a mount namespace of its own; what it counted comes back in words.
	unshare --mount bash -c 'passed=0 failed=0; small; echo "counted $passed $failed"' \
		> "$work/counted"
	grep -v '^counted ' "$work/counted"
	read -r _ p f < <(grep '^counted ' "$work/counted")
	passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
else
	skip 'mounts: not allowed'
fi
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped: $why"
else
	echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
