//! Signals before the runtime starts: the process has one thread while it reads the configuration and applies the sandbox.
//!
//! # Invariants
//! - After [`FirstSignals::handle`] no signal of the launcher ends the process, and none is lost:
//!   [`super::signals::Signals`] handles those that arrived before it existed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use signal_hook::flag;

/// The signals that have arrived so far. Each handler only sets a flag, and stays installed.
pub(in crate::app) struct FirstSignals {
    terminate: Arc<AtomicBool>,
    interrupt: Arc<AtomicBool>,
    hang_up: Arc<AtomicBool>,
}

impl FirstSignals {
    /// Handles the signals from now on. SIGUSR1 and SIGUSR2 are ignored.
    ///
    /// # Errors
    /// When the operating system cannot install a handler.
    pub(in crate::app) fn handle() -> io::Result<Self> {
        for ignored in [Signal::USR1, Signal::USR2] {
            handle(ignored)?;
        }
        Ok(Self {
            terminate: handle(Signal::TERM)?,
            interrupt: handle(Signal::INT)?,
            hang_up: handle(Signal::HUP)?,
        })
    }

    /// Returns the name of the signal that requests the end of the process, if one has arrived.
    pub(in crate::app) fn stop(&self) -> Option<&'static str> {
        if self.terminate.load(Ordering::SeqCst) {
            return Some("SIGTERM");
        }
        let has_interrupt = self.interrupt.load(Ordering::SeqCst);
        has_interrupt.then_some("SIGINT")
    }

    /// Returns whether SIGHUP has arrived.
    pub(in crate::app) fn has_hung_up(&self) -> bool {
        self.hang_up.load(Ordering::SeqCst)
    }
}

fn handle(signal: Signal) -> io::Result<Arc<AtomicBool>> {
    let has_arrived = Arc::new(AtomicBool::new(false));
    flag::register(signal.as_raw(), Arc::clone(&has_arrived))?;
    Ok(has_arrived)
}
