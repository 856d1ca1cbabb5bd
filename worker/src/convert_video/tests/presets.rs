//! What each preset makes of a camera's clip, and what is told of what it can't make.

use super::*;
use crate::preset::Preset;

#[tokio::test]
async fn a_ladder_is_a_folder_that_plays() {
    let Some(service) = service("hls").await else {
        return;
    };
    let (_folder, file) = clip("a.avi", "640x480", 14, true, &CAMERA);
    let (outputs, work) = process_all(&service, &file, Some("hls"))
        .await
        .expect("converts");
    let names: Vec<&str> = outputs.iter().filter_map(|o| o.name.as_deref()).collect();
    assert_eq!(
        names,
        [
            "hls/master.m3u8",
            "hls/480p.m3u8",
            "hls/480p.mp4",
            "hls/360p.m3u8",
            "hls/360p.mp4"
        ]
    );
    let playlist = outputs[1].certificate.as_ref().expect("a certificate");
    assert_eq!(playlist.segments, Some(3));
    assert!((playlist.output_seconds - 14.0).abs() < 0.2, "{playlist:?}");
    let media = outputs[4].certificate.as_ref().expect("a certificate");
    assert_eq!((media.size, media.output_frames), ((480, 360), 210));
    // A player follows the names from the master playlist alone.
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-of",
            "csv=p=0",
            "-count_packets",
            "-show_entries",
            "stream=codec_name,nb_read_packets",
        ])
        .arg(work.path().join("master.m3u8"))
        .output()
        .expect("ffprobe runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // Each stream is told twice, once within its program.
    assert_eq!(text.matches("h264,210").count(), 4, "{text}");
}

#[tokio::test]
async fn pictures_have_the_inputs_shape() {
    let Some(service) = service("thumbnails").await else {
        return;
    };
    let (_folder, file) = clip("a.avi", "640x480", 5, false, &["-c:v", "mjpeg"]);
    let (outputs, _work) = process_all(&service, &file, Some("thumbnails"))
        .await
        .expect("converts");
    let facts: Vec<_> = outputs
        .iter()
        .map(|output| {
            let bytes = std::fs::read(&output.path).expect("a picture");
            assert_eq!(&bytes[..3], b"\xff\xd8\xff", "JPEG");
            assert!(bytes.ends_with(b"\xff\xd9"), "whole");
            let certificate = output.certificate.as_ref().expect("a certificate");
            (
                output.name.as_deref().expect("a name"),
                certificate.size,
                certificate.output_frames,
            )
        })
        .collect();
    assert_eq!(
        facts,
        [("poster.jpg", (640, 480), 1), ("sheet.jpg", (1280, 960), 1)]
    );
}

#[tokio::test]
async fn a_gif_ends_after_twenty_seconds() {
    let Some(service) = service("gif").await else {
        return;
    };
    let (_folder, file) = clip("long.avi", "160x120", 25, true, &CAMERA);
    let (output, _work) = process(&service, &file, Some("gif"))
        .await
        .expect("converts");
    let certificate = output.certificate.expect("a certificate");
    assert_eq!(
        (certificate.output_frames, certificate.size),
        (200, (160, 120))
    );
    assert_eq!(output.mime, "image/gif");
}

#[tokio::test]
async fn sound_alone_needs_sound() {
    let Some(service) = service("audio").await else {
        return;
    };
    let (_folder, file) = clip("a.avi", "160x120", 2, true, &CAMERA);
    let (output, _work) = process(&service, &file, Some("audio"))
        .await
        .expect("converts");
    let certificate = output.certificate.expect("a certificate");
    assert_eq!(certificate.codecs, ["aac"]);
    assert!(
        (certificate.output_seconds - 2.0).abs() < 0.2,
        "{certificate:?}"
    );
    let (_folder, silent) = clip("s.avi", "160x120", 1, false, &["-c:v", "mjpeg"]);
    let error = process(&service, &silent, Some("audio")).await.map(|_| ());
    assert_eq!(
        error,
        Err(ServiceError::File("the file has no sound".to_owned()))
    );
}

#[tokio::test]
async fn a_preset_of_the_message_is_run_and_one_that_is_not_allowed_is_not() {
    let Some(service) = service("own").await else {
        return;
    };
    let mut own: Preset = Presets::builtin().get("web").expect("exists").clone();
    own.name = "small".to_owned();
    own.outputs[0]
        .args
        .retain(|arg| arg != "scale=ceil(iw/2)*2:ceil(ih/2)*2");
    let at = own.outputs[0]
        .args
        .iter()
        .position(|arg| arg == "-vf")
        .expect("is there");
    own.outputs[0].args.insert(at + 1, "scale=80:-2".to_owned());
    own.outputs[0].expect.size = Some(crate::preset::Size::Width(80));
    let (_folder, file) = clip("a.avi", "160x120", 1, true, &CAMERA);
    let mut asked = message(Some("small"));
    asked.preset_definition = Some(own.definition());
    let work = tempfile::tempdir().expect("a folder");
    assert_eq!(service.task(&asked).expect("a task").digest, own.digest());
    let made = service
        .process_file(&file, &asked, work.path(), &Progress::default())
        .await
        .expect("converts");
    assert_eq!(
        made.outputs[0]
            .certificate
            .as_ref()
            .expect("a certificate")
            .size,
        (80, 60)
    );

    for (from, to) in [
        ("scale=80:-2", "movie=/etc/passwd"),
        ("\"-crf\",\"21\"", "\"-/vf\",\"x\""),
        ("\"-f\",\"mp4\"", "\"-f\",\"tee\""),
        ("{", ""),
    ] {
        asked.preset_definition = Some(own.definition().replacen(from, to, 1));
        assert!(
            matches!(service.task(&asked), Err(ServiceError::File(_))),
            "{to}"
        );
    }
    // A built-in name with another meaning.
    asked = message(Some("ipod"));
    asked.preset_definition = Some(own.definition());
    assert!(matches!(service.task(&asked), Err(ServiceError::File(_))));
}

#[tokio::test]
async fn an_encoder_that_is_not_there_is_named() {
    let Some(mut service) = service("encoders").await else {
        return;
    };
    service.tools.forget_encoder("libsvtav1");
    let error = service
        .task(&message(Some("av1")))
        .expect_err("is not there");
    assert!(
        error.to_string().contains("needs the encoder libsvtav1"),
        "{error}"
    );
    assert!(service.task(&message(Some("web"))).is_ok());
}

#[tokio::test]
async fn a_wrong_promise_is_not_published() {
    let Some(service) = service("promise").await else {
        return;
    };
    let mut own: Preset = Presets::builtin().get("web").expect("exists").clone();
    own.name = "wrong".to_owned();
    own.outputs[0].expect.video = Some("hevc".to_owned());
    let (_folder, file) = clip("a.avi", "160x120", 1, true, &CAMERA);
    let mut asked = message(Some("wrong"));
    asked.preset_definition = Some(own.definition());
    let work = tempfile::tempdir().expect("a folder");
    let error = service
        .process_file(&file, &asked, work.path(), &Progress::default())
        .await
        .map(|_| ());
    assert_eq!(
        error,
        Err(ServiceError::File(
            "the output is not right: its video is h264, not hevc".to_owned()
        ))
    );
}

#[tokio::test]
async fn damage_is_found_wherever_it_is() {
    const PLACES: usize = 20;
    let Some(service) = service("damage").await else {
        return;
    };
    let h264 = ["-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p"];
    let (folder, file) = clip("whole.mp4", "320x240", 4, false, &h264);
    let limit = time_limit(4.0);
    let whole = service
        .tools
        .decode(folder.path(), "whole.mp4", None, limit);
    assert_eq!(whole.await.expect("decodes"), 60);
    let content = std::fs::read(&file).expect("the clip");
    let box_at = content.windows(4).position(|four| four == b"mdat");
    let media = box_at.expect("media") + 4;
    let length = u32::from_be_bytes(content[media - 8..media - 4].try_into().expect("four"));
    let length = usize::try_from(length).expect("fits") - 8;
    let mut found = 0;
    for place in 0..PLACES {
        let at = media + length * (2 * place + 1) / (2 * PLACES);
        let mut damaged = content.clone();
        damaged[at..at + 16].fill(0);
        std::fs::write(folder.path().join("damaged.mp4"), damaged).expect("writes");
        let decoded = service
            .tools
            .decode(folder.path(), "damaged.mp4", None, limit);
        found += usize::from(decoded.await.is_err());
    }
    // Near the end of a picture damage may make another valid one.
    assert!(found * 10 >= PLACES * 8, "found {found} of {PLACES}");
}
