# Ends the guest's processes when the server is gone, however it went: the server holds the other end of
# standard input. $1 is the mark in the environment of the guest's processes.
trap '' HUP INT TERM
while read -r _; do :; done
while :; do
    # No mark, no processes: grep's exit code says so.
    found=$(grep -lazsFx -- "$1" /proc/[0-9]*/environ) || exit 0
    for file in $found; do
        pid=${file#/proc/}
        kill -KILL "${pid%/environ}" 2>/dev/null
    done
    sleep 0.1
done
