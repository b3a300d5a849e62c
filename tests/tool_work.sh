#!/bin/bash
# SPDX-License-Identifier: MIT
# tolsey work from outside: what becomes of messages, jobs and workers, and what
# goes with a message.
set -u
# In the background of a shell Ctrl-C is ignored, and a shell cannot change that.
[ -n "${SIGNALS_ARE_USUAL-}" ] || SIGNALS_ARE_USUAL=1 exec \
	env --default-signal=INT,TERM,HUP bash "$0" "$@"
cd "$(dirname "$0")/.." || exit 1
tool=${TOLSEY:-$PWD/build/tolsey}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
passed=0 failed=0 skipped=0 reasons=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-work.XXXXXX || mktemp -d)
export TOLSEY_SPACE work tool
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT

# All that should end by itself is run with a limit far above what it needs.
t() { timeout 60 "$tool" "$@"; }

ok() { passed=$((passed + 1)); }

bad() {
	failed=$((failed + 1))
	echo "not ok: $1"
	[ -s "$work/err" ] && sed 's/^/    /' "$work/err"
}

# is WHAT GOT WANTED
is() {
	if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', wanted '$3'"; fi
}

# holds WHAT COMMAND...
holds() {
	local what=$1
	shift
	if "$@"; then ok; else bad "$what"; fi
}

has() {
	if grep -qF -- "$2" "$3"; then ok; else
		bad "$1: '$2' is missing in: $(cat "$3")"
	fi
}

# until_true COMMAND...: looks until it holds, with a limit far above that
until_true() {
	local end=$((SECONDS + 60))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.01
	done
}

# Not there, or dead and not yet buried: init may be slow, or none.
is_gone() {
	local state
	state=$(sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null) || return 0
	[ "$state" = Z ] || [ -z "$state" ]
}

lines() { [ "$(cat "$@" 2>/dev/null | wc -l)" -ge "$wanted" ]; }
# has_lines N FILE...
has_lines() {
	wanted=$1
	shift
	lines "$@"
}

# of NAME KEY: a number of a mailbox
of() { t stat "$1" --json | sed 's/.*"'"$2"'":\([0-9]*\).*/\1/'; }
holds_so_many() { [ "$(of "$1" held_msgs)" = "$2" ]; }

# begin NAME: a mailbox, and nothing left of the test before
begin() {
	rm -rf "$work/dir"
	mkdir "$work/dir"
	: > "$work/err"
	t create "$1" || bad "create $1"
}

# A worker in the background that gets Ctrl-C, as in a terminal: $worker
start() {
	set -m
	"$tool" work "$@" > "$work/out" 2>"$work/err" &
	worker=$!
	set +m
}

finish() {
	until_true is_gone "$worker" || kill -9 "$worker"
	wait "$worker" 2>/dev/null
	is "$1: status" $? "$2"
}

# A job that notes its numbers, leaves a child, and waits to be let go.
# shellcheck disable=SC2016
waiting='sleep 1000 & echo $$ $! >> "$work/dir/pids"
until [ -e "$work/dir/go" ]; do sleep 0.01; done
kill $!; cat >> "$work/dir/bodies"; echo "$TOLSEY_TRY" >> "$work/dir/tries"'

keeper_of() {
	local file
	for file in /proc/[0-9]*/status; do
		if grep -qs '^Name:.tolsey-keeper' "$file" &&
			grep -qs "^PPid:.$1\$" "$file"; then
			file=${file#/proc/}
			echo "${file%/status}"
		fi
	done
}

# ---- outcomes ----

test_done() {
	begin w
	printf 'first\nsecond\n' | t send w --lines
	# shellcheck disable=SC2016
	t work w --drain -- sh -c 'cat; echo " $TOLSEY_TRY $TOLSEY_POSITION"' \
		> "$work/out" 2>"$work/err"
	is 'done' $? 0
	is 'in order' "$(tr '\n' , < "$work/out")" 'first 1 0,second 1 1,'
	is 'quiet in a pipe' "$(cat "$work/err")" ''
	is 'nothing waits' "$(of w queued_msgs) $(of w held_msgs)" '0 0'
	t work w --drain -- false
	is 'nothing to do' $? 0
	t rm w
}

test_environment() {
	local sender space
	begin env
	"$tool" send env x --tag 18446744073709551615 &
	sender=$!
	wait $sender
	# shellcheck disable=SC2016
	TOLSEY_TAG=old t work env --drain -- sh -c 'echo "$TOLSEY_TAG" \
		"$TOLSEY_SENDER $TOLSEY_SENDER_UID $TOLSEY_TRY" \
		"$TOLSEY_POSITION $TOLSEY_MAILBOX"; env | grep -c TOLSEY_TAG' \
		> "$work/out" 2>"$work/err"
	is 'environment' "$(tr '\n' , < "$work/out")" \
		"18446744073709551615 $sender $(id -u) 1 0 env,1,"
	t send env x
	space=$TOLSEY_SPACE
	# shellcheck disable=SC2016
	is 'the space that was named' "$(unset TOLSEY_SPACE
		t --space "$space" work env -n 1 -- \
			sh -c 'echo "$TOLSEY_SPACE"')" "$space"
	t rm env
}

test_returned() {
	begin w
	seq 1 3 | t send w --lines
	# shellcheck disable=SC2016
	t work w --drain --json -- sh -c 'read -r n
		echo "$n:$TOLSEY_TRY" >> "$work/dir/log"
		[ "$n" != 1 ] || [ "$TOLSEY_TRY" = 3 ] || exit 9
		[ "$n" != 2 ] || [ "$TOLSEY_TRY" = 2 ] || kill -9 $$' \
		> "$work/out" 2>"$work/err"
	is 'returned' $? 0
	is 'ahead of newer ones' "$(tr '\n' ' ' < "$work/dir/log")" \
		'1:1 1:2 1:3 2:1 2:2 3:1 '
	is 'results' "$(grep -o '"result":"[a-z]*"' "$work/out" |
		cut -d'"' -f4 | tr '\n' ' ')" \
		'returned returned done returned done done '
	has 'exit status' '"try":1,"result":"returned","exit_status":9,' "$work/out"
	has 'signal' '"try":1,"result":"returned","signal":9,' "$work/out"
	is 'quiet in a pipe' "$(cat "$work/err")" ''
	t rm w
}

# At least so many milliseconds between two tries, of which a line each is there.
gap_ms() {
	set -- "$1" "$2" "$(sed -n "$1p" "$work/dir/times")" \
		"$(sed -n "$2p" "$work/dir/times")"
	echo $((($4 - $3) / 1000000))
}

# A message that always fails must not keep a CPU busy, nor hold up the others.
test_pauses() {
	local rest
	begin w
	printf 'bad\ngood\n' | t send w --lines
	# shellcheck disable=SC2016
	start w -j 2 -- sh -c 'read -r n; [ "$n" = good ] && exec touch "$work/dir/good"
		date +%s%N >> "$work/dir/times"; exit 1'
	until_true test -e "$work/dir/good" || bad 'the others go on'
	until_true has_lines 4 "$work/dir/times" || bad 'four tries'
	holds 'a pause' [ "$(gap_ms 1 2)" -ge 100 ]
	holds 'a longer one' [ "$(gap_ms 2 3)" -ge 200 ]
	holds 'a still longer one' [ "$(gap_ms 3 4)" -ge 400 ]
	# It is held now, or comes back in a moment; interrupted, it is back at once.
	kill -INT "$worker"
	finish 'Ctrl-C in a pause' 130
	is 'it is back' "$(of w queued_msgs) $(of w held_msgs)" '1 0'
	has 'it is back' '"body":"bad"' <(t recv w --nowait --json)

	# A lease as short as can be does not end in a pause.
	t send w bad
	# shellcheck disable=SC2016
	t work w --drain --lease 20s --max-tries 3 --json -- false \
		> "$work/out" 2>"$work/err"
	is 'results' "$(grep -o '"try":.,"result":"[a-z_]*"' "$work/out" |
		tr -d '\n')" '"try":1,"result":"returned""try":2,"result":"returned""try":3,"result":"dead_letter"'
	# Killed in a pause: it comes back at once.
	t send w bad
	# shellcheck disable=SC2016
	start w -- sh -c 'echo >> "$work/dir/runs"; exit 1'
	until_true has_lines 3 "$work/dir/runs" || bad 'three tries'
	kill -9 "$worker"
	wait "$worker" 2>/dev/null
	rest=$(t recv w --nowait --lines)
	is 'killed in a pause' "$rest" bad
	t rm w
}

# With -n nobody comes to look after the last try: it is a dead letter all the same.
test_last_try() {
	begin w
	t send w bad
	t work w -n 1 --max-tries 1 -- false 2>"$work/err"
	is 'last try' $? 1
	has 'last try' "1 messages became dead letters" "$work/err"
	is 'last try' "$(of w dead_msgs) $(of w queued_msgs)" '1 0'
	is 'last try' "$(t recv w:dead --nowait)" bad
	t rm w
}

test_dead_letters() {
	begin w
	printf 'good\nbad\n' | t send w --lines --tag 5
	t work w --drain --max-tries 2 --json -- grep -q good \
		> "$work/out" 2>"$work/err"
	is 'dead letters' $? 1
	has 'dead letters' "1 messages became dead letters: see 'tolsey recv w:dead'" \
		"$work/err"
	has 'dead letters' '"position":1,"tag":5,"priority":0,"try":2,"result":"dead_letter"' \
		"$work/out"
	is 'counted' "$(of w dead_msgs) $(of w queued_msgs)" '1 0'
	has 'stat' 'dead letters  1' <(t stat w)
	has 'ls' ', 1 dead letters' <(t ls)
	has 'ls --json' '"dead_msgs":1' <(t ls --json)
	t work w:dead --max-tries 2 -- true 2>"$work/err"
	is '--max-tries of dead letters' $? 2
	# shellcheck disable=SC2016
	t work w:dead -n 1 -- sh -c 'cat; echo " $TOLSEY_MAILBOX"; exit 1' \
		> "$work/out" 2>"$work/err"
	is 'a dead letter, failed' $? 0
	is 'a dead letter, failed' "$(cat "$work/out")" 'bad w:dead'
	is 'it stays one' "$(of w dead_msgs)" 1
	is 'a dead letter, done' "$(t work w:dead --drain -- cat)" bad
	is 'there is none left' "$(of w dead_msgs)" 0
	t send w worse --tag 6
	t work w --drain --max-tries 1 -- false 2>/dev/null
	t recv w:dead --nowait --json > "$work/out"
	has 'recv of a dead letter' '"tag":6' "$work/out"
	has 'recv of a dead letter' '"body":"worse"' "$work/out"
	t rm w
}

test_many_at_once() {
	begin w
	seq 1 3 | t send w --lines
	# Each waits for all three.
	# shellcheck disable=SC2016
	t work w --drain -j 3 -- sh -c 'echo >> "$work/dir/here"
		until [ "$(wc -l < "$work/dir/here")" -ge 3 ]; do
			sleep 0.01
		done' 2>"$work/err"
	is 'three at once' $? 0
	seq 1 5 | t send w --lines
	start w --drain -j 2 -- sh -c "$waiting"
	until_true has_lines 2 "$work/dir/pids" || bad 'two run'
	is 'not more than two' "$(of w held_msgs) $(of w queued_msgs)" '2 3'
	has 'stat' 'held          2' <(t stat w)
	has 'ls' ', 2 held' <(t ls)
	: > "$work/dir/go"
	finish 'two at once' 0
	is 'all five' "$(fold -w1 "$work/dir/bodies" | sort | tr -d '\n')" 12345
	# shellcheck disable=SC2016
	seq 1 200 | t send w --lines --timeout 60s &
	local sender=$!
	t work w -n 200 -j 4 -- sh -c 'echo "$(cat)"' > "$work/out" 2>"$work/err"
	is 'two hundred' $? 0
	wait $sender
	is 'two hundred, each once' "$(sort -n "$work/out" | md5sum)" \
		"$(seq 1 200 | md5sum)"
	is 'none is left' "$(of w queued_msgs) $(of w held_msgs)" '0 0'
	t rm w
}

# ---- bodies ----

test_bodies() {
	local size
	begin w
	for size in 0 1 65537 2097153 5000000; do
		head -c $size /dev/urandom > "$work/body"
		t send w < "$work/body"
		t work w -n 1 -- cat 2>"$work/err" | cmp -s - "$work/body" &&
			ok || bad "a body of $size bytes"
	done
	# Nobody reads them, or the end only, and the next one is not held up.
	for size in 1 2 3; do t send w < "$work/body"; done
	t work w --drain -j 2 -- sh -c 'exec <&-; exit 0' 2>"$work/err"
	is 'closed input' $? 0
	for size in 1 2 3; do t send w < "$work/body"; done
	t work w --drain -- true 2>"$work/err"
	is 'input that nobody reads' $? 0
	t send w < "$work/body"
	t work w --drain -- head -c 1 > "$work/out" 2>"$work/err"
	is 'input that is read in part' $? 0
	is 'input that is read in part' "$(cmp -n 1 "$work/out" "$work/body" && echo same)" same
	# The limit of files is the worker's trouble, and no death of it.
	t send w < "$work/body"
	(ulimit -f 8 && t work w -n 1 -- true) > "$work/out" 2>"$work/err"
	is 'ulimit -f' $? 1
	has 'ulimit -f' 'message 12 was returned' "$work/err"
	t rm w
}

# ---- times and ends ----

test_lease() {
	begin w
	t send w slow
	# shellcheck disable=SC2016
	t work w -n 1 --lease 50ms --json -- sh -c 'sleep 1000 &
		echo $! > "$work/dir/child"; wait' > "$work/out" 2>"$work/err"
	is 'lease' $? 0
	has 'lease' '"result":"returned","signal":15,"timed_out":true' "$work/out"
	until_true is_gone "$(cat "$work/dir/child")" || bad 'a child of the job lives'
	is 'returned' "$(of w queued_msgs) $(of w returned_msgs)" '1 1'
	# shellcheck disable=SC2016
	t work w -n 1 --lease 50ms --json -- sh -c 'trap "" TERM
		while :; do sleep 0.1; done' > "$work/out" 2>"$work/err"
	is 'lease, SIGTERM ignored' $? 0
	has 'lease, SIGTERM ignored' '"try":2,"result":"returned","signal":9,' \
		"$work/out"
	# What ends well, but too late, is not done.
	t work w -n 1 --lease 50ms --json -- sh -c 'trap "exit 0" TERM
		while :; do sleep 0.01; done' > "$work/out" 2>"$work/err"
	has 'lease, 0 after SIGTERM' '"try":3,"result":"returned","exit_status":0' \
		"$work/out"
	t work w -n 1 --lease 1h --max-tries 9 --json -- true > "$work/out"
	has 'lease that is long enough' '"try":4,"result":"done"' "$work/out"
	t rm w
}

# The worker is killed: its jobs end with all they started, another one has them.
test_killed() {
	local pids pid keeper
	begin w
	seq 1 3 | t send w --lines
	start w -j 2 -- sh -c "$waiting"
	until_true has_lines 2 "$work/dir/pids" || bad 'two run'
	pids=$(cat "$work/dir/pids")
	keeper=$(keeper_of "$worker")
	holds 'a keeper' [ -n "$keeper" ]
	is "the keeper's output" "$(readlink "/proc/$keeper/fd/1" "/proc/$keeper/fd/2" |
		tr '\n' ' ')" '/dev/null /dev/null '
	kill -9 "$worker"
	wait "$worker" 2>/dev/null
	for pid in $pids $keeper; do
		until_true is_gone "$pid" || bad "$pid outlives its worker"
	done
	is 'processes looked at' "$(echo "$pids" | wc -w)" 4
	is 'nothing was done' "$(cat "$work/dir/bodies" 2>/dev/null)" ''
	: > "$work/dir/go"
	start w --drain -j 2 -- sh -c "$waiting"
	finish 'another worker' 0
	is 'another worker' "$(fold -w1 "$work/dir/bodies" | sort | tr -d '\n')" 123
	is 'tries' "$(sort "$work/dir/tries" | tr -d '\n')" 122
	t rm w
}

# One worker waits for what another one holds, and has it when that one is killed.
test_drain_waits() {
	local first
	begin w
	t send w x
	start w -- sh -c "$waiting"
	first=$worker
	until_true has_lines 1 "$work/dir/pids" || bad 'it runs'
	start w --drain -- sh -c "$waiting"
	until_true eval '[ "$(of w receivers_count)" = 2 ]' || bad 'both are there'
	holds 'the second one waits' kill -0 "$worker"
	: > "$work/dir/go.soon"
	kill -9 "$first"
	wait "$first" 2>/dev/null
	until_true has_lines 2 "$work/dir/pids" || bad 'the second one has it'
	: > "$work/dir/go"
	finish 'the second one' 0
	is 'the second one' "$(cat "$work/dir/tries")" 2
	t rm w
}

# Even if the keeper is killed too, the job itself ends.
test_all_killed() {
	local job keeper
	begin w
	t send w x
	start w -- sh -c "$waiting"
	until_true has_lines 1 "$work/dir/pids" || bad 'it runs'
	read -r job child < "$work/dir/pids"
	keeper=$(keeper_of "$worker")
	kill -STOP "$worker"
	kill -9 "$keeper"
	kill -9 "$worker"
	wait "$worker" 2>/dev/null
	until_true is_gone "$job" && ok || bad 'a job outlives worker and keeper'
	kill "$child" 2>/dev/null
	t rm w

	begin w
	t send w x
	start w -- sh -c "$waiting"
	until_true has_lines 1 "$work/dir/pids" || bad 'it runs'
	kill -9 "$(keeper_of "$worker")"
	until_true test -s "$work/err" || bad 'the loss of the keeper is said'
	t send w more
	: > "$work/dir/go"
	finish 'without a keeper' 1
	has 'without a keeper' 'no more messages are taken' "$work/err"
	is 'what ran was finished' "$(cat "$work/dir/bodies")" x
	is 'no other was taken' "$(of w queued_msgs)" 1
	t rm w
}

test_interrupted() {
	local signal status job child
	for signal in INT TERM HUP; do
		begin w
		t send w run
		start w -j 2 -- sh -c "$waiting"
		until_true has_lines 1 "$work/dir/pids" || bad 'it runs'
		kill -$signal "$worker"
		# The waiting one notices and stops; then what comes is left.
		until_true eval '[ "$(of w waiting_receivers_count)" = 0 ]' ||
			bad 'it still waits for messages'
		t send w later
		: > "$work/dir/go"
		status=$((128 + $(kill -l $signal)))
		finish "one SIG$signal" $status
		is 'what ran was finished' "$(cat "$work/dir/bodies")" run
		is 'no other was taken' "$(t recv w --nowait --json |
			grep -o '"tries":.\|"body":"[a-z]*"' | tr -d '\n')" \
			'"tries":1"body":"later"'
		t rm w
	done

	begin w
	t send w run
	start w -- sh -c "$waiting"
	until_true has_lines 1 "$work/dir/pids" || bad 'it runs'
	read -r job child < "$work/dir/pids"
	# Two of a kind at once are one: as often as it takes.
	until_true eval 'kill -INT $worker 2>/dev/null; is_gone $worker'
	finish 'Ctrl-C again' 130
	until_true is_gone "$job" && ok || bad 'Ctrl-C again leaves the job'
	until_true is_gone "$child" && ok || bad 'Ctrl-C again leaves a child'
	is 'its message is back' "$(t recv w --nowait --json |
		grep -o '"tries":.\|"body":"[a-z]*"' | tr -d '\n')" \
		'"tries":2"body":"run"'

	start w -- true
	until_true eval '[ "$(of w waiting_receivers_count)" = 1 ]' ||
		bad 'it waits'
	kill -INT "$worker"
	finish 'Ctrl-C while nothing runs' 130

	# Two at once are one, such as those that timeout(1) sends.
	begin w2
	t send w2 run
	start w2 -- sh -c "$waiting"
	until_true has_lines 1 "$work/dir/pids" || bad 'it runs'
	kill -STOP "$worker"
	kill -TERM "$worker"
	kill -HUP "$worker"
	kill -CONT "$worker"
	until_true eval '[ "$(of w2 waiting_receivers_count)" = 0 ]'
	: > "$work/dir/go"
	until_true is_gone "$worker"
	wait "$worker" 2>/dev/null
	is 'two signals at once: the job is finished' \
		"$(cat "$work/dir/bodies" 2>/dev/null)" run
	t rm w2
	t rm w
}

test_ends_of_the_mailbox() {
	begin w
	seq 1 3 | t send w --lines
	t close w
	is 'closed' "$(t work w -- cat | tr -d '\n'; echo " ${PIPESTATUS[0]}")" '123 0'
	t rm w
	begin w
	start w -- true
	until_true eval '[ "$(of w waiting_receivers_count)" = 1 ]' ||
		bad 'it waits'
	t rm w
	finish 'removed' 1
	has 'removed' 'was removed meanwhile' "$work/err"
	begin w
	seq 1 3 | t send w --lines
	start w -j 3 -- sh -c "$waiting"
	until_true has_lines 3 "$work/dir/pids" || bad 'three run'
	t rm w
	: > "$work/dir/go"
	finish 'removed while jobs run' 1
	is 'said once' "$(wc -l < "$work/err")" 1
	t work w -- true 2>"$work/err"
	is 'none of that name' $? 1
	has 'none of that name' "create it with 'tolsey create w" "$work/err"
}

# Whoever started the worker keeps the end of jobs from it.
test_blocked_signal() {
	if ! command -v python3 >/dev/null; then
		skipped=$((skipped + 1)) reasons="$reasons no python3;"
		return
	fi
	begin w
	t send w x
	timeout 20 python3 -c 'import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
os.execv(sys.argv[1], sys.argv[1:])' "$tool" work w -n 1 -- true
	is 'SIGCHLD blocked' $? 0
	t rm w
}

test_cannot_start() {
	begin w
	t send w x
	for command in no-such-command-of-tolsey /etc/passwd /nowhere/x '' / \
		"$work"; do
		t work w --drain -- "$command" > "$work/out" 2>"$work/err"
		is "'$command'" $? 1
		has "'$command'" 'no message was taken' "$work/err"
		is "'$command': lines of error" "$(wc -l < "$work/err")" 1
	done
	printf '#!/nowhere/interpreter\n' > "$work/dir/script"
	chmod +x "$work/dir/script"
	t work w --drain -j 2 -- "$work/dir/script" > "$work/out" 2>"$work/err"
	is 'no interpreter' $? 1
	has 'no interpreter' 'message 0 was returned' "$work/err"
	is 'lines of error' "$(wc -l < "$work/err")" 1
	is 'one try' "$(t recv w --nowait --json | grep -o '"tries":.')" '"tries":2'
	printf 'exit 0\n' > "$work/dir/script"
	t send w x
	t work w --drain -- "$work/dir/script"
	is 'a script without a first line' $? 0
	t rm w
}

# ---- output ----

test_json() {
	begin w
	seq 1 3 | t send w --lines --tag 4
	t work w --drain --json -- sh -c 'echo of the job' \
		> "$work/out" 2>"$work/err"
	is 'json' $? 0
	is 'a line each' "$(wc -l < "$work/out")" 3
	is 'output of jobs' "$(sort -u "$work/err")" 'of the job'
	if command -v python3 >/dev/null; then
		is 'json is valid' "$(python3 -c 'import json, sys
for line in sys.stdin:
    m = json.loads(line)
    assert m["seconds"] >= 0 and m["timed_out"] is False
    print(m["position"], m["tag"], m["try"], m["result"], m["exit_status"])
' < "$work/out" | tr '\n' ,)" '0 4 1 done 0,1 4 1 done 0,2 4 1 done 0,'
	else
		skipped=$((skipped + 1)) reasons="$reasons no python3;"
	fi
	if [ -e /dev/full ]; then
		t send w x
		t work w --drain --json -- true > /dev/full 2>"$work/err"
		is 'nowhere to write' $? 1
		has 'nowhere to write' 'cannot write to standard output' "$work/err"
	else
		skipped=$((skipped + 2)) reasons="$reasons no /dev/full;"
	fi
	t rm w
}

test_terminal() {
	local escape
	if ! command -v script >/dev/null ||
		! script -qec true /dev/null </dev/null >/dev/null 2>&1; then
		skipped=$((skipped + 8)) reasons="$reasons no script(1);"
		return
	fi
	escape=$(printf '\033')
	begin w
	printf 'a\nb\nbad\n' | t send w --lines
	# shellcheck disable=SC2016
	SHELL=/bin/sh script -qec 'timeout --foreground 60 "$tool" work w --drain \
		--max-tries 2 -- sh -c '\''read -r x; echo "job $x"; [ $x != bad ]'\' \
		/dev/null < /dev/null > "$work/out" 2>&1
	is 'terminal: status' $? 1
	has 'terminal: the last line' '0 running, 2 done, 2 failed, 1 dead letters' \
		"$work/out"
	has 'terminal: redrawn' "$(printf '\r\033[K')" "$work/out"
	is 'terminal: jobs have lines of their own' "$(tr -d '\r' < "$work/out" |
		grep -c "^\(.*$escape\[K\)\{0,1\}job [a-z]*\$")" 4
	t send w x
	# Ctrl-C as the terminal makes it of a byte.
	mkfifo "$work/dir/keys"
	set -m
	# shellcheck disable=SC2016
	waiting=$waiting SHELL=/bin/sh script -qec 'trap : INT
		"$tool" work w -- sh -c "$waiting"; echo "status $?"' \
		/dev/null < "$work/dir/keys" > "$work/out" 2>&1 &
	local script=$!
	set +m
	exec 9> "$work/dir/keys"
	until_true has_lines 1 "$work/dir/pids" || bad 'it runs'
	printf '\003' >&9
	until_true grep -q 'Ctrl-C again ends them' "$work/out" && ok ||
		bad 'Ctrl-C is said to work again'
	: > "$work/dir/go"
	until_true grep -q 'status' "$work/out" || bad 'the shell goes on'
	exec 9>&-
	wait $script
	has 'Ctrl-C on a terminal' 'status 130' "$work/out"
	is 'Ctrl-C does not reach the job' "$(cat "$work/dir/bodies")" x
	# A job that prints without end does not keep signals away.
	t send w x
	rm -f "$work/dir/ended"
	set -m
	# shellcheck disable=SC2016
	SHELL=/bin/sh script -qec '"$tool" work w -- yes & worker=$!
		echo $worker > "$work/dir/worker"
		wait $worker; echo $? > "$work/dir/ended"' \
		/dev/null < /dev/null > "$work/out" 2>&1 &
	script=$!
	set +m
	until_true grep -q '^y' "$work/out" || bad 'it prints'
	worker=$(cat "$work/dir/worker")
	until_true eval 'kill -TERM $worker 2>/dev/null; [ -s "$work/dir/ended" ]'
	is 'a job that prints without end' "$(cat "$work/dir/ended")" 143
	[ -s "$work/dir/ended" ] || kill -9 "$worker"
	wait $script
	t recv w --all > /dev/null
	t rm w
}

# ---- what goes with a message ----

test_send_options() {
	begin w
	t send w tagged --tag 77
	t recv w --json > "$work/out"
	has 'tag' '"tag":77,"priority":0,"tries":1,' "$work/out"
	has 'no segment' '"has_segment":false' "$work/out"
	t seg create frame --size 4K
	t send w with --segment frame
	t recv w --json > "$work/out"
	has 'segment' '"has_segment":true' "$work/out"
	t send w with --segment none 2>"$work/err"
	is 'no such segment' $? 1
	has 'no such segment' 'none: no such segment' "$work/err"
	t send w with --segment w 2>"$work/err"
	is 'a mailbox as a segment' $? 1
	has 'a mailbox as a segment' 'w: is not a segment' "$work/err"
	t seg rm frame
	t send w short --ttl 1ns
	t send w long --ttl 1h
	is 'ttl' "$(t recv w --all --lines)" long
	for option in '--tag x' '--ttl 0s' '--ttl 5'; do
		# shellcheck disable=SC2086
		t send w x $option 2>"$work/err"
		is "$option" $? 2
	done
	for option in '-j 0' '-j 2000' '-n 0' '--max-tries 0' '--lease 0s' \
		'--lease 5'; do
		# shellcheck disable=SC2086
		t work w $option -- true 2>"$work/err"
		is "$option" $? 2
	done
	t work w 2>"$work/err"
	is 'no command' $? 2
	t rm w
}

for test in done environment returned pauses last_try dead_letters many_at_once bodies lease \
	killed drain_waits all_killed interrupted ends_of_the_mailbox cannot_start \
	blocked_signal json terminal send_options; do
	"test_$test"
done
t clean > /dev/null
is 'nothing is left' "$(ls -A "$TOLSEY_SPACE")" ''
echo "$passed passed, $failed failed, $skipped skipped${reasons:+:$reasons}"
[ $failed -eq 0 ]
