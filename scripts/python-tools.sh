#!/bin/sh
# Makes target/python: a virtual environment with the Python programs that some tests ask (moto_server, linters of
# policies), at the versions and hashes of tests/python/requirements.txt. Does nothing where it is there already.
# A copied one works: whatever is used of it is run as `target/python/bin/python -m …`.
#
# `python-tools.sh bench` makes target/python-bench instead, with the programs that `make bench` compares with.
set -eu
cd "$(dirname "$0")/.."

case "${1:-tests}" in
tests)
    list=tests/python/requirements.txt
    place=${CARGO_TARGET_DIR:-target}/python
    ;;
bench)
    list=tests/python/bench.txt
    place=${CARGO_TARGET_DIR:-target}/python-bench
    ;;
*)
    echo "usage: $0 [tests|bench]" >&2
    exit 2
    ;;
esac
# Written last: what was interrupted is made anew.
stamp=$place/made-from

fail() {
    echo "python-tools: $1" >&2
    echo "python-tools: the tests that need $place will fail" >&2
    exit 1
}

version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    fail "there is no python3: scripts/prerequisites.sh test installs it"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "python3 is $version; 3.11 or later is needed"
wanted="python $version, sha256 $(sha256sum "$list" | cut -d ' ' -f 1)"
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$place/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

echo "python-tools: installing what $list names into $place" >&2
rm -rf "$place"
mkdir -p "$(dirname "$place")"
python3 -m venv "$place" ||
    fail "cannot make a virtual environment; Debian has what is missing in python3-venv"
# The hashes are those of the index; wheels only, so that nothing is built and nothing else is fetched.
"$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps \
    --only-binary :all: -r "$list" ||
    fail "pip could not install what $list names (see above)"
echo "$wanted" >"$stamp"
