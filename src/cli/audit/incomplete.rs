//! The reasons why the result of an audit command is incomplete although everything that it read is valid: exit code 3.

use std::time::{Duration, SystemTime};

use crate::audit::{AuditSettings, Breaks, CheckpointSettings, LeftOut, Position, Verification};
use crate::cli::output::terminal::safe;

/// Facts about the audit log that do not come from its lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// A line that the caller knows from an earlier verification.
    pub after: Option<Position>,
    /// The last acknowledged line according to the position file.
    pub end: Option<Position>,
    /// The time until which lines may be without a seal, if the HSMs verify the seals.
    pub seals: Option<SealsDue>,
}

/// The deadline by which audit log lines must have a seal.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealsDue {
    /// The age up to which a line may be without a seal.
    allowed: Duration,
    /// The current time for an active audit log; `None` for old files, whose last line has the reference time.
    now: Option<SystemTime>,
}

impl SealsDue {
    pub(super) fn of(settings: &AuditSettings, now: Option<SystemTime>) -> Self {
        let CheckpointSettings {
            interval,
            seal_timeout,
            ..
        } = settings.checkpoint;
        // The proxy requests a seal after one interval. The second interval allows for a late attempt.
        let allowed = interval * 2 + seal_timeout;
        Self { allowed, now }
    }

    /// How old the oldest line without a seal is, if that is too old.
    fn overdue(self, found: &Verification) -> Option<Duration> {
        let last = found.last.as_ref()?;
        let now = self.now.or_else(|| last.moment())?;
        let age = now.duration_since(found.unsigned_since?).ok()?;
        (age > self.allowed).then_some(age)
    }
}

/// Returns the reasons why a verification is incomplete, one sentence each.
pub(super) fn of_verification(found: &Verification, known: &Known) -> Vec<String> {
    let first = found.first.as_ref().map_or(1, |first| first.position.seq);
    let last = found.last.as_ref().map_or(0, |last| last.position.seq);
    let lost = found.missing.iter().filter(|_| known.after.is_none());
    let lost = lost.filter(|(from, _)| *from < first);
    let lost = lost.map(|(from, to)| {
        let to = (*to).min(first - 1);
        format!("a start of the proxy did not find lines {from} to {to}, and they are not in these files; verify them with the files that were moved away")
    });
    let overdue = known.seals.and_then(|seals| seals.overdue(found));
    let overdue = overdue.map(|age| {
        let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
        format!("lines behind the last seal had none after {age}, which is longer than audit.checkpoint allows: for them nobody vouches")
    });
    let end = found.fault.is_none().then(|| unseen_end(last, known.end));
    lost.chain(end.flatten()).chain(overdue).collect()
}

/// Returns a message if the position file has a later line than the last line that was read.
pub(super) fn unseen_end(last: u64, known: Option<Position>) -> Option<String> {
    let known = known.filter(|known| known.seq > last)?.seq;
    let from = last + 1;
    Some(format!(
        "lines {from} to {known} were written according to the position file, but no file here has them: they were moved away, or they are lost"
    ))
}

/// Files that were not read, and numbers that do not follow one another.
pub(super) fn of_reading(left_out: &[LeftOut], breaks: Breaks) -> Vec<String> {
    let files = left_out.iter().map(not_read);
    let missing = breaks.first_missing.map(|(from, to)| {
        let all = breaks.missing;
        format!("{all} lines are missing between those that are shown, first lines {from} to {to}: their file is missing or empty, or was changed")
    });
    let repeated = (breaks.repeated > 0).then(|| {
        let lines = breaks.repeated;
        format!("{lines} lines have a number that was there before: a file is there twice, or lines were inserted")
    });
    files.chain(missing).chain(repeated).collect()
}

/// That a file was not read, and why.
pub(super) fn not_read(file: &LeftOut) -> String {
    let path = safe(&file.path.to_string_lossy());
    format!("NOT READ {path}: {}", file.why)
}
