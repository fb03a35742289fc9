//! The panic hook: logs and counts each panic, and ends the process unless the panic occurred in a [`Scope`].

use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::fatal;
use super::report::Report;
use super::scope::{self, Scope};

/// The most lines per second for panics that the process survives, so that a client cannot fill the log. All panics are counted.
const LINES_PER_SECOND: u64 = 5;

/// Installs the hook for the whole process. Call it before other threads are started.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        let scope = scope::current();
        match scope {
            Some(scope) => survive(scope, || Report::of(info, Some(scope))),
            None => fatal::end_by_panic(Report::of(info, None)),
        }
    }));
}

fn survive(scope: Scope, report: impl FnOnce() -> Report) {
    scope::count(scope);
    if is_within_rate() {
        fatal::log_panic(report());
    }
}

fn is_within_rate() -> bool {
    /// The current second and its number of lines: `second << 8 | lines`.
    static LINES: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let second = now.unwrap_or_default().as_secs() << 8;
    let counted = LINES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lines| {
        match lines & !0xff == second {
            false => Some(second | 1),
            true if lines & 0xff < LINES_PER_SECOND => Some(lines + 1),
            true => None,
        }
    });
    counted.is_ok()
}
