#!/bin/sh
# Cargo calls this in place of rustc for the crates of this workspace: the programs `muck` and `muck-worker` are linked
# statically. The worker runs in an image whose C library may be older than this machine's, and a packed `muck` on any
# Linux. `RUSTFLAGS` can't say that: procedural macros can't be linked so, and Cargo has no stable flags for one package.
#   rustc.sh RUSTC ARGUMENT…
set -eu

rustc=$1
shift
case " $* " in
    *' --test '*) ;;
    *' --crate-name muck '*' --crate-type bin '*)
        set -- "$@" -C target-feature=+crt-static
        ;;
    # Nor does an image have any use for its symbols.
    *' --crate-name muck_worker '*' --crate-type bin '*)
        set -- "$@" -C target-feature=+crt-static -C strip=symbols
        ;;
esac
exec "$rustc" "$@"
