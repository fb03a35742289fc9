//! The module, the token and the login of `softhsm-token`. Errors contain the action for the user.

#![expect(unsafe_code, reason = "the string that NSS wants in C_Initialize")]

use std::collections::BTreeSet;
use std::error::Error;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use clap::Args;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Pkcs11Error, RvError};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;

/// The result of a step. The error is a text for the user.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// The arguments that all commands share.
#[derive(Args)]
pub struct Place {
    /// The PKCS#11 library.
    #[arg(long, value_name = "PATH")]
    pub module: PathBuf,
    /// The string for C_Initialize, which NSS and others need.
    #[arg(long, value_name = "TEXT")]
    pub parameters: Option<CString>,
    /// The label of the token.
    #[arg(long, value_name = "LABEL")]
    pub token: String,
    /// A file with the user PIN; a line end after it is ignored.
    #[arg(long, value_name = "FILE")]
    pub pin_file: PathBuf,
}

impl Place {
    /// Loads and initializes the module.
    pub fn library(&self) -> Outcome<Pkcs11> {
        let module = self.module.display();
        let library = Pkcs11::new(&self.module).map_err(|error| {
            format!("cannot load {module}: {error}; on Debian the package is softhsm2")
        })?;
        library.initialize(self.arguments()).map_err(|error| {
            format!(
                "cannot initialise {module}: {error}; SOFTHSM2_CONF must name a file with a line \
                 `directories.tokendir = <an existing directory>`"
            )
        })?;
        Ok(library)
    }

    fn arguments(&self) -> CInitializeArgs {
        let text = self.parameters.as_ref();
        let text = text.and_then(|text| NonNull::new(text.as_ptr().cast_mut()));
        match text {
            None => CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK),
            // SAFETY: a C string that lives as long as this value, and so as long as the command runs.
            Some(text) => unsafe {
                CInitializeArgs::new_with_reserved(CInitializeFlags::OS_LOCKING_OK, text.cast())
            },
        }
    }

    /// Returns the slot of the token; an error if two tokens have the label.
    pub fn slot(&self, library: &Pkcs11) -> Outcome<Option<Slot>> {
        let mut found = Vec::new();
        for slot in library.get_slots_with_initialized_token()? {
            if library.get_token_info(slot)?.label() == self.token {
                found.push(slot);
            }
        }
        match found.as_slice() {
            [] => Ok(None),
            [slot] => Ok(Some(*slot)),
            _ => Err(format!(
                "{} tokens are labelled {}: remove all but one",
                found.len(),
                self.token
            )
            .into()),
        }
    }

    /// Returns the slot of the token; an error if it does not exist.
    pub fn existing_slot(&self, library: &Pkcs11) -> Outcome<Slot> {
        let slot = self.slot(library)?.ok_or_else(|| {
            format!("no token is labelled {}: make it with `softhsm-token init`, or check SOFTHSM2_CONF", self.token)
        })?;
        Ok(slot)
    }

    /// Opens a session and logs the user in.
    pub fn login(&self, library: &Pkcs11) -> Outcome<Session> {
        let slot = self.existing_slot(library)?;
        let session = library.open_rw_session(slot)?;
        match session.login(UserType::User, Some(&pin(&self.pin_file)?)) {
            Ok(()) => Ok(session),
            Err(Pkcs11Error::Pkcs11(RvError::PinIncorrect, _)) => Err(format!(
                "token {} rejects the PIN in {}",
                self.token,
                self.pin_file.display()
            )
            .into()),
            Err(error) => Err(format!("login to token {}: {error}", self.token).into()),
        }
    }
}

/// Returns the labels of all AES keys in one search: a search for each of a thousand keys takes a minute.
pub fn labels(session: &Session) -> Outcome<BTreeSet<String>> {
    let mut labels = BTreeSet::new();
    for key in aes_keys(session, &[])? {
        for attribute in session.get_attributes(key, &[AttributeType::Label])? {
            if let Attribute::Label(label) = attribute {
                labels.insert(String::from_utf8_lossy(&label).into_owned());
            }
        }
    }
    Ok(labels)
}

/// Returns the AES keys that also have the attributes `also`.
pub fn aes_keys(session: &Session, also: &[Attribute]) -> Outcome<Vec<ObjectHandle>> {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
    ];
    template.extend_from_slice(also);
    Ok(session.find_objects(&template)?)
}

/// Reads the PIN in a file, without its line end.
pub fn pin(file: &Path) -> Outcome<AuthPin> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read the PIN in {}: {error}", file.display()))?;
    let pin = text.trim_end_matches(['\r', '\n']);
    if pin.is_empty() {
        Err(format!("{} is empty", file.display()).into())
    } else {
        Ok(AuthPin::new(pin.into()))
    }
}
