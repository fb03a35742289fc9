//! `xks-proxy conformance`.
//!
//! # Invariants
//! - A secret comes from a file; the one option that takes it from the command line says how dangerous that is by its name.

mod credential;

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit::{ExitStatus, Refusal};
use crate::client::raw::{Identity, Place, Tls, Trust};
use crate::toolkit::conformance::{self, Case, Keys, Target, Verdict};

/// The path of the API below a prefix.
const API: &str = "/kms/xks/v1";

/// Judge an XKS proxy, any one, over the wire: every testable MUST and SHOULD of the specification.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy conformance --endpoint https://xks.example.com --credential payments.json --region eu-west-1 \\\n    \
    --key orders --encrypt-only-key sealed --disabled-key retired --junit report.xml\n\n\
    --credential is the KMS console's JSON, as `credential new` writes it; --access-key-id and --secret-file are the same in two parts. \
    Cases whose precondition was not given are skipped, with the reason. The keys are used to encrypt and decrypt test data; nothing is \
    changed.\n\n\
    Exit codes: 0 no MUST failed, 1 a MUST failed, 2 wrong usage, 70 internal."
)]
pub(super) struct Conformance {
    /// The proxy: https://host[:port].
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    endpoint: Option<String>,
    /// The store's path prefix, or its whole XksProxyUriPath; default: what the credential file says.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The store's AWS region.
    #[arg(long, value_name = "REGION", required_unless_present = "list")]
    region: Option<String>,
    #[command(flatten)]
    credential: credential::Options,
    /// An external key (AES-256) that may encrypt and decrypt.
    #[arg(long, value_name = "ID", required_unless_present = "list")]
    key: Option<String>,
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
    /// The authorities that vouch for the proxy's certificate, as PEM; default: the public ones.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Take any certificate of the proxy.
    #[arg(long, conflicts_with = "ca")]
    danger_any_certificate: bool,
    /// The client certificate that the proxy takes, as PEM; makes the cases of mTLS possible.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// A certificate of the same authority for a subject that the proxy does not take.
    #[arg(long, value_name = "FILE", requires = "wrong_subject_key")]
    wrong_subject_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "wrong_subject_certificate")]
    wrong_subject_key: Option<PathBuf>,
    /// Only the cases whose id contains this text (* stands for any text); may be given again.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Show the cases and what cannot be tested, and judge nothing.
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

impl Conformance {
    pub(super) fn run(self) -> ExitStatus {
        match self.judged() {
            Ok(status) => status,
            Err(refusal) => refusal.tell(),
        }
    }

    fn judged(&self) -> Result<ExitStatus, Refusal> {
        let cases = self.cases()?;
        if self.list {
            // A closed output changes nothing about the exit code.
            drop(write!(io::stdout(), "{}", conformance::list(&cases)));
            return Ok(ExitStatus::Done);
        }
        let verdicts = conformance::judge(&self.target()?, &cases, progress(cases.len()));
        if io::stderr().is_terminal() {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
        drop(match self.json {
            true => writeln!(io::stdout(), "{}", conformance::json(&verdicts)),
            false => write!(io::stdout(), "{}", conformance::table(&verdicts)),
        });
        if let Some(file) = &self.junit {
            fs::write(file, conformance::junit(&verdicts)).map_err(Refusal::internal)?;
        }
        Ok(match conformance::failed(&verdicts) {
            true => ExitStatus::No,
            false => ExitStatus::Done,
        })
    }

    fn cases(&self) -> Result<Vec<Case>, Refusal> {
        let mut cases = conformance::all();
        if !self.only.is_empty() {
            cases.retain(|case| self.only.iter().any(|pattern| matches(pattern, &case.id)));
        }
        match cases.is_empty() {
            true => Err(usage("no case matches --only: see --list")),
            false => Ok(cases),
        }
    }

    fn target(&self) -> Result<Target, Refusal> {
        let region = self.region.as_deref().unwrap_or_default();
        let (signer, console_path) = self.credential.signer(region)?;
        let path = self.path.as_deref().or(console_path.as_deref());
        let path = path.ok_or_else(|| usage("give --path: the credential does not say it"))?;
        Ok(Target {
            place: self.place()?,
            path: uri_path(path),
            signer,
            second_signer: self.credential.second(region)?,
            tls: self.tls()?,
            wrong_subject: identity(&self.wrong_subject_certificate, &self.wrong_subject_key)?,
            keys: Keys {
                main: self.key.clone().unwrap_or_default(),
                second: self.second_key.clone(),
                encrypt_only: self.encrypt_only_key.clone(),
                decrypt_only: self.decrypt_only_key.clone(),
                disabled: self.disabled_key.clone(),
                missing: self.missing_key.clone(),
            },
        })
    }

    fn place(&self) -> Result<Place, Refusal> {
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        let parsed = endpoint.parse::<http::Uri>().ok();
        let uri = parsed.filter(|uri| uri.scheme_str() == Some("https") && uri.path() == "/");
        let uri = uri.ok_or_else(|| usage("--endpoint is https://host[:port], without a path"))?;
        Ok(Place {
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().unwrap_or(443),
            patience: Duration::from_secs(self.patience.max(1)),
        })
    }

    fn tls(&self) -> Result<Tls, Refusal> {
        let trust = match &self.ca {
            Some(file) => Trust::pem(&read(file)?).map_err(|e| unfit(file, &e))?,
            None if self.danger_any_certificate => Trust::Anyone,
            None => Trust::public(),
        };
        Ok(Tls {
            identity: identity(&self.client_certificate, &self.client_key)?,
            ..Tls::new(trust)
        })
    }
}

/// Shows on a terminal how far it is.
fn progress(count: usize) -> impl FnMut(&Verdict) {
    let (mut done, shown) = (0, io::stderr().is_terminal());
    move |verdict| {
        done += 1;
        if shown {
            drop(write!(
                io::stderr(),
                "\r\x1b[K{done}/{count} {}",
                verdict.id
            ));
        }
    }
}

fn uri_path(path: &str) -> String {
    let path = path.trim_end_matches('/');
    match path.ends_with(API) {
        true => path.to_owned(),
        false => format!("{path}{API}"),
    }
}

/// Whether `id` contains the parts of `pattern` between its stars, in order.
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

fn identity(
    certificate: &Option<PathBuf>,
    key: &Option<PathBuf>,
) -> Result<Option<Arc<Identity>>, Refusal> {
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Ok(None);
    };
    let identity = Identity::pem(&read(certificate)?, &read(key)?);
    let identity = identity.map_err(|error| unfit(certificate, &error))?;
    Ok(Some(Arc::new(identity)))
}

fn read(file: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Refusal> {
    let content = fs::read(file).map_err(|error| unfit(file, &error))?;
    Ok(content.into())
}

fn unfit(file: &Path, error: &io::Error) -> Refusal {
    usage(format!("{}: {error}", file.display()))
}

fn usage(message: impl Into<String>) -> Refusal {
    Refusal::new(ExitStatus::WrongUsage, message)
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
