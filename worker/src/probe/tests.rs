//! Real files. They need ffmpeg; without it they say so and prove nothing.

use std::process::Command;

use super::*;
use crate::media::Packets;
use crate::message::Message;

fn message() -> InputMessage {
    let text =
        "Bucket: bbb\nInputKey: f84e4a20b571abc69baf2277d193e596\nSize: 1\nPreset: nothing\n";
    InputMessage::from_message(&Message::parse(text).expect("parses")).expect("an input message")
}

#[allow(clippy::print_stderr)]
async fn service(test: &str) -> Option<Probe> {
    match Probe::new(Jail::bare()).await {
        Ok(service) => Some(service),
        Err(error) => {
            eprintln!("*** SKIPPED {test}: {error} ***");
            None
        }
    }
}

#[tokio::test]
async fn a_film_is_described_and_nothing_is_converted() {
    let Some(service) = service("probe").await else {
        return;
    };
    let work = tempfile::tempdir().expect("a folder");
    let input = work.path().join(INPUT_NAME);
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=160x120:rate=15",
        ])
        .args([
            "-f",
            "lavfi",
            "-i",
            "sine=sample_rate=44100",
            "-t",
            "2",
            "-c:v",
            "libx264",
        ])
        .args([
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-metadata",
            "title=Birthday",
        ])
        .args(["-metadata:s:a", "language=deu", "-f", "mp4"])
        .arg(&input)
        .status();
    assert!(made.expect("ffmpeg runs").success());
    assert_eq!(service.task(&message()).expect("a task").digest, "probe-1");
    let outputs = service
        .process_file(&input, &message(), work.path(), &Progress::default())
        .await
        .expect("probes")
        .outputs;
    assert_eq!(
        (outputs.len(), outputs[0].mime.as_str()),
        (1, "application/json")
    );
    let text = std::fs::read_to_string(&outputs[0].path).expect("the facts");
    let facts: Facts = serde_json::from_str(&text).expect("facts");
    assert_eq!(facts.version, VERSION);
    assert!(facts.format.name.split(',').any(|name| name == "mp4"));
    assert_eq!(facts.format.tags["title"], "Birthday");
    let [video, sound] = &facts.streams[..] else {
        panic!("two streams: {text}")
    };
    assert_eq!((video.width, video.height), (Some(160), Some(120)));
    assert_eq!(video.mean_frame_rate.as_deref(), Some("15/1"));
    assert_eq!((video.packets, video.seconds), (30, Some(2.0)));
    assert_eq!(sound.codec.as_deref(), Some("aac"));
    assert_eq!(sound.language.as_deref(), Some("deu"));
    assert_eq!(sound.sample_rate, Some(44_100));
}

#[tokio::test]
async fn what_is_no_media_is_the_files_fault() {
    let Some(service) = service("no media").await else {
        return;
    };
    let work = tempfile::tempdir().expect("a folder");
    let input = work.path().join(INPUT_NAME);
    std::fs::write(&input, "#EXTM3U\nfile:///etc/passwd\n").expect("written");
    let error = service
        .process_file(&input, &message(), work.path(), &Progress::default())
        .await
        .expect_err("is none");
    assert!(matches!(error, ServiceError::File(_)), "{error}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_panics(text in any::<String>()) {
            let _ = Facts::read(&text, &Packets::default(), "7");
        }

        #[test]
        fn strange_answers_are_read(index in any::<u64>(), text in any::<String>(), time in any::<f64>()) {
            let raw = serde_json::json!({
                "format": {"duration": time.to_string(), "tags": {text.clone(): text.clone(), "n": index}},
                "streams": [{"index": index, "codec_name": text, "side_data_list": [{}, {"rotation": -90}]}],
                "chapters": [{"start_time": "x"}, 7],
            });
            let facts = Facts::read(&raw.to_string(), &Packets::default(), "7").expect("is read");
            prop_assert_eq!(facts.streams[0].rotation, Some(-90));
            prop_assert!(serde_json::to_string(&facts).is_ok());
        }
    }
}
