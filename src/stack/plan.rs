//! Planning: (what shall be, what is) → what to do. Pure, and leaves no choice to execution.

use serde::Serialize;

use super::desired::Desired;
use super::inventory::Inventory;
use crate::error::{Error, Result};
use crate::names::{Names, ResourceKind};
use crate::resources::{Attributes, Presence, not_ours, role};

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
        .filter(|(_, found)| !found.presence.belongs_to(&names.stack))
        .map(|(kind, _)| not_ours(&kind.to_string(), &names.of(*kind), &names.stack))
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
        Some(found) => match changes(&desired.attributes, &found.attributes) {
            changes if changes.is_empty() => Action::Keep,
            changes => Action::Change(changes),
        },
    };
    Step {
        kind: desired.kind,
        name: desired.name,
        action,
        attributes: desired.attributes,
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
