//! What the front knows of one worker.

use std::sync::{Arc, Mutex};

use super::key_view::KeyView;
use super::session::Session;
use crate::ekm::Condition;
use crate::sync::poisoned;

/// The sessions of one worker, and what it has reported.
pub(super) struct Crew {
    pub worker: u32,
    pub sessions: Vec<Arc<Session>>,
    pub keys: KeyView,
    health: Mutex<(Condition, String)>,
}

impl Crew {
    /// A worker that has reported nothing yet.
    pub(super) fn new(worker: u32, sessions: Vec<Arc<Session>>) -> Self {
        Self {
            worker,
            sessions,
            keys: KeyView::default(),
            health: Mutex::new((Condition::Down, String::new())),
        }
    }

    /// Its PKCS#11 sessions, the one for login and health check included.
    pub(super) fn open_sessions(&self) -> usize {
        let ready = self.sessions.iter().filter(|session| session.is_ready());
        ready.count() + 1
    }

    /// Whether a job is on its way to it.
    pub(super) fn is_busy(&self) -> bool {
        self.sessions.iter().any(|session| session.is_busy())
    }

    /// What its last health check found, and why it is not healthy.
    pub(super) fn health(&self) -> (Condition, String) {
        self.health.lock().unwrap_or_else(poisoned).clone()
    }

    /// Its health check found something.
    pub(super) fn learn_health(&self, condition: Condition, reason: String) {
        *self.health.lock().unwrap_or_else(poisoned) = (condition, reason);
    }
}
