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

/// Signals that came, and a socket that becomes readable when one comes.
pub(super) struct Signals {
    wake: UnixStream,
    came: [(Signal, Arc<AtomicBool>); FORWARDED.len()],
}

impl Signals {
    /// Handles the signals from now on, and SIGCHLD, which only wakes the launcher.
    ///
    /// # Errors
    /// Without descriptors.
    pub(super) fn handle() -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let came = FORWARDED.map(|signal| (signal, Arc::default()));
        for (signal, came) in &came {
            // The flag first: it is set when the socket wakes the launcher.
            flag::register(signal.as_raw(), Arc::clone(came))?;
            pipe::register(signal.as_raw(), waker.try_clone()?)?;
        }
        pipe::register(Signal::CHILD.as_raw(), waker)?;
        Ok(Self { wake, came })
    }

    /// The event of a signal.
    pub(super) fn event(&self) -> PollFd<'_> {
        PollFd::new(&self.wake, PollFlags::IN)
    }

    /// Takes what woke the launcher.
    pub(super) fn clear_wake(&mut self) {
        let mut bytes = [0; 64];
        while self.wake.read(&mut bytes).is_ok_and(|length| length > 0) {}
    }

    /// Takes the signals that came. Several of one kind are one.
    pub(super) fn take(&self) -> impl Iterator<Item = Signal> {
        let came = self.came.iter();
        let came = came.filter(|(_, came)| came.swap(false, Ordering::SeqCst));
        came.map(|(signal, _)| *signal)
    }
}
