//! ffprobe's JSON of a file and of all its packets, taken apart while it comes: of packets there may be millions.

use crate::media::Packets;

/// A description of a file that is longer is a bomb: a usual one has 2 KiB.
const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// The line with which the packets begin, and those with which they may end. No text of a file can be such a line: strings
/// come escaped, and after a name.
const BEGIN: &str = "    \"packets\": [";
const END: [&str; 2] = ["    ],", "    ]"];
/// How the last line of a packet begins.
const PACKET_END: &str = "        }";
/// Bytes of a packet, of which a few fields are asked for.
const MAX_PACKET_BYTES: usize = 1024;

/// What of it has come.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub packets: Packets,
    /// The JSON without the packets.
    pub description: String,
    /// It was cut.
    pub is_too_long: bool,
    /// Of the packet that is coming.
    packet: String,
    among_packets: bool,
}

impl Listing {
    /// Takes in one line of ffprobe's JSON.
    pub(super) fn read_line(&mut self, line: &str) {
        if self.among_packets {
            self.read_packet(line);
        } else if line == BEGIN {
            self.among_packets = true;
        } else if self.description.len() + line.len() < MAX_DESCRIPTION_BYTES {
            self.description.push_str(line);
            self.description.push('\n');
        } else {
            self.is_too_long = true;
        }
    }

    fn read_packet(&mut self, line: &str) {
        if END.contains(&line) {
            self.among_packets = false;
        } else if line.starts_with(PACKET_END) {
            self.packets.read(&self.packet);
            self.packet.clear();
        } else if self.packet.len() + line.len() < MAX_PACKET_BYTES {
            self.packet.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Media;

    fn listing(text: &str) -> Listing {
        let mut listing = Listing::default();
        text.lines().for_each(|line| listing.read_line(line));
        listing
    }

    #[test]
    fn packets_are_taken_out() {
        // In the form that ffprobe 5.1 writes.
        let listing = listing(
            r#"{
    "packets": [
        {
            "stream_index": 1,
            "pts_time": "-0.021333",
            "dts_time": "-0.021333",
            "duration_time": "0.021333",
            "side_data_list": [
                {

                }
            ]
        },
        {
            "stream_index": 0,
            "dts_time": "0.000000",
            "duration_time": "0.033367"
        },
        {
            "stream_index": 0,
            "pts_time": "0.033367"
        }
    ],
    "programs": [

    ],
    "streams": [
        {
            "index": 0,
            "codec_name": "mpeg4",
            "codec_type": "video",
            "tags": {
                "title": "\n    \"packets\": ["
            }
        }
    ],
    "format": {
        "format_name": "mov,mp4,m4a,3gp,3g2,mj2",
        "size": "5149942"
    }
}
"#,
        );
        assert!(!listing.is_too_long);
        assert_eq!(listing.packets.count(0), 2);
        assert_eq!(listing.packets.count(1), 1);
        let sound = listing.packets.of(1).expect("has times");
        assert!((sound.start + 0.021_333).abs() < 1e-9 && sound.end.abs() < 1e-9);
        let media = Media::parse(&listing.description).expect("JSON");
        assert_eq!(media.streams.len(), 1);
        assert_eq!(media.size, Some(5_149_942));
    }

    #[test]
    fn a_file_without_packets_and_one_with_too_much_to_tell() {
        let empty = listing("{\n    \"packets\": [\n\n    ],\n    \"streams\": [\n\n    ]\n}\n");
        assert_eq!(empty.packets.whole(), None);
        assert_eq!(Media::parse(&empty.description).expect("JSON").streams, []);
        let line = format!("    \"title\": \"{}\",\n", "x".repeat(1000));
        let long = listing(&line.repeat(2000));
        assert!(long.is_too_long);
        assert!(long.description.len() < MAX_DESCRIPTION_BYTES);
    }
}
