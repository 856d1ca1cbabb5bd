# Ends the guest's processes when the server is gone, however it went: the server holds the other end of
# standard input. $1 is the mark in the environment of the guest's processes, $2 the file with its init's
# id, which is that of its session. (What left the session and cleared its environment is not found.)
trap '' HUP INT TERM
while read -r _; do :; done
session=$(cat "$2" 2>/dev/null)

members() {
    grep -lazsFx -- "$1" /proc/[0-9]*/environ
    for stat in /proc/[0-9]*/stat; do
        read -r line 2>/dev/null <"$stat" || continue
        # After the name in parentheses: state, parent, process group, session (proc_pid_stat(5)).
        fields=${line##*) }
        state=${fields%% *}
        fields=${fields#* * * }
        [ "${fields%% *}" != "$session" ] || [ "$state" = Z ] || echo "$stat"
    done
}

while found=$(members "$1") && [ -n "$found" ]; do
    for file in $found; do
        pid=${file#/proc/}
        kill -KILL "${pid%%/*}" 2>/dev/null
    done
    sleep 0.1
done
