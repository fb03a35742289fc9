//! Events for the supervisor of an HSM.

use tokio::sync::mpsc;

use crate::hsm_protocol::HsmSettings;
use crate::hsm_protocol::launch::WorkerEnd;

/// An event that the supervisor handles. The number is the launcher's number of a worker.
#[derive(Debug)]
pub(super) enum Event {
    /// A worker has opened and probed the token.
    Opened(u32),
    /// A worker could not open the token.
    NotOpened(u32, NotOpened),
    /// A worker cannot continue: it has reported a failure, or a job has shown one.
    Fatal(u32, String),
    /// A worker violated the protocol.
    ProtocolViolated(u32, String),
    /// A session of a worker has ended, because the worker or its thread ended.
    SessionEnded(u32),
    /// A worker process has ended. `None` if the launcher did not report how.
    Ended(u32, Option<WorkerEnd>),
    /// The settings in the configuration have changed.
    Settings(Box<HsmSettings>),
    /// The file of the PKCS#11 library was replaced.
    LibraryChanged,
    /// The expected keys have changed.
    KeysChanged,
    /// The proxy ends, or the HSM was removed from the configuration.
    Stop,
}

/// Why a token could not be opened.
#[derive(Clone, Debug)]
pub(super) struct NotOpened {
    pub reason: String,
    /// True if further attempts are useless until the configuration changes.
    pub is_final: bool,
    /// True if the token has no session or login left.
    pub is_limit: bool,
}

impl NotOpened {
    /// A temporary error.
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_final: false,
            is_limit: false,
        }
    }
}

/// Sends events to the supervisor. Clones send to the same supervisor.
#[derive(Clone, Debug)]
pub(super) struct EventSender(mpsc::UnboundedSender<Event>);

impl EventSender {
    /// Creates the sender, and the receiver for the supervisor.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, of_supervisor) = mpsc::unbounded_channel();
        (Self(events), of_supervisor)
    }

    /// Sends an event. Has no effect after the supervisor has ended.
    pub(super) fn send(&self, event: Event) {
        drop(self.0.send(event));
    }

    pub(super) fn opened(&self, worker: u32) {
        self.send(Event::Opened(worker));
    }

    pub(super) fn not_opened(&self, worker: u32, reason: String, is_final: bool, is_limit: bool) {
        let not_opened = NotOpened {
            reason,
            is_final,
            is_limit,
        };
        self.send(Event::NotOpened(worker, not_opened));
    }

    pub(super) fn fatal(&self, worker: u32, reason: String) {
        self.send(Event::Fatal(worker, reason));
    }

    pub(super) fn protocol_violated(&self, worker: u32, violation: String) {
        self.send(Event::ProtocolViolated(worker, violation));
    }

    pub(super) fn ended(&self, worker: u32, how: Option<WorkerEnd>) {
        self.send(Event::Ended(worker, how));
    }
}
