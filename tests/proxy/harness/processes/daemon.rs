//! A real binary as a child process. Its log is read as it comes and shown when the test fails. The process ends with the test.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, pipe};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::PATIENCE;
use crate::harness::metrics::eventually;
use crate::harness::process;

/// A placeholder for the device and the inode of standard output in the value of an environment variable.
pub const STDOUT: &str = "{stdout}";

/// A running `xks-proxy serve`, which is the launcher, or another long-running program.
pub struct Daemon {
    name: &'static str,
    child: Child,
    /// The front process, once it has been found.
    front: OnceLock<u32>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
    is_unread: Mutex<bool>,
    read_on: Condvar,
}

impl Daemon {
    /// Starts the proxy with these settings and environment variables, and waits for nothing. A value [`STDOUT`] is replaced by the device and
    /// the inode of its standard output, as systemd passes them.
    pub fn start(configuration: &Path, variables: &[(String, String)]) -> Self {
        Self::start_by(&[], configuration, variables)
    }

    /// Starts the proxy with another command that becomes it: `command …, proxy …`.
    pub fn start_by(
        command: &[String],
        configuration: &Path,
        variables: &[(String, String)],
    ) -> Self {
        let (reader, writer) = pipe().unwrap();
        let writer = File::from(OwnedFd::from(writer));
        let stream = writer.metadata().unwrap();
        let stream = format!("{}:{}", stream.dev(), stream.ino());
        let variables = variables.iter().map(|(name, value)| {
            let value = if value == STDOUT { &stream } else { value };
            (name.clone(), value.clone())
        });
        let proxy = env!("CARGO_BIN_EXE_xks-proxy").to_owned();
        let words = [command, &[proxy]].concat();
        let mut proxy = Command::new(&words[0]);
        proxy
            .args(&words[1..])
            .args(["serve", "--config"])
            .arg(configuration)
            .env("STATE_DIRECTORY", state_directory(configuration))
            .envs(variables)
            .stdout(writer);
        Self::spawn("proxy", proxy, reader)
    }

    /// Starts another program, whose lines of output are its log.
    pub fn of(name: &'static str, mut command: Command) -> Self {
        let (reader, writer) = pipe().unwrap();
        command.stdout(writer);
        Self::spawn(name, command, reader)
    }

    fn spawn(name: &'static str, mut command: Command, output: impl Read + Send + 'static) -> Self {
        let command = command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Log::default());
        log.follow(output);
        log.follow(child.stderr.take().unwrap());
        Self {
            name,
            child,
            front: OnceLock::new(),
            log,
        }
    }

    /// Waits until a log line satisfies the condition, and returns it.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + PATIENCE;
        let mut lines = self
            .log
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut seen = 0;
        loop {
            if let Some(found) = lines[seen..].iter().map(|line| parsed(line)).find(&wanted) {
                return found;
            }
            seen = lines.len();
            let left = give_up.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the log never said: {what}");
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Stops reading the log after the next line, until `read_on`.
    pub fn stop_reading(&self) {
        *self.log.is_unread.lock().unwrap() = true;
    }

    /// Continues to read the log.
    pub fn read_on(&self) {
        *self.log.is_unread.lock().unwrap() = false;
        self.log.read_on.notify_all();
    }

    /// Returns the address of a listener.
    #[track_caller]
    pub fn address(&self, listener: &str) -> SocketAddr {
        let listening =
            |line: &Value| line["message"] == "listening" && line["listener"] == listener;
        let line = self.wait_for(&format!("listening, listener {listener}"), listening);
        line["address"].as_str().unwrap().parse().unwrap()
    }

    /// Returns all log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.log
            .lines
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Returns the process id of the launcher, which a service manager uses.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the process id of the front, which has the connections, the plaintexts and the log.
    #[track_caller]
    pub fn front(&self) -> u32 {
        eventually("the front process", || self.find_front())
    }

    fn find_front(&self) -> Option<u32> {
        if let Some(front) = self.front.get() {
            return Some(*front);
        }
        let front = process::child_named(self.id(), "front")?;
        Some(*self.front.get_or_init(|| front))
    }

    /// Sends a signal, as a service manager does.
    pub fn signal(&self, signal: Signal) {
        // A test that kills the launcher must also wait for the end of the front.
        self.find_front();
        process::signal(self.id(), signal);
    }

    /// Sends a signal to the front itself.
    #[track_caller]
    pub fn signal_front(&self, signal: Signal) {
        process::signal(self.front(), signal);
    }

    /// Waits until the process has a handler for this signal.
    #[track_caller]
    pub fn await_caught(&self, signal: Signal) {
        let give_up = Instant::now() + PATIENCE;
        let path = format!("/proc/{}/status", self.child.id());
        let bit = 1_u64 << (signal.as_raw() - 1);
        loop {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            if caught.unwrap_or_default() & bit != 0 {
                return;
            }
            assert!(Instant::now() < give_up, "{signal:?} is never caught");
            thread::yield_now();
        }
    }

    /// Waits for the end of the process and of the front.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("its end", || self.child.try_wait().unwrap());
        if let Some(front) = self.front.get() {
            process::await_end(*front);
        }
        status
    }

    /// Returns whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Returns the resident memory of the front in KiB.
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.front());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Log {
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                log.lines.lock().unwrap().push(line);
                log.grown.notify_all();
                let is_unread = log.is_unread.lock().unwrap();
                drop(log.read_on.wait_while(is_unread, |unread| *unread).unwrap());
            }
        });
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.find_front();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(front) = self.front.get().filter(|_| !thread::panicking()) {
            process::await_end(*front);
        }
        if thread::panicking() {
            let (name, log) = (self.name, self.log().join("\n"));
            eprintln!("--- the {name}'s log ---\n{log}\n--- end of log ---");
        }
    }
}

/// Returns a directory next to the configuration, so that the proxy has no reason for a warning.
pub fn state_directory(configuration: &Path) -> PathBuf {
    let state = configuration.with_file_name("state");
    // A directory that cannot exist is part of a test about something else.
    drop(std::fs::create_dir(&state));
    state
}

/// Parses a line. A line that is not an event (a panic, a message on stderr) has no fields, but stays in the log.
fn parsed(line: &str) -> Value {
    let levelled = line.strip_prefix('<').and_then(|line| line.get(2..));
    let line = levelled.unwrap_or(line);
    serde_json::from_str(line).unwrap_or_else(|_| text_fields(line).unwrap_or_default())
}

/// Parses `time LEVEL target: message field=value …`, as far as tests need it to find the proxy. Values with spaces are cut off.
fn text_fields(line: &str) -> Option<Value> {
    let (_, event) = line.split_once(": ")?;
    let is_field = |word: &&str| word.contains('=');
    let words = event.split(' ');
    let message: Vec<&str> = words.clone().take_while(|word| !is_field(word)).collect();
    let mut fields: serde_json::Map<String, Value> = words
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').into()))
        .collect();
    fields.insert("message".to_owned(), message.join(" ").into());
    Some(fields.into())
}
