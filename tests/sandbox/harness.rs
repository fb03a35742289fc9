//! Runs the example `sandboxed`, and provides a directory for it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// A directory without symbolic links in its path.
pub struct Place {
    _directory: TempDir,
    pub root: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        Self {
            _directory: directory,
            root,
        }
    }

    /// Creates a file with its directories. Returns its path.
    pub fn file(&self, name: &str) -> String {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, name).unwrap();
        self.path(name)
    }

    pub fn path(&self, name: &str) -> String {
        self.root.join(name).to_str().unwrap().to_owned()
    }
}

/// The output of the program: names and values.
pub struct Report(Vec<(String, String)>);

impl Report {
    /// Returns the outcome of an action, or the value of a line that exists once.
    #[track_caller]
    pub fn of(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        let (_, value) = found.unwrap_or_else(|| panic!("no {name} in {:?}", self.0));
        value
    }

    /// Returns all values of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the lines whose names begin with `start`.
    pub fn beginning(&self, start: &str) -> impl Iterator<Item = (&str, &str)> {
        let lines = self
            .0
            .iter()
            .filter(move |(name, _)| name.starts_with(start));
        lines.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Runs the program to its end.
pub fn run(sandbox: &str, options: &[String], acts: &[String]) -> Report {
    Running::start(sandbox, options, acts, &[]).finish()
}

/// Runs the program to its end, with environment variables.
pub fn run_with(
    sandbox: &str,
    options: &[String],
    acts: &[String],
    environment: &[(&str, &Path)],
) -> Report {
    Running::start(sandbox, options, acts, environment).finish()
}

/// Asserts that each action works without a sandbox. Returns the outcomes in a sandbox.
#[track_caller]
pub fn denied(sandbox: &str, options: &[String], acts: &[String]) -> Report {
    let free = run("none", &[], acts);
    for act in acts {
        assert_eq!(free.of(act), "ok", "{act} without a sandbox");
    }
    run(sandbox, options, acts)
}

/// The running program.
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    read: String,
}

impl Running {
    pub fn start(
        sandbox: &str,
        options: &[String],
        acts: &[String],
        environment: &[(&str, &Path)],
    ) -> Self {
        let mut command = Command::new(example("sandboxed"));
        command.arg(sandbox).args(options).arg("--").args(acts);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output,
            read: String::new(),
        }
    }

    /// Waits until the program reaches the action `wait`.
    pub fn reach_wait(&mut self) {
        while !self.read.ends_with("waiting\tok\n") {
            let count = self.output.read_line(&mut self.read).unwrap();
            assert_ne!(count, 0, "it ended: {}", self.read);
        }
    }

    /// Continues after `wait`.
    pub fn proceed(&mut self) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(b"\n").unwrap();
    }

    pub fn finish(mut self) -> Report {
        self.output.read_to_string(&mut self.read).unwrap();
        let status = self.child.wait().unwrap();
        let lines = self.read.lines().filter_map(|line| line.split_once('\t'));
        let lines: Vec<_> = lines.map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let has_failed = lines.iter().any(|(name, _)| name == "error");
        assert!(status.success() || has_failed, "{status}: {}", self.read);
        Report(lines)
    }
}

/// Returns the path of an example. `cargo test` builds examples, `cargo test --test sandbox` does not.
pub fn example(name: &str) -> PathBuf {
    let proxy = Path::new(env!("CARGO_BIN_EXE_xks-proxy"));
    let path = proxy.parent().unwrap().join("examples").join(name);
    let hint = "is missing: run `cargo build --examples` first";
    assert!(path.exists(), "{} {hint}", path.display());
    path
}

/// Owned strings, for lists of acts and options.
#[macro_export]
macro_rules! strings {
    ($($($part:expr),+);* $(;)?) => { &[$(format!($($part),+)),*] };
}
