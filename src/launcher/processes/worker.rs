//! A worker process, from the launcher's side.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

use super::channel::{Channel, Received};
use super::children::Child;
use crate::hsm_protocol::launch::{
    Frame as _, HsmName, SettingsBytes, SettingsChoice, WorkerEnd, WorkerMessage, WorkerRequest,
};
use crate::hsm_protocol::packet;
use crate::launcher::logins::Requester;
use crate::launcher::plan::Plan;

/// The descriptors for the front: the control channel, the output, the sessions.
pub(in crate::launcher) type FrontDescriptors = Vec<OwnedFd>;

/// A running worker.
pub(in crate::launcher) struct Worker {
    pub(in crate::launcher) hsm: HsmName,
    child: Child,
    channel: Channel,
    /// The worker's ends of the control channel and the sessions, until it requests them.
    parts: Option<Vec<OwnedFd>>,
    settings: Option<SettingsBytes>,
}

impl Worker {
    /// Starts a worker.
    ///
    /// # Errors
    /// When no descriptors are left, or the system cannot start a process.
    pub(in crate::launcher) fn start(
        plan: &Plan,
        hsm: HsmName,
        sessions: u16,
        settings: SettingsChoice,
    ) -> io::Result<(Self, FrontDescriptors)> {
        let (mut parts, mut descriptors) = (Vec::new(), Vec::new());
        for _ in 0..=sessions {
            let (worker_end, front_end) = packet::pair()?;
            parts.push(worker_end);
            descriptors.push(front_end);
        }
        let (output, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        descriptors.insert(1, output);
        let (channel, socket) = Channel::new()?;
        let arguments = (plan.commands.worker)(plan, &hsm, settings);
        let worker = Self {
            child: Child::start_group(&arguments, socket, writer)?,
            hsm,
            channel,
            parts: Some(parts),
            settings: None,
        };
        Ok((worker, descriptors))
    }

    pub(in crate::launcher) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(in crate::launcher) fn kill(&self) {
        self.child.kill();
    }

    /// Returns a descriptor that becomes readable when the process has ended.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub(in crate::launcher) fn end_event(&self) -> io::Result<OwnedFd> {
        self.child.end_event()
    }

    /// Returns how the worker ended, once.
    pub(in crate::launcher) fn end(&mut self) -> Option<WorkerEnd> {
        let end = self.child.end()?;
        self.channel.stop_sending();
        Some(end)
    }

    /// Returns who logs in: the HSM with its settings.
    ///
    /// # Errors
    /// When the worker did not request its parts yet.
    pub(in crate::launcher) fn requester(&self) -> io::Result<Requester> {
        match (&self.settings, &self.parts) {
            (Some(settings), None) => Ok(Requester::new(&self.hsm, settings)),
            _ => Err(io::Error::other("login before the parts were requested")),
        }
    }

    /// Returns the settings of the worker, if it has them.
    pub(in crate::launcher) fn settings(&self) -> Option<&SettingsBytes> {
        self.settings.as_ref()
    }

    /// Sends queued packets, and returns the next request.
    ///
    /// # Errors
    /// When the worker violates the protocol.
    pub(in crate::launcher) fn request(&mut self) -> io::Result<Option<WorkerRequest>> {
        self.channel.flush();
        match self.channel.receive()? {
            Received::Frame(request) => Ok(Some(request)),
            Received::Nothing | Received::Closed => Ok(None),
        }
    }

    /// Stores the settings of the worker.
    ///
    /// # Errors
    /// When the worker has its parts already.
    pub(in crate::launcher) fn store(&mut self, settings: SettingsBytes) -> io::Result<()> {
        self.check_is_preparing()?;
        self.settings = Some(settings);
        self.answer(&WorkerMessage::Stored);
        Ok(())
    }

    /// Sends the last good settings, which become those of the worker.
    ///
    /// # Errors
    /// When the worker has its parts already.
    pub(in crate::launcher) fn use_last_good(
        &mut self,
        settings: Option<&SettingsBytes>,
    ) -> io::Result<()> {
        self.check_is_preparing()?;
        self.settings = settings.cloned();
        self.answer(&WorkerMessage::LastGood(self.settings.clone()));
        Ok(())
    }

    /// Sends the worker its settings and sockets.
    ///
    /// # Errors
    /// When they were sent already, or the worker has no settings yet.
    pub(in crate::launcher) fn send_parts(&mut self) -> io::Result<()> {
        let settings = self.settings.clone();
        let settings =
            settings.ok_or_else(|| io::Error::other("parts requested before settings"))?;
        let parts = self.parts.take();
        let parts = parts.ok_or_else(|| io::Error::other("parts were sent already"))?;
        let sessions = u16::try_from(parts.len().saturating_sub(1)).unwrap_or(u16::MAX);
        let frame = WorkerMessage::Parts { settings, sessions };
        let more = || WorkerMessage::Descriptors.encode();
        self.channel.send_with(&frame, parts, more);
        Ok(())
    }

    /// Sends an answer.
    pub(in crate::launcher) fn answer(&mut self, message: &WorkerMessage) {
        self.channel.send(message);
    }

    fn check_is_preparing(&self) -> io::Result<()> {
        match self.parts {
            Some(_) => Ok(()),
            None => Err(io::Error::other(
                "settings received after the parts were sent",
            )),
        }
    }
}
