//! The commands of the real binary, run until they end.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::setup::Setup;

/// The result of a command.
pub struct Ran {
    /// The exit code.
    pub code: Option<i32>,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

impl Ran {
    /// Returns the output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self}"))
    }

    /// Fails the test unless the command ended with `code`, and one of its streams contains each part.
    #[track_caller]
    pub fn expect(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        for part in parts {
            let is_contained = self.stdout.contains(part) || self.stderr.contains(part);
            assert!(is_contained, "{part:?} is not in:\n{self}");
        }
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            code,
            stdout,
            stderr,
        } = self;
        write!(f, "exit code {code:?}\n{stdout}\n{stderr}")
    }
}

/// Runs a command on the current configuration.
pub fn run(setup: &Setup, arguments: &[&str]) -> Ran {
    let file = setup.write_private("command.toml", &setup.toml());
    let output = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(arguments)
        .arg("--config")
        .arg(file)
        .envs(setup.variables.clone())
        .output();
    output.unwrap().into()
}

/// Runs a command with this standard input.
pub fn run_with(arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xks-proxy"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended.
    let mut stdin = child.stdin.take().unwrap();
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    child.wait_with_output().unwrap().into()
}
