//! The front process, from the launcher's side.

use std::ffi::OsString;
use std::io;

use rustix::process::Signal;

use super::channel::Channel;
use super::children::Child;
use crate::hsm_protocol::launch::WorkerEnd;
use crate::launcher::standard_error::print_error;
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

    /// Notes that the front handles signals.
    pub(in crate::launcher) fn handles_signals(&mut self) {
        self.handles_signals = true;
    }

    /// Forwards signals, unless they would end the front because it does not handle them yet.
    pub(in crate::launcher) fn forward(&self, signals: &crate::launcher::signals::Signals) {
        if self.handles_signals {
            signals.take().for_each(|signal| self.child.signal(signal));
        }
    }

    /// Returns the exit code of the launcher, if the front has ended.
    pub(in crate::launcher) fn exit_code(&mut self) -> Option<u8> {
        match self.child.end()? {
            WorkerEnd::Exited(code) => Some(code),
            WorkerEnd::Killed(signal) => {
                print_error(&format!(
                    "signal {signal} ended the front process; the service ends with exit code {INTERNAL_ERROR}"
                ));
                Some(INTERNAL_ERROR)
            }
        }
    }

    /// Kills a front that violates the protocol.
    pub(in crate::launcher) fn kill(&self, reason: &io::Error) {
        print_error(&format!(
            "the front process sent an invalid frame: {reason}"
        ));
        self.child.signal(Signal::KILL);
    }
}
