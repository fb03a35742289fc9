//! The worker's side of the channel to the launcher.

use std::io;
use std::os::fd::OwnedFd;

use thiserror::Error;

use crate::hsm_protocol::launch::{
    Frame as _, LoginOutcome, MAX_FRAME, PinFingerprint, Serial, SettingsBytes, WorkerMessage,
    WorkerRequest,
};
use crate::hsm_protocol::packet::{self, Packet, Wait};

/// The launcher, as a worker asks it. Calls wait for the answer.
#[derive(Debug)]
pub struct LauncherLink(OwnedFd);

/// Why a worker must not call `C_Login`.
#[derive(Debug, Error)]
pub enum LoginRefused {
    /// The token rejected this PIN, or workers died while they logged in with it.
    #[error("{0}")]
    Refused(String),
    /// The launcher could not be asked.
    #[error("the launcher cannot be asked for a login: {0}")]
    Io(#[from] io::Error),
}

impl LauncherLink {
    /// Asks for permission to call `C_Login` once. Waits while a different worker logs in to the same token. Each permission must be
    /// followed by [`LauncherLink::login_ended`]: a worker that dies before counts as one that may have used up an attempt at the PIN.
    ///
    /// # Errors
    /// [`LoginRefused`].
    pub fn login_begins(&self, serial: Serial, pin: PinFingerprint) -> Result<(), LoginRefused> {
        match self.ask(&WorkerRequest::LoginBegins { serial, pin })?.0 {
            WorkerMessage::LoginAllowed => Ok(()),
            WorkerMessage::LoginRefused(reason) => Err(LoginRefused::Refused(reason.to_string())),
            _ => Err(unexpected().into()),
        }
    }

    /// Reports how `C_Login` ended.
    ///
    /// # Errors
    /// When the launcher has ended.
    pub fn login_ended(&self, outcome: LoginOutcome) -> io::Result<()> {
        self.send(&WorkerRequest::LoginEnded(outcome))
    }

    pub(in crate::worker) fn new(channel: OwnedFd) -> Self {
        Self(channel)
    }

    /// Gives the launcher the settings with which the worker is going to run.
    ///
    /// # Errors
    /// When the launcher has ended; so for the others.
    pub(in crate::worker) fn store(&self, settings: SettingsBytes) -> io::Result<()> {
        match self.ask(&WorkerRequest::Settings(settings))?.0 {
            WorkerMessage::Stored => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// The last good settings of the HSM, which become those of this worker.
    pub(in crate::worker) fn last_good(&self) -> io::Result<Option<SettingsBytes>> {
        match self.ask(&WorkerRequest::LastGood)?.0 {
            WorkerMessage::LastGood(settings) => Ok(settings),
            _ => Err(unexpected()),
        }
    }

    /// Sends a request, and waits for the answer.
    pub(in crate::worker) fn ask(
        &self,
        request: &WorkerRequest,
    ) -> io::Result<(WorkerMessage, Packet)> {
        self.send(request)?;
        self.receive()
    }

    fn send(&self, request: &WorkerRequest) -> io::Result<()> {
        packet::send(&self.0, &request.encode(), &[], Wait::Yes)
    }

    /// Waits for the next message.
    pub(in crate::worker) fn receive(&self) -> io::Result<(WorkerMessage, Packet)> {
        let packet = packet::receive(&self.0, MAX_FRAME, Wait::Yes)?;
        let packet = packet.ok_or_else(|| io::Error::other("the launcher has ended"))?;
        if packet.lost_descriptors {
            return Err(io::Error::other("too few descriptors (LimitNOFILE)"));
        }
        let message = WorkerMessage::decode(&packet.bytes).map_err(io::Error::other)?;
        Ok((message, packet))
    }
}

/// The launcher does not keep to the protocol.
pub(in crate::worker) fn unexpected() -> io::Error {
    io::Error::other("the launcher sent an unexpected answer")
}
