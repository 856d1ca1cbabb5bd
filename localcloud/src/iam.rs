//! IAM: the wire side (awsQuery) of roles, instance profiles and their tags, and the checks of policies.
//!
//! Deviations from AWS: changes are seen at once everywhere, and there are no groups, managed policies
//! or permission boundaries (their actions and parameters are refused by name). Users are made over the
//! control endpoint alone.

pub mod access;
pub mod condition;
mod demand;
pub mod policy;
mod profiles;
mod resource_policy;
mod roles;
mod validation;
mod variable;
mod wildcard;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use access::{authorize, authorize_on};
pub use condition::Context;
pub use demand::{Demand, Demands};

use crate::caller::Caller;
use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::Store;

/// The XML namespace of IAM's only API version.
pub const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// The service.
#[derive(Clone)]
pub struct Iam {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Iam {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Does one action.
    ///
    /// # Errors
    /// IAM's, and `InvalidAction` for one that isn't offered here.
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
            "CreateRole" => self.create_role(caller, params),
            "GetRole" => self.get_role(caller, params),
            "UpdateAssumeRolePolicy" => self.update_trust(caller, params),
            "DeleteRole" => self.delete_role(caller, params),
            "ListRoles" => self.list_roles(caller, params),
            "PutRolePolicy" => self.put_role_policy(caller, params),
            "GetRolePolicy" => self.get_role_policy(caller, params),
            "ListRolePolicies" => self.list_role_policies(caller, params),
            "DeleteRolePolicy" => self.delete_role_policy(caller, params),
            "ListAttachedRolePolicies" => self.list_attached_role_policies(caller, params),
            "TagRole" => self.tag_role(caller, params),
            "UntagRole" => self.untag_role(caller, params),
            "ListRoleTags" => self.list_role_tags(caller, params),
            "CreateInstanceProfile" => self.create_profile(caller, params),
            "GetInstanceProfile" => self.get_profile(caller, params),
            "ListInstanceProfiles" => self.list_profiles(caller, params),
            "ListInstanceProfilesForRole" => self.list_profiles_for_role(caller, params),
            "AddRoleToInstanceProfile" => self.add_role(caller, params),
            "RemoveRoleFromInstanceProfile" => self.remove_role(caller, params),
            "DeleteInstanceProfile" => self.delete_profile(caller, params),
            "TagInstanceProfile" => self.tag_profile(caller, params),
            "UntagInstanceProfile" => self.untag_profile(caller, params),
            "ListInstanceProfileTags" => self.list_profile_tags(caller, params),
            other => Err(ApiError::new(
                "InvalidAction",
                format!("The local cloud's IAM has no action {other}."),
            )),
        }
    }

    fn allow(&self, caller: &Caller, action: &str, resource: &str) -> ApiResult<()> {
        self.allow_with(caller, action, resource, &self.context())
    }

    fn context(&self) -> Context {
        Context::at(self.clock.now())
    }

    fn allow_with(
        &self,
        caller: &Caller,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> ApiResult<()> {
        let action = format!("iam:{action}");
        authorize(&self.store, caller, &action, resource, context)
    }

    /// Making a thing with tags needs the right to tag it too.
    fn allow_making(
        &self,
        caller: &Caller,
        actions: [&str; 2],
        resource: &str,
        tags: &[(String, String)],
    ) -> ApiResult<()> {
        let [create, tag] = actions;
        let mut context = self.context();
        context.request_tags(tags);
        self.allow_with(caller, create, resource, &context)?;
        if tags.is_empty() {
            return Ok(());
        }
        self.allow_with(caller, tag, resource, &context)
    }
}

/// One page of a list: `MaxItems` and `Marker`.
struct Page {
    /// Items to give; one more is fetched to know whether there are more.
    size: usize,
    /// The last name of the page before.
    after: String,
}

impl Page {
    /// IAM's default page.
    const DEFAULT: usize = 100;
    /// IAM's largest page.
    const LARGEST: usize = 1000;

    fn read(params: &Params) -> ApiResult<Self> {
        let size = params.number::<usize>("MaxItems")?.unwrap_or(Self::DEFAULT);
        if !(1..=Self::LARGEST).contains(&size) {
            return Err(validation::invalid(
                "maxItems",
                &size.to_string(),
                "Member must have value between 1 and 1000",
            ));
        }
        let after = match params.optional("Marker") {
            None => String::new(),
            Some(marker) => URL_SAFE_NO_PAD
                .decode(&marker)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    ApiError::new("ValidationError", format!("Invalid Marker: {marker}"))
                })?,
        };
        Ok(Self { size, after })
    }

    /// Cuts `items` (fetched with one more) to the page, and writes whether there are more.
    fn close<T>(&self, xml: &mut XmlBody, mut items: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
        let more = items.len() > self.size;
        items.truncate(self.size);
        xml.text("IsTruncated", more);
        if let (true, Some(last)) = (more, items.last()) {
            xml.text("Marker", URL_SAFE_NO_PAD.encode(name(last)));
        }
        items
    }

    /// The page (and one more) of a list that is all in memory, in the order of its names without case.
    fn cut<T>(&self, items: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<T> {
        let after = self.after.to_ascii_lowercase();
        items
            .into_iter()
            .filter(|item| after.is_empty() || name(item).to_ascii_lowercase() > after)
            .take(self.size + 1)
            .collect()
    }
}

fn write_tags(xml: &mut XmlBody, tags: &[(String, String)]) {
    xml.list("Tags", "member", tags, |xml, (key, value)| {
        xml.text("Key", key).text("Value", value);
    });
}

/// A time as IAM writes it: `2026-01-02T03:04:05Z`.
fn date(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A policy document as IAM returns it: percent-encoded by RFC 3986.
fn encoded(document: &str) -> String {
    const RESERVED: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~');
    percent_encoding::utf8_percent_encode(document, &RESERVED).to_string()
}
