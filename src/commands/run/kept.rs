//! Converted files that were not fetched, in a stack that computes no more.

use jiff::Timestamp;
use muck_worker::text::quantity;
use serde::Serialize;

use crate::account::{daily_storage, small};
use crate::batch::money::Dollars;
use crate::cloud::Cloud;
use crate::error::{Error, Kind};
use crate::lifetime::OUTPUTS_STAY;
use crate::resources::bucket_contents::{self, Contents};

/// What is kept, until when, and what that costs.
#[derive(Debug, Serialize)]
pub struct Kept {
    /// Objects and bytes of both buckets; `None` if they can't be listed.
    pub objects: Option<u64>,
    pub bytes: Option<u64>,
    /// After this any `muck` deletes it.
    pub until: Timestamp,
    /// `None`: the prices of the region, or what is stored, are not known.
    pub dollars_a_day: Option<Dollars>,
}

impl Kept {
    /// Counts what is stored. `expires`: the end of the stack.
    pub async fn count(cloud: &Cloud, expires: Timestamp) -> Self {
        let (input, output) = (cloud.names.input_bucket(), cloud.names.output_bucket());
        let counted = tokio::try_join!(
            bucket_contents::count(&cloud.aws, &input),
            bucket_contents::count(&cloud.aws, &output)
        );
        let stored = counted.ok().map(|(input, output): (Contents, Contents)| {
            (input.objects + output.objects, input.bytes + output.bytes)
        });
        Self {
            objects: stored.map(|(objects, _)| objects),
            bytes: stored.map(|(_, bytes)| bytes),
            until: expires + OUTPUTS_STAY,
            dollars_a_day: stored.and_then(|(_, bytes)| daily_storage(cloud, bytes)),
        }
    }

    /// `first` with what is kept, and what can be done about it. `left`: why instances may still run.
    pub fn explain(&self, cloud: &Cloud, first: &Error, left: Option<&Error>) -> Error {
        let stored = match (self.objects, self.bytes) {
            (Some(objects), Some(bytes)) => format!(
                "{}, {}",
                quantity(objects, "object"),
                indicatif::BinaryBytes(bytes)
            ),
            _ => "its objects could not be counted".to_owned(),
        };
        let cost = match self.dollars_a_day {
            Some(dollars) => format!("{} a day", small(dollars)),
            None => "the price of a day is not known".to_owned(),
        };
        let stack = &cloud.names.stack;
        let instances = match left {
            None => "It has no instances".to_owned(),
            Some(left) => format!("Its instances may still run ({})", left.chain()),
        };
        let kind = left.map_or(first.kind(), |_| Kind::LeftBehind);
        let mut error = Error::new(
            kind,
            format!(
                "{}\nConverted files that were not fetched are kept in stack {stack}: {stored}, {cost}. {instances}, and is \
                 deleted after {}.",
                first.chain(),
                self.until.strftime("%Y-%m-%d %H:%M UTC")
            ),
        );
        for hint in first.hints() {
            error = error.hint(hint);
        }
        error
            .hint(format!("go on with it: {}", cloud.command("resume")))
            .hint(format!(
                "only fetch: {}",
                cloud.command("results DIR --no-wait")
            ))
            .hint(format!("delete it: {}", cloud.down_command()))
    }
}
