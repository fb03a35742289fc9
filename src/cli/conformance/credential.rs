//! Where the credential comes from: the KMS console's JSON file, or an id and a secret file.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::{Refusal, read, unfit, usage};
use crate::client::raw::Signer;
use crate::secret::Secret;

#[derive(Args)]
pub(super) struct Options {
    /// The KMS console's JSON file with path, access key id and secret.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["access_key_id", "secret_file"])]
    credential: Option<PathBuf>,
    /// The access key id.
    #[arg(long, value_name = "ID")]
    access_key_id: Option<String>,
    /// The file with its secret.
    #[arg(long, value_name = "FILE", requires = "access_key_id")]
    secret_file: Option<PathBuf>,
    /// The secret itself, for all to see who list processes.
    #[arg(
        long,
        value_name = "SECRET",
        requires = "access_key_id",
        conflicts_with = "secret_file"
    )]
    danger_secret: Option<String>,
    /// The console's JSON file of the store's second credential.
    #[arg(long, value_name = "FILE")]
    second_credential: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsoleFile {
    xks_proxy_uri_path: Option<String>,
    xks_proxy_authentication_credential: ConsoleCredential,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsoleCredential {
    access_key_id: String,
    raw_secret_access_key: String,
}

impl Options {
    /// Who signs, and the path if the file says it.
    pub(super) fn signer(&self, region: &str) -> Result<(Signer, Option<String>), Refusal> {
        match (&self.credential, &self.access_key_id) {
            (Some(file), _) => of_console(file, region),
            (None, Some(id)) => Ok((Signer::new(id, self.secret()?, region), None)),
            (None, None) => Err(usage(
                "give --credential, or --access-key-id and --secret-file",
            )),
        }
    }

    /// Who signs with the second credential.
    pub(super) fn second(&self, region: &str) -> Result<Option<Signer>, Refusal> {
        let file = self.second_credential.as_deref();
        let signer = file.map(|file| of_console(file, region));
        Ok(signer.transpose()?.map(|(signer, _)| signer))
    }

    fn secret(&self) -> Result<Secret, Refusal> {
        match (&self.secret_file, &self.danger_secret) {
            (Some(file), _) => {
                let content = read(file)?;
                let text = std::str::from_utf8(&content);
                let text = text.map_err(|error| unfit(file, &std::io::Error::other(error)))?;
                Ok(Secret::new(text.trim_end().to_owned()))
            }
            (None, Some(secret)) => Ok(Secret::new(secret.clone())),
            (None, None) => Err(usage("give --secret-file beside --access-key-id")),
        }
    }
}

fn of_console(file: &Path, region: &str) -> Result<(Signer, Option<String>), Refusal> {
    // What serde would say of a field may quote it.
    let unreadable = |_| usage(format!("{} is not the KMS console's JSON", file.display()));
    let parsed: ConsoleFile = serde_json::from_slice(&read(file)?).map_err(unreadable)?;
    let credential = parsed.xks_proxy_authentication_credential;
    let secret = Secret::new(credential.raw_secret_access_key);
    let signer = Signer::new(&credential.access_key_id, secret, region);
    Ok((signer, parsed.xks_proxy_uri_path))
}
