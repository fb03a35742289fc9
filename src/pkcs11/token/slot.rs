//! A slot: the information of its token, and opening sessions with the token.
//!
//! # Invariants
//! - No read-write session is opened with a token that has `CKF_WRITE_PROTECTED`.

use std::fmt;

use cryptoki::context::Function;
use cryptoki::error::RvError;
use cryptoki_sys::{
    CK_FLAGS, CK_SLOT_ID, CK_TOKEN_INFO, CKF_LOGIN_REQUIRED, CKF_RW_SESSION, CKF_SERIAL_SESSION,
    CKF_TOKEN_INITIALIZED, CKF_WRITE_PROTECTED,
};

use crate::hsm_protocol::TokenSelector;
use crate::pkcs11::library::errors::Error;
use crate::pkcs11::library::ffi::Session;
use crate::pkcs11::library::module::Module;

/// `CK_TOKEN_INFO`, without padding. Fields that the proxy does not use are not parsed, because some tokens fill them wrongly.
pub(in crate::pkcs11) struct TokenInfo {
    label: String,
    vendor: String,
    model: String,
    serial: String,
    firmware: (u8, u8),
    flags: CK_FLAGS,
}

impl From<CK_TOKEN_INFO> for TokenInfo {
    fn from(info: CK_TOKEN_INFO) -> Self {
        Self {
            label: text(&info.label),
            vendor: text(&info.manufacturerID),
            model: text(&info.model),
            serial: text(&info.serialNumber),
            firmware: (info.firmwareVersion.major, info.firmwareVersion.minor),
            flags: info.flags,
        }
    }
}

/// Reads a field of fixed length. The standard pads with blanks. Some tokens end the text with NUL, followed by undefined bytes.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    let (text, _) = field.split_at(end.unwrap_or(field.len()));
    String::from_utf8_lossy(text)
        .trim_end_matches(' ')
        .to_owned()
}

impl TokenInfo {
    /// Returns whether the configuration selects this token.
    pub(in crate::pkcs11) fn is_selected_by(&self, selector: &TokenSelector) -> bool {
        match selector {
            TokenSelector::Label(label) => self.is_initialized() && self.label == *label,
            TokenSelector::Serial(serial) => self.serial == *serial,
        }
    }

    /// The identity of the token.
    pub(in crate::pkcs11) fn identity(&self) -> TokenIdentity {
        let (major, minor) = self.firmware;
        TokenIdentity {
            vendor: self.vendor.clone(),
            model: format!("{} {major}.{minor}", self.model),
            serial: self.serial.clone(),
            label: self.label.clone(),
            requires_login: self.flags & CKF_LOGIN_REQUIRED != 0,
        }
    }

    fn is_initialized(&self) -> bool {
        self.flags & CKF_TOKEN_INITIALIZED != 0
    }
}

/// The identity of a token, as the token reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::pkcs11) struct TokenIdentity {
    pub vendor: String,
    pub model: String,
    pub serial: String,
    pub label: String,
    /// `CKF_LOGIN_REQUIRED`.
    pub requires_login: bool,
}

impl TokenIdentity {
    /// The key of the token in the record of logins. The serial number is not sufficient: all tokens of some products have the same one.
    pub(in crate::pkcs11) fn login_record_key(&self) -> String {
        let Self {
            vendor,
            serial,
            label,
            ..
        } = self;
        format!("{vendor:?} {serial:?} {label:?}")
    }
}

/// Label and serial number, for the list of tokens that are present.
impl fmt::Display for TokenInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, serial, .. } = self;
        match self.is_initialized() {
            true => write!(f, "{label:?} (serial {serial})"),
            false => write!(f, "an uninitialized token (serial {serial:?})"),
        }
    }
}

/// The slot of the selected token.
#[derive(Clone, Copy, Debug)]
pub(in crate::pkcs11) struct TokenSlot {
    pub id: CK_SLOT_ID,
    is_write_protected: bool,
    /// True if the token rejects read-only sessions.
    needs_read_write: bool,
}

impl TokenSlot {
    pub(in crate::pkcs11) fn new(id: CK_SLOT_ID, info: &TokenInfo) -> Self {
        Self {
            id,
            is_write_protected: info.flags & CKF_WRITE_PROTECTED != 0,
            needs_read_write: false,
        }
    }

    /// Opens the first session, and determines which sessions the token allows: AWS CloudHSM's client SDK 5 rejects read-only sessions. All
    /// later sessions of this slot are of the same kind.
    ///
    /// # Errors
    /// The error of the read-only session, if no read-write session can be opened either.
    pub(in crate::pkcs11) fn open_first_session(
        &mut self,
        module: &Module,
    ) -> Result<Session, Error> {
        let rejected = match self.open_session(module) {
            Err(error) if !self.is_write_protected => error,
            outcome => return outcome,
        };
        let Ok(session) = self.open_read_write_session(module) else {
            return Err(rejected);
        };
        self.needs_read_write = true;
        tracing::info!(module = module.path(), error = %rejected, "the token rejects read-only sessions; using read-write sessions");
        Ok(session)
    }

    /// Opens a session for encryption and decryption.
    ///
    /// # Errors
    /// When the token rejects it.
    pub(in crate::pkcs11) fn open_session(&self, module: &Module) -> Result<Session, Error> {
        match self.needs_read_write {
            true => self.open_read_write_session(module),
            false => Session::open(&module.functions, self.id, CKF_SERIAL_SESSION),
        }
    }

    /// Opens a session that can create keys.
    ///
    /// # Errors
    /// When the token rejects it or is write-protected.
    pub(in crate::pkcs11) fn open_read_write_session(
        &self,
        module: &Module,
    ) -> Result<Session, Error> {
        if self.is_write_protected {
            let code = RvError::TokenWriteProtected;
            return Err(Error::Pkcs11(code, Function::OpenSession));
        }
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        Session::open(&module.functions, self.id, flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded<const N: usize>(text: &[u8], padding: u8) -> [u8; N] {
        let mut field = [padding; N];
        field[..text.len()].copy_from_slice(text);
        field
    }

    #[test]
    fn padding_with_blanks_or_nul_is_removed() {
        for (field, expected) in [
            (padded::<16>(b"SW TPM", b' '), "SW TPM"),
            (padded(b"SW TPM", 0), "SW TPM"),
            (padded(b"SW TPM  \0", b' '), "SW TPM"),
            (padded(b"SW TPM\0left over", 0), "SW TPM"),
            (padded(b"", 0), ""),
            (padded(b"0123456789abcdef", 0), "0123456789abcdef"),
            (padded(b"M\xfcller", b' '), "M\u{fffd}ller"),
        ] {
            assert_eq!(text(&field), expected);
        }
    }

    #[test]
    fn a_token_with_an_invalid_clock_field_is_found() {
        let info = TokenInfo::from(CK_TOKEN_INFO {
            label: padded(b"xks", b' '),
            serialNumber: padded(b"7", 0),
            flags: CKF_TOKEN_INITIALIZED | cryptoki_sys::CKF_CLOCK_ON_TOKEN,
            utcTime: padded(b"no time", 0),
            ..CK_TOKEN_INFO::default()
        });
        assert!(info.is_selected_by(&TokenSelector::Label("xks".into())));
        assert!(info.is_selected_by(&TokenSelector::Serial("7".into())));
        assert_eq!(info.to_string(), "\"xks\" (serial 7)");
    }

    #[test]
    fn a_token_that_is_not_initialized_has_no_label() {
        let info = TokenInfo::from(CK_TOKEN_INFO {
            label: padded(b"xks", b' '),
            ..CK_TOKEN_INFO::default()
        });
        assert!(!info.is_selected_by(&TokenSelector::Label("xks".into())));
        assert_eq!(info.to_string(), "an uninitialized token (serial \"\")");
    }
}
