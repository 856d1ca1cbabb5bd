//! Actions on subscriptions, and publishing.

use super::Sns;
use super::mail::Mail;
use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::sns::{self as state, Subscription, invalid};

/// A message has at most 256 KiB (SNS quota).
const LARGEST_MESSAGE: usize = 262_144;

/// A subject has fewer characters than this (SNS API reference).
const SUBJECT_BOUND: usize = 100;

fn write_subscription(xml: &mut XmlBody, subscription: &Subscription) {
    xml.text("SubscriptionArn", subscription.arn())
        .text("Owner", ACCOUNT)
        .text("Protocol", &subscription.protocol)
        .text("Endpoint", &subscription.endpoint)
        .text("TopicArn", state::arn_of(&subscription.topic));
}

/// The text for e-mail in a message with `MessageStructure=json`.
fn text_for_email(message: &str) -> ApiResult<String> {
    let texts: serde_json::Value = serde_json::from_str(message)
        .map_err(|_| invalid("Message Structure", "JSON message body failed to parse"))?;
    texts
        .get("email")
        .or(texts.get("default"))
        .and_then(|text| text.as_str())
        .map(str::to_owned)
        .ok_or_else(|| invalid("Message Structure", "No default entry in JSON message body"))
}

fn check_subject(subject: &str) -> ApiResult<()> {
    let good = !subject.is_empty()
        && subject.chars().count() < SUBJECT_BOUND
        && subject.chars().all(|c| c == ' ' || c.is_ascii_graphic())
        && !subject.starts_with(' ');
    if good {
        Ok(())
    } else {
        Err(invalid(
            "Subject",
            "it must be ASCII text of less than 100 characters, without line breaks, that does not begin with a space",
        ))
    }
}

impl Sns {
    pub(super) fn subscribe(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let arn = params.required("TopicArn")?;
        let protocol = params.required("Protocol")?;
        let endpoint = params.required("Endpoint")?;
        // Always told here: the subscription is confirmed at once.
        let _return_arn = params.boolean("ReturnSubscriptionArn")?;
        params.finish()?;
        if protocol != "email" {
            return Err(invalid(
                "Protocol",
                &format!("the local cloud only has email, not {protocol}"),
            ));
        }
        let plain = endpoint
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
            && endpoint
                .chars()
                .all(|c| !c.is_control() && !c.is_whitespace() && !"<>,;\"".contains(c));
        if !plain {
            return Err(invalid("Email address", &endpoint));
        }
        self.allow(caller, "Subscribe", &arn)?;
        let subscription = self
            .store
            .transaction(|db| state::subscribe(db, &arn, &protocol, &endpoint, self.clock.now()))?;
        tracing::info!(
            topic = subscription.topic,
            "a subscription counts as confirmed at once in the local cloud"
        );
        let mut xml = XmlBody::new();
        xml.text("SubscriptionArn", subscription.arn());
        Ok(xml)
    }

    pub(super) fn unsubscribe(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let arn = params.required("SubscriptionArn")?;
        params.finish()?;
        self.allow(caller, "Unsubscribe", &arn)?;
        self.store.transaction(|db| state::unsubscribe(db, &arn))?;
        Ok(XmlBody::new())
    }

    pub(super) fn list_subscriptions(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> ApiResult<XmlBody> {
        let arn = params.required("TopicArn")?;
        // All are on the first page, so no token was ever given out.
        if let Some(token) = params.optional("NextToken") {
            return Err(invalid("NextToken", &token));
        }
        params.finish()?;
        self.allow(caller, "ListSubscriptionsByTopic", &arn)?;
        let subscriptions = self
            .store
            .transaction(|db| state::subscriptions(db, &arn))?;
        let mut xml = XmlBody::new();
        xml.list(
            "Subscriptions",
            "member",
            &subscriptions,
            write_subscription,
        );
        Ok(xml)
    }

    pub(super) fn publish(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let arn = params.required("TopicArn")?;
        let message = params.required("Message")?;
        let subject = params.optional("Subject");
        let structure = params.optional("MessageStructure");
        params.finish()?;
        self.allow(caller, "Publish", &arn)?;
        if message.is_empty() {
            return Err(invalid("Message", "Empty message"));
        }
        if message.len() > LARGEST_MESSAGE {
            return Err(invalid("Message", "Message too long"));
        }
        if let Some(subject) = &subject {
            check_subject(subject)?;
        }
        let text = match structure.as_deref() {
            None => message,
            Some("json") => text_for_email(&message)?,
            Some(other) => return Err(invalid("MessageStructure", other)),
        };
        let (topic, subscriptions) = self.store.transaction(|db| {
            Ok((
                state::find_topic(db, &arn)?,
                state::subscriptions(db, &arn)?,
            ))
        })?;
        let message_id = uuid::Uuid::new_v4().to_string();
        for subscription in subscriptions {
            Mail {
                from: topic
                    .attributes
                    .get("DisplayName")
                    .filter(|name| !name.is_empty())
                    .map_or("AWS Notifications", String::as_str),
                to: &subscription.endpoint,
                subject: subject.as_deref().unwrap_or("AWS Notification Message"),
                text: &text,
                message_id: &message_id,
                date: self.clock.now(),
            }
            .write(&self.mail)
            .map_err(|error| ApiError::internal(format!("{}: {error}", self.mail.display())))?;
        }
        let mut xml = XmlBody::new();
        xml.text("MessageId", message_id);
        Ok(xml)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::state::Store;

    #[tokio::test]
    async fn a_publish_becomes_a_mail_for_each_subscriber() {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
        let sns = Sns::new(
            Store::in_memory().unwrap(),
            Arc::new(clock),
            dir.path().join("mail"),
        );
        let arn = "arn:aws:sns:us-local-1:000000000000:news";
        let act = async |action: &str, pairs: &[(&str, &str)]| {
            let mut params = Params::from_pairs(pairs.iter().copied());
            sns.handle(&Caller::root(), action, &mut params).await
        };
        act("CreateTopic", &[("Name", "news")]).await.unwrap();
        for address in ["a@example.com", "b@example.com", "a@example.com"] {
            let pairs = [
                ("TopicArn", arn),
                ("Protocol", "email"),
                ("Endpoint", address),
            ];
            act("Subscribe", &pairs).await.unwrap();
        }
        let pairs = [
            ("TopicArn", arn),
            ("Subject", "Service: started"),
            ("Message", "line one\nline two: \u{e9}"),
        ];
        act("Publish", &pairs).await.unwrap();
        let mut mails: Vec<String> = std::fs::read_dir(dir.path().join("mail"))
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        mails.sort_by_key(|mail| mail.contains("To: b@"));
        assert_eq!(mails.len(), 2);
        assert!(
            mails[0].contains("\r\nTo: a@example.com\r\n"),
            "{}",
            mails[0]
        );
        assert!(mails[0].contains("\r\nSubject: Service: started\r\n"));
        assert!(
            mails[0].contains("\r\nDate: Fri, 2 Jan 2026 03:04:05 +0000\r\n"),
            "{}",
            mails[0]
        );
        assert!(mails[0].ends_with("\r\n\r\nline one\r\nline two: \u{e9}\r\n"));

        for (subject, endpoint) in [("a\r\nBcc: x@y", "a@b"), ("ok", "a@b>\r\nBcc: x@y")] {
            let publish = [("TopicArn", arn), ("Subject", subject), ("Message", "m")];
            let subscribe = [
                ("TopicArn", arn),
                ("Protocol", "email"),
                ("Endpoint", endpoint),
            ];
            assert!(
                act("Publish", &publish).await.is_err()
                    || act("Subscribe", &subscribe).await.is_err()
            );
        }
    }
}
