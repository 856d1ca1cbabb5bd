//! What a worker has in hand, and whether it may take more.
//!
//! A message is held from its receipt to its delete. Work on its file needs a slot; fetching the file
//! and storing the outputs don't, so that they overlap the work on others. There are never more
//! messages in hand than two a slot: one at work, and one on its way in or out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::held::{Held, Stage, Standing};

/// The next file is fetched when a slot is about to be free in this time. Longer, and a message would
/// wait here that an idle worker could begin; shorter, and large files come too late.
const AHEAD: Duration = Duration::from_secs(10);

/// The messages in hand and the slots.
#[derive(Debug)]
pub struct Desk {
    slots: usize,
    free: Semaphore,
    held: Mutex<Vec<Arc<Held>>>,
}

impl Desk {
    /// A desk for working on so many files beside each other.
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            free: Semaphore::new(slots),
            held: Mutex::default(),
        }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// How all that is in hand stands.
    pub fn standings(&self) -> Vec<Standing> {
        self.held().iter().map(|one| one.standing()).collect()
    }

    /// Whether another message may be taken: for a free slot, or for one that is free soon.
    pub(super) fn may_take(&self) -> bool {
        let held = self.held();
        if held.len() >= 2 * self.slots {
            return false;
        }
        let need_a_slot = held.iter().filter(|o| o.stage() != Stage::Storing).count();
        if need_a_slot < self.slots {
            return true;
        }
        let ending = held
            .iter()
            .filter(|one| one.eta().is_some_and(|eta| eta <= AHEAD))
            .count();
        need_a_slot - self.slots < ending
    }

    pub(super) fn put(&self, held: &Arc<Held>) {
        self.held().push(Arc::clone(held));
    }

    pub(super) fn remove(&self, held: &Arc<Held>) {
        self.held().retain(|one| !Arc::ptr_eq(one, held));
    }

    /// Waits for a slot, in the order of asking. It is free again when the permit is dropped.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.free.acquire().await.ok()
    }

    fn held(&self) -> MutexGuard<'_, Vec<Arc<Held>>> {
        // Nothing panics while the list is half changed.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Delivery;

    fn message() -> Arc<Held> {
        let delivery = Delivery {
            id: "m".to_owned(),
            receipt: "r".to_owned(),
            body: String::new(),
            times: 1,
        };
        Arc::new(Held::new(delivery, jiff::Timestamp::UNIX_EPOCH))
    }

    #[tokio::test]
    async fn the_next_file_is_fetched_when_a_slot_is_about_to_be_free() {
        let desk = Desk::new(1);
        assert!(desk.may_take());
        let first = message();
        desk.put(&first);
        assert!(!desk.may_take(), "the slot is spoken for");
        first.enter(Stage::Working);
        assert!(!desk.may_take(), "no one knows how long it takes");
        tokio::time::sleep(Duration::from_millis(50)).await;
        first.progress.report(0.1, 1000.0);
        let eta = first.eta().expect("is known");
        assert!(eta > Duration::from_secs(400), "{eta:?}");
        assert!(!desk.may_take(), "that is too early");
        first.progress.report(900.0, 1000.0);
        assert!(desk.may_take(), "milliseconds are not");
        let second = message();
        desk.put(&second);
        assert!(!desk.may_take(), "one ahead is enough");
        first.enter(Stage::Storing);
        second.enter(Stage::Working);
        tokio::time::sleep(Duration::from_millis(10)).await;
        second.progress.report(99.0, 100.0);
        assert!(!desk.may_take(), "never more than two a slot");
        desk.remove(&first);
        assert!(desk.may_take());
    }

    #[tokio::test]
    async fn each_slot_is_filled() {
        let desk = Desk::new(3);
        for _ in 0..3 {
            assert!(desk.may_take());
            desk.put(&message());
        }
        assert!(!desk.may_take());
    }
}
