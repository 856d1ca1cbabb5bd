# The guest's process 1: does at boot what Debian's cloud image does for us (host name, user data,
# rc.local), then idles and reaps until the power goes off. Its end is the end of every process in
# the guest. Exit 0 is power-off, 129 reboot: the code that reboot(2) gives too.
#
# A signal is the power button: PWR off, INT reboot, USR1 halt.

run=/run/localcloud

# `sleep` in the foreground also reaps orphans: this shell waits for any child meanwhile.
others() {
    for process in /proc/[0-9]*; do
        [ "$process" = /proc/1 ] || return 0
    done
    return 1
}

# Ends all processes: first as a request, after the grace by force. Five seconds (in steps of 0.1)
# leave the server's own grace of ten for the rest.
end_all() {
    trap '' PWR INT USR1
    : >$run/going-down
    echo "[localcloud] $1: asking all processes to end"
    kill -TERM -1 2>/dev/null
    kill -CONT -1 2>/dev/null
    left=50
    while others && [ $left -gt 0 ]; do
        sleep 0.1
        left=$((left - 1))
    done
    if others; then
        echo "[localcloud] $1: ending those that are left by force"
        kill -KILL -1 2>/dev/null
    fi
}

power_off() {
    end_all 'Power off'
    echo '[localcloud] Power off.'
    exit 0
}

reboot() {
    end_all 'Reboot'
    echo '[localcloud] Reboot.'
    exit 129
}

# On EC2 too a halted machine is neither stopped nor terminated: it goes on running, and costing.
halt() {
    end_all 'Halt'
    echo '[localcloud] System halted. The instance still runs (and would be billed): `poweroff` ends one.'
    trap 'exit 0' PWR
    trap 'exit 129' INT
    idle
}

idle() {
    while :; do
        sleep infinity &
        wait $!
    done
}

# In the background, because a shell sees signals while it waits, not while a command runs; it
# would have the command ignore these two for that.
run() {
    env --default-signal=INT,QUIT "$@" </dev/null &
    wait $!
}

trap power_off PWR
trap reboot INT
trap halt USR1

# Tells the server, and lets go of the pipe.
echo up >&0
exec </dev/null

. $run/facts
hostname "$HOST_NAME"
printf '%s\n' '127.0.0.1 localhost' "127.0.1.1 $HOST_NAME" '' \
    '::1 localhost ip6-localhost ip6-loopback' >/etc/hosts
# As systemd does for an image whose machine-id was emptied.
[ -s /etc/machine-id ] || tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id

# Looked at before user data runs, as Debian's generator does: an rc.local that user data brings
# is for the next boot.
rc_local=
[ -f /etc/rc.local ] && [ -x /etc/rc.local ] && rc_local=yes

if [ "$FIRST_BOOT" = yes ]; then
    echo "$HOST_NAME" >/etc/hostname
    mkdir -p "/var/lib/cloud/instances/$INSTANCE_ID/scripts"
    ln -sfn "instances/$INSTANCE_ID" /var/lib/cloud/instance
    if [ -f $run/user-data ]; then
        # cloud-init unpacks what gzip has packed before it looks at what it is.
        if [ "$(od -A n -t x1 -N 2 $run/user-data)" = ' 1f 8b' ]; then
            mv $run/user-data $run/user-data.gz
            gzip -d $run/user-data.gz || echo '[localcloud] The user data could not be unpacked'
        fi
        cp $run/user-data /var/lib/cloud/instance/user-data.txt
        chmod 600 /var/lib/cloud/instance/user-data.txt
        if [ "$(head -c 2 $run/user-data)" = '#!' ]; then
            script=/var/lib/cloud/instance/scripts/part-001
            cp $run/user-data $script
            chmod 700 $script
            echo '[localcloud] Running the user data as a script'
            run $script || echo "[localcloud] The user-data script failed: exit code $?"
        fi
    fi
fi
rm -f $run/user-data

if [ -n "$rc_local" ]; then
    echo '[localcloud] Running /etc/rc.local'
    run /etc/rc.local start || echo "[localcloud] /etc/rc.local failed: exit code $?"
fi

idle
