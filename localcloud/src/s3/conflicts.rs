//! Conditional writes under way. One whose key is deleted before it ends is refused with
//! `ConditionalRequestConflict`, since what it was promised no longer holds
//! (S3 User Guide, "How to prevent object overwrites with conditional writes").

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{ApiError, ApiResult};
use crate::state::s3::Condition;

type Key = (String, String);

#[derive(Default)]
pub(super) struct Conflicts(Mutex<HashMap<Key, Vec<Arc<AtomicBool>>>>);

impl Conflicts {
    /// Watches a key for as long as the write takes; an unconditional one needs no watch.
    pub(super) fn watch(self: &Arc<Self>, bucket: &str, key: &str, condition: &Condition) -> Watch {
        if *condition == Condition::None {
            return Watch(None);
        }
        let place = (bucket.to_owned(), key.to_owned());
        let deleted = Arc::new(AtomicBool::new(false));
        self.lock()
            .entry(place.clone())
            .or_default()
            .push(Arc::clone(&deleted));
        Watch(Some(Watched {
            place,
            deleted,
            conflicts: Arc::clone(self),
        }))
    }

    /// Tells the writers of a key that it was deleted.
    pub(super) fn deleted<'k>(&self, bucket: &str, keys: impl Iterator<Item = &'k str>) {
        let watches = self.lock();
        if watches.is_empty() {
            return;
        }
        for key in keys {
            for flag in watches
                .get(&(bucket.to_owned(), key.to_owned()))
                .into_iter()
                .flatten()
            {
                flag.store(true, Ordering::SeqCst);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Vec<Arc<AtomicBool>>>> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Watch(Option<Watched>);

struct Watched {
    place: Key,
    deleted: Arc<AtomicBool>,
    conflicts: Arc<Conflicts>,
}

impl Watch {
    /// # Errors
    /// `ConditionalRequestConflict` if the key was deleted since the watch began.
    pub(super) fn check(&self) -> ApiResult<()> {
        match &self.0 {
            Some(watched) if watched.deleted.load(Ordering::SeqCst) => Err(ApiError::new(
                "ConditionalRequestConflict",
                "The conditional request cannot succeed due to a conflicting operation against this resource.",
            )
            .with_status(409)),
            _ => Ok(()),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watches = self.conflicts.lock();
        if let Some(flags) = watches.get_mut(&self.place) {
            flags.retain(|flag| !Arc::ptr_eq(flag, &self.deleted));
            if flags.is_empty() {
                watches.remove(&self.place);
            }
        }
    }
}
