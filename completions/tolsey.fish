# SPDX-License-Identifier: MIT
# fish completion for tolsey

function __tolsey_names
    set -l words (commandline -opc)
    set -l space
    set -l at (contains -i -- --space $words)
    and set space --space $words[(math $at + 1)]
    tolsey $space ls 2>/dev/null | awk -v kind=$argv[1] 'NR > 1 && $2 == kind { print $1 }'
end

function __tolsey_words
    # The words of the command line that are neither options nor the space.
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if test "$word" = --space
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __tolsey_is
    set -l words (__tolsey_words)
    test (count $words) -ge (count $argv); and test "$words[1..(count $argv)]" = "$argv"
end

function __tolsey_none
    test (count (__tolsey_words)) = 0
end

function __tolsey_seg_none
    test "$(__tolsey_words)" = seg
end

complete -c tolsey -f
complete -c tolsey -l space -r -a '(__fish_complete_directories)' -d 'The space'
complete -c tolsey -s h -l help -d 'Help'
complete -c tolsey -n __tolsey_none -l version -d 'Version'
complete -c tolsey -n __tolsey_none -a create -d 'Make a mailbox'
complete -c tolsey -n __tolsey_none -a send -d 'Send messages'
complete -c tolsey -n __tolsey_none -a recv -d 'Receive messages'
complete -c tolsey -n __tolsey_none -a peek -d 'Show what waits'
complete -c tolsey -n __tolsey_none -a tap -d 'Watch messages go by'
complete -c tolsey -n __tolsey_none -a work -d 'Run a command for each message'
complete -c tolsey -n __tolsey_none -a doctor -d 'Look at what is wrong'
complete -c tolsey -n __tolsey_none -a ls -d 'List mailboxes and segments'
complete -c tolsey -n __tolsey_none -a stat -d 'Show a mailbox'
complete -c tolsey -n __tolsey_none -a rm -d 'Remove mailboxes'
complete -c tolsey -n __tolsey_none -a close -d 'No more messages'
complete -c tolsey -n __tolsey_none -a purge -d 'Throw away what is queued'
complete -c tolsey -n __tolsey_none -a resize -d 'Change the capacity'
complete -c tolsey -n __tolsey_none -a clean -d 'Remove what nobody can reach'
complete -c tolsey -n __tolsey_none -a seg -d 'Shared memory segments'
complete -c tolsey -n __tolsey_none -a help -d 'Show help'
complete -c tolsey -n __tolsey_seg_none -a 'create write read ls stat grow seal rm'

for command in send recv work peek tap doctor stat rm close purge resize
    complete -c tolsey -n "__tolsey_is $command" -a '(__tolsey_names mailbox)'
end
for command in write read stat grow seal rm
    complete -c tolsey -n "__tolsey_is seg $command" -a '(__tolsey_names segment)'
end
for command in ls stat clean 'seg ls' 'seg stat' recv work peek tap doctor
    complete -c tolsey -n "__tolsey_is $command" -l json -d 'As JSON'
end
for command in send recv
    complete -c tolsey -n "__tolsey_is $command" -l nowait -d 'Do not wait'
    complete -c tolsey -n "__tolsey_is $command" -l timeout -s t -x -d 'Wait that long'
    complete -c tolsey -n "__tolsey_is $command" -l lines -s l -d 'A message a line'
    complete -c tolsey -n "__tolsey_is $command" -l null -s 0 -d 'Zero bytes end messages'
end
for command in recv work peek
    complete -c tolsey -n "__tolsey_is $command" -l tag -x -d 'With one of these tags'
    complete -c tolsey -n "__tolsey_is $command" -l tag-range -x -d 'With a tag from A to B'
    complete -c tolsey -n "__tolsey_is $command" -l not-tag -x -d 'With any tag but that'
    complete -c tolsey -n "__tolsey_is $command" -l lowest-tag -x -d 'The lowest tag, up to that'
    complete -c tolsey -n "__tolsey_is $command" -l from -x -d 'Sent by that process'
end
complete -c tolsey -n '__tolsey_is send' -l tag -x -d 'A number to select it by'
complete -c tolsey -n '__tolsey_is send' -l priority -x -d 'Higher ones come first'
complete -c tolsey -n '__tolsey_is send' -l ttl -x -d 'Dropped after that time'
complete -c tolsey -n '__tolsey_is send' -l segment -x -a '(__tolsey_names segment)' -d 'Goes along'
complete -c tolsey -n '__tolsey_is work' -l jobs -s j -x -d 'That many at once'
complete -c tolsey -n '__tolsey_is work' -l max-tries -x -d 'Then a dead letter'
complete -c tolsey -n '__tolsey_is work' -l lease -x -d 'Time limit of a job'
complete -c tolsey -n '__tolsey_is work' -l count -s n -x -d 'That many messages'
complete -c tolsey -n '__tolsey_is work' -l drain -d 'Until empty'
complete -c tolsey -n '__tolsey_is recv' -l count -s n -x -d 'That many'
complete -c tolsey -n '__tolsey_is recv' -l all -s a -d 'Until empty'
complete -c tolsey -n '__tolsey_is recv' -l follow -s f -d 'Until interrupted or closed'
complete -c tolsey -n '__tolsey_is recv' -l raw -d 'Bytes as they are'
complete -c tolsey -n '__tolsey_is tap' -l count -s n -x -d 'That many'
complete -c tolsey -n '__tolsey_is doctor' -l repair -d 'Keep what is readable'
complete -c tolsey -n '__tolsey_is peek' -l index -s i -x -d 'That one'
complete -c tolsey -n '__tolsey_is peek' -l all -s a -d 'All that wait'
complete -c tolsey -n '__tolsey_is resize' -l capacity -s c -x -d 'Messages'
complete -c tolsey -n '__tolsey_is create' -l unbounded -d 'No limit but memory'
complete -c tolsey -n '__tolsey_is create' -l memory-limit -x -d 'Of all bodies, such as 64M'
complete -c tolsey -n '__tolsey_is create' -l sender-quota -x -d 'Of one sender'
complete -c tolsey -n '__tolsey_is create' -l reserve -x -d 'Address space in each process'
complete -c tolsey -n '__tolsey_is create' -l capacity-max -x -d 'For resize'
complete -c tolsey -n '__tolsey_is create' -l capacity -s c -x -d 'Messages'
complete -c tolsey -n '__tolsey_is create' -l if-missing -d 'Fine if it is there'
complete -c tolsey -n '__tolsey_is create' -l mode -s m -x -d 'Mode'
complete -c tolsey -n '__tolsey_is clean' -l dry-run -d 'Only print'
complete -c tolsey -n '__tolsey_is seg create' -l size -s s -x -d 'Size'
complete -c tolsey -n '__tolsey_is seg create' -l lazy -d 'Do not reserve memory'
complete -c tolsey -n '__tolsey_is seg create' -l mode -s m -x -d 'Mode'
complete -c tolsey -n '__tolsey_is seg grow' -l size -s s -x -d 'New size'
complete -c tolsey -n '__tolsey_is seg write' -l offset -s o -x -d 'Begin there'
complete -c tolsey -n '__tolsey_is seg read' -l offset -s o -x -d 'Begin there'
complete -c tolsey -n '__tolsey_is seg read' -l length -s n -x -d 'That many bytes'
