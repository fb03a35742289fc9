//! Ends the process after an internal error.
//!
//! # Invariants
//! - The process ends within [`PATIENCE`] plus [`LINE_PATIENCE`], even if the log, standard error or a PKCS#11 library hangs.
//! - The process ends by `_exit`: exit handlers of PKCS#11 libraries could crash while their threads run, and change the exit code.

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

/// How long logging the last line may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long logging any other line may take.
const LINE_PATIENCE: Duration = Duration::from_millis(500);

type Action = Box<dyn Fn() -> bool + Send + Sync>;

static LAST_ACTION: OnceLock<Action> = OnceLock::new();

thread_local! {
    /// True if the thread logs a panic. A panic during that must not start another thread.
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Sets the action before the process ends, after the last line was logged: writing the pending lines of the log. The action returns whether
/// all lines were written. Only the first call has an effect.
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
pub(super) fn log_panic(report: Report) {
    let line = report.line();
    if !log_if_set(move || report.log(), LINE_PATIENCE) {
        print_error(&line);
    }
}

fn end_after(log: impl FnOnce() + Send + 'static, line: &str) -> ! {
    // This thread ends the process if the steps below hang. If it cannot be started, only the steps below run.
    drop(Builder::new().spawn(|| {
        thread::sleep(PATIENCE + LINE_PATIENCE);
        abort();
    }));
    let finish = || {
        log();
        LAST_ACTION.get().is_some_and(|written| written())
    };
    if IS_LOGGING.get() || !log_in_thread(finish, PATIENCE) {
        print_error(line);
    }
    signal_hook::low_level::exit(i32::from(INTERNAL_ERROR))
}

fn log_if_set(log: impl FnOnce() + Send + 'static, patience: Duration) -> bool {
    let has_log = tracing::dispatcher::has_been_set();
    log_in_thread(
        move || {
            log();
            has_log
        },
        patience,
    )
}

/// Logs in a new thread, because the thread that panicked may hold locks of the log. Returns whether the line was logged in time.
fn log_in_thread(log: impl FnOnce() -> bool + Send + 'static, patience: Duration) -> bool {
    let (done, logged) = sync_channel(1);
    let started = Builder::new().name("xks-panic".to_owned()).spawn(move || {
        IS_LOGGING.set(true);
        // Fails if the receiver has timed out.
        let _ = done.send(log());
    });
    started.is_ok() && logged.recv_timeout(patience) == Ok(true)
}

/// Writes the line to standard error, if it could not be logged.
fn print_error(line: &str) {
    drop(writeln!(
        std::io::stderr(),
        "xks-proxy: internal error: {line}"
    ));
}
