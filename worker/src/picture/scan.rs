//! Interlaced pictures: two instants in one, line by line. Screens of today show both at once, as a comb at every edge that
//! moves.

use super::look::{Fields, Look};

/// How the lines of pictures belong together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scan {
    /// Each picture is of one instant.
    #[default]
    Progressive,
    /// Those that are marked as two fields are.
    Interlaced,
    /// Film of 24 pictures a second as fields of 60: of five pictures two are put together of two neighbours.
    Telecined,
}

/// Marked pictures of which fewer than this part look like two instants are of one: cameras and broadcasters that send 25
/// pictures a second mark them as fields.
const FEW_COMBED: f64 = 0.05;

/// Of five pictures of telecined film one repeats the upper lines, and another the lower ones; still scenes may hide some.
const REPEATED: std::ops::Range<f64> = 0.1..0.3;

impl Scan {
    /// What a look told. What pictures say of themselves can be wrong in one way only: test patterns and fine stripes look like
    /// combs, so that pictures which are not marked are never taken for two fields.
    pub fn of(look: &Look) -> Self {
        let Fields {
            top_first,
            bottom_first,
            progressive,
            repeated_top,
            repeated_bottom,
        } = look.fields;
        let combed = top_first + bottom_first;
        let part = |count: u64, whole: u64| count as f64 / whole.max(1) as f64;
        let is_repeated = |count| REPEATED.contains(&part(count, look.pictures));
        if look.marked == 0 {
            Self::Progressive
        } else if is_repeated(repeated_top) && is_repeated(repeated_bottom) {
            Self::Telecined
        } else if progressive > 0 && part(combed, combed + progressive) < FEW_COMBED {
            Self::Progressive
        } else {
            // Where nothing moves neither is seen, and no harm is done.
            Self::Interlaced
        }
    }

    /// The filters that make one instant of each picture, and leave alone what is one.
    pub(super) fn filters(self) -> Vec<String> {
        match self {
            Self::Progressive => Vec::new(),
            Self::Interlaced => vec!["bwdif=mode=send_frame:deint=interlaced".to_owned()],
            // Puts the fields of one instant together again, and marks what finds no partner.
            Self::Telecined => vec![
                "fieldmatch=combmatch=full".to_owned(),
                "bwdif=mode=send_frame:deint=interlaced".to_owned(),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pictures_say_counts() {
        for (marked, [top_first, progressive, repeated_top, repeated_bottom], scan) in [
            (0, [0, 60, 0, 0], Scan::Progressive),
            // A test pattern.
            (0, [60, 0, 0, 0], Scan::Progressive),
            (60, [58, 2, 1, 0], Scan::Interlaced),
            (60, [0, 0, 0, 0], Scan::Interlaced),
            // A still scene.
            (60, [0, 0, 30, 30], Scan::Interlaced),
            // Marked as fields, and of one instant each.
            (60, [1, 59, 0, 0], Scan::Progressive),
            (60, [60, 0, 12, 12], Scan::Telecined),
            (60, [0, 60, 12, 11], Scan::Telecined),
            (30, [25, 30, 2, 0], Scan::Interlaced),
        ] {
            let look = Look {
                pictures: 60,
                marked,
                fields: Fields {
                    top_first,
                    bottom_first: 0,
                    progressive,
                    repeated_top,
                    repeated_bottom,
                },
                ..Look::default()
            };
            assert_eq!(Scan::of(&look), scan, "{look:?}");
        }
    }
}
