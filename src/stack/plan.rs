//! Planning: (what shall be, what is) → what to do. Pure, and leaves no choice to execution.

use serde::Serialize;

use super::desired::Desired;
use super::inventory::Inventory;
use super::tagging;
use crate::error::{Error, Result};
use crate::names::{Names, ResourceKind};
use crate::resources::{Attributes, Presence, Tags, not_ours, role};

/// One attribute that is not as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub attribute: &'static str,
    /// `None`: not set.
    pub old: Option<String>,
    /// `None`: shall not be set.
    pub new: Option<String>,
}

/// Longer values (policies) are named, not shown, on one line.
const BRIEF: usize = 48;

impl Change {
    /// On one line: `VisibilityTimeout 30 → 120`, or only the name where the values are long.
    pub fn brief(&self) -> String {
        let (old, new) = (
            self.old.as_deref().unwrap_or("-"),
            self.new.as_deref().unwrap_or("-"),
        );
        if old.chars().count().max(new.chars().count()) > BRIEF {
            return self.attribute.to_owned();
        }
        format!("{} {old} → {new}", self.attribute)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", content = "changes", rename_all = "kebab-case")]
pub enum Action {
    Create,
    Change(Vec<Change>),
    Keep,
}

/// One thing and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub kind: ResourceKind,
    pub name: String,
    #[serde(flatten)]
    pub action: Action,
    /// All attributes as they shall be.
    #[serde(skip)]
    pub attributes: Attributes,
    /// All tags as they shall be. A later end alone is no change: it moves with each use.
    #[serde(skip)]
    pub tags: Tags,
    /// What is there.
    #[serde(skip)]
    pub presence: Option<Presence>,
}

/// What `muck up` would do, a step for each thing of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| step.action == Action::Keep)
    }

    pub fn step(&self, kind: ResourceKind) -> Option<&Step> {
        self.steps.iter().find(|step| step.kind == kind)
    }
}

/// Compares.
///
/// # Errors
/// Names every thing that has our name but not our tag; nothing is planned then.
pub fn plan(names: &Names, desired: Vec<Desired>, inventory: &Inventory) -> Result<Plan> {
    let mut foreign: Vec<Error> = inventory
        .0
        .iter()
        .filter(|(_, found)| !found.presence.belongs_to(&names.stack, &names.region))
        .map(|(kind, found)| {
            let (what, name) = (kind.to_string(), names.of(*kind));
            not_ours(&what, &name, &names.stack, &found.presence)
        })
        .collect();
    if foreign.len() == 1 {
        return Err(foreign.remove(0));
    }
    if let Some(last) = foreign.pop() {
        let all: Vec<String> = foreign.iter().map(ToString::to_string).collect();
        let hints = last.hints().to_vec();
        let error = Error::failed(format!("{}\n{last}", all.join("\n")));
        return Err(hints.into_iter().fold(error, Error::hint));
    }
    let steps = desired
        .into_iter()
        .map(|desired| step(desired, inventory))
        .collect();
    Ok(Plan { steps })
}

fn step(desired: Desired, inventory: &Inventory) -> Step {
    let found = inventory.0.get(&desired.kind);
    let action = match found {
        None => Action::Create,
        Some(found) => {
            let mut all = changes(&desired.attributes, &found.attributes);
            all.extend(tag_changes(&desired.tags, &found.presence.tags));
            if all.is_empty() {
                Action::Keep
            } else {
                Action::Change(all)
            }
        }
    };
    let tags = match found {
        Some(found) => tagging::with_later_end(desired.tags, &found.presence.tags),
        None => desired.tags,
    };
    Step {
        kind: desired.kind,
        name: desired.name,
        action,
        attributes: desired.attributes,
        tags,
        presence: found.map(|found| found.presence.clone()),
    }
}

fn changes(desired: &Attributes, found: &Attributes) -> Vec<Change> {
    let wrong = desired
        .iter()
        .filter(|(attribute, new)| found.get(*attribute) != Some(*new));
    let wrong = wrong.map(|(attribute, new)| Change {
        attribute,
        old: found.get(attribute).cloned(),
        new: Some(new.clone()),
    });
    // Of what we do not set, only rights that somebody gave the role are ours to take away.
    let further = found
        .get_key_value(role::FURTHER_POLICIES)
        .map(|(attribute, old)| Change {
            attribute,
            old: Some(old.clone()),
            new: None,
        });
    wrong.chain(further).collect()
}

fn tag_changes(desired: &Tags, found: &Tags) -> Vec<Change> {
    let wrong = desired
        .iter()
        .filter(|(key, new)| tagging::is_drift(key, new, found));
    wrong
        .map(|(key, new)| Change {
            attribute: tagging::attribute(key),
            old: found.get(key).map(|old| tagging::shown(key, old)),
            new: Some(tagging::shown(key, new)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};
    use crate::lifetime::{Lifetime, OnExpiry};
    use crate::names::{TAG_EXPIRES, TAG_KIND, TAG_ON_EXPIRY, TAG_REGION, TAG_STACK};
    use crate::resources::{Found, bucket, queue, topic};
    use crate::stack::desired::desired;

    fn names() -> Names {
        Names {
            stack: "demo".parse().expect("valid"),
            account: "123456789012".into(),
            region: "eu-west-1".into(),
            extra_tags: std::collections::BTreeMap::new(),
        }
    }

    fn config(email: Option<&str>) -> Config {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let overrides = Overrides {
            file: Some(file.path().to_owned()),
            ..Overrides::default()
        };
        let mut config = Config::load(&overrides).expect("an empty file is valid");
        config.email = email.map(str::to_owned);
        config
    }

    fn lifetime() -> Lifetime {
        Lifetime {
            expires: "2026-01-02T15:04:05Z".parse().expect("time"),
            on_expiry: OnExpiry::Keep,
        }
    }

    fn planned(email: Option<&str>, inventory: &Inventory) -> Result<Plan> {
        let desired =
            desired(&config(email), &names(), inventory, lifetime(), true).expect("renders");
        plan(&names(), desired, inventory)
    }

    /// A cloud in which everything is as it shall be.
    fn all_right(email: Option<&str>) -> Inventory {
        let nothing = Inventory::default();
        let desired =
            desired(&config(email), &names(), &nothing, lifetime(), true).expect("renders");
        let found = |desired: Desired| {
            let presence = Presence {
                id: desired.name,
                tags: desired.tags,
            };
            (
                desired.kind,
                Found {
                    presence,
                    attributes: desired.attributes,
                },
            )
        };
        Inventory(desired.into_iter().map(found).collect())
    }

    fn change_of(plan: &Plan, kind: ResourceKind) -> Vec<Change> {
        match &plan.step(kind).expect("planned").action {
            Action::Change(changes) => changes.clone(),
            other => panic!("{kind}: {other:?}"),
        }
    }

    #[test]
    fn of_nothing_everything_is_created_but_no_topic() {
        let plan = planned(None, &Inventory::default()).expect("plans");
        assert!(plan.steps.iter().all(|step| step.action == Action::Create));
        assert_eq!(plan.steps.len(), ResourceKind::STACK.len() - 1);
        assert!(plan.step(ResourceKind::Topic).is_none());
        assert!(!plan.is_empty());
    }

    /// On a plain HTTP endpoint a policy that demands TLS would shut us out.
    #[test]
    fn only_an_encrypted_cloud_is_asked_for_tls() {
        for (encrypted, policies) in [(true, 6), (false, 1)] {
            let nothing = Inventory::default();
            let desired =
                desired(&config(None), &names(), &nothing, lifetime(), encrypted).expect("renders");
            let with_policy = desired.iter().filter(|desired| {
                let attributes = &desired.attributes;
                attributes.contains_key(bucket::POLICY) || attributes.contains_key(queue::POLICY)
            });
            // Five buckets and queues; the role has its policy in any case.
            assert_eq!(with_policy.count(), policies);
        }
    }

    #[test]
    fn what_is_right_is_kept() {
        assert!(planned(None, &all_right(None)).expect("plans").is_empty());
        let email = Some("a@example.org");
        assert!(planned(email, &all_right(email)).expect("plans").is_empty());
    }

    #[test]
    fn drift_is_told_attribute_by_attribute() {
        let mut inventory = all_right(None);
        let input = inventory
            .0
            .get_mut(&ResourceKind::InputQueue)
            .expect("there");
        input
            .attributes
            .insert(queue::VISIBILITY_TIMEOUT, "30".into());
        let output = inventory
            .0
            .get_mut(&ResourceKind::OutputBucket)
            .expect("there");
        output.attributes.remove(bucket::PUBLIC_ACCESS_BLOCK);
        let plan = planned(None, &inventory).expect("plans");
        let [change] = &change_of(&plan, ResourceKind::InputQueue)[..] else {
            panic!("one")
        };
        assert_eq!(change.brief(), "VisibilityTimeout 30 → 120");
        let [change] = &change_of(&plan, ResourceKind::OutputBucket)[..] else {
            panic!("one")
        };
        assert_eq!(
            (change.attribute, &change.old),
            (bucket::PUBLIC_ACCESS_BLOCK, &None)
        );
        let kept = plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Keep)
            .count();
        assert_eq!(kept, plan.steps.len() - 2);
    }

    #[test]
    fn tags_drift_too_but_a_later_end_is_none() {
        let mut inventory = all_right(None);
        let found = inventory.0.get_mut(&ResourceKind::Role).expect("there");
        let later = "2026-02-02T15:04:05Z".to_owned();
        let tags = &mut found.presence.tags;
        tags.insert(TAG_EXPIRES.into(), later.clone());
        let plan = planned(None, &inventory).expect("plans");
        assert!(plan.is_empty());
        let step = plan.step(ResourceKind::Role).expect("planned");
        assert_eq!(step.tags[TAG_EXPIRES], later);

        let tags = &mut inventory
            .0
            .get_mut(&ResourceKind::Role)
            .expect("there")
            .presence
            .tags;
        tags.remove(TAG_EXPIRES);
        tags.insert(TAG_KIND.into(), "queen".into());
        tags.insert(TAG_ON_EXPIRY.into(), "delete".into());
        tags.insert("cost-centre".into(), "films".into());
        let plan = planned(None, &inventory).expect("plans");
        let changes: Vec<String> = change_of(&plan, ResourceKind::Role)
            .iter()
            .map(Change::brief)
            .collect();
        assert_eq!(
            changes,
            [
                "tag muck:expires - → 2026-01-02T15:04:05Z",
                "tag muck:kind queen → role",
                "tag muck:on-expiry delete → keep"
            ]
        );
    }

    #[test]
    fn rights_that_somebody_gave_the_role_are_taken_away() {
        let mut inventory = all_right(None);
        let role = inventory.0.get_mut(&ResourceKind::Role).expect("there");
        role.attributes
            .insert(role::FURTHER_POLICIES, "admin".into());
        let plan = planned(None, &inventory).expect("plans");
        let [change] = &change_of(&plan, ResourceKind::Role)[..] else {
            panic!("one")
        };
        assert_eq!(
            (change.attribute, &change.new),
            (role::FURTHER_POLICIES, &None)
        );
    }

    #[test]
    fn what_is_not_ours_is_named_and_stops_everything() {
        let mut inventory = all_right(None);
        for kind in [ResourceKind::InputQueue, ResourceKind::Role] {
            let found = inventory.0.get_mut(&kind).expect("there");
            found.presence.tags.insert(TAG_STACK.into(), "other".into());
        }
        let error = planned(None, &inventory).expect_err("foreign");
        let text = error.chain();
        assert!(
            text.contains("input queue muck-demo-input exists but"),
            "{text}"
        );
        assert!(text.contains("role muck-demo-worker exists but"), "{text}");
        inventory.0.remove(&ResourceKind::Role);
        let untagged = inventory
            .0
            .get_mut(&ResourceKind::InputQueue)
            .expect("there");
        untagged.presence.tags.clear();
        let error = planned(None, &inventory).expect_err("foreign");
        assert!(error.to_string().contains("muck:stack = demo"), "{error}");
        assert_eq!(error.hints().len(), 1);

        // IAM has one name space for all regions.
        let mut elsewhere = all_right(None);
        let role = elsewhere.0.get_mut(&ResourceKind::Role).expect("there");
        let tags = &mut role.presence.tags;
        tags.insert(TAG_REGION.into(), "us-east-1".into());
        let error = planned(None, &elsewhere).expect_err("another region's");
        assert_eq!(
            error.to_string(),
            "role muck-demo-worker belongs to the stack demo in us-east-1: it is not touched"
        );
    }

    #[test]
    fn an_address_makes_the_topic_and_its_absence_does_not_unmake_it() {
        let plan = planned(Some("a@example.org"), &all_right(None)).expect("plans");
        let topic = plan.step(ResourceKind::Topic).expect("planned");
        assert_eq!(topic.action, Action::Create);
        let [policy] = &change_of(&plan, ResourceKind::Role)[..] else {
            panic!("one")
        };
        assert!(
            policy
                .new
                .as_deref()
                .unwrap_or_default()
                .contains("sns:Publish")
        );
        assert!(
            !policy
                .old
                .as_deref()
                .unwrap_or_default()
                .contains("sns:Publish")
        );

        let there = all_right(Some("a@example.org"));
        assert!(planned(None, &there).expect("plans").is_empty());
        let plan = planned(Some("b@example.org"), &there).expect("plans");
        let [change] = &change_of(&plan, ResourceKind::Topic)[..] else {
            panic!("one")
        };
        assert_eq!(change.attribute, topic::SUBSCRIBERS);
        assert_eq!(change.new.as_deref(), Some("a@example.org,b@example.org"));
    }
}
