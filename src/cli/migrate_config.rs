//! `xks-proxy migrate-config`.
//!
//! # Invariants
//! - The output contains names of keys and files, but no secret.
//! - If the settings have errors, or a file exists already, nothing is written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::{self, Finding, Findings};
use crate::migrate::{self, CONFIGURATION, Migration, Origin};

/// Convert the settings of the AWS sample proxy into a configuration of this proxy, with the secrets in files.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy migrate-config --settings /var/local/xks-proxy/.secret/settings.toml \\\n    \
    --working-directory / --token-label xks --output /etc/xks-proxy\n\n\
    The output lists each key of the settings with its counterpart or replacement, then what you must do, then the errors that \
    check-config finds in the new configuration. The proxy starts when there are no errors.\n\n\
    Exit codes: 0 written (there may be things to do), 1 a file exists already (nothing is written), 2 wrong usage, \
    78 the settings have errors (nothing is written), 70 internal error."
)]
pub(super) struct MigrateConfig {
    /// The settings of the sample proxy.
    #[arg(long, value_name = "FILE")]
    settings: PathBuf,
    /// The directory for config.toml and the secret files. It is created with mode 0700 if it does not exist.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// The label of the token in the first slot, which the sample uses. Without it, you must fill it in.
    #[arg(long, value_name = "LABEL")]
    token_label: Option<String>,
    /// The working directory of the sample proxy, for its relative paths. Default: the current directory.
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

/// The written files, and the errors that check-config finds in them.
struct Written {
    migration: Migration,
    files: Vec<PathBuf>,
    errors: Vec<Finding>,
}

impl MigrateConfig {
    pub(super) fn run(self) -> ExitStatus {
        let migration = match self.read() {
            Ok(Ok(migration)) => migration,
            Ok(Err(errors)) => return self.reject(&errors),
            Err(refusal) => return refusal.report(),
        };
        match self.write(migration) {
            Ok(written) => self.show(&written),
            Err(refusal) => refusal.report(),
        }
    }

    fn read(&self) -> Result<Result<Migration, Findings>, CommandError> {
        let origin = Origin {
            working_directory: std::path::absolute(&self.working_directory)
                .map_err(CommandError::internal)?,
            token_label: self.token_label.clone(),
        };
        Ok(migrate::migrate(&self.settings, &origin))
    }

    fn reject(&self, errors: &Findings) -> ExitStatus {
        // A closed output changes nothing about the exit code.
        match self.json {
            true => {
                let report = json!({ "ok": false, "faults": errors });
                drop(writeln!(io::stdout(), "{report}"));
            }
            false => {
                let file = self.settings.display();
                let problem = "has errors; nothing was written:";
                drop(write!(io::stderr(), "{file} {problem}\n{errors}"));
            }
        }
        ExitStatus::BadConfiguration
    }

    fn write(&self, migration: Migration) -> Result<Written, CommandError> {
        let files = migration.write(&self.output)?;
        let checked = config::load(&self.output.join(CONFIGURATION));
        Ok(Written {
            migration,
            files,
            errors: checked.err().map(|errors| errors.0).unwrap_or_default(),
        })
    }

    fn show(&self, written: &Written) -> ExitStatus {
        // The files are written. If standard output is closed, check-config shows the same errors.
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
            "check_config": self.errors,
        });
        writeln!(io::stdout(), "{report}")
    }

    fn print_text(&self, directory: &Path) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let notes = &self.migration.notes;
        let configuration = directory.join(CONFIGURATION);
        let check = format!(
            "Errors of check-config --config {}",
            configuration.display()
        );
        print_list(&mut stdout, "Carried over to", &notes.carried_over)?;
        print_list(&mut stdout, "Not carried over", &notes.not_carried_over)?;
        print_list(&mut stdout, "To do", &notes.to_do)?;
        print_list(&mut stdout, &check, &self.errors)?;
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
