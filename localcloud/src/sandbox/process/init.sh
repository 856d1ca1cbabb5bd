# The process driver's stand-in for a guest's init: runs user data and rc.local against a staged
# folder, with the host's programs, then idles until the power goes off. It ends nothing itself: it
# asks the server on the pipe, which can see all processes.
#
# $1 the staged root · $2 the folder of this boot (facts, user-data, shims)
#
# A signal is the power button: PWR off, INT reboot, USR1 halt.

root=$1 boot=$2
exec 3>&0 </dev/null

idle() {
    while :; do
        sleep infinity 3>&- &
        wait $!
    done
}

# In the background, because a shell sees signals while it waits, not while a command runs; it
# would have the command ignore these two for that.
run() {
    env --default-signal=INT,QUIT "$@" </dev/null 3>&- &
    wait $!
}

trap 'trap "" PWR INT USR1; echo "[localcloud] Power off."; echo off >&3; idle' PWR
trap 'trap "" PWR INT USR1; echo "[localcloud] Reboot."; echo reboot >&3; idle' INT
trap 'echo "[localcloud] System halted. The instance still runs (and would be billed): poweroff ends one."
    echo halt >&3; idle' USR1

echo $$ >"$boot/init.pid"
echo up >&3
. "$boot/facts"
cd "$root" || exit 1
mkdir -p etc tmp usr/local/bin var/lib/cloud var/log var/tmp
chmod 1777 tmp var/tmp
echo "[localcloud] process driver: nothing is isolated; scripts see DESTDIR=$root and the host's programs"

rc_local=
[ -f etc/rc.local ] && [ -x etc/rc.local ] && rc_local=yes

if [ "$FIRST_BOOT" = yes ]; then
    echo "$HOST_NAME" >etc/hostname
    mkdir -p "var/lib/cloud/instances/$INSTANCE_ID/scripts"
    ln -sfn "instances/$INSTANCE_ID" var/lib/cloud/instance
    if [ -f "$boot/user-data" ]; then
        # cloud-init unpacks what gzip has packed before it looks at what it is.
        if [ "$(od -A n -t x1 -N 2 "$boot/user-data")" = ' 1f 8b' ]; then
            mv "$boot/user-data" "$boot/user-data.gz"
            gzip -d "$boot/user-data.gz" || echo '[localcloud] The user data could not be unpacked'
        fi
        cp "$boot/user-data" var/lib/cloud/instance/user-data.txt
        chmod 600 var/lib/cloud/instance/user-data.txt
        if [ "$(head -c 2 "$boot/user-data")" = '#!' ]; then
            script=$root/var/lib/cloud/instance/scripts/part-001
            cp "$boot/user-data" "$script"
            chmod 700 "$script"
            echo '[localcloud] Running the user data as a script'
            run "$script" || echo "[localcloud] The user-data script failed: exit code $?"
        fi
    fi
fi

if [ -n "$rc_local" ]; then
    echo '[localcloud] Running etc/rc.local'
    run "$root/etc/rc.local" start || echo "[localcloud] etc/rc.local failed: exit code $?"
fi

idle
