//! `xks-proxy migrate-config`.
//!
//! # Invariants
//! - What is printed names keys and files, never what a secret is.
//! - Settings with faults, or a file in the way: nothing is written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::exit::{ExitStatus, Refusal};
use crate::config::{self, CONFIGURATION, Finding, Findings, Migration, Origin};

/// Turn the settings of the AWS sample proxy into a configuration of this one, with the secrets in files.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy migrate-config --settings /var/local/xks-proxy/.secret/settings.toml \\\n    \
    --working-directory / --token-label xks --output /etc/xks-proxy\n\n\
    Says of every key where it went, or what there is instead, and what is left to do. Then follows what check-config \
    says of the new configuration: the proxy starts once that is nothing.\n\n\
    Exit codes: 0 written (there may be things to do), 1 a file exists already (nothing is written), 2 wrong usage, \
    78 the settings have faults (nothing is written), 70 internal."
)]
pub(super) struct MigrateConfig {
    /// The settings of the sample proxy.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// Where config.toml and the secret files go; is created with mode 0700 if it is not there.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// The label of the token in the sample's first slot; without it, it is left to do.
    #[arg(long, value_name = "LABEL")]
    token_label: Option<String>,
    /// The directory that the sample proxy runs in, where its relative paths start; here, if it is not given.
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".",
        hide_default_value = true
    )]
    working_directory: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What was written, and what check-config says of it.
struct Written {
    migration: Migration,
    files: Vec<PathBuf>,
    faults: Vec<Finding>,
}

impl MigrateConfig {
    pub(super) fn run(self) -> ExitStatus {
        let migration = match self.read() {
            Ok(Ok(migration)) => migration,
            Ok(Err(faults)) => return self.refuse(&faults),
            Err(refusal) => return refusal.tell(),
        };
        match self.write(migration) {
            Ok(written) => self.show(&written),
            Err(refusal) => refusal.tell(),
        }
    }

    fn read(&self) -> Result<Result<Migration, Findings>, Refusal> {
        let origin = Origin {
            working_directory: std::path::absolute(&self.working_directory)
                .map_err(Refusal::internal)?,
            token_label: self.token_label.clone(),
        };
        Ok(config::migrate(&self.settings, &origin))
    }

    fn refuse(&self, faults: &Findings) -> ExitStatus {
        // A closed output changes nothing about the exit code.
        match self.json {
            true => {
                let report = json!({ "ok": false, "faults": faults });
                drop(writeln!(io::stdout(), "{report}"));
            }
            false => {
                let file = self.settings.display();
                let said = "has faults; nothing was written:";
                drop(write!(io::stderr(), "{file} {said}\n{faults}"));
            }
        }
        ExitStatus::BadConfiguration
    }

    fn write(&self, migration: Migration) -> Result<Written, Refusal> {
        let files = migration.write(&self.output)?;
        let checked = config::load(&self.output.join(CONFIGURATION));
        Ok(Written {
            migration,
            files,
            faults: checked.err().map(|faults| faults.0).unwrap_or_default(),
        })
    }

    fn show(&self, written: &Written) -> ExitStatus {
        // The files are there, and say themselves what is missing in them.
        drop(match self.json {
            true => written.print_json(),
            false => written.print_text(&self.output),
        });
        ExitStatus::Done
    }
}

impl Written {
    fn print_json(&self) -> io::Result<()> {
        let report = json!({
            "ok": true,
            "files": self.files,
            "notes": self.migration.notes,
            "check_config": self.faults,
        });
        writeln!(io::stdout(), "{report}")
    }

    fn print_text(&self, directory: &Path) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let notes = &self.migration.notes;
        let configuration = directory.join(CONFIGURATION);
        let check = format!("check-config --config {} says", configuration.display());
        print_list(&mut stdout, "Carried over to", &notes.carried_over)?;
        print_list(&mut stdout, "Not carried over", &notes.not_carried_over)?;
        print_list(&mut stdout, "To do", &notes.to_do)?;
        print_list(&mut stdout, &check, &self.faults)?;
        writeln!(stdout, "Written:")?;
        for file in &self.files {
            writeln!(stdout, "  {}", file.display())?;
        }
        Ok(())
    }
}

fn print_list(out: &mut impl Write, title: &str, findings: &[Finding]) -> io::Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}:")?;
    for finding in findings {
        writeln!(out, "  {finding}")?;
    }
    writeln!(out)
}
