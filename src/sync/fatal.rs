//! The end of the process after an internal error.
//!
//! # Invariants
//! - It ends within [`PATIENCE`] and a little more, whatever hangs: the log, standard error, a vendor's library.
//! - It ends by `_exit`: handlers of PKCS#11 libraries would run while their threads still work, and could change the exit code by a crash.

use std::cell::Cell;
use std::io::Write;
use std::process::abort;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::thread::{self, Builder};
use std::time::Duration;

use super::report::Report;

/// The exit code after an internal error (`EX_SOFTWARE` of sysexits.h).
pub const INTERNAL_ERROR: u8 = 70;

/// How long the log may take for the last line.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a line may take that is not the last one.
const LINE_PATIENCE: Duration = Duration::from_millis(500);

type Action = Box<dyn Fn() -> bool + Send + Sync>;

static LAST_ACTION: OnceLock<Action> = OnceLock::new();

thread_local! {
    /// The thread logs a panic: another panic here must not start one more thread.
    static IS_TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Sets what is done before the process ends, after the last line was logged: writing out what the log still holds. It returns whether
/// everything was written. The first call counts.
pub fn set_last_action(action: impl Fn() -> bool + Send + Sync + 'static) {
    drop(LAST_ACTION.set(Box::new(action)));
}

/// Ends the process because of `reason`, which is logged.
pub(super) fn end(reason: &str) -> ! {
    let reason = reason.to_owned();
    let line = reason.clone();
    end_after(
        move || {
            tracing::error!(
                reason,
                exit_code = INTERNAL_ERROR,
                "internal error; the process ends"
            )
        },
        &line,
    )
}

/// Ends the process because of a panic.
pub(super) fn end_by_panic(report: Report) -> ! {
    let line = report.line();
    end_after(
        move || {
            report.log();
            tracing::error!(
                exit_code = INTERNAL_ERROR,
                "internal error; the process ends"
            );
        },
        &line,
    )
}

/// Logs a panic that the process survives.
pub(super) fn tell(report: Report) {
    let line = report.line();
    if !told(move || report.log(), LINE_PATIENCE) {
        complain(&line);
    }
}

fn end_after(log: impl FnOnce() + Send + 'static, line: &str) -> ! {
    // Whatever hangs below, the process ends. A system without a thread for this has the steps below alone.
    drop(Builder::new().spawn(|| {
        thread::sleep(PATIENCE + LINE_PATIENCE);
        abort();
    }));
    let finish = || {
        log();
        LAST_ACTION.get().is_some_and(|written| written())
    };
    if IS_TELLING.get() || !told_by(finish, PATIENCE) {
        complain(line);
    }
    signal_hook::low_level::exit(i32::from(INTERNAL_ERROR))
}

fn told(log: impl FnOnce() + Send + 'static, patience: Duration) -> bool {
    let has_log = tracing::dispatcher::has_been_set();
    told_by(
        move || {
            log();
            has_log
        },
        patience,
    )
}

/// Logs from a thread of its own: the thread that panicked may hold the log's locks, or be inside the log. Returns whether it was logged.
fn told_by(log: impl FnOnce() -> bool + Send + 'static, patience: Duration) -> bool {
    let (done, logged) = sync_channel(1);
    let started = Builder::new().name("xks-panic".to_owned()).spawn(move || {
        IS_TELLING.set(true);
        // Nobody waits any more when it took too long.
        let _ = done.send(log());
    });
    started.is_ok() && logged.recv_timeout(patience) == Ok(true)
}

/// Without a log there is standard error; without that, the exit code and the count.
fn complain(line: &str) {
    drop(writeln!(
        std::io::stderr(),
        "xks-proxy: internal error: {line}"
    ));
}
