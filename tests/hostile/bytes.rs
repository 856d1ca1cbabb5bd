//! Bytes that no program writes by itself.

// Lengths of files of some KiB, in fields of two and four bytes.
#![allow(clippy::cast_possible_truncation)]

use std::ops::Range;

/// Bytes without a pattern, the same for the same seed (xorshift64).
pub fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// A bit flipped in about each `every`th byte of `range`.
pub fn flipped(content: &[u8], every: usize, range: Range<usize>) -> Vec<u8> {
    let mut content = content.to_vec();
    let dice = noise(every as u64, content.len() * 4);
    for at in range {
        let number = u32::from_le_bytes(dice[at * 4..][..4].try_into().expect("4 bytes")) as usize;
        if number.is_multiple_of(every) {
            content[at] ^= 1 << (number / every % 8);
        }
    }
    content
}

fn find(content: &[u8], word: &[u8]) -> usize {
    content
        .windows(word.len())
        .position(|window| window == word)
        .unwrap_or_else(|| panic!("no {:?}", String::from_utf8_lossy(word)))
}

fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut chunk = name.to_vec();
    chunk.extend((content.len() as u32).to_le_bytes());
    chunk.extend(content);
    if content.len() % 2 == 1 {
        chunk.push(0);
    }
    chunk
}

fn list(kind: &[u8], content: &[u8]) -> Vec<u8> {
    chunk(b"LIST", &[kind, content].concat())
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// An AVI of one JPEG, with a stream of subtitles (`GAB2`) whose file is `subtitle`.
pub fn avi_with_subtitle(picture: &[u8], subtitle: &[u8]) -> Vec<u8> {
    let main = words(&[1_000_000, 0, 0, 0, 1, 0, 2, 0, 160, 120, 0, 0, 0, 0]);
    let stream = |kind: &[u8], codec: &[u8]| {
        let rest = words(&[0, 0, 0, 1, 1, 0, 1, 0, 0xffff_ffff, 0, 0, 0]);
        [kind, codec, &rest[..]].concat()
    };
    let picture_format = [
        words(&[40, 160, 120]),
        vec![1, 0, 24, 0],
        b"MJPG".to_vec(),
        words(&[160 * 120 * 3, 0, 0, 0, 0]),
    ]
    .concat();
    let pictures = [
        chunk(b"strh", &stream(b"vids", b"MJPG")),
        chunk(b"strf", &picture_format),
    ]
    .concat();
    let texts = [
        chunk(b"strh", &stream(b"txts", &[0; 4])),
        chunk(b"strf", &[]),
    ]
    .concat();
    let headers = [
        chunk(b"avih", &main),
        list(b"strl", &pictures),
        list(b"strl", &texts),
    ]
    .concat();
    let mut gab2 = b"GAB2\0".to_vec();
    gab2.extend([2, 0]);
    gab2.extend(words(&[2]));
    gab2.extend([0, 0, 4, 0]);
    gab2.extend(words(&[subtitle.len() as u32]));
    gab2.extend(subtitle);
    let data = [chunk(b"00dc", picture), chunk(b"01tx", &gab2)].concat();
    chunk(
        b"RIFF",
        &[
            b"AVI ".to_vec(),
            list(b"hdrl", &headers),
            list(b"movi", &data),
        ]
        .concat(),
    )
}

/// The first video stream's size (in its `strf`) set.
pub fn avi_with_size(film: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut film = film.to_vec();
    let at = find(&film, b"strf") + 12;
    film[at..at + 4].copy_from_slice(&width.to_le_bytes());
    film[at + 4..at + 8].copy_from_slice(&height.to_le_bytes());
    film
}

/// The first stream's frame rate (in its `strh`) set to rate/scale.
pub fn avi_with_rate(film: &[u8], scale: u32, rate: u32) -> Vec<u8> {
    let mut film = film.to_vec();
    let at = find(&film, b"strh") + 8 + 20;
    film[at..at + 4].copy_from_slice(&scale.to_le_bytes());
    film[at + 4..at + 8].copy_from_slice(&rate.to_le_bytes());
    film
}

/// A GIF that says that it is so large, with one image of it.
pub fn gif(width: u16, height: u16) -> Vec<u8> {
    let (w, h) = (width.to_le_bytes(), height.to_le_bytes());
    let mut gif = b"GIF89a".to_vec();
    gif.extend([w[0], w[1], h[0], h[1], 0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
    gif.extend([
        0x2c, 0, 0, 0, 0, w[0], w[1], h[0], h[1], 0, 2, 2, 0x44, 1, 0, 0x3b,
    ]);
    gif
}

/// A raw film of grey pictures.
pub fn y4m(width: usize, height: usize, rate: &str, frames: usize) -> Vec<u8> {
    let mut film = format!("YUV4MPEG2 W{width} H{height} F{rate} Ip A1:1 C420\n").into_bytes();
    let picture = [b"FRAME\n".to_vec(), vec![128; width * height * 3 / 2]].concat();
    film.extend(picture.repeat(frames));
    film
}

/// Packets of a transport stream that hold nothing (ISO 13818-1, PID 0x1fff).
pub fn empty_transport_packets(count: usize) -> Vec<u8> {
    let mut packet = [0xff; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    packet.repeat(count)
}

fn be32(content: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(content[at..at + 4].try_into().expect("4 bytes"))
}

fn set32(content: &mut [u8], at: usize, value: u32) {
    content[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Where the first box of that name begins.
fn at_box(film: &[u8], name: &[u8]) -> usize {
    find(film, name) - 4
}

/// Durations in `mvhd`, `tkhd` and `mdhd` (all of version 0) set.
pub fn mov_with_duration(film: &[u8], duration: u32) -> Vec<u8> {
    let mut film = film.to_vec();
    for (name, offset) in [(b"mvhd", 24), (b"tkhd", 28), (b"mdhd", 24)] {
        let at = at_box(&film, name);
        set32(&mut film, at + offset, duration);
    }
    film
}

/// A film whose tables say that it has so many samples, all of the same length and size: they take some bytes, and what
/// they stand for gigabytes.
pub fn mov_with_samples(film: &[u8], count: u32) -> Vec<u8> {
    let mut film = film.to_vec();
    let at = at_box(&film, b"stsz");
    // One size for all, so no table follows that would have to be there.
    set32(&mut film, at + 12, 16);
    set32(&mut film, at + 16, count);
    let at = at_box(&film, b"stts");
    set32(&mut film, at + 12, 1);
    set32(&mut film, at + 16, count);
    // All of them in one chunk.
    let at = at_box(&film, b"stsc");
    set32(&mut film, at + 12, 1);
    set32(&mut film, at + 16, 1);
    set32(&mut film, at + 20, count);
    film
}

/// A film whose header is packed (`cmov`) and says that it will be so large.
pub fn mov_with_packed_header(size: u32) -> Vec<u8> {
    let boxed = |name: &[u8], content: &[u8]| {
        let mut whole = ((content.len() + 8) as u32).to_be_bytes().to_vec();
        whole.extend(name);
        whole.extend(content);
        whole
    };
    // Stored, not packed, by zlib (RFC 1950, 1951): 5 bytes.
    let zlib = [
        0x78, 0x01, 0x01, 5, 0, 0xfa, 0xff, b'h', b'e', b'l', b'l', b'o', 0x06, 0x2c, 0x02, 0x15,
    ];
    let data = [&size.to_be_bytes()[..], &zlib].concat();
    let packed = [boxed(b"dcom", b"zlib"), boxed(b"cmvd", &data)].concat();
    [
        boxed(b"ftyp", b"qt  \0\0\0\0qt  "),
        boxed(b"moov", &boxed(b"cmov", &packed)),
    ]
    .concat()
}

/// A film whose pictures lie in another file, at `path`: its data reference is an alias (QuickTime File Format, "Data
/// reference atoms"). The header must be the file's last box, so that no offset changes.
pub fn external_reference(film: &[u8], path: &str) -> Vec<u8> {
    let mut alias = vec![0; 150];
    // Volume and file name, as Pascal strings; then where it lies, up and down.
    alias[10] = 4;
    alias[11..15].copy_from_slice(b"disk");
    alias[50] = 6;
    alias[51..57].copy_from_slice(b"secret");
    let mut record = alias;
    record[130..134].copy_from_slice(&[0, 1, 0, 1]);
    let text = format!("disk:{}", path.trim_start_matches('/').replace('/', ":"));
    for (kind, text) in [(2_u16, text.as_str()), (18, path)] {
        record.extend(kind.to_be_bytes());
        record.extend((text.len() as u16).to_be_bytes());
        record.extend(text.as_bytes());
        if text.len() % 2 == 1 {
            record.push(0);
        }
    }
    record.extend([0xff, 0xff, 0, 0]);
    let mut entry = ((record.len() + 12) as u32).to_be_bytes().to_vec();
    entry.extend(b"alis");
    entry.extend([0; 4]);
    entry.extend(record);

    let mut film = film.to_vec();
    let table = at_box(&film, b"dref");
    let old = table + 16;
    let old_size = be32(&film, old) as usize;
    let more = (entry.len() - old_size) as u32;
    film.splice(old..old + old_size, entry);
    for name in [&b"moov"[..], b"trak", b"mdia", b"minf", b"dinf", b"dref"] {
        let at = at_box(&film, name);
        assert!(at < old);
        let size = be32(&film, at);
        set32(&mut film, at, size + more);
    }
    film
}
