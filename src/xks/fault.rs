//! The error table (XKS API, section "Errors"): maps each error to its status, its `errorName` and the message that KMS may show.
//!
//! # Invariants
//! - The message is a constant of this file plus at most one field name of the API: printable ASCII, under 512 characters. It contains no text of the
//!   client or of the HSM. KMS writes it to the customer's logs.
//! - The reason for the operator is a separate text, which is never sent.

use std::borrow::Cow;

use serde::Serialize;

/// The `errorName` values of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorName {
    /// A parameter is missing, malformed or of the wrong type.
    Validation,
    /// The key or the key store is disabled, deactivated or blocked.
    InvalidState,
    /// Ciphertext, IV, AAD, metadata or tag are corrupted.
    InvalidCiphertext,
    /// The key does not allow this operation.
    InvalidKeyUsage,
    /// The SigV4 signature is not valid.
    AuthenticationFailed,
    /// The authorization policy denies the request.
    AccessDenied,
    /// The key store does not have this external key.
    KeyNotFound,
    /// The path is unknown, or no key store has this path prefix.
    InvalidUriPath,
    /// Too many requests for the proxy or the HSM.
    Throttling,
    /// An error of the proxy or of the HSM.
    Internal,
    /// The algorithm is unknown, or a value exceeds a maximum of the proxy.
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

    /// Returns the name on the wire.
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

    /// Returns the HTTP status of the name.
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

    /// Returns whether AWS counts the error as retryable: the same request may succeed later (XKS API, section 6). KMS itself sends a request again only
    /// if it received no response (section 1).
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

/// The kind of an error. It determines the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The body is not JSON of the expected shape.
    BodyMalformed,
    /// The body ended before its announced length, or did not arrive in time.
    BodyIncomplete,
    /// The body is longer than the proxy accepts.
    BodyTooLarge,
    /// The bytes on the connection are not an HTTP request.
    NotHttp,
    /// A required field is missing, null or empty.
    FieldMissing(&'static str),
    /// A field has a value that its type does not allow.
    FieldInvalid(&'static str),
    /// A field is longer than the proxy accepts.
    FieldTooLong(&'static str),
    /// The method is not POST, on a path of the API (status 405, for which the specification has no name).
    MethodNotAllowed,
    /// The path is not a path of the API.
    PathUnknown,
    /// No key store has this path prefix.
    KeyStoreUnknown,
    /// The signature is not valid. Only the operator sees the reason.
    AuthenticationFailed,
    /// The configuration disables the key store.
    KeyStoreDisabled,
    /// The configuration disables the key.
    KeyDisabled,
    /// More than one key in the HSM matches the configuration, so none is used.
    KeyAmbiguous,
    /// The key does not work in the HSM, although other keys do.
    KeyBlocked,
    /// The key store does not have this key.
    KeyUnknown,
    /// The key is configured, but no HSM has it.
    KeyAbsent,
    /// The key's attributes do not allow the operation.
    UsageNotPermitted,
    /// The key is not an AES-256 key.
    KeyUnsuitable,
    /// The HSM rejects this key for a reason that may be temporary.
    KeyFailed,
    /// The authorization policy denies the request.
    AccessDenied,
    /// The ciphertext does not decrypt: it, or the data that is bound to it, was changed.
    CiphertextInvalid,
    /// The specification does not define this algorithm.
    AlgorithmUnsupported(&'static str),
    /// There are more requests than can be served in time.
    Overloaded,
    /// Requests without a verified signature hold too many bytes.
    UnverifiedOverload,
    /// The quota of the key store is used up.
    QuotaExceeded,
    /// The request was not finished before its deadline.
    DeadlinePassed,
    /// No HSM is usable, or the HSM failed.
    DeviceFailed,
    /// An error of the proxy itself.
    Internal,
}

impl FaultKind {
    /// Returns the specification's name for the kind. The table has a row for each kind and no default.
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

    /// Returns the HTTP status: that of the name, except for 405.
    pub fn status(self) -> u16 {
        match self {
            Self::MethodNotAllowed => 405,
            other => other.name().status(),
        }
    }

    /// Returns the message of the response.
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
            Self::CiphertextInvalid => "the ciphertext or the data bound to it is not valid",
            Self::Overloaded | Self::UnverifiedOverload => "too many requests",
            Self::QuotaExceeded => "the request rate of the external key store is exceeded",
            Self::DeadlinePassed => "the external key manager did not answer in time",
            Self::DeviceFailed => "the external key manager could not be used",
            Self::Internal => "internal error",
        }
    }
}

/// An error of a request: its kind for the response, its reason for the operator.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The kind, which determines the response.
    pub kind: FaultKind,
    /// The reason for the log and the audit trail; never sent.
    pub reason: Option<Cow<'static, str>>,
}

impl Fault {
    /// Creates an error with a reason for the operator.
    pub fn because(kind: FaultKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            reason: Some(reason.into()),
        }
    }

    /// Returns the JSON body of the response (XKS API, "Errors").
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
