//! What calls needed permission for: kept with each call in the journal, so that a policy can be compared
//! with what was really asked for.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::condition::{Context, Keys};

/// One permission that a call needed, whoever made it and whether or not it was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// In the words of the Service Authorization Reference, e.g. `s3:GetObject`.
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
    /// The condition keys of this call: not those of every call.
    pub context: Keys,
}

impl Demand {
    pub fn new(action: &str, resource: &str, context: &Context) -> Self {
        Self {
            action: action.to_owned(),
            resource: resource.to_owned(),
            context: context.own().clone(),
        }
    }
}

/// The permissions that one call needed so far. Clones are of the same call.
#[derive(Debug, Clone, Default)]
pub struct Demands(Arc<Mutex<Vec<Demand>>>);

impl Demands {
    /// Notes one; the same one again is one.
    pub fn note(&self, demand: Demand) {
        // A list is whole after any panic.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&demand) {
            all.push(demand);
        }
    }

    pub fn all(&self) -> Vec<Demand> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Callers are the same whatever they needed.
impl PartialEq for Demands {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Demands {}
