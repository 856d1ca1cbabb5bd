//! Actions on topics and their tags.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Sns;
use crate::account::ACCOUNT;
use crate::caller::Caller;
use crate::error::ApiResult;
use crate::query_protocol::{Params, XmlBody};
use crate::state::sns::{self as state, Map, Topic, arn_of, invalid};

/// ListTopics gives at most so many (SNS API reference).
const PAGE: usize = 100;

/// Attributes that can be set here; the others are refused by name.
const SETTABLE: &[&str] = &["DisplayName", "Policy", "KmsMasterKeyId"];

/// Tags that one topic may have (SNS quota).
const MOST_TAGS: usize = 50;

fn check_attribute(name: &str) -> ApiResult<()> {
    if SETTABLE.contains(&name) {
        Ok(())
    } else {
        Err(invalid(
            "AttributeName",
            &format!("the local cloud knows {}, not {name}", SETTABLE.join(", ")),
        ))
    }
}

fn check_tags(tags: &Map) -> ApiResult<()> {
    let long = |(key, value): (&String, &String)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256
    };
    if tags.len() > MOST_TAGS || tags.iter().any(long) {
        return Err(invalid(
            "Tags",
            "at most 50 tags, with keys of 1 to 128 and values of at most 256 characters",
        ));
    }
    Ok(())
}

impl Sns {
    pub(super) fn create_topic(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let name = params.required("Name")?;
        let attributes: Map = params.map("Attributes")?.into_iter().collect();
        let tags: Map = params.tags("Tags")?.into_iter().collect();
        params.finish()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 256 || !name.chars().all(allowed) {
            return Err(invalid(
                "Topic Name",
                "1 to 256 letters, digits, - and _ (the local cloud has no FIFO topics)",
            ));
        }
        for attribute in attributes.keys() {
            check_attribute(attribute)?;
        }
        check_tags(&tags)?;
        self.allow(caller, "CreateTopic", &arn_of(&name))?;
        if !tags.is_empty() {
            self.allow(caller, "TagResource", &arn_of(&name))?;
        }
        let topic = self.store.transaction(|db| {
            state::create_topic(db, &name, &attributes, &tags, self.clock.now())
        })?;
        let mut xml = XmlBody::new();
        xml.text("TopicArn", topic.arn());
        Ok(xml)
    }

    pub(super) fn delete_topic(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let arn = params.required("TopicArn")?;
        params.finish()?;
        self.allow(caller, "DeleteTopic", &arn)?;
        self.store.transaction(|db| state::delete_topic(db, &arn))?;
        Ok(XmlBody::new())
    }

    pub(super) fn list_topics(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let after = match params.optional("NextToken") {
            None => String::new(),
            Some(token) => URL_SAFE_NO_PAD
                .decode(&token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| invalid("NextToken", "not a token of ListTopics"))?,
        };
        params.finish()?;
        self.allow(caller, "ListTopics", "*")?;
        let mut topics = self
            .store
            .transaction(|db| state::list_topics(db, &after, PAGE + 1))?;
        let more = topics.len() > PAGE;
        topics.truncate(PAGE);
        let mut xml = XmlBody::new();
        xml.list("Topics", "member", &topics, |xml, topic| {
            xml.text("TopicArn", topic.arn());
        });
        if let (true, Some(last)) = (more, topics.last()) {
            xml.text("NextToken", URL_SAFE_NO_PAD.encode(&last.name));
        }
        Ok(xml)
    }

    pub(super) fn get_topic_attributes(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> ApiResult<XmlBody> {
        let arn = params.required("TopicArn")?;
        params.finish()?;
        self.allow(caller, "GetTopicAttributes", &arn)?;
        let (topic, subscriptions) = self.store.transaction(|db| {
            Ok((
                state::find_topic(db, &arn)?,
                state::subscriptions(db, &arn)?,
            ))
        })?;
        let mut all = topic.attributes.clone();
        all.entry("DisplayName".to_owned()).or_default();
        all.insert("TopicArn".to_owned(), topic.arn());
        all.insert("Owner".to_owned(), ACCOUNT.to_owned());
        all.insert(
            "SubscriptionsConfirmed".to_owned(),
            subscriptions.len().to_string(),
        );
        all.insert("SubscriptionsPending".to_owned(), "0".to_owned());
        all.insert("SubscriptionsDeleted".to_owned(), "0".to_owned());
        let mut xml = XmlBody::new();
        xml.list("Attributes", "entry", all, |xml, (key, value)| {
            xml.text("key", key).text("value", value);
        });
        Ok(xml)
    }

    /// Reads a topic, changes it and writes it back, in one transaction.
    fn change_topic(
        &self,
        arn: &str,
        change: impl FnOnce(&mut Topic) -> ApiResult<()>,
    ) -> ApiResult<XmlBody> {
        self.store.transaction(|db| {
            let mut topic = state::find_topic(db, arn)?;
            change(&mut topic)?;
            state::save_topic(db, &topic)
        })?;
        Ok(XmlBody::new())
    }

    pub(super) fn set_topic_attributes(
        &self,
        caller: &Caller,
        params: &Params,
    ) -> ApiResult<XmlBody> {
        let arn = params.required("TopicArn")?;
        let name = params.required("AttributeName")?;
        let value = params.optional("AttributeValue").unwrap_or_default();
        params.finish()?;
        check_attribute(&name)?;
        self.allow(caller, "SetTopicAttributes", &arn)?;
        self.change_topic(&arn, |topic| {
            topic.attributes.insert(name, value);
            Ok(())
        })
    }

    pub(super) fn tag_resource(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let arn = params.required("ResourceArn")?;
        let tags = params.tags("Tags")?;
        params.finish()?;
        self.allow(caller, "TagResource", &arn)?;
        self.change_topic(&arn, |topic| {
            topic.tags.extend(tags);
            check_tags(&topic.tags)
        })
    }

    pub(super) fn untag_resource(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let arn = params.required("ResourceArn")?;
        let keys = params.list("TagKeys");
        params.finish()?;
        self.allow(caller, "UntagResource", &arn)?;
        self.change_topic(&arn, |topic| {
            topic.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    pub(super) fn list_tags(&self, caller: &Caller, params: &Params) -> ApiResult<XmlBody> {
        let arn = params.required("ResourceArn")?;
        params.finish()?;
        self.allow(caller, "ListTagsForResource", &arn)?;
        let topic = self.store.transaction(|db| state::find_topic(db, &arn))?;
        let mut xml = XmlBody::new();
        xml.list("Tags", "member", topic.tags, |xml, (key, value)| {
            xml.text("Key", key).text("Value", value);
        });
        Ok(xml)
    }
}
