//! Tags: TagSpecification in create calls, CreateTags, DeleteTags, DescribeTags.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::Transaction;

use super::dry_run::DryRun;
use super::filters::{Filters, one};
use super::paging::Page;
use super::{Ec2, ids, network};
use crate::error::{ApiError, ApiResult};
use crate::query_protocol::{Params, XmlBody};
use crate::state::ec2::tags::{self, TagRow};
use crate::state::ec2::{Instance, get};

pub(super) type Tags = Vec<(String, String)>;

/// Limits of the EC2 user guide, "Tag restrictions".
const MOST_TAGS: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// Tags of a create call, by resource type.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct TagSpecifications(Vec<(String, Tags)>);

impl TagSpecifications {
    /// Reads `TagSpecification.N`; `allowed` are the resource types that the action makes.
    ///
    /// # Errors
    /// `InvalidParameterValue` for another type, a type given twice, or a tag that isn't allowed.
    pub(super) fn read(params: &Params, allowed: &[&str]) -> ApiResult<Self> {
        let mut all: Vec<(String, Tags)> = Vec::new();
        for given in params.structures("TagSpecification") {
            let kind = given.required("ResourceType")?;
            if !allowed.contains(&kind.as_str()) {
                return Err(invalid(format!(
                    "'{kind}' is not a valid taggable resource type for this operation."
                )));
            }
            if all.iter().any(|(known, _)| *known == kind) {
                return Err(invalid(format!(
                    "Tag specification resource type '{kind}' is given more than once."
                )));
            }
            let tags = given.tags("Tag")?;
            check(&tags)?;
            all.push((kind, tags));
        }
        Ok(Self(all))
    }

    /// Sets the tags of `kind` on a new resource.
    pub(super) fn apply(&self, tx: &Transaction<'_>, kind: &str, resource: &str) -> ApiResult<()> {
        for (_, tags) in self.0.iter().filter(|(known, _)| known == kind) {
            for (key, value) in tags {
                tags::set(tx, resource, kind, key, value)?;
            }
        }
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

fn check(tags: &[(String, String)]) -> ApiResult<()> {
    let mut keys = HashSet::new();
    for (key, value) in tags {
        if key.is_empty() {
            return Err(invalid("Tag keys must not be empty."));
        }
        if key.starts_with("aws:") {
            return Err(invalid(
                "Tag keys starting with 'aws:' are reserved for internal use",
            ));
        }
        if key.chars().count() > LONGEST_KEY {
            return Err(invalid(format!(
                "Tag key exceeds the maximum length of {LONGEST_KEY} characters"
            )));
        }
        if value.chars().count() > LONGEST_VALUE {
            return Err(invalid(format!(
                "Tag value exceeds the maximum length of {LONGEST_VALUE} characters"
            )));
        }
        if !keys.insert(key) {
            return Err(invalid(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    if tags.len() > MOST_TAGS {
        return Err(ApiError::new(
            "TagLimitExceeded",
            format!("A resource has at most {MOST_TAGS} tags."),
        ));
    }
    Ok(())
}

/// The type of a resource by its id, after checking that it is there.
fn kind_of(tx: &Transaction<'_>, id: &str, now: Timestamp) -> ApiResult<&'static str> {
    let kind = id.split('-').next().unwrap_or_default();
    match kind {
        "i" => ids::instance(tx, id, now).map(|_| "instance"),
        "vol" => ids::volume(tx, id).map(|_| "volume"),
        "snap" => ids::snapshot(tx, id).map(|_| "snapshot"),
        "ami" => ids::image(tx, id).map(|_| "image"),
        "subnet" => network::zone_of_subnet(id).map(|_| "subnet"),
        "sg" => network::check_security_groups(&[id.to_owned()]).map(|()| "security-group"),
        "vpc" if id == network::VPC => Ok("vpc"),
        _ => Err(ApiError::new(
            "InvalidID",
            format!("The ID '{id}' is not valid"),
        )),
    }
}

impl Ec2 {
    pub(super) fn create_tags(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let resources = resources(params)?;
        let new = params.tags("Tag")?;
        params.finish()?;
        if new.is_empty() {
            return Err(ApiError::new(
                "MissingParameter",
                "The request must contain the parameter Tag",
            ));
        }
        check(&new)?;
        let now = self.clock.now();
        self.store.transaction(|tx| {
            for resource in &resources {
                let kind = kind_of(tx, resource, now)?;
                for (key, value) in &new {
                    tags::set(tx, resource, kind, key, value)?;
                }
                if tags::of(tx, resource)?.len() > MOST_TAGS {
                    return Err(ApiError::new(
                        "TagLimitExceeded",
                        format!("{resource} would have more than {MOST_TAGS} tags."),
                    ));
                }
            }
            dry_run.end()
        })?;
        Ok(XmlBody::return_true())
    }

    pub(super) fn delete_tags(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let resources = resources(params)?;
        // A key without a value removes the tag whatever its value; no tags at all remove all.
        let old: Vec<(String, Option<String>)> = params
            .structures("Tag")
            .into_iter()
            .map(|tag| Ok((tag.required("Key")?, tag.optional("Value"))))
            .collect::<ApiResult<_>>()?;
        params.finish()?;
        let now = self.clock.now();
        self.store.transaction(|tx| {
            for resource in &resources {
                kind_of(tx, resource, now)?;
                for (key, value) in &old {
                    tags::unset(tx, resource, key, value.as_deref())?;
                }
                if old.is_empty() {
                    tags::forget(tx, resource)?;
                }
            }
            dry_run.end()
        })?;
        Ok(XmlBody::return_true())
    }

    pub(super) fn describe_tags(&self, params: &Params, dry_run: DryRun) -> ApiResult<XmlBody> {
        let filters = Filters::read(params, &["key", "value", "resource-id", "resource-type"])?;
        let page = Page::read(params, 5)?;
        params.finish()?;
        dry_run.end()?;
        let now = self.clock.now();
        let found = self.store.transaction(|tx| {
            let mut found = Vec::new();
            for row in tags::all(tx)? {
                let hidden = row.kind == "instance"
                    && get::<Instance>(tx, &row.resource)?
                        .is_none_or(|instance| !instance.visible(now));
                if !hidden && passes(&filters, &row) {
                    found.push(row);
                }
            }
            Ok(found)
        })?;
        let (found, next) = page.cut(found, |row| format!("{}/{}", row.resource, row.key));
        let mut body = XmlBody::new();
        body.list("tagSet", "item", &found, |xml, row| {
            xml.text("key", &row.key)
                .text("resourceId", &row.resource)
                .text("resourceType", &row.kind)
                .text("value", &row.value);
        });
        body.optional("nextToken", next);
        Ok(body)
    }
}

fn passes(filters: &Filters, row: &TagRow) -> bool {
    filters.pass(&[(row.key.clone(), row.value.clone())], |name| match name {
        "key" => one(&row.key),
        "value" => one(&row.value),
        "resource-id" => one(&row.resource),
        "resource-type" => one(&row.kind),
        _ => Vec::new(),
    })
}

fn resources(params: &Params) -> ApiResult<Vec<String>> {
    let resources = params.list("ResourceId");
    if resources.is_empty() {
        return Err(ApiError::new(
            "MissingParameter",
            "The request must contain the parameter ResourceId",
        ));
    }
    Ok(resources)
}
