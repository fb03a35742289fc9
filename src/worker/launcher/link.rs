//! The worker's side of the channel to the launcher.

use std::io;
use std::os::fd::OwnedFd;

use thiserror::Error;

use crate::hsm_protocol::launch::{
    Frame as _, LoginOutcome, MAX_FRAME, PinFingerprint, Serial, SettingsBytes, WorkerMessage,
    WorkerRequest,
};
use crate::hsm_protocol::packet::{self, Packet, Wait};

/// The channel of a worker to the launcher. Calls block until the launcher answers.
#[derive(Debug)]
pub struct LauncherLink(OwnedFd);

/// Why a worker must not call `C_Login`.
#[derive(Debug, Error)]
pub enum LoginRefused {
    /// The token rejected this PIN, or workers ended during logins with it.
    #[error("{0}")]
    Refused(String),
    /// The request failed.
    #[error("login permission cannot be requested from the launcher: {0}")]
    Io(#[from] io::Error),
}

impl LauncherLink {
    /// Requests permission to call `C_Login` once. Waits while another worker logs in to the same token. After the call, the worker must call
    /// [`LauncherLink::login_ended`]: if it ends before, the record counts a possible attempt with a wrong PIN.
    ///
    /// # Errors
    /// [`LoginRefused`].
    pub fn login_begins(&self, serial: Serial, pin: PinFingerprint) -> Result<(), LoginRefused> {
        match self.request(&WorkerRequest::LoginBegins { serial, pin })?.0 {
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

    /// Sends the settings of the worker to the launcher.
    ///
    /// # Errors
    /// When the launcher has ended.
    pub(in crate::worker) fn store(&self, settings: SettingsBytes) -> io::Result<()> {
        match self.request(&WorkerRequest::Settings(settings))?.0 {
            WorkerMessage::Stored => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Requests the last good settings of the HSM, which become the settings of this worker. Returns none if the launcher has none.
    pub(in crate::worker) fn last_good(&self) -> io::Result<Option<SettingsBytes>> {
        match self.request(&WorkerRequest::LastGood)?.0 {
            WorkerMessage::LastGood(settings) => Ok(settings),
            _ => Err(unexpected()),
        }
    }

    /// Sends a request and waits for the answer.
    pub(in crate::worker) fn request(
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
            return Err(io::Error::other(
                "too few file descriptors; raise LimitNOFILE=",
            ));
        }
        let message = WorkerMessage::decode(&packet.bytes).map_err(io::Error::other)?;
        Ok((message, packet))
    }
}

/// The error when the launcher violates the protocol.
pub(in crate::worker) fn unexpected() -> io::Error {
    io::Error::other("the launcher sent an unexpected answer")
}
