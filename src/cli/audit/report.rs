//! The report of a verification, as text and as JSON.

use serde_json::{Value, json};

use super::incomplete::{self, Known};
use crate::audit::{ChainFault, Damage, LeftOut, ReportedLine, Verification};
use crate::cli::output::exit::ExitStatus;
use crate::cli::output::terminal::safe;

/// More lines than these are counted, not named.
const MAX_NAMED: usize = 10;

/// A verification and how it was made.
pub(super) struct Report<'a> {
    pub found: &'a Verification,
    /// Files of the audit log whose format cannot be read.
    pub left_out: &'a [LeftOut],
    /// Facts that do not come from the files.
    pub known: Known,
    /// True if the HSMs verified the seals.
    pub with_hsm: bool,
}

impl Report<'_> {
    /// Returns whether the audit log is valid, within the requested checks.
    pub(super) fn is_ok(&self) -> bool {
        let found = self.found;
        let is_vouched_for = found.seals_verified > 0 && found.seals_unchecked == 0;
        found.fault.is_none() && found.lines > 0 && (is_vouched_for || !self.with_hsm)
    }

    pub(super) fn status(&self) -> ExitStatus {
        let is_complete = self.left_out.is_empty() && self.incomplete().is_empty();
        match (self.is_ok(), is_complete) {
            (true, true) => ExitStatus::Done,
            (true, false) => ExitStatus::Incomplete,
            (false, _) => ExitStatus::No,
        }
    }

    fn incomplete(&self) -> Vec<String> {
        incomplete::of_verification(self.found, &self.known)
    }

    pub(super) fn json(&self) -> Value {
        let not_read = self.left_out.iter().map(|file| &file.path);
        let not_read: Vec<_> = not_read.collect();
        let found = self.found;
        let line = |line: &ReportedLine| {
            let position = line.position.to_string();
            json!({ "seq": line.position.seq, "time": line.time, "position": position })
        };
        let fault = |fault: &ChainFault| {
            let (name, what) = (name(&fault.damage), in_words(fault));
            json!({ "file": fault.file, "line": fault.line, "seq": fault.seq, "damage": name, "what": what })
        };
        json!({
            "ok": self.status() == ExitStatus::Done,
            "not_read": not_read,
            "incomplete": self.incomplete(),
            "hsm_asked": self.with_hsm,
            "files": found.files,
            "lines": found.lines,
            "first": found.first.as_ref().map(line),
            "last": found.last.as_ref().map(line),
            "seals": {
                "verified": found.seals_verified,
                "unchecked": found.seals_unchecked,
                "of_earlier_lines": found.seals_of_earlier_lines,
                "missing": found.unsealed,
                "through": found.signed_through,
                "error": found.signature_error,
            },
            "recovered": found.recovered,
            "clock_went_back": found.clock_went_back,
            "torn_bytes": found.torn_bytes,
            "fault": found.fault.as_ref().map(fault),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.chain();
        text.push_str(&self.seals());
        text.push_str(&self.remarks());
        for file in self.left_out {
            text.push_str(&format!("{}\n", incomplete::not_read(file)));
        }
        for what in self.incomplete() {
            text.push_str(&format!("INCOMPLETE {what}\n"));
        }
        if let Some(fault) = &self.found.fault {
            let file = safe(&fault.file.to_string_lossy());
            text.push_str(&format!(
                "FAULT {file}, line {}: {}\n",
                fault.line,
                in_words(fault)
            ));
        }
        if let (Some(last), true) = (&self.found.last, self.is_ok()) {
            text.push_str(&format!(
                "keep for the next time: --after {}\n",
                last.position
            ));
        }
        text
    }

    fn chain(&self) -> String {
        let Verification { files, lines, .. } = self.found;
        let (Some(first), Some(last)) = (&self.found.first, &self.found.last) else {
            return format!("no line holds, in {files} files: nothing is proved\n");
        };
        let holds = match self.found.fault {
            None => "the chain holds",
            Some(_) => "the chain holds up to there, and no further",
        };
        let (from, to) = (safe(&first.time), safe(&last.time));
        let (first, last) = (first.position.seq, last.position.seq);
        format!("lines {first} to {last} ({lines} in {files} files), {from} to {to}: {holds}\n")
    }

    fn seals(&self) -> String {
        let found = self.found;
        let mut text = match (self.with_hsm, found.seals_unchecked, found.signed_through) {
            (false, seals, _) => format!(
                "seals: {seals}, of which none was checked: only the chain was verified, and a user who can write these \
                 files could have written a new chain; --hsm verifies the seals with the HSMs\n"
            ),
            (true, 0, Some(through)) => format!(
                "seals: {}, all genuine by the HSM: they vouch for every line {}up to {through}\n",
                found.seals_verified,
                self.beginning()
            ),
            (true, 0, None) => "seals: none: the HSM vouches for nothing\n".to_owned(),
            (true, unchecked, through) => format!(
                "seals: {} genuine by the HSM (up to line {}), {unchecked} NOT CHECKED: {}\n",
                found.seals_verified,
                through.unwrap_or(0),
                safe(found.signature_error.as_deref().unwrap_or("no reason"))
            ),
        };
        if let (Some(through), Some(last)) = (found.signed_through, &found.last) {
            let behind = last.position.seq.saturating_sub(through);
            text.push_str(&format!("behind the last seal: {behind} lines, linked by the chain alone; if more were cut off, only who knew them can say\n"));
        }
        text
    }

    /// Where the lines begin that are here, if that is not line 1.
    fn beginning(&self) -> String {
        let first = self.found.first.as_ref().map(|first| first.position.seq);
        let first = first.filter(|first| *first > 1);
        first.map_or_else(String::new, |first| format!("from {first} "))
    }

    /// Warnings.
    fn remarks(&self) -> String {
        let all = self
            .absence_notes()
            .into_iter()
            .chain(self.incident_notes());
        let so = all.filter_map(|(is_so, what)| is_so.then_some(what));
        so.map(|what| format!("note: {what}\n")).collect()
    }

    /// Returns notes about absent lines and seals.
    fn absence_notes(&self) -> [(bool, String); 3] {
        let found = self.found;
        let first = found.first.as_ref().map_or(1, |first| first.position.seq);
        [
            (
                first > 1,
                format!(
                    "lines 1 to {} are not in these files; that the first one here follows them is shown by --after with the last one that was known",
                    first.saturating_sub(1)
                ),
            ),
            (
                found.seals_of_earlier_lines > 0,
                format!(
                    "{} seals are of lines that are not in these files, and say nothing of those that are",
                    found.seals_of_earlier_lines
                ),
            ),
            (
                found.unsealed > 0,
                format!(
                    "{} checkpoints have no seal, because the HSM made none then; the next seal speaks for their lines as well",
                    found.unsealed
                ),
            ),
        ]
    }

    /// Returns notes about incidents in the history of the audit log.
    fn incident_notes(&self) -> [(bool, String); 3] {
        let found = self.found;
        [
            (
                !found.recovered.is_empty(),
                format!(
                    "the audit log has {} recoveries (torn or missing lines, or requests that have no line): {}",
                    found.recovered.len(),
                    named(&found.recovered)
                ),
            ),
            (
                found.clock_went_back > 0,
                format!("the clock went back {} times", found.clock_went_back),
            ),
            (
                found.torn_bytes > 0,
                format!(
                    "{} bytes follow the last whole line: a line is being written, or a crash has cut it off",
                    found.torn_bytes
                ),
            ),
        ]
    }
}

fn named(lines: &[u64]) -> String {
    let named: Vec<String> = lines
        .iter()
        .take(MAX_NAMED)
        .map(ToString::to_string)
        .collect();
    let more = if lines.len() > MAX_NAMED { ", …" } else { "" };
    format!("lines {}{more}", named.join(", "))
}

/// For scripts.
fn name(damage: &Damage) -> &'static str {
    match damage {
        Damage::NotALine => "not_a_line",
        Damage::Changed => "changed",
        Damage::Unlinked => "unlinked",
        Damage::Removed { .. } => "removed",
        Damage::Inserted { .. } => "inserted",
        Damage::Reordered { .. } => "reordered",
        Damage::FalseSeal => "false_seal",
        Damage::AnchorMissing => "known_line_missing",
    }
}

fn in_words(fault: &ChainFault) -> String {
    let seq = fault.seq;
    match fault.damage {
        Damage::NotALine => format!(
            "here should be line {seq}, but this is not a line of an audit trail of schema version 1"
        ),
        Damage::Changed => format!("line {seq} was changed: it does not match its own hash"),
        Damage::Unlinked => {
            format!("line {seq} does not follow the line before it: one of the two was replaced")
        }
        Damage::Removed { until } if until == seq + 1 => {
            format!("line {seq} was removed: line {until} stands here")
        }
        Damage::Removed { until } => format!(
            "lines {seq} to {} were removed: line {until} stands here",
            until - 1
        ),
        Damage::Inserted { seq: there } => {
            format!(
                "here should be line {seq}, but line {there} is here a second time: one of the two was inserted"
            )
        }
        Damage::Reordered { seq: there } => {
            format!("line {seq} comes later: line {there} was put before it")
        }
        Damage::FalseSeal => format!(
            "the seal of checkpoint line {seq} is not genuine: this line, or a line before it, was forged"
        ),
        Damage::AnchorMissing => {
            format!("line {seq} is not there as it was known (--after): it was cut off or replaced")
        }
    }
}
