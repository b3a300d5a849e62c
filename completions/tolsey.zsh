#compdef tolsey
# SPDX-License-Identifier: MIT

_tolsey_names()
{
	local -a space names

	(( $+opt_args[--space] )) && space=(--space $opt_args[--space])
	names=(${(f)"$(tolsey $space ls 2>/dev/null |
		awk -v kind=$1 'NR > 1 && $2 == kind { print $1 }')"})
	compadd -a names
}

_tolsey_mailboxes() { _tolsey_names mailbox }
_tolsey_segments() { _tolsey_names segment }

_tolsey_seg()
{
	local -a commands common json

	common=('--space[the space]:directory:_files -/' '(- *)'{-h,--help}'[help]')
	json=('--json[as JSON]')
	commands=(
		'create:make a segment' 'write:copy standard input into a segment'
		'read:copy a segment to standard output' 'ls:list the segments'
		'stat:show a segment' 'grow:make a segment larger'
		'seal:let nobody write it any more' 'rm:remove segments'
	)
	if (( CURRENT == 2 )); then
		_describe command commands
		return
	fi
	shift words
	(( CURRENT-- ))
	case $words[1] in
	create) _arguments $common '--size[size]:size:' '--lazy[do not reserve]' \
		'--mode[mode]:octal mode:' ':name:' ;;
	write) _arguments $common '--offset[begin there]:bytes:' \
		':segment:_tolsey_segments' ;;
	read) _arguments $common '--offset[begin there]:bytes:' \
		'--length[that many bytes]:bytes:' ':segment:_tolsey_segments' ;;
	ls) _arguments $common $json ;;
	stat) _arguments $common $json ':segment:_tolsey_segments' ;;
	grow) _arguments $common '--size[new size]:size:' \
		':segment:_tolsey_segments' ;;
	seal) _arguments $common ':segment:_tolsey_segments' ;;
	rm) _arguments $common '*:segment:_tolsey_segments' ;;
	esac
}

_tolsey_command()
{
	local -a commands common json wait choose

	common=('--space[the space]:directory:_files -/' '(- *)'{-h,--help}'[help]')
	json=('--json[as JSON]')
	wait=('(--timeout)--nowait[do not wait]' '(--nowait)--timeout[wait that long]:time:')
	choose=('(--tag-range --not-tag --lowest-tag --from)*--tag[with one of these tags]:tags:'
		'(--tag --not-tag --lowest-tag --from)--tag-range[with a tag from A to B]:range:'
		'(--tag --tag-range --lowest-tag --from)--not-tag[with any tag but that]:tag:'
		'(--tag --tag-range --not-tag --from)--lowest-tag[the lowest tag, up to that]:tag:'
		'(--tag --tag-range --not-tag --lowest-tag)--from[sent by that process]:process:_pids')
	commands=(
		'create:make a mailbox' 'send:send messages' 'recv:receive messages'
		'work:run a command for each message'
		'peek:show what waits' 'tap:watch messages go by'
		'doctor:look at what is wrong with a mailbox'
		'ls:list mailboxes and segments' 'stat:show a mailbox'
		'rm:remove mailboxes' 'close:no more messages'
		'purge:throw away what is queued' 'resize:change the capacity'
		'clean:remove what nobody can reach'
		'seg:shared memory segments' 'help:show help'
	)
	if (( CURRENT == 1 )); then
		_describe command commands
		return
	fi
	case $words[1] in
	create) _arguments $common '--capacity[messages]:number:' \
		'--capacity-max[for resize]:number:' \
		'--unbounded[no limit but memory]' \
		'--memory-limit[of all bodies]:size:' \
		'--sender-quota[of one sender]:size:' \
		'--reserve[address space in each process]:size:' \
		'--mode[mode]:octal mode:' '--if-missing[fine if there]' ':name:' ;;
	send) _arguments $common $wait '(--null)--lines[a message a line]' \
		'(--lines)--null[zero bytes end messages]' \
		'--tag[to select it by]:number:' \
		'--priority[higher ones come first]:number:' '--ttl[dropped after]:time:' \
		'--segment[goes along]:segment:_tolsey_segments' \
		':mailbox:_tolsey_mailboxes' ':text:' ;;
	recv) _arguments $common $wait $choose '(--all --follow)'{-n,--count}'[that many]:count:' \
		'(-n --count --follow)--all[until empty]' \
		'(-n --count --all)--follow[until interrupted or closed]' \
		'(--lines --null --json)--raw[bytes as they are]' \
		'(--raw --null --json)--lines[newline after each]' \
		'(--raw --lines --json)--null[zero byte after each]' \
		'(--raw --lines --null)--json[JSON lines]' \
		':mailbox:_tolsey_mailboxes' ;;
	peek) _arguments $common $json $choose '(--all)--index[that one]:number:' \
		'(--index)--all[all that wait]' ':mailbox:_tolsey_mailboxes' ;;
	tap) _arguments $common $json '--count[that many]:count:' \
		':mailbox:_tolsey_mailboxes' ;;
	work) _arguments $common $json $choose {-j,--jobs}'[at once]:number:' \
		'--max-tries[then a dead letter]:number:' \
		'--lease[time limit of a job]:time:' \
		{-n,--count}'[that many messages]:count:' \
		'--drain[until empty]' ':mailbox:_tolsey_mailboxes' \
		'*::command:_normal' ;;
	doctor) _arguments $common $json '--repair[keep what is readable]' \
		':mailbox:_tolsey_mailboxes' ;;
	ls) _arguments $common $json ;;
	stat) _arguments $common $json ':mailbox:_tolsey_mailboxes' ;;
	rm) _arguments $common '*:mailbox:_tolsey_mailboxes' ;;
	close) _arguments $common '*:mailbox:_tolsey_mailboxes' ;;
	purge) _arguments $common ':mailbox:_tolsey_mailboxes' ;;
	resize) _arguments $common '--capacity[messages]:number:' \
		':mailbox:_tolsey_mailboxes' ;;
	clean) _arguments $common $json '--dry-run[only print]' ;;
	seg) _tolsey_seg ;;
	help) (( CURRENT == 2 )) && _describe command commands ;;
	esac
}

_arguments '--space[the space]:directory:_files -/' '(- *)--version[version]' \
	'(- *)'{-h,--help}'[help]' '*::command:_tolsey_command'
