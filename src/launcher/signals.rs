//! The signals of the launcher.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;
use signal_hook::{flag, low_level::pipe};

/// The signals that are forwarded to the front.
const FORWARDED: [Signal; 5] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
];

/// Signals that arrived, and a socket that becomes readable when one arrives.
pub(super) struct Signals {
    wake: UnixStream,
    arrived: [(Signal, Arc<AtomicBool>); FORWARDED.len()],
}

impl Signals {
    /// Handles the signals from now on. SIGCHLD only wakes the launcher.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub(super) fn handle() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let arrived = FORWARDED.map(|signal| (signal, Arc::default()));
        for (signal, has_arrived) in &arrived {
            // The flag is registered first, so it is set before the socket wakes the launcher.
            flag::register(signal.as_raw(), Arc::clone(has_arrived))?;
            pipe::register(signal.as_raw(), waker.try_clone()?)?;
        }
        pipe::register(Signal::CHILD.as_raw(), waker)?;
        Ok(Self { wake, arrived })
    }

    /// Returns the event to wait for.
    pub(super) fn event(&self) -> PollFd<'_> {
        PollFd::new(&self.wake, PollFlags::IN)
    }

    /// Empties the socket that wakes the launcher.
    pub(super) fn clear_wake(&mut self) {
        let mut bytes = [0; 64];
        while self.wake.read(&mut bytes).is_ok_and(|length| length > 0) {}
    }

    /// Returns the signals that arrived since the last call. Repeated arrivals of the same signal count as one.
    pub(super) fn take(&self) -> impl Iterator<Item = Signal> {
        let all = self.arrived.iter();
        let arrived = all.filter(|(_, has_arrived)| has_arrived.swap(false, Ordering::SeqCst));
        arrived.map(|(signal, _)| *signal)
    }
}
