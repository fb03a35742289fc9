//! `softhsm-token`: a SoftHSM token with AES keys, for `softhsm/dev` and the tests.
//!
//! Everything uses PKCS#11, so that keys have exactly the requested attributes (`softhsm2-util` makes no AES keys). Commands can be repeated:
//! existing tokens and keys are kept. SoftHSM finds its configuration by the environment variable `SOFTHSM2_CONF`. The tests also use the
//! program with Kryoptic, which has `KRYOPTIC_CONF`. Not for production: a real HSM comes with its own tools.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;

mod churn;
mod place;

use churn::Churn;
use place::{Outcome, Place, aes_keys, labels, pin};

const EXAMPLE: &str = "\
Example:
  export SOFTHSM2_CONF=$PWD/softhsm2.conf   # with: directories.tokendir = <an existing directory>
  M=/usr/lib/softhsm/libsofthsm2.so
  softhsm-token init --module $M --token xks --pin-file pin --so-pin-file so-pin
  softhsm-token key --module $M --token xks --pin-file pin --label orders";

/// Makes a SoftHSM token and AES keys in it. Existing tokens and keys are kept.
#[derive(Parser)]
#[command(name = "softhsm-token", after_help = EXAMPLE)]
enum Command {
    /// Initialize a token and set its user PIN, unless a token has this label.
    Init(Init),
    /// Generate a sensitive AES key that cannot be extracted, unless a key has this label.
    Key(Key),
    /// Delete every AES key with a label.
    DeleteKey(DeleteKey),
    /// Make and delete keys until standard input ends, as a program that also uses the token.
    Churn(Churn),
    /// Print the serial number of the token: labels may be ambiguous, serial numbers are not.
    Serial(Serial),
}

#[derive(Args)]
struct Init {
    #[command(flatten)]
    place: Place,
    /// A file with the security officer's PIN.
    #[arg(long, value_name = "FILE")]
    so_pin_file: PathBuf,
    /// Make another token even if the label is in use: tests make ambiguous labels with it.
    #[arg(long)]
    duplicate: bool,
}

#[derive(Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
struct Key {
    #[command(flatten)]
    place: Place,
    /// CKA_LABEL of the key.
    #[arg(long)]
    label: String,
    /// CKA_ID of the key.
    #[arg(long, value_name = "HEX", value_parser = hexadecimal, conflicts_with = "count")]
    id: Option<KeyIdentifier>,
    /// Length of the key: 128, 192 or 256 bits.
    #[arg(long = "bits", value_name = "BITS", default_value = "256", value_parser = aes_key_length)]
    bytes: u64,
    /// Make a key that cannot encrypt.
    #[arg(long)]
    no_encrypt: bool,
    /// Make a key that cannot decrypt.
    #[arg(long)]
    no_decrypt: bool,
    /// Make a key whose CKA_ALLOWED_MECHANISMS has AES-CBC only: its attributes permit encryption, but AES-GCM fails.
    #[arg(long)]
    cbc_only: bool,
    /// Make a key whose value can leave the token.
    #[arg(long)]
    extractable: bool,
    /// Make a key that is found and used without a login.
    #[arg(long)]
    public: bool,
    /// Make another key even if the label is in use: tests make ambiguous labels with it.
    #[arg(long)]
    duplicate: bool,
    /// Import the key from these raw bytes instead of generating it, for two tokens with the same key.
    #[arg(long, value_name = "FILE", conflicts_with = "bytes")]
    value_file: Option<PathBuf>,
    /// Make N keys, from LABEL-0001 to LABEL-N.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=9999))]
    count: Option<u32>,
}

#[derive(Args)]
struct DeleteKey {
    #[command(flatten)]
    place: Place,
    /// CKA_LABEL of the keys.
    #[arg(long)]
    label: String,
}

#[derive(Args)]
struct Serial {
    #[command(flatten)]
    place: Place,
}

/// CKA_ID. A type alias, because clap would treat a plain `Vec` as an option that may be repeated.
type KeyIdentifier = Vec<u8>;

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Init(init) => init.run(),
        Command::Key(key) => key.run(),
        Command::DeleteKey(delete) => delete.run(),
        Command::Churn(churn) => churn.run(),
        Command::Serial(serial) => serial.run(),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    // A closed error stream is not an error.
    let _ = writeln!(io::stderr(), "softhsm-token: {failure}");
    ExitCode::FAILURE
}

impl Init {
    fn run(&self) -> Outcome<()> {
        let place = &self.place;
        let library = place.library()?;
        let there = if self.duplicate {
            None
        } else {
            place.slot(&library)?
        };
        let slot = match there {
            Some(slot) if library.get_token_info(slot)?.user_pin_initialized() => {
                return say(&format!("token {} exists", place.token));
            }
            // Completes a start that was interrupted between the two steps.
            Some(slot) => slot,
            None => self.initialise_a_free_slot(&library)?,
        };
        self.set_user_pin(&library, slot)?;
        say(&format!("token {} made", place.token))
    }

    fn initialise_a_free_slot(&self, library: &Pkcs11) -> Outcome<Slot> {
        for slot in library.get_slots_with_token()? {
            if !library.get_token_info(slot)?.token_initialized() {
                library.init_token(slot, &pin(&self.so_pin_file)?, &self.place.token)?;
                return Ok(slot);
            }
        }
        Err("the module has no slot with an uninitialized token".into())
    }

    fn set_user_pin(&self, library: &Pkcs11, slot: Slot) -> Outcome<()> {
        let session = library.open_rw_session(slot)?;
        session
            .login(UserType::So, Some(&pin(&self.so_pin_file)?))
            .map_err(|error| {
                format!(
                    "security officer's login to token {}: {error}",
                    self.place.token
                )
            })?;
        session
            .init_pin(&pin(&self.place.pin_file)?)
            .map_err(|error| format!("setting the user PIN: {error}").into())
    }
}

impl Key {
    fn run(&self) -> Outcome<()> {
        let library = self.place.library()?;
        let session = self.place.login(&library)?;
        let taken = labels(&session)?;
        let (there, missing): (Vec<_>, Vec<_>) = self
            .labels()
            .into_iter()
            .partition(|label| !self.duplicate && taken.contains(label));
        for label in &missing {
            self.make(&session, label)
                .map_err(|error| format!("making key {label}: {error}"))?;
        }
        say(&format!(
            "{}: {} made, {} existed",
            self.label,
            missing.len(),
            there.len()
        ))
    }

    fn make(&self, session: &Session, label: &str) -> Outcome<()> {
        let mut template = self.template(label);
        match &self.value_file {
            None => {
                template.push(Attribute::ValueLen(self.bytes.into()));
                session.generate_key(&Mechanism::AesKeyGen, &template)?;
            }
            Some(file) => {
                let value =
                    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
                let kind = [
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(KeyType::AES),
                    Attribute::Value(value),
                ];
                template.extend(kind);
                session.create_object(&template)?;
            }
        }
        Ok(())
    }

    fn labels(&self) -> Vec<String> {
        match self.count {
            Some(count) => (1..=count)
                .map(|number| format!("{}-{number:04}", self.label))
                .collect(),
            None => vec![self.label.clone()],
        }
    }

    /// Every usage is explicit: modules differ in what they assume for missing attributes.
    fn template(&self, label: &str) -> Vec<Attribute> {
        let mut template = vec![
            Attribute::Label(label.into()),
            Attribute::Token(true),
            Attribute::Private(!self.public),
            Attribute::Sensitive(true),
            Attribute::Extractable(self.extractable),
            Attribute::Encrypt(!self.no_encrypt),
            Attribute::Decrypt(!self.no_decrypt),
            Attribute::Sign(false),
            Attribute::Verify(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ];
        template.extend(self.id.clone().map(Attribute::Id));
        if self.cbc_only {
            template.push(Attribute::AllowedMechanisms(vec![MechanismType::AES_CBC]));
        }
        template
    }
}

impl DeleteKey {
    fn run(&self) -> Outcome<()> {
        let library = self.place.library()?;
        let session = self.place.login(&library)?;
        let keys = aes_keys(&session, &[Attribute::Label(self.label.clone().into())])?;
        if keys.is_empty() {
            return Err(format!(
                "token {} has no AES key labelled {}",
                self.place.token, self.label
            )
            .into());
        }
        for key in &keys {
            session.destroy_object(*key)?;
        }
        say(&format!("{}: {} deleted", self.label, keys.len()))
    }
}

impl Serial {
    fn run(&self) -> Outcome<()> {
        let library = self.place.library()?;
        let slot = self.place.existing_slot(&library)?;
        say(library.get_token_info(slot)?.serial_number())
    }
}

fn aes_key_length(bits: &str) -> Result<u64, String> {
    match bits {
        "128" => Ok(16),
        "192" => Ok(24),
        "256" => Ok(32),
        _ => Err("AES keys have 128, 192 or 256 bits".into()),
    }
}

fn hexadecimal(text: &str) -> Result<KeyIdentifier, String> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|pair| byte(pair)).collect();
    bytes
        .filter(|bytes| !bytes.is_empty() && rest.is_empty())
        .ok_or_else(|| "give an even number of hexadecimal digits, at least two".into())
}

fn say(line: &str) -> Outcome<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
