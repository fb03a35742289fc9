//! The parts that a worker gets from the launcher.

use std::io;
use std::os::fd::OwnedFd;

use super::link::{LauncherLink, unexpected};
use crate::hsm_protocol::launch::{WorkerMessage, WorkerRequest};

/// The parts that a worker gets from the launcher.
pub struct WorkerParts {
    /// The encoded settings from the first stage. They contain no PIN.
    pub settings: Vec<u8>,
    /// The channel to the launcher, for permission to log in.
    pub launcher: LauncherLink,
    /// The control channel to the front. When the front closes it, the worker must end.
    pub control: OwnedFd,
    /// The sockets for jobs, one per session.
    pub sessions: Vec<OwnedFd>,
}

/// Requests the parts of the worker from the launcher.
///
/// # Errors
/// When the launcher has ended, or descriptors were lost.
pub(in crate::worker) fn receive_parts(channel: OwnedFd) -> io::Result<WorkerParts> {
    let launcher = LauncherLink::new(channel);
    let (message, packet) = launcher.request(&WorkerRequest::Parts)?;
    let WorkerMessage::Parts { settings, sessions } = message else {
        return Err(unexpected());
    };
    let mut descriptors = packet.descriptors;
    // The control channel comes first.
    let wanted = usize::from(sessions) + 1;
    while descriptors.len() < wanted {
        match launcher.receive()? {
            (WorkerMessage::Descriptors, more) if !more.descriptors.is_empty() => {
                descriptors.extend(more.descriptors);
            }
            _ => return Err(unexpected()),
        }
    }
    let mut descriptors = descriptors.into_iter();
    Ok(WorkerParts {
        settings: settings.into_bytes(),
        launcher,
        control: descriptors.next().ok_or_else(unexpected)?,
        sessions: descriptors.collect(),
    })
}
