#!/bin/sh
# Stands in front of Debian's systemctl (and so of poweroff, reboot, halt and shutdown, which are links
# to it) while a guest runs, because those need systemd as process 1. They do here what they do on
# a booted Debian. Everything else goes to the real one, which says itself what it can't do.

run=/run/localcloud
name=${0##*/}

fail() {
    echo "$name: $1" >&2
    exit 1
}

# Asks init, which does it in its own time: these commands return at once on Debian too.
act() {
    case $1 in
        poweroff) signal=PWR ;;
        reboot) signal=INT ;;
        halt) signal=USR1 ;;
    esac
    rm -f $run/scheduled
    kill -s $signal 1 || fail "no permission to $1 this machine"
    exit 0
}

# $1 what, $2 when as seconds since 1970. A loop of short sleeps beside init: it lives on when the
# caller ends, and stops when the schedule is another or gone.
schedule() {
    [ "$(id -u)" = 0 ] || fail 'only root may schedule a shutdown'
    echo "$2 $1" >$run/scheduled || fail "can't write $run/scheduled"
    setsid -f "$run/systemctl" --localcloud-wait "$2 $1" </dev/null >/dev/null 2>&1
    echo "Shutdown scheduled for $(date -d "@$2"), use 'shutdown -c' to cancel." >&2
    exit 0
}

# The seconds since 1970 that a time argument of shutdown(8) means.
moment() {
    now=$(date +%s)
    case $1 in
        now) echo "$now" ;;
        +*[!0-9]* | +) return 1 ;;
        +*) echo $((now + ${1#+} * 60)) ;;
        *:*)
            at=$(date -d "$1" +%s 2>/dev/null) || return 1
            [ "$at" -gt "$now" ] || at=$((at + 86400))
            echo "$at"
            ;;
        '' | *[!0-9]*) return 1 ;;
        *) echo $((now + $1 * 60)) ;;
    esac
}

shut_down() {
    what=poweroff when='' warn_only=''
    for argument in "$@"; do
        case $argument in
            --help) exec "$run/systemctl.debian" shutdown --help ;;
            -P | -h | --poweroff | -hP | -Ph) what=poweroff ;;
            -r | --reboot) what=reboot ;;
            -H | --halt) what=halt ;;
            -c)
                rm -f $run/scheduled
                exit 0
                ;;
            -k) warn_only=yes ;;
            --no-wall | --) ;;
            -*) fail "unknown option $argument" ;;
            *) [ -n "$when" ] || when=$argument ;; # What follows is the message for the wall.
        esac
    done
    # One minute, as on Debian.
    at=$(moment "${when:-+1}") || fail "can't understand the time $when"
    [ -z "$warn_only" ] || exit 0
    [ "$at" -gt "$(date +%s)" ] || act "$what"
    schedule "$what" "$at"
}

# $1 is what; the rest its options. Forced twice means: without asking anyone, at once.
power() {
    what=$1 force=0
    shift
    for argument in "$@"; do
        case $argument in
            -ff) force=2 ;;
            -f | --force) force=$((force + 1)) ;;
            -p | --poweroff) what=poweroff ;;
            --reboot) what=reboot ;;
            --halt) what=halt ;;
            -i | -q | --quiet | --no-wall | --no-block | --no-sync | -d | --no-wtmp | -n | -w | --wtmp-only) ;;
            *) fail "unknown option $argument" ;;
        esac
    done
    [ $force -lt 2 ] || [ "$what" = halt ] || exec "$run/systemctl.debian" "$what" -ff
    act "$what"
}

case $name in
    poweroff | reboot | halt) power "$name" "$@" ;;
    shutdown) shut_down "$@" ;;
    systemctl)
        if [ "${1-}" = --localcloud-wait ]; then
            while [ "$(cat $run/scheduled 2>/dev/null)" = "$2" ]; do
                left=$((${2% *} - $(date +%s)))
                [ $left -gt 0 ] || act "${2#* }"
                # A cancelled schedule is noticed within this time.
                [ $left -lt 30 ] || left=30
                sleep $left
            done
            exit 0
        fi
        for argument in "$@"; do
            case $argument in
                poweroff | reboot | halt) found=$argument ;;
                -*) ;;
                *) break ;;
            esac
        done
        if [ -n "${found-}" ]; then
            # The verb itself is no option of it.
            for argument in "$@"; do
                shift
                [ "$argument" = "$found" ] || set -- "$@" "$argument"
            done
            power "$found" "$@"
        fi
        exec "$run/systemctl.debian" "$@"
        ;;
    *) exec "$run/systemctl.debian" "$@" ;;
esac
