# What PROGRAM takes where the cursor is. Readline cuts words at colons and equals signs as well: they are put together again,
# and what is before the last of those signs is taken off the answers.
_PROGRAM() {
    local line=$COMP_LINE word entry cut='' directive=0 i
    local -a words=() candidates=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ $line != [[:blank:]]* ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        line=${line#"${line%%[![:blank:]]*}"}
        line=${line#"$word"}
    done
    word=${words[${#words[@]} - 1]}
    local signs=${COMP_WORDBREAKS//[^:=]/}
    if [[ -n $signs && $word == *[$signs]* ]]; then
        cut=${word%"${word##*[$signs]}"}
    fi
    while IFS= read -r entry; do
        case $entry in
            :[0-9]*) directive=${entry#:} ;;
            *) candidates+=("${entry#"$cut"}") ;;
        esac
    done < <("$1" __completeNoDesc "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${candidates[@]}")
    if ((${#candidates[@]} == 0 && !(directive & 4))); then
        compopt -o default 2>/dev/null
    fi
}
complete -F _PROGRAM PROGRAM
