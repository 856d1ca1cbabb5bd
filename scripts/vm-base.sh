#!/bin/sh
# Makes what the virtual machines of `make test-vm` start from: a disk image that is to Debian's own image for
# EC2 as close as packages and settings make it, with the kernel and initrd beside it.
#   vm-base.sh FOLDER [LINE…]      each LINE one of sources.list; none: Debian's own mirrors
# Facts: the cloud team's debian-cloud-images, config_space/13, classes CLOUD, EC2 and SYSTEM_BOOT.
set -eu

suite=trixie
# GiB. Volumes are larger, as on EC2, so that growing the root is tried too.
size=4
# Any two will do; the kernel finds its root by the first.
partuuid=6d75636b-0000-4000-8000-000000000001
offset=$((1024 * 1024))

# Left out of Debian's list: the boot loader (QEMU loads the kernel), awscli and programs for people.
packages=amazon-ec2-utils,apparmor,apt-utils,ca-certificates,cloud-guest-utils,cloud-init,cloud-initramfs-growroot,\
curl,e2fsprogs,init,initramfs-tools,iproute2,iptables,iputils-ping,less,libnss-myhostname,libnss-resolve,\
libpam-systemd,linux-image-cloud-amd64,linux-sysctl-defaults,netbase,netplan.io,openssh-server,polkitd,procps,\
psmisc,socat,ssh-import-id,sudo,systemd-resolved,systemd-timesyncd,unattended-upgrades,vim-tiny,whiptail,xz-utils,zstd

# As root, or as the root of mmdebstrap's user namespace.
make_disk() { # make_disk FOLDER
    cd "$1"
    mkdir root
    tar -C root -xpf root.tar
    mirror() { awk -v suite="$1" '$1 == "deb" { for (i = 3; i <= NF; i++) if ($i == suite) { print $(i - 1); exit } }' root/etc/apt/sources.list; }
    main=$(mirror $suite) security=$(mirror $suite-security)
    [ -n "$main" ] || { echo "vm-base: no mirror in the root's sources.list" >&2 && exit 1; }
    rm -rf root/etc/apt/sources.list root/etc/apt/sources.list.d/* root/etc/ssh/ssh_host_* root/etc/hostname \
        root/var/lib/dbus/machine-id root/var/log/apt root/var/log/*.log
    : >root/etc/hostname >root/etc/machine-id
    echo "PARTUUID=$partuuid / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1" >root/etc/fstab
    ln -sfn ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf
    mkdir -p root/etc/apt/mirrors
    echo "$main" >root/etc/apt/mirrors/debian.list
    echo "${security:-$main}" >root/etc/apt/mirrors/debian-security.list
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    {
        printf 'Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: %s %s-updates\nComponents: main\nSigned-By: %s\n' \
            $suite $suite $keys
        [ -z "$security" ] ||
            printf '\nTypes: deb\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\nSuites: %s-security\nComponents: main\nSigned-By: %s\n' \
                $suite $keys
    } >root/etc/apt/sources.list.d/debian.sources
    # cloud-init writes the mirrors' lists anew from these.
    cat >root/etc/cloud/cloud.cfg.d/01_debian_cloud.cfg <<CFG
apt:
  generate_mirrorlists: true
system_info:
  default_user:
    name: admin
    gecos: Debian
    shell: /bin/bash
    lock_passwd: true
    groups: [adm, audio, cdrom, dialout, dip, floppy, plugdev, sudo, video]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
  package_mirrors:
  - arches: [default]
    failsafe:
      primary: $main
      security: ${security:-$main}
CFG
    cp -L root/vmlinuz vmlinuz
    cp -L root/initrd.img initrd.img
    mke2fs -q -t ext4 -E offset=$offset -d root disk.raw $(((size * 1024 - 2) * 1024))
    rm -rf root root.tar
}

if [ "$1" = --make-disk ]; then
    make_disk "$2"
    exit
fi
folder=$1
shift
mkdir -p "$folder"
mmdebstrap --variant=apt --format=tar --include=$packages \
    --customize-hook='chroot "$1" systemctl enable systemd-networkd.service systemd-resolved.service' \
    --customize-hook='chroot "$1" update-initramfs -u' \
    $suite "$folder/root.tar" "$@"
truncate -s ${size}G "$folder/disk.raw"
printf 'label: gpt\nstart=%s, type=L, uuid=%s\n' $((offset / 512)) $partuuid | sfdisk -q "$folder/disk.raw"
# Owners of files are kept only for root, or what passes for it.
if [ "$(id -u)" = 0 ]; then
    sh "$0" --make-disk "$folder"
else
    mmdebstrap --unshare-helper sh "$0" --make-disk "$folder"
fi
