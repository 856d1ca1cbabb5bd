//! What an instance is told when it is launched: the template that the worker reads.

use jiff::Timestamp;
use muck_worker::dates;
use muck_worker::slots::Slots;
use muck_worker::user_data::UserData;

use crate::cloud::Cloud;
use crate::error::{Error, Result};
use crate::stack::Stack;
use crate::template;

const USER_DATA: &str = include_str!("../../templates/user-data.hbs");

/// What the worker on each instance is told.
pub(super) fn render(
    cloud: &Cloud,
    stack: &Stack,
    service: &str,
    batch: Option<&str>,
    expires: Timestamp,
    slots: Slots,
) -> Result<String> {
    write(&UserData {
        service: service.to_owned(),
        stack: cloud.names.stack.to_string(),
        region: cloud.names.region.clone(),
        account: cloud.names.account.clone(),
        input_queue: stack.input_queue_url.clone(),
        output_queue: stack.output_queue_url.clone(),
        failed_queue: Some(stack.failed_queue_url.clone()),
        input_bucket: stack.input_bucket.clone(),
        output_bucket: stack.output_bucket.clone(),
        // The configuration has none below zero.
        idle_seconds: cloud.config.idle.as_secs().unsigned_abs(),
        expires: dates::whole_seconds(expires),
        slots,
        notify_topic: stack.topic_arn.clone(),
        batch: batch.map(str::to_owned),
    })
}

/// Fills the template.
///
/// # Errors
/// If the worker would read anything else than what was given: a line break in a value, say, that makes a header. It
/// would find that out only after it was paid for.
fn write(data: &UserData) -> Result<String> {
    let values = serde_json::json!({
        "service": data.service,
        "stack": data.stack,
        "region": data.region,
        "account": data.account,
        "input_queue": data.input_queue,
        "output_queue": data.output_queue,
        "failed_queue": data.failed_queue,
        "input_bucket": data.input_bucket,
        "output_bucket": data.output_bucket,
        "idle_seconds": data.idle_seconds,
        "expires": dates::write(data.expires),
        "slots": slots_header(data.slots),
        "notify_topic": data.notify_topic,
        "batch": data.batch,
    });
    let text = template::render("user-data.hbs", USER_DATA, &values)?;
    let cannot = || Error::failed("the user data is not what a worker reads");
    let read = UserData::parse(&text).map_err(|error| cannot().because(error))?;
    if read == *data {
        Ok(text)
    } else {
        Err(cannot().because("a value has a line break, or spaces at an end"))
    }
}

/// `auto` is what a worker does that isn't told.
fn slots_header(slots: Slots) -> Option<String> {
    (slots != Slots::Auto).then(|| slots.to_string())
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn example() -> UserData {
        UserData {
            service: "ConvertVideo".into(),
            stack: "demo".into(),
            region: "eu-west-1".into(),
            account: "123456789012".into(),
            input_queue: "https://sqs.eu-west-1.amazonaws.com/123456789012/muck-demo-input".into(),
            output_queue: "https://sqs.eu-west-1.amazonaws.com/123456789012/muck-demo-output"
                .into(),
            failed_queue: Some(
                "https://sqs.eu-west-1.amazonaws.com/123456789012/muck-demo-failed".into(),
            ),
            input_bucket: "muck-demo-input-123456789012-eu-west-1-an".into(),
            output_bucket: "muck-demo-output-123456789012-eu-west-1-an".into(),
            idle_seconds: 60,
            expires: "2026-01-02T03:04:05Z".parse().expect("time"),
            slots: Slots::Fixed(4),
            notify_topic: Some("arn:aws:sns:eu-west-1:123456789012:muck-demo-notify".into()),
            batch: Some("holiday".into()),
        }
    }

    #[test]
    fn what_is_rendered_is_what_the_worker_reads() {
        for (topic, batch) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut given = example();
            given.notify_topic = given.notify_topic.filter(|_| topic);
            given.batch = given.batch.filter(|_| batch);
            given.slots = if batch { given.slots } else { Slots::Auto };
            let text = write(&given).expect("renders");
            assert_eq!(
                text,
                given.to_message().to_string(),
                "the same text as the worker's own"
            );
        }
    }

    #[test]
    fn a_value_that_makes_a_header_is_refused() {
        let mut given = example();
        given.batch = Some("holiday\nIdle-Seconds: 86400".into());
        assert!(write(&given).is_err());
        given.batch = Some("holiday\nSlots: 1".into());
        given.slots = Slots::Auto;
        let error = write(&given).expect_err("is refused").chain();
        assert_eq!(
            error,
            "the user data is not what a worker reads: a value has a line break, or spaces at an end"
        );
    }
}
