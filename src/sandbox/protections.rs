//! The result of a sandbox: which protections are active, which are missing, and which PIN files stay readable.

use std::fmt;
use std::path::PathBuf;

use super::error::SandboxError;
use super::files::read_rules::ReadRules;

/// A protection that is not active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The name of the protection.
    pub protection: &'static str,
    /// Why it is not active; usually a feature that the kernel lacks.
    pub reason: String,
}

/// A secret file that the sandbox cannot hide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The file.
    pub file: PathBuf,
    /// The directory above the file, or the file itself, that the process must be able to read for another reason.
    pub directory: PathBuf,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, directory) = (self.file.display(), self.directory.display());
        write!(
            f,
            "{file} can be read, because {directory} also contains files that must be readable; move the secret file to a \
             directory that is not below {directory} and contains only secret files, or use a systemd credential"
        )
    }
}

/// The result of applying a sandbox.
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
    /// Returns the names of the active protections.
    pub fn active(&self) -> &[&'static str] {
        &self.active
    }

    /// Returns the protections that are not active, with the reasons.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Returns whether a protection is missing because of a mistake of the caller or the configuration, not because of the kernel.
    pub fn has_mistake(&self) -> bool {
        self.has_mistake
    }

    /// Returns files in `unreadable` that can be read nevertheless, with the reason.
    pub fn exposed(&self) -> &[Exposed] {
        &self.exposed
    }

    /// Returns the Landlock ABI version of the kernel: 0 without Landlock, none if the sandbox does not use Landlock.
    pub fn landlock_abi(&self) -> Option<u32> {
        self.landlock_abi
    }

    /// Returns the rules of what this process can read, for messages about files of a reloaded configuration.
    pub fn reads(&self) -> &ReadRules {
        &self.reads
    }

    /// Logs the active and missing protections in one event: at level error if a mistake prevents one, at level warning if the kernel lacks one.
    /// Also logs a warning for each exposed file. `process` is the name of the process, such as `front`.
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
                "sandbox incomplete; use a newer kernel, or remove restrictions of the container or unit that forbid Landlock or seccomp"
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

/// `active: …; missing: …`.
impl fmt::Display for Protections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "active: {}", self.active.join(", "))?;
        if !self.missing.is_empty() {
            write!(f, "; missing: {}", self.describe_missing())?;
        }
        Ok(())
    }
}
