//! The board on which the threads of a device tell each other what has happened.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::queue::Generation;
use super::token::OpenError;
use crate::sync::poisoned;

/// What the supervisor waits for.
#[derive(Debug)]
pub(super) enum Event {
    /// The process ends.
    Stop,
    /// The keeper has opened the device.
    Opened,
    /// The keeper could not open the device.
    NotOpened(OpenError),
    /// The generation has met a fatal fault.
    Failed(String),
    /// Nothing: time passed.
    Elapsed,
}

/// The state of the device's breaker, for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is being opened and checked.
    Probing,
    /// It serves.
    Usable,
    /// It does not serve.
    Failed,
    /// Its output was wrong: it is not used until an operator acts.
    Untrusted,
}

impl Phase {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Probing => "probing",
            Self::Usable => "usable",
            Self::Failed => "failed",
            Self::Untrusted => "untrusted",
        }
    }
}

/// What stands on the board.
#[derive(Default)]
pub(super) struct Events {
    pub stop: bool,
    /// The keeper's news of a generation, until they are taken.
    pub opening: Option<(Generation, Result<(), OpenError>)>,
    pub failed: Option<(Generation, String)>,
    /// Generations up to this one are over: whoever belongs to them ends.
    pub over: Generation,
}

impl Events {
    /// What there is of `generation`, for the supervisor.
    pub(super) fn of(&mut self, generation: Generation) -> Option<Event> {
        if self.stop {
            return Some(Event::Stop);
        }
        if let Some((_, outcome)) = self.opening.take_if(|(of, _)| *of == generation) {
            return Some(outcome.map_or_else(Event::NotOpened, |()| Event::Opened));
        }
        let (failed, reason) = self.failed.as_ref()?;
        (*failed == generation).then(|| Event::Failed(reason.clone()))
    }
}

/// The events with whoever waits for them.
#[derive(Default)]
pub(super) struct Board {
    events: Mutex<Events>,
    changed: Condvar,
}

impl Board {
    /// The events, to read. A change is made by [`Board::post`].
    pub(super) fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(poisoned)
    }

    /// Changes the events and wakes everybody.
    pub(super) fn post(&self, change: impl FnOnce(&mut Events)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until there is `news`, `patience` at most.
    pub(super) fn wait_until<T>(
        &self,
        patience: Duration,
        mut news: impl FnMut(&mut Events) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + patience;
        let mut events = self.lock();
        loop {
            if let Some(news) = news(&mut events) {
                return Some(news);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(events, left);
            events = waited.unwrap_or_else(poisoned).0;
        }
    }
}
