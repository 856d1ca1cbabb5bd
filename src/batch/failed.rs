//! Dead letters: what is in the failed queue, why, and back to the input queue with it.
//!
//! Looking takes nothing: a letter that is looked at is hidden from others for a while and then given
//! back. Sending one again goes in an order that loses nothing wherever it is cut short: the verdict that says
//! "failed" goes first, then the ledger learns of it, then the message is sent, and the letter goes last.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use muck_worker::message::{DeadLetter, Status};
use muck_worker::text::{printable_short, quantity};
use muck_worker::verdict::{self, Verdict};
use serde::Serialize;

use super::collect::{dead_reason, read_dead};
use super::ledger::Ledger;
use crate::cloud::Cloud;
use crate::error::Result;
use crate::resources::message::{self, Queue, Received};
use crate::resources::object::{self, Place};

/// For this long nobody else sees the letters that are looked at: a page of ten takes some 50 ms to read, so
/// five thousand fit in. Of more, the first are seen twice, which does no harm.
const HOLD: Duration = Duration::from_secs(30);
/// Whoever else looks, or looked and was killed, has given the letters back by then.
const PATIENCE: Duration = Duration::from_secs(35);
/// Long polling asks all of SQS's servers; short polling only some, and may miss letters.
const POLL: Duration = Duration::from_secs(1);
/// A verdict has 2 KiB; what is much longer isn't one.
const MOST_VERDICT_BYTES: u64 = 1 << 20;

/// A dead letter, for people and programs. All text in it is foreign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Folder and name.
    pub file: String,
    pub batch: Option<String>,
    pub preset: Option<String>,
    pub input_key: Option<String>,
    pub reason: String,
    /// How often a worker had it, where one says so.
    pub times: Option<u32>,
    /// When it was given up; where nobody says so, when it was first sent.
    pub when: Option<Timestamp>,
    /// It can be sent again: its text was kept whole.
    pub can_be_redriven: bool,
    /// Letters of the same text: a message may be delivered twice.
    pub copies: usize,
}

/// What a redrive did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    pub redriven: Vec<Letter>,
    /// Those whose reason was another one, or that can't be sent again.
    pub left: usize,
}

/// Letters of one text in our hands.
struct Held {
    letter: Letter,
    content: DeadLetter,
    receipts: Vec<String>,
}

/// All dead letters, in the order of file and reason. They stay where they are.
pub async fn list(cloud: &Cloud) -> Result<Vec<Letter>> {
    let queue = message::open(cloud, &cloud.names.failed_queue()).await?;
    let held = take(cloud, &queue).await?;
    give_back(cloud, &queue, &held).await?;
    Ok(held.into_iter().map(|one| one.letter).collect())
}

/// Whether a redrive of letters with that reason (any, if `None`) takes this one.
pub fn is_meant(letter: &Letter, reason: Option<&str>) -> bool {
    letter.can_be_redriven
        && reason.is_none_or(|wanted| {
            let has = letter.reason.to_lowercase();
            has.contains(&wanted.to_lowercase())
        })
}

/// Sends the letters that are meant to the input queue again. Cut short, it can be repeated: a message
/// that is sent twice is worked on once.
///
/// # Errors
/// No stack, no ledger, or AWS refusing; what was sent again by then is.
pub async fn redrive(cloud: &Cloud, reason: Option<&str>) -> Result<Redriven> {
    let ledger = Ledger::open(cloud)?;
    let failed = message::open(cloud, &cloud.names.failed_queue()).await?;
    let input = message::open(cloud, &cloud.names.input_queue()).await?;
    let (meant, mut others): (Vec<Held>, Vec<Held>) = take(cloud, &failed)
        .await?
        .into_iter()
        .partition(|one| is_meant(&one.letter, reason));
    let mut outcome = Redriven {
        left: others.len(),
        ..Redriven::default()
    };
    let mut error = None;
    let mut meant = meant.into_iter().peekable();
    while meant.peek().is_some() {
        let some: Vec<Held> = meant.by_ref().take(message::BATCH).collect();
        match send_again(cloud, &ledger, &input, &failed, some).await {
            Ok((sent, undecided)) => {
                outcome
                    .redriven
                    .extend(sent.into_iter().map(|one| one.letter));
                outcome.left += undecided.len();
                others.extend(undecided);
            }
            Err(failure) => {
                error = Some(failure);
                break;
            }
        }
    }
    let returned = give_back(cloud, &failed, &others).await;
    match error {
        Some(error) => Err(error.hint("run it again: what was sent again already does no harm")),
        None => returned.map(|()| outcome),
    }
}

/// Sends up to ten letters again. Returns those, and those whose verdict can't be read: a worker could not act on it
/// either.
async fn send_again(
    cloud: &Cloud,
    ledger: &Ledger,
    input: &Queue,
    failed: &Queue,
    some: Vec<Held>,
) -> Result<(Vec<Held>, Vec<Held>)> {
    let (mut sent, mut undecided) = (Vec::new(), Vec::new());
    for one in some {
        let readable = match &one.content.job {
            Some(job) => forget_failure(cloud, job).await?,
            None => true,
        };
        if readable {
            sent.push(one);
        } else {
            undecided.push(one);
        }
    }
    for one in &sent {
        let Ok((batch, job, _, written)) = read_dead(&one.content) else {
            // It belongs to no job that the ledger could know.
            continue;
        };
        if let Some(batch) = ledger.batch(&batch)? {
            let told = written.unwrap_or_else(Timestamp::now);
            ledger.record_redriven(&batch, &job, told)?;
        }
    }
    let bodies: Vec<String> = sent
        .iter()
        .filter_map(|one| one.content.original.clone())
        .collect();
    message::send(cloud, input, &bodies, &mut 0).await?;
    let receipts: Vec<String> = sent.iter().flat_map(|o| o.receipts.clone()).collect();
    for receipts in receipts.chunks(message::BATCH) {
        message::delete(cloud, failed, receipts).await?;
    }
    Ok((sent, undecided))
}

/// Deletes the job's verdict if it says "failed": a worker that found it would only repeat it. False if the
/// object is no verdict of that job, which is told: who put it there, and what it was to say, can't be known here.
async fn forget_failure(cloud: &Cloud, job: &str) -> Result<bool> {
    let (bucket, key) = (cloud.names.output_bucket(), verdict::key(job));
    let place = Place {
        bucket: &bucket,
        key: &key,
    };
    let Some(text) = object::read(cloud, place, MOST_VERDICT_BYTES).await? else {
        return Ok(true);
    };
    let why = match Verdict::parse(&String::from_utf8_lossy(&text)) {
        Ok(verdict) if verdict.job == job => {
            if verdict.status == Status::Failed {
                object::delete(cloud, place).await?;
            }
            return Ok(true);
        }
        Ok(_) => "it is another job's".to_owned(),
        Err(error) => error.to_string(),
    };
    cloud.events.warn(format!(
        "s3://{bucket}/{key} is no verdict: {why}. Its dead letter is left; delete the object and try again"
    ));
    Ok(false)
}

/// Takes all letters in hand, those of one text together.
async fn take(cloud: &Cloud, queue: &Queue) -> Result<Vec<Held>> {
    let mut all: HashMap<String, Held> = HashMap::new();
    let mut count = 0_u64;
    let began = Instant::now();
    loop {
        let messages = message::receive(cloud, queue, POLL, Some(HOLD)).await?;
        if messages.is_empty() {
            let depth = message::depth(cloud, queue).await?;
            let all_seen = depth.visible == 0 && depth.in_flight <= count;
            // Somebody else looks at some of them.
            if all_seen {
                break;
            }
            if began.elapsed() > PATIENCE {
                cloud.events.warn(format!(
                    "another process holds {}: look again in a minute",
                    quantity(
                        (depth.visible + depth.in_flight).saturating_sub(count),
                        "more dead letter"
                    )
                ));
                break;
            }
            continue;
        }
        for one in messages {
            count += 1;
            keep(&mut all, one);
        }
    }
    let mut all: Vec<(String, Held)> = all.into_iter().collect();
    all.sort_by(|(text_a, a), (text_b, b)| {
        let key = |one: &Held| (one.letter.file.clone(), one.letter.reason.clone());
        key(a).cmp(&key(b)).then_with(|| text_a.cmp(text_b))
    });
    Ok(all.into_iter().map(|(_, held)| held).collect())
}

fn keep(all: &mut HashMap<String, Held>, received: Received) {
    let content = DeadLetter::read(&received.body);
    let text = content
        .original
        .clone()
        .unwrap_or_else(|| received.body.clone());
    let held = all.entry(text).or_insert_with(|| Held {
        letter: letter(&content, received.sent),
        content: content.clone(),
        receipts: Vec::new(),
    });
    held.receipts.push(received.receipt);
    held.letter.copies = held.receipts.len();
    // Of several tellings, the one with a reason, and the newest.
    if content.written > held.content.written {
        let copies = held.letter.copies;
        held.letter = Letter {
            copies,
            ..letter(&content, received.sent)
        };
        held.content = content;
    }
}

fn letter(content: &DeadLetter, sent: Option<Timestamp>) -> Letter {
    let input = &content.input;
    Letter {
        file: content.file(),
        batch: input.batch.clone(),
        preset: input.preset.clone(),
        input_key: Some(input.input_key.clone()).filter(|key| !key.is_empty()),
        reason: dead_reason(content),
        times: content.receives,
        when: content.written.or(sent),
        can_be_redriven: content.original.is_some(),
        copies: 0,
    }
}

async fn give_back(cloud: &Cloud, queue: &Queue, held: &[Held]) -> Result<()> {
    let receipts: Vec<String> = held.iter().flat_map(|one| one.receipts.clone()).collect();
    for receipts in receipts.chunks(message::BATCH) {
        message::release(cloud, queue, receipts).await?;
    }
    Ok(())
}

/// The letters as lines of a table, for a terminal.
pub fn text(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "There are no dead letters".to_owned();
    }
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Disabled)
        .set_header(["FILE", "BATCH", "TRIES", "WHEN", "REASON"]);
    for one in letters {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.add_row([
            printable_short(&one.file, 60),
            printable_short(one.batch.as_deref().unwrap_or("-"), 40),
            or_dash(one.times.map(|times| times.to_string())),
            or_dash(one.when.map(|when| when.strftime("%F %TZ").to_string())),
            printable_short(&one.reason, 200),
        ]);
    }
    table.trim_fmt()
}

impl Redriven {
    /// One line, for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{} sent to the input queue again", self.redriven.len());
        if self.left > 0 {
            let _ = write!(text, ", {} left", self.left);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(body: &str, receipt: &str) -> Received {
        Received {
            id: receipt.to_owned(),
            receipt: receipt.to_owned(),
            body: body.to_owned(),
            receives: 1,
            sent: Timestamp::from_second(1_767_323_045).ok(),
        }
    }

    fn held(bodies: &[&str]) -> Vec<Letter> {
        let mut all = HashMap::new();
        for (number, body) in bodies.iter().enumerate() {
            keep(&mut all, received(body, &number.to_string()));
        }
        let mut letters: Vec<Letter> = all.into_values().map(|one| one.letter).collect();
        letters.sort_by(|a, b| a.file.cmp(&b.file));
        letters
    }

    const INPUT: &str =
        "Bucket: bbb\nInputKey: k\nOriginalFileName: a\x1b.avi\nSize: 1\nBatch: b\n";

    #[test]
    fn letters_read_well_and_hold_nothing_raw() {
        let told = "Status: failed\nError: moov atom\x1b[31m not found\u{202e}\nServer: s\nHost: h\n\
            Service-Read: Wed, 21 Feb 2007 01:28:14 GMT\n\
            Service-Write: Wed, 21 Feb 2007 01:28:27 GMT\nReceive-Count: 2\n";
        let failed = format!("{INPUT}{told}").replace("a\x1b.avi", "b.avi");
        // The second telling of the same message has the reason.
        let letters = held(&[INPUT, &failed, &failed, "{\"Records\": []}"]);
        insta::assert_snapshot!(text(&letters), @r#"
         FILE                  BATCH  TRIES  WHEN                  REASON
         (unreadable message)  -      -      2026-01-02 03:04:05Z  3 workers died or lost it before one could answer
         a .avi                b      -      2026-01-02 03:04:05Z  3 workers died or lost it before one could answer
         b.avi                 b      2      2007-02-21 01:28:27Z  moov atom [31m not found\u{202e}
        "#);
        assert_eq!(letters[2].copies, 2);
        assert!(is_meant(&letters[2], Some("MOOV")));
        assert!(!is_meant(&letters[1], Some("moov")));
        assert!(is_meant(&letters[1], None));
        assert_eq!(text(&[]), "There are no dead letters");
    }
}
