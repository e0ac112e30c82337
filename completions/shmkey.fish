# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_shmkey_global_optspecs
    string join \n h/help V/version
end

function __fish_shmkey_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_shmkey_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_shmkey_using_subcommand
    set -l cmd (__fish_shmkey_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c shmkey -n "__fish_shmkey_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_needs_command" -s V -l version -d 'Print version'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "list" -d 'List all segments: who uses them, who made them, what they hold'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "show" -d 'Show all that is known of one segment'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "dump" -d 'Show the bytes of a segment'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "create" -d 'Make a segment, and print its id'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "put" -d 'Copy bytes from standard input into a segment or a ring'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "get" -d 'Copy bytes out of a segment or a ring to standard output'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "top" -d 'The list, live'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "watch" -d 'Watch a segment: what changes lights up'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "map" -d 'Draw which process has which segment'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "trace" -d 'Run a program, and tell each shared memory call it makes, why those that fail do so, and what it leaves behind'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "remove" -d 'Remove segments; their memory goes when the last process has let go of them'
complete -c shmkey -n "__fish_shmkey_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -l sort -d 'Order by this' -r -f -a "id\t''
key\t''
size\t''
owner\t''
users\t'How many times it is attached'
age\t'The oldest first'
used\t'What was used last comes first'"
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -l owner -d 'Only those of this user: a name or a number' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -l key -d 'Only the one under this key, such as 0x4102002f' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -s r -l reverse -d 'The other way round'
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -l mine -d 'Only mine'
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -l orphans -d 'Only those that no process uses, and whose creator has ended'
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -l no-contents -d 'Do not look for what segments hold. Without this, a segment that may hold an object, and that cannot be read through a process that has it attached, is attached for a moment: the kernel then records shmkey as its last user'
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -l json -d 'For programs: one JSON object, described in shmkey-list(1)'
complete -c shmkey -n "__fish_shmkey_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_using_subcommand show" -l no-contents -d 'Do not look for what segments hold. Without this, a segment that may hold an object, and that cannot be read through a process that has it attached, is attached for a moment: the kernel then records shmkey as its last user'
complete -c shmkey -n "__fish_shmkey_using_subcommand show" -l contents -d 'Look for objects also in a segment that can only be read by attaching it, and was not made for one: the kernel then records shmkey as its last user'
complete -c shmkey -n "__fish_shmkey_using_subcommand show" -l json -d 'For programs: one JSON object, described in shmkey-list(1)'
complete -c shmkey -n "__fish_shmkey_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_using_subcommand dump" -s s -l offset -d 'Begin here: bytes, or with a unit as in 4K, 1MiB; 0x for hexadecimal' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand dump" -s n -l length -d 'So many bytes; all unless told otherwise' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand dump" -s o -l output -d 'Into this file, the bytes themselves' -r -F
complete -c shmkey -n "__fish_shmkey_using_subcommand dump" -l raw -d 'The bytes themselves, and not their picture'
complete -c shmkey -n "__fish_shmkey_using_subcommand dump" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -s s -l size -d 'Its size: bytes, or with a unit as in 4K, 1MiB' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -l key -d 'Under this key, such as 0x4102002f' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -l name -d 'Under the key that is made from this name' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -l path -d 'Under the key that ftok makes from this file, and from --project' -r -F
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -l project -d 'A number from 1 to 255, or a letter' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -l mode -d 'Who may use it, in octal' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -l existing -d 'Take it as it is if there is one already'
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -l ring -d 'Make a ring in it, for messages of so many bytes together as --size says. The segment is larger: it also keeps who sends and who receives'
complete -c shmkey -n "__fish_shmkey_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_using_subcommand put" -s s -l offset -d 'Begin here: bytes, or with a unit as in 4K' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand put" -l timeout -d 'Wait so long for room in a ring, also while nobody receives: 10s, 500ms, 0, forever' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand put" -l lines -d 'Send each line as a message of its own, without its end; else all of the input is one'
complete -c shmkey -n "__fish_shmkey_using_subcommand put" -l raw -d 'Also where an object of this library lies: write over its bytes'
complete -c shmkey -n "__fish_shmkey_using_subcommand put" -s h -l help -d 'Print help'
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -s s -l offset -d 'Begin here: bytes, or with a unit as in 4K' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -s n -l length -d 'So many bytes; all unless told otherwise' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -s c -l count -d 'Receive so many messages of a ring; one unless told otherwise' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -l timeout -d 'Wait so long for each message, also while nobody sends: 10s, 500ms, 0, forever' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -s f -l follow -d 'Receive until all senders have ended'
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -l lines -d 'End each message with a new line'
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -l raw -d 'Also where an object of this library lies: copy its bytes as they lie there'
complete -c shmkey -n "__fish_shmkey_using_subcommand get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -s i -l interval -d 'Look this often: 10ms to 1h' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -l sort -d 'Order by this' -r -f -a "id\t''
key\t''
size\t''
owner\t''
users\t'How many times it is attached'
age\t'The oldest first'
used\t'What was used last comes first'"
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -l owner -d 'Only those of this user: a name or a number' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -l key -d 'Only the one under this key, such as 0x4102002f' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -s r -l reverse -d 'The other way round'
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -l mine -d 'Only mine'
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -l orphans -d 'Only those that no process uses, and whose creator has ended'
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -l no-contents -d 'Do not look for what segments hold. Without this, a segment that may hold an object, and that cannot be read through a process that has it attached, is attached for a moment: the kernel then records shmkey as its last user'
complete -c shmkey -n "__fish_shmkey_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_using_subcommand watch" -s i -l interval -d 'Look this often: 10ms to 1h' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand watch" -s s -l offset -d 'Begin here: bytes, or with a unit as in 4K, 1MiB; 0x for hexadecimal' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand watch" -s h -l help -d 'Print help'
complete -c shmkey -n "__fish_shmkey_using_subcommand map" -l svg -d 'Into this file, as a picture in SVG' -r -F
complete -c shmkey -n "__fish_shmkey_using_subcommand map" -l no-contents -d 'Do not look for what segments hold. Without this, a segment that may hold an object, and that cannot be read through a process that has it attached, is attached for a moment: the kernel then records shmkey as its last user'
complete -c shmkey -n "__fish_shmkey_using_subcommand map" -s h -l help -d 'Print help'
complete -c shmkey -n "__fish_shmkey_using_subcommand trace" -s o -l output -d 'Append to FILE, and not to standard error; %p in it becomes each process\' id' -r -F
complete -c shmkey -n "__fish_shmkey_using_subcommand trace" -l json -d 'Write JSON, one object a line'
complete -c shmkey -n "__fish_shmkey_using_subcommand trace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -l owner -d 'Only those of this user: a name or a number' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -l key -d 'Only the one under this key, such as 0x4102002f' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -l older-than -d 'Only those that have been there for so long, since they were created or their owner or mode was changed: 90s, 10min, 2h, 1day' -r
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -l orphans -d 'All orphans: segments that no process has attached, and whose creator has ended. On a terminal it asks first; without one, --yes is needed. What shmkey create has made is an orphan until a program uses it. To see what they hold, they are attached for a moment'
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -l mine -d 'Only mine'
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -l with-data -d 'Also those that hold data for a later process: a ring with undelivered messages, a latest value that was published and whose publisher has released its role'
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -s n -l dry-run -d 'Only show what would be removed'
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -s y -l yes -d 'Do not ask'
complete -c shmkey -n "__fish_shmkey_using_subcommand remove" -s h -l help -d 'Print help'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "list" -d 'List all segments: who uses them, who made them, what they hold'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "show" -d 'Show all that is known of one segment'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "dump" -d 'Show the bytes of a segment'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "create" -d 'Make a segment, and print its id'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "put" -d 'Copy bytes from standard input into a segment or a ring'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "get" -d 'Copy bytes out of a segment or a ring to standard output'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "top" -d 'The list, live'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "watch" -d 'Watch a segment: what changes lights up'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "map" -d 'Draw which process has which segment'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "trace" -d 'Run a program, and tell each shared memory call it makes, why those that fail do so, and what it leaves behind'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "remove" -d 'Remove segments; their memory goes when the last process has let go of them'
complete -c shmkey -n "__fish_shmkey_using_subcommand help; and not __fish_seen_subcommand_from list show dump create put get top watch map trace remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmkey -n "__fish_shmkey_using_subcommand show dump put get watch remove" -f
complete -c shmkey -n "__fish_shmkey_using_subcommand trace" -f -a "(__fish_complete_subcommand --fcs-skip=2)"
