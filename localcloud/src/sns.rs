//! SNS: topics that mail (awsQuery). Mails are files: `<dir>/mail/*.eml`.
//!
//! Deviations from AWS: e-mail is the only protocol, and a subscription counts as confirmed at once (on AWS
//! its owner must follow a link that is mailed to them). Nothing leaves this machine.

mod mail;
mod subscriptions;
mod topics;

use std::path::PathBuf;
use std::sync::Arc;

use crate::caller::Caller;
use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::iam::{Context, authorize};
use crate::query_protocol::{Params, XmlBody};
use crate::state::Store;

/// The XML namespace of SNS's only API version.
pub const NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";

/// The service.
#[derive(Clone)]
pub struct Sns {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Where mails are put.
    mail: PathBuf,
}

impl Sns {
    /// `mail` is made when the first mail is written.
    pub fn new(store: Store, clock: Arc<dyn Clock>, mail: PathBuf) -> Self {
        Self { store, clock, mail }
    }

    /// Does one action.
    ///
    /// # Errors
    /// SNS's, and `InvalidAction` for one that isn't offered here.
    #[expect(
        clippy::unused_async,
        reason = "the form of every service's entry point"
    )]
    pub async fn handle(
        &self,
        caller: &Caller,
        action: &str,
        params: &mut Params,
    ) -> ApiResult<XmlBody> {
        match action {
            "CreateTopic" => self.create_topic(caller, params),
            "DeleteTopic" => self.delete_topic(caller, params),
            "ListTopics" => self.list_topics(caller, params),
            "GetTopicAttributes" => self.get_topic_attributes(caller, params),
            "SetTopicAttributes" => self.set_topic_attributes(caller, params),
            "TagResource" => self.tag_resource(caller, params),
            "UntagResource" => self.untag_resource(caller, params),
            "ListTagsForResource" => self.list_tags(caller, params),
            "Subscribe" => self.subscribe(caller, params),
            "Unsubscribe" => self.unsubscribe(caller, params),
            "ListSubscriptionsByTopic" => self.list_subscriptions(caller, params),
            "Publish" => self.publish(caller, params),
            other => Err(ApiError::new(
                "InvalidAction",
                format!("The local cloud's SNS has no action {other}."),
            )),
        }
    }

    /// Checks the caller's right, in SNS's own words.
    fn allow(&self, caller: &Caller, action: &str, resource: &str) -> ApiResult<()> {
        authorize(
            &self.store,
            caller,
            &format!("sns:{action}"),
            resource,
            &Context::at(self.clock.now()),
        )
        .map_err(|error| ApiError::new("AuthorizationError", error.message).with_status(403))
    }
}
