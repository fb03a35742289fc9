//! The front's view of one worker: its sessions, and what it has reported.

use std::sync::{Arc, Mutex};

use crate::ekm::Condition;
use crate::hsm::worker::key_view::KeyView;
use crate::hsm::worker::session::Session;
use crate::sync::poisoned;

/// The sessions of one worker, and its last reports.
pub(in crate::hsm) struct WorkerView {
    pub number: u32,
    pub sessions: Vec<Arc<Session>>,
    pub keys: KeyView,
    health: Mutex<(Condition, String)>,
}

impl WorkerView {
    /// The view of a worker that has not reported yet.
    pub(in crate::hsm) fn new(number: u32, sessions: Vec<Arc<Session>>) -> Self {
        Self {
            number,
            sessions,
            keys: KeyView::default(),
            health: Mutex::new((Condition::Down, String::new())),
        }
    }

    /// The number of open PKCS#11 sessions, including the one for login and health check.
    pub(in crate::hsm) fn open_sessions(&self) -> usize {
        let ready = self.sessions.iter().filter(|session| session.is_ready());
        ready.count() + 1
    }

    /// Returns whether it has a job that is not answered.
    pub(in crate::hsm) fn is_busy(&self) -> bool {
        self.sessions.iter().any(|session| session.is_busy())
    }

    /// The result of the last health check, and the reason if the HSM is not healthy.
    pub(in crate::hsm) fn health(&self) -> (Condition, String) {
        self.health.lock().unwrap_or_else(poisoned).clone()
    }

    /// Stores the result of a health check.
    pub(in crate::hsm) fn learn_health(&self, condition: Condition, reason: String) {
        *self.health.lock().unwrap_or_else(poisoned) = (condition, reason);
    }
}
