#!/bin/sh
# `cover.sh on` puts our `systemctl` in front of Debian's, `off` takes it away: while packages are unpacked,
# because dpkg can't replace a file that something is mounted on. Called at boot and by apt.

run=/run/localcloud real=/usr/bin/systemctl

while umount $real 2>/dev/null; do :; done
while umount $run/systemctl.debian 2>/dev/null; do :; done
if [ "$1" = on ] && [ -e $real ]; then
    : >$run/systemctl.debian
    mount --bind $real $run/systemctl.debian
    mount --bind $run/systemctl $real
fi
