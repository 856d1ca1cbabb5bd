//! `muck down`: deletes the stack, and tells what is left.

mod all_expired;

use indicatif::BinaryBytes;
use muck_worker::text::quantity;
use serde_json::json;

use crate::batch;
use crate::cloud::Cloud;
use crate::error::{Error, Kind, Result};
use crate::session::Session;
use crate::stack::survey::{Depths, Survey, Thing, keeps};
use crate::stack::{Confirmed, DownOptions, TeardownReport, teardown};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep both buckets with all that is in them
    #[arg(long)]
    keep_data: bool,
    /// Keep the AMI for the next time (its snapshot's storage costs money)
    #[arg(long)]
    keep_image: bool,
    /// All stacks of the account in this region that have expired, instead of one
    #[arg(long)]
    all_expired: bool,
    /// With --all-expired: in all regions that are enabled for the account
    #[arg(long, requires = "all_expired", conflicts_with = "region")]
    all_regions: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let cloud = session.cloud().await?;
    let options = DownOptions {
        keep_data: args.keep_data,
        keep_image: args.keep_image,
        ..DownOptions::default()
    };
    if args.all_expired {
        let regions = if args.all_regions {
            session.all_regions(&cloud).await?
        } else {
            vec![cloud]
        };
        return all_expired::run(&regions, options, args.yes, session).await;
    }
    let survey = Survey::take(&cloud, Depths::Counted).await;
    let doomed = doomed_text(&cloud, &survey, options);
    let confirmed = if doomed.is_empty() {
        Confirmed::by_flag()
    } else if args.yes {
        session
            .events
            .note(format!("This is deleted for good:\n{doomed}"));
        Confirmed::by_flag()
    } else {
        let question = format!("This is deleted for good:\n{doomed}\nDelete it?");
        Confirmed::by_answer(session.ui.confirm(&question).await)?
    };
    delete_and_tell(&cloud, &survey, options, confirmed, session).await
}

/// What is to be deleted, a line a thing.
fn doomed_text(cloud: &Cloud, survey: &Survey, options: DownOptions) -> String {
    survey
        .things(cloud)
        .iter()
        .filter(|thing| !keeps(options, thing.kind))
        .map(|thing| format!("  {}", line(thing)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Deletes what the survey found, and tells what was deleted and what is left.
///
/// # Errors
/// Kind `LeftBehind`, listing what is left.
pub(super) async fn delete_and_tell(
    cloud: &Cloud,
    survey: &Survey,
    options: DownOptions,
    confirmed: Confirmed,
    session: &Session,
) -> Result<()> {
    let report = delete(cloud, survey, options, confirmed).await?;
    if session.ui.json {
        let stack = &cloud.names.stack;
        session
            .ui
            .json(&json!({ "stack": stack, "report": report }))?;
    }
    verdict(cloud, &report, session)
}

/// Deletes what the survey found, and closes the ledger's books on it.
pub(super) async fn delete(
    cloud: &Cloud,
    survey: &Survey,
    options: DownOptions,
    confirmed: Confirmed,
) -> Result<TeardownReport> {
    if let Err(error) = batch::observe_ends(cloud).await {
        cloud.events.warn(format!(
            "instances that powered themselves off are billed until last seen running: {}",
            error.chain()
        ));
    }
    let delete = Box::pin(teardown::delete(cloud, survey, options, confirmed));
    let (report, observed) = if survey.instances.is_empty() {
        // None is going to end meanwhile: what is remembered of earlier ones is the same beside it.
        tokio::join!(delete, batch::observe_instances(cloud))
    } else {
        let report = delete.await;
        (report, batch::observe_instances(cloud).await)
    };
    let report = report?;
    // The bill is better with these, the teardown is as good without.
    if let Err(error) = observed.and_then(|_| close_books(cloud, &report)) {
        cloud.events.warn(format!(
            "the ledger was not brought up to date: {}",
            error.chain()
        ));
    }
    Ok(report)
}

/// Records that nothing is stored any more.
fn close_books(cloud: &Cloud, report: &TeardownReport) -> Result<()> {
    let data_is_gone = report.is_clean() && report.kept.is_empty();
    if data_is_gone {
        batch::ledger::Ledger::open(cloud)?.stack_removed(jiff::Timestamp::now())?;
    }
    Ok(())
}

/// Says what is left.
///
/// # Errors
/// If anything is, or may be.
pub(super) fn verdict(cloud: &Cloud, report: &TeardownReport, session: &Session) -> Result<()> {
    if report.is_clean() {
        for error in &report.errors {
            session.events.warn(error);
        }
        session.events.note(clean_text(cloud, report));
        return Ok(());
    }
    let left = report
        .left
        .iter()
        .map(|thing| format!("\n  {}", line(thing)));
    let unknown = report
        .unknown
        .iter()
        .map(|what| format!("\n  unknown: {what}"));
    let why = report
        .errors
        .iter()
        .map(|error| format!("\n  why: {error}"));
    let list: String = left.chain(unknown).chain(why).collect();
    let what = match report.left.len() {
        0 => "it is not certain that nothing is left".to_owned(),
        1 => "1 resource is left".to_owned(),
        count => format!("{count} resources are left"),
    };
    Err(Error::new(
        Kind::LeftBehind,
        format!(
            "{what} of stack {} in {}:{list}",
            cloud.names.stack, cloud.names.region
        ),
    )
    .hint("run `muck down` again; it begins where it stopped"))
}

fn clean_text(cloud: &Cloud, report: &TeardownReport) -> String {
    let stack = &cloud.names.stack;
    if report.deleted.is_empty() && report.kept.is_empty() {
        return format!("Stack {stack}: there was nothing to delete, and nothing is left.");
    }
    let mut text = format!("Listed again: nothing is left of stack {stack}");
    if report.kept.is_empty() {
        text.push('.');
        return text;
    }
    text.push_str(" but what was to be kept:");
    for thing in &report.kept {
        text.push_str("\n  ");
        text.push_str(&line(thing));
    }
    text + "\nTo remove that too: " + &cloud.down_command()
}

/// `input bucket      muck-…  12 objects, 3.4 MiB`
pub(super) fn line(thing: &Thing) -> String {
    let mut details: Vec<String> = thing.state.clone().into_iter().collect();
    if let Some(contents) = thing.contents {
        details.push(quantity(contents.objects, "object"));
        details.push(BinaryBytes(contents.bytes).to_string());
        if contents.delete_markers > 0 {
            details.push(quantity(contents.delete_markers, "delete marker"));
        }
        if contents.unfinished_uploads > 0 {
            details.push(quantity(contents.unfinished_uploads, "unfinished upload"));
        }
    }
    if let Some(messages) = thing.messages {
        details.push(quantity(messages, "message"));
    }
    let details = if details.is_empty() {
        String::new()
    } else {
        format!("  {}", details.join(", "))
    };
    format!("{:<17} {}{details}", thing.kind, thing.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::ResourceKind;
    use crate::resources::bucket_contents::Contents;

    #[test]
    fn counts_and_bytes_are_shown() {
        let thing = Thing {
            kind: ResourceKind::InputBucket,
            name: "b".into(),
            state: None,
            contents: Some(Contents {
                objects: 12,
                bytes: 3_565_158,
                delete_markers: 0,
                unfinished_uploads: 1,
            }),
            messages: None,
        };
        assert_eq!(
            line(&thing),
            "input bucket      b  12 objects, 3.40 MiB, 1 unfinished upload"
        );
    }
}
