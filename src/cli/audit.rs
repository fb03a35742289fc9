//! `xks-proxy audit …`.

mod columns;
mod filter;
mod limit;
mod report;
mod show;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::{ExitStatus, Refusal};
use super::load;
use crate::audit::{AuditSettings, Lines, in_order, trail_files, unreadable_files};
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

    /// Files that belong to the configured trail by their names, but cannot be read here.
    fn left_out(&self, outline: Option<&Outline>) -> Result<Vec<PathBuf>, Refusal> {
        match outline {
            Some(outline) if self.named().is_empty() => {
                unreadable_files(&settings(outline)?.path).map_err(unreadable)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The files as they are there now, in the order of their lines.
    fn files(&self, outline: Option<&Outline>) -> Result<Vec<PathBuf>, Refusal> {
        let named = self.named();
        if !named.is_empty() {
            return in_order(&named).map_err(unreadable);
        }
        let settings = outline.map(settings).transpose()?;
        settings.map_or(Ok(Vec::new()), files)
    }
}

/// The `[audit]` of the configuration, which must be there.
pub(super) fn settings(outline: &Outline) -> Result<&AuditSettings, Refusal> {
    outline.audit.as_ref().ok_or_else(|| {
        let message = "the configuration has no [audit]: there is no trail";
        Refusal::usage(message)
    })
}

fn files(settings: &AuditSettings) -> Result<Vec<PathBuf>, Refusal> {
    let path = &settings.path;
    let beside = |error: io::Error| unreadable(format!("{}: {error}", path.display()));
    trail_files(path).map_err(beside)
}

/// A file that is not there or may not be read.
fn unreadable(error: impl std::fmt::Display) -> Refusal {
    Refusal::usage(format!("cannot read {error}"))
}

/// What the trail says of a request, newest last.
pub(super) fn requests(settings: &AuditSettings, id: &str) -> Result<Vec<Value>, Refusal> {
    let wanted = filter::Filter::of_request(id);
    let mut lines = Lines::of(files(settings)?);
    let mut found = Vec::new();
    while let Some(line) = lines.next_line().map_err(unreadable)? {
        found.extend(wanted.pick(line).wanted());
    }
    Ok(found)
}

/// The path whose trail goes on, for who follows it.
fn followed(which: &Which, outline: Option<&Outline>) -> Option<PathBuf> {
    let of_trail = outline.and_then(|outline| outline.audit.as_ref());
    let of_trail = of_trail.map(|settings| settings.path.as_path());
    let path = which.named().pop();
    path.or_else(|| of_trail.map(Path::to_owned))
}
