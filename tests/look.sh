#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tolsey peek, tap and doctor, from outside.
set -u
cd "$(dirname "$0")/.." || exit 1
O=${O:-$PWD/build}
tool=${TOLSEY:-$O/tolsey}
passed=0 failed=0
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d -p /dev/shm) || exit 1
export TOLSEY_SPACE
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT

# is WHAT WANTED GOT
is() {
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "$1: wanted '$2', got '$3'"
	fi
}

# has WHAT TEXT IN
has() {
	case $3 in
	*"$2"*) passed=$((passed + 1)) ;;
	*)
		failed=$((failed + 1))
		echo "$1: no '$2' in '$3'"
		;;
	esac
}

# status WANTED ARGUMENT...: of the tool; its output is in $out
status() {
	wanted=$1
	shift
	out=$("$tool" "$@" 2>&1 < /dev/null)
	is "tolsey $*" "$wanted" $?
}

status 0 create jobs --capacity 4
status 3 peek jobs
has 'peek of none' 'no message waits there' "$out"
status 0 peek jobs --all
is 'peek --all of none' '' "$out"
for text in one two three; do
	"$tool" send jobs "$text"
done
status 0 peek jobs
is peek one "$out"
status 0 peek jobs --index 2
is 'peek --index' three "$out"
status 3 peek jobs --index 3
status 0 peek jobs --all
is 'peek --all' 'one
two
three' "$out"
status 0 peek jobs --index 1 --json
has 'peek --json' '"position":1,' "$out"
has 'peek --json' '"body":"two"' "$out"
status 0 recv jobs
is 'nothing was taken' one "$out"
status 2 peek jobs --all --index 1
status 2 peek jobs --index x
status 2 peek
status 1 peek none
status 3 peek jobs:dead

if [ -e /dev/full ]; then
	"$tool" send jobs one
	out=$("$tool" peek jobs 2>&1 > /dev/full)
	is 'peek: nowhere to write' 1 $?
	has 'peek: nowhere to write' 'cannot write to standard output' "$out"
fi
for command in 'send jobs:dead x' 'stat jobs:dead' 'close jobs:dead' \
	'resize jobs:dead -c 3' 'doctor jobs:dead' 'tap jobs:dead' \
	'work jobs:tap -- true'; do
	# shellcheck disable=SC2086
	status 1 $command
	has "$command" 'name the mailbox, jobs' "$out"
done
status 2 create two --capacity 3 --unbounded

# A tap is there when its file is.
status 0 purge jobs
"$tool" tap jobs > "$work/text" 2> "$work/errors" &
first=$!
"$tool" tap jobs --json --count 2 > "$work/json" &
second=$!
until set -- "$TOLSEY_SPACE"/.tap.* && [ $# -eq 2 ]; do :; done
# Announced right after; so send until it has been seen.
until [ -s "$work/text" ] && [ -s "$work/json" ]; do
	"$tool" send jobs hello
	"$tool" recv jobs > /dev/null
done
e7=$(printf '\303\251\303\251\303\251\303\251\303\251\303\251\303\251')
e49=$e7$e7$e7$e7$e7$e7$e7
printf 'x%s' "$e49$e49$e49" | "$tool" send jobs
printf 'a\033b\302\233c\177%s' "$e7" | "$tool" send jobs --tag 7
"$tool" close jobs
wait "$first"
is 'the end of what is tapped' 0 $?
wait "$second"
is 'tap --count' 0 $?
has 'tap' ' bytes=5 hello' "$(head -n 1 "$work/text")"
has 'what a terminal should not get' " tag=7 bytes=21 a?b??c?$e7" \
	"$(tail -n 1 "$work/text")"
has 'not through the middle of a letter' " bytes=295 x$e49$e49" \
	"$(tail -n 2 "$work/text" | head -n 1)"
is 'nothing was missed' '' "$(cat "$work/errors")"
is 'tap --count' 2 "$(wc -l < "$work/json")"
has 'tap --json' '"sent_bytes":' "$(cat "$work/json")"
has 'tap --json' '"missed_msgs":0' "$(cat "$work/json")"
status 0 recv jobs
status 1 tap none
status 2 tap jobs --count x
status 0 rm jobs

status 0 create jobs
"$tool" tap jobs > "$work/again" &
first=$!
until [ -s "$work/again" ]; do
	"$tool" send jobs hello
	"$tool" recv jobs > /dev/null
done
kill "$first"
wait "$first"
is 'an interrupted tap' 0 $?
is 'no file of it is left' "$TOLSEY_SPACE/.tap.*" \
	"$(echo "$TOLSEY_SPACE"/.tap.*)"

for text in one two three; do
	"$tool" send jobs "$text"
done
status 0 doctor jobs
has 'doctor of a sound one' 'jobs: sound; 3 messages readable, 0 lost' "$out"
# Into the slot of the second message, in the second page: all of it.
where=$("$tool" peek jobs --index 1 --json |
	sed 's/.*"position":\([0-9]*\).*/\1/')
printf '\377\377\377\377\377\377\377\377' | dd of="$TOLSEY_SPACE/jobs" bs=8 \
	seek=$((512 + where % 64)) conv=notrunc 2> /dev/null
status 1 doctor jobs
has doctor "lost: slot $((where % 64)), position $where: its slot" "$out"
has doctor 'jobs: damaged; 2 messages readable, 1 lost' "$out"
status 1 doctor jobs --json
has 'doctor --json' '"is_sound":false' "$out"
has 'doctor --json' '"kind":"lost"' "$out"
# Somebody has it open: a receiver at another, empty end of it.
"$tool" tap jobs > /dev/null &
first=$!
until set -- "$TOLSEY_SPACE"/.tap.* && [ -e "$1" ]; do :; done
status 1 doctor jobs --repair
has 'somebody has it open' "$first (tolsey)" "$out"
kill "$first"
wait "$first"
status 1 doctor jobs --repair
has 'doctor --repair' 'jobs: repaired; 2 messages readable, 1 lost' "$out"
status 0 doctor jobs
status 0 recv jobs --all --lines
is 'what was kept' 'one
three' "$out"
# Quarantine alone: nothing is lost, and the status says so.
"$tool" send jobs four
printf '\003' | dd of="$TOLSEY_SPACE/jobs" bs=1 seek=128 conv=notrunc \
	2> /dev/null
status 1 recv jobs
has 'what is damaged' "see 'tolsey doctor jobs'" "$out"
status 0 doctor jobs --repair
has 'out of quarantine' 'jobs: repaired; 1 messages readable, 0 lost' "$out"
status 0 recv jobs
is 'after quarantine' four "$out"
# A state that is none, and where to look for those who wait.
"$tool" send jobs five
printf '\001' | dd of="$TOLSEY_SPACE/jobs" bs=1 seek=133 conv=notrunc \
	2> /dev/null
status 1 doctor jobs
has 'a wrong state' 'damaged: head: its state makes no sense' "$out"
status 0 doctor jobs --repair
status 0 recv jobs --nowait
is 'after a wrong state' five "$out"
status 0 create meet --capacity 0
"$tool" work meet -n 1 -- false &
first=$!
"$tool" send meet six
wait "$first"
status 0 doctor meet
printf '\001' | dd of="$TOLSEY_SPACE/meet" bs=1 seek=388 conv=notrunc \
	2> /dev/null
status 1 doctor meet
has 'a wrong hint' 'the hint who waits first is ahead' "$out"
status 0 doctor meet --repair
status 0 recv meet --nowait
is 'after a wrong hint' six "$out"
status 0 rm meet
status 1 doctor none
status 2 doctor
status 2 doctor jobs extra
printf 'no mailbox, but long enough for a head of one' > "$TOLSEY_SPACE/file"
status 1 doctor file
rm "$TOLSEY_SPACE/file"
status 0 rm jobs
is 'nothing is left' '' "$(ls -A "$TOLSEY_SPACE")"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
