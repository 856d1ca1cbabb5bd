//! Giving a body out: read in pieces from its files, never whole in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use futures::stream;
use s3s::dto::StreamingBlob;

use super::bodies::{Bodies, Pin};
use crate::state::s3::Segment;

/// How much is read at once on a thread that may block: large enough that the hand-over costs
/// little, small enough that a hundred downloads fit in memory.
const BATCH: u64 = 512 * 1024;

/// Streams `range` of a body. The files stay until the stream is dropped.
pub(super) fn send(
    bodies: &Bodies,
    segments: Vec<Segment>,
    range: Range<u64>,
    pin: Pin,
) -> StreamingBlob {
    let mut pieces = VecDeque::new();
    let mut start = 0;
    for segment in segments {
        let end = start + segment.size;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            pieces.push_back(Piece {
                path: bodies.path(&segment.file),
                from: from - start,
                length: to - from,
            });
        }
        start = end;
    }
    let reader = Reader {
        pieces,
        open: None,
        _pin: pin,
    };
    StreamingBlob::wrap(stream::try_unfold(reader, |reader| async move {
        tokio::task::spawn_blocking(move || reader.next())
            .await
            .map_err(io::Error::other)?
    }))
}

struct Piece {
    path: PathBuf,
    from: u64,
    length: u64,
}

struct Reader {
    pieces: VecDeque<Piece>,
    /// The file being read and how much of it is still to come.
    open: Option<(File, u64)>,
    _pin: Pin,
}

impl Reader {
    fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let (mut file, left) = match self.open.take() {
            Some(open) => open,
            None => match self.pieces.pop_front() {
                None => return Ok(None),
                Some(piece) => {
                    let mut file = File::open(&piece.path)?;
                    file.seek(SeekFrom::Start(piece.from))?;
                    (file, piece.length)
                }
            },
        };
        let batch = left.min(BATCH);
        let mut buffer = BytesMut::zeroed(usize::try_from(batch).map_err(io::Error::other)?);
        file.read_exact(&mut buffer)?;
        if left > batch {
            self.open = Some((file, left - batch));
        }
        Ok(Some((buffer.freeze(), self)))
    }
}
