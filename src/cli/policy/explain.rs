//! `xks-proxy policy explain`.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::exit::{ExitStatus, Refusal};
use crate::config::Configuration;
use crate::keystore::{Key, KeySettings, KeyStoreSettings};
use crate::policy::{Action, Decision, Question};
use crate::xks::{KeyMetadataRequest, RequestMetadata};

/// Say what the policy decides about a request, and by which rules.
#[derive(Args)]
#[command(
    after_help = "Example:\n  xks-proxy policy explain --config config.toml --store payments --key orders --operation decrypt \\\n    \
    --request request.json\n\n\
    The file holds a request body as KMS sends it, or its requestMetadata alone; - is standard input. In the log of a denied \
    request, each field of it stands under its own name.\n\n\
    Exit codes: 0 permitted, 1 denied (also where mode = \"observe\" would let it pass), 2 wrong usage, 78 bad configuration."
)]
pub(in crate::cli) struct Explain {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The key store.
    #[arg(long, value_name = "NAME")]
    store: String,
    /// The external key's id.
    #[arg(long, value_name = "ID")]
    key: String,
    /// What is asked for.
    #[arg(long)]
    operation: Operation,
    /// The request, or - for standard input.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
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
        let decision = match self.decide() {
            Ok(decision) => decision,
            Err(refusal) => return refusal.tell(),
        };
        let (verdict, rules) = (decision.verdict.as_str(), &decision.policies);
        let is_served = decision.is_allowed;
        // A closed output changes nothing about the exit code.
        drop(match self.json {
            true => {
                let report = json!({ "verdict": verdict, "policies": rules, "served": is_served });
                writeln!(io::stdout(), "{report}")
            }
            false if rules.is_empty() => writeln!(io::stdout(), "{verdict}: no rule permits it"),
            false => writeln!(io::stdout(), "{verdict} by {}", rules.join(", ")),
        });
        match verdict == crate::policy::Verdict::Permitted.as_str() {
            true => ExitStatus::Done,
            false => ExitStatus::No,
        }
    }

    fn decide(&self) -> Result<Decision, Refusal> {
        let (configuration, policy, _) = super::load(&self.config)?;
        let (store, key) = self.key_of(&configuration)?;
        let metadata = self.metadata()?;
        let key = Key::new(key, |_| std::sync::Arc::default());
        Ok(policy.decide(&Question {
            action: self.operation.action(),
            store: &store.name,
            region: &store.region,
            key: key.id.as_str(),
            labels: &key.labels,
            tags: &key.tags,
            metadata: &metadata,
            now: SystemTime::now(),
        }))
    }

    fn key_of<'a>(
        &self,
        configuration: &'a Configuration,
    ) -> Result<(&'a KeyStoreSettings, &'a KeySettings), Refusal> {
        let mut stores = configuration.key_stores.iter();
        let store = stores.find(|store| store.name == self.store);
        let store =
            store.ok_or_else(|| usage(format!("there is no key store {:?}", self.store)))?;
        let mut keys = store.keys.iter();
        let key = keys.find(|key| key.id().as_str() == self.key);
        let key = key.ok_or_else(|| usage(format!("the store has no key {:?}", self.key)))?;
        Ok((store, key))
    }

    fn metadata(&self) -> Result<RequestMetadata, Refusal> {
        let text = self
            .read()
            .map_err(|error| usage(format!("cannot read {}: {error}", self.request.display())))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| usage(format!("the request is not JSON: {error}")))?;
        let metadata = value.get("requestMetadata").unwrap_or(&value);
        let body = json!({ "requestMetadata": metadata }).to_string();
        let parsed = KeyMetadataRequest::parse(body.as_bytes());
        let request = parsed.map_err(|fault| usage(fault.kind.message()))?;
        Ok(request.metadata)
    }

    fn read(&self) -> io::Result<String> {
        if self.request.as_os_str() != "-" {
            return std::fs::read_to_string(&self.request);
        }
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        Ok(text)
    }
}

fn usage(message: impl Into<String>) -> Refusal {
    Refusal::new(ExitStatus::WrongUsage, message)
}
