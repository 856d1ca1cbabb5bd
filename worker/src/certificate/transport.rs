//! MPEG transport streams: packets of one length, each with a sign at its beginning. A capture may begin in the middle of one.

/// Bytes of a packet: bare, with a time stamp in front (of disks), with error correction behind.
const PACKETS: [usize; 3] = [188, 192, 204];

/// The first byte of a packet; of one with a time stamp the fifth.
const SYNC: u8 = 0x47;

/// So many packets must follow one another.
const IN_A_ROW: usize = 5;

/// Bytes from the beginning that tell: one torn packet and a row of whole ones.
pub const HEAD: u64 = 204 * (IN_A_ROW as u64 + 2);

/// How many bytes a file has in front of its first whole packet; 0 if no packets are found.
pub fn lead(head: &[u8]) -> u64 {
    let is_row =
        |length: usize, at: usize| (0..IN_A_ROW).all(|n| head.get(at + n * length) == Some(&SYNC));
    for length in PACKETS {
        let stamp = if length == 192 { 4 } else { 0 };
        let first = (0..length).find(|at| is_row(length, at + stamp));
        if let Some(first) = first {
            return first as u64;
        }
    }
    0
}

/// Whether so many bytes are no whole number of packets.
pub(super) fn is_torn(bytes: u64) -> bool {
    PACKETS
        .iter()
        .all(|packet| !bytes.is_multiple_of(*packet as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(length: usize, stamp: usize, count: usize) -> Vec<u8> {
        let mut packet = vec![7; length];
        packet[stamp] = SYNC;
        packet.repeat(count)
    }

    #[test]
    fn a_torn_packet_in_front_is_measured() {
        for (length, stamp) in [(188, 0), (192, 4), (204, 0)] {
            let whole = packets(length, stamp, 8);
            for cut in [0, 1, 69, length - 1] {
                let lead_is = (length - cut) % length;
                assert_eq!(lead(&whole[cut..]), lead_is as u64, "{length} cut at {cut}");
            }
        }
        assert_eq!(lead(b"no packets at all"), 0);
        assert_eq!(lead(&[]), 0);
        assert!(packets(204, 0, 7).len() as u64 <= HEAD);
    }

    #[test]
    fn packets_are_whole() {
        assert!(!is_torn(1880) && !is_torn(1920) && !is_torn(2040));
        assert!(is_torn(1881));
    }
}
