//! What people have: containers and codecs, films on their side, dates, chapters, colours, odd sizes,
//! changing frame rates.

use super::*;

/// The answer of ffprobe to `-show_entries`, line by line.
fn probe(file: &Path, entries: &str) -> Vec<String> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "csv=p=0", "-show_entries", entries])
        .arg(file)
        .output()
        .expect("ffprobe runs");
    assert!(output.status.success(), "{}", file.display());
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect()
}

fn ffmpeg(args: &[&str]) -> bool {
    Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(args)
        .status()
        .expect("ffmpeg runs")
        .success()
}

const PICTURES: &str = "testsrc=size=160x120:rate=15";
const TONE: &str = "sine=frequency=440:sample_rate=44100";

/// Each container that cameras, phones, the web and old disks have, with the codecs usual in it.
const KINDS: [(&str, &[&str]); 17] = [
    ("mjpeg.avi", &["-c:v", "mjpeg", "-c:a", "pcm_u8"]),
    (
        "xvid.avi",
        &[
            "-c:v",
            "mpeg4",
            "-vtag",
            "XVID",
            "-bf",
            "2",
            "-c:a",
            "libmp3lame",
        ],
    ),
    (
        "h264.mp4",
        &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"],
    ),
    (
        "hevc.mp4",
        &[
            "-c:v",
            "libx265",
            "-x265-params",
            "log-level=error",
            "-c:a",
            "aac",
        ],
    ),
    ("prores.mov", &["-c:v", "prores_ks", "-c:a", "pcm_s16le"]),
    ("h264.mkv", &["-c:v", "libx264", "-c:a", "flac"]),
    ("ffv1.mkv", &["-c:v", "ffv1", "-c:a", "pcm_s16le"]),
    ("vp9.webm", &["-c:v", "libvpx-vp9", "-c:a", "libopus"]),
    ("vp8.webm", &["-c:v", "libvpx", "-c:a", "libvorbis"]),
    ("theora.ogg", &["-c:v", "libtheora", "-c:a", "libvorbis"]),
    (
        "mpeg2.mpg",
        &["-r", "25", "-c:v", "mpeg2video", "-c:a", "mp2"],
    ),
    (
        "avchd.ts",
        &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "ac3"],
    ),
    ("wmv.wmv", &["-c:v", "wmv2", "-c:a", "wmav2"]),
    ("flash.flv", &["-c:v", "flv", "-c:a", "libmp3lame"]),
    (
        "phone.3gp",
        &["-s", "176x144", "-c:v", "h263", "-c:a", "aac"],
    ),
    (
        "tape.dv",
        &[
            "-s", "720x576", "-r", "25", "-pix_fmt", "yuv420p", "-ar", "48000", "-ac", "2",
        ],
    ),
    (
        "broadcast.mxf",
        &[
            "-r",
            "25",
            "-c:v",
            "mpeg2video",
            "-c:a",
            "pcm_s16le",
            "-ar",
            "48000",
        ],
    ),
];

#[tokio::test]
async fn every_usual_container_and_codec_becomes_a_web_film() {
    let Some(service) = service("containers").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (name, codecs) in KINDS {
        let file = folder.path().join(name);
        let path = file.to_str().expect("UTF-8");
        let mut args = vec![
            "-f", "lavfi", "-i", PICTURES, "-f", "lavfi", "-i", TONE, "-t", "2",
        ];
        args.extend(codecs);
        args.push(path);
        assert!(ffmpeg(&args), "{name} can be made");
        let (output, _work) = process(&service, &file, Some("web"))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let certificate = output.certificate.expect("a certificate");
        assert_eq!(certificate.codecs, ["h264", "aac"], "{name}");
        assert!(
            (certificate.output_seconds - 2.0).abs() < 0.2,
            "{name}: {certificate:?}"
        );
    }
}

/// A recording on its side, as phones make them: stored wide, to be shown high.
fn on_its_side(folder: &Path) -> Option<PathBuf> {
    let (flat, turned) = (folder.join("flat.mp4"), folder.join("turned.mp4"));
    let (flat_path, turned_path) = (flat.to_str()?, turned.to_str()?);
    assert!(ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x180:rate=15",
        "-t",
        "2",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        flat_path,
    ]));
    // The first way came with 6.0, the second went with it.
    let made = ffmpeg(&[
        "-display_rotation",
        "90",
        "-i",
        flat_path,
        "-c",
        "copy",
        turned_path,
    ]) || ffmpeg(&[
        "-i",
        flat_path,
        "-c",
        "copy",
        "-metadata:s:v",
        "rotate=270",
        turned_path,
    ]);
    let matrix = probe(&turned, "stream_side_data=rotation").concat();
    (made && matrix.contains("90")).then_some(turned)
}

#[tokio::test]
async fn what_was_recorded_on_its_side_is_turned_once() {
    let Some(service) = service("rotation").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = on_its_side(folder.path()).expect("a turned clip");
    for preset in ["web", "web-1080p", "hevc", "gif"] {
        let (output, _work) = process(&service, &file, Some(preset))
            .await
            .unwrap_or_else(|error| panic!("{preset}: {error}"));
        let size = probe(&output.path, "stream=width,height");
        assert_eq!(size, ["180,320"], "{preset}");
        let matrix = probe(&output.path, "stream_side_data=rotation").concat();
        assert!(!matrix.contains("90"), "{preset} is tagged again: {matrix}");
    }
    // What isn't decoded keeps its tag.
    let (output, _work) = process(&service, &file, Some("remux"))
        .await
        .expect("remux");
    assert_eq!(probe(&output.path, "stream=width,height"), ["320,180"]);
    assert!(
        probe(&output.path, "stream_side_data=rotation")
            .concat()
            .contains("90")
    );
}

#[tokio::test]
async fn dates_chapters_and_colours_are_kept() {
    let Some(service) = service("metadata").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let chapters = folder.path().join("chapters.txt");
    std::fs::write(
        &chapters,
        ";FFMETADATA1\ntitle=Birthday\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=Cake\n\
         [CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=Candles\n",
    )
    .expect("written");
    let file = folder.path().join("dated.mkv");
    assert!(ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        PICTURES,
        "-i",
        chapters.to_str().expect("UTF-8"),
        "-map",
        "0:v",
        "-map_metadata",
        "1",
        "-t",
        "2",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-metadata",
        "creation_time=2007-02-20T17:21:21Z",
        "-vf",
        "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709",
        file.to_str().expect("UTF-8"),
    ]));
    for preset in ["web", "web-1080p", "hevc", "av1", "ipod", "remux"] {
        let (output, _work) = process(&service, &file, Some(preset))
            .await
            .unwrap_or_else(|error| panic!("{preset}: {error}"));
        let path = &output.path;
        let date = probe(path, "format_tags=creation_time");
        assert_eq!(date, ["2007-02-20T17:21:21.000000Z"], "{preset}");
        assert_eq!(probe(path, "format_tags=title"), ["Birthday"], "{preset}");
        let chapters = probe(path, "chapter_tags=title").concat();
        assert!(
            chapters.contains("Cake") && chapters.contains("Candles"),
            "{preset}: {chapters}"
        );
        let colours = probe(path, "stream=color_space,color_transfer,color_primaries");
        // QuickTime's MPEG-4 has no place in the stream; the container's is written by request only.
        if preset != "ipod" {
            assert!(
                colours[0].starts_with("bt709,bt709,bt709"),
                "{preset}: {colours:?}"
            );
        }
    }
}

#[tokio::test]
async fn ten_bits_stay_ten_bits_where_the_codec_is_made_for_it() {
    let Some(service) = service("ten bits").await else {
        return;
    };
    let codecs = [
        "-c:v",
        "libx265",
        "-x265-params",
        "log-level=error",
        "-pix_fmt",
        "yuv420p10le",
    ];
    let (_folder, file) = clip("hdr.mp4", "160x120", 1, false, &codecs);
    for (preset, format) in [
        ("hevc", "yuv420p10le"),
        ("av1", "yuv420p10le"),
        ("web", "yuv420p"),
    ] {
        let (output, _work) = process(&service, &file, Some(preset)).await.expect(preset);
        assert_eq!(probe(&output.path, "stream=pix_fmt"), [format], "{preset}");
    }
}

/// MJPEG has the full range of values; what plays everywhere hasn't.
#[tokio::test]
async fn a_cameras_full_range_becomes_the_usual_one() {
    let Some(service) = service("range").await else {
        return;
    };
    let (_folder, file) = clip("full.avi", "160x120", 1, false, &["-c:v", "mjpeg"]);
    for preset in ["web", "hevc", "av1"] {
        let (output, _work) = process(&service, &file, Some(preset)).await.expect(preset);
        let facts = probe(&output.path, "stream=pix_fmt,color_range").concat();
        assert!(
            !facts.contains("pc") && !facts.contains("yuvj"),
            "{preset}: {facts}"
        );
    }
}

/// Half of the frames a tenth of a second long, half a thirtieth: each keeps its time.
/// Sound with six channels in the layout of disks, for which AAC has a form that browsers refuse; and a commentary in front
/// of the film's own sound.
#[tokio::test]
async fn sounds_come_in_layouts_that_play_and_the_default_one_first() {
    let Some(service) = service("layouts").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let film = folder.path().join("disk.mkv");
    let tone = |frequency| format!("sine=frequency={frequency}:sample_rate=48000:duration=2");
    let (comment, own) = (tone(200), tone(900));
    let inputs = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=160x120:rate=25:duration=2",
        "-f",
        "lavfi",
        "-i",
        &comment,
        "-f",
        "lavfi",
        "-i",
        &own,
    ];
    let options = [
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "2",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "ac3",
        "-ac:a:0",
        "2",
        "-ac:a:1",
        "6",
        "-disposition:a:0",
        "0",
        "-disposition:a:1",
        "default",
    ];
    assert!(ffmpeg(
        &[&inputs[..], &options, &[film.to_str().expect("UTF-8")]].concat()
    ));
    let layouts = |path: &Path| {
        let entries = "stream=channel_layout,bit_rate:stream_tags=none";
        let lines = probe(path, entries);
        lines
            .into_iter()
            .filter(|line| line.contains("5.1") || line.contains("stereo"))
            .collect::<Vec<_>>()
    };
    let (_, work) = process(&service, &film, Some("web"))
        .await
        .expect("converts");
    let web = layouts(&work.path().join("output.mp4"));
    assert_eq!(web.len(), 2, "{web:?}");
    assert!(
        web[0].starts_with("stereo") && web[1].starts_with("5.1,"),
        "{web:?}"
    );
    let (_, work) = process(&service, &film, Some("audio"))
        .await
        .expect("converts");
    let audio = layouts(&work.path().join("output.m4a"));
    assert_eq!(audio.len(), 1, "{audio:?}");
    assert!(audio[0].starts_with("5.1,"), "the default sound: {audio:?}");
}

/// Films whose picture times are not those of their nominal rate: in Matroska the sound's delay of 21 ms shifts each by
/// half a frame of 24, and a phone is a little faster than it says. Counted in frames, two of them are at one time.
#[tokio::test]
async fn times_between_the_ticks_of_the_frame_rate_are_no_damage() {
    let Some(service) = service("times between ticks").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let film = folder.path().join("film_24.mkv");
    let pictures = "testsrc=size=160x120:rate=24:duration=3";
    let tone = "sine=frequency=440:sample_rate=48000:duration=3";
    let inputs = ["-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", tone];
    let codecs = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"];
    let film_name = film.to_str().expect("UTF-8");
    assert!(ffmpeg(&[&inputs[..], &codecs, &[film_name]].concat()));
    let phone = folder.path().join("phone.mp4");
    let pictures = "testsrc=size=160x120:rate=3003/100:duration=20";
    let codecs = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
    ];
    let times = [
        "-video_track_timescale",
        "90000",
        phone.to_str().expect("UTF-8"),
    ];
    assert!(ffmpeg(
        &[&["-f", "lavfi", "-i", pictures][..], &codecs, &times].concat()
    ));
    for (file, frames) in [(&film, 72), (&phone, 601)] {
        for preset in ["web", "hevc", "remux"] {
            let name = file.display();
            let (output, _work) = process(&service, file, Some(preset))
                .await
                .unwrap_or_else(|error| panic!("{preset} of {name}: {error}"));
            let certificate = output.certificate.expect("a certificate");
            assert_eq!(certificate.output_frames, frames, "{preset} of {name}");
        }
    }
}

#[tokio::test]
async fn a_variable_frame_rate_stays_variable() {
    let Some(service) = service("frame rate").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vfr.mkv");
    assert!(ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=160x120:rate=30",
        "-t",
        "4",
        "-vf",
        "select='lt(n,60)+not(mod(n,3))'",
        "-fps_mode",
        "vfr",
        "-c:v",
        "mpeg4",
        file.to_str().expect("UTF-8"),
    ]));
    let times = |path: &Path| -> Vec<f64> {
        let mut times: Vec<f64> = probe(path, "packet=pts_time")
            .iter()
            .map(|time| time.parse().expect("a time"))
            .collect();
        times.sort_by(f64::total_cmp);
        let first = times[0];
        times.iter().map(|time| time - first).collect()
    };
    let wanted = times(&file);
    assert_eq!(wanted.len(), 80);
    for preset in ["web", "web-1080p", "hevc", "av1", "remux"] {
        let (output, _work) = process(&service, &file, Some(preset)).await.expect(preset);
        let got = times(&output.path);
        assert_eq!(got.len(), wanted.len(), "{preset}");
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!(
                (got - wanted).abs() < 0.002,
                "{preset}: {got} s, not {wanted} s"
            );
        }
    }
    // The iPod's preset asks for a constant rate.
    let (output, _work) = process(&service, &file, None).await.expect("ipod");
    assert!(output.certificate.expect("a certificate").output_frames > 115);
}

#[tokio::test]
async fn odd_sizes_oblong_pixels_and_single_frames_pass_every_preset() {
    let Some(service) = service("sizes").await else {
        return;
    };
    let clips = [
        clip(
            "odd.avi",
            "161x121",
            1,
            true,
            &["-c:v", "mjpeg", "-c:a", "pcm_u8"],
        ),
        clip(
            "high.mkv",
            "121x251",
            1,
            true,
            &["-c:v", "ffv1", "-c:a", "flac"],
        ),
        clip(
            "oblong.avi",
            "176x144",
            1,
            true,
            &["-c:v", "mpeg4", "-aspect", "16:9"],
        ),
        clip(
            "one.mkv",
            "160x120",
            1,
            false,
            &["-r", "50", "-c:v", "ffv1", "-frames:v", "1"],
        ),
    ];
    for (_folder, file) in &clips {
        // One picture has no sound.
        let single = file.ends_with("one.mkv");
        let impossible = |preset: &&str| single && *preset == "audio";
        for preset in Presets::builtin().names().filter(|p| !impossible(p)) {
            let result = process_all(&service, file, Some(preset)).await;
            let (outputs, _work) =
                result.unwrap_or_else(|error| panic!("{preset} of {}: {error}", file.display()));
            assert!(!outputs.is_empty());
        }
    }
}

#[tokio::test]
async fn a_second_sound_and_subtitles_are_kept_where_the_preset_says_so() {
    let Some(service) = service("streams").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let subtitles = folder.path().join("s.srt");
    std::fs::write(&subtitles, "1\n00:00:00,000 --> 00:00:01,000\nHello\n").expect("written");
    let file = folder.path().join("film.mkv");
    assert!(ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        PICTURES,
        "-f",
        "lavfi",
        "-i",
        TONE,
        "-f",
        "lavfi",
        "-i",
        TONE,
        "-i",
        subtitles.to_str().expect("UTF-8"),
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "2",
        "-map",
        "3",
        "-t",
        "2",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        file.to_str().expect("UTF-8"),
    ]));
    let cases = [
        ("web", "video audio audio subtitle"),
        ("audio", "audio"),
        ("ipod", "video audio"),
        ("remux", "video audio audio subtitle"),
    ];
    for (preset, wanted) in cases {
        let (output, _work) = process(&service, &file, Some(preset)).await.expect(preset);
        assert_eq!(
            probe(&output.path, "stream=codec_type").join(" "),
            wanted,
            "{preset}"
        );
    }
}
