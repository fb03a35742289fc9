//! What a verification reports.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::audit::chain::Position;

/// A line of a trail, for a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number and hash.
    pub position: Position,
    /// When it says it was written.
    pub time: String,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFault {
    /// In which file.
    pub file: PathBuf,
    /// In which line of it, from 1.
    pub line: u64,
    /// Which number should stand there.
    pub seq: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is not a line of an audit trail of this schema.
    NotALine,
    /// The line does not match its own hash.
    Changed,
    /// The line matches its hash but does not follow the one before: one of the two was replaced.
    Unlinked,
    /// The lines from the expected one up to (not including) this number are missing.
    Removed {
        /// The number that stands there.
        until: u64,
    },
    /// The line has a number that was there already.
    Inserted {
        /// The number that stands there.
        seq: u64,
    },
    /// The expected line comes later.
    Reordered {
        /// The number that stands there.
        seq: u64,
    },
    /// The HSM has not sealed what this checkpoint says it has.
    FalseSeal,
    /// The known line is not in the trail: it was cut off or replaced.
    AnchorMissing,
}

impl Place {
    /// When it says it was written; none when it does not say a time.
    pub fn moment(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339(&self.time).ok()
    }
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// How many files were read.
    pub files: u64,
    /// How many lines hold.
    pub lines: u64,
    /// The first one. If its number is not 1, what came before was not here to be verified.
    pub first: Option<Place>,
    /// The last one that holds.
    pub last: Option<Place>,
    /// Seals that were checked and are genuine.
    pub seals_verified: u64,
    /// Seals that nobody checked.
    pub seals_unchecked: u64,
    /// Seals of lines that are not here: they say nothing of those that are.
    pub seals_of_earlier_lines: u64,
    /// Checkpoints without a seal.
    pub unsealed: u64,
    /// The last line that a checked seal speaks for: what was behind it and is cut off leaves no trace.
    pub sealed_through: Option<u64>,
    /// When the oldest line behind the last checked seal was written, checkpoints aside; none when there is no such line.
    pub unsealed_since: Option<SystemTime>,
    /// Lines that a start did not find in any file, from and to, as the trail says.
    pub missing: Vec<(u64, u64)>,
    /// The numbers of the lines that tell of a recovery.
    pub recovered: Vec<u64>,
    /// How often the clock went back.
    pub clock_went_back: u64,
    /// Bytes behind the last whole line: a line that is being written, or that a crash has torn.
    pub torn_bytes: u64,
    /// Why seals could not be checked.
    pub unseal_error: Option<String>,
    /// The first thing that is wrong; none when the chain holds.
    pub fault: Option<ChainFault>,
}
