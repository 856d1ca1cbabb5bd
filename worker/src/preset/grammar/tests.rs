use super::*;

fn check_line(line: &str) -> Result<(), ArgumentError> {
    check(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn usual_arguments_pass() {
    for line in USUAL {
        assert_eq!(check_line(line), Ok(()), "{line}");
    }
}

pub(super) const USUAL: [&str; 10] = [
    "-map 0:V:0 -map 0:a? -map 0:1 -map 0:t?",
    "-c:v libx264 -preset medium -crf 21 -b:a:0 160k -q:v 2 -c copy",
    "-vf scale=ceil(iw/2)*2:ceil(ih/2)*2,setsar=1,format=yuv420p|yuv420p10le",
    "-vf scale=w=if(gte(iw\\,ih)\\,min(1920\\,iw)\\,-2):h=-2:flags=lanczos+accurate_rnd",
    "-vf fps=10,split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer",
    "-vf fps=16/{seconds},scale=320:-2,tile=4x4:padding=2",
    "-af loudnorm=I=-16:TP=-1.5:LRA=11,aresample=48000",
    "-x265-params log-level=error:pools=2 -svtav1-params tune=0:film-grain=8",
    "-flags +mv4+aic -movflags faststart -an -r 30000/1001 -s 320x240 -t 20",
    "-map_metadata -1 -fps_mode vfr -f mp4",
];

/// Each is a way by which ffmpeg reads or writes another file, or takes a further input or output.
#[test]
fn whatever_could_touch_another_file_is_refused() {
    for line in [
        // Inputs and outputs.
        "out.mov",
        "file:out.mov",
        "-i /etc/passwd",
        "-f tee",
        "-f segment",
        "-f stream_segment",
        "-f hls",
        "-f dash",
        "-f image2",
        "-f concat",
        "-f md5",
        "-f fifo",
        "-f alsa",
        "-map 1:v",
        "-map [out]",
        "-map 0:v,1:v",
        "-map_metadata 1",
        "-map_chapters 1",
        // Options that name files, in all of ffmpeg's ways.
        "-filter_script x",
        "-filter_script:v x",
        "-filter_complex_script x",
        "-filter_complex null",
        "-lavfi null",
        "-/vf x",
        "-/filter:v x",
        "-/c:v x",
        "-pass 1",
        "-passlogfile x",
        "-flags +pass1",
        "-flags pass2",
        "-vstats",
        "-vstats_file x",
        "-progress x",
        "-report",
        "-attach x",
        "-dump_attachment:t x",
        "-fpre x",
        "-vpre x",
        "-pre x",
        "-sdp_file x",
        "-stats_enc_pre x",
        "-metadata a=b",
        "-hls_segment_filename x",
        "-segment_list x",
        "-intra_matrix x",
        "-init_hw_device x",
        "-vaapi_device x",
        "-protocol_whitelist file,http",
        "-threads 4",
        "-y",
        "-sub_charenc x",
        "-cpuflags x",
        "-loglevel debug",
        // Encoder parameters that name files.
        "-x264-params stats=/tmp/x",
        "-x264-params crf=20:qpfile=x",
        "-x264opts stats=x",
        "-x265-params csv=x",
        "-x265-params crf=20:analysis-save=x",
        "-x265-params lambda-file=x",
        "-x265-params log-level=full",
        "-svtav1-params stat-file=x",
        "-svtav1-params pass=1",
        "-aom-params x=y",
        // Devices and unknown codecs.
        "-c:v h264_v4l2m2m",
        "-c:v h264_vaapi",
        "-c:v rawvideo",
        "-c:v ../x",
        "-c:v /x",
        "-c mpeg4",
        "-c:p:1 copy",
        // Streams that only the file can tell of.
        "-b:m:title:x 160k",
        "-b:p:1 160k",
        "-b:u 160k",
        "-b:#0x1 160k",
        "-crf:v:x 20",
        "-crf:v:-1 20",
        "-crf: 20",
        "-crf:/x 20",
        // Filters that read files, take commands, other inputs or more outputs.
        "-vf movie=/etc/passwd",
        "-vf amovie=x",
        "-vf scale=1:1,subtitles=x",
        "-vf ass=x",
        "-vf lut3d=file=x",
        "-vf lut1d=x",
        "-vf drawtext=textfile=x",
        "-vf drawtext=text=x:fontfile=x",
        "-vf sendcmd=f=x",
        "-vf zmq",
        "-vf frei0r=x",
        "-vf ladspa=x",
        "-vf metadata=print:file=x",
        "-vf deshake=filename=x",
        "-vf vidstabdetect=result=x",
        "-vf signature=filename=x",
        "-vf psnr=stats_file=x",
        "-vf haldclut",
        "-vf coreimage=x",
        "-vf select='gt(scene,0.4)'",
        "-af arnndn=m=x",
        "-af sofalizer=x",
        "-af ashowinfo",
        "-af scale=1:1",
        "-vf volume=2",
        "-vf loudnorm=stats_file=x",
        "-vf scale=/w=x",
        "-vf scale=/etc/passwd:2",
        "-vf format=/x",
        "-vf format=pix_fmts=/x",
        "-vf crop=w=file",
        "-vf scale=1:1;[a]overlay",
        "-vf [0:v]scale=1:1",
        "-vf [1]scale=1:1",
        "-vf scale=w='1'",
        "-vf scale=w=\\'1",
        "-vf scale=1\\:1",
        "-vf null@x",
        "-vf scale=w=while(1\\,1)",
        "-vf scale=w=print(iw)",
        "-vf scale=w=st(0\\,1)",
        "-vf scale=w=(iw",
        "-vf scale=w=iw)",
        "-vf scale=w=iw\\,ih",
        "-vf scale=w={other}",
        "-vf thumbnail=n=99999999999",
        "-vf ",
        "-vf null,",
        // Values that aren't.
        "-crf",
        "-crf x",
        "-r 1/",
        "-r {seconds}",
        "-s 1x",
        "-",
        "--",
        "",
        "-b:v 9999999999",
    ] {
        assert!(check_line(line).is_err(), "{line}");
    }
    let many = format!("-vf null{}", ",null".repeat(40));
    assert!(check_line(&many).is_err());
}

#[test]
fn errors_say_what_is_allowed() {
    let error = check_line("-vf fps=10,lut3d=file=x").expect_err("is refused");
    assert_eq!(
        error.to_string(),
        "the option `-vf` can't have the value `fps=10,lut3d=file=x`: the filter `lut3d` is not allowed"
    );
    let error = check_line("-fps_mode x").expect_err("is refused");
    assert!(
        error
            .to_string()
            .ends_with("not one of passthrough, cfr, vfr, auto")
    );
}
