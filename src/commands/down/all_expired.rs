//! `muck down --all-expired`: every stack whose time is over, whoever made it, on whichever machine.

use jiff::Timestamp;

use super::{delete_and_tell, doomed_text};
use crate::account::{Listing, between, expired_stacks, roughly};
use crate::cloud::Cloud;
use crate::error::{Error, Kind, Result};
use crate::session::Session;
use crate::stack::survey::{Depths, Survey};
use crate::stack::{Confirmed, DownOptions};

pub(super) async fn run(
    regions: &[Cloud],
    options: DownOptions,
    yes: bool,
    session: &Session,
) -> Result<()> {
    // What is swept need not be asked for.
    session.sweep_done().await;
    let now = Timestamp::now();
    let mut expired = Vec::new();
    for cloud in regions {
        expired.extend(find(cloud, now).await?);
    }
    if expired.is_empty() {
        let place = match regions {
            [one] => one.names.region.clone(),
            all => format!("{} regions", all.len()),
        };
        session
            .events
            .note(format!("no stack in {place} has expired"));
        return Ok(());
    }
    let lists: Vec<String> = expired
        .iter()
        .map(|(place, survey, end)| {
            let ago = roughly(between(*end, now));
            let list = doomed_text(place, survey, options);
            let names = &place.names;
            format!(
                "stack {} in {}, expired {ago} ago:\n{list}",
                names.stack, names.region
            )
        })
        .collect();
    let question = format!(
        "This is deleted for good:\n{}\nDelete it?",
        lists.join("\n")
    );
    if yes {
        session
            .events
            .note(format!("This is deleted for good:\n{}", lists.join("\n")));
    } else {
        // One answer for all of them; each teardown needs its own proof of it.
        session.ui.confirm(&question).await?;
    }
    let mut left = Vec::new();
    for (place, survey, _) in &expired {
        let confirmed = Confirmed::by_flag();
        let gone = delete_and_tell(place, survey, options, confirmed, session).await;
        left.extend(gone.err());
    }
    let Some(last) = left.pop() else {
        return Ok(());
    };
    if left.is_empty() {
        return Err(last);
    }
    let all: Vec<String> = left.iter().chain([&last]).map(Error::chain).collect();
    Err(Error::new(Kind::LeftBehind, all.join("\n"))
        .hint("run `muck down --all-expired` again; it begins where it stopped"))
}

/// The expired stacks of one region, with what they hold and when they ended.
async fn find(cloud: &Cloud, now: Timestamp) -> Result<Vec<(Cloud, Survey, Timestamp)>> {
    let listing = Listing::take(&cloud.aws).await;
    if !listing.errors.is_empty() {
        let all: Vec<String> = listing.errors.iter().map(Error::chain).collect();
        return Err(Error::failed(format!(
            "cannot see which stacks there are in {}:\n{}",
            cloud.names.region,
            all.join("\n")
        )));
    }
    let mut expired = Vec::new();
    for (stack, end) in expired_stacks(cloud, &listing, now).await? {
        let place = cloud.of_stack(&stack);
        let survey = Survey::take(&place, Depths::Counted).await;
        expired.push((place, survey, end));
    }
    Ok(expired)
}
