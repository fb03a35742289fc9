//! The threads of a device: how many there are, and waiting for their end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::shared::Shared;

impl Shared {
    /// A keeper begins or ends; there is one at a time.
    pub(super) fn keeper_started(&self) {
        self.keepers.fetch_add(1, Ordering::AcqRel);
    }

    /// See [`Shared::keeper_started`].
    pub(super) fn keeper_ended(&self) {
        self.keepers.fetch_sub(1, Ordering::AcqRel);
        self.wake();
    }

    /// Wakes whoever waits for threads to end; the lock orders this with their wait.
    pub(super) fn wake(&self) {
        self.board.post(|_| ());
    }

    /// Whether a keeper runs, or hangs.
    pub(super) fn has_keeper(&self) -> bool {
        self.keepers.load(Ordering::Acquire) > 0
    }

    /// Whether every thread of the device has ended.
    pub(super) fn is_quiet(&self) -> bool {
        !self.has_keeper() && self.load.owners() == 0
    }

    /// Waits until `done`, `patience` at most; says whether it is.
    pub(super) fn wait_for_threads(
        &self,
        patience: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> bool {
        self.board
            .wait_until(patience, |_| done(self).then_some(()))
            .is_some()
    }
}
