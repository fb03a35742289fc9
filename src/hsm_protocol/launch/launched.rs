//! The first steps of a process that the launcher started.
//!
//! The channel to the launcher is standard input: a process gets it without `unsafe` code, and a process that a person started does not
//! have it.
//!
//! # Invariants
//! - After [`channel`] or [`take_channel`] the process is killed when the launcher ends, also if it ended before.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The channel to the launcher, which also stays standard input. To be called by the main thread, before other threads start.
///
/// # Errors
/// When the launcher did not start this process, or has ended.
pub fn channel() -> io::Result<OwnedFd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let channel = io::stdin().as_fd().try_clone_to_owned()?;
    // The credentials of a pair of sockets are those of the process that made it.
    let launcher = match socket_peercred(&channel) {
        Err(Errno::NOTSOCK) => return Err(not_launched()),
        launcher => launcher?,
    };
    match getppid() == Some(launcher.pid) {
        true => Ok(channel),
        false => Err(not_launched()),
    }
}

/// As [`channel`]; standard input becomes `/dev/null`.
///
/// # Errors
/// As [`channel`].
pub fn take_channel() -> io::Result<OwnedFd> {
    let channel = channel()?;
    let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(channel)
}

fn not_launched() -> io::Error {
    io::Error::other("this is an internal command, which only a running \"xks-proxy serve\" starts")
}
