//! The result of a sandbox: which protections are active, which are missing, and which PIN files stay readable.

use std::fmt;
use std::path::PathBuf;

use super::error::SandboxError;
use super::files::read_rules::ReadRules;

/// A protection that is not active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub protection: &'static str,
    /// Why: usually what the kernel lacks.
    pub reason: String,
}

/// A file that was to be unreadable but is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The file.
    pub file: PathBuf,
    /// The directory above it, or the file itself, that the process must be able to read for other reasons.
    pub directory: PathBuf,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, directory) = (self.file.display(), self.directory.display());
        write!(
            f,
            "{file} can be read, because {directory} also has other files that must be readable; move it to a directory that is \
             not below {directory} and has only such files, or use a systemd credential"
        )
    }
}

/// What a sandbox protects.
#[derive(Clone, Debug, Default)]
pub struct Protections {
    active: Vec<&'static str>,
    missing: Vec<Missing>,
    has_mistake: bool,
    exposed: Vec<Exposed>,
    landlock_abi: Option<u32>,
    reads: ReadRules,
}

impl Protections {
    /// The names of what is active.
    pub fn active(&self) -> &[&'static str] {
        &self.active
    }

    /// The protections that are not active, with the reasons.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Whether a mistake of the caller or the configuration, and not the kernel, is the reason why a protection is not active.
    pub fn has_mistake(&self) -> bool {
        self.has_mistake
    }

    /// Files in `unreadable` that can be read all the same, with the reason.
    pub fn exposed(&self) -> &[Exposed] {
        &self.exposed
    }

    /// The version of Landlock's interface that the kernel has; 0 without Landlock, none for a process that does not use it.
    pub fn landlock_abi(&self) -> Option<u32> {
        self.landlock_abi
    }

    /// What this process can read, for messages about files that a later configuration names.
    pub fn reads(&self) -> &ReadRules {
        &self.reads
    }

    /// Logs one line, which is a warning if the kernel lacks a protection and an error if a mistake prevents one, and a warning per exposed file. `process` is "front", for example.
    pub fn log(&self, process: &str) {
        let (active, landlock_abi) = (self.active.join(", "), self.landlock_abi);
        let missing = self.describe_missing();
        match (self.missing.is_empty(), self.has_mistake) {
            (true, _) => tracing::info!(process, active, landlock_abi, "sandbox active"),
            (false, true) => tracing::error!(
                process,
                active,
                missing,
                landlock_abi,
                "sandbox incomplete; remove the cause and restart the proxy"
            ),
            (false, false) => tracing::warn!(
                process,
                active,
                missing,
                landlock_abi,
                "sandbox incomplete; a newer kernel or fewer restrictions of the service's environment would complete it"
            ),
        }
        for exposed in &self.exposed {
            tracing::warn!(process, file = %exposed.file.display(), problem = %exposed, "a secret file is not hidden from this process");
        }
    }

    fn describe_missing(&self) -> String {
        let one = |missing: &Missing| format!("{} ({})", missing.protection, missing.reason);
        let all: Vec<_> = self.missing.iter().map(one).collect();
        all.join(", ")
    }

    pub(super) fn note(
        &mut self,
        protection: &'static str,
        outcome: Result<(), impl fmt::Display>,
    ) {
        match outcome {
            Ok(()) => self.active.push(protection),
            Err(reason) => self.missing.push(Missing {
                protection,
                reason: reason.to_string(),
            }),
        }
    }

    pub(super) fn note_mistake(&mut self, protection: &'static str, mistake: &SandboxError) {
        self.note(protection, Err(mistake));
        self.has_mistake = true;
    }

    pub(super) fn set_landlock_abi(&mut self, abi: u32) {
        self.landlock_abi = Some(abi);
    }

    pub(super) fn set_reads(&mut self, reads: ReadRules, exposed: Vec<Exposed>) {
        self.reads = reads;
        self.exposed = exposed;
    }
}

/// For standard error and for a frame to the front: `active: …; missing: …`.
impl fmt::Display for Protections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "active: {}", self.active.join(", "))?;
        if !self.missing.is_empty() {
            write!(f, "; missing: {}", self.describe_missing())?;
        }
        Ok(())
    }
}
