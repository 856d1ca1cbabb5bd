#!/bin/sh
# Makes the sample clips beside this script: what a camera of 2007 writes (MJPEG and PCM in AVI),
# from ffmpeg's own test pictures and tones, so they are nobody's property.
#
# Byte for byte the same with the same ffmpeg (made with 5.1); `-fflags +bitexact` leaves out its name.
set -eu
cd "$(dirname "$0")"

# clip NAME SIZE FRAMES-A-SECOND SECONDS QUALITY TONE-HZ SAMPLE-RATE
clip() {
    ffmpeg -nostdin -y -loglevel error \
        -f lavfi -i "testsrc2=size=$2:rate=$3:duration=$4" \
        -f lavfi -i "sine=frequency=$6:sample_rate=$7:duration=$4" \
        -map 0:v -map 1:a -c:v mjpeg -pix_fmt yuvj422p -q:v "$5" -c:a pcm_u8 -ac 1 \
        -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -f avi "$1"
    echo "$1"
}

clip MVI_3113.AVI 320x240 15 4 16 440 11025
clip MVI_3114.AVI 320x240 30 2 18 523 11025
clip MVI_3115.AVI 640x480 15 2 24 659 11025
clip MVI_3121.AVI 640x480 10 3 26 784 8000
clip birthday/MVI_3130.AVI 320x240 15 6 24 880 8000
