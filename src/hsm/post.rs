//! The events that the supervisor of an HSM handles.

use tokio::sync::mpsc;

use crate::hsm_protocol::HsmSettings;
use crate::hsm_protocol::launch::WorkerEnd;

/// Something that the supervisor acts on.
#[derive(Debug)]
pub(super) enum Event {
    /// A worker has opened and probed the token.
    Opened(u32),
    /// A worker could not open the token.
    NotOpened(u32, NotOpened),
    /// A worker reports, or shows, that it cannot go on.
    Fatal(u32, String),
    /// A worker does not keep to the protocol.
    Broken(u32, String),
    /// A session of a worker has ended: the worker has ended, or lost a thread.
    SessionEnded(u32),
    /// A worker process has ended. Without the launcher nobody knows how.
    Ended(u32, Option<WorkerEnd>),
    /// The configuration has other settings.
    Settings(Box<HsmSettings>),
    /// The library's file is another one.
    LibraryChanged,
    /// The keys of the configuration are others.
    KeysChanged,
    /// The proxy ends, or the HSM was taken out of the configuration.
    Stop,
}

/// Why a token could not be opened.
#[derive(Clone, Debug)]
pub(super) struct NotOpened {
    pub reason: String,
    /// Trying again cannot help until the configuration changes.
    pub is_final: bool,
    /// The token has no session or login left.
    pub is_limit: bool,
}

impl NotOpened {
    /// One that may pass.
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_final: false,
            is_limit: false,
        }
    }
}

/// The sending side of the supervisor's events. Clones send to the same supervisor.
#[derive(Clone, Debug)]
pub(super) struct Post(mpsc::UnboundedSender<Event>);

impl Post {
    /// With what the supervisor reads from.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (events, of_supervisor) = mpsc::unbounded_channel();
        (Self(events), of_supervisor)
    }

    /// Sends an event. It has no effect after the supervisor has ended.
    pub(super) fn tell(&self, event: Event) {
        drop(self.0.send(event));
    }

    pub(super) fn opened(&self, worker: u32) {
        self.tell(Event::Opened(worker));
    }

    pub(super) fn not_opened(&self, worker: u32, reason: String, is_final: bool, is_limit: bool) {
        let not_opened = NotOpened {
            reason,
            is_final,
            is_limit,
        };
        self.tell(Event::NotOpened(worker, not_opened));
    }

    pub(super) fn fatal(&self, worker: u32, reason: String) {
        self.tell(Event::Fatal(worker, reason));
    }

    pub(super) fn broken(&self, worker: u32, fault: String) {
        self.tell(Event::Broken(worker, fault));
    }

    pub(super) fn ended(&self, worker: u32, how: Option<WorkerEnd>) {
        self.tell(Event::Ended(worker, how));
    }
}
