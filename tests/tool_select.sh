#!/bin/bash
# SPDX-License-Identifier: MIT
# Tags, priorities and senders from outside: who gets which message, what is said
# when there is none, what makes no sense, and what stat knows of it.
set -u
cd "$(dirname "$0")/.." || exit 1
tool=${TOLSEY:-$PWD/build/tolsey}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
passed=0 failed=0 skipped=0 reasons=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-select.XXXXXX || mktemp -d)
export TOLSEY_SPACE
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

has() {
	if grep -qF -- "$2" "$3"; then ok; else
		bad "$1: '$2' is missing in: $(cat "$3")"
	fi
}

# refused WHAT STATUS PATTERN ARGUMENT...: one line that has the pattern
refused() {
	local what=$1 wanted=$2 pattern=$3 got
	shift 3
	t "$@" > "$work/out" 2> "$work/err" < /dev/null
	got=$?
	is "$what: status" $got "$wanted"
	is "$what: output" "$(cat "$work/out")" ''
	if [ "$(wc -l < "$work/err")" = 1 ] &&
		grep -Eq -- "^tolsey: .*$pattern" "$work/err"; then ok; else
		bad "$what: not one line with /$pattern/"
	fi
}

# gets WHAT WANTED ARGUMENT...: a line for each message
gets() {
	local what=$1 wanted=$2
	shift 2
	is "$what" "$(t "$@" 2> "$work/err" < /dev/null | tr '\n' ' ')" \
		"$wanted"
}

# until_true COMMAND...: looks until it holds, with a limit far above that
until_true() {
	local end=$((SECONDS + 60))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.01
	done
}

waits() { t stat "$1" --json | grep -q "\"waiting_receivers_count\":$2,"; }

# send NAME TEXT TAG [PRIORITY]
send() { t send "$1" "$2" --tag "$3" --priority "${4-0}" < /dev/null; }

depths() { t stat "$1" --json | sed 's/.*"depths":\(.*\),"participants".*/\1/'; }

test_bad_input() {
	local tags word option
	t create b
	for word in '' x 1, ,1 1,,2 -1 +1 ' 1' 1.5 0x 0xg 1x 18446744073709551616 \
		0x10000000000000000 1,99999999999999999999999; do
		refused "--tag '$word'" 2 "--tag '" recv b --tag "$word"
		refused "work --tag '$word'" 2 "--tag '" work b --tag "$word" \
			-- true
	done
	for word in '' x 1,2 -1 0x 18446744073709551616; do
		refused "send --tag '$word'" 2 "--tag '" send b x --tag "$word"
		refused "--not-tag '$word'" 2 "--not-tag '" recv b \
			--not-tag "$word"
		refused "--lowest-tag '$word'" 2 "--lowest-tag '" recv b \
			--lowest-tag "$word"
	done
	for word in '' - 5 5-9-11 a-b 5-x -x --5 5--9 5-18446744073709551616; do
		refused "--tag-range '$word'" 2 "--tag-range '" recv b \
			--tag-range "$word"
	done
	refused 'a range backwards' 2 'ends before it begins' recv b \
		--tag-range 9-5
	for word in '' 0 -1 x 1x 4294967297 99999999999999999999; do
		refused "--from '$word'" 2 '--from .*process id' recv b \
			--from "$word"
	done
	refused 'a name' 2 'names of processes.*process id' recv b --from @me
	for word in '' x -1 1,2 99999999999999999999; do
		refused "--priority '$word'" 2 "--priority '" send b x \
			--priority "$word"
	done
	refused 'a priority too high' 2 '0 to 32767' send b x --priority 32768
	tags=$(seq -s, 1 64)
	refused '64 tags' 3 'no message that is wanted' recv b --tag "$tags" \
		--nowait
	refused '65 tags' 2 'at most 64' recv b --tag "$tags,65"
	refused '65 tags in two' 2 'at most 64' recv b --tag "$tags" --tag 65
	for option in --tag-range=1- --not-tag=1 --lowest-tag=1 --from=1; do
		refused "--tag and $option" 2 'exclude each other' recv b \
			--tag 1 $option
		refused "$option and --tag" 2 'exclude each other' recv b \
			$option --tag 1
		refused "$option twice" 2 'twice' recv b $option $option
	done
	refused 'no value' 2 'needs a value' recv b --tag
	refused 'on a tap' 1 'tap' recv b:tap --tag 1 --nowait
	refused 'no such mailbox' 1 'ghost' recv ghost --tag 1
	t stat b > "$work/out"
	has 'nothing was sent' '0 sent, 0 received' "$work/out"
	t rm b
}

# Each way to select, on the same ten messages.
test_ways() {
	local capacity=$1 i name=w
	t create $name --capacity "$capacity"
	for ((i = 0; i < 10; i++)); do
		send $name m$i $((i % 5))
	done
	gets 'one tag' 'm3 ' recv $name -l --tag 3
	gets 'a tag in hexadecimal' 'm8 ' recv $name -l --tag 0x3
	refused 'no more' 3 'no message that is wanted' recv $name --tag 3 \
		--nowait
	refused 'no more in time' 3 'timed out, no message that is wanted' \
		recv $name --tag 3 --timeout 10ms
	gets 'none is no failure' '' recv $name --all --tag 3
	gets 'two tags' 'm1 m4 ' recv $name -l -n 2 --tag 4,1
	gets 'the option again' 'm6 m9 ' recv $name -l --all --tag 0x4 --tag 1
	send $name big 18446744073709551615
	send $name big2 0x7fffffffffffffff
	gets 'a range' 'm2 m7 ' recv $name -l --all --tag-range 1-0x4
	gets 'the largest' 'big ' recv $name -l --tag 0xFFFFFFFFFFFFFFFF
	send $name big 18446744073709551615
	gets 'from on' 'big2 big ' recv $name -l --all --tag-range 5-
	send $name one 1
	send $name two 2
	gets 'up to' 'm0 m5 one ' recv $name -l --all --tag-range -1
	send $name four 4
	send $name three 3
	gets 'all but one' 'four three ' recv $name -l --all --not-tag 2
	send $name four 4
	send $name three 3
	gets 'the lowest' 'two three ' recv $name -l -n 2 --lowest-tag 3
	refused 'too high' 3 'no message that is wanted' recv $name --nowait \
		--lowest-tag 3
	gets 'the rest' 'four ' recv $name -l --lowest-tag 4 --nowait
	is 'nothing is left over' "$(depths $name)" '[]'
	"$tool" send $name mine < /dev/null --tag 1 &
	i=$!
	wait $i
	send $name other 1
	gets 'by its sender' 'mine ' recv $name -l --from $i
	refused 'no more of it' 3 'no message that is wanted' recv $name \
		--nowait --from $i
	t rm $name
}

test_priorities() {
	local capacity=$1
	t create p --capacity "$capacity"
	send p low1 1
	send p high1 1 32767
	send p mid1 2 7
	send p mid2 1 0x7
	send p low2 2
	gets 'of one tag' 'high1 ' recv p -l --tag 1
	gets 'in their order' 'mid1 mid2 low1 low2 ' recv p -l --all
	send p low 3
	send p high 4 9
	gets 'the tag before the priority' 'low high ' recv p -l -n 2 \
		--lowest-tag 9
	printf 'a\nb\n' | t send p --lines --priority 3 --tag 5
	send p c 5
	t recv p --all --json --tag 5 > "$work/out"
	is 'JSON' "$(sed 's/"sender_pid":[0-9]*/"sender_pid":N/;
		s/"sender_uid":[0-9]*/"sender_uid":U/' "$work/out" |
		grep -o '"tag":5,"priority":[0-9]*,"tries":1,.*"body":"."' |
		sed 's/,"tries.*"body"//' | tr '\n' ' ')" \
		'"tag":5,"priority":3:"a" "tag":5,"priority":3:"b" "tag":5,"priority":0:"c" '
	t rm p
}

# Who sleeps is woken by what it wants, and others' messages stay.
test_waiting() {
	local pid
	t create s
	"$tool" recv s -l --tag 7 > "$work/seven" < /dev/null &
	pid=$!
	if until_true waits s 1; then ok; else bad 'nobody waits'; fi
	send s six 6
	send s eight 8 5
	is 'still asleep' "$(t stat s --json | grep -o \
		'"queued_msgs":2,\|"waiting_receivers_count":1,' |
		tr -d '\n')" '"queued_msgs":2,"waiting_receivers_count":1,'
	send s seven 7
	wait $pid
	is 'woken: status' $? 0
	is 'woken' "$(cat "$work/seven")" seven
	gets 'the others' 'eight six ' recv s -l --all
	# The end, for one who waits for what does not come.
	"$tool" recv s --tag 7 > "$work/seven" 2> "$work/err" < /dev/null &
	pid=$!
	until_true waits s 1 || bad 'nobody waits'
	send s six 6
	t close s
	wait $pid
	is 'closed: status' $? 4
	has 'closed' 'closed, and no message that is wanted is left' "$work/err"
	: > "$work/err"
	gets '--follow' 'six ' recv s -l --follow --not-tag 7
	t rm s
}

# Several at once, asleep and awake: to each its own, all of it, in order.
test_each_its_own() {
	local i pids=() capacity=$1
	t create e --capacity "$capacity"
	for i in 1 2 3; do
		"$tool" recv e -l --follow --tag "$i,1$i" > "$work/own$i" \
			< /dev/null &
		pids+=($!)
	done
	until_true waits e 3 || bad 'not all wait'
	for i in 1 2 3 11 12 13; do
		seq "$i" 100 20000 | t send e --lines --tag "$i" &
		pids+=($!)
	done
	wait "${pids[@]:3}"
	t close e
	wait "${pids[@]:0:3}"
	for i in 1 2 3; do
		is "all for $i, once" "$(sort -n "$work/own$i" | cksum)" \
			"$( (seq "$i" 100 20000; seq "1$i" 100 20000) |
				sort -n | cksum)"
		is "in order for $i" "$(grep "^[0-9]*0$i\$\|^$i\$" \
			"$work/own$i" | cksum)" "$(seq "$i" 100 20000 | cksum)"
	done
	is 'all is received' "$(depths e)" '[]'
	t rm e
}

# Standard files that are closed: nothing is taken, nothing is lost.
test_closed_files() {
	t create c
	t send c one --tag 1 --priority 2 <&-
	is 'send with closed input' $? 0
	t recv c --tag 1 >&- 2> "$work/err"
	is 'recv with closed output' $? 1
	has 'recv with closed output' 'no message was taken' "$work/err"
	: > "$work/err"
	t recv c -l --tag 1 <&- > "$work/out"
	is 'recv with closed input' "$?$(cat "$work/out")" 0one
	t rm c
}

test_stat() {
	t create d --unbounded
	is 'empty' "$(depths d)" '[]'
	t send d plain
	t stat d > "$work/out"
	is 'no table' "$(grep -c PRIORITY "$work/out")" 0
	is 'JSON always' "$(depths d)" \
		'[{"priority":0,"tag":0,"msgs":1,"bytes":5}]'
	send d xx 7
	send d yyy 7 3
	send d z 2 3
	send d zz 2 3
	t stat d | sed -n '/PRIORITY/,$p' | tr -s ' ' > "$work/out"
	is 'the table' "$(cat "$work/out")" ' PRIORITY TAG MESSAGES BYTES
 3 2 2 3
 3 7 1 3
 0 0 1 5
 0 7 1 2'
	is 'the same in JSON' "$(depths d)" "$(printf '[%s,%s,%s,%s]' \
		'{"priority":3,"tag":2,"msgs":2,"bytes":3}' \
		'{"priority":3,"tag":7,"msgs":1,"bytes":3}' \
		'{"priority":0,"tag":0,"msgs":1,"bytes":5}' \
		'{"priority":0,"tag":7,"msgs":1,"bytes":2}')"
	gets 'the lowest' 'plain ' recv d -l --lowest-tag 0
	t rm d
}

test_stat_after() {
	local i
	t create d
	for i in 1 2 3; do send d x$i $i $i; done
	gets 'from the middle' 'x2 ' recv d -l --tag 2
	is 'the middle is gone' "$(depths d)" "$(printf '[%s,%s]' \
		'{"priority":3,"tag":3,"msgs":1,"bytes":2}' \
		'{"priority":1,"tag":1,"msgs":1,"bytes":2}')"
	t stat d > "$work/out"
	has 'queued and bytes' 'messages      2 of 64, 4 bytes' "$work/out"
	has 'totals' '3 sent, 1 received' "$work/out"
	t purge d > /dev/null
	is 'purged' "$(depths d)" '[]'
	for i in $(seq 30); do send d x "$i"; done
	t recv d --tag 30 > /dev/null
	t stat d > "$work/out"
	is 'not all of many lines' "$(sed -n '/PRIORITY/,$p' "$work/out" |
		grep -c ' 1  *1$')" 24
	has 'and how many more' '5 lines more, of 5 messages: see --json' \
		"$work/out"
	is 'all in JSON' "$(depths d | grep -o '"msgs":1,' | wc -l)" 29
	t rm d
}

test_work() {
	t create k
	send k a 1
	send k b 2 5
	send k c 1 9
	send k d 3 1
	# shellcheck disable=SC2016
	gets 'by priority' 'c/9/1 b/5/2 a/0/1 ' work k --tag 1,2 --drain -- \
		sh -c 'echo "$(cat)/$TOLSEY_PRIORITY/$TOLSEY_TAG"'
	is 'the others stay' "$(depths k)" \
		'[{"priority":1,"tag":3,"msgs":1,"bytes":1}]'
	t work k --not-tag 1 -n 1 --json -- true > "$work/out" 2> "$work/err"
	has JSON '"tag":3,"priority":1,"try":1,"result":"done"' "$work/out"
	# What fails comes back for those who want it, with all that it has.
	send k again 4 6
	send k never 5 7
	# shellcheck disable=SC2016
	gets 'tried again' '1/4/6 2/4/6 ' work k --tag-range 3-4 --drain -- \
		sh -c 'echo "$TOLSEY_TRY/$TOLSEY_TAG/$TOLSEY_PRIORITY"
			[ "$TOLSEY_TRY" = 2 ]'
	is 'not the other one' "$(depths k)" \
		'[{"priority":7,"tag":5,"msgs":1,"bytes":5}]'
	t work k --tag 5 --max-tries 1 --drain -- false 2> "$work/err"
	is 'a dead letter' $? 1
	t recv k:dead --json > "$work/out"
	has 'its priority' '"tag":5,"priority":7,' "$work/out"
	is 'nothing is left' "$(depths k)" '[]'
	t rm k
}

# A look changes nothing.
test_peek() {
	local i
	t create l
	for i in 1 2 3 4; do send l m$i $((i % 2)) $i; done
	gets 'a tag' 'm4 m2 ' peek l --all --tag 0
	gets 'the second' 'm1' peek l --index 1 --not-tag 0
	gets 'a range' 'm3 m1 ' peek l --all --tag-range 1-1
	gets 'the lowest' 'm4' peek l --lowest-tag 1
	gets 'all' 'm4 m3 m2 m1 ' peek l --all
	refused 'none' 3 'no message that is wanted waits' peek l --tag 7
	refused 'not so many' 3 'no message that is wanted waits' peek l --tag 1 \
		--index 2
	gets 'none is no failure of --all' '' peek l --all --tag 7
	refused 'bad input' 2 '--tag ' peek l --tag x
	refused 'two' 2 'exclude each other' peek l --tag 1 --from 1
	t peek l --tag 1 --json > "$work/out"
	has JSON '"tag":1,"priority":3,"tries":1,' "$work/out"
	gets 'what was looked at' 'm4 m3 m2 m1 ' recv l -l --all
	t rm l
}

is_seen() { send v seen 3 12 && t recv v > /dev/null && [ -s "$work/out" ]; }

# Those who watch see it, too.
test_tap() {
	local pid
	t create v
	"$tool" tap v --json > "$work/out" 2> "$work/err" < /dev/null &
	pid=$!
	# Until it has begun it sees nothing.
	if until_true is_seen; then ok; else bad 'nobody taps'; fi
	t close v
	wait $pid
	has 'a tap' '"tag":3,"priority":12,' "$work/out"
	t rm v
}

# Dead letters are selected among, too.
test_dead() {
	local i
	t create x
	for i in 1 2 3; do send x m$i $i; done
	t work x --max-tries 1 --drain -- false 2> "$work/err"
	: > "$work/err"
	gets 'a dead letter' 'm2 ' recv x:dead -l --tag 2
	refused 'no such one' 3 'no message that is wanted' recv x:dead \
		--tag 2 --nowait
	gets 'a look at one' 'm3 ' peek x:dead --all --not-tag 1
	gets 'the others' 'm1 m3 ' recv x:dead -l --all
	t rm x
}

# With capacity 0 those meet who suit each other.
test_meeting() {
	local five six
	t create z --capacity 0
	"$tool" send z five --tag 5 < /dev/null &
	five=$!
	until_true waits_to_send z 1 || bad 'nobody sends'
	"$tool" send z six --tag 6 < /dev/null &
	six=$!
	until_true waits_to_send z 2 || bad 'nobody sends'
	refused 'neither' 3 'no message that is wanted' recv z --tag 7 --nowait
	gets 'the second' 'six ' recv z -l --tag 6
	gets 'the first' 'five ' recv z -l --tag 5
	wait $five $six
	"$tool" recv z -l --tag 3 > "$work/three" < /dev/null &
	five=$!
	until_true waits z 1 || bad 'nobody waits'
	refused 'not that one' 3 'full' send z x --tag 4 --nowait
	t send z three --tag 3
	wait $five
	is 'that one' "$(cat "$work/three")" three
	t rm z
}

waits_to_send() { t stat "$1" --json | grep -q "\"waiting_senders_count\":$2,"; }

test_bad_input
for capacity in 64 unbounded; do
	test_ways $capacity
	test_priorities $capacity
	test_each_its_own $capacity
done
for test in waiting closed_files stat stat_after work peek tap dead meeting; do
	"test_$test"
done
t clean > /dev/null
is 'nothing is left' "$(ls -A "$TOLSEY_SPACE")" ''
echo "$passed passed, $failed failed${reasons:+, $skipped skipped:$reasons}"
[ $failed -eq 0 ]
