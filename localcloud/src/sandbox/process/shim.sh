#!/bin/sh
# Stands in front of the host's programs that would change the host, under each of their names: says
# what it skips. The power commands press the instance's power button.

name=${0##*/} boot=${0%/shims/*}

act() {
    case $1 in
        poweroff) signal=PWR ;;
        reboot) signal=INT ;;
        halt) signal=USR1 ;;
    esac
    rm -f "$boot/scheduled"
    kill -s $signal "$(cat "$boot/init.pid")"
    exit 0
}

skip() {
    echo "[localcloud] process driver skips: $name $*" >&2
    exit 0
}

# $1 what, $2 when as seconds since 1970.
schedule() {
    echo "$2 $1" >"$boot/scheduled"
    setsid -f "$0" --localcloud-wait "$2 $1" </dev/null >/dev/null 2>&1
    echo "Shutdown scheduled for $(date -d "@$2"), use 'shutdown -c' to cancel." >&2
    exit 0
}

shut_down() {
    what=poweroff when=''
    for argument in "$@"; do
        case $argument in
            -r | --reboot) what=reboot ;;
            -H | --halt) what=halt ;;
            -c)
                rm -f "$boot/scheduled"
                exit 0
                ;;
            -k) skip "$@" ;;
            -*) ;;
            *) [ -n "$when" ] || when=$argument ;;
        esac
    done
    now=$(date +%s)
    when=${when:-+1}
    case $when in
        now) at=$now ;;
        *:*)
            at=$(date -d "$when" +%s 2>/dev/null) || at=''
            [ -z "$at" ] || [ "$at" -gt "$now" ] || at=$((at + 86400))
            ;;
        *)
            minutes=${when#+} at=''
            case $minutes in '' | *[!0-9]*) ;; *) at=$((now + minutes * 60)) ;; esac
            ;;
    esac
    if [ -z "$at" ]; then
        echo "$name: can't understand the time $when" >&2
        exit 1
    fi
    [ "$at" -gt "$now" ] || act "$what"
    schedule "$what" "$at"
}

# The host's answer where it has one. Else its programs count as installed, by the version that they
# tell: a conversion will use just those.
dpkg_query() {
    here=${0%/*}
    rest=$(printf %s ":$PATH:" | sed "s|:$here:|:|g")
    if answer=$(PATH=$rest command -v dpkg-query) && answer=$("$answer" "$@" 2>/dev/null); then
        printf '%s\n' "$answer"
        exit 0
    fi
    format='${Package}\t${Version}\n' packages='' show=''
    while [ $# -gt 0 ]; do
        case $1 in
            -W | --show) show=yes ;;
            -f | --showformat) format=$2 && shift ;;
            -f=*) format=${1#-f=} ;;
            -f*) format=${1#-f} ;;
            --showformat=*) format=${1#*=} ;;
            -s | --status) show=yes format='Package: ${Package}\nStatus: install ok installed\nVersion: ${Version}\n' ;;
            -*) ;;
            *) packages="$packages $1" ;;
        esac
        shift
    done
    [ -n "$show" ] || skip "(no answer on this host)"
    for package in $packages; do
        version=$("$package" -version 2>/dev/null | sed -n '1s/^[a-z]* version \([^ ]*\).*/\1/p')
        echo "[localcloud] process driver: $package counts as installed (the host's)" >&2
        # The format is of dpkg-query's language, which printf's escapes are a part of.
        printf "$(printf %s "$format" | sed -e 's/%/%%/g' \
            -e "s|\${[Pp]ackage}|$package|g" -e "s|\${binary:Package}|$package|g" \
            -e "s|\${[Vv]ersion}|${version:-0-host}|g" -e 's|${db:Status-[A-Za-z]*}|installed|g' \
            -e 's|${Architecture}|host|g' -e 's|${Status}|install ok installed|g')"
    done
    exit 0
}

case $name in
    poweroff | reboot | halt) act "$name" ;;
    shutdown)
        if [ "${1-}" = --localcloud-wait ]; then
            while [ "$(cat "$boot/scheduled" 2>/dev/null)" = "$2" ]; do
                left=$((${2% *} - $(date +%s)))
                [ $left -gt 0 ] || act "${2#* }"
                # A cancelled schedule is noticed within this time.
                [ $left -lt 30 ] || left=30
                sleep $left
            done
            exit 0
        fi
        shut_down "$@"
        ;;
    systemctl)
        for argument in "$@"; do
            case $argument in
                poweroff | reboot | halt) act "$argument" ;;
                -*) ;;
                *) break ;;
            esac
        done
        skip "$@"
        ;;
    dpkg-query) dpkg_query "$@" ;;
    *) skip "$@" ;;
esac
