//! The one error table (XKS API, section "Errors"): from what went wrong to status, `errorName` and the text that KMS may show.
//!
//! # Invariants
//! - The outward message is a constant of this file plus at most one field name of ours: printable ASCII, under 512
//!   characters, nothing of the caller's or the device's in it. KMS writes it to the customer's logs.
//! - The operator's reason is kept apart and never sent.

use std::borrow::Cow;

use serde::Serialize;

/// The `errorName` values of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorName {
    /// A parameter is missing, malformed or of the wrong type.
    Validation,
    /// Key or key store disabled, deactivated or blocked.
    InvalidState,
    /// Ciphertext, IV, AAD, metadata or tag corrupted.
    InvalidCiphertext,
    /// The key may not do this operation.
    InvalidKeyUsage,
    /// SigV4 does not verify.
    AuthenticationFailed,
    /// The policy says no.
    AccessDenied,
    /// No such external key in this store.
    KeyNotFound,
    /// No such path, or no key store at this prefix.
    InvalidUriPath,
    /// Too many requests, or we cannot keep up.
    Throttling,
    /// Our fault or the HSM's.
    Internal,
    /// Unknown algorithm, or a value beyond our maximum.
    UnsupportedOperation,
    /// The HSM did not answer in time.
    DependencyTimeout,
}

impl ErrorName {
    /// Every name, for tables and tests.
    pub const ALL: [Self; 12] = [
        Self::Validation,
        Self::InvalidState,
        Self::InvalidCiphertext,
        Self::InvalidKeyUsage,
        Self::AuthenticationFailed,
        Self::AccessDenied,
        Self::KeyNotFound,
        Self::InvalidUriPath,
        Self::Throttling,
        Self::Internal,
        Self::UnsupportedOperation,
        Self::DependencyTimeout,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "ValidationException",
            Self::InvalidState => "InvalidStateException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::AuthenticationFailed => "AuthenticationFailedException",
            Self::AccessDenied => "AccessDeniedException",
            Self::KeyNotFound => "KeyNotFoundException",
            Self::InvalidUriPath => "InvalidUriPathException",
            Self::Throttling => "ThrottlingException",
            Self::Internal => "InternalException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::DependencyTimeout => "DependencyTimeoutException",
        }
    }

    /// The HTTP status that goes with the name.
    pub fn status(self) -> u16 {
        match self {
            Self::Validation
            | Self::InvalidState
            | Self::InvalidCiphertext
            | Self::InvalidKeyUsage => 400,
            Self::AuthenticationFailed => 401,
            Self::AccessDenied => 403,
            Self::KeyNotFound | Self::InvalidUriPath => 404,
            Self::Throttling => 429,
            Self::Internal => 500,
            Self::UnsupportedOperation => 501,
            Self::DependencyTimeout => 503,
        }
    }

    /// Whether AWS counts it as retryable: the same request may succeed at another time (XKS API, section 6). KMS itself asks once more only
    /// where the network gave no answer (section 1).
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Internal | Self::DependencyTimeout | Self::Throttling => true,
            Self::Validation
            | Self::InvalidState
            | Self::InvalidCiphertext
            | Self::InvalidKeyUsage
            | Self::AuthenticationFailed
            | Self::AccessDenied
            | Self::KeyNotFound
            | Self::InvalidUriPath
            | Self::UnsupportedOperation => false,
        }
    }
}

/// What went wrong, as precisely as the outside may know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The body is not JSON of the expected shape.
    BodyMalformed,
    /// The body ended before its announced length, or did not arrive in time.
    BodyIncomplete,
    /// The body is longer than this proxy takes.
    BodyTooLarge,
    /// The bytes on the connection are not an HTTP request.
    NotHttp,
    /// A required field is absent, null or empty.
    FieldMissing(&'static str),
    /// A field has a value that its type does not allow.
    FieldInvalid(&'static str),
    /// A field is longer than this proxy takes.
    FieldTooLong(&'static str),
    /// A method other than POST on a path of the API (status 405, which has no name of its own).
    MethodNotAllowed,
    /// The path is not one of the API.
    PathUnknown,
    /// No key store has this path prefix.
    KeyStoreUnknown,
    /// The signature does not verify; which part of it is the operator's to know.
    AuthenticationFailed,
    /// The key store is disabled by its owner.
    KeyStoreDisabled,
    /// The key is disabled by its owner.
    KeyDisabled,
    /// More than one key in the HSM answers to this name: none is used.
    KeyAmbiguous,
    /// The key does not work in the HSM, though another key does.
    KeyBlocked,
    /// The store has no such key.
    KeyUnknown,
    /// The key is configured, but no HSM has it.
    KeyAbsent,
    /// The key's attributes do not allow the operation.
    UsageNotPermitted,
    /// The key is not an AES-256 key.
    KeyUnsuitable,
    /// The HSM rejects this key for a reason that may pass.
    KeyFailed,
    /// The authorization policy denies the request.
    AccessDenied,
    /// The ciphertext, or what is bound to it, is not what was encrypted.
    CiphertextInvalid,
    /// An algorithm that the specification does not know.
    AlgorithmUnsupported(&'static str),
    /// More work than can be done in time.
    Overloaded,
    /// More requests whose signature is not verified yet than there is room for.
    UnverifiedOverload,
    /// The key store's quota is used up.
    QuotaExceeded,
    /// Not done before the deadline.
    DeadlinePassed,
    /// No HSM is usable, or the HSM failed.
    DeviceFailed,
    /// A fault of our own.
    Internal,
}

impl FaultKind {
    /// The specification's name for it: the table, row by row, without a default.
    pub fn name(self) -> ErrorName {
        match self {
            Self::BodyMalformed
            | Self::BodyIncomplete
            | Self::NotHttp
            | Self::FieldMissing(_)
            | Self::FieldInvalid(_)
            | Self::MethodNotAllowed => ErrorName::Validation,
            Self::BodyTooLarge | Self::FieldTooLong(_) | Self::AlgorithmUnsupported(_) => {
                ErrorName::UnsupportedOperation
            }
            Self::PathUnknown | Self::KeyStoreUnknown => ErrorName::InvalidUriPath,
            Self::AuthenticationFailed => ErrorName::AuthenticationFailed,
            Self::KeyStoreDisabled | Self::KeyDisabled | Self::KeyAmbiguous | Self::KeyBlocked => {
                ErrorName::InvalidState
            }
            Self::KeyUnknown | Self::KeyAbsent => ErrorName::KeyNotFound,
            Self::UsageNotPermitted | Self::KeyUnsuitable => ErrorName::InvalidKeyUsage,
            Self::AccessDenied => ErrorName::AccessDenied,
            Self::CiphertextInvalid => ErrorName::InvalidCiphertext,
            Self::Overloaded | Self::UnverifiedOverload | Self::QuotaExceeded => {
                ErrorName::Throttling
            }
            Self::DeadlinePassed => ErrorName::DependencyTimeout,
            Self::KeyFailed | Self::DeviceFailed | Self::Internal => ErrorName::Internal,
        }
    }

    /// The HTTP status: the name's, but for 405.
    pub fn status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            other => other.name().status(),
        }
    }

    /// What the outside is told.
    pub fn message(self) -> Cow<'static, str> {
        match self {
            Self::FieldMissing(field) => format!("{field} is missing").into(),
            Self::FieldInvalid(field) => format!("{field} is not valid").into(),
            Self::FieldTooLong(field) => format!("{field} is longer than supported").into(),
            Self::AlgorithmUnsupported(field) => format!("{field} is not supported").into(),
            fixed => fixed.fixed_message().into(),
        }
    }

    fn fixed_message(self) -> &'static str {
        match self {
            Self::BodyMalformed => "the request body is not valid",
            Self::BodyIncomplete => "the request body is incomplete",
            Self::BodyTooLarge => "the request body is longer than supported",
            Self::NotHttp => "the request is not valid",
            Self::FieldMissing(_) | Self::FieldInvalid(_) => "a field is not valid",
            Self::FieldTooLong(_) | Self::AlgorithmUnsupported(_) => "a value is not supported",
            Self::MethodNotAllowed => "only POST is allowed here",
            Self::PathUnknown | Self::KeyStoreUnknown => "no such URI path",
            Self::AuthenticationFailed => "the request could not be authenticated",
            Self::KeyStoreDisabled => "the external key store is disabled",
            Self::KeyDisabled => "the external key is disabled",
            Self::KeyAmbiguous | Self::KeyBlocked => "the external key is blocked",
            Self::KeyUnknown | Self::KeyAbsent => "no such external key",
            Self::UsageNotPermitted => "the external key does not support this operation",
            Self::KeyUnsuitable => "the external key is not a 256-bit AES key",
            Self::KeyFailed => "the external key could not be used",
            Self::AccessDenied => "access denied",
            Self::CiphertextInvalid => "the ciphertext or what is bound to it is not valid",
            Self::Overloaded | Self::UnverifiedOverload => "too many requests",
            Self::QuotaExceeded => "the request rate of the external key store is exceeded",
            Self::DeadlinePassed => "the external key manager did not answer in time",
            Self::DeviceFailed => "the external key manager could not be used",
            Self::Internal => "internal error",
        }
    }
}

/// A refusal: its kind for the outside, its reason for the operator.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the outside learns.
    pub kind: FaultKind,
    /// What the operator reads in the log; never sent.
    pub reason: Option<Cow<'static, str>>,
}

impl Fault {
    /// A fault with a reason for the operator.
    pub fn because(kind: FaultKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            reason: Some(reason.into()),
        }
    }

    /// The error body (XKS API, "Errors").
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            error_name: &'static str,
            error_message: &'a str,
        }
        let body = Body {
            error_name: self.kind.name().as_str(),
            error_message: &self.kind.message(),
        };
        // Two strings always serialize.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, reason: None }
    }
}

#[cfg(test)]
mod tests;
