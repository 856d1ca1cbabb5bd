//! One stack as `muck ls` shows it.

use std::collections::BTreeMap;

use indicatif::BinaryBytes;
use jiff::Timestamp;
use muck_worker::text::{printable_short, quantity};
use serde::Serialize;

use super::cost::Hourly;
use super::{between, roughly};
use crate::lifetime::OnExpiry;
use crate::names::{ResourceKind, StackName};
use crate::resources::instance::InstanceState;

/// How much of a stack is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// All its parts.
    Up,
    /// Some of its parts.
    Partly,
    /// None of its parts, but things that carry its tag.
    Remains,
    /// Its image alone, kept for another time.
    Image,
}

/// Instances of one kind, type and state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    pub kind: String,
    pub instance_type: String,
    pub state: InstanceState,
    pub count: usize,
}

/// Messages, approximately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Messages {
    pub waiting: u64,
    pub in_work: u64,
    pub results: u64,
    pub dead: u64,
}

/// What both buckets hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stored {
    pub objects: u64,
    pub bytes: u64,
    /// Only the first thousand of a bucket are counted.
    pub at_least: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub stack: StackName,
    pub state: State,
    /// When the oldest part was made, as far as AWS tells.
    pub created: Option<Timestamp>,
    /// When it may be deleted; of a run's stack that holds converted files, this is later than its tags say. `None`: never.
    pub expires: Option<Timestamp>,
    pub expired: bool,
    /// What may then happen to it unasked.
    pub on_expiry: OnExpiry,
    pub instances: Vec<Group>,
    pub messages: Option<Messages>,
    pub stored: Option<Stored>,
    pub volumes: usize,
    pub images: usize,
    pub snapshots: usize,
    /// Parts that a whole stack has and this one has not.
    pub missing: Vec<ResourceKind>,
    /// `None`: the region's prices are not known.
    pub an_hour: Option<Hourly>,
    /// What could not be seen.
    pub unknown: Vec<String>,
}

/// The columns of [`Row::cells`].
pub const HEADINGS: [&str; 8] = [
    "STACK", "STATE", "AGE", "ENDS", "RUNS", "MESSAGES", "STORED", "AN HOUR",
];

impl Row {
    pub fn cells(&self, now: Timestamp) -> [String; 8] {
        let dash = || "-".to_owned();
        let ends = match self.expires {
            None => "never".to_owned(),
            Some(end) if end < now => format!("{} ago", roughly(between(end, now))),
            Some(end) => format!("in {}", roughly(between(now, end))),
        };
        [
            self.stack.to_string(),
            self.state_text(),
            self.created
                .map_or_else(dash, |created| roughly(between(created, now))),
            ends,
            self.runs(),
            self.messages.map_or_else(dash, Messages::text),
            self.stored_text(),
            self.an_hour.map_or_else(|| "?".to_owned(), Hourly::text),
        ]
    }

    fn state_text(&self) -> String {
        let state = match self.state {
            State::Up => "up",
            State::Partly => "partly up",
            State::Remains => "remains",
            State::Image => "image only",
        };
        if self.expired {
            format!("{state}, expired")
        } else {
            state.to_owned()
        }
    }

    fn runs(&self) -> String {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for group in &self.instances {
            // Tags and types are what anybody may have written there.
            let mut what = printable_short(&group.instance_type, 20);
            if group.kind != ResourceKind::Worker.as_str() {
                what = format!("{} {what}", printable_short(&group.kind, 10));
            }
            if group.state != InstanceState::Running {
                what = format!("{what} ({})", group.state);
            }
            *groups.entry(what).or_default() += group.count;
        }
        let mut all: Vec<String> = groups
            .into_iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        if all.is_empty() && self.volumes > 0 {
            all.push(quantity(self.volumes, "volume"));
        }
        if all.is_empty() {
            return "-".to_owned();
        }
        all.join(", ")
    }

    fn stored_text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(stored) = self.stored
            && stored.objects > 0
        {
            let more = if stored.at_least { "≥ " } else { "" };
            parts.push(format!(
                "{more}{}, {}",
                quantity(stored.objects, "object"),
                BinaryBytes(stored.bytes)
            ));
        }
        for (count, noun) in [(self.images, "image"), (self.snapshots, "snapshot")] {
            if count > 0 {
                parts.push(quantity(count, noun));
            }
        }
        if parts.is_empty() {
            return "-".to_owned();
        }
        parts.join(", ")
    }
}

impl Messages {
    fn text(self) -> String {
        let parts = [
            (self.waiting, format!("{} waiting", self.waiting)),
            (self.in_work, format!("{} in work", self.in_work)),
            (self.results, quantity(self.results, "result")),
            (self.dead, format!("{} dead", self.dead)),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(_, text)| text)
            .collect();
        if parts.is_empty() {
            return "-".to_owned();
        }
        parts.join(", ")
    }
}
