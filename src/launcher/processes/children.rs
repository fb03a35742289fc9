//! Starts processes, kills them and waits for their ends.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process,
    kill_process_group, pidfd_open, wait, waitid, waitpid,
};

use crate::hsm_protocol::launch::WorkerEnd;

/// The executable of this process, also after an upgrade replaced the file. So launcher, front and workers have the same version.
const EXECUTABLE: &str = "/proc/self/exe";

/// The command that `ps` shows.
const NAME: &str = "xks-proxy";

/// The standard output and standard error of a process.
pub(in crate::launcher) enum Output {
    /// Those of the launcher.
    Inherited,
    /// This pipe, for both.
    Pipe(OwnedFd),
}

/// A process that the launcher started. When this is dropped, the process and its group are killed.
pub(in crate::launcher) struct Child {
    pid: Pid,
    leads_group: bool,
    has_ended: bool,
}

impl Child {
    /// Starts this executable in the launcher's process group, with the channel as standard input.
    ///
    /// # Errors
    /// When the system cannot start a process.
    pub(in crate::launcher) fn start(arguments: &[OsString], channel: OwnedFd) -> io::Result<Self> {
        Self::spawn(arguments, channel, Output::Inherited)
    }

    /// Starts this executable in a new process group, with its output to a pipe.
    ///
    /// # Errors
    /// When the system cannot start a process.
    pub(in crate::launcher) fn start_group(
        arguments: &[OsString],
        channel: OwnedFd,
        output: OwnedFd,
    ) -> io::Result<Self> {
        Self::spawn(arguments, channel, Output::Pipe(output))
    }

    fn spawn(arguments: &[OsString], channel: OwnedFd, output: Output) -> io::Result<Self> {
        let mut command = Command::new(EXECUTABLE);
        command.arg0(NAME).args(arguments).stdin(channel);
        let leads_group = matches!(output, Output::Pipe(_));
        if let Output::Pipe(pipe) = output {
            command.process_group(0);
            command.stdout(pipe.try_clone()?).stderr(Stdio::from(pipe));
        }
        let child = command.spawn()?;
        Ok(Self {
            pid: Pid::from_child(&child),
            leads_group,
            has_ended: false,
        })
    }

    /// Sends a signal to the process alone.
    pub(in crate::launcher) fn signal(&self, signal: Signal) {
        if !self.has_ended {
            // Fails if the process has just ended.
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Kills the process and its group.
    pub(in crate::launcher) fn kill(&self) {
        self.signal(Signal::KILL);
        if self.leads_group && !self.has_ended {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Returns a descriptor that becomes readable when the process has ended.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub(in crate::launcher) fn end_event(&self) -> io::Result<OwnedFd> {
        Ok(pidfd_open(self.pid, PidfdFlags::empty())?)
    }

    /// Returns how the process ended, once, after killing its group. Returns none while it runs.
    pub(in crate::launcher) fn end(&mut self) -> Option<WorkerEnd> {
        if self.has_ended {
            return None;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // NOWAIT keeps the process a zombie until its group is killed, so its process ID cannot be used by another group.
        waitid(WaitId::Pid(self.pid), options).ok().flatten()?;
        self.kill();
        let status = waitpid(Some(self.pid), WaitOptions::NOHANG).ok().flatten();
        self.has_ended = true;
        let status = status.map(|(_, status)| status);
        let signal = status.and_then(|status| status.terminating_signal());
        let code = status.and_then(|status| status.exit_status());
        Some(match signal.and_then(|signal| u8::try_from(signal).ok()) {
            Some(signal) => WorkerEnd::Killed(signal),
            None => WorkerEnd::Exited(
                code.and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(u8::MAX),
            ),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for orphaned processes, if the launcher is the first process of a container.
pub(in crate::launcher) fn reap_orphans() {
    if getpid() != Pid::INIT {
        return;
    }
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return,
        }
    }
}
