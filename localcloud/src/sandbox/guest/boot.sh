# Stage 1 of a boot: runs as the first process of new mount, pid, uts and ipc namespaces (and, for
# an ordinary user, a user namespace), still in the host's root. It puts the overlay together,
# makes it the root and hands over to `init`. Nothing that it mounts outlives the namespaces.
#
# $1  the instance's folder, holding `boot/` (what is copied to /run/localcloud) and `root/` (mount point)
# $2  the volume's folder, holding `upper/`
# $3  options of the overlay mount that depend on the kind of namespace
# $4… the layers under it, the highest first
#
# Standard input is a pipe to the server: a line on it says that init runs.
set -eu

instance=$1 volume=$2 options=$3
shift 3

# Newer libmount hands each option to the kernel on its own, which takes 255 characters of it; as one
# string a page may be used.
export LIBMOUNT_FORCE_MOUNT2=always

# The layers get names of a few characters, so that a long chain fits into that page.
stage=$instance/root
mount -t tmpfs -o mode=755 stage "$stage"
cd "$stage"
mkdir root
lower='' number=0
for layer in "$@"; do
    ln -s "$layer" "$number"
    lower=$lower${lower:+:}$number
    number=$((number + 1))
done
# The work folder of an earlier boot says that its writes were not flushed, and would be refused.
rm -rf "$volume/work"
mkdir "$volume/work"
ln -s "$volume/upper" upper
ln -s "$volume/work" work
# `volatile`: the guest's syncs do nothing (a bake has thousands); freezing a layer syncs it. Kernels
# before 5.10 don't know it.
overlay=lowerdir=$lower,upperdir=upper,workdir=work,$options
mount -t overlay -o "$overlay,volatile" overlay root 2>/dev/null ||
    mount -t overlay -o "$overlay" overlay root
cd root

mount -t proc -o nosuid,nodev,noexec proc proc
# A new sysfs belongs to who owns the network; others see the host's, in which they may change nothing.
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys 2>/dev/null || mount --rbind /sys sys

mount -t tmpfs -o mode=755,nosuid,size=4m dev dev
for node in null zero full random urandom tty; do
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,nosuid,noexec,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
ln -s /proc/1/fd/1 dev/console

mount -t tmpfs -o mode=755,nosuid,nodev run run
mount -t tmpfs -o mode=1777,nosuid,nodev tmp tmp
mkdir -m 1777 run/lock
mkdir -p run/localcloud/old run/systemd/resolve
cp -R "$instance/boot/." run/localcloud/
# Where Debian's cloud images let /etc/resolv.conf point to.
cat /etc/resolv.conf >run/systemd/resolve/stub-resolv.conf 2>/dev/null || :

pivot_root . run/localcloud/old
cd /
umount -l /run/localcloud/old
rmdir /run/localcloud/old

# What systemd's tools can't do without systemd as init; see `systemctl`. The mount is the guest's
# only: the file in the image stays what it is.
/run/localcloud/cover on

# Namespaces don't divide what these rights touch: the host's clock, network, modules and log.
unset LIBMOUNT_FORCE_MOUNT2 OLDPWD
exec setpriv --bounding-set=-sys_module,-sys_rawio,-sys_time,-net_admin,-syslog,-mac_admin,-mac_override \
    /bin/sh /run/localcloud/init
