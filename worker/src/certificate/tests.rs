use super::*;
use crate::media::{Color, Packet};
use crate::preset::Presets;

fn file(codec: &str, size: (u32, u32), rate: (u32, u32), seconds: f64, sound: bool) -> Examined {
    let mut media = Media {
        format: "mov,mp4,m4a".to_owned(),
        duration: Some(seconds),
        size: None,
        streams: vec![Stream {
            index: 0,
            kind: "video".to_owned(),
            codec: codec.to_owned(),
            width: size.0,
            height: size.1,
            pixel: (1, 1),
            rate,
            mean_rate: rate,
            pixel_format: "yuv420p".to_owned(),
            color: Color {
                range: "tv".to_owned(),
                matrix: "bt709".to_owned(),
                transfer: "bt709".to_owned(),
                primaries: "bt709".to_owned(),
                ..Color::default()
            },
            duration: Some(seconds),
            ..Stream::default()
        }],
        ..Media::default()
    };
    let step = f64::from(rate.1) / f64::from(rate.0);
    let mut packets = Packets::default();
    let mut at = 0.0;
    while at + step / 2.0 < seconds {
        packets.add(0, Packet::shown(at, step));
        at += step;
    }
    if sound {
        media.streams.push(Stream {
            index: 1,
            kind: "audio".to_owned(),
            codec: "aac".to_owned(),
            channels: 2,
            layout: "stereo".to_owned(),
            ..Stream::default()
        });
        packets.add(1, Packet::shown(0.0, seconds));
    }
    Examined {
        media,
        packets,
        ..Examined::default()
    }
}

fn camera() -> Examined {
    file("mjpeg", (640, 480), (15, 1), 4.0, true)
}

fn ipod() -> Examined {
    file("mpeg4", (320, 240), (30_000, 1001), 4.0, true)
}

fn expect(preset: &str) -> Expectation {
    let preset = Presets::builtin().get(preset).expect("a preset");
    preset.outputs[0].expect.clone()
}

fn check(input: &Examined, output: &Examined, preset: &str) -> Result<Certificate, String> {
    let frames = output.packets.of(0).map(|s| s.count);
    check_output(input, output, frames, &expect(preset), "7.1")
}

#[test]
fn a_right_output_gets_its_certificate() {
    let certificate = check(&camera(), &ipod(), "ipod").expect("right");
    assert_eq!(certificate.size, (320, 240));
    assert_eq!(certificate.codecs, ["mpeg4", "aac"]);
    assert_eq!(certificate.output_frames, 120);
    let text = serde_json::to_string(&certificate).expect("json");
    assert_eq!(
        serde_json::from_str::<Certificate>(&text).expect("json"),
        certificate
    );
    let silent = file("mjpeg", (641, 479), (15, 1), 4.0, false);
    let web = file("h264", (642, 480), (15, 1), 4.0, false);
    assert!(check(&silent, &web, "web").is_ok());
    let turned = file("h264", (480, 642), (15, 1), 4.0, false);
    assert!(check(&silent, &turned, "web").is_ok());
}

#[test]
fn a_film_is_no_longer_than_its_file_may_hold() {
    assert_eq!(check_length(600.0, Some(0)), Ok(()));
    assert!(check_length(601.0, Some(0)).is_err());
    assert_eq!(check_length(3600.0, Some(60_000)), Ok(()));
    assert_eq!(check_length(86_000.0, Some(1 << 40)), Ok(()));
    let error = check_length(90_000.0, Some(1 << 40)).expect_err("too long");
    assert!(error.contains("more than the 86400 s"), "{error}");
    assert!(check_length(90_000.0, None).is_err());
}

#[test]
fn a_file_that_ends_in_the_middle_is_cut() {
    let with = |format: &str, size: u64, cut: bool| {
        let mut file = camera();
        file.media.format = format.to_owned();
        file.media.size = Some(size);
        file.packets.cut = cut;
        file
    };
    for (file, declares, cut) in [
        (with("mpegts", 188_000, false), false, false),
        (with("mpegts", 192_000, false), false, false),
        (with("mpegts", 188_001, false), true, true),
        (with("mov,mp4,m4a,3gp,3g2,mj2", 1000, true), true, true),
        (with("matroska,webm", 1000, true), false, true),
        (with("matroska,webm", 1000, true), true, false),
        (with("avi", 1001, false), true, false),
    ] {
        assert_eq!(is_cut(&file, declares), cut, "{:?}", file.media);
    }
    let error = check_input(&with("mpegts", 188_001, false)).expect_err("is cut");
    assert!(error.contains("cut short"), "{error}");
}

#[test]
fn a_file_with_too_many_streams_is_refused() {
    let mut file = camera();
    let sound = file.media.streams[1].clone();
    file.media.streams.resize(65, sound);
    let error = check_input(&file).expect_err("has too many");
    assert!(error.contains("65 streams"), "{error}");
}

#[test]
fn pictures_that_are_too_large_are_refused() {
    let check = |size| check_input(&file("png", size, (25, 1), 1.0, false)).map(drop);
    assert_eq!(check((8192, 4320)), Ok(()));
    let error = check((16_000, 16_000)).expect_err("too large");
    assert!(error.contains("35389440 pixels"), "{error}");
    assert!(check((0, 0)).is_err());
}

#[test]
fn what_cannot_be_decoded_whole_is_not_right() {
    let mut output = ipod();
    output.decoded = Some(120);
    assert!(check(&camera(), &output, "ipod").is_ok());
    output.decoded = Some(100);
    let error = check(&camera(), &output, "ipod").expect_err("is wrong");
    assert!(
        error.contains("120 frames, but 100 can be decoded"),
        "{error}"
    );
}

#[test]
fn each_wrong_thing_is_told() {
    let cases: [(Examined, &str); 8] = [
        (
            file("mpeg4", (320, 240), (30_000, 1001), 2.0, true),
            "2.0 s of video, not 4.0 s",
        ),
        (
            file("h264", (320, 240), (30_000, 1001), 4.0, true),
            "its video is h264",
        ),
        (
            file("mpeg4", (640, 480), (30_000, 1001), 4.0, true),
            "640x480, not 640x480 filling 320x240",
        ),
        (
            file("mpeg4", (320, 240), (25, 1), 4.0, true),
            "frame rate is 25/1",
        ),
        (
            file("mpeg4", (320, 240), (30_000, 1001), 4.0, false),
            "0 audio streams, not 1",
        ),
        (
            {
                let mut cut = file("mpeg4", (320, 240), (30_000, 1001), 4.0, false);
                cut.media.streams.push(ipod().media.streams[1].clone());
                cut.packets.add(1, Packet::shown(0.0, 1.0));
                cut
            },
            "1.0 s of sound, not 4.0 s",
        ),
        (Examined::default(), "the output has no video"),
        (
            {
                let mut lying = ipod();
                lying.media.streams[0].duration = Some(9.0);
                lying
            },
            "declares 9.0 s, but 4.0 s",
        ),
    ];
    for (output, words) in cases {
        let error = check(&camera(), &output, "ipod").expect_err("is wrong");
        assert!(error.contains(words), "{error}");
    }
    let changed = |change: &dyn Fn(&mut Stream)| {
        let mut output = ipod();
        change(&mut output.media.streams[0]);
        check(&camera(), &output, "ipod").expect_err("is wrong")
    };
    for (error, words) in [
        (
            changed(&|video| video.color.matrix = "smpte170m".to_owned()),
            "its matrix is `smpte170m`, not bt709",
        ),
        (
            changed(&|video| video.color.transfer.clear()),
            "its transfer is ``, not bt709",
        ),
        (
            changed(&|video| video.color.range = "pc".to_owned()),
            "its range is full",
        ),
        (
            changed(&|video| video.pixel_format = "yuv420p10le".to_owned()),
            "its pixels are yuv420p10le",
        ),
        (
            changed(&|video| video.pixel = (16, 15)),
            "its pixels are 16:15, not square",
        ),
    ] {
        assert!(error.contains(words), "{error}");
    }
    let error = check_output(&camera(), &ipod(), Some(60), &expect("ipod"), "7");
    let error = error.expect_err("wrong");
    assert!(error.contains("120 frames, but 60 were written"), "{error}");
    let few = file("h264", (640, 480), (5, 1), 4.0, true);
    assert!(
        check(&camera(), &few, "web")
            .expect_err("wrong")
            .contains("20 frames, not 60")
    );
}

#[test]
fn a_file_cut_short_is_seen_before_it_is_converted() {
    let mut half = camera();
    half.media.duration = Some(8.0);
    half.media.streams[0].duration = Some(8.0);
    let error = check_input(&half).expect_err("is cut");
    assert!(
        error.contains("declares 8.0 s, but 4.0 s are in it"),
        "{error}"
    );
    // One of the two headers is right, as with an edit list.
    half.media.duration = Some(4.0);
    assert!(check_input(&half).is_ok());
    half.media.duration = None;
    half.media.streams[0].duration = None;
    assert!(
        check_input(&half).is_ok(),
        "no declaration, as in live recordings"
    );
    half.media.streams[0].frames = Some(120);
    let error = check_input(&half).expect_err("is cut");
    assert!(
        error.contains("declares 120 frames, but 60 are in it"),
        "{error}"
    );
    half.media.streams[0].cover = true;
    assert!(
        check_input(&half)
            .expect_err("no video")
            .contains("no video stream")
    );
}

#[test]
fn what_is_missing_is_told() {
    let mut film = file("h264", (640, 480), (25, 1), 4.0, true);
    let made = |seconds, frames| Extent {
        seconds,
        frames: Some(frames),
        fault: None,
    };
    assert_eq!(damage(&film, made(4.0, 100)), None);
    let lost = "3 of the 100 pictures in the file could not be decoded";
    assert_eq!(damage(&film, made(4.0, 97)).as_deref(), Some(lost));
    for index in [0, 1] {
        film.packets.add(index, Packet::shown(6.0, 0.04));
    }
    let hole = "from 4.0 s to 6.0 s nothing is in the file";
    assert_eq!(damage(&film, made(6.04, 101)).as_deref(), Some(hole));
    film.is_salvaged = true;
    let told = damage(&film, made(6.04, 60)).expect("is told");
    assert!(told.starts_with("41 of the 101 pictures"), "{told}");
    assert!(told.ends_with(hole), "{told}");
    film.packets.torn = true;
    film.is_salvaged = false;
    assert!(check_input(&film).is_err_and(|why| why.contains("is damaged")));
}

#[test]
fn a_length_that_nothing_declares_is_no_promise() {
    let sound = |format: &str, bytes| {
        let mut file = file("aac", (0, 0), (25, 1), 4.0, true);
        file.media.streams.remove(0);
        file.media.streams[0].bit_rate = Some(8000.0);
        file.media.format = format.to_owned();
        file.media.duration = Some(100.0);
        file.media.size = Some(bytes);
        file
    };
    assert!(check_sound(&sound("aac", 5000)).is_ok());
    // What its size and its bit rate come to.
    assert!(check_sound(&sound("mp3", 100_000)).is_ok());
    let error = check_sound(&sound("mp3", 5000)).expect_err("its header promises more");
    assert!(error.contains("cut short"), "{error}");
    assert!(check_sound(&sound("wav", 100_000)).is_err());
}
