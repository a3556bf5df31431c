#compdef PROGRAM
# What PROGRAM takes where the cursor is.
_PROGRAM() {
    local -a entries candidates
    local entry directive=0
    entries=("${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for entry in $entries; do
        case $entry in
            :<->) directive=${entry#:} ;;
            *$'\t'*) candidates+=("${${entry%%$'\t'*}//:/\\:}:${entry#*$'\t'}") ;;
            *) candidates+=("${entry//:/\\:}") ;;
        esac
    done
    if (( $#candidates )); then
        _describe PROGRAM candidates
    elif (( ! (directive & 4) )); then
        _files
    fi
}
if [[ $funcstack[1] == _PROGRAM ]]; then
    _PROGRAM "$@"
else
    compdef _PROGRAM PROGRAM
fi
