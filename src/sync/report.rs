//! The log line of a panic.

use std::any::Any;
use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::thread;

use super::scope::Scope;
use super::task_name;

/// Replaces a formatted message, which may contain input or a secret.
const WITHHELD: &str = "withheld, because it may contain input";

/// The most frames of a report.
const MAX_FRAMES: usize = 12;

/// A panic, with the parts that may be logged.
pub(super) struct Report {
    scope: Option<Scope>,
    location: String,
    message: &'static str,
    thread: String,
    task: Option<&'static str>,
    /// Functions of this program, innermost first, because the location may be in the standard library.
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

    /// Logs the panic. The field `where` is set if the process survives it.
    pub(super) fn log(&self) {
        tracing::error!(
            r#where = self.scope.map(Scope::as_str),
            location = self.location,
            panic = self.message,
            thread = self.thread,
            task = self.task,
            frames = self.frames,
            "panic; this is a defect of the program"
        );
    }

    /// Returns one line of text.
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

/// Returns the frames of a backtrace that are functions of this program, with file and line if known.
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

/// Returns the message if it is a literal.
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
