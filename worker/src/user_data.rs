//! User data: what an instance is told when it is launched.
//!
//! It has the header-line form of messages and holds no secret: credentials come from the
//! instance's role. Rendered by the deployer, read by the worker.

use jiff::Timestamp;

use crate::dates;
use crate::message::{Message, MessageError, check_bucket, invalid};
use crate::slots::Slots;

/// The service that runs when user data names none.
pub const DEFAULT_SERVICE: &str = "ConvertVideo";

/// Everything a worker needs to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// `Service`: the name of the service to run; `ConvertVideo` if absent.
    pub service: String,
    /// `Stack`: the stack that this instance belongs to.
    pub stack: String,
    /// `Region`: the region of queues and buckets, used where the environment names none.
    pub region: String,
    /// `Account`: 12 digits; every bucket must belong to it.
    pub account: String,
    /// `Input-Queue`: URL of the queue that work is read from.
    pub input_queue: String,
    /// `Output-Queue`: URL of the queue that status messages go to.
    pub output_queue: String,
    /// `Failed-Queue`: URL of the queue that dead letters go to; absent: the worker writes none.
    pub failed_queue: Option<String>,
    /// `Input-Bucket`: the only bucket that inputs are read from.
    pub input_bucket: String,
    /// `Output-Bucket`: the only bucket that outputs and verdicts go to.
    pub output_bucket: String,
    /// `Idle-Seconds`: how long the input queue must be empty before the worker ends.
    pub idle_seconds: u64,
    /// `Expires`: no work is taken after this time.
    pub expires: Timestamp,
    /// `Slots`: how many files are worked on beside each other, `auto` or a number; `auto` if absent.
    pub slots: Slots,
    /// `Notify-Topic`: ARN of an SNS topic that is told of start and stop.
    pub notify_topic: Option<String>,
    /// `Batch`: the batch that the instance was launched for; told in its log and mails only.
    pub batch: Option<String>,
}

impl UserData {
    /// Reads user data.
    ///
    /// # Errors
    /// [`MessageError`]: the text is not in header lines, a required header is missing, or a
    /// value is not of its form.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        Self::from_message(&Message::parse(text)?)
    }

    /// Reads the headers of user data; unknown ones are ignored.
    ///
    /// # Errors
    /// As [`UserData::parse`].
    pub fn from_message(message: &Message) -> Result<Self, MessageError> {
        let text = |name| message.required(name).map(str::to_owned);
        let queue = |name, value: &str| {
            let rest = value
                .strip_prefix("https://")
                .or_else(|| value.strip_prefix("http://"));
            match rest {
                Some(rest) if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic()) => {
                    Ok(value.to_owned())
                }
                _ => Err(invalid(name, value, "not the URL of a queue")),
            }
        };
        let bucket = |name| -> Result<String, MessageError> {
            let value = message.required(name)?;
            check_bucket(name, value)?;
            Ok(value.to_owned())
        };
        let url = |name| queue(name, message.required(name)?);
        let account = text("Account")?;
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid(
                "Account",
                &account,
                "not an account number of 12 digits",
            ));
        }
        let idle = message.required("Idle-Seconds")?;
        let expires = message.required("Expires")?;
        Ok(Self {
            service: message
                .once("Service")?
                .unwrap_or(DEFAULT_SERVICE)
                .to_owned(),
            stack: text("Stack")?,
            region: text("Region")?,
            account,
            input_queue: url("Input-Queue")?,
            output_queue: url("Output-Queue")?,
            failed_queue: message
                .once("Failed-Queue")?
                .map(|value| queue("Failed-Queue", value))
                .transpose()?,
            input_bucket: bucket("Input-Bucket")?,
            output_bucket: bucket("Output-Bucket")?,
            idle_seconds: idle
                .parse()
                .map_err(|_| invalid("Idle-Seconds", idle, "not a whole number of seconds"))?,
            expires: dates::parse(expires)
                .ok_or_else(|| invalid("Expires", expires, "not a date of RFC 1123 in GMT"))?,
            slots: match message.once("Slots")? {
                None => Slots::Auto,
                Some(text) => text
                    .parse()
                    .map_err(|_| invalid("Slots", text, "neither `auto` nor a number"))?,
            },
            notify_topic: message.once("Notify-Topic")?.map(str::to_owned),
            batch: message.once("Batch")?.map(str::to_owned),
        })
    }

    /// Writes the headers in the order of the fields; absent options are left out.
    pub fn to_message(&self) -> Message {
        let mut message = Message::new();
        message.set("Service", &self.service);
        message.set("Stack", &self.stack);
        message.set("Region", &self.region);
        message.set("Account", &self.account);
        message.set("Input-Queue", &self.input_queue);
        message.set("Output-Queue", &self.output_queue);
        if let Some(queue) = &self.failed_queue {
            message.set("Failed-Queue", queue);
        }
        message.set("Input-Bucket", &self.input_bucket);
        message.set("Output-Bucket", &self.output_bucket);
        message.set("Idle-Seconds", &self.idle_seconds.to_string());
        message.set("Expires", &dates::write(self.expires));
        if self.slots != Slots::Auto {
            message.set("Slots", &self.slots.to_string());
        }
        if let Some(topic) = &self.notify_topic {
            message.set("Notify-Topic", topic);
        }
        if let Some(batch) = &self.batch {
            message.set("Batch", batch);
        }
        message
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const EXAMPLE: &str = "Service: ConvertVideo
Stack: demo
Region: eu-west-1
Account: 123456789012
Input-Queue: https://sqs.eu-west-1.amazonaws.com/123456789012/muck-demo-input
Output-Queue: https://sqs.eu-west-1.amazonaws.com/123456789012/muck-demo-output
Input-Bucket: muck-demo-input-123456789012-eu-west-1-an
Output-Bucket: muck-demo-output-123456789012-eu-west-1-an
Idle-Seconds: 60
Expires: Wed, 21 Feb 2007 01:28:14 GMT
";

    #[test]
    fn an_example_is_read_and_written() {
        let data = UserData::parse(EXAMPLE).expect("user data");
        assert_eq!(data.idle_seconds, 60);
        assert_eq!(data.notify_topic, None);
        assert_eq!(data.to_message().to_string(), EXAMPLE);
    }

    #[test]
    fn the_service_has_a_default_and_unknown_headers_are_ignored() {
        let text = EXAMPLE.replace("Service: ConvertVideo\n", "Colour: red\n");
        assert_eq!(
            UserData::parse(&text).expect("user data").service,
            "ConvertVideo"
        );
    }

    #[test]
    fn every_required_header_is_named_when_missing() {
        for line in EXAMPLE.lines().skip(1) {
            let name = line.split(':').next().unwrap();
            let text = EXAMPLE.replace(&format!("{line}\n"), "");
            let error = UserData::parse(&text)
                .expect_err("is incomplete")
                .to_string();
            assert_eq!(error, format!("the header `{name}` is missing"));
        }
    }

    #[test]
    fn values_are_checked() {
        for (from, to) in [
            ("Idle-Seconds: 60", "Idle-Seconds: soon"),
            ("Account: 123456789012", "Account: 12"),
            ("Expires: Wed, 21 Feb 2007 01:28:14 GMT", "Expires: never"),
            ("Output-Queue: https:", "Output-Queue: file:"),
            ("Idle-Seconds:", "Failed-Queue: nowhere\nIdle-Seconds:"),
            ("Idle-Seconds:", "Slots: 0\nIdle-Seconds:"),
            ("Input-Queue: https:", "Input-Queue: http://\nX: "),
            ("Input-Queue: https:", "Input-Queue: http://a b\nX: "),
            ("Input-Bucket: ", "Input-Bucket: ../"),
            ("Output-Bucket: ", "Output-Bucket: s3://"),
        ] {
            assert!(UserData::parse(&EXAMPLE.replace(from, to)).is_err(), "{to}");
        }
    }
}
