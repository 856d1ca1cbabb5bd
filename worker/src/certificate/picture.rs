//! Still pictures: posters, contact sheets.

use super::size::check_size;
use super::{Certificate, Examined, check_input};
use crate::media::Stream;
use crate::preset::Expectation;
use crate::text::quantity_of;

/// Checks an output of `count` pictures of `codec`.
pub(super) fn check(
    input: &Examined,
    output: &Examined,
    codec: &str,
    count: u64,
    expect: &Expectation,
    faults: &mut Vec<String>,
) -> Result<Certificate, String> {
    let span = check_input(input)?;
    let source = input.media.video().ok_or("the file has no video stream")?;
    let streams: Vec<&Stream> = output.media.streams.iter().collect();
    let [picture] = streams[..] else {
        return Err(format!(
            "the output has {}, not one",
            quantity_of(&streams, "stream")
        ));
    };
    if picture.codec != codec {
        faults.push(format!("its pictures are {}, not {codec}", picture.codec));
    }
    let pictures = output.packets.count(picture.index);
    if pictures != count {
        faults.push(format!("it has {pictures} pictures, not {count}"));
    }
    if let Some(decoded) = output.decoded
        && decoded != pictures
    {
        faults.push(format!(
            "it has {pictures} pictures, but {decoded} can be decoded"
        ));
    }
    if let Some(size) = expect.size {
        check_size(source, picture, size, expect.square, faults);
    }
    super::color::check(source, picture, expect, faults);
    Ok(Certificate {
        input_declared_seconds: source.duration.or(input.media.duration),
        input_seconds: span.length(),
        input_packets: span.count,
        output_frames: pictures,
        size: (picture.width, picture.height),
        ..Certificate::default()
    })
}
