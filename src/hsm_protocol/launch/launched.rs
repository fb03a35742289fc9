//! The connection of a started process to the launcher.
//!
//! Standard input is the channel to the launcher. It needs no `unsafe` code, and a process that was not started by the launcher does not
//! have it.
//!
//! # Invariants
//! - After [`channel`] or [`take_channel`], the kernel kills this process when the launcher ends. If the launcher has already ended, both
//!   fail.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Returns the channel to the launcher. Standard input also stays connected to it. To be called by the main thread, before other threads
/// start.
///
/// # Errors
/// When the launcher did not start this process, or has ended.
pub fn channel() -> io::Result<OwnedFd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let channel = io::stdin().as_fd().try_clone_to_owned()?;
    // The peer credentials of a socket pair are those of the process that created it.
    let launcher = match socket_peercred(&channel) {
        Err(Errno::NOTSOCK) => return Err(not_launched()),
        launcher => launcher?,
    };
    match getppid() == Some(launcher.pid) {
        true => Ok(channel),
        false => Err(not_launched()),
    }
}

/// Like [`channel`], but standard input becomes `/dev/null`.
///
/// # Errors
/// See [`channel`].
pub fn take_channel() -> io::Result<OwnedFd> {
    let channel = channel()?;
    let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(channel)
}

fn not_launched() -> io::Error {
    io::Error::other("this is an internal command, which only a running \"xks-proxy serve\" starts")
}
