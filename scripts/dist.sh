#!/bin/sh
# Packs the release programs into dist/: an archive for any Linux, and a Debian package. The same sources, toolchain and C
# library give the same bytes.
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
machine=$(uname -m)
# The commit's time is the time of every packed file.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.toml)
export SOURCE_DATE_EPOCH
umask 022
rm -rf dist
mkdir -p dist

name=muck-$version-linux-$machine
sh scripts/install.sh "" "dist/$name"
tar -C dist --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$name" |
    gzip -9n >"dist/$name.tar.gz"
rm -rf "dist/$name"

case $machine in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$machine ;;
esac
package=dist/muck_${version}_$architecture
sh scripts/install.sh /usr "$package"
gzip -9n "$package"/usr/share/man/man1/*
mkdir "$package/DEBIAN"
cat >"$package/DEBIAN/control" <<CONTROL
Package: muck
Version: $version
Architecture: $architecture
Maintainer: The muck developers <muck@localhost>
Section: video
Priority: optional
Installed-Size: $(du -sk "$package/usr" | cut -f 1)
Recommends: ca-certificates, mmdebstrap, uidmap, bubblewrap, debian-archive-keyring
Suggests: ffmpeg, curl
Description: mass video conversion on AWS that leaves nothing behind
 Converts many videos with one command: creates buckets, queues and a role,
 bakes an AMI with ffmpeg, launches instances that convert, fetches the results
 with statistics and a bill, and tears everything down. Without an account
 everything runs on an embedded local cloud, for which the recommended packages
 are needed.
CONTROL
dpkg-deb --root-owner-group --build "$package" "$package.deb" >&2
rm -rf "$package"
ls -l dist >&2
