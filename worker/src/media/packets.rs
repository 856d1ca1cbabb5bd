//! The packets of a file, as ffprobe lists them: how many each stream has, and from when to when they are shown.

use std::collections::BTreeMap;

use super::seconds;

/// The packets of a file's streams, by index, as they were met when reading through it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Packets {
    tracks: BTreeMap<usize, Track>,
    /// Whether the file ended where more was announced.
    pub cut: bool,
    /// Whether bytes in the middle of it are no part of a film.
    pub torn: bool,
    /// Times that jump are told as ffmpeg mends them; see [`Packets::mend`].
    mended: bool,
}

/// The packets of one stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// How many there are.
    pub count: u64,
    /// When the first is shown, in seconds.
    pub start: f64,
    /// When the last is over, in seconds.
    pub end: f64,
}

/// What is known of a stream's packets.
#[derive(Debug, Clone, Default, PartialEq)]
struct Track {
    count: u64,
    /// How many are there and never shown.
    hidden: u64,
    /// As the file tells times.
    told: Reach,
    /// As ffmpeg mends them in formats whose times may jump.
    mended: Reach,
    /// What is added to a time to mend it.
    offset: f64,
    /// The mended decoding time of the last packet, and when the next one is due.
    last: Option<(f64, f64)>,
    /// How many came before the first one that can be decoded without others, and when that is shown.
    first_key: Option<(u64, f64)>,
}

/// So many seconds without a packet are told of, if no stream has one.
const HOLE_SECONDS: f64 = 0.5;

/// Of so many such times of a stream; more are how its sound is.
const MOST_HOLES: usize = 1000;

/// So many pictures at the end of a film may be coded in another order than they are shown.
const LAST: usize = 4;

/// From when to when packets are shown.
#[derive(Debug, Clone, PartialEq)]
struct Reach {
    start: f64,
    end: f64,
    /// When the last ones begin, the last first.
    latest: [f64; LAST],
    /// It is not known how long the last is shown.
    is_open: bool,
    /// What is told of that would be longer than the stream.
    is_bounded: bool,
    /// Between a packet that is shown later than all before it and the latest of these.
    longest_step: f64,
    /// From when to when nothing is there.
    holes: Vec<(f64, f64)>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            start: f64::INFINITY,
            end: f64::NEG_INFINITY,
            latest: [f64::NEG_INFINITY; LAST],
            is_open: false,
            is_bounded: false,
            longest_step: 0.0,
            holes: Vec::new(),
        }
    }
}

impl Reach {
    /// How long the last of so many packets is shown where that isn't said: as long as the one before it, or as long as all on
    /// average, whichever is less.
    fn open_seconds(&self, count: u64) -> f64 {
        let [last, before, ..] = self.latest;
        if !self.is_open || !before.is_finite() {
            return 0.0;
        }
        let mean = (last - self.start) / (count.max(2) - 1) as f64;
        (last - before).min(mean)
    }

    fn add(&mut self, at: f64, duration: f64) {
        if self.end.is_finite() && at > self.end + HOLE_SECONDS && self.holes.len() < MOST_HOLES {
            self.holes.push((self.end, at));
        }
        self.start = self.start.min(at);
        self.end = self.end.max(at + duration);
        if at > self.latest[0] {
            if self.latest[0].is_finite() {
                self.longest_step = self.longest_step.max(at - self.latest[0]);
            }
            self.is_open = duration == 0.0;
        }
        if let Some(place) = self.latest.iter().position(|other| at > *other) {
            self.latest[place..].rotate_right(1);
            self.latest[place] = at;
        }
    }
}

/// The last picture of a film, where it is shown for longer than the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastPicture {
    /// When it is shown, in seconds from the beginning of the file.
    pub at: f64,
    /// How long it is shown, in seconds.
    pub seconds: f64,
}

/// A packet of a format that may be joined of several recordings, whose times begin anew: a jump of more seconds than that
/// forward is closed by ffmpeg (its `-dts_delta_threshold`) …
const JUMP_FORWARD: f64 = 10.0;

/// … and one of more than that backward (`ts_discontinuity_detect` in its `fftools/ffmpeg_demux.c`).
const JUMP_BACK: f64 = 0.1;

/// A last picture is told apart if it is shown so many times as long as the one before it …
const LONG_TIMES: f64 = 2.0;

/// … and for at least so many seconds.
const LONG_SECONDS: f64 = 0.25;

/// One packet as it is listed; times in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Packet {
    pub pts: Option<f64>,
    pub dts: Option<f64>,
    pub duration: f64,
    pub key: bool,
    /// Cut off by an edit list: it is decoded for what follows, and never shown.
    pub hidden: bool,
}

impl Packet {
    /// When it is shown where `at`, the time that is said, may be damaged: not long before or after it is decoded.
    fn likely(&self, at: f64) -> f64 {
        self.dts
            .filter(|dts| (at - dts).abs() > JUMP_FORWARD)
            .unwrap_or(at)
    }
}

#[cfg(test)]
impl Packet {
    /// One that is shown from `at` on, and needs no other to be decoded.
    pub(crate) fn shown(at: f64, duration: f64) -> Self {
        Self {
            pts: Some(at),
            dts: Some(at),
            duration,
            key: true,
            hidden: false,
        }
    }
}

impl Packets {
    /// What ffprobe is asked for.
    pub(crate) const ENTRIES: &str = "packet=stream_index,pts_time,dts_time,duration_time,flags";

    /// Takes in a packet as ffprobe's JSON has it; what isn't a packet is passed over.
    pub fn read(&mut self, text: &str) {
        let value = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            Some(rest.split([',', '}']).next()?.trim().trim_matches('"'))
        };
        let Some(index) = value("\"stream_index\": ").and_then(|text| text.parse().ok()) else {
            return;
        };
        let flags = value("\"flags\": ").unwrap_or_default();
        self.add(
            index,
            Packet {
                pts: seconds(value("\"pts_time\": ")),
                dts: seconds(value("\"dts_time\": ")),
                duration: seconds(value("\"duration_time\": "))
                    .unwrap_or(0.0)
                    .max(0.0),
                key: flags.contains('K'),
                hidden: flags.contains('D'),
            },
        );
    }

    /// Adds a packet of the stream of that index.
    pub(crate) fn add(&mut self, index: usize, packet: Packet) {
        let track = self.tracks.entry(index).or_default();
        if packet.hidden {
            track.hidden += 1;
            // What follows is decoded with it, shown or not.
            if let Some(at) = packet.pts.or(packet.dts).filter(|_| packet.key) {
                track.first_key.get_or_insert((track.count, at));
            }
            return;
        }
        // AVI and some others have decoding times only.
        if let Some(at) = packet.pts.or(packet.dts) {
            track.told.add(at, packet.duration);
            track.mend(packet);
            track
                .mended
                .add(packet.likely(at) + track.offset, packet.duration);
            if packet.key {
                track.first_key.get_or_insert((track.count, at));
            }
        }
        track.count += 1;
    }

    /// From now on tells times as ffmpeg mends them: in transport and program streams, which may be joined or broken off and
    /// begun again. What others have between two packets is a pause.
    pub fn mend(&mut self) {
        self.mended = true;
    }

    /// The packets of the stream of that index, if it has any with a time.
    pub fn of(&self, index: usize) -> Option<Span> {
        let track = self.tracks.get(&index)?;
        let reach = self.reach(track);
        reach.start.is_finite().then_some(Span {
            count: track.count,
            start: reach.start,
            end: reach
                .end
                .max(reach.latest[0] + reach.open_seconds(track.count)),
        })
    }

    fn reach<'a>(&self, track: &'a Track) -> &'a Reach {
        if self.mended {
            &track.mended
        } else {
            &track.told
        }
    }

    /// Takes the last packet of the stream of that index to end with the stream, which lasts so many seconds, if it isn't said
    /// how long it is shown, or what is said is a guess.
    pub fn close(&mut self, index: usize, seconds: f64, is_guess: bool) {
        if let Some(track) = self.tracks.get_mut(&index) {
            for reach in [&mut track.told, &mut track.mended] {
                if (reach.is_open || is_guess) && reach.start + seconds > reach.latest[0] {
                    reach.end = reach.end.max(reach.start + seconds);
                    reach.is_open = false;
                }
            }
        }
    }

    /// Takes the last packet of the stream of that index to be over at that time, in seconds, if what is said or guessed of it is
    /// later: Matroska tells one length for all packets, the mean.
    pub fn bound(&mut self, index: usize, end: f64) {
        if let Some(track) = self.tracks.get_mut(&index) {
            let count = track.count;
            for reach in [&mut track.told, &mut track.mended] {
                let last = reach.latest[0];
                let guess = reach.end.max(last + reach.open_seconds(count));
                if last < end && end < guess {
                    reach.is_bounded = guess - end > LONG_SECONDS;
                    reach.end = end;
                    reach.is_open = false;
                }
            }
        }
    }

    /// Gives the packets of the stream of that index, none of which has a time, one after the other so many seconds each: raw
    /// streams of pictures have no container to tell them.
    pub fn follow_one_another(&mut self, index: usize, seconds: f64) {
        if let Some(track) = self.tracks.get_mut(&index)
            && !track.told.start.is_finite()
        {
            for reach in [&mut track.told, &mut track.mended] {
                for n in 0..track.count {
                    reach.add(n as f64 * seconds, seconds);
                }
            }
        }
    }

    /// How many packets the stream of that index has, with a time or without.
    pub fn count(&self, index: usize) -> u64 {
        self.tracks.get(&index).map_or(0, |track| track.count)
    }

    /// How many further packets of the stream of that index are cut off by an edit list: headers count them.
    pub fn hidden(&self, index: usize) -> u64 {
        self.tracks.get(&index).map_or(0, |track| track.hidden)
    }

    /// How many packets of the stream of that index nothing can be decoded of, since they need one from before the beginning; and
    /// for how many seconds they would be shown. None if none can be decoded by itself: then all are.
    pub fn undecodable_lead(&self, index: usize) -> Option<(u64, f64)> {
        let track = self.tracks.get(&index)?;
        let (count, at) = track.first_key.filter(|(count, _)| *count > 0)?;
        Some((count, (at - track.told.start).max(0.0)))
    }

    /// From when to when none of these streams has anything, in seconds from the beginning of the file.
    pub fn holes(&self, indexes: &[usize]) -> Vec<(f64, f64)> {
        let start = self.whole().map_or(0.0, |whole| whole.start);
        let tracks = indexes.iter().filter_map(|index| self.tracks.get(index));
        let common = tracks
            .map(|track| self.reach(track).holes.clone())
            .reduce(|these, those| {
                let both = these
                    .iter()
                    .flat_map(|a| those.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
                both.filter(|(from, to)| to - from > HOLE_SECONDS)
                    .take(MOST_HOLES)
                    .collect()
            });
        let common = common.unwrap_or_default().into_iter();
        common
            .map(|(from, to)| (from - start, to - start))
            .collect()
    }

    /// The longest time in seconds for which no picture of the stream of that index comes, or a few that follow one another in
    /// another order than they are coded.
    pub fn longest_step(&self, index: usize) -> f64 {
        let track = self.tracks.get(&index);
        track.map_or(0.0, |track| self.reach(track).longest_step)
    }

    /// For how many seconds the last few pictures of the stream of that index are shown, without the very last.
    pub fn last_steps(&self, index: usize) -> f64 {
        let track = self.tracks.get(&index);
        let latest = track.map_or([0.0; LAST], |track| self.reach(track).latest);
        let first = latest.iter().rfind(|at| at.is_finite());
        first.map_or(0.0, |first| latest[0] - first)
    }

    /// The last picture of the stream of that index, if it is held, or shown for a shorter time than is said of it.
    pub fn last_picture(&self, index: usize) -> Option<LastPicture> {
        let reach = self.reach(self.tracks.get(&index)?);
        let [last, before, ..] = reach.latest;
        let seconds = reach.end - last;
        let usual = last - before;
        let is_held = usual.is_finite() && seconds > LONG_SECONDS.max(usual * LONG_TIMES);
        let start = self.whole()?.start;
        let at = last - start;
        ((is_held || reach.is_bounded) && at > 0.0).then_some(LastPicture { at, seconds })
    }

    /// From the first packet of any stream to the end of the last.
    pub fn whole(&self) -> Option<Span> {
        self.tracks
            .keys()
            .filter_map(|index| self.of(*index))
            .reduce(|a, b| Span {
                count: a.count + b.count,
                start: a.start.min(b.start),
                end: a.end.max(b.end),
            })
    }
}

impl Track {
    /// Finds out whether times jump at this packet, and by how much.
    fn mend(&mut self, packet: Packet) {
        let Some(told) = packet.dts.or(packet.pts) else {
            return;
        };
        let mut at = told + self.offset;
        if let Some((last, due)) = self.last
            && ((at - due).abs() > JUMP_FORWARD || at + JUMP_BACK < last)
        {
            self.offset += due - at;
            at = due;
        }
        self.last = Some((at, at + packet.duration));
    }
}

impl Span {
    /// Its length in seconds.
    pub fn length(&self) -> f64 {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_measured() {
        let mut packets = Packets::default();
        for text in [
            r#"        { "stream_index": 0, "pts_time": "0.040000", "duration_time": "0.040000" },"#,
            r#"        { "stream_index": 1, "pts_time": "1.0", "dts_time": "9.0" },"#,
            r#"        { "stream_index": 0, "pts_time": "N/A", "dts_time": "0.0", "duration_time": "0.04","#,
            "",
            r#"        { "stream_index": "x" }"#,
            r#"        { "stream_index": 0, "pts_time": "7.0", "duration_time": "0.04", "flags": "KD_" },"#,
        ] {
            packets.read(text);
        }
        assert_eq!(
            packets.of(0),
            Some(Span {
                count: 2,
                start: 0.0,
                end: 0.08
            })
        );
        assert_eq!((packets.hidden(0), packets.hidden(1)), (1, 0));
        assert_eq!(packets.whole().map(|s| s.length()), Some(1.0));
        assert_eq!(packets.of(7), None);
    }

    /// One packet a second from each of these times on, as many as said.
    fn recordings(parts: &[(f64, u32)]) -> Packets {
        let mut packets = Packets::default();
        for (from, count) in parts {
            for n in 0..*count {
                let at = Some(from + f64::from(n));
                packets.add(
                    0,
                    Packet {
                        pts: at,
                        dts: at,
                        duration: 1.0,
                        key: n == 0,
                        hidden: false,
                    },
                );
            }
        }
        packets
    }

    #[test]
    fn joined_recordings_are_as_long_as_their_parts() {
        for (parts, told, mended) in [
            (&[(5.0, 3), (5.0, 4)][..], 4.0, 7.0),
            (&[(5.0, 3), (60.0, 4)], 59.0, 7.0),
            (&[(60.0, 3), (2.0, 4)], 61.0, 7.0),
            (&[(0.0, 3), (8.0, 1)], 9.0, 9.0),
            (&[(95_443.0, 3)], 3.0, 3.0),
        ] {
            let mut packets = recordings(parts);
            let length = |packets: &Packets| packets.of(0).map(|span| span.length());
            assert_eq!(length(&packets), Some(told), "{parts:?}");
            packets.mend();
            assert_eq!(length(&packets), Some(mended), "{parts:?}");
            assert!(packets.longest_step(0) <= 6.0);
            assert!(packets.last_steps(0) >= 2.0);
        }
    }

    #[test]
    fn a_last_packet_of_unknown_length_is_as_long_as_usual() {
        let mut packets = Packets::default();
        for at in [0.0, 2.0, 1.0, 3.0] {
            let packet = Packet {
                pts: Some(at),
                ..Packet::default()
            };
            packets.add(0, packet);
        }
        assert_eq!(packets.of(0).map(|span| span.end), Some(4.0));
        assert!((packets.last_steps(0) - 3.0).abs() < 1e-9);
        let late = Packet {
            pts: Some(9.0),
            ..Packet::default()
        };
        packets.add(0, late);
        assert_eq!(packets.of(0).map(|span| span.end), Some(9.0 + 9.0 / 4.0));
    }

    #[test]
    fn what_no_stream_has_is_a_hole() {
        let mut packets = Packets::default();
        for at in [10.0, 11.0, 14.0, 19.0] {
            packets.add(0, Packet::shown(at, 1.0));
        }
        for at in [10.0, 11.0, 12.0, 13.5, 14.5, 15.5, 16.5, 17.5, 18.5] {
            packets.add(1, Packet::shown(at, 1.0));
        }
        assert_eq!(packets.holes(&[0]), [(2.0, 4.0), (5.0, 9.0)]);
        assert_eq!(packets.holes(&[1]), [(0.0, 0.0); 0]);
        assert_eq!(packets.holes(&[0, 1]), [(0.0, 0.0); 0]);
        for at in [30.0, 31.0] {
            packets.add(0, Packet::shown(at, 1.0));
            packets.add(1, Packet::shown(at + 0.25, 1.0));
        }
        assert_eq!(packets.holes(&[0, 1]), [(10.0, 20.0)]);
    }

    #[test]
    fn a_damaged_time_does_not_make_a_broadcast_longer() {
        let mut packets = recordings(&[(0.0, 3)]);
        let damaged = Packet {
            pts: Some(11_933.0),
            dts: Some(3.0),
            duration: 1.0,
            ..Packet::default()
        };
        packets.add(0, damaged);
        packets.mend();
        assert_eq!(packets.of(0).map(|span| span.length()), Some(4.0));
    }

    #[test]
    fn a_stream_of_known_length_closes_its_last_packet() {
        let mut packets = Packets::default();
        let packet = Packet {
            pts: Some(2.0),
            ..Packet::default()
        };
        packets.add(0, packet);
        let length = |packets: &Packets| packets.of(0).map(|span| span.length());
        packets.close(0, 10.0, false);
        assert_eq!(length(&packets), Some(10.0));
        packets.close(0, 20.0, false);
        assert_eq!(length(&packets), Some(10.0));
        packets.close(0, 20.0, true);
        assert_eq!(length(&packets), Some(20.0));
    }

    #[test]
    fn a_last_packet_ends_with_its_stream() {
        let mut packets = Packets::default();
        for at in [0.0, 1.0, 9.0] {
            packets.add(0, Packet::shown(at, 4.0));
        }
        let end = |packets: &Packets| packets.of(0).map(|span| span.end);
        packets.bound(0, 8.0);
        assert_eq!(end(&packets), Some(13.0), "the stream is longer than that");
        assert_eq!(packets.last_picture(0), None);
        packets.bound(0, 12.9);
        assert_eq!(packets.last_picture(0), None, "as good as what is said");
        packets.bound(0, 9.5);
        assert_eq!(end(&packets), Some(9.5));
        let last = LastPicture {
            at: 9.0,
            seconds: 0.5,
        };
        assert_eq!(packets.last_picture(0), Some(last));
    }

    #[test]
    fn pictures_without_times_follow_one_another() {
        let mut packets = Packets::default();
        for _ in 0..50 {
            packets.add(0, Packet::default());
        }
        assert_eq!(packets.of(0), None);
        packets.follow_one_another(0, 0.04);
        let span = packets.of(0).expect("has times");
        assert_eq!(span.count, 50);
        assert!((span.length() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_picture_that_is_held_is_told_apart() {
        let mut packets = recordings(&[(10.0, 3)]);
        assert_eq!(packets.last_picture(0), None);
        let last = Packet {
            pts: Some(13.0),
            duration: 7.0,
            ..Packet::default()
        };
        packets.add(0, last);
        let held = packets.last_picture(0).expect("is held");
        assert_eq!((held.at, held.seconds), (3.0, 7.0));
        let mut one = Packets::default();
        one.add(0, last);
        assert_eq!(one.last_picture(0), None, "no other tells what is usual");
    }

    #[test]
    fn what_comes_before_the_first_key_frame_cannot_be_decoded() {
        let mut packets = Packets::default();
        for (at, key) in [(1.0, false), (2.0, false), (3.0, true), (4.0, false)] {
            let packet = Packet {
                pts: Some(at),
                duration: 1.0,
                key,
                ..Packet::default()
            };
            packets.add(0, packet);
        }
        assert_eq!(packets.undecodable_lead(0), Some((2, 2.0)));
        let mut cut = Packets::default();
        for (at, key) in [(0.0, true), (1.0, false), (2.0, false), (3.0, true)] {
            let packet = Packet {
                pts: Some(at),
                duration: 1.0,
                key,
                hidden: at < 2.0,
                ..Packet::default()
            };
            cut.add(0, packet);
        }
        assert_eq!(cut.undecodable_lead(0), None, "the hidden one is decoded");
        assert_eq!(recordings(&[(0.0, 2)]).undecodable_lead(0), None);
    }
}
