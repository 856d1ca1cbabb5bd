//! HLS playlists: that they name exactly what is there, and that the segments are the whole of it.

use std::fmt::Write as _;

use super::{Certificate, agree};

/// A picture is shown for no shorter time, in seconds: at a thousand a second.
const SHORTEST: f64 = 0.001;

/// Longest playlist that is read, in bytes: six hours in segments of one second have half of it.
pub const MAX_BYTES: u64 = 4 << 20;

/// Checks that a master playlist names exactly these playlists, in any order.
///
/// # Errors
/// A sentence for a person.
pub fn check_master(text: &str, playlists: &[String]) -> Result<(), String> {
    check_form(text)?;
    let mut named: Vec<&str> = uris(text).collect();
    let mut wanted: Vec<&str> = playlists.iter().map(String::as_str).collect();
    named.sort_unstable();
    wanted.sort_unstable();
    if named != wanted {
        return Err(format!(
            "the master playlist names {}, not {}",
            named.join(", "),
            wanted.join(", ")
        ));
    }
    let streams = text.lines().filter(|l| l.starts_with("#EXT-X-STREAM-INF:"));
    if streams.count() != playlists.len() || text.contains("#EXT-X-MEDIA:") {
        return Err("the master playlist doesn't describe each of its playlists once".to_owned());
    }
    Ok(())
}

/// Checks that the segments of a playlist are byte ranges of `file`, one after the other from its first byte to
/// its last (`bytes`), and last as long as what is in it (`seconds`).
///
/// # Errors
/// A sentence for a person.
pub fn check(text: &str, file: &str, bytes: u64, seconds: f64) -> Result<Certificate, String> {
    check_form(text)?;
    if !text.lines().any(|line| line == "#EXT-X-ENDLIST") {
        return Err("the playlist has no end".to_owned());
    }
    if uris(text).any(|uri| uri != file) {
        return Err(format!("the playlist names another file than {file}"));
    }
    let (mut at, mut segments, mut length) = (0, 0_u64, 0.0);
    let mut next = |range: &str| -> Option<()> {
        let (count, from) = range.split_once('@')?;
        let (count, from): (u64, u64) = (count.parse().ok()?, from.parse().ok()?);
        (from == at && count > 0).then(|| at += count)
    };
    for line in text.lines() {
        let good = if let Some(map) = line.strip_prefix("#EXT-X-MAP:") {
            map.strip_prefix(&format!("URI=\"{file}\",BYTERANGE=\""))
                .and_then(|rest| rest.strip_suffix('"'))
                .and_then(&mut next)
        } else if let Some(range) = line.strip_prefix("#EXT-X-BYTERANGE:") {
            segments += 1;
            next(range)
        } else if line.starts_with("#EXTINF:") {
            time_of(line)
                .filter(|t| *t >= 0.0 && t.is_finite())
                .map(|t| length += t)
        } else {
            Some(())
        };
        if good.is_none() {
            return Err("the playlist's segments don't follow one another".to_owned());
        }
    }
    let infos = text.lines().filter(|l| l.starts_with("#EXTINF:")).count() as u64;
    let named = uris(text).count() as u64;
    if segments == 0 || infos != segments || named != segments {
        return Err(format!(
            "the playlist has {segments} byte ranges, {infos} lengths and {named} names"
        ));
    }
    if at != bytes {
        return Err(format!(
            "the playlist's segments are {at} bytes of {file}, which has {bytes}"
        ));
    }
    if !agree(length, seconds, 0.0) {
        return Err(format!(
            "the playlist's segments are {length:.1} s, but {seconds:.1} s are in {file}"
        ));
    }
    Ok(Certificate {
        output_seconds: length,
        segments: Some(segments),
        ..Certificate::default()
    })
}

/// The playlist of a film that lasts so many seconds, if ffmpeg's lasts for another time: it measures pictures only, of which
/// it guesses the last, and sound that goes on after them is in the last segment.
pub fn fitted(text: &str, seconds: f64) -> Option<String> {
    let times: Vec<f64> = text.lines().filter_map(time_of).collect();
    let missing = seconds - times.iter().sum::<f64>();
    let last = times.last().filter(|_| missing.abs() > UNHEARD)? + missing;
    if last <= 0.0 {
        return None;
    }
    let longest = times.iter().copied().fold(last, f64::max);
    let mut left = times.len();
    let mut fitted = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        left -= usize::from(time_of(line).is_some());
        let _ = if left == 0 && time_of(line).is_some() {
            writeln!(fitted, "#EXTINF:{last:.6},")
        } else if line.starts_with(TARGET) {
            // None may be longer when rounded (RFC 8216, 4.3.3.1).
            writeln!(fitted, "{TARGET}{:.0}", longest.round())
        } else {
            writeln!(fitted, "{line}")
        };
    }
    Some(fitted)
}

/// So many seconds more of sound are the run-up of its encoder, at low rates.
const UNHEARD: f64 = 0.25;

/// The tag that tells the longest segment's length.
const TARGET: &str = "#EXT-X-TARGETDURATION:";

/// The length of a segment, in a line that tells one.
fn time_of(line: &str) -> Option<f64> {
    let time = line.strip_prefix("#EXTINF:")?;
    time.split(',').next()?.parse().ok()
}

/// One size of a film, for a master playlist.
#[derive(Debug, Clone, Copy)]
pub struct Variant<'a> {
    pub playlist: &'a str,
    /// Of its file.
    pub bytes: u64,
    pub seconds: f64,
    pub size: (u32, u32),
}

/// Whether a master playlist names nothing: ffmpeg knows no rate of what is shorter than half a second, and leaves it out.
pub fn is_empty_master(text: &str) -> bool {
    check_form(text).is_ok() && uris(text).next().is_none()
}

/// Writes a master playlist of what was made, the largest first.
pub fn write_master(variants: &[Variant]) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    for one in variants {
        let (width, height) = one.size;
        // Bits a second, of a film that has a length.
        let rate = one.bytes as f64 * 8.0 / one.seconds.max(SHORTEST);
        let _ = write!(
            text,
            "#EXT-X-STREAM-INF:BANDWIDTH={:.0},RESOLUTION={width}x{height}\n{}\n",
            rate.ceil(),
            one.playlist
        );
    }
    text
}

fn check_form(text: &str) -> Result<(), String> {
    if text.starts_with("#EXTM3U\n")
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() || b" \n".contains(&b))
    {
        Ok(())
    } else {
        Err("the playlist is no playlist".to_owned())
    }
}

/// The lines that are no tags.
fn uris(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-STREAM-INF:BANDWIDTH=1\n720p.m3u8\n\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1\n360p.m3u8\n";
    const MEDIA: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MAP:URI=\"a.mp4\",BYTERANGE=\"10@0\"\n\
        #EXTINF:6.000000,\n#EXT-X-BYTERANGE:90@10\na.mp4\n#EXTINF:2.500000,\n#EXT-X-BYTERANGE:20@100\na.mp4\n\
        #EXT-X-ENDLIST\n";

    #[test]
    fn a_master_names_its_playlists_and_nothing_else() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            check_master(MASTER, &names(&["720p.m3u8", "360p.m3u8"])),
            Ok(())
        );
        assert!(check_master(MASTER, &names(&["720p.m3u8"])).is_err());
        let other = MASTER.replace("360p.m3u8", "http://x/360p.m3u8");
        assert!(check_master(&other, &names(&["720p.m3u8", "360p.m3u8"])).is_err());
        assert!(check_master("", &[]).is_err());
    }

    #[test]
    fn a_master_that_names_nothing_is_written_anew() {
        let empty = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n";
        assert!(is_empty_master(empty) && !is_empty_master(MASTER) && !is_empty_master(""));
        let variants = ["720p.m3u8", "360p.m3u8"].map(|playlist| Variant {
            playlist,
            bytes: 1000,
            seconds: 0.04,
            size: (640, 360),
        });
        let text = write_master(&variants);
        let names = ["360p.m3u8", "720p.m3u8"].map(str::to_owned);
        assert_eq!(check_master(&text, &names), Ok(()));
        assert!(
            text.contains("BANDWIDTH=200000,RESOLUTION=640x360\n720p.m3u8"),
            "{text}"
        );
    }

    #[test]
    fn a_playlist_lasts_as_long_as_the_sound() {
        let text = MEDIA.replace("#EXT-X-MAP", "#EXT-X-TARGETDURATION:6\n#EXT-X-MAP");
        assert_eq!(fitted(&text, 8.5), None);
        assert_eq!(fitted(&text, 3.0), None, "no segment has that");
        let shorter = fitted(&text, 7.0).expect("is shorter");
        assert_eq!(shorter, text.replace("2.500000", "1.000000"));
        let longer = fitted(&text, 20.25).expect("is longer");
        assert!(check(&longer, "a.mp4", 120, 20.25).is_ok());
        assert_eq!(
            longer,
            text.replace("2.500000", "14.250000")
                .replace("DURATION:6", "DURATION:14")
        );
        assert_eq!(fitted("#EXTM3U\n", 5.0), None);
    }

    #[test]
    fn segments_are_all_of_the_file() {
        let good = check(MEDIA, "a.mp4", 120, 8.5).expect("is right");
        assert_eq!((good.segments, good.output_seconds), (Some(2), 8.5));
        assert!(check(MEDIA, "b.mp4", 120, 8.5).is_err());
        assert!(check(MEDIA, "a.mp4", 121, 8.5).is_err());
        assert!(check(MEDIA, "a.mp4", 120, 12.0).is_err());
        for (from, to) in [
            ("20@100", "20@99"),
            ("20@100", "x"),
            ("10@0", "10@1"),
            ("#EXT-X-ENDLIST\n", ""),
            ("#EXTINF:2.500000,\n", ""),
            ("#EXTINF:2.500000", "#EXTINF:NaN"),
            ("\na.mp4\n#EXTINF:2", "\n../a.mp4\n#EXTINF:2"),
            ("URI=\"a.mp4\"", "URI=\"http://x/a.mp4\""),
        ] {
            let text = MEDIA.replacen(from, to, 1);
            assert_ne!(text, MEDIA);
            assert!(check(&text, "a.mp4", 120, 8.5).is_err(), "{to}");
        }
    }
}
