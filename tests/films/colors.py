#!/usr/bin/env python3
"""Makes patches_*.mkv: patches of colour, coded by the standards' formulas and not by ffmpeg's or zimg's, so that a fault of
those is seen. Prints what a usual screen must show of each, as films.toml has it.

usage: colors.py FOLDER

The patches are light in cd/m2 of BT.709's primaries; the last of HDR is brighter than white paper (203 cd/m2, ITU-R BT.2408).
Formulas: primaries to XYZ SMPTE RP 177; PQ and HLG with its OOTF for a screen of 1000 cd/m2 ITU-R BT.2100; gamma of a usual
screen ITU-R BT.1886; matrices, YCgCo, ICtCp and constant luminance ITU-T H.273; the roll-off of what is brighter is mobius,
as docs/presets.md says. Needs ffmpeg with libx264.
"""
import math
import struct
import subprocess
import sys
from pathlib import Path

PAPER, PEAK = 203, 1000
PATCHES = [(203, 203, 203), (40, 40, 40), (150, 20, 20), (20, 150, 20), (20, 20, 150), (180, 120, 90), (600, 500, 100)]
SIDE, PICTURES = 32, 5
PRIMARIES = {
    "bt709": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
WHITE = (0.3127, 0.3290)


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


def product(left, right):
    return [[sum(left[i][k] * right[k][j] for k in range(3)) for j in range(3)] for i in range(3)]


def inverse(m):
    (a, b, c), (d, e, f), (g, h, i) = m
    det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    rows = [
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    ]
    return [[x / det for x in row] for row in rows]


def to_xyz(primaries):
    columns = [(x / y, 1, (1 - x - y) / y) for x, y in PRIMARIES[primaries]]
    matrix = [[columns[j][i] for j in range(3)] for i in range(3)]
    x, y = WHITE
    scale = times(inverse(matrix), (x / y, 1, (1 - x - y) / y))
    return [[matrix[i][j] * scale[j] for j in range(3)] for i in range(3)]


def between(source, target, light):
    return times(product(inverse(to_xyz(target)), to_xyz(source)), light)


def pq(nits):
    y = (max(nits, 0) / 10_000) ** (2610 / 16384)
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    return ((c1 + c2 * y) / (1 + c3 * y)) ** (2523 / 32)


def hlg(light):
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    red, green, blue = (value / PEAK for value in light)
    luminance = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    scene = [value * luminance ** (1 / 1.2 - 1) for value in (red, green, blue)]
    return [math.sqrt(3 * e) if e <= 1 / 12 else a * math.log(12 * e - b) + c for e in scene]


def screen(value):
    return max(value, 0) ** (1 / 2.4)


def camera(value):
    return 4.5 * value if value < 0.018 else 1.099 * value**0.45 - 0.099


def luma_chroma(rgb, kr, kb):
    red, green, blue = rgb
    y = kr * red + (1 - kr - kb) * green + kb * blue
    return y, (blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr))


def ycgco(rgb):
    red, green, blue = rgb
    return (red + 2 * green + blue) / 4, (2 * green - red - blue) / 4, (red - blue) / 2


def ictcp(light):
    red, green, blue = light
    l = pq((1688 * red + 2146 * green + 262 * blue) / 4096)
    m = pq((683 * red + 2951 * green + 462 * blue) / 4096)
    s = pq((99 * red + 309 * green + 3688 * blue) / 4096)
    return (l + m) / 2, (6610 * l - 13613 * m + 7003 * s) / 4096, (17933 * l - 17390 * m - 543 * s) / 4096


def constant_luminance(rgb):
    red, green, blue = rgb
    y = camera(0.2627 * red + 0.6780 * green + 0.0593 * blue)
    blueness, redness = camera(blue) - y, camera(red) - y
    return y, blueness / (1.9404 if blueness <= 0 else 1.5820), redness / (1.7182 if redness <= 0 else 0.9938)


def mobius(value, peak, knee=0.3):
    if value <= knee:
        return value
    a = -knee * knee * (peak - 1) / (knee * knee - 2 * knee + peak)
    b = (knee * knee - 2 * knee * peak + peak) / (peak - 1)
    return (b * b + 2 * b * knee + knee * knee) / (b - a) * (value + a) / (value + b)


def shown(patch, is_hdr):
    light = [value / PAPER for value in patch]
    if is_hdr:
        most = max(light)
        light = [value * mobius(most, PEAK / PAPER) / most for value in light]
    return [round(255 * min(1, screen(value))) for value in light]


def write(path, coded, tags):
    """A film of patches side by side; `coded`: Y, Cb, Cr of each, luma from 0 to 1, chroma from -0.5 to 0.5."""
    planes = b""
    for plane in range(3):
        scale, zero = (219, 16) if plane == 0 else (224, 128)
        codes = [round(4 * (zero + scale * one[plane])) for one in coded]
        planes += b"".join(struct.pack("<H", min(1019, max(4, code))) * SIDE for code in codes) * SIDE
    matrix, transfer, primaries = tags
    name = {"ycgco": "YCgCo", "ictcp": "ICtCp"}.get(matrix, matrix)
    size = f"{SIDE * len(coded)}x{SIDE}"
    reading = ["-f", "rawvideo", "-pix_fmt", "yuv444p10le", "-s", size, "-r", "5", "-i", "-"]
    coding = ["-c:v", "libx264", "-qp", "0", "-preset", "veryfast", "-threads", "1", "-flags", "+bitexact"]
    told = ["-colorspace", matrix, "-color_trc", transfer, "-color_primaries", primaries, "-color_range", "tv"]
    params = ["-x264-params", f"colormatrix={name}:transfer={transfer}:colorprim={primaries}"]
    command = ["ffmpeg", "-v", "error", "-y", "-fflags", "+bitexact", *reading, *coding, *told, *params, str(path)]
    subprocess.run(command, input=planes * PICTURES, check=True)


def main():
    folder = Path(sys.argv[1])
    usual = [patch for patch in PATCHES if max(patch) <= PAPER]
    light = [[value / PAPER for value in patch] for patch in usual]
    wide = {p: [between("bt709", p, patch) for patch in light] for p in ("bt2020", "smpte432")}
    bright = [between("bt709", "bt2020", patch) for patch in PATCHES]
    own = to_xyz("smpte432")[1]
    films = {
        "pq": ([luma_chroma(map(pq, p), 0.2627, 0.0593) for p in bright], ("bt2020nc", "smpte2084", "bt2020")),
        "hlg": ([luma_chroma(hlg(p), 0.2627, 0.0593) for p in bright], ("bt2020nc", "arib-std-b67", "bt2020")),
        "ictcp": ([ictcp(p) for p in bright], ("ictcp", "smpte2084", "bt2020")),
        "ycgco": ([ycgco(map(screen, p)) for p in light], ("ycgco", "bt709", "bt709")),
        "p3": ([luma_chroma(map(screen, p), own[0], own[2]) for p in wide["smpte432"]],
               ("chroma-derived-nc", "bt709", "smpte432")),
        "constant": ([constant_luminance(p) for p in wide["bt2020"]], ("bt2020c", "bt2020-10", "bt2020")),
    }
    for name, (coded, tags) in films.items():
        write(folder / f"patches_{name}.mkv", coded, tags)
        is_hdr = len(coded) == len(PATCHES)
        print(f"patches_{name}.mkv", [shown(patch, is_hdr) for patch in (PATCHES if is_hdr else usual)])


main()
