//! The log line of a panic.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::thread;

use super::scope::Scope;
use super::task_name;

/// In place of a message that was formatted: it may hold input, or a secret.
const WITHHELD: &str = "withheld, because it may hold input";

/// More callers than these say nothing more.
const MAX_FRAMES: usize = 12;

/// One panic, in words that may be logged.
pub(super) struct Report {
    scope: Option<Scope>,
    location: String,
    message: &'static str,
    thread: String,
    task: Option<&'static str>,
    /// Functions of this program, the innermost first: the location may be in the standard library.
    frames: String,
}

impl Report {
    pub(super) fn of(info: &PanicHookInfo<'_>, scope: Option<Scope>) -> Self {
        let location = info.location().map(ToString::to_string);
        Self {
            scope,
            location: location.unwrap_or_default(),
            message: literal(info.payload()).unwrap_or(WITHHELD),
            thread: thread::current().name().unwrap_or_default().to_owned(),
            task: task_name::current(),
            frames: frames(&Backtrace::force_capture().to_string()),
        }
    }

    /// Logs it. The event is the same for all panics; `where` tells those that the process survives.
    pub(super) fn log(&self) {
        tracing::error!(
            r#where = self.scope.map(Scope::as_str),
            location = self.location,
            panic = self.message,
            thread = self.thread,
            task = self.task,
            frames = self.frames,
            "a panic: a defect of this program"
        );
    }

    /// The same as one line for people.
    pub(super) fn line(&self) -> String {
        let Self {
            location,
            message,
            thread,
            ..
        } = self;
        format!("panic at {location} in thread {thread}: {message}")
    }
}

/// The frames of a backtrace that are functions of this program, with file and line where they are known.
fn frames(backtrace: &str) -> String {
    let mut frames: Vec<String> = Vec::new();
    let mut is_ours = false;
    for line in backtrace.lines().map(str::trim) {
        match (line.strip_prefix("at "), line.split_once(": ")) {
            (Some(place), _) => {
                if let Some(frame) = frames.last_mut().filter(|_| is_ours) {
                    frame.push_str(&format!(" ({place})"));
                }
            }
            (None, Some((_, function))) => {
                is_ours =
                    function.contains("xks_proxy::") && !function.contains("xks_proxy::sync::");
                if is_ours && frames.len() == MAX_FRAMES {
                    break;
                }
                frames.extend(is_ours.then(|| function.to_owned()));
            }
            (None, None) => {}
        }
    }
    frames.join(" < ")
}

/// The message, if it is a literal.
fn literal(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_this_program() {
        let backtrace = "   0: std::panicking::panic\n             at /rustc/x/panicking.rs:1:2\n   \
            1: xks_proxy::sync::scope::contained\n   2: <xks_proxy::a::B as C>::call\n             at ./src/a.rs:3:4\n   \
            3: tokio::x\n             at /y/tokio.rs:5:6\n   4: xks_proxy::main\n";
        let expected = "<xks_proxy::a::B as C>::call (./src/a.rs:3:4) < xks_proxy::main";
        assert_eq!(frames(backtrace), expected);
        assert_eq!(frames("disabled backtrace"), "");
    }
}
