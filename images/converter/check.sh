#!/bin/sh
# Run on the builder when all is installed: is this a machine that converts? Ends non-zero, with the
# reason, if it is not.
set -eu

fail() {
    echo "check: $1" >&2
    exit 1
}

# As Debian runs /etc/rc.local: nothing else in the environment, so nothing else may be needed.
worker=${DESTDIR:-}/usr/local/bin/muck-worker
"$worker" --version ||
    fail "muck-worker does not run here: it is for another architecture, or linked to a newer C library (\`make build\` links it statically)"

# The power-off of an instance whose boot hangs: enabled, and valid to systemd where it can be asked.
timer=${DESTDIR:-}/etc/systemd/system/muck-time-to-live.timer
[ "${DESTDIR:-}/etc/systemd/system/sysinit.target.wants/muck-time-to-live.timer" -ef "$timer" ] ||
    fail "muck-time-to-live.timer is not enabled: an instance whose boot hangs would run for ever"
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify --man=no --recursive-errors=no "$timer" "${timer%/*}/muck-power-off.service" ||
        fail "systemd refuses muck-time-to-live.timer or its service"
fi

# ffmpeg will run in a jail; the worker tries it, where the jobs will be, or says that it was told to do without.
jail=$("$worker" --check-jail --work-dir "${DESTDIR:-}/var/tmp") || fail "ffmpeg can't be jailed here"
printf '%s\n' "$jail" | sed -n 1p

ffmpeg -hide_banner -version | sed -n 1p || fail "ffmpeg does not run"
ffprobe -hide_banner -version >/dev/null || fail "ffprobe does not run"
encoders=$(ffmpeg -hide_banner -loglevel error -encoders)
for encoder in mpeg4 libx264 libx265 libsvtav1 mjpeg gif aac; do
    printf '%s\n' "$encoders" | awk -v name="$encoder" '$2 == name { found = 1 } END { exit !found }' ||
        fail "ffmpeg lacks the encoder $encoder"
done

# One picture and a little sound, through both containers that the presets write.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
convert() {
    ffmpeg -nostdin -hide_banner -loglevel error -f lavfi -i testsrc=s=64x64:r=10:d=0.3 \
        -f lavfi -i sine=d=0.3 -c:v "$1" -pix_fmt yuv420p -c:a aac "$folder/$2" </dev/null ||
        fail "ffmpeg can't make a $1 file"
    streams=$(ffprobe -v error -show_entries stream=codec_type -of csv=p=0 "$folder/$2" | sort | tr '\n' ' ')
    [ "$streams" = "audio video " ] || fail "the $1 file has the streams: $streams"
}
convert mpeg4 a.mov
convert libx264 b.mp4
echo "check: ffmpeg and muck-worker are fit to convert"
