#!/bin/bash
# SPDX-License-Identifier: MIT
# The command from outside: what each command prints, and its exit status.
set -u
# In the background of a shell Ctrl-C is ignored, and a shell cannot change that.
[ -n "${SIGNALS_ARE_USUAL-}" ] || SIGNALS_ARE_USUAL=1 exec \
	env --default-signal=INT,TERM,HUP bash "$0" "$@"
cd "$(dirname "$0")/.." || exit 1
tool=${TOLSEY:-$PWD/build/tolsey}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
passed=0 failed=0 skipped=0 reasons=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-tool.XXXXXX || mktemp -d)
export TOLSEY_SPACE
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT

# All that should end by itself is run with a limit far above what it needs.
t() { timeout 60 "$tool" "$@"; }
say() { t send "$@" >/dev/null; }

ok() {
	passed=$((passed + 1))
}

bad() {
	failed=$((failed + 1))
	echo "not ok: $1"
	[ -s "$work/err" ] && sed 's/^/    /' "$work/err"
}

# is WHAT GOT WANTED
is() {
	if [ "$2" = "$3" ]; then ok; else bad "$1: got '$2', wanted '$3'"; fi
}

# status WHAT WANTED ARGUMENT...: also, an error is exactly one line
status() {
	local what=$1 wanted=$2 got
	shift 2
	t "$@" >"$work/out" 2>"$work/err" </dev/null
	got=$?
	is "$what: status" "$got" "$wanted"
	[ "$wanted" = 0 ] && return
	is "$what: lines of error" "$(wc -l < "$work/err")" 1
	case $(cat "$work/err") in
	'tolsey: '*) ok ;;
	*) bad "$what: error does not begin with the tool's name" ;;
	esac
}

has() {
	if grep -qF -- "$2" "$3"; then ok; else
		bad "$1: '$2' is missing in: $(cat "$3")"
	fi
}

# until_true COMMAND...: looks until it holds, with the limit of the test run
until_true() {
	local n=0
	until "$@"; do
		n=$((n + 1))
		[ $n -lt 20000 ] || return 1
	done
	return 0
}

# The file has grown, or there is no sender left that could make it grow.
longer_or_over() {
	[ "$(wc -c < "$1")" -gt "$2" ] ||
		{ ! kill -0 "$3" 2>/dev/null && ! waits_on s senders &&
			waits_on s receivers; }
}

waiting_receivers() {
	t stat "$1" --json | grep -q "\"waiting_receivers_count\":$2"
}

waits_on() {
	t stat "$1" --json | grep -q "\"waiting_$2_count\":1"
}

test_send_recv() {
	status create 0 create jobs --capacity 4
	status 'create again' 1 create jobs
	status 'create if missing' 0 create jobs --if-missing
	status send 0 send jobs hello
	is 'recv raw' "$(t recv jobs | od -An -c | tr -d ' \n')" hello
	status 'recv empty' 3 recv jobs --nowait
	status 'recv timed out' 3 recv jobs --timeout 20ms
	status 'recv --all of nothing' 0 recv jobs --all
	printf 'a\n\nlast' | t send jobs --lines
	is 'lines' "$(t recv jobs --all --json | tr -d '\n' |
		grep -o '"body":"[a-z]*"' | tr -d '\n')" \
		'"body":"a""body":"""body":"last"'
	printf 'x\ny\0z\0' | t send jobs --null
	is 'null' "$(t recv jobs -n 2 --null | od -An -tx1 | tr -d ' \n')" \
		780a79007a00
	printf '' | t send jobs
	is 'an empty message' "$(t recv jobs --lines | od -An -tx1)" ' 0a'
	printf '' | t send jobs --lines
	status 'no line, no message' 3 recv jobs --nowait
	status 'text with a dash' 0 send jobs -- --lines
	is 'text with a dash' "$(t recv jobs)" --lines
	seq 1 9 | t send jobs --lines --nowait 2>"$work/err"
	is 'full in the middle' $? 3
	has 'full in the middle' '4 messages were sent' "$work/err"
	status 'full' 3 send jobs more --timeout 10ms
	is 'what was sent' "$(t recv jobs --all --lines | tr '\n' ' ')" '1 2 3 4 '
	status 'space before' 0 --space "$TOLSEY_SPACE" send jobs hi
	status 'space after' 0 recv jobs --space "$TOLSEY_SPACE"
	status rm 0 rm jobs
	status 'rm again' 1 rm jobs
}

test_unbounded() {
	status 'a limit that is none' 2 create end --memory-limit 5X
	status 'a maximum of none' 2 create end --unbounded --capacity-max 5
	status create 0 create end --unbounded --memory-limit 4M \
		--sender-quota 1M
	seq 1 5000 | t send end --lines --nowait
	has 'stat' '5000 of unbounded' <(t stat end)
	has 'limit' 'limit         4194304 bytes' <(t stat end)
	has 'quota' 'sender quota  1048576 bytes' <(t stat end)
	has 'ls' '5000 of unbounded' <(t ls)
	has 'stat --json' '"capacity_msgs":null,"capacity_max_msgs":null,' \
		<(t stat end --json)
	has 'stat --json' '"memory_limit_bytes":4194304,' \
		<(t stat end --json)
	status 'resize' 1 resize end --capacity 6
	has 'resize' 'unbounded' "$work/err"
	head -c 2M /dev/zero | t send end 2>"$work/err"
	is 'above the quota' $? 1
	has 'above the quota' 'limit' "$work/err"
	is 'all' "$(t recv end --all --lines | md5sum)" "$(seq 1 5000 | md5sum)"
	status 'rm' 0 rm end
	status create 0 create end --capacity unbounded
	has 'stat' '0 of unbounded' <(t stat end)
	status 'rm' 0 rm end
}

test_ends() {
	status create 0 create end --capacity 2 --capacity-max 5
	status 'a maximum too small' 2 create other --capacity 2 --capacity-max 1
	seq 1 2 | t send end --lines
	status 'full' 3 send end 3 --nowait
	status 'too large' 1 resize end --capacity 6
	has 'too large' 'capacity-max' "$work/err"
	status 'no capacity' 2 resize end
	status 'larger' 0 resize end --capacity 5
	status 'there is room' 0 send end 3 --nowait
	has 'stat' '"capacity_msgs":5,"capacity_max_msgs":5,"ended":false' \
		<(t stat end --json)
	is 'purge' "$(t purge end)" 3
	is 'purge again' "$(t purge end)" 0
	seq 1 3 | t send end --lines
	status 'close' 0 close end
	status 'close again' 0 close end
	status 'no more' 1 send end 4
	has 'no more' 'closed' "$work/err"
	has 'stat' 'live, closed' <(t stat end)
	is 'the rest' "$(t recv end --lines --follow | tr '\n' ' ')" '1 2 3 '
	status 'the end' 4 recv end
	status 'the end, of --all' 0 recv end --all
	status 'close what is not there' 1 close nothing
	status 'rm' 0 rm end
}

test_bodies() {
	local size
	t create big
	for size in 1 63 64 65 4096 65535 65536 65537 1048576 1048577 9000000; do
		head -c $size /dev/urandom > "$work/body"
		t send big < "$work/body"
		if t recv big | cmp -s - "$work/body"; then ok; else
			bad "a body of $size bytes"
		fi
	done
	seq 1 40 | tr -d '\n' | head -c 70000 > "$work/line"
	head -c 300000 /dev/zero | tr '\0' x >> "$work/line"
	echo >> "$work/line"
	t send big --lines < "$work/line"
	if t recv big --lines | cmp -s - "$work/line"; then ok; else
		bad 'a line longer than the buffer'
	fi
	printf '\377\0\001' | t send big
	t recv big --json > "$work/out"
	has 'not UTF-8' '"body_base64":"/wAB"' "$work/out"
	printf 'q"\\\n\t\001\303\251' | t send big
	t recv big --json > "$work/out"
	has 'UTF-8' '"body":"q\"\\\n\t\u0001é"' "$work/out"
	if command -v python3 >/dev/null; then
		head -c 2000 /dev/urandom > "$work/body"
		t send big < "$work/body"
		t recv big --json | python3 -c 'import base64, json, sys
m = json.load(sys.stdin)
sys.stdout.buffer.write(base64.b64decode(m["body_base64"]))' |
			cmp -s - "$work/body" && ok || bad 'base64'
		t ls --json | python3 -m json.tool >/dev/null && ok || bad 'ls json'
		t stat big --json | python3 -m json.tool >/dev/null && ok ||
			bad 'stat json'
	else
		skipped=$((skipped + 3)) reasons="$reasons no python3;"
	fi
	t rm big
}

test_stream() {
	t create pipe --capacity 16
	t recv pipe -n 50000 --lines > "$work/got" &
	local reader=$!
	seq 1 50000 > "$work/sent"
	t send pipe --lines < "$work/sent"
	wait $reader
	is 'stream: status' $? 0
	if cmp -s "$work/got" "$work/sent"; then ok; else bad 'stream'; fi
	# Many on each side: every line exactly once.
	local i pids=''
	for i in 1 2 3; do
		t recv pipe -n 3000 --lines > "$work/got$i" &
		pids="$pids $!"
	done
	for i in 1 2 3; do
		seq ${i}00001 ${i}03000 | t send pipe --lines &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086
	wait $pids
	is 'many to many' "$(cat "$work"/got[123] | sort | md5sum)" \
		"$({ seq 100001 103000; seq 200001 203000; seq 300001 303000; } |
			sort | md5sum)"
	t rm pipe
}

# Processes that wait are removed under, or interrupted.
test_waiting() {
	local pid
	t create w --capacity 1
	"$tool" recv w > "$work/out" 2>"$work/err" &
	pid=$!
	until_true waits_on w receivers || bad 'nobody waits'
	t stat w > "$work/stat"
	has 'stat shows who waits' "waiting to receive" "$work/stat"
	has 'stat shows the pid' "$pid" "$work/stat"
	t rm w
	wait $pid
	is 'recv of a removed mailbox' $? 1
	has 'recv of a removed mailbox' 'removed' "$work/err"

	t create w --capacity 1
	say w full
	"$tool" send w more 2>"$work/err" &
	pid=$!
	until_true waits_on w senders || bad 'no sender waits'
	kill -INT $pid 2>/dev/null; kill -TERM $pid
	wait $pid
	is 'interrupted send' $? 143
	is 'interrupted send sent nothing' "$(t recv w --all --lines)" full

	"$tool" recv w > "$work/out" 2>"$work/err" &
	pid=$!
	until_true waits_on w receivers
	kill -TERM $pid
	wait $pid
	is 'interrupted recv' $? 143
	say w kept
	is 'interrupted recv took nothing' "$(t recv w --nowait)" kept

	# Ctrl-C. A job of a shell without job control would ignore it.
	set -m
	"$tool" recv w > "$work/out" 2>"$work/err" &
	pid=$!
	"$tool" recv w --follow > "$work/out" 2>"$work/err" &
	local follower=$!
	set +m
	until_true waiting_receivers w 2
	kill -INT $pid $follower
	wait $pid
	is 'Ctrl-C ends recv' $? 130
	wait $follower
	is 'Ctrl-C ends recv --follow' $? 0
	is 'Ctrl-C took nothing' "$(t stat w --json |
		grep -o '"received_msgs":[0-9]*')" '"received_msgs":2'

	"$tool" recv w --follow --lines > "$work/out" 2>"$work/err" &
	pid=$!
	say w one
	say w two
	until_true grep -q two "$work/out"
	kill -TERM $pid
	wait $pid
	is 'end of --follow' $? 0
	is 'output of --follow' "$(tr '\n' ' ' < "$work/out")" 'one two '
	t rm w
}

# Interrupted in a stream, at whatever moment: nothing is missing or twice.
test_interrupt_loses_nothing() {
	local i pid sender before
	t create s --capacity 8
	seq 1 20000 | t send s --lines &
	sender=$!
	: > "$work/all"
	for i in 1 2 3 4 5 6; do
		before=$(wc -c < "$work/all")
		"$tool" recv s --follow --lines >> "$work/all" &
		pid=$!
		until_true longer_or_over "$work/all" "$before" "$sender"
		kill -TERM $pid
		wait $pid
		is "interrupt $i" $? 0
	done
	until ! kill -0 $sender 2>/dev/null; do
		t recv s --all --lines --timeout 1ms >> "$work/all"
	done
	wait $sender
	t recv s --all --lines >> "$work/all"
	is 'interrupts lose nothing' "$(md5sum < "$work/all")" \
		"$(seq 1 20000 | md5sum)"
	t rm s
}

test_segments() {
	status 'seg create' 0 seg create f --size 8K
	status 'seg create again' 1 seg create f --size 8K
	printf 0123456789 | t seg write f --offset 100
	is 'seg read' "$(t seg read f --offset 102 --length 3)" 234
	is 'seg read, all' "$(t seg read f | wc -c)" 8192
	head -c 9000 /dev/zero > "$work/nine"
	t seg write f < "$work/nine" 2>"$work/err"
	is 'a file that does not fit' $? 1
	has 'a file that does not fit' 'seg grow f --size 9000' "$work/err"
	cat "$work/nine" | t seg write f 2>"$work/err"
	is 'a stream that does not fit' $? 1
	head -c 8192 /dev/urandom > "$work/body"
	cat "$work/body" | t seg write f
	is 'exactly full' $? 0
	status 'seg grow' 0 seg grow f --size 16K
	t seg read f --length 8192 | cmp -s - "$work/body" && ok || bad 'grown'
	is 'grown' "$(t seg read f | wc -c)" 16384
	status 'never smaller' 1 seg grow f --size 1K
	status 'behind the end' 1 seg read f --offset 1M
	status 'too long' 1 seg read f --length 1M
	status 'seg seal' 0 seg seal f
	echo x | t seg write f 2>"$work/err"
	is 'sealed' $? 1
	has 'sealed' 'is sealed' "$work/err"
	t seg stat f --json > "$work/out"
	has 'seg stat' '"is_sealed":true' "$work/out"
	t seg ls > "$work/out"
	has 'seg ls' 16384 "$work/out"
	status 'stat of a segment' 1 stat f
	has 'stat of a segment' 'tolsey seg stat f' "$work/err"
	status 'seg create lazy' 0 seg create lazy --size 4G --lazy
	status 'seg rm' 0 seg rm f lazy
}

test_usage() {
	local command
	for command in create send recv work ls stat rm clean 'seg create' 'seg write' \
		'seg read' 'seg ls' 'seg stat' 'seg grow' 'seg seal' 'seg rm'; do
		# shellcheck disable=SC2086
		t $command --help > "$work/out" 2>"$work/err"
		is "$command --help" $? 0
		has "$command --help" "usage: tolsey $command" "$work/out"
		# shellcheck disable=SC2086
		is "help $command" "$(t help $command)" "$(cat "$work/out")"
		# shellcheck disable=SC2086
		status "$command --nonsense" 2 $command --nonsense
	done
	status 'no command' 2
	status 'wrong command' 2 crate
	has 'wrong command' "did you mean 'create'" "$work/err"
	status 'wrong seg command' 2 seg raed
	has 'wrong seg command' "did you mean 'seg read'" "$work/err"
	status 'no name' 2 recv
	status 'two names' 2 recv a b
	status 'both' 2 send a --lines --null
	status 'both' 2 recv a --nowait --timeout 1s
	status 'both' 2 recv a --all -n 2
	status 'time without unit' 2 recv a --timeout 5
	status 'not a count' 2 recv a -n many
	status 'not a size' 2 seg create a --size 1X
	status 'size too large' 2 seg create a --size 99999999999T
	status 'not a mode' 2 create a --mode 999
	status 'missing value' 2 recv a -n
	status version 0 --version
	status help 0 help
}

# What stands between .Bd and .Ed under EXAMPLES, in one shell, must work.
test_examples() {
	mkdir "$work/bin" "$work/examples"
	ln -s "$tool" "$work/bin/tolsey"
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' man/tolsey.1 |
		sed -n '/^\.Bd/,/^\.Ed/p' | grep -v '^\.' > "$work/examples.sh"
	is 'examples were found' "$(grep -c tolsey "$work/examples.sh")" 33
	(cd "$work/examples" && PATH=$work/bin:$PATH timeout 60 \
		sh -eu "$work/examples.sh") > "$work/out" 2>"$work/err"
	is 'the examples of the manual' $? 0
	has 'the examples of the manual' 'Writing to shared memory' "$work/out"
	is 'the examples leave nothing' "$(ls -A "$TOLSEY_SPACE")" ''
}

for test in send_recv unbounded ends bodies stream waiting interrupt_loses_nothing segments \
	usage examples; do
	"test_$test"
done
status clean 0 clean
is 'nothing is left' "$(ls -A "$TOLSEY_SPACE")" ''
echo "$passed passed, $failed failed, $skipped skipped${reasons:+:$reasons}"
[ $failed -eq 0 ]
