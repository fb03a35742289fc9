//! The front, as the launcher sees it.

use std::ffi::OsString;
use std::io;

use rustix::process::Signal;

use super::channel::Channel;
use super::children::Child;
use crate::hsm_protocol::launch::WorkerEnd;
use crate::launcher::standard_error::complain;
use crate::sync::INTERNAL_ERROR;

/// The running front.
pub(in crate::launcher) struct Front {
    child: Child,
    pub(in crate::launcher) channel: Channel,
    handles_signals: bool,
}

impl Front {
    /// Starts the front.
    ///
    /// # Errors
    /// When the system cannot start a process.
    pub(in crate::launcher) fn start(arguments: &[OsString]) -> io::Result<Self> {
        let (channel, socket) = Channel::new()?;
        Ok(Self {
            child: Child::start(arguments, socket)?,
            channel,
            handles_signals: false,
        })
    }

    /// The front said that it handles signals.
    pub(in crate::launcher) fn handles_signals(&mut self) {
        self.handles_signals = true;
    }

    /// Forwards signals, unless they would end the front because it does not handle them yet.
    pub(in crate::launcher) fn forward(&self, signals: &crate::launcher::signals::Signals) {
        if self.handles_signals {
            signals.take().for_each(|signal| self.child.signal(signal));
        }
    }

    /// The exit code of the launcher, once the front has ended.
    pub(in crate::launcher) fn exit_code(&mut self) -> Option<u8> {
        match self.child.end()? {
            WorkerEnd::Exited(code) => Some(code),
            WorkerEnd::Killed(signal) => {
                complain(&format!(
                    "signal {signal} ended the front process; the service ends with exit code {INTERNAL_ERROR}"
                ));
                Some(INTERNAL_ERROR)
            }
        }
    }

    /// Kills a front that does not keep to the protocol.
    pub(in crate::launcher) fn kill(&self, why: &io::Error) {
        complain(&format!("the front process sent a wrong frame: {why}"));
        self.child.signal(Signal::KILL);
    }
}
