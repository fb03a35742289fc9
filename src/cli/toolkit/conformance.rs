//! `xks-proxy conformance`.
//!
//! # Invariants
//! - A secret comes from a file and never from the command line.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::target::{self, TargetOptions};
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::cli::output::progress::Progress;
use crate::client::Trust;
use crate::toolkit::conformance::wire::{Endpoint, Signer, Tls};
use crate::toolkit::conformance::{self, Case, CaseResult, ClientAuth, Keys, Target};

/// The path of the API below a prefix.
const API: &str = "/kms/xks/v1";

/// Test any XKS proxy over the wire against every testable MUST and SHOULD of the specification.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy conformance --endpoint https://xks.example.com --credential payments.json --region eu-west-1 \\\n    \
    --key orders --encrypt-only-key write-only --disabled-key retired --junit report.xml\n\n\
    --credential is the KMS console's JSON, as `credential new` writes it; --access-key-id and --secret-file are the same in two parts. \
    Cases whose precondition was not given are skipped, with the reason. The keys are used to encrypt and decrypt test data; nothing is \
    changed.\n\n\
    Exit codes: 0 no MUST failed, 1 a MUST failed, 2 wrong usage, 70 internal."
)]
pub(in crate::cli) struct Conformance {
    #[command(flatten)]
    target: TargetOptions,
    /// The console's JSON file of the store's second credential.
    #[arg(long, value_name = "FILE")]
    second_credential: Option<PathBuf>,
    /// Another key like it.
    #[arg(long, value_name = "ID")]
    second_key: Option<String>,
    /// A key that may encrypt but not decrypt.
    #[arg(long, value_name = "ID")]
    encrypt_only_key: Option<String>,
    /// A key that may decrypt but not encrypt.
    #[arg(long, value_name = "ID")]
    decrypt_only_key: Option<String>,
    /// A key that is disabled.
    #[arg(long, value_name = "ID")]
    disabled_key: Option<String>,
    /// An id that no key has; default: one that is made up.
    #[arg(long, value_name = "ID")]
    missing_key: Option<String>,
    /// Take any certificate of the proxy.
    #[arg(long)]
    danger_any_certificate: bool,
    /// The proxy's server.tls.client_auth.mode: the expected behavior in the group deprecated-mtls.
    #[arg(long, value_name = "MODE")]
    client_auth_mode: Option<ClientAuthMode>,
    /// A certificate of the same authority for a subject that the proxy does not take.
    #[arg(long, value_name = "FILE", requires = "wrong_subject_key")]
    wrong_subject_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "wrong_subject_certificate")]
    wrong_subject_key: Option<PathBuf>,
    /// A certificate of the same authority and subject that is for servers only (no clientAuth).
    #[arg(long, value_name = "FILE", requires = "server_auth_only_key")]
    server_auth_only_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "server_auth_only_certificate")]
    server_auth_only_key: Option<PathBuf>,
    /// Only the cases whose id contains this text (* stands for any text); may be given again.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// List the cases and the requirements that cannot be tested, and run nothing.
    #[arg(long)]
    list: bool,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Write a report for CI too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// How long to wait for a connection or an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum ClientAuthMode {
    Off,
    Optional,
    Required,
}

impl ClientAuthMode {
    fn mode(self) -> ClientAuth {
        match self {
            Self::Off => ClientAuth::Off,
            Self::Optional => ClientAuth::Optional,
            Self::Required => ClientAuth::Required,
        }
    }
}

impl Conformance {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        match self.run_cases() {
            Ok(status) => status,
            Err(refusal) => refusal.report(),
        }
    }

    fn run_cases(&self) -> Result<ExitStatus, CommandError> {
        let cases = self.cases()?;
        if self.list {
            // A closed output changes nothing about the exit code.
            drop(write!(io::stdout(), "{}", conformance::list(&cases)));
            return Ok(ExitStatus::Done);
        }
        let results = conformance::run(&self.target()?, &cases, progress(cases.len()));
        drop(match self.json {
            true => writeln!(io::stdout(), "{}", conformance::json(&results)),
            false => write!(io::stdout(), "{}", conformance::table(&results)),
        });
        if let Some(file) = &self.junit {
            fs::write(file, conformance::junit(&results)).map_err(CommandError::internal)?;
        }
        Ok(match conformance::failed(&results) {
            true => ExitStatus::No,
            false => ExitStatus::Done,
        })
    }

    fn cases(&self) -> Result<Vec<Case>, CommandError> {
        let mut cases = conformance::all();
        if !self.only.is_empty() {
            cases.retain(|case| self.only.iter().any(|pattern| matches(pattern, &case.id)));
        }
        match cases.is_empty() {
            true => Err(CommandError::usage("no case matches --only: see --list")),
            false => Ok(cases),
        }
    }

    fn target(&self) -> Result<Target, CommandError> {
        let target = self.target.target()?;
        let key = self.target.key.clone();
        let key =
            key.ok_or_else(|| CommandError::usage("give --key, one that may encrypt and decrypt"))?;
        let identity = |certificate: &Option<PathBuf>, key: &Option<PathBuf>| {
            let found = target::identity(certificate.as_deref(), key.as_deref());
            found.map(|identity| identity.map(Arc::new))
        };
        let (certificate, private) = (&self.wrong_subject_certificate, &self.wrong_subject_key);
        let wrong_subject = identity(certificate, private)?;
        let (certificate, private) = (
            &self.server_auth_only_certificate,
            &self.server_auth_only_key,
        );
        let server_auth_only = identity(certificate, private)?;
        Ok(Target {
            path: uri_path(&target.path),
            signer: Signer::new(&target.access_key_id, target.secret, &target.region),
            second_signer: self.second_signer(&target.region)?,
            endpoint: Endpoint {
                host: target.host,
                port: target.port,
                address: target.connect,
                timeout: Duration::from_secs(self.patience.max(1)),
            },
            tls: Tls {
                identity: target.identity.map(Arc::new),
                ..Tls::new(self.trust(target.authorities))
            },
            client_auth: self.client_auth_mode.map(ClientAuthMode::mode),
            wrong_subject,
            server_auth_only,
            keys: self.keys(key),
        })
    }

    fn second_signer(&self, region: &str) -> Result<Option<Signer>, CommandError> {
        let Some(file) = &self.second_credential else {
            return Ok(None);
        };
        let console = target::console(file)?;
        let signer = Signer::new(&console.access_key_id, console.secret, region);
        Ok(Some(signer))
    }

    fn trust(&self, authorities: Vec<Vec<u8>>) -> Trust {
        match self.danger_any_certificate {
            true => Trust::Anyone,
            false => Trust::PublicAnd(authorities),
        }
    }

    fn keys(&self, main: String) -> Keys {
        Keys {
            main,
            second: self.second_key.clone(),
            encrypt_only: self.encrypt_only_key.clone(),
            decrypt_only: self.decrypt_only_key.clone(),
            disabled: self.disabled_key.clone(),
            missing: self.missing_key.clone(),
        }
    }
}

/// Returns a function that shows the number of finished cases on a terminal.
fn progress(count: usize) -> impl FnMut(&CaseResult) {
    let (mut done, mut progress) = (0, Progress::begin());
    move |result| {
        done += 1;
        progress.show(|| format!("{done}/{count} {}", result.id));
    }
}

fn uri_path(path: &str) -> String {
    let path = path.trim_end_matches('/');
    match path.ends_with(API) {
        true => path.to_owned(),
        false => format!("{path}{API}"),
    }
}

/// Returns whether `id` contains the parts of `pattern` between its stars, in order.
fn matches(pattern: &str, id: &str) -> bool {
    let mut rest = id;
    for part in pattern.split('*') {
        let Some((_, after)) = rest.split_once(part) else {
            return part.is_empty();
        };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for pattern in ["", "cdiv", "c*aad", "*", "with*"] {
            assert!(matches(pattern, "cdiv-with-aad"), "{pattern}");
        }
        for pattern in ["aad*cdiv", "tag", "cdiv*x"] {
            assert!(!matches(pattern, "cdiv-with-aad"), "{pattern}");
        }
    }

    #[test]
    fn a_prefix_and_a_whole_path_are_the_same() {
        for path in ["/a", "/a/", "/a/kms/xks/v1", "/a/kms/xks/v1/"] {
            assert_eq!(uri_path(path), "/a/kms/xks/v1");
        }
        assert_eq!(uri_path(""), "/kms/xks/v1");
    }
}
