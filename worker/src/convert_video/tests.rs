//! Real conversions. They need ffmpeg; without it they say so and prove nothing.

mod inputs;
mod presets;

use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::message::Message;

/// The service, or a loud word that there is no ffmpeg.
#[allow(clippy::print_stderr)]
async fn service(test: &str) -> Option<ConvertVideo> {
    match ConvertVideo::new(crate::jail::Jail::bare()).await {
        Ok(service) => Some(service),
        Err(error) => {
            eprintln!("*** SKIPPED {test}: {error} ***");
            None
        }
    }
}

fn message(preset: Option<&str>) -> InputMessage {
    let text = "Bucket: bbb\nInputKey: f84e4a20b571abc69baf2277d193e596\nSize: 1\n";
    let mut message = Message::parse(text).expect("parses");
    if let Some(preset) = preset {
        message.set("Preset", preset);
    }
    InputMessage::from_message(&message).expect("an input message")
}

/// Makes a clip in a new folder: test pictures, and a tone if `sound`.
fn clip(
    name: &str,
    size: &str,
    seconds: u32,
    sound: bool,
    codecs: &[&str],
) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    let mut command = Command::new("ffmpeg");
    command.args([
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        &format!("testsrc=size={size}:rate=15"),
    ]);
    if sound {
        command.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=11025"]);
    }
    let status = command
        .args(["-t", &seconds.to_string()])
        .args(codecs)
        .arg(&file)
        .status();
    assert!(status.expect("ffmpeg runs").success());
    (folder, file)
}

/// What 2007's cameras wrote.
const CAMERA: [&str; 6] = ["-c:v", "mjpeg", "-q:v", "5", "-c:a", "pcm_u8"];

async fn process(
    service: &ConvertVideo,
    input: &Path,
    preset: Option<&str>,
) -> Result<(OutputFile, tempfile::TempDir), ServiceError> {
    let (mut outputs, work) = process_all(service, input, preset).await?;
    assert_eq!(outputs.len(), 1);
    Ok((outputs.remove(0), work))
}

async fn process_all(
    service: &ConvertVideo,
    input: &Path,
    preset: Option<&str>,
) -> Result<(Vec<OutputFile>, tempfile::TempDir), ServiceError> {
    let work = tempfile::tempdir().expect("a folder");
    let made = service
        .process_file(input, &message(preset), work.path(), &Progress::default())
        .await?;
    Ok((made.outputs, work))
}

#[test]
fn the_time_limit_grows_with_the_film_and_stays_under_sqs_limit() {
    assert_eq!(time_limit(0.0), Duration::from_mins(10));
    assert_eq!(time_limit(10.0), Duration::from_mins(15));
    assert_eq!(time_limit(1e9), Duration::from_hours(11));
}

#[test]
fn the_default_preset_is_the_articles_and_unknown_ones_are_the_files_fault() {
    assert_eq!(preset_of(&message(None)).expect("a preset").name, "ipod");
    let error = preset_of(&message(Some("../x\u{202e}"))).expect_err("unknown");
    assert_eq!(
        error,
        ServiceError::File("there is no preset `../x\\u{202e}`; known: ipod, web, web-1080p, hevc, av1, hls, audio, \
             gif, thumbnails, remux".to_owned())
    );
}

#[tokio::test]
async fn a_camera_clip_becomes_an_ipod_film() {
    let Some(service) = service("ipod").await else {
        return;
    };
    let (_folder, file) = clip("MVI_3113.AVI", "640x480", 2, true, &CAMERA);
    let (output, work) = process(&service, &file, None).await.expect("converts");
    assert_eq!(output.mime, "video/quicktime");
    let certificate = output.certificate.expect("a certificate");
    assert_eq!(certificate.size, (320, 240));
    assert_eq!(certificate.codecs, ["mpeg4", "aac"]);
    assert!(
        (certificate.output_seconds - 2.0).abs() < 0.1,
        "{certificate:?}"
    );
    let bytes = std::fs::read(work.path().join("output.mov")).expect("the film");
    assert_eq!(&bytes[4..12], b"ftypqt  ");
}

#[tokio::test]
async fn odd_sizes_and_silence_become_web_films() {
    let Some(service) = service("web").await else {
        return;
    };
    let (_folder, file) = clip("odd.avi", "161x121", 2, false, &["-c:v", "mjpeg"]);
    let (output, work) = process(&service, &file, Some("web"))
        .await
        .expect("converts");
    let certificate = output.certificate.expect("a certificate");
    assert_eq!(certificate.size, (162, 122));
    assert_eq!(certificate.codecs, ["h264"]);
    assert_eq!(certificate.output_frames, 30, "the frame rate is kept");
    let bytes = std::fs::read(work.path().join("output.mp4")).expect("the film");
    let find = |word: &[u8]| {
        bytes
            .windows(4)
            .position(|w| w == word)
            .expect("an MP4 box")
    };
    assert!(find(b"moov") < find(b"mdat"), "the index is in front");
    let (_folder, file) = clip(
        "sound.mkv",
        "160x120",
        2,
        true,
        &["-c:v", "mpeg4", "-c:a", "aac"],
    );
    let (output, _work) = process(&service, &file, Some("web"))
        .await
        .expect("converts");
    assert_eq!(
        output.certificate.expect("a certificate").codecs,
        ["h264", "aac"]
    );
}

#[tokio::test]
async fn what_is_no_video_is_the_files_fault() {
    let Some(service) = service("no video").await else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let cases: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("one byte", vec![b'x']),
        (
            "noise",
            (0..65536_u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
                .collect(),
        ),
        ("text", b"hello, world\n".repeat(100)),
        (
            "playlist",
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n".to_vec(),
        ),
        (
            "concat",
            b"ffconcat version 1.0\nfile '/etc/passwd'\n".to_vec(),
        ),
    ];
    for (name, bytes) in cases {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).expect("written");
        let error = process(&service, &file, None).await.expect_err(name);
        let ServiceError::File(why) = error else {
            panic!("{name}: {error}")
        };
        assert!(!why.is_empty(), "{name}");
    }
    let (_folder, file) = clip("tone.wav", "16x16", 1, true, &["-vn"]);
    let error = process(&service, &file, None)
        .await
        .expect_err("only sound");
    assert!(matches!(error, ServiceError::File(_)), "{error}");
}

#[tokio::test]
async fn a_file_cut_in_half_is_not_passed_off_as_whole() {
    let Some(service) = service("truncated").await else {
        return;
    };
    for (name, codecs) in [
        ("cut.avi", &CAMERA[..]),
        ("cut.mkv", &["-c:v", "mjpeg", "-c:a", "aac"][..]),
        (
            "cut.mp4",
            &["-c:v", "mpeg4", "-c:a", "aac", "-movflags", "+faststart"][..],
        ),
        (
            "fragments.mp4",
            &[
                "-c:v",
                "mpeg4",
                "-g",
                "15",
                "-c:a",
                "aac",
                "-movflags",
                "+frag_keyframe+empty_moov",
            ][..],
        ),
        (
            "live.mkv",
            &["-c:v", "mpeg4", "-c:a", "aac", "-live", "1"][..],
        ),
        ("cut.ts", &["-c:v", "mpeg2video", "-c:a", "mp2"][..]),
        (
            "cut.flv",
            &["-c:v", "flv", "-c:a", "aac", "-ar", "44100"][..],
        ),
    ] {
        let (_folder, file) = clip(name, "320x240", 6, true, codecs);
        let bytes = std::fs::read(&file).expect("the clip");
        // An odd number: a transport stream that ends with a whole packet is as good as a recording that was ended.
        std::fs::write(&file, &bytes[..(bytes.len() / 2) | 1]).expect("written");
        let error = process(&service, &file, None)
            .await
            .map(|(o, _)| o)
            .expect_err(name);
        assert!(matches!(error, ServiceError::File(_)), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_converted_as_far_as_it_decodes_if_that_is_asked_for() {
    let Some(service) = service("salvage").await else {
        return;
    };
    let codecs = ["-c:v", "mjpeg", "-c:a", "aac"];
    let (_folder, file) = clip("cut.mkv", "320x240", 6, true, &codecs);
    let mut asked = message(Some("web"));
    asked.salvage = true;
    let whole = service.task(&message(Some("web"))).expect("a task");
    let digest = service.task(&asked).expect("a task").digest;
    assert_ne!(digest, whole.digest, "another result, another job");
    let salvage = async || {
        let work = tempfile::tempdir().expect("a folder");
        let progress = Progress::default();
        let made = service.process_file(&file, &asked, work.path(), &progress);
        made.await.expect("converts")
    };
    assert_eq!(salvage().await.warning, None, "nothing is missing");
    let bytes = std::fs::read(&file).expect("the clip");
    std::fs::write(&file, &bytes[..bytes.len() / 2]).expect("written");
    let made = salvage().await;
    let warning = made.warning.expect("half is missing");
    assert!(warning.contains("declares 6.1 s"), "{warning}");
    let certificate = made.outputs[0].certificate.as_ref().expect("is checked");
    assert!(
        (2.0..4.5).contains(&certificate.output_seconds),
        "{certificate:?}"
    );
    std::fs::write(&file, &bytes[..400]).expect("written");
    let work = tempfile::tempdir().expect("a folder");
    let progress = Progress::default();
    let nothing = service.process_file(&file, &asked, work.path(), &progress);
    assert!(matches!(nothing.await, Err(ServiceError::File(_))));
}
