//! The audit trail of a test's proxy, parsed and checked without the proxy's code.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::metrics::eventually;
use crate::harness::setup::Setup;
use crate::harness::sign::hexadecimal;

/// The label of the key that signs checkpoints.
pub const AUDIT_KEY: &str = "xks-audit";

/// The audit trail at a path, including rotated files.
pub struct Trail {
    path: PathBuf,
}

impl Setup {
    /// Adds an `[audit]` table with these lines. The audit trail has a separate directory.
    pub fn audit(&mut self, lines: &str) -> Trail {
        let directory = self.directory.join("trail");
        fs::create_dir(&directory).unwrap();
        self.audit_at(&directory.join("audit.jsonl"), lines)
    }

    /// Adds an `[audit]` table for an existing path.
    pub fn audit_at(&mut self, path: &Path, lines: &str) -> Trail {
        let table = format!("[audit]\npath = {path:?}\nkey = {AUDIT_KEY:?}\n{lines}\n");
        self.edit("[server]\n", &format!("{table}[server]\n"));
        Trail {
            path: path.to_owned(),
        }
    }

    /// Adds an `[audit]` table whose audit trail is on a separate disk of this size in KiB, which only the proxy sees.
    pub fn audit_on_a_disk(&mut self, kib: u32, lines: &str) -> Trail {
        let disk = self.directory.join("disk");
        fs::create_dir(&disk).unwrap();
        let trail = self.audit_at(&disk.join("audit.jsonl"), lines);
        let mount = format!("mount -t tmpfs -o size={kib}k tmpfs \"$0\" && exec \"$@\"");
        let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mount];
        self.command = words.map(str::to_owned).to_vec();
        self.command.push(disk.display().to_string());
        trail
    }
}

impl Trail {
    /// Returns the current file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the same audit trail at the path where another process sees it.
    pub fn below(&self, root: &Path) -> Self {
        let path = root.join(self.path.strip_prefix("/").unwrap());
        Self { path }
    }

    /// Returns every file of the audit trail, oldest first, without the lock and files that were moved away.
    pub fn files(&self) -> Vec<PathBuf> {
        let name = self.path.file_name().unwrap().to_str().unwrap();
        let mut rotated: Vec<PathBuf> = fs::read_dir(self.path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_rotated(path.file_name().unwrap().to_str().unwrap(), name))
            .collect();
        rotated.sort();
        rotated.extend(self.path.exists().then(|| self.path.clone()));
        rotated
    }

    /// Returns every whole line, in order.
    pub fn lines(&self) -> Vec<Value> {
        let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
        let text: String = self.files().iter().map(read).collect();
        let whole = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Returns the lines with this value of `kind`.
    pub fn of_kind(&self, kind: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["kind"] == kind);
        lines
    }

    /// Returns the line of the request with this body. With `on_failure = "continue"`, the response may precede the line.
    #[track_caller]
    pub fn request(&self, body: &Value) -> Value {
        let id = &body["requestMetadata"]["kmsRequestId"];
        let lines = self.of_kind("request");
        let mut found = lines
            .into_iter()
            .filter(|line| line["request_metadata"]["kmsRequestId"] == *id);
        let line = found.next().unwrap_or_else(|| panic!("no line of {id}"));
        assert!(found.next().is_none(), "two lines of {id}");
        line
    }

    /// Waits for a line that satisfies the condition.
    #[track_caller]
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.lines().into_iter().find(&wanted))
    }

    /// Waits for a security event.
    #[track_caller]
    pub fn wait_for_event(&self, event: &str) -> Value {
        self.wait_for(event, |line| line["event"] == event)
    }

    /// Checks numbers, links and hashes of the whole audit trail by the schema.
    #[track_caller]
    pub fn assert_chain(&self) {
        let (mut prev, mut seq) = ("0".repeat(64), 0);
        for file in self.files() {
            let text = fs::read_to_string(&file).unwrap();
            for line in text.split_inclusive('\n') {
                let body = line.strip_suffix('\n').expect("a torn line");
                let parsed: Value = serde_json::from_str(body).unwrap();
                seq += 1;
                assert_eq!(parsed["seq"], seq, "{body}");
                assert_eq!(parsed["prev"], prev, "{body}");
                let hashed = &body[..body.rfind(",\"hash\"").unwrap()];
                prev = hexadecimal(&Sha256::digest(hashed));
                assert_eq!(parsed["hash"], prev, "{body}");
            }
        }
    }
}

/// Returns whether a file is rotated: its name ends in the number of its first line. Files that a test renames end in 1, as logrotate's do.
fn is_rotated(file: &str, current: &str) -> bool {
    let suffix = file.strip_prefix(current).and_then(|s| s.strip_prefix('.'));
    suffix.is_some_and(|s| s.chars().all(|c| c.is_ascii_digit()))
}
