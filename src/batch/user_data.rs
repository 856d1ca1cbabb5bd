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
    let data = serde_json::json!({
        "service": service,
        "stack": cloud.names.stack,
        "region": cloud.names.region,
        "account": cloud.names.account,
        "input_queue": stack.input_queue_url,
        "output_queue": stack.output_queue_url,
        "failed_queue": stack.failed_queue_url,
        "input_bucket": stack.input_bucket,
        "output_bucket": stack.output_bucket,
        "idle_seconds": cloud.config.idle.as_secs(),
        "expires": dates::write(expires),
        "slots": slots_header(slots),
        "notify_topic": stack.topic_arn,
        "batch": batch,
    });
    let text = template::render("user-data.hbs", USER_DATA, &data)?;
    // The worker would find it out only after it was paid for.
    UserData::parse(&text).map_err(|error| {
        Error::failed("the user data is not what a worker reads").because(error)
    })?;
    Ok(text)
}

/// `auto` is what a worker does that isn't told.
fn slots_header(slots: Slots) -> Option<String> {
    (slots != Slots::Auto).then(|| slots.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_is_what_the_worker_reads() {
        let given = UserData {
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
        };
        for (topic, batch) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut given = given.clone();
            given.notify_topic = given.notify_topic.filter(|_| topic);
            given.batch = given.batch.filter(|_| batch);
            given.slots = if batch { given.slots } else { Slots::Auto };
            let data = serde_json::json!({
                "service": given.service,
                "stack": given.stack,
                "region": given.region,
                "account": given.account,
                "input_queue": given.input_queue,
                "output_queue": given.output_queue,
                "failed_queue": given.failed_queue,
                "input_bucket": given.input_bucket,
                "output_bucket": given.output_bucket,
                "idle_seconds": given.idle_seconds,
                "expires": dates::write(given.expires),
                "slots": slots_header(given.slots),
                "notify_topic": given.notify_topic,
                "batch": given.batch,
            });
            let text = template::render("user-data.hbs", USER_DATA, &data).expect("renders");
            assert_eq!(UserData::parse(&text).expect("parses"), given);
            assert_eq!(
                text,
                given.to_message().to_string(),
                "the same text as the worker's own"
            );
        }
    }
}
