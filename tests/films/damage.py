#!/usr/bin/env python3
"""How much damage the decode check of outputs finds, per codec: the table of docs/presets.md.

usage: damage.py [PLACES]

Makes a film of 4 s per codec, sets 16 bytes of it to zero in each of PLACES places (40) spread evenly over its media, and decodes
each copy twice: as the check did until it heeded the film's own times ("before": any word is a fault), and as it does now
("after": what the null muxer says of times is none). The last line is good films, of which none may be called damaged: 24
pictures a second beside sound of 48 kHz, and times a little above their rate. Needs ffmpeg on PATH; decodes nothing else.
"""
import subprocess, sys, tempfile
from pathlib import Path

PLACES = int(sys.argv[1]) if len(sys.argv) > 1 else 40
HEAD = ["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-v", "error"]
READ = ["-xerror", "-threads", "1", "-skip_loop_filter", "all"]
BEFORE = ["-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough", "-f", "null", "-"]
AFTER = ["-map", "0:V?", "-map", "0:a?", "-fps_mode", "passthrough", "-enc_time_base:v", "-1", "-f", "null", "-"]
WRITERS = ("[null @ ", "[out#", "[vost#", "[aost#")
PICTURES = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=15:d=4"]
TONE = ["-f", "lavfi", "-i", "sine=f=440:r=48000:d=4"]
CODECS = {
    "H.264": ["film.mp4", *PICTURES, "-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p"],
    "H.265": ["film.mp4", *PICTURES, "-c:v", "libx265", "-x265-params", "log-level=error:qp=8"],
    "AV1": ["film.mp4", *PICTURES, "-c:v", "libsvtav1", "-preset", "8", "-crf", "10"],
    "MPEG-4": ["film.mov", *PICTURES, "-c:v", "mpeg4", "-q:v", "2"],
    "GIF": ["film.gif", *PICTURES, "-t", "1"],
    "AAC": ["film.m4a", *TONE, "-c:a", "aac", "-b:a", "160k"],
}
GOOD = {
    "24 pictures a second": ["film.mkv", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=24:d=4", *TONE, "-c:v", "libx264", "-c:a", "aac"],
    "29.98 pictures a second": ["film.mp4", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=30:d=20", "-r", "29.97865", "-c:v", "libx264"],
}

def make(folder, film):
    path = folder / film[0]
    subprocess.run([*HEAD, "-y", *film[1:], path], check=True, stderr=subprocess.DEVNULL, timeout=120)
    return path

def is_fault(path, output, heeds_all):
    ended = subprocess.run([*HEAD, *READ, "-i", path, *output], capture_output=True, text=True, errors="replace", timeout=120)
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    return ended.returncode != 0 or any(heeds_all or not line.startswith(WRITERS) for line in lines)

def media(content):
    """Where a film's packets are: in MP4 its mdat, else all but the first half KiB."""
    at = content.find(b"mdat")
    if at < 4:
        return 512, len(content)
    size = int.from_bytes(content[at - 4:at], "big")
    return at + 4, at - 4 + size

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    print(subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])
    print(f"{'codec':10}{'before':>10}{'after':>10}   of {PLACES}")
    for codec, film in CODECS.items():
        path = make(folder, film)
        content = path.read_bytes()
        begin, end = media(content)
        found = [0, 0]
        for place in range(PLACES):
            at = begin + (end - begin) * (2 * place + 1) // (2 * PLACES)
            damaged = folder / ("damaged" + path.suffix)
            damaged.write_bytes(content[:at] + bytes(16) + content[at + 16:])
            found[0] += is_fault(damaged, BEFORE, True)
            found[1] += is_fault(damaged, AFTER, False)
        print(f"{codec:10}{found[0]:10}{found[1]:10}", flush=True)
    for what, film in GOOD.items():
        path = make(folder, film)
        told = ["called damaged" if is_fault(path, output, all_) else "passes" for output, all_ in ((BEFORE, True), (AFTER, False))]
        print(f"good, {what}: before {told[0]}, after {told[1]}")
