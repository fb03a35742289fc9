//! `xks-proxy audit …`.

mod columns;
mod filter;
mod incomplete;
mod limit;
mod report;
mod show;
mod verify;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::{ExitStatus, Refusal};
use super::load;
use crate::audit::{AuditSettings, Lines, Listing, Position, in_order, last_recorded, list_trail};
use crate::config::Outline;

/// The audit trail.
#[derive(Subcommand)]
pub(super) enum Audit {
    Verify(verify::Verify),
    Show(show::Show),
}

impl Audit {
    pub(super) fn run(self) -> ExitStatus {
        match self {
            Self::Verify(command) => command.run(),
            Self::Show(command) => command.run(),
        }
    }
}

/// Which trail is meant.
#[derive(Args)]
struct Which {
    /// The configuration file: the trail of its `[audit]`, if no files are named.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Files of one trail, in any order: plain, compressed with gzip or Zstandard, or a stream such as /dev/stdin.
    #[arg(value_name = "FILE", required_unless_present_any = ["config", "file"])]
    files: Vec<PathBuf>,
    /// The same as FILE; may be repeated.
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
}

impl Which {
    fn outline(&self) -> Result<Option<Outline>, Refusal> {
        self.config.as_deref().map(load::outline).transpose()
    }

    fn named(&self) -> Vec<PathBuf> {
        [self.files.as_slice(), &self.file].concat()
    }

    /// The configured trail, unless files are named.
    fn configured<'a>(
        &self,
        outline: Option<&'a Outline>,
    ) -> Result<Option<&'a AuditSettings>, Refusal> {
        let outline = outline.filter(|_| self.named().is_empty());
        outline.map(settings).transpose()
    }

    /// The files as they are there now, in the order of their lines.
    fn listing(&self, outline: Option<&Outline>) -> Result<Listing, Refusal> {
        match self.configured(outline)? {
            Some(settings) => listing(settings),
            None => in_order(&self.named()).map_err(unreadable),
        }
    }

    /// The last acknowledged line of the configured trail. Ask before the files are read: the trail may be written meanwhile.
    fn end(&self, outline: Option<&Outline>) -> Result<Option<Position>, Refusal> {
        let settings = self.configured(outline)?;
        let end = settings.map(|settings| last_recorded(&settings.path));
        Ok(end.transpose().map_err(unreadable)?.flatten())
    }
}

/// The `[audit]` of the configuration, which must be there.
pub(super) fn settings(outline: &Outline) -> Result<&AuditSettings, Refusal> {
    outline.audit.as_ref().ok_or_else(|| {
        let message = "the configuration has no [audit]: there is no trail";
        Refusal::usage(message)
    })
}

fn listing(settings: &AuditSettings) -> Result<Listing, Refusal> {
    let path = &settings.path;
    let beside = |error: io::Error| unreadable(format!("{}: {error}", path.display()));
    list_trail(path).map_err(beside)
}

/// A file that is not there or may not be read.
fn unreadable(error: impl std::fmt::Display) -> Refusal {
    Refusal::usage(format!("cannot read {error}"))
}

/// What the trail says of a request, newest last.
pub(super) fn requests(settings: &AuditSettings, id: &str) -> Result<Vec<Value>, Refusal> {
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

/// Tells the operator something on standard error.
fn note(what: impl std::fmt::Display) {
    // Without standard error there is nobody to tell.
    drop(writeln!(io::stderr(), "xks-proxy: {what}"));
}

/// The path whose trail goes on, for who follows it.
fn followed(which: &Which, outline: Option<&Outline>) -> Option<PathBuf> {
    let of_trail = outline.and_then(|outline| outline.audit.as_ref());
    let of_trail = of_trail.map(|settings| settings.path.as_path());
    let path = which.named().pop();
    path.or_else(|| of_trail.map(Path::to_owned))
}
