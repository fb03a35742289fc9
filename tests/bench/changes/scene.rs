//! The environment of every stage: the proxy's binary, a token, and a directory for certificates, configurations and logs.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use aws_credential_types::Credentials;
use clap::Args;

use crate::connection::Outcome;
use crate::document::Document;

/// The paths of a stage. The directory contains `ca.pem`, `pin`, and `tls`, a symbolic link to a directory with `server.pem` and
/// `server.key`.
#[derive(Args, Clone)]
pub struct Scene {
    /// The binary of the proxy.
    #[arg(long, value_name = "PATH")]
    pub proxy: PathBuf,
    /// The directory of certificates, configurations and logs.
    #[arg(long, value_name = "PATH")]
    pub directory: PathBuf,
    /// The PKCS#11 library.
    #[arg(long, value_name = "PATH")]
    pub module: PathBuf,
    /// The label of the token.
    #[arg(long, value_name = "LABEL")]
    pub token: String,
    /// The duration of a phase of this stage.
    #[arg(long, default_value = "6", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
}

/// A credential whose secret is in a separate file.
#[derive(Clone)]
pub struct Signer {
    /// The access key id.
    pub id: String,
    /// The file with the secret.
    pub file: PathBuf,
    /// The credentials for signing.
    pub credentials: Credentials,
}

impl Scene {
    /// Returns a configuration with this name without key stores.
    pub fn document(&self, name: &str) -> Document {
        Document {
            name: name.to_owned(),
            scene: self.clone(),
            sessions: 1,
            stores: Vec::new(),
        }
    }

    /// Makes a new credential. `number` makes its id unique.
    pub fn signer(&self, number: usize) -> Outcome<Signer> {
        let letter = |place: u32| char::from(b'A' + (number / 26_usize.pow(place) % 26) as u8);
        let number: String = (0..5).rev().map(letter).collect();
        let id = format!("XKSLIVEBENCHKEY{number}");
        let (secret, file) = (random_hex()?, self.directory.join(format!("secret-{id}")));
        let options = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file);
        options?.write_all(secret.as_bytes())?;
        let credentials = Credentials::new(&id, secret, None, None, "bench");
        Ok(Signer {
            id,
            file,
            credentials,
        })
    }

    /// Replaces the served certificate and its key in one step.
    pub fn exchange_certificate(&self, to: &str) -> Outcome<()> {
        let (link, new) = (self.directory.join("tls"), self.directory.join("tls.new"));
        std::os::unix::fs::symlink(to, &new)?;
        Ok(fs::rename(new, link)?)
    }
}

fn random_hex() -> Outcome<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
