//! Imports the same key value into several tokens, as in HSMs with failover.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

use crate::connection::Outcome;

const KEY_BYTES: usize = 32;

/// The tokens and the keys.
#[derive(Args)]
pub struct Import {
    /// The PKCS#11 library that has all of the tokens.
    #[arg(long, value_name = "PATH")]
    module: PathBuf,
    /// A file that holds the user PIN of every token.
    #[arg(long, value_name = "FILE")]
    pin_file: PathBuf,
    /// Labels of the tokens.
    #[arg(long = "token", value_name = "LABEL", required = true)]
    tokens: Vec<String>,
    /// CKA_LABELs of the keys.
    #[arg(long = "label", value_name = "LABEL", required = true)]
    labels: Vec<String>,
}

impl Import {
    /// Makes the keys. Their values are random, and only this process has them.
    pub fn run(&self) -> Outcome<()> {
        let library = Pkcs11::new(&self.module)?;
        library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let sessions = self
            .tokens
            .iter()
            .map(|token| self.log_in(&library, token))
            .collect::<Outcome<Vec<_>>>()?;
        for label in &self.labels {
            let value = random_value()?;
            for session in &sessions {
                session.create_object(&template(label, &value))?;
            }
        }
        Ok(())
    }

    fn log_in(&self, library: &Pkcs11, token: &str) -> Outcome<Session> {
        let pin = fs::read_to_string(&self.pin_file)?;
        let pin = AuthPin::new(pin.trim_end_matches(['\r', '\n']).into());
        for slot in library.get_slots_with_initialized_token()? {
            if library.get_token_info(slot)?.label() == token {
                let session = library.open_rw_session(slot)?;
                session.login(UserType::User, Some(&pin))?;
                return Ok(session);
            }
        }
        Err(format!("no token is labelled {token}").into())
    }
}

fn random_value() -> Outcome<Vec<u8>> {
    let mut value = vec![0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut value)?;
    Ok(value)
}

fn template(label: &str, value: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Label(label.into()),
        Attribute::Value(value.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ]
}
