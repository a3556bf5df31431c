# What PROGRAM takes where the cursor is.
function __PROGRAM_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l entries ($words[1] __complete $words[2..-1] 2>/dev/null)
    if test (count $entries) -gt 1
        printf '%s\n' $entries[1..-2]
    else if contains -- :0 $entries
        __fish_complete_path (commandline -ct)
    end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
