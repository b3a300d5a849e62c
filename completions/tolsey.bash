# SPDX-License-Identifier: MIT
# bash completion for tolsey

_tolsey_names()
{
	# $1: mailbox or segment
	local space=()

	[[ -n ${_tolsey_space-} ]] && space=(--space "$_tolsey_space")
	tolsey "${space[@]}" ls 2>/dev/null |
		awk -v kind="$1" 'NR > 1 && $2 == kind { print $1 }'
}

_tolsey()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' words='' kind='' is_command='' i word
	local _tolsey_space=''

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--space) _tolsey_space=${COMP_WORDS[i + 1]}; ((i++)) ;;
		--) is_command=1 ;;
		-*) ;;
		*)
			if [[ -z $command ]]; then
				command=$word
			elif [[ $command == seg ]]; then
				command="seg $word"
			fi ;;
		esac
	done
	COMPREPLY=()
	if [[ $command == work && -n $is_command ]]; then
		compopt -o default 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -c -- "$cur")
		return
	fi
	case $prev in
	--space)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return ;;
	--segment)
		mapfile -t COMPREPLY < <(compgen -W "$(_tolsey_names segment)" -- "$cur")
		return ;;
	--tag|--tag-range|--not-tag|--lowest-tag|--from|--priority|--ttl|--jobs|--max-tries|--lease|--capacity|--capacity-max|--memory-limit|--sender-quota|--reserve|--mode|--timeout|--size|--offset|--length|--count|--index|-[cmtsonij])
		return ;;
	esac
	case $command in
	'') words='create send recv work peek tap doctor ls stat rm close purge resize clean seg help
		--space --version' ;;
	help) words='create send recv work peek tap doctor ls stat rm close purge resize clean seg' ;;
	seg) words='create write read ls stat grow seal rm' ;;
	create) words='--capacity --capacity-max --unbounded --memory-limit --sender-quota --reserve --mode --if-missing' ;;
	send) words='--lines --null --nowait --timeout --tag --priority --ttl --segment'
		kind=mailbox ;;
	work) words='--jobs --max-tries --lease --count --drain --json
		--tag --tag-range --not-tag --lowest-tag --from'
		kind=mailbox ;;
	recv) words='--count --all --follow --nowait --timeout --raw --lines
		--null --json --tag --tag-range --not-tag --lowest-tag --from'
		kind=mailbox ;;
	peek) words='--index --all --json
		--tag --tag-range --not-tag --lowest-tag --from' kind=mailbox ;;
	tap) words='--count --json' kind=mailbox ;;
	doctor) words='--repair --json' kind=mailbox ;;
	ls|'seg ls') words='--json' ;;
	stat) words='--json' kind=mailbox ;;
	rm|close|purge) kind=mailbox ;;
	resize) words='--capacity' kind=mailbox ;;
	clean) words='--dry-run --json' ;;
	'seg create') words='--size --lazy --mode' ;;
	'seg write') words='--offset' kind=segment ;;
	'seg read') words='--offset --length' kind=segment ;;
	'seg stat') words='--json' kind=segment ;;
	'seg grow') words='--size' kind=segment ;;
	'seg seal'|'seg rm') kind=segment ;;
	esac
	if [[ $cur == -* ]]; then
		words+=' --space --help'
	elif [[ -n $kind ]]; then
		words=$(_tolsey_names "$kind")
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _tolsey tolsey
