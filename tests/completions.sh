#!/bin/bash
# SPDX-License-Identifier: MIT
# Completion in bash, zsh and fish: the files parse, and know every command and
# every option that the command's help has; in bash what is offered is looked at.
set -u
cd "$(dirname "$0")/.." || exit 1
tool=${TOLSEY:-$PWD/build/tolsey}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
passed=0 failed=0 skipped=0 reasons=
TOLSEY_SPACE=$(mktemp -d /dev/shm/tolsey-complete.XXXXXX) || exit 1
export TOLSEY_SPACE
trap 'rm -rf "$TOLSEY_SPACE"' EXIT

ok() { passed=$((passed + 1)); }
bad() {
	failed=$((failed + 1))
	echo "not ok: $1"
}

for shell in bash zsh fish; do
	if ! command -v $shell > /dev/null; then
		skipped=$((skipped + 1)) reasons="$reasons no $shell;"
	elif $shell -n completions/tolsey.$shell; then ok; else
		bad "completions/tolsey.$shell does not parse"
	fi
done

# Options as fish has them, "-l capacity", or written out.
for command in create send recv work peek tap doctor ls stat rm close purge resize clean 'seg create' 'seg write' \
	'seg read' 'seg ls' 'seg stat' 'seg grow' 'seg seal' 'seg rm'; do
	# shellcheck disable=SC2086
	options=$("$tool" $command --help | grep -oE -- '--[a-z][a-z-]*' | sort -u)
	for shell in bash zsh fish; do
		for option in $options; do
			if grep -qE -- "(--|-l )${option#--}([^a-z-]|\$)" \
				completions/tolsey.$shell; then ok; else
				bad "$command: $option is not in tolsey.$shell"
			fi
		done
		if grep -qw -- "${command#seg }" completions/tolsey.$shell; then
			ok
		else
			bad "$command is not in tolsey.$shell"
		fi
	done
done

PATH=$(dirname "$tool"):$PATH
# shellcheck disable=SC1091
. completions/tolsey.bash

# offers WANTED WORD...: the last word is completed
offers() {
	local wanted=$1
	shift
	COMP_WORDS=(tolsey "$@")
	COMP_CWORD=$#
	COMP_LINE="tolsey $*"
	COMP_POINT=${#COMP_LINE}
	COMPREPLY=()
	local function
	function=$(complete -p tolsey | sed 's/.*-F \([^ ]*\).*/\1/')
	"$function" tolsey "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
	local IFS=' '
	case " ${COMPREPLY[*]} " in
	*" $wanted "*) ok ;;
	*) bad "'$*' offers '${COMPREPLY[*]}', not '$wanted'" ;;
	esac
}

"$tool" create jobs
"$tool" seg create frame --size 1
offers create c
offers recv re
offers --capacity create jobs --c
offers --follow recv jobs --f
offers --max-tries work jobs --m
offers jobs work jo
offers frame send jobs --segment fr
offers jobs recv jo
offers frame seg read fr
offers write seg w
"$tool" rm jobs
"$tool" seg rm frame
echo "$passed passed, $failed failed, $skipped skipped${reasons:+:$reasons}"
[ $failed -eq 0 ]
