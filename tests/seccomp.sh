#!/bin/sh
# SPDX-License-Identifier: MIT
# The library where system calls are refused, as container engines do it: what
# doc/surroundings.md says is lost without each is lost, nothing else, and nothing
# crashes or hangs. And each call that strace sees is in its table.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${O:-$PWD/build}
passed=0 failed=0 skipped=0 why=
work=$(mktemp -d) || exit 1
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-seccomp.XXXXXX) || exit 1
export TOLSEY_SPACE
trap 'rm -rf "$work" "$TOLSEY_SPACE"' EXIT
page=doc/surroundings.md

ok() { passed=$((passed + 1)); }
bad() {
	failed=$((failed + 1))
	echo "$1"
}

skip() {
	skipped=$((skipped + 1)) why="${why:+$why, }$1"
}

finish() {
	if [ $skipped -gt 0 ]; then
		echo "$passed passed, $failed failed, $skipped skipped: $why"
	else
		echo "$passed passed, $failed failed"
	fi
	[ $failed -eq 0 ]
	exit
}

compile() {
	${CC:-cc} -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -Iinclude \
		-o "$work/$1" "tests/programs/$1.c" "$build/libtolsey.a" -pthread
}

if [ "$(uname -m)" != x86_64 ]; then
	skip 'the table of numbers is that of x86-64'
	finish
fi
compile talk && compile deny || exit 1

# talk_under COMMAND...: what it cannot do, in a row
talk_under() {
	rm -rf "$TOLSEY_SPACE"/* "$TOLSEY_SPACE"/.[!.]*
	timeout -s KILL 120 "$@" "$work/talk" > "$work/out" 2>&1
	grep -v ' ok$' "$work/out" | cut -d ' ' -f 1 | tr '\n' ' '
}

lost=$(talk_under env)
if [ -z "$lost" ]; then ok; else bad "fails here: $(cat "$work/out")"; fi

if "$work/deny" EPERM docker /bin/true 2>/dev/null; then
	# Rows of the table: | `call`, `call` | what for | what is lost | names |
	sed -n 's/^| \(`[a-z].*\) | .* | .* | \(.*\) |$/\1| \2/p' "$page" |
		tr -d '`,' > "$work/rows"
	[ -s "$work/rows" ] || bad "$page has no table"
	while IFS='|' read -r names expected; do
		case $expected in *all*) continue ;; esac
		expected=$(echo $expected | sed 's/^none$//')
		for name in $names; do
			for error in EPERM ENOSYS; do
				lost=$(talk_under "$work/deny" $error "$name")
				if [ "$(echo $lost)" = "$expected" ]; then
					ok
				else
					bad "$name $error: lost '$lost', not '$expected'"
					cat "$work/out"
				fi
				if grep -E 'signal|wrong' "$work/out"; then
					bad "$name $error: not an error"
				fi
			done
		done
	done < "$work/rows"
	# Needed by all: errors, each at once.
	for name in fallocate fcntl fchmod madvise mmap openat pread64; do
		talk_under "$work/deny" EPERM "$name" > /dev/null
		if grep -qE 'ok$' "$work/out" && [ $name != openat ] &&
			grep -q '^now ok' "$work/out"; then
			bad "$name is not needed by all: $(cat "$work/out")"
		elif grep -qE 'signal|wrong' "$work/out"; then
			bad "$name: $(cat "$work/out")"
		else
			ok
		fi
	done
else
	skip 'no seccomp filter here'
fi

# Of the program itself and of libc, when it begins and ends; none is ours.
others='access|alarm|arch_prctl|brk|clone|clone3|execve|exit_group|getppid|kill'
others="$others|mkdir|rmdir|unlink|mprotect|newfstatat|pause|poll|restart_syscall|rseq"
others="$others|rt_sigaction|rt_sigprocmask|set_robust_list|set_tid_address"
others="$others|sigaltstack|wait4|write|exit|ioctl|rt_sigreturn"
if strace -o /dev/null true 2>/dev/null; then
	rm -rf "$TOLSEY_SPACE"/* "$TOLSEY_SPACE"/.[!.]*
	strace -f -qq -o "$work/trace" "$work/talk" > /dev/null
	sed -n 's/^[0-9]* *\([a-z][a-z_0-9]*\)(.*/\1/p' "$work/trace" |
		sort -u | grep -vxE "$others" > "$work/made"
	if ! grep -qx futex_waitv "$work/made"; then
		bad 'strace has not seen the calls'
	fi
	while read -r name; do
		if grep -q "^|.*\`$name\`.*|" "$page"; then ok; else
			bad "$name is made, and not in the table of $page"
		fi
	done < "$work/made"
else
	skip 'strace is missing or may not trace'
fi
finish
