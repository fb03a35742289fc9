//! `xks-proxy credential new`.
//!
//! # Invariants
//! - The secret is only in the secret file and in the JSON for the KMS console, never in a message.
//! - If a file exists already, nothing is written.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::config::{self, Configuration};
use crate::private_file::{self, NewFile};
use crate::secret::Secret;
use crate::sigv4::{AccessKeyId, Credentials, NewCredential};
use crate::xks::{ConsoleFile, PathPrefix};

/// Create a credential for a key store: a secret file, the table for the configuration, and the JSON for the KMS console.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy credential new --config /etc/xks-proxy/config.toml --store payments \\\n    \
    --secret-file /etc/xks-proxy/payments-2.secret --console-file payments-2.json\n\n\
    The command only creates files. They have mode 0600 and belong to the user that runs the command: chown the secret file to the \
    user of the proxy. Without --console-file, the JSON for the KMS console, which contains the secret, goes to standard \
    output. With --console-file, the secret is not shown.\n\n\
    Exit codes: 0 done, 1 a file exists already (nothing is written), 2 wrong usage, 78 bad configuration, 70 internal error."
)]
#[command(group(ArgGroup::new("place").required(true).args(["config", "path_prefix"])))]
pub(in crate::cli) struct New {
    /// The file for the secret. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// The file for the JSON of the KMS console, which contains the secret. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    console_file: Option<PathBuf>,
    /// The configuration with the key store. The new access key id differs from all that it has.
    #[arg(long, value_name = "FILE", requires = "store")]
    config: Option<PathBuf>,
    /// The name of the key store in the configuration.
    #[arg(long, value_name = "NAME", requires = "config")]
    store: Option<String>,
    /// The path prefix of the key store, if the configuration does not exist yet; "" for none.
    #[arg(long, value_name = "PREFIX", value_parser = PathPrefix::parse)]
    path_prefix: Option<PathPrefix>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// The new credential and its files.
struct Made {
    credential: NewCredential,
    prefix: PathPrefix,
    /// An absolute path, so the table is valid in every directory.
    secret_file: String,
}

impl New {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        match self.make().and_then(|made| self.show(&made)) {
            Ok(()) => ExitStatus::Done,
            Err(refusal) => refusal.report(),
        }
    }

    fn make(&self) -> Result<Made, CommandError> {
        let configuration = self.configuration()?;
        let prefix = self.prefix(configuration.as_ref())?;
        let credential = NewCredential::generate().map_err(CommandError::internal)?;
        let stores = configuration.iter().flat_map(|c| &c.key_stores);
        if is_used(stores.map(|store| &store.credentials), &credential.id) {
            let message = "the new access key id is in use already; nothing was written: run again";
            return Err(CommandError::new(ExitStatus::No, message));
        }
        let secret_file = absolute(&self.secret_file)?;
        let made = Made {
            credential,
            prefix,
            secret_file,
        };
        private_file::create_private(&self.files(&made).map_err(CommandError::internal)?)?;
        Ok(made)
    }

    fn configuration(&self) -> Result<Option<Configuration>, CommandError> {
        let Some(file) = &self.config else {
            return Ok(None);
        };
        let loaded = config::load(file).map_err(|errors| {
            let hint = "if the configuration is not ready, use --path-prefix instead";
            let message = format!("{} has errors ({hint}):\n{errors}", file.display());
            CommandError::new(ExitStatus::BadConfiguration, message.trim_end())
        })?;
        Ok(Some(loaded.configuration))
    }

    /// Returns the prefix of the named store, or the prefix on the command line. The parser ensures that one of them exists.
    fn prefix(&self, configuration: Option<&Configuration>) -> Result<PathPrefix, CommandError> {
        let stores = configuration.map(|c| c.key_stores.as_slice());
        let stores = stores.unwrap_or_default();
        let named = stores
            .iter()
            .find(|store| Some(&store.name) == self.store.as_ref())
            .map(|store| store.prefix.clone());
        named.or_else(|| self.path_prefix.clone()).ok_or_else(|| {
            let known: Vec<&str> = stores.iter().map(|store| store.name.as_str()).collect();
            let message = format!("no such key store; known are: {}", known.join(", "));
            CommandError::usage(message)
        })
    }

    fn files(&self, made: &Made) -> Result<Vec<NewFile>, serde_json::Error> {
        let mut files = vec![NewFile {
            path: self.secret_file.clone(),
            content: made.credential.secret.clone(),
        }];
        if let Some(path) = &self.console_file {
            files.push(NewFile {
                path: path.clone(),
                content: Secret::new(made.console_text()?),
            });
        }
        Ok(files)
    }

    /// Prints the next steps for the files. If standard output is closed, the error describes how to start again.
    fn show(&self, made: &Made) -> Result<(), CommandError> {
        let written = match self.json {
            true => self.print_json(made),
            false => self.print_text(made),
        };
        written.map_err(|error| {
            let message = format!(
                "{} was written, but not shown ({error}); remove it and run again",
                made.secret_file
            );
            CommandError::new(ExitStatus::Internal, message)
        })?;
        if self.console_file.is_none() {
            let warning =
                "the output holds the secret: give it to the KMS console and keep it nowhere else";
            drop(writeln!(std::io::stderr(), "warning: {warning}"));
        }
        Ok(())
    }

    fn print_text(&self, made: &Made) -> std::io::Result<()> {
        let mut stdout = std::io::stdout();
        let store = self.store.as_deref().unwrap_or("of this path prefix");
        writeln!(
            stdout,
            "# Add below [[key_store]] {store}, before the next one:"
        )?;
        write!(stdout, "{}", made.table())?;
        match &self.console_file {
            Some(file) => writeln!(stdout, "\n# For the KMS console: {}", file.display()),
            None => {
                let console = Zeroizing::new(made.console_text()?);
                write!(stdout, "\n# For the KMS console, as a file:\n{}", *console)
            }
        }
    }

    fn print_json(&self, made: &Made) -> std::io::Result<()> {
        let id = made.credential.id.as_str();
        let mut report = json!({
            "access_key_id": id,
            "secret_file": made.secret_file,
            "table": made.table(),
        });
        let (key, value) = match &self.console_file {
            Some(file) => ("console_file", json!(file)),
            None => ("console", serde_json::to_value(made.console_file())?),
        };
        if let Some(report) = report.as_object_mut() {
            report.insert(key.to_owned(), value);
        }
        writeln!(std::io::stdout(), "{report}")
    }
}

impl Made {
    fn table(&self) -> String {
        config::credential_table(self.credential.id.as_str(), &self.secret_file)
    }

    fn console_file(&self) -> ConsoleFile<'_> {
        let NewCredential { id, secret } = &self.credential;
        ConsoleFile::new(&self.prefix, id.as_str(), secret)
    }

    fn console_text(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string_pretty(&self.console_file())?;
        Ok(text + "\n")
    }
}

/// Returns whether any key store has this access key id: two key stores must not share one.
fn is_used<'a>(mut stores: impl Iterator<Item = &'a Credentials>, id: &AccessKeyId) -> bool {
    stores.any(|credentials| credentials.iter().any(|credential| credential.id() == id))
}

fn absolute(path: &Path) -> Result<String, CommandError> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.to_str().map(str::to_owned).ok_or_else(|| {
        let message = "the path of --secret-file is not UTF-8, as TOML must be";
        CommandError::usage(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::Credential;

    #[test]
    fn an_id_of_any_store_is_in_use() {
        let credentials = |id: &str| {
            let secret = Secret::new("x".repeat(43));
            Credentials::new(vec![Credential::new(id, secret).unwrap()])
        };
        let (first, second) = ("A".repeat(20), "B".repeat(20));
        let stores = [
            Credentials::default(),
            credentials(&first),
            credentials(&second),
        ];
        let is_used = |id: &str| is_used(stores.iter(), &AccessKeyId::parse(id).unwrap());
        assert!(is_used(&first) && is_used(&second));
        assert!(!is_used(&"A".repeat(21)) && !is_used(&"C".repeat(20)));
    }
}
