//! Mails at start and stop, where a topic is named: the article's `-e`.

use jiff::Timestamp;

use crate::aws::describe;
use crate::dates;
use crate::instance::Machine;
use crate::user_data::UserData;

/// SNS's longest subject, in characters.
const MOST_SUBJECT_CHARS: usize = 99;

/// Sends mails through an SNS topic.
#[derive(Debug, Clone)]
pub struct Notifier {
    client: aws_sdk_sns::Client,
    topic: String,
}

impl Notifier {
    /// Mails to that topic.
    pub fn new(client: aws_sdk_sns::Client, topic: &str) -> Self {
        Self {
            client,
            topic: topic.to_owned(),
        }
    }

    /// Sends one. A mail that can't be sent is told in the log and stops nothing.
    pub async fn send(&self, subject: &str, body: &str) {
        let sent = self
            .client
            .publish()
            .topic_arn(&self.topic)
            .subject(subject)
            .message(body)
            .send()
            .await;
        if let Err(error) = sent {
            tracing::warn!("can't mail to {}: {}", self.topic, describe(&error));
        }
    }
}

/// The subject of a mail: what happened to which service. SNS takes ASCII only.
pub fn subject(data: &UserData, happened: &str) -> String {
    format!("Service: {} {happened} ({})", data.service, data.stack)
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .take(MOST_SUBJECT_CHARS)
        .collect()
}

/// The text of a mail, in the header lines that all else is written in.
pub fn body(data: &UserData, machine: &Machine, happened: &str, now: Timestamp) -> String {
    let mut message = crate::message::Message::new();
    message.set("Service", &data.service);
    message.set("Event", happened);
    message.set("Stack", &data.stack);
    message.set("Batch", data.batch.as_deref().unwrap_or("-"));
    message.set("Host", &machine.host);
    message.set("Instance-ID", machine.instance_id.as_deref().unwrap_or("-"));
    message.set("Date", &dates::write(now));
    message.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    #[test]
    fn mails_are_plain_and_short() {
        let data = UserData {
            service: "ConvertVideo".to_owned(),
            stack: "dé\u{202e}mo".to_owned(),
            region: String::new(),
            account: String::new(),
            input_queue: String::new(),
            output_queue: String::new(),
            failed_queue: None,
            input_bucket: String::new(),
            output_bucket: String::new(),
            idle_seconds: 1,
            expires: Timestamp::UNIX_EPOCH,
            slots: Slots::Auto,
            notify_topic: None,
            batch: Some("b1".to_owned()),
        };
        assert_eq!(
            subject(&data, "Starting"),
            "Service: ConvertVideo Starting (d??mo)"
        );
        assert_eq!(subject(&data, &"x".repeat(200)).len(), MOST_SUBJECT_CHARS);
        let machine = Machine {
            host: "h1".to_owned(),
            instance_id: None,
        };
        let text = body(&data, &machine, "Starting", Timestamp::UNIX_EPOCH);
        assert!(text.contains("Event: Starting\n"), "{text}");
        assert!(text.ends_with("Host: h1\nInstance-ID: -\nDate: Thu, 01 Jan 1970 00:00:00 GMT\n"));
    }
}
