//! The report of a verification.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::audit::chain::Position;

/// A line in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedLine {
    /// The number and hash of the line.
    pub position: Position,
    /// The time in the line.
    pub time: String,
}

/// The first damage in an audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    /// The file.
    pub file: PathBuf,
    /// The line in the file, counted from 1.
    pub line: u64,
    /// The expected number (`seq`) of that line.
    pub seq: u64,
    /// The kind of damage.
    pub damage: Damage,
}

/// A kind of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The bytes are not a line of an audit trail of this schema.
    NotALine,
    /// The line does not match its own hash.
    Changed,
    /// The line matches its hash but does not follow the previous line: one of the two was replaced.
    Unlinked,
    /// Lines are missing: from the expected one up to, but not including, this number.
    Removed {
        /// The number of the line that was found.
        until: u64,
    },
    /// The number of the line is not higher than the previous one.
    Inserted {
        /// The number of the line that was found.
        seq: u64,
    },
    /// The expected line is later in the audit trail.
    Reordered {
        /// The number of the line that was found.
        seq: u64,
    },
    /// The HSM did not make the seal of this checkpoint.
    FalseSeal,
    /// The known line is not in the audit trail: it was removed or replaced.
    AnchorMissing,
}

impl ReportedLine {
    /// Returns the time in the line. None when it cannot be parsed.
    pub fn moment(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.time).ok()
    }
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// The number of files that were read.
    pub files: u64,
    /// The number of valid lines.
    pub lines: u64,
    /// The first line. If its number is not 1, the lines before it were not verified.
    pub first: Option<ReportedLine>,
    /// The last valid line.
    pub last: Option<ReportedLine>,
    /// Seals that were verified and are genuine.
    pub seals_verified: u64,
    /// Seals that were not verified.
    pub seals_unchecked: u64,
    /// Seals of lines that are not in these files. They do not cover any line in these files.
    pub seals_of_earlier_lines: u64,
    /// Checkpoints without a seal.
    pub unsealed: u64,
    /// The last line that a verified seal covers. The removal of lines after it cannot be detected.
    pub signed_through: Option<u64>,
    /// The time of the oldest line after the last verified seal. Checkpoints do not count. None when no line follows.
    pub unsigned_since: Option<SystemTime>,
    /// Ranges of lines (first and last number) that a start did not find in any file, according to the audit trail.
    pub missing: Vec<(u64, u64)>,
    /// The numbers of the lines of kind `recovered`.
    pub recovered: Vec<u64>,
    /// How many times the clock went back.
    pub clock_went_back: u64,
    /// Bytes after the last complete line. The line is being written, or a crash interrupted the write.
    pub torn_bytes: u64,
    /// The reason why seals could not be verified.
    pub signature_error: Option<String>,
    /// The first damage. None when the chain is intact.
    pub fault: Option<ChainFault>,
}
