//! What the audit commands cannot vouch for although nothing that they read is wrong: exit code 3.

use std::time::{Duration, SystemTime};

use crate::audit::{AuditSettings, Breaks, CheckpointSettings, LeftOut, Position, Verification};
use crate::cli::output::terminal::safe;

/// Facts about the trail that do not come from its lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// A line that the caller knows from an earlier verification.
    pub after: Option<Position>,
    /// The last acknowledged line, as the position file says.
    pub end: Option<Position>,
    /// Until when lines may be without a seal, if the HSMs are asked.
    pub seals: Option<SealsDue>,
}

/// When the lines of a trail should have a seal.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealsDue {
    /// The age up to which a line may have none.
    allowed: Duration,
    /// The present of a trail that is written now; none for files of earlier days, whose last line counts.
    now: Option<SystemTime>,
}

impl SealsDue {
    pub(super) fn of(settings: &AuditSettings, now: Option<SystemTime>) -> Self {
        let CheckpointSettings {
            interval,
            seal_timeout,
            ..
        } = settings.checkpoint;
        // The HSM is asked after one interval; a second one is for an attempt that is late.
        let allowed = interval * 2 + seal_timeout;
        Self { allowed, now }
    }

    /// How old the oldest line without a seal is, if that is too old.
    fn overdue(self, found: &Verification) -> Option<Duration> {
        let last = found.last.as_ref()?;
        let now = self.now.or_else(|| last.moment())?;
        let age = now.duration_since(found.unsealed_since?).ok()?;
        (age > self.allowed).then_some(age)
    }
}

/// What a verification cannot vouch for, one sentence each.
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

/// What the position file knows beyond the last line that was read.
pub(super) fn unseen_end(last: u64, known: Option<Position>) -> Option<String> {
    let known = known.filter(|known| known.seq > last)?.seq;
    let from = last + 1;
    Some(format!(
        "lines {from} to {known} were written, as the position file says, and are in no file here: they were moved away, or they are lost"
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
