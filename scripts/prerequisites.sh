#!/bin/sh
# Installs what is missing from Debian's or Ubuntu's archive: with sudo where not root.
#   prerequisites.sh build|demo|test|vm
set -eu

packages=""
need() { # need COMMAND PACKAGE…: the packages, unless the command is there
    command=$1
    shift
    command -v "$command" >/dev/null 2>&1 || packages="$packages $*"
}

# C compiler: rustc links with it, SQLite and ring are compiled with it.
need cc gcc libc6-dev
# Whether this user may make the namespaces in which the local cloud boots instances.
sandbox() {
    own=''
    [ "$(id -u)" = 0 ] || own='--user --map-root-user'
    # shellcheck disable=SC2086 # several words, or none
    unshare $own --mount --pid --fork mount -t tmpfs none /mnt 2>/dev/null
}
if [ "$1" != build ]; then
    need mmdebstrap mmdebstrap
    need newuidmap uidmap
    need unshare util-linux
    # The process driver's conversions are jailed with it; the image brings its own.
    need bwrap bubblewrap
    # Where namespaces are forbidden, instances are folders in which this machine's own programs run.
    if command -v unshare >/dev/null 2>&1 && ! sandbox; then
        need ffmpeg ffmpeg
        need curl curl
    fi
    # Ubuntu verifies Debian's archive with these keys.
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        packages="$packages debian-archive-keyring"
fi
if [ "$1" = test ]; then
    need ffprobe ffmpeg
    need curl curl
    # For scripts/python-tools.sh. Debian has parts of the standard library in packages of their own.
    python3 -c 'import ensurepip, ssl, venv' 2>/dev/null ||
        packages="$packages python3 python3-venv"
fi
if [ "$1" = vm ]; then
    [ "$(uname -m)" = x86_64 ] || {
        echo "prerequisites: the virtual machines of this test are x86_64, as this machine is not" >&2
        exit 1
    }
    need qemu-system-x86_64 qemu-system-x86 seabios
    need socat socat
    PATH=$PATH:/usr/sbin:/sbin
    need mke2fs e2fsprogs
    need sfdisk fdisk
fi

command -v cargo >/dev/null 2>&1 || {
    echo "prerequisites: no cargo on PATH: install a Rust toolchain (1.95 or later) first" >&2
    exit 1
}
[ -n "$packages" ] || exit 0

command -v apt-get >/dev/null 2>&1 || {
    echo "prerequisites: missing$packages, and there is no apt-get here: install them by hand" >&2
    exit 1
}
as_root=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "prerequisites: missing$packages: run 'apt-get install$packages' as root, then this again" >&2
        exit 1
    }
    as_root=sudo
fi
echo "prerequisites: installing$packages" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq >&2
# shellcheck disable=SC2086 # a list of words
$as_root apt-get install -y -qq --no-install-recommends $packages >&2
