//! `xks-proxy policy explain`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::asked::{Asked, from_audit_log, of_request};
use super::load;
use crate::cli::output::exit::{CommandError, ExitStatus};
use crate::cli::output::terminal::safe;
use crate::config::Outline;
use crate::connections::ClientCertificate;
use crate::keystore::{Key, KeySettings, KeyStoreSettings};
use crate::policy::{Action, AuthorizationRequest, Decision, PolicyOutcome};

/// Say what the policy decides about a request, and by which rules.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy policy explain --config config.toml --kms-request-id 1ac0d1e2-…\n  \
    xks-proxy policy explain --config config.toml --store payments --key orders --operation decrypt \\\n    \
    --request request.json\n\n\
    With --kms-request-id, the command reads the newest line of the request in the audit log. It prints the recorded decision, and \
    the decision of the current policy for a request at that time. Without it, the file contains a request body as KMS sends it, \
    or only its requestMetadata; - is standard input.\n\n\
    Exit codes: 0 permitted, 1 denied (also where mode = \"observe\" would let it pass), 2 wrong usage, or no line is about this \
    request, 78 bad configuration."
)]
pub(in crate::cli) struct Explain {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A request of the audit trail, by what CloudTrail calls its requestID.
    #[arg(long, value_name = "ID", conflicts_with_all = ["store", "key", "operation", "request"])]
    kms_request_id: Option<String>,
    /// The key store.
    #[arg(long, value_name = "NAME", required_unless_present = "kms_request_id")]
    store: Option<String>,
    /// The external key's id.
    #[arg(long, value_name = "ID", required_unless_present = "kms_request_id")]
    key: Option<String>,
    /// The operation of the request.
    #[arg(long, required_unless_present = "kms_request_id")]
    operation: Option<Operation>,
    /// The request, or - for standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "kms_request_id")]
    request: Option<PathBuf>,
    /// The result of client authentication: verified, absent, server_auth_only, unverified or off.
    #[arg(long, value_name = "RESULT", default_value = "off", value_parser = client_certificate, conflicts_with = "kms_request_id")]
    client_certificate: ClientCertificate,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Operation {
    Encrypt,
    Decrypt,
    Metadata,
}

impl Operation {
    fn action(self) -> Action {
        match self {
            Self::Encrypt => Action::Encrypt,
            Self::Decrypt => Action::Decrypt,
            Self::Metadata => Action::GetKeyMetadata,
        }
    }
}

impl Explain {
    pub(in crate::cli) fn run(self) -> ExitStatus {
        let (asked, decision) = match self.decide() {
            Ok(decided) => decided,
            Err(refusal) => return refusal.report(),
        };
        // A closed output changes nothing about the exit code.
        drop(match self.json {
            true => writeln!(io::stdout(), "{}", as_json(&asked, &decision)),
            false => write!(io::stdout(), "{}", in_words(&asked, &decision)),
        });
        match decision.outcome {
            PolicyOutcome::Permitted => ExitStatus::Done,
            _ => ExitStatus::No,
        }
    }

    fn decide(&self) -> Result<(Asked, Decision), CommandError> {
        let (outline, policy) = load::policy(&self.config)?;
        let asked = self.asked(&outline)?;
        let (store, key) = key_of(&outline, &asked)?;
        let key = Key::new(key, |_| std::sync::Arc::default());
        let decision = policy.decide(&AuthorizationRequest {
            action: asked.action,
            store: &store.name,
            region: &store.region,
            key: key.id.as_str(),
            labels: &key.labels,
            tags: &key.tags,
            metadata: &asked.metadata,
            client_certificate: asked.client_certificate,
            transport: asked.transport,
            now: asked.now,
        });
        Ok((asked, decision))
    }

    fn asked(&self, outline: &Outline) -> Result<Asked, CommandError> {
        if let Some(id) = &self.kms_request_id {
            return from_audit_log(outline, id);
        }
        // The parser of the command line has seen to it that all of them are there.
        let parts = (&self.store, &self.key, self.operation, &self.request);
        let (Some(store), Some(key), Some(operation), Some(file)) = parts else {
            return Err(CommandError::usage(
                "--store, --key, --operation and --request are needed",
            ));
        };
        let certificate = self.client_certificate;
        of_request(store, key, operation.action(), certificate, file)
    }
}

fn client_certificate(name: &str) -> Result<ClientCertificate, String> {
    let known = ClientCertificate::ALL.map(ClientCertificate::as_str);
    ClientCertificate::from_name(name).ok_or_else(|| format!("known are: {}", known.join(", ")))
}

fn key_of<'a>(
    outline: &'a Outline,
    asked: &Asked,
) -> Result<(&'a KeyStoreSettings, &'a KeySettings), CommandError> {
    let (name, id) = (&asked.store, &asked.key);
    let mut stores = outline.key_stores.iter();
    let store = stores.find(|store| store.name == *name);
    let store = store.ok_or_else(|| {
        CommandError::usage(format!("the configuration has no key store {name:?}"))
    })?;
    let mut keys = store.keys.iter();
    let key = keys.find(|key| key.id().as_str() == id);
    let key =
        key.ok_or_else(|| CommandError::usage(format!("the store {name:?} has no key {id:?}")))?;
    Ok((store, key))
}

fn as_json(asked: &Asked, decision: &Decision) -> serde_json::Value {
    let mut report = json!({
        "verdict": decision.outcome.as_str(),
        "policies": decision.policies,
        "served": decision.is_allowed,
    });
    if let (Some(line), Some(report)) = (&asked.recorded, report.as_object_mut()) {
        report.insert("recorded".to_owned(), line.clone());
    }
    report
}

fn in_words(asked: &Asked, decision: &Decision) -> String {
    let outcome = decision.outcome.as_str();
    let now = match decision.policies.is_empty() {
        true => format!("{outcome}: no rule permits it"),
        false => format!("{outcome} by {}", safe(&decision.policies.join(", "))),
    };
    match asked.then() {
        None => format!("{now}\n"),
        Some(then) => format!("{}\nthen: {then}\nnow:  {now}\n", asked.in_words()),
    }
}
