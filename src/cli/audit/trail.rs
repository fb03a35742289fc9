//! The audit log of a command: of the configuration, or files that the command line names.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::{filter, incomplete};
use crate::audit::{
    AuditSettings, Lines, Listing, Position, in_order, last_recorded, list_audit_trail,
};
use crate::cli::input::load;
use crate::cli::output::exit::CommandError;
use crate::config::Outline;

/// Options that select an audit log.
#[derive(Args)]
pub(super) struct Trail {
    /// The configuration file. Selects the audit log of its `[audit]`, unless files are named.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Files of one audit log, in any order: plain, compressed with gzip or Zstandard, or a stream such as /dev/stdin.
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "file"])]
    files: Vec<PathBuf>,
    /// As FILE; may be repeated.
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
}

impl Trail {
    pub(super) fn outline(&self) -> Result<Option<Outline>, CommandError> {
        self.config.as_deref().map(load::outline).transpose()
    }

    pub(super) fn named(&self) -> Vec<PathBuf> {
        [self.files.as_slice(), &self.file].concat()
    }

    /// Returns the settings of the configured audit log, unless files are named.
    pub(super) fn configured<'a>(
        &self,
        outline: Option<&'a Outline>,
    ) -> Result<Option<&'a AuditSettings>, CommandError> {
        let outline = outline.filter(|_| self.named().is_empty());
        outline.map(settings).transpose()
    }

    /// Lists the current files, in the order of their lines.
    pub(super) fn listing(&self, outline: Option<&Outline>) -> Result<Listing, CommandError> {
        match self.configured(outline)? {
            Some(settings) => listing(settings),
            None => in_order(&self.named()).map_err(unreadable),
        }
    }

    /// Returns the last acknowledged line of the configured audit log. Must be called before the files are read, because the log may grow.
    pub(super) fn end(&self, outline: Option<&Outline>) -> Result<Option<Position>, CommandError> {
        let settings = self.configured(outline)?;
        let end = settings.map(|settings| last_recorded(&settings.path));
        Ok(end.transpose().map_err(unreadable)?.flatten())
    }
}

/// Returns the `[audit]` settings, which must exist.
pub(in crate::cli) fn settings(outline: &Outline) -> Result<&AuditSettings, CommandError> {
    outline.audit.as_ref().ok_or_else(|| {
        let message = "the configuration has no [audit] table, so the proxy writes no audit log";
        CommandError::usage(message)
    })
}

pub(super) fn listing(settings: &AuditSettings) -> Result<Listing, CommandError> {
    let path = &settings.path;
    let message = |error: io::Error| unreadable(format!("{}: {error}", path.display()));
    list_audit_trail(path).map_err(message)
}

/// Returns the error for a file that cannot be read.
pub(super) fn unreadable(error: impl std::fmt::Display) -> CommandError {
    CommandError::usage(format!("cannot read {error}"))
}

/// Returns the lines of the audit log about a request, the newest last.
pub(in crate::cli) fn requests(
    settings: &AuditSettings,
    id: &str,
) -> Result<Vec<Value>, CommandError> {
    let wanted = filter::Filter::of_request(id);
    let end = last_recorded(&settings.path).map_err(unreadable)?;
    let listing = listing(settings)?;
    let mut lines = Lines::of(listing.files);
    let mut found = Vec::new();
    while let Some(line) = lines.next_line().map_err(unreadable)? {
        found.extend(wanted.pick(line).wanted());
    }
    let gaps = incomplete::of_reading(&listing.left_out, lines.breaks());
    let end = incomplete::unseen_end(lines.last_number(), end);
    gaps.into_iter().chain(end).for_each(note);
    Ok(found)
}

/// Prints a note to standard error.
pub(super) fn note(text: impl std::fmt::Display) {
    // If standard error is closed, the note is lost.
    drop(writeln!(io::stderr(), "xks-proxy: {text}"));
}

/// Returns the path of the audit log that `--follow` reads.
pub(super) fn followed(trail: &Trail, outline: Option<&Outline>) -> Option<PathBuf> {
    let configured = outline.and_then(|outline| outline.audit.as_ref());
    let configured = configured.map(|settings| settings.path.as_path());
    let path = trail.named().pop();
    path.or_else(|| configured.map(Path::to_owned))
}
