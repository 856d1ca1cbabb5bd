#!/bin/sh
# Makes the films beside this script: one or more of each kind that people have trouble with. They are kept in the repository,
# so that tests see the same films everywhere; run this only to change one. Needs ffmpeg with libx264, libx265 and libvpx.
set -eu
cd "$(dirname "$0")"
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

make() { ffmpeg -v error -y -nostdin -fflags +bitexact "$@"; }
# Pictures and sounds: what, seconds, pictures a second, size.
pictures() { echo "testsrc2=s=${3:-160x120}:r=$2:d=$1"; }
tone() { echo "sine=f=440:r=48000:d=$1"; }
h264="-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 25 -threads 1 -flags +bitexact"
aac="-c:a aac -b:a 32k"

# Times that round to one tick of the frame rate.
make -f lavfi -i "$(pictures 2 24)" -f lavfi -i "$(tone 2)" $h264 $aac film_24.mkv
make -f lavfi -i "$(pictures 3 30)" -r 29.97865 $h264 android_29_98.mp4

# Trimmed without recoding, in the middle of a group of pictures.
make -f lavfi -i "$(pictures 4 25)" -f lavfi -i "$(tone 4)" $h264 -g 100 $aac "$work/whole.mp4"
make -ss 1.3 -i "$work/whole.mp4" -c copy trimmed.mp4

# A screen recording whose last picture stands for 3 s.
make -f lavfi -i "$(pictures 1.9 10)" $h264 -bf 2 "$work/screen.mkv"
make -i "$work/screen.mkv" -c:v libx264 -preset veryfast -bf 0 -pix_fmt yuv420p -fps_mode vfr -enc_time_base -1 \
    -bsf:v "setts=pts=PTS:dts=DTS:duration=if(eq(NEXT_PTS\,NOPTS)\,PTS*3/1.8\,DURATION)" last_picture.mp4

# Recordings that were joined, and one that was broken off for a while.
ts="-f mpegts -mpegts_flags +initial_discontinuity"
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" $h264 $aac $ts "$work/one.ts"
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" $h264 $aac -output_ts_offset 21 $ts "$work/later.ts"
cat "$work/one.ts" "$work/one.ts" > joined.ts
cat "$work/one.ts" "$work/later.ts" > broken_off.ts
# A capture that begins in the middle of a packet.
tail -c +70 "$work/one.ts" > mid_packet.ts
# Another size from the middle on.
make -f lavfi -i "$(pictures 1 25 320x240)" -f lavfi -i "$(tone 1)" $h264 $aac -output_ts_offset 1.08 $ts "$work/large.ts"
cat "$work/one.ts" "$work/large.ts" > size_changes.ts
make -f lavfi -i "$(pictures 1 25 160x90)" -c:v libvpx -b:v 100k -f webm "$work/small.webm"
make -f lavfi -i "$(pictures 1 25 320x180)" -c:v libvpx -b:v 100k -f webm "$work/large.webm"
printf "file '%s'\n" "$work/small.webm" "$work/large.webm" > "$work/list"
make -f concat -safe 0 -i "$work/list" -c copy size_changes.webm

# Pixels of another shape from the middle on, as when a broadcast goes over from a film to news.
make -f lavfi -i "$(pictures 1 25 180x144)" -vf setsar=16/15 -c:v mpeg2video -q:v 5 $ts "$work/narrow.ts"
make -f lavfi -i "$(pictures 1 25 180x144)" -vf setsar=64/45 -c:v mpeg2video -q:v 5 -output_ts_offset 1 $ts "$work/wide.ts"
cat "$work/narrow.ts" "$work/wide.ts" > shape_changes.ts

# Pictures that are held: AVI has empty chunks for them.
make -f lavfi -i "$(pictures 3 15)" -vf "select='not(mod(n\,3))'" -fps_mode passthrough -enc_time_base 1/15 \
    -c:v mjpeg -q:v 8 held.avi

# Two instants in a picture; one, though it says two; film at 30 pictures a second. Test patterns look like combs themselves.
make -f lavfi -i "gradients=s=320x576:r=50:d=1.2:speed=0.2:seed=7" -vf "tinterlace=interleave_top,setfield=tff,setsar=2/1" -c:v libx264 \
    -preset veryfast -pix_fmt yuv420p -flags +ilme+ildct -x264-params tff=1 -f mpegts interlaced.mts
make -f lavfi -i "gradients=s=320x576:r=25:d=1:speed=0.2:seed=7" -vf "setfield=tff" -c:v libx264 -preset veryfast -pix_fmt yuv420p \
    -flags +ilme+ildct -x264-params tff=1 marked_only.mkv
make -f lavfi -i "gradients=s=320x480:r=24000/1001:d=1.2:speed=0.2:seed=7" -vf "telecine=pattern=23,setfield=tff,setsar=1/1" -c:v mpeg2video -q:v 5 \
    -flags +ilme+ildct -f mpeg telecined.mpg
make -f lavfi -i "$(pictures 1 25 180x144)" -vf "setsar=64/45" -c:v mpeg2video -q:v 5 -f mpeg wide.mpg

# More light and more colours than a usual screen has; red, green and blue.
hevc="-c:v libx265 -preset veryfast -tag:v hvc1"
patches="color=s=160x120:r=10:d=1:c=gray,format=gbrp16le"
make -f lavfi -i "$patches" -vf "zscale=tin=709:min=gbr:pin=709:t=arib-std-b67:m=bt2020nc:p=bt2020:r=limited:npl=203,format=yuv420p10le" \
    $hevc -x265-params log-level=error:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc hlg.mov
make -f lavfi -i "$patches" -vf "zscale=tin=709:min=gbr:pin=709:t=smpte2084:m=bt2020nc:p=bt2020:r=limited:npl=203,format=yuv420p10le" \
    $hevc -x265-params "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400" pq.mkv
make -f lavfi -i "color=s=160x120:r=10:d=1:c=0x20c040" -c:v libx264rgb -preset veryfast -qp 0 rgb.mkv

# Patches of colour, by the standards' formulas.
python3 colors.py . > /dev/null
# Colours by their numbers in a table; sides that are odd, where the last column is a third of the picture.
make -f lavfi -i "color=s=160x120:r=10:d=1:c=0x24b655,format=rgb24" -c:v zmbv -pix_fmt pal8 palette.avi
make -f lavfi -i "color=s=8x8:r=10:d=1:c=0xd02020" -vf "format=rgb24,crop=5:5,scale=out_color_matrix=bt709,format=yuv444p" -colorspace bt709 -color_range tv \
    -c:v ffv1 odd.mkv

# On its side.
make -f lavfi -i "$(pictures 1 25 192x108)" $h264 "$work/wide.mp4"
if ffmpeg -hide_banner -h full 2>/dev/null | grep -q -- -display_rotation; then
    make -display_rotation:v:0 90 -i "$work/wide.mp4" -c copy portrait.mov
else
    make -i "$work/wide.mp4" -c copy -metadata:s:v:0 rotate=270 portrait.mov
fi

# Sounds: six channels of disks, a commentary in front, another programme.
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" -c:v mpeg2video -q:v 8 -af "pan=5.1(side)|FL=c0|FR=c0|FC=c0|LFE=c0|SL=c0|SR=c0" \
    -c:a ac3 -b:a 192k -f vob six_channels.vob
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" -f lavfi -i "$(tone 1)" -map 0 -map 1 -map 2 $h264 $aac \
    -metadata:s:a:0 title=Commentary -metadata:s:a:1 title=Film -disposition:a:0 0 -disposition:a:1 default commentary_first.mkv
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" \
    -map 0 -map 1 -map 2 -map 3 $h264 -c:a mp2 -b:a 64k -program title=ours:st=0:st=1 -program title=theirs:st=2:st=3 -f mpegts two_programs.ts

# What belongs to a film beside pictures and sound.
printf '1\n00:00:00,100 --> 00:00:00,900\nHello\n' > "$work/text.srt"
make -i "$work/text.srt" "$work/text.ass"
printf 'a font' > "$work/font.ttf"
make -f lavfi -i "$(pictures 1 25)" -i "$work/text.srt" -map 0 -map 1 $h264 -c:s srt letters.mkv
make -f lavfi -i "$(pictures 1 25)" -i "$work/text.ass" -map 0 -map 1 $h264 -c:s ass -attach "$work/font.ttf" \
    -metadata:s:t mimetype=application/x-truetype-font font.mkv
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" -i "$work/text.srt" -map 0 -map 1 -map 2 $h264 -c:a pcm_s16le -c:s mov_text samples.mov
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" $h264 -ac 2 -c:a pcm_bluray -f mpegts -mpegts_m2ts_mode 1 camcorder.m2ts
make -f lavfi -i "$(pictures 1 25)" $h264 -timecode 01:00:00:00 time_code.mov
make -f lavfi -i "$(pictures 1 25)" $h264 -movflags use_metadata_tags -metadata com.apple.quicktime.location.ISO6709=+48.2+016.3/ \
    -metadata com.apple.quicktime.creationdate=2024-06-01T18:30:00+0200 -metadata com.apple.quicktime.model=Phone phone_tags.mov
make -f lavfi -i "color=s=64x64:c=red:d=0.1" -frames:v 1 "$work/cover.png"
make -f lavfi -i "$(tone 1)" -i "$work/cover.png" -map 0 -map 1 $aac -c:v copy -disposition:v:0 attached_pic song.m4a
make -i "$work/wide.mp4" -c:v libx265 -preset veryfast -x265-params log-level=error -tag:v hev1 hev1.mp4

# Few pictures.
make -f lavfi -i "$(pictures 3 1)" -f lavfi -i "$(tone 3)" $h264 $aac one_a_second.mp4
make -f lavfi -i "$(pictures 4 25)" -f lavfi -i "$(tone 4)" -vf "select='lt(t\,1)+gt(t\,3)'" -fps_mode vfr $h264 $aac pause.mkv
make -f lavfi -i "$(pictures 0.2 25)" -f lavfi -i "$(tone 0.2)" $h264 $aac short.mp4
make -f lavfi -i "$(pictures 0.04 25)" -frames:v 1 $h264 single.mp4

# What encoders can't take.
make -f lavfi -i "$(pictures 0.3 1000 64x64)" $h264 -preset ultrafast fast_1000.mp4
make -f lavfi -i "testsrc=s=33x17:r=25:d=0.5" -c:v ffv1 tiny.avi

# Broken off in the middle: what is in it can be saved.
make -f lavfi -i "$(pictures 4 25)" -f lavfi -i "$(tone 4)" $h264 $aac "$work/long.mkv"
head -c $(($(stat -c %s "$work/long.mkv") * 6 / 10)) "$work/long.mkv" > cut.mkv

# Slides with sound; sound that goes on after the pictures; more channels than any player has.
make -f lavfi -i "$(pictures 20 25)" -f lavfi -i "$(tone 20)" \
    -vf "select='eq(n,0)+eq(n,2)+eq(n,175)+eq(n,176)+eq(n,475)+eq(n,487)'" -fps_mode passthrough -enc_time_base 1/25 $h264 $aac sparse_end.mkv
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 9)" $h264 $aac sound_longer.mp4
nine="0.1*sin(900*t)"
for channel in 2 3 4 5 6 7 8 9; do nine="$nine|0.1*sin($channel*900*t)"; done
make -f lavfi -i "aevalsrc=$nine:s=8000:d=0.6" -c:a pcm_s16le nine_channels.mov

# A cover and a font in Matroska, with subtitles that MP4 has no place for.
make -f lavfi -i "$(pictures 1 25)" -f lavfi -i "$(tone 1)" -i "$work/text.srt" $h264 $aac -c:s srt \
    -attach "$work/font.ttf" -metadata:s:t:0 mimetype=font/ttf -metadata:s:t:0 filename=font.ttf \
    -attach "$work/cover.png" -metadata:s:t:1 mimetype=image/png -metadata:s:t:1 filename=cover.png cover.mkv

# A screen recording that holds a picture before the last one.
make -f lavfi -i "$(pictures 20 10)" -vf "select='lt(t,2)+between(t,6.85,6.95)'" -fps_mode passthrough -t 7 -c:v libvpx -b:v 200k held_before.webm
# Sound without a header, whose first packets tell little of the rest; two songs one after the other, with tags as Ogg has them.
make -f lavfi -i "aevalsrc='if(lt(t,2),0,random(0)-0.5)':s=44100:d=5" -c:a aac -b:a 96k quiet_then_loud.aac
make -f lavfi -i "$(tone 1)" -metadata title=Song -metadata artist=Somebody -c:a libvorbis -b:a 48k "$work/one.ogg"
cat "$work/one.ogg" "$work/one.ogg" > chained.ogg
# Pictures that begin later than sound that MP4 has no place for.
make -f lavfi -i "$(pictures 2 25)" -f lavfi -i "sine=r=8000:d=3" -vf "setpts=PTS+1/TB" -fps_mode passthrough $h264 -c:a pcm_s16le late_pictures.mov
# Bytes in the middle that are no part of a film; chapters.
make -f lavfi -i "$(pictures 4 25)" -f lavfi -i "$(tone 4)" $h264 $aac "$work/torn.mkv"
at=$(($(stat -c %s "$work/torn.mkv") / 2))
{ head -c $at "$work/torn.mkv"; head -c 20000 /dev/zero; tail -c +$((at + 20001)) "$work/torn.mkv"; } > torn.mkv
printf ';FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=1\ntitle=One\n' > "$work/chapters.txt"
make -f lavfi -i "$(pictures 1 25)" -i "$work/chapters.txt" -map 0 -map_metadata 1 $h264 chapters.mp4

du -cb -- *.* | tail -1
