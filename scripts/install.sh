#!/bin/sh
# Puts the release programs with manual pages and completions below a folder, as a package manager would.
#   install.sh PREFIX [DESTDIR]      e.g. /usr/local, or /usr and a folder that a package is made of
set -eu
cd "$(dirname "$0")/.."
root=${2:-}$1
programs=${CARGO_TARGET_DIR:-target}/release

install -d "$root/bin" "$root/share/man/man1" "$root/share/bash-completion/completions" \
    "$root/share/zsh/site-functions" "$root/share/fish/vendor_completions.d" "$root/share/doc/muck"
# muck finds the worker in its own folder.
install -m 0755 "$programs/muck" "$programs/muck-worker" "$root/bin/"
"$programs/muck" --quiet man-pages "$root/share/man/man1"
"$programs/muck" completions bash >"$root/share/bash-completion/completions/muck"
"$programs/muck" completions zsh >"$root/share/zsh/site-functions/_muck"
"$programs/muck" completions fish >"$root/share/fish/vendor_completions.d/muck.fish"
install -m 0644 README.md CHANGELOG.md docs/*.md "$root/share/doc/muck/"
