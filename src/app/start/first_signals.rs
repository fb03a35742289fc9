//! Signals before there is a runtime: the configuration is read, and the sandbox applied, while the process has one thread.
//!
//! # Invariants
//! - After [`FirstSignals::handle`] no signal of the launcher ends the process, and none is lost: [`super::signals::Signals`] takes over those that came.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use signal_hook::flag;

/// The signals that came so far. Their handlers stay: each sets a flag, and nothing else.
pub(in crate::app) struct FirstSignals {
    terminate: Arc<AtomicBool>,
    interrupt: Arc<AtomicBool>,
    hang_up: Arc<AtomicBool>,
}

impl FirstSignals {
    /// Handles the signals from now on. SIGUSR1 and SIGUSR2 are ignored.
    ///
    /// # Errors
    /// Those of the operating system.
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

    /// The signal that asked for the end of the process.
    pub(in crate::app) fn stop(&self) -> Option<&'static str> {
        if self.terminate.load(Ordering::SeqCst) {
            return Some("SIGTERM");
        }
        let has_interrupt = self.interrupt.load(Ordering::SeqCst);
        has_interrupt.then_some("SIGINT")
    }

    /// Returns whether SIGHUP came.
    pub(in crate::app) fn has_hung_up(&self) -> bool {
        self.hang_up.load(Ordering::SeqCst)
    }
}

fn handle(signal: Signal) -> io::Result<Arc<AtomicBool>> {
    let came = Arc::new(AtomicBool::new(false));
    flag::register(signal.as_raw(), Arc::clone(&came))?;
    Ok(came)
}
