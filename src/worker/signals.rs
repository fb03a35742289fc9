//! The signals that a worker must survive.
//!
//! A service manager, or an operator with `pkill`, may send them to all processes of the service. The worker is needed until the front has
//! answered its last request. Then the front closes the control channel, and the launcher kills processes that still run.

use std::io;
use std::sync::Arc;

use rustix::process::Signal;
use signal_hook::flag;

/// Ignores SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2. Uses a handler that does nothing, because programs that the library starts
/// would inherit ignored signals.
pub(super) fn ignore() -> io::Result<()> {
    let signals = [
        Signal::TERM,
        Signal::INT,
        Signal::HUP,
        Signal::USR1,
        Signal::USR2,
    ];
    for signal in signals {
        flag::register(signal.as_raw(), Arc::default())?;
    }
    Ok(())
}
