//! The errors of proxies, and the one table of the exceptions that they become (kms-behaviour, section 3). It has a row for every error.

use serde::{Deserialize, Serialize};

use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::xks::ErrorName;

/// The reason why a call to a proxy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulator) enum ProxyError {
    /// An error of the XKS API.
    Named(ErrorName),
    /// A response that violates the XKS API: HTML, invalid JSON, a redirect, a ciphertext of the wrong length, a wrong CDIV.
    InvalidResponse,
    /// No response within the time limit.
    TimedOut,
    /// No connection, or a broken one.
    NotReachable,
    /// No TLS session.
    Tls,
}

/// The `ConnectionErrorCode` of a store that could not be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in crate::simulator) enum ConnectionError {
    InvalidCredentials,
    XksProxyAccessDenied,
    XksProxyInvalidConfiguration,
    XksProxyInvalidResponse,
    XksProxyInvalidTlsConfiguration,
    XksProxyNotReachable,
    XksProxyTimedOut,
}

use ConnectionError as Code;

/// The exceptions that an error becomes. AWS documents no exception where the operation cannot have the error. Such a response is invalid,
/// so [`UNEXPECTED`] applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ExceptionRow {
    /// Of CreateCustomKeyStore and UpdateCustomKeyStore.
    store: Option<ExceptionKind>,
    /// Of CreateKey.
    create_key: Option<ExceptionKind>,
    /// The result of ConnectCustomKeyStore.
    connection: Option<ConnectionError>,
    /// The message of every exception. `deploy/troubleshoot.md` has the part by which operators recognize it.
    message: &'static str,
}

/// The exceptions for a response that the operation does not allow.
const UNEXPECTED: (ExceptionKind, ExceptionKind, ConnectionError) = (
    ExceptionKind::XksProxyInvalidResponse,
    UNUSABLE,
    Code::XksProxyInvalidResponse,
);

/// The exception of CreateKey for a store whose proxy cannot be used.
const UNUSABLE: ExceptionKind = ExceptionKind::CustomKeyStoreInvalidState;

impl ExceptionRow {
    /// A row for an error that every operation can have.
    const fn of(store: ExceptionKind, connection: Code, message: &'static str) -> Self {
        Self {
            store: Some(store),
            create_key: Some(UNUSABLE),
            connection: Some(connection),
            message,
        }
    }

    const fn invalid_response(message: &'static str) -> Self {
        Self::of(UNEXPECTED.0, UNEXPECTED.2, message)
    }

    const fn unreachable(connection: Code, message: &'static str) -> Self {
        Self::of(ExceptionKind::XksProxyUriUnreachable, connection, message)
    }

    /// A row for an error that only operations with a key can have.
    const fn for_keys(create_key: Option<ExceptionKind>, message: &'static str) -> Self {
        Self {
            store: None,
            create_key,
            connection: None,
            message,
        }
    }
}

/// The table.
#[expect(clippy::too_many_lines, reason = "a table")]
fn row(error: ProxyError) -> ExceptionRow {
    use ErrorName as E;
    use ExceptionKind as K;
    use ProxyError::{InvalidResponse, Named, NotReachable, TimedOut, Tls};
    match error {
        Named(E::Validation) => ExceptionRow::invalid_response(
            "The external key store proxy rejected the request of AWS KMS as malformed, which KMS treats as an invalid response.",
        ),
        Named(E::Internal) => ExceptionRow::invalid_response(
            "The external key store proxy cannot communicate with the external key manager, or has an internal error.",
        ),
        InvalidResponse => ExceptionRow::invalid_response(
            "AWS KMS cannot interpret the response of the external key store proxy.",
        ),
        Named(E::InvalidState) => ExceptionRow::for_keys(
            Some(K::XksKeyInvalidConfiguration),
            "The external key store proxy rejected the request because the external key is not enabled in its external key manager.",
        ),
        Named(E::InvalidKeyUsage) => ExceptionRow::for_keys(
            Some(K::XksKeyInvalidConfiguration),
            "The external key store proxy rejected the request because the external key does not support the requested operation.",
        ),
        Named(E::InvalidCiphertext) => ExceptionRow::for_keys(
            None,
            "The external key store proxy rejected the request because the ciphertext or encryption context is corrupted, missing, or otherwise invalid.",
        ),
        Named(E::AuthenticationFailed) => ExceptionRow::of(
            K::XksProxyIncorrectCredential,
            Code::InvalidCredentials,
            "The external key store proxy could not authenticate AWS KMS: verify the proxy authentication credential of the custom key store.",
        ),
        Named(E::AccessDenied) => ExceptionRow {
            store: None,
            create_key: Some(UNUSABLE),
            connection: Some(Code::XksProxyAccessDenied),
            message: "The external key store proxy denied access to the operation because of its authorization policy.",
        },
        Named(E::KeyNotFound) => ExceptionRow::for_keys(
            Some(K::XksKeyNotFound),
            "The external key store proxy could not find the external key: it was not found under the external key ID of the KMS key.",
        ),
        Named(E::InvalidUriPath) => ExceptionRow::of(
            K::XksProxyInvalidConfiguration,
            Code::XksProxyInvalidConfiguration,
            "The external key store proxy rejected the request because of an invalid URI path: verify the URI path of the custom key store.",
        ),
        Named(E::UnsupportedOperation) => ExceptionRow::invalid_response(
            "The external key store proxy does not support the requested cryptographic operation, or a value in it.",
        ),
        Named(E::DependencyTimeout) => ExceptionRow::unreachable(
            Code::XksProxyTimedOut,
            "The external key store proxy did not respond in the time allotted because the external key manager did not answer it.",
        ),
        Named(E::Throttling) => ExceptionRow::unreachable(
            Code::XksProxyTimedOut,
            "The external key store proxy rejected the request because of a very high request rate. Reduce the frequency of your calls.",
        ),
        // The wording is that of KMS: the EKS encryption provider recognizes the error by it.
        TimedOut => ExceptionRow::unreachable(
            Code::XksProxyTimedOut,
            "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
        ),
        NotReachable => ExceptionRow::unreachable(
            Code::XksProxyNotReachable,
            "AWS KMS cannot communicate with the external key store proxy: there was no connection, or it broke.",
        ),
        Tls => ExceptionRow::unreachable(
            Code::XksProxyInvalidTlsConfiguration,
            "AWS KMS cannot communicate with the external key store proxy: no TLS connection could be established; verify its certificate and TLS configuration.",
        ),
    }
}

impl ProxyError {
    /// Returns whether KMS retries the call. It does after a network error only, and accepts every response (XKS API, section 1).
    pub(in crate::simulator) fn is_retried(self) -> bool {
        match self {
            Self::TimedOut | Self::NotReachable => true,
            Self::Named(_) | Self::InvalidResponse | Self::Tls => false,
        }
    }

    /// Returns whether metrics count the error as retryable: the same request may succeed later (XKS API, section 6).
    pub(in crate::simulator) fn is_retryable(self) -> bool {
        match self {
            Self::Named(name) => name.is_retryable(),
            Self::TimedOut | Self::NotReachable => true,
            Self::InvalidResponse | Self::Tls => false,
        }
    }

    /// Returns the name of the error in metrics and events.
    pub(in crate::simulator) fn label(self) -> &'static str {
        match self {
            Self::Named(name) => name.as_str(),
            Self::InvalidResponse => "invalid_response",
            Self::TimedOut => "timeout",
            Self::NotReachable => "not_reachable",
            Self::Tls => "tls",
        }
    }

    /// Returns the exception of CreateCustomKeyStore and UpdateCustomKeyStore.
    pub(in crate::simulator) fn for_store(self) -> Exception {
        self.exception(row(self).store.unwrap_or(UNEXPECTED.0))
    }

    /// Returns the exception of CreateKey.
    pub(in crate::simulator) fn for_new_key(self) -> Exception {
        self.exception(row(self).create_key.unwrap_or(UNEXPECTED.1))
    }

    /// Returns the exception of a cryptographic operation. KMS distinguishes the errors by the message only. A time-out is a
    /// KMSInternalException if `is_internal` is set: KMS sometimes reports it that way.
    pub(in crate::simulator) fn for_cryptography(self, is_internal: bool) -> Exception {
        match self {
            Self::TimedOut if is_internal => self.exception(ExceptionKind::KmsInternal),
            _ => self.exception(ExceptionKind::KmsInvalidState),
        }
    }

    /// Returns the error code of a store that could not be connected.
    pub(in crate::simulator) fn for_connection(self) -> ConnectionError {
        row(self).connection.unwrap_or(UNEXPECTED.2)
    }

    fn exception(self, kind: ExceptionKind) -> Exception {
        kind.with_message(row(self).message)
    }
}

#[cfg(test)]
mod tests;
