//! Whether a file is something that the worker reads: by its content where that tells, else by its name.
//!
//! `infer` knows the usual containers. What it doesn't know, of what the worker's ffmpeg reads (`FORMATS` in
//! `worker/src/ffmpeg/whitelist.rs`), is listed here.

use std::path::Path;

/// Bytes at a file's beginning that tell its kind: `infer` looks at most this far for media, and a
/// transport stream's packets repeat well within.
pub(super) const HEAD: u64 = 8192;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MediaKind {
    /// Moving pictures, or a container that holds any; the media type.
    Video(String),
    /// Sound alone; the media type.
    Audio(String),
    /// Why it is not taken, to follow the file's name.
    Other(String),
}

/// What stands at the beginning of files that `infer` doesn't know, or takes for something else.
const SIGNATURES: [(&[u8], &str); 9] = [
    (b".RMF", "application/vnd.rn-realmedia"),
    // A single picture or an animation: the worker looks.
    (b"GIF8", "image/gif"),
    (b"FWS", "application/x-shockwave-flash"),
    (b"CWS", "application/x-shockwave-flash"),
    (b"DKIF", "video/x-ivf"),
    (b"nut/multimedia container\0", "video/x-nut"),
    (b"YUV4MPEG2 ", "video/x-yuv4mpeg"),
    // The first block of a DV frame (IEC 61834: a header block of sequence 0).
    (b"\x1f\x07\x00", "video/x-dv"),
    // The GUID of Windows' recorded television.
    (
        b"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d",
        "video/x-wtv",
    ),
];

/// The key of an MXF file's header partition (SMPTE 377); a run-in of up to 64 KiB may stand before it.
const MXF: &[u8] = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02";

/// First packets of moving pictures in Ogg: Theora, Dirac, OGM, VP8.
const OGG_VIDEO: [&[u8]; 4] = [b"\x80theora", b"BBCD\0", b"\x01video\0", b"OVP80"];

/// Extensions of moving pictures that no list of media types calls video.
const VIDEO_EXTENSIONS: [&str; 22] = [
    "mxf", "rm", "rmvb", "ogm", "m2t", "trp", "tod", "evo", "dif", "gxf", "wtv", "nut", "nsv",
    "amv", "roq", "vc1", "y4m", "h264", "264", "hevc", "265", "obu",
];

/// Content decides where it is known; the name decides where content could be anything. A container
/// that is known as sound is taken for pictures if its name says so.
pub(super) fn media_kind(path: &Path, head: &[u8]) -> MediaKind {
    if head.is_empty() {
        return MediaKind::Other("is empty".to_owned());
    }
    let named = named(path);
    if let Some(mime) = by_signature(head) {
        return MediaKind::Video(mime.to_owned());
    }
    if head.starts_with(b"OggS") && OGG_VIDEO.iter().any(|word| contains(head, word)) {
        return MediaKind::Video("video/ogg".to_owned());
    }
    match (infer::get(head), named) {
        (Some(found), _) if found.matcher_type() == infer::MatcherType::Video => {
            MediaKind::Video(found.mime_type().to_owned())
        }
        (Some(found), named) if found.matcher_type() == infer::MatcherType::Audio => match named {
            Some(MediaKind::Video(named)) => MediaKind::Video(named),
            _ => MediaKind::Audio(found.mime_type().to_owned()),
        },
        (Some(found), _) => MediaKind::Other(format!("is {}, not video", found.mime_type())),
        (None, _) if is_transport_stream(head) => MediaKind::Video("video/mp2t".to_owned()),
        // `.ts` is a transport stream, and TypeScript.
        (None, Some(_)) if is_text(head) => MediaKind::Other("is text, not video".to_owned()),
        (None, Some(named)) => named,
        (None, None) => MediaKind::Other("is not known as video".to_owned()),
    }
}

fn by_signature(head: &[u8]) -> Option<&'static str> {
    let known = SIGNATURES
        .iter()
        .find(|(signature, _)| head.starts_with(signature));
    match known {
        // A text may begin with these three letters; here a version and a length follow.
        Some((signature, mime)) if signature.ends_with(b"WS") => {
            let numbers = head.get(3..8)?;
            let is_text = numbers.iter().all(|byte| (0x20..0x7f).contains(byte));
            (!is_text).then_some(mime)
        }
        Some((_, mime)) => Some(mime),
        None => contains(head, MXF).then_some("application/mxf"),
    }
}

/// What the name says; `Other` is never among it.
fn named(path: &Path) -> Option<MediaKind> {
    let guess = mime_guess::from_path(path);
    let of_type = |kind| {
        guess
            .iter()
            .find(|mime| mime.type_() == kind)
            .map(|mime| mime.essence_str().to_owned())
    };
    if let Some(mime) = of_type(mime_guess::mime::VIDEO) {
        return Some(MediaKind::Video(mime));
    }
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    if VIDEO_EXTENSIONS.contains(&extension.as_str()) {
        return Some(MediaKind::Video("application/octet-stream".to_owned()));
    }
    of_type(mime_guess::mime::AUDIO).map(MediaKind::Audio)
}

fn contains(head: &[u8], word: &[u8]) -> bool {
    head.windows(word.len()).any(|window| window == word)
}

/// Whether packets of a transport stream follow each other, wherever the first whole one begins: a tuner's recording begins
/// in the middle of one. Packets are 188 bytes, 192 with a camcorder's time code, 204 with error correction (ISO 13818-1).
fn is_transport_stream(head: &[u8]) -> bool {
    const SYNC: u8 = 0x47;
    const PACKETS: usize = 8;
    [188, 192, 204].into_iter().any(|size| {
        head.len() >= size * (PACKETS + 1)
            && (0..size).any(|first| (0..PACKETS).all(|n| head[first + n * size] == SYNC))
    })
}

/// No zero byte, and UTF-8 but for a character that the cut tore apart.
fn is_text(head: &[u8]) -> bool {
    let whole = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && head.len() as u64 == HEAD,
    };
    whole && !head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, head: &[u8]) -> MediaKind {
        media_kind(Path::new(name), head)
    }

    fn video(mime: &str) -> MediaKind {
        MediaKind::Video(mime.to_owned())
    }

    /// Packets of `size` bytes after `before` bytes of a torn one.
    fn packets(size: usize, before: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; before];
        for n in 0..12_u8 {
            let mut packet = vec![n; size];
            packet[0] = 0x47;
            bytes.extend(packet);
        }
        bytes
    }

    #[test]
    fn what_the_worker_reads_is_known_by_its_content() {
        assert_eq!(
            kind("a", b".RMF\0\0\0\x12\0"),
            video("application/vnd.rn-realmedia")
        );
        assert_eq!(kind("a.bin", b"GIF89a\x10\0\x10\0"), video("image/gif"));
        assert_eq!(
            kind("a", b"CWS\x08\x10\0\0\0x"),
            video("application/x-shockwave-flash")
        );
        assert_eq!(
            kind("a", &[&[0; 100], MXF].concat()),
            video("application/mxf")
        );
        assert_eq!(kind("a", b"\x1f\x07\x00\x3f\xf8"), video("video/x-dv"));
        let theora = b"OggS\0\x02\0\0\0\0\0\0\0\0\x0e\xc9\xc9\x6d\0\0\0\0\x95\x8c\x37\x27\x01*\x80theora\x03\x02";
        assert_eq!(kind("a", theora), video("video/ogg"));
    }

    #[test]
    fn a_recording_may_begin_within_a_packet() {
        for size in [188, 192, 204] {
            for before in [0, 1, 100, size - 1] {
                let found = kind("tuner", &packets(size, before));
                assert_eq!(found, video("video/mp2t"), "{size} {before}");
            }
        }
        assert!(matches!(kind("noise", &vec![7; 8192]), MediaKind::Other(_)));
    }

    #[test]
    fn sound_alone_is_told_from_pictures() {
        let mp3 = b"ID3\x03\0\0\0\0\0\x21TSSE";
        assert_eq!(
            kind("a.mp3", mp3),
            MediaKind::Audio("audio/mpeg".to_owned())
        );
        assert_eq!(
            kind("a.ogv", b"OggS\0\x02\0\0\0\0\0\0\0\0\x0e\xc9"),
            video("video/ogg")
        );
        let vorbis =
            b"OggS\0\x02\0\0\0\0\0\0\0\0\x0e\xc9\xc9\x6d\0\0\0\0\x95\x8c\x37\x27\x01\x1e\x01vorbis";
        assert_eq!(
            kind("a.ogg", vorbis),
            MediaKind::Audio("audio/ogg".to_owned())
        );
    }

    #[test]
    fn a_name_decides_what_content_does_not() {
        assert!(matches!(
            kind("clip.MXF", b"\0\x01\x02"),
            MediaKind::Video(_)
        ));
        assert!(matches!(
            kind("clip.264", b"\0\0\0\x01\x67"),
            MediaKind::Video(_)
        ));
        let text = MediaKind::Other("is text, not video".to_owned());
        assert_eq!(kind("code.ts", b"export const x = 1;\n"), text);
        assert_eq!(kind("notes.rm", b"rm -rf\n"), text);
        assert!(matches!(
            kind("FWS.txt", b"FWS is a word"),
            MediaKind::Other(_)
        ));
    }
}
